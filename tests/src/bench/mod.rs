//! The bench: `marq-bench` prints what this project costs next to its peers, measured in the same run.
//!
//! ```text
//! cargo run --release -p marquetry-tests --bin marq-bench -- stages
//! cargo run --release -p marquetry-tests --bin marq-bench -- native --sizes 1000,10000
//! cargo run --release -p marquetry-tests --bin marq-bench -- shapes
//! cargo run --release -p marquetry-tests --bin marq-bench -- runtime --peers DIR
//! cargo run --release -p marquetry-tests --bin marq-bench -- ptx --peers DIR --nvrtc LIBRARY
//! cargo run --release -p marquetry-tests --bin marq-bench -- memory
//! cargo run --release -p marquetry-tests --bin marq-bench -- dispatch
//! cargo run --release -p marquetry-tests --bin marq-bench -- image
//! cargo run --release -p marquetry-tests --bin marq-bench -- objects
//! cargo build --release -p marquetry && cargo run --release -p marquetry-tests --bin marq-bench -- process
//! ```
//!
//! What is compared runs alternately, after a round that warms up, and medians are shown, so that ratios mean something
//! on a busy machine where times do not. Tables name their target. A peer that is not there is a line that says
//! SKIPPED.

pub mod alloc;
mod dispatch;
mod extremes;
mod image;
mod measure;
mod memory;
mod native;
mod objects;
mod ours;
mod process;
mod ptx;
mod raw;
mod runtime;
mod sass;
mod scaling;
mod shapes;
mod stages;
mod table;

use clap::{Parser, Subcommand};
use measure::Effort;
use std::process::ExitCode;
use std::time::Duration;

/// Measures Marquetry next to its peers, in one run
#[derive(Parser, Debug)]
#[command(name = "marq-bench", version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What all commands take.
#[derive(clap::Args, Debug)]
struct Options {
    /// Print one JSON object per table
    #[arg(long, global = true)]
    json: bool,
    /// Repetitions of a measurement
    #[arg(long, global = true, default_value_t = 51)]
    repetitions: usize,
    /// Seconds after which a measurement ends, if it has three repetitions
    #[arg(long, global = true, default_value_t = 2.0)]
    seconds: f64,
}

impl Options {
    fn effort(&self) -> Effort {
        let seconds = self.seconds.clamp(0.0, 3600.0);
        Effort { repetitions: self.repetitions.max(1), budget: Duration::from_secs_f64(seconds) }
    }
}

type Outcome = Result<(), String>;

#[derive(Subcommand, Debug)]
enum Command {
    Stages(stages::Stages),
    Native(native::Native),
    Shapes(scaling::Scaling),
    Runtime(runtime::Runtime),
    Ptx(ptx::Ptx),
    Memory(memory::Memory),
    Dispatch(dispatch::Dispatch),
    Image(image::Image),
    Objects(objects::Objects),
    Process(process::Process),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let done = match command {
        Command::Stages(command) => command.run(&options),
        Command::Native(command) => command.run(&options),
        Command::Shapes(command) => command.run(&options),
        Command::Runtime(command) => command.run(&options),
        Command::Ptx(command) => command.run(&options),
        Command::Memory(command) => command.run(&options),
        Command::Dispatch(command) => command.run(&options),
        Command::Image(command) => command.run(&options),
        Command::Objects(command) => command.run(&options),
        Command::Process(command) => command.run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("marq-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
