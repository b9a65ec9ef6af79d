//! Dispatch: which method a call means for one job.
//!
//! A [view] is an ordered stack of tables in one world. The first table with an applicable method decides, even
//! where a lower one holds a more specific method; inside a table the most specific applicable method wins, and two that
//! neither is more specific are ambiguous, which is reported where a call meets them.

pub mod pattern;
pub mod specificity;
pub mod view;
pub mod resolve;
pub mod resolve_naive;
pub mod memo;
pub mod explain;
pub mod lints;
pub mod edges;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_random;
