//! `marq run`: call a function or launch a kernel.

mod image;

use super::given::Given;
use super::input::{self, Entry, Tables};
use super::{CliError, CliResult, output, watchdog};
use crate::engine::{EngineError, Extent, Outcome};
use crate::filetest::argument::{Argument, parse_arguments};
use crate::filetest::call::{Binding, parse_input, parse_state};
use crate::filetest::runner::{instance_for, launch_options};
use crate::inputs::LaunchOptions;
use crate::value::{HostArg, write_lane};
use clap::Args;
use marquetry_ir::entity::Method;
use marquetry_ir::program::MethodKind;
use marquetry_lower::job::{DebugLevel, OptLevel};
use marquetry_lower::runtime::inputs::STATE;
use marquetry_lower::specialise;
use std::fmt::{Display, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Most elements of a buffer that are printed.
const SHOWN_ELEMENTS: usize = 64;

/// Call a function or launch a kernel
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The program; '-' is standard input. Or an image of this machine's code, which is run as it is
    file: PathBuf,
    /// Behind an image: its program. What is not compiled from what this says now is not run
    #[arg(value_name = "PROGRAM")]
    program: Vec<PathBuf>,
    /// The function or kernel; with the types of its arguments where it has type variables: 'f(i32, f32)'. A
    /// name that is no identifier stands in double quotes: '"odd name"'
    #[arg(long, value_name = "NAME")]
    entry: String,
    /// Where to run it: interp, native, object, cpu, vulkan, opencl or cuda; by default native for functions and
    /// cpu for kernels
    #[arg(long, value_name = "ENGINE")]
    on: Option<String>,
    /// Arguments, as in directives: 'i32 1, buf f32[256]=iota'
    #[arg(long, default_value = "", value_name = "ARGUMENTS")]
    args: String,
    /// Groups along each dimension: X, X,Y or X,Y,Z; makes this a launch. 1 if only --block is given
    #[arg(long, value_name = "X,Y,Z")]
    grid: Option<String>,
    /// Work-items of a group along each dimension; makes this a launch. 64 if only --grid is given
    #[arg(long, value_name = "X,Y,Z")]
    block: Option<String>,
    /// The state that every kernel of a launch takes: a value, as in 'i32 30', or the bytes of a struct:
    /// 'config=bytes(i64=[40], f32=[2.0], i8[4])'
    #[arg(long, value_name = "[STRUCT=]ARGUMENT")]
    state: Option<String>,
    /// A hidden input of a launch, which the kernel reads by name; may be given more than once
    #[arg(long, value_name = "NAME=ARGUMENT")]
    input: Vec<String>,
    #[command(flatten)]
    tables: Tables,
    /// Seconds that it may take before the command ends with an error; 0 for any time
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// A word that the host supplies: 'value "NAME" = WORD', 'symbol "NAME" = WORD' or 'word "NAME" = WORD'; may be given
    /// more than once
    #[arg(long, value_name = "REFERENCE = WORD")]
    resolve: Vec<String>,
    /// Optimisation level, 0 to 3
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_level: u32,
    /// Debug level, 0 to 2: what a provider is told of exceptions, and how much is said of one that arrives; -g is -g2
    #[arg(short = 'g', value_name = "LEVEL", default_value = "0", default_missing_value = "2", num_args = 0..=1, value_parser = input::debug_level)]
    debug_level: u32,
    /// What becomes of a work-item that throws: report, exit or trap
    #[arg(long, value_name = "POLICY", default_value = "report")]
    exceptions: String,
}

impl Run {
    pub(super) fn run(self, given: &Given) -> CliResult {
        if image::is_image(&self.file) {
            return self.run_image(given);
        }
        if let Some(second) = self.program.first() {
            let (first, second) = (self.file.display(), second.display());
            let message = format!("'{second}' would be the program of an image, and '{first}' is none");
            return Err(CliError::Usage(message));
        }
        let mut program = input::read_valid(&[&self.file])?;
        self.tables.find(&program)?;
        let words = input::words(&self.resolve)?;
        input::check_words(&words, &program, &[])?;
        let args = parse_arguments(&self.args).map_err(|e| CliError::Usage(format!("--args: {e}")))?;
        let extent = self.extent()?;
        let with = self.bindings()?;
        let default = if extent.is_some() { "cpu" } else { "native" };
        let name = self.on.as_deref().unwrap_or(default);
        let kind = input::engine(name)?;
        let level = OptLevel::from_number(self.opt_level).unwrap_or_default();
        let throws = input::throw_policy(&self.exceptions)?;
        let debug_level = DebugLevel::from_number(self.debug_level).unwrap_or_default();
        let mut engine = kind.open(level).map_err(|e| CliError::Failed(format!("{name}: {e}")))?;
        engine.set_exceptions(debug_level, throws);
        let wanted = if extent.is_some() { MethodKind::Kernel } else { MethodKind::Function };
        let entry = Entry::of(&self.entry);
        let found = match &entry {
            Entry::Call(call) => input::instance(&mut program, call).and_then(|instance| {
                let arguments = instance.arguments.unwrap_or_default();
                specialise::instantiate(&mut program, instance.method, &arguments)
                    .map_err(|failure| failure.to_string())
            }),
            Entry::Name(name) => instance_for(&mut program, name, &args, wanted),
        };
        let method = found.map_err(|message| {
            let is_kernel = |&m: &Method| program.method(m).kind == MethodKind::Kernel;
            let hint = match &entry {
                Entry::Name(name) if extent.is_none() && program.methods_of(name).iter().any(is_kernel) => {
                    "; to launch a kernel, give --grid"
                }
                _ => "",
            };
            CliError::Failed(format!("{message}{hint}"))
        })?;
        engine.set_tables(&self.tables.names);
        let program = Arc::new(program);
        engine.set_host(Arc::new(words));
        engine.load(program.clone());
        *engine.options() =
            launch_options(&program, &with).map_err(|e| CliError::Failed(format!("--state: {e}")))?;
        let mut args: Vec<HostArg> = args.iter().map(Argument::materialise).collect();
        let watchdog = watchdog(self.timeout, "the program was given up")?;
        let watched = watchdog.begin(format!("{name}: '{}'", self.entry));
        let outcome = match extent {
            Some(extent) => engine.launch(method, extent, &mut args),
            None => engine.call(method, &mut args),
        };
        drop(watched);
        let outcome = outcome.map_err(|error| match error {
            EngineError::Program(diagnostics) => {
                input::show(&diagnostics, &program.files);
                CliError::Reported
            }
            error => CliError::Failed(format!("{name}: {error}")),
        });
        self.finish(&engine.take_output(), outcome, &args, engine.options())
    }
}

