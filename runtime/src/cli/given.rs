//! Which options stand on the command line. Those that what is asked for has no use for are mistakes, and are never passed
//! over in silence.

use super::CliError;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::collections::BTreeSet;

/// The options that were given to a command, as they are typed: `--entry`, `-o`. Defaults are not among them.
pub(super) struct Given(BTreeSet<String>);

impl Given {
    /// Those of the subcommand in what was matched.
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let own = matches.subcommand().and_then(|(name, own)| Some((command.find_subcommand(name)?, own)));
        let options = own.into_iter().flat_map(|(command, own)| {
            let is_given =
                |arg: &&Arg| own.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            command.get_arguments().filter(is_given).filter_map(flag)
        });
        Given(options.collect())
    }

    /// Whether an option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.0.contains(option)
    }

    /// Refuses an option that was given, for this reason.
    pub(super) fn refuse(&self, option: &str, why: &str) -> Result<(), CliError> {
        if self.has(option) { Err(CliError::Usage(format!("{option}{why}"))) } else { Ok(()) }
    }
}

/// An option as it is typed; none for what stands by itself.
pub(super) fn flag(option: &Arg) -> Option<String> {
    let long = option.get_long().map(|long| format!("--{long}"));
    long.or_else(|| option.get_short().map(|short| format!("-{short}")))
}
