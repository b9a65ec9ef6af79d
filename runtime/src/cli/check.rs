//! `marq check`: parse and verify.

use super::{CliError, CliResult, input, output};
use clap::Args;
use marquetry_ir::diag::has_errors;
use std::path::PathBuf;

/// Parse and verify files; report everything that is wrong
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Files to check, as one program; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the diagnostics as JSON on standard output
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> CliResult {
        let input = input::read(&self.files)?;
        if self.json {
            let json = input::json(&input.diagnostics, &input.program.files);
            output::print(format!("{json:#}\n").as_bytes())?;
        } else {
            input::show(&input.diagnostics, &input.program.files);
        }
        if has_errors(&input.diagnostics) { Err(CliError::Reported) } else { Ok(()) }
    }
}
