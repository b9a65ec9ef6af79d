//! Legalised code computes what the code before computes, whatever the target lacks.

mod ops;
mod programs;
mod target;
