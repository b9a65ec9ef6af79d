//! `marq test`: carry out the directives in files, on every engine that this machine has.

use super::input::{self, Tables};
use super::{CliError, CliResult, output, watchdog};
use crate::engine::{Engine, EngineKind};
use crate::filetest::coverage::Coverage;
use crate::filetest::golden;
use crate::filetest::report::Report;
use crate::filetest::runner;
use clap::Args;
use marquetry_ir::diag::printable;
use marquetry_lower::job::{DebugLevel, OptLevel};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Carry out the directives in files, on every engine that this machine has
#[derive(Args, Debug)]
pub(super) struct Test {
    /// Files, or folders in which all .mq files are meant
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Engines to use, separated by commas; an engine named here must be present
    #[arg(long, value_name = "ENGINES", value_delimiter = ',')]
    on: Vec<String>,
    #[command(flatten)]
    tables: Tables,
    /// Fail if an engine that the platform could have is absent (cuda aside)
    #[arg(long)]
    require_engines: bool,
    /// Print every directive, not only those that failed
    #[arg(long, short)]
    verbose: bool,
    /// Print how many directives ran each op on each engine, and every hole with its reason
    #[arg(long)]
    coverage: bool,
    /// Replace golden text that differs by what the compiler gives, and show what changed
    #[arg(long)]
    bless: bool,
    /// Seconds that a directive may take on an engine before the command ends with an error; 0 for any time
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Optimisation level, 0 to 3
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_level: u32,
    /// Debug level, 0 to 2: what a provider is told of exceptions; -g is -g2
    #[arg(short = 'g', value_name = "LEVEL", default_value = "0", default_missing_value = "2", num_args = 0..=1, value_parser = input::debug_level)]
    debug_level: u32,
    /// What becomes of a work-item that throws: report, exit or trap
    #[arg(long, value_name = "POLICY", default_value = "report")]
    exceptions: String,
}

impl Test {
    pub(super) fn run(self) -> CliResult {
        let files = input::files(&self.paths)?;
        let mut report = Report::new();
        let mut coverage = Coverage::new();
        let mut engines = self.engines(&mut report)?;
        let watchdog = watchdog(self.timeout, "the directives after it were not carried out")?;
        let mut missing = self.tables.own()?;
        let progress = std::io::stderr().is_terminal();
        for (n, file) in files.iter().enumerate() {
            if progress {
                output::progress(&format!("[{}/{}] {}", n + 1, files.len(), file.display()));
            }
            let bytes = input::read_bytes(file)?;
            let name = file.display().to_string();
            let rows = match String::from_utf8(bytes) {
                Ok(mut source) => {
                    if self.bless {
                        source = bless(file, &name, source)?;
                    }
                    runner::run(&name, &source, &mut engines, Some(&watchdog))
                }
                Err(error) => vec![runner::Row::not_text(&error)],
            };
            missing.retain(|name| engines.iter().all(|engine| engine.program().find_table(name).is_none()));
            coverage.add(&rows);
            report.add(&name, rows);
        }
        if progress {
            output::progress("");
        }
        if let Some(name) = missing.first() {
            return Err(CliError::Failed(format!("there is no table '{name}' in any of the files")));
        }
        if self.coverage {
            output::print(coverage.render().as_bytes())?;
        }
        output::print(printable(&report.render(self.verbose)).as_bytes())?;
        if report.is_success() { Ok(()) } else { Err(CliError::Reported) }
    }

    fn engines(&self, report: &mut Report) -> Result<Vec<Box<dyn Engine>>, CliError> {
        let level = OptLevel::from_number(self.opt_level).unwrap_or_default();
        let mut kinds = EngineKind::ALL.to_vec();
        if !self.on.is_empty() {
            kinds.clear();
            for name in &self.on {
                kinds.push(input::engine(name)?);
            }
        }
        let throws = input::throw_policy(&self.exceptions)?;
        let debug_level = DebugLevel::from_number(self.debug_level).unwrap_or_default();
        let mut engines = Vec::new();
        for kind in kinds {
            match kind.open(level) {
                Ok(mut engine) => {
                    engine.set_exceptions(debug_level, throws);
                    engine.set_tables(&self.tables.names);
                    engines.push(engine);
                }
                Err(reason) if !self.on.is_empty() => {
                    return Err(CliError::Failed(format!("{}: {reason}", kind.name())));
                }
                Err(reason) => {
                    let required = self.require_engines && kind.is_expected_everywhere();
                    report.absent(kind.name(), reason, required);
                }
            }
        }
        Ok(engines)
    }
}

/// Brings the golden text of a file up to date; gives what the file now holds.
fn bless(file: &Path, name: &str, source: String) -> Result<String, CliError> {
    let (blessed, changes) = golden::bless(name, &source);
    if changes.is_empty() {
        return Ok(source);
    }
    output::replace(file, blessed.as_bytes())?;
    for change in changes {
        output::print(format!("blessed {name}:{}\n{}", change.line, change.difference).as_bytes())?;
    }
    Ok(blessed)
}
