//! Dispatch: which method a call means for one job.

pub mod view;
