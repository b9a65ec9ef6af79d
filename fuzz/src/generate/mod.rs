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
pub mod idioms;
pub mod memory;
pub mod control;
pub mod methods;
pub mod text;
pub mod garbage;

/// Bytes for a case of this number: the same on every machine.
pub fn random_bytes(seed: u64) -> Vec<u8> {
    // Marsaglia's xorshift64*.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let length = 64 + next() as usize % 9000;
    (0..length).map(|_| (next() >> 32) as u8).collect()
}
