//! The stages of a job, by name: for dumps, timings, tests and documentation.

/// A stage of a job; what it names is the program or unit after it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Methods in tables, as parsed or built.
    Program,
    /// A closed unit: calls dispatched, bodies monomorphic, every value typed.
    Specialised,
    /// Inlined and optimised.
    Optimised,
    /// Exceptions are statuses and mailboxes.
    Exceptions,
    /// Every op on every type is one that the target has.
    Legal,
    /// The target's code.
    Code,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 6] = {
        use Stage::*;
        [Program, Specialised, Optimised, Exceptions, Legal, Code]
    };

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Program => "program",
            Stage::Specialised => "specialised",
            Stage::Optimised => "optimised",
            Stage::Exceptions => "exceptions",
            Stage::Legal => "legal",
            Stage::Code => "code",
        }
    }

    /// The stage of this name.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }
}
