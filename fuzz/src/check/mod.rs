//! The checks: each takes the fuzzer's input and says what became of the case, or what is wrong.

pub mod text;
pub mod verify;
pub mod passes;
pub mod engines;
pub mod reuse;
pub mod emit;
pub mod halves;
pub mod image;

use crate::generate::choices::Choices;
use crate::generate::methods::Case;
use crate::print::Bug;
use crate::run::{self, End};
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry_ir::program::Program;
use marquetry_ir::unit::Unit;
use marquetry_lower::job::OptLevel;
use marquetry_lower::pipeline;

/// What a check answers.
pub type Checked = Result<Verdict, Bug>;

/// A check by its name.
#[derive(Copy, Clone)]
pub struct Check {
    /// The name, on the command line of `hunt` and of the libFuzzer targets.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&mut Unstructured<'_>) -> Checked,
    /// Runs it on a case, for those that can shrink.
    pub on_case: Option<fn(Case) -> Checked>,
    /// What the check decides before it makes its case.
    pub before: fn(&mut Choices),
}

/// All checks.
pub const ALL: &[Check] = &[
    Check { name: "text_garbage", run: text::garbage, on_case: None, before: nothing },
    Check { name: "text_mutated", run: text::mutated, on_case: None, before: nothing },
    Check { name: "text_roundtrip", run: text::roundtrip, on_case: None, before: nothing },
    Check { name: "verify", run: verify::garbage, on_case: None, before: nothing },
    Check {
        name: "passes",
        run: passes::check,
        on_case: Some(|case| passes::check_case(case, &[])),
        before: |choices| drop(passes::own(choices)),
    },
    Check {
        name: "legal",
        run: passes::check_legal,
        on_case: Some(passes::check_legal_case),
        before: nothing,
    },
    Check { name: "engines", run: engines::check, on_case: Some(engines::check_case), before: nothing },
    Check { name: "reuse", run: reuse::check, on_case: None, before: nothing },
    Check { name: "halves", run: halves::check, on_case: None, before: nothing },
    Check { name: "image", run: image::check, on_case: None, before: nothing },
    Check { name: "emit", run: emit::check, on_case: Some(emit::check_case), before: nothing },
];

fn nothing(_: &mut Choices) {}

/// One input of a check that a fuzzing engine drives.
///
/// # Panics
/// The check found a mistake, which is printed as a filetest: engines notice failures that way.
pub fn fuzz(name: &str, data: &[u8]) {
    for check in ALL.iter().filter(|check| check.name == name) {
        if let Err(bug) = (check.run)(&mut Unstructured::new(data)) {
            panic!("{name}:\n{bug}");
        }
    }
}

/// A case that was read, and how the reference interpreter ends its calls.
pub struct Reference {
    /// The case.
    pub case: Case,
    /// Its program.
    pub program: Program,
    /// The closed unit of its entry.
    pub unit: Unit,
    /// How the calls end.
    pub ends: Vec<End>,
}

impl Reference {
    /// Reads a case and runs it; none if it takes too long.
    ///
    /// # Errors
    /// The case is not as valid as the generator promised.
    pub fn of(case: Case) -> Result<Option<Reference>, Bug> {
        let bug = |what: String| Bug::new(format!("generated program: {what}"), "", case.text.clone());
        let program = run::parse(&case.text).map_err(bug)?;
        let job = run::job(&program, false, OptLevel::None).ok_or_else(|| bug("no entry".into()))?;
        let verified = pipeline::specialised(&program, &job).map_err(|failure| bug(failure.to_string()))?;
        let unit = verified.into_unit();
        let ends = run::calls(&unit, &case, None);
        if ends.contains(&End::Fault(run::OUT_OF_FUEL.into())) {
            return Ok(None);
        }
        if let Some(End::Fault(why)) = ends.iter().find(|end| !end.is_defined()) {
            return Err(bug(why.clone()));
        }
        Ok(Some(Reference { case, program, unit, ends }))
    }

    /// What the case is counted as, if all is well.
    pub fn verdict(&self) -> Verdict {
        let threw = |end: &End| matches!(end, End::Threw(..));
        if self.ends.iter().all(threw) { Verdict::Threw } else { Verdict::Agreed }
    }

    /// Compares with how something else ended the calls.
    ///
    /// # Errors
    /// They differ.
    pub fn compare(&self, what: &str, found: &[End]) -> Result<(), Bug> {
        let differs = |(n, (a, b)): (usize, (&End, &End))| {
            let b = b.clone().shaped_as(a);
            (!a.same(&b)).then_some((n, a.clone(), b))
        };
        let first = self.ends.iter().zip(found).enumerate().find_map(differs);
        match first {
            None if self.ends.len() == found.len() => Ok(()),
            None => Err(self.bug(what, "another number of calls")),
            Some((n, wanted, found)) => {
                Err(self.bug(what, &format!("call {n}: wanted {wanted:?}\nfound {found:?}")))
            }
        }
    }

    /// A bug that this case shows.
    pub fn bug(&self, what: &str, detail: &str) -> Bug {
        Bug::of_case(what, detail, &self.case, &self.ends)
    }
}
