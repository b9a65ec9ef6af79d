//! stub
use super::{Options, Outcome};
/// stub
#[derive(clap::Args, Debug)]
pub(super) struct Runtime {}
impl Runtime { pub(super) fn run(self, _: &Options) -> Outcome { Ok(()) } }
