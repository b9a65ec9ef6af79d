//! stub
use super::{Options, Outcome};
/// stub
#[derive(clap::Args, Debug)]
pub(super) struct Ptx {}
impl Ptx { pub(super) fn run(self, _: &Options) -> Outcome { Ok(()) } }
