//! Which options stand on the command line, and which of them what is asked for has no use for: those are mistakes, and are
//! never passed over in silence.

use super::CliError;
use clap::ArgMatches;
use clap::parser::ValueSource;

/// The options of a command that were given, defaults not among them.
pub(super) struct Given(Option<ArgMatches>);

impl Given {
    /// Those of the command in what was matched.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        Given(matches.subcommand().map(|(_, own)| own.clone()))
    }

    /// Whether an option was given, by the name of its field.
    pub(super) fn has(&self, id: &str) -> bool {
        let source = self.0.as_ref().and_then(|own| own.value_source(id));
        source == Some(ValueSource::CommandLine)
    }

    /// Refuses an option that was given, for this reason.
    pub(super) fn refuse(&self, id: &str, why: &str) -> Result<(), CliError> {
        if self.has(id) { Err(CliError::Usage(format!("{}{why}", flag(id)))) } else { Ok(()) }
    }
}

/// An option as it is typed, by the name of its field.
pub(super) fn flag(id: &str) -> String {
    match id {
        "output" => "-o".to_owned(),
        "opt_level" => "-O".to_owned(),
        "debug_level" => "-g".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}
