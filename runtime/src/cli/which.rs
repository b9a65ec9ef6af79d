//! `marq which`: the method that a call means, and why.

use super::input::{self, Tables};
use super::{CliError, CliResult, output};
use crate::compile::Target;
use clap::Args;
use marquetry_ir::diag::printable;
use marquetry_ir::text;
use marquetry_lower::dispatch::explain::explain;
use marquetry_lower::dispatch::resolve::Answer;
use marquetry_lower::job::OptLevel;
use std::path::PathBuf;

/// Say which method a call means, from which table, and why
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The program; '-' is standard input
    file: PathBuf,
    /// The call: a name and the types of the arguments, as in 'f(i32, f32)'
    call: String,
    /// What is compiled for: native[:TRIPLE], ptx[:sm_XX], spirv[:ENVIRONMENT], wgsl, msl or hlsl
    #[arg(long, value_name = "TARGET", default_value = "native")]
    target: String,
    #[command(flatten)]
    tables: Tables,
    /// A table of the runtime provider, in which link names (gpu_...) are looked up for devices, in place of the library's; may be
    /// given more than once, first asked first
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
}

impl Which {
    pub(super) fn run(self) -> CliResult {
        let target = Target::parse(&self.target, OptLevel::default())
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let mut program = input::read_valid(&[&self.file])?;
        let tables = self.tables.find(&program)?;
        let view = input::view(&program, &target, &tables, &self.provider)?;
        input::show_hidden(&program, &view);
        let (name, arguments) = text::parse_call(&mut program, &self.call).map_err(|message| {
            CliError::Usage(format!("'{}' is no call, as 'f(i32, f32)' is: {message}", self.call))
        })?;
        let explanation = explain(&program, &program.types, &view, &name, &arguments);
        let text = explanation.render(&program, &program.types);
        output::print(printable(&text).as_bytes())?;
        match explanation.answer {
            Answer::Method(_) => Ok(()),
            Answer::Nothing if explanation.means_host().is_some() => Ok(()),
            Answer::Ambiguous(..) | Answer::Nothing => Err(CliError::Reported),
        }
    }
}
