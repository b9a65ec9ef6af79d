//! A failing case as a filetest: it can be saved into the corpus as it is.

use crate::generate::methods::Case;
use crate::run::End;
use marquetry::value::HostValue;
use std::fmt;

/// Something that should not be.
#[derive(Clone, PartialEq, Debug)]
pub struct Bug {
    /// What, in a line: the same for the same mistake, as far as possible.
    pub what: String,
    /// More about it.
    pub detail: String,
    /// The case as text: a program with directives, where it is one.
    pub text: String,
}

impl Bug {
    /// A mistake with a text that shows it.
    pub fn new(what: impl Into<String>, detail: impl Into<String>, text: impl Into<String>) -> Bug {
        Bug { what: what.into(), detail: detail.into(), text: text.into() }
    }

    /// A mistake with a case, and what the reference interpreter says of the calls.
    pub fn of_case(what: impl Into<String>, detail: impl Into<String>, case: &Case, ends: &[End]) -> Bug {
        Bug::new(what, detail, filetest(case, ends))
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "; {}", self.what)?;
        self.detail.lines().try_for_each(|line| writeln!(f, ";   {line}"))?;
        f.write_str(&self.text)
    }
}

/// A value as directives spell it: by its bits.
pub fn spell(value: &HostValue) -> String {
    let ty = value.ty();
    let bits: Vec<String> = value.lanes().iter().map(|lane| format!("{lane:#x}")).collect();
    if ty.is_vector() { format!("{ty} [{}]", bits.join(", ")) } else { format!("{ty} {}", bits.concat()) }
}

fn spell_all(values: &[HostValue]) -> String {
    values.iter().map(spell).collect::<Vec<_>>().join(", ")
}

/// The program with one directive per call.
pub fn filetest(case: &Case, ends: &[End]) -> String {
    let mut text = case.text.trim_end().to_string() + "\n\n";
    for (args, end) in case.calls.iter().zip(ends) {
        let args = spell_all(args);
        let entry = &case.entry;
        text += &match end {
            End::Returned(values) if values.len() == 1 => {
                format!("; run: @{entry}({args}) == {}\n", spell_all(values))
            }
            End::Returned(values) => format!("; run: @{entry}({args}) == ({})\n", spell_all(values)),
            End::Threw(kind, _) => format!("; throws: @{entry}({args}) {kind}\n"),
            End::Fault(why) => format!("; @{entry}({args}): {why}\n"),
        };
    }
    text
}
