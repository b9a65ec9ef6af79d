//! `marq check`: parse and verify.

use super::{CliError, CliResult, input, output};
use clap::Args;
use marquetry_ir::diag::has_errors;
use marquetry_lower::dispatch::explain::unknown;
use std::path::PathBuf;

/// Parse and verify files; report everything that is wrong
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Files to check, as one program, and folders, in which each .mq file is one; '-' is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the diagnostics as JSON on standard output
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> CliResult {
        let mut failed = false;
        let mut rows = Vec::new();
        for files in input::programs(&self.paths)? {
            let mut input = input::read(&files)?;
            if input.diagnostics.is_empty() {
                input.diagnostics = unknown(&input.program);
            }
            match self.json {
                true => rows.extend(input::json(&input.diagnostics, &input.program.files)),
                false => input::show(&input.diagnostics, &input.program.files),
            }
            failed |= has_errors(&input.diagnostics);
        }
        if self.json {
            output::print(format!("{:#}\n", serde_json::Value::Array(rows)).as_bytes())?;
        }
        if failed { Err(CliError::Reported) } else { Ok(()) }
    }
}
