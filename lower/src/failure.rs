//! Why a job did not become an artifact, and whose mistake it was.

use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::span::Span;
use std::fmt;
use std::sync::Arc;

/// A limit that was passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// What there is too much of.
    pub what: &'static str,
    /// The most there can be.
    pub limit: u64,
    /// How much there is.
    pub found: u64,
    /// The function and where in it; none if it is about the whole unit.
    pub place: Option<LimitPlace>,
}

/// Where a limit was passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitPlace {
    /// The function or global.
    pub name: Arc<str>,
    /// Its source file.
    pub file: Option<u32>,
    /// Where in it.
    pub span: Span,
}

impl Limit {
    /// A limit that was passed, somewhere.
    pub fn new(what: &'static str, limit: u64, found: u64) -> Self {
        Limit { what, limit, found, place: None }
    }

    /// In this function or global, unless the place is known already.
    #[must_use]
    pub fn at(mut self, name: &Arc<str>, file: Option<u32>, span: Span) -> Self {
        self.place.get_or_insert_with(|| LimitPlace { name: name.clone(), file, span });
        self
    }

    /// As a diagnostic of the program.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = self.to_string();
        match &self.place {
            Some(LimitPlace { name, file, span }) => {
                Diagnostic::error(Code::Limit, *file, *span, message).with_note(format!("in '{name}'"))
            }
            None => Diagnostic::error(Code::Limit, None, Span::NOWHERE, message),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, the most is {}", self.found, self.what, self.limit)
    }
}

/// A job's failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The program is wrong, or asks for what the target cannot do: the author's to mend.
    Program(Vec<Diagnostic>),
    /// Larger than a [limit](marquetry_ir::limits).
    Limit(Limit),
    /// The job itself is wrong: no such entry, a kernel where a function is wanted.
    Job(String),
    /// Marquetry is wrong: please report it.
    Internal(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Program(diagnostics) => {
                let lines = diagnostics.iter().map(|d| d.message.as_str()).collect::<Vec<_>>();
                f.write_str(&lines.join("; "))
            }
            Failure::Limit(limit) => limit.fmt(f),
            Failure::Job(message) => f.write_str(message),
            Failure::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for Failure {}
