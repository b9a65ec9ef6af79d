//! The command line: one file per command, shared input and output here.
//!
//! Exit codes: 0 if all is well, 1 if the program or a test is wrong, 2 if the command line is.

mod build;
mod check;
mod compile;
mod crash;
mod devices;
mod fmt;
mod given;
mod input;
mod output;
mod references;
mod run;
mod test;
mod which;

use crate::filetest::watchdog::{Watchdog, end_process};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use given::Given;
use std::process::ExitCode;
use std::time::Duration;

/// Why a command did not succeed, after everything was reported.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Reported already: only the exit code is left.
    Reported,
    /// To be shown; the program, a file or a device is at fault.
    Failed(String),
    /// To be shown; the command line is at fault.
    Usage(String),
}

type CliResult = Result<(), CliError>;

/// One program for CPUs and GPUs: checks, runs, tests and compiles .mq files
#[derive(Parser, Debug)]
#[command(name = "marq", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 if all is well, 1 if the program or a test is wrong, 2 if the command line is.";

// What each is for is said where it is defined.
#[derive(Subcommand, Debug)]
enum Command {
    Check(check::Check),
    Fmt(fmt::Fmt),
    Run(run::Run),
    Test(test::Test),
    Compile(compile::Compile),
    Build(build::Build),
    Which(which::Which),
    Devices(devices::Devices),
}

/// What ends this process, with an error that says what was running, if that takes longer than so many seconds, 0 for any
/// time, or is ended by a signal. `left` says what is not done then.
fn watchdog(seconds: u64, left: &'static str) -> Result<Watchdog, CliError> {
    crash::report_signals();
    let limit = if seconds == 0 { Duration::MAX } else { Duration::from_secs(seconds) };
    let started = Watchdog::start(limit, crash::runs, move |what| {
        output::complain(&format!("error: {what}\n  did not end within {seconds} seconds; {left}\n"));
        end_process()
    });
    started.map_err(|error| CliError::Failed(format!("no thread to watch the time: {error}")))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    let given = Given::of(&command, &matches);
    let result = match cli.command {
        Command::Check(command) => command.run(),
        Command::Fmt(command) => command.run(),
        Command::Run(command) => command.run(&given),
        Command::Test(command) => command.run(),
        Command::Compile(command) => command.run(&given),
        Command::Build(command) => command.run(&given),
        Command::Which(command) => command.run(),
        Command::Devices(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Reported) => ExitCode::from(1),
        Err(CliError::Failed(message)) => {
            output::complain(&format!("error: {message}\n"));
            ExitCode::from(1)
        }
        Err(CliError::Usage(message)) => {
            output::complain(&format!("error: {message}\n\nFor more information, try '--help'.\n"));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
