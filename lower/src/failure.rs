//! Why a job did not become an artifact, and whose mistake it was.

use marquetry_ir::diag::Diagnostic;
use std::fmt;

/// A job's failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The program is wrong, or asks for what the target cannot do: the author's to mend.
    Program(Vec<Diagnostic>),
    /// Larger than a [limit](marquetry_ir::limits).
    Limit {
        /// Which limit.
        what: &'static str,
        /// Its value.
        limit: u64,
        /// What the job would have needed.
        found: u64,
    },
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
            Failure::Limit { what, limit, found } => write!(f, "{found} {what}, the most is {limit}"),
            Failure::Job(message) => f.write_str(message),
            Failure::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for Failure {}
