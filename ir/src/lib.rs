//! Marquetry's language and its data: types, the op table, SSA bodies, methods in tables, text, verifier and
//! reference interpreter. No target, no policy.
//!
//! A [`Program`](program::Program) holds methods in tables. One job's dispatch and specialisation turn it into a
//! [`Unit`](unit::Unit): closed, monomorphic, every value typed. Both hold code as a [`Body`](body::Body): SSA with
//! block parameters in flat tables of dense ids.
//!
//! Every op computes something or throws; nothing but memory access, and calling an address, can be undefined: where the
//! place is invalid. What each op means is one row of the [op table](op).
#![forbid(unsafe_code)]

pub mod limits;
pub mod entity;
pub mod span;
pub mod lines;
pub mod diag;
pub mod near;
pub mod threads;
pub mod types;
pub mod signature;
pub mod op;
pub mod exception;
pub mod query;
pub mod constant;
pub mod semantics;
pub mod inst;
pub mod names;
pub mod body;
mod chunks;
pub mod print_format;
pub mod program;
pub mod library;
pub mod unit;
pub mod infer;
pub mod builder;
pub mod analysis;
pub mod text;
pub mod verify;
pub mod interp;
pub mod reference;
