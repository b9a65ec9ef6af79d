//! Facts about a body, computed on demand into reusable tables. A pass that changes edges drops them.

pub mod cfg;
pub mod dominators;
pub mod loops;
