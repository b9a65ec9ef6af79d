//! `marq fmt`: the one layout of text.

use super::{CliError, CliResult, input, output};
use clap::Args;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use std::path::PathBuf;

/// Format files in place
#[derive(Args, Debug)]
pub(super) struct Fmt {
    /// Files to format, or folders in which all .mq files are meant; '-' formats standard input to standard output
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Change nothing; fail and name the files that are not formatted
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub(super) fn run(self) -> CliResult {
        let mut failed = false;
        for path in &input::files(&self.paths)? {
            let bytes = input::read_bytes(path)?;
            let formatted = match std::str::from_utf8(&bytes) {
                Ok(source) => text::format(source),
                // Reading again reports where the text stops being UTF-8.
                Err(_) => Err(text::parse_bytes(&mut Program::new(), &path.display().to_string(), &bytes)),
            };
            match formatted {
                Err(mut diagnostics) => {
                    let mut files = Program::new();
                    files.add_file(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
                    diagnostics.iter_mut().for_each(|d| d.file = Some(0));
                    input::show(&diagnostics, &files.files);
                    failed = true;
                }
                Ok(new) if self.check => {
                    if new.as_bytes() != bytes {
                        output::print(format!("{}\n", path.display()).as_bytes())?;
                        failed = true;
                    }
                }
                Ok(new) if path.as_os_str() == "-" => output::print(new.as_bytes())?,
                Ok(new) if new.as_bytes() == bytes => {}
                Ok(new) => output::replace(path, new.as_bytes())?,
            }
        }
        if failed { Err(CliError::Reported) } else { Ok(()) }
    }
}
