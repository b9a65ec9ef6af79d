//! Generators: programs that are valid by construction, mutated texts, and garbage.
//!
//! Programs are written as text, so that every case is a filetest from the start. They always end: loops count,
//! methods call only later ones, irreducible graphs carry fuel. They mean the same everywhere: memory is written before
//! it is read, accesses stay in bounds, addresses never become numbers, and the payload and sign of a NaN, which the
//! language leaves open, never reach an integer.

pub mod choices;
pub mod types;
pub mod body;
pub mod ops;
pub mod memory;
pub mod control;
pub mod methods;
pub mod text;
pub mod garbage;