impl Run {
    /// The groups and work-items of a launch; none for a call.
    fn extent(&self) -> Result<Option<Extent>, CliError> {
        Ok(match (&self.grid, &self.block) {
            (None, None) => None,
            (grid, block) => Some(Extent {
                grid: extent("--grid", grid.as_deref().unwrap_or("1"))?,
                block: extent("--block", block.as_deref().unwrap_or("64"))?,
            }),
        })
    }

    /// How every run ends: with what was printed meanwhile, then with what came of it.
    fn finish(
        &self,
        printed: &[String],
        outcome: Result<Outcome, CliError>,
        args: &[HostArg],
        options: &LaunchOptions,
    ) -> CliResult {
        for line in printed {
            output::print(format!("{line}\n").as_bytes())?;
        }
        self.show(outcome?, args, options)
    }

    /// Prints what a call or launch returned, and left in its buffers; what it threw is an error.
    fn show(&self, outcome: Outcome, args: &[HostArg], options: &LaunchOptions) -> CliResult {
        let values = match outcome {
            Outcome::Returned(values) => values,
            Outcome::Threw(thrown) => {
                let level = DebugLevel::from_number(self.debug_level).unwrap_or_default();
                return Err(CliError::Failed(format!("threw {}", thrown.report(level))));
            }
        };
        let mut text = String::new();
        values.iter().for_each(|value| {
            let _ = writeln!(text, "{value}");
        });
        args.iter().enumerate().for_each(|(n, arg)| show_buffer(&mut text, &n, arg));
        options.inputs.iter().for_each(|(name, arg)| show_buffer(&mut text, name, arg));
        output::print(text.as_bytes())
    }

    /// The state and the hidden inputs, which only launches have.
    fn bindings(&self) -> Result<Vec<Binding>, CliError> {
        let mut with = Vec::new();
        if let Some(text) = &self.state {
            with.push(parse_state(text).map_err(|e| CliError::Usage(format!("--state: {e}")))?);
        }
        for text in &self.input {
            let binding = parse_input(text).map_err(|e| CliError::Usage(format!("--input: {e}")))?;
            if binding.name == STATE {
                return Err(CliError::Usage(format!(
                    "--input: '{STATE}' is the kernels' state: give --state"
                )));
            }
            if with.iter().any(|other| other.name == binding.name) {
                return Err(CliError::Usage(format!("--input: '{}' is given twice", binding.name)));
            }
            with.push(binding);
        }
        if let (Some(binding), None, None) = (with.first(), &self.grid, &self.block) {
            let option = if binding.name == STATE { "--state" } else { "--input" };
            return Err(CliError::Usage(format!("{option}: only launches have it: give --grid")));
        }
        Ok(with)
    }
}

fn extent(option: &str, text: &str) -> Result<[u32; 3], CliError> {
    let mut extent = [1; 3];
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > 3 {
        return Err(CliError::Usage(format!("{option}: {} dimensions, the most is 3", parts.len())));
    }
    for (size, part) in extent.iter_mut().zip(parts) {
        let number = part.trim().parse();
        *size = number.map_err(|_| CliError::Usage(format!("{option}: '{part}' is not a size")))?;
    }
    Ok(extent)
}

fn show_buffer(text: &mut String, which: &dyn Display, arg: &HostArg) {
    let HostArg::Buffer { element, bytes } = arg else { return };
    let size = element.bytes() as usize;
    let _ = write!(text, "[{which}] {}[{}] = [", element.name(), bytes.len() / size);
    for (n, chunk) in bytes.chunks(size).take(SHOWN_ELEMENTS).enumerate() {
        let bits = chunk.iter().rev().fold(0u128, |word, &byte| word << 8 | u128::from(byte));
        text.push_str(if n == 0 { "" } else { ", " });
        let _ = write_lane(text, *element, bits);
    }
    text.push_str(if bytes.len() / size > SHOWN_ELEMENTS { ", ...]\n" } else { "]\n" });
}
