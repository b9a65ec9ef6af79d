//! Marquetry's algorithms: from methods to code that is monomorphic, optimised and legal for one target.
#![forbid(unsafe_code)]

pub mod stage;
pub mod target;
pub mod failure;
pub mod report;
pub mod job;
pub mod dispatch;
pub mod runtime;
pub mod specialise;
pub mod call_graph;
pub mod inline;
pub mod observe;
mod parallel;
pub mod query;
pub mod hooks;
pub mod passes;
pub mod effects;
pub mod evaluate;
pub mod optimise;
pub mod fold;
pub mod legal;
mod fresh;
mod throw_at;
pub mod references;
mod known_slots;
pub mod exceptions;
pub mod convergence;
pub mod validate;
pub mod kernel_abi;
pub mod legalise;
pub mod pipeline;
