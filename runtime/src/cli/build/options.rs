//! Which options make sense with what is made: one table, from which the check and the help come.

use super::super::CliError;
use super::super::given::Given;
use crate::aot::Emit;
use std::fmt::Write;
use target_lexicon::{BinaryFormat, OperatingSystem, Triple};

/// What `--emit` names.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in super::super) enum Made {
    /// An object, or what is linked.
    Code(Emit),
    /// What a session loads.
    Image,
}

impl Made {
    /// All of them, in the order of the table's columns.
    const ALL: [Made; 5] = [
        Made::Code(Emit::Object),
        Made::Code(Emit::Static),
        Made::Code(Emit::Shared),
        Made::Code(Emit::Executable),
        Made::Image,
    ];

    /// As the command line spells it.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Made::Code(emit) => emit.name(),
            Made::Image => "image",
        }
    }

    /// What has this name.
    pub(in super::super) fn named(name: &str) -> Result<Made, CliError> {
        super::super::input::one_of("something to emit", name, &Made::ALL, Made::name)
    }

    /// What a file with it is usually called.
    pub(super) fn file_name(self, stem: &str, triple: &Triple) -> String {
        let is_windows = triple.operating_system == OperatingSystem::Windows;
        let is_darwin = triple.binary_format == BinaryFormat::Macho;
        match self {
            Made::Code(Emit::Object) if is_windows => format!("{stem}.obj"),
            Made::Code(Emit::Object) => format!("{stem}.o"),
            Made::Code(Emit::Static) if is_windows => format!("{stem}.lib"),
            Made::Code(Emit::Static) => format!("lib{stem}.a"),
            Made::Code(Emit::Shared) if is_windows => format!("{stem}.dll"),
            Made::Code(Emit::Shared) if is_darwin => format!("lib{stem}.dylib"),
            Made::Code(Emit::Shared) => format!("lib{stem}.so"),
            Made::Code(Emit::Executable) if is_windows => format!("{stem}.exe"),
            Made::Code(Emit::Executable) => stem.to_owned(),
            Made::Image => format!("{stem}.mqi"),
        }
    }

    fn column(self) -> usize {
        Made::ALL.iter().position(|&made| made == self).unwrap_or(0)
    }
}

/// Whether an option, or one of its values, makes sense.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Use {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Where functions and kernels are made into one object, which the linker does.
    Joined,
}

use Use::{Joined, No, Yes};

/// A row: an option, the value that the row is about, if not all of them, and what it is for.
type Row = (&'static str, Option<&'static str>, [Use; 5]);

/// Of every option: with obj, static, shared, exe, image.
const TABLE: [Row; 23] = [
    ("-o", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--header", None, [Yes, Yes, Yes, Yes, No]),
    ("--target", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--entry", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--library", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--device", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--export", None, [Yes, Yes, Yes, Yes, No]),
    ("--relocation", None, [Yes, Yes, Yes, Yes, No]),
    ("--externs", None, [Yes, Yes, Yes, Yes, No]),
    ("--address", None, [Yes, Yes, Yes, Yes, No]),
    ("--linker", None, [Joined, No, Yes, Yes, No]),
    ("--link-arg", None, [Joined, No, Yes, Yes, No]),
    ("--references", Some("patch"), [Yes, Yes, Yes, No, No]),
    ("--references", Some("defer"), [No, No, No, No, No]),
    ("--resolve", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--patches", None, [Yes, Yes, Yes, Yes, No]),
    ("--table", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--host-policy", None, [Yes, Yes, Yes, Yes, No]),
    ("--entry-abi", None, [Yes, Yes, Yes, Yes, Yes]),
    ("-O", None, [Yes, Yes, Yes, Yes, Yes]),
    ("-g", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--threads", None, [Yes, Yes, Yes, Yes, Yes]),
    ("--emit", None, [Yes, Yes, Yes, Yes, Yes]),
];

/// A row's option, with its value, as it is typed.
fn spelled((option, value, _): &Row) -> String {
    value.map_or_else(|| option.to_string(), |value| format!("{option} {value}"))
}

/// The rows that are about options which were given, and what they say of what is made. `references` is what that one is.
fn rows<'a>(given: &'a Given, references: &'a str, made: Made) -> impl Iterator<Item = (&'static Row, Use)> {
    let about =
        move |(option, value, _): &&Row| given.has(option) && value.is_none_or(|value| value == references);
    TABLE.iter().filter(about).map(move |row| (row, row.2.get(made.column()).copied().unwrap_or(No)))
}

/// Refuses options that what is made has no use for.
pub(super) fn check(given: &Given, references: &str, made: Made) -> Result<(), CliError> {
    let Some((row, _)) = rows(given, references, made).find(|(_, used)| *used == No) else { return Ok(()) };
    let others = Made::ALL.iter().zip(row.2).filter(|(_, used)| *used != No);
    let others: Vec<&str> = others.map(|(made, _)| made.name()).collect();
    let others = match others.is_empty() {
        true => "and for nothing else that is built: nobody would write the words".to_owned(),
        false => format!("but for {}", others.join(", ")),
    };
    Err(CliError::Usage(format!("{} is not for --emit {}, {others}", spelled(row), made.name())))
}

/// Refuses options for the linker where functions or kernels alone are an object by themselves.
pub(super) fn check_alone(given: &Given, made: Made) -> Result<(), CliError> {
    let Some((row, _)) = rows(given, "", made).find(|(_, used)| *used == Joined) else { return Ok(()) };
    Err(CliError::Usage(format!(
        "{} is for --emit {} only where functions and kernels become one object: nothing is linked here",
        spelled(row),
        made.name()
    )))
}

/// The table for people: what every kind of result has a use for is left out.
pub(super) fn help() -> String {
    let names = Made::ALL.map(|made| format!("{:<8}", made.name())).concat();
    let mut text = format!("Options by --emit (those that are not here are for all):\n  {:<20}{names}\n", "");
    for row in TABLE.iter().filter(|row| row.2.iter().any(|&used| used != Yes)) {
        let marks = row.2.map(|used| match used {
            Yes => "yes     ",
            No => "-       ",
            Joined => "(yes)   ",
        });
        let line = format!("  {:<20}{}", spelled(row), marks.concat());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("  (yes): where functions and kernels are made into one object, which takes a linker");
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::given::flag;
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn every_option_has_its_row() {
        let command = crate::cli::Cli::command();
        let build = command.find_subcommand("build").expect("the command");
        let options: BTreeSet<String> = build.get_arguments().filter_map(flag).collect();
        let rows: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
        assert_eq!(options, rows);
    }
}
