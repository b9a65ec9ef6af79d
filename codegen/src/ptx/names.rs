//! Symbols: what functions and globals are called in PTX.
//!
//! PTX identifiers are letters, digits, `_` and `$` (PTX ISA 4.4). Names that are such identifiers without `$` stay
//! as they are; in others each other byte becomes `$` and two hexadecimal digits. Names that the emitter makes up
//! start with `$` and a letter that is no such digit, so they meet none of these.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use marquetry_ir::entity::{Func, Global};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashSet;

/// The one identifier that PTX defines and ptxas refuses to see again.
const WARP_SIZE: &str = "WARP_SZ";

/// The symbols of a unit.
pub(super) struct Names {
    funcs: PrimaryMap<Func, String>,
    globals: SecondaryMap<Global, String>,
}

impl Names {
    /// Names everything in a unit. Functions first: hosts know kernels by their names.
    pub(super) fn new(unit: &Unit) -> Names {
        let mut taken = FxHashSet::default();
        let mut funcs = PrimaryMap::with_capacity(unit.funcs.len());
        for function in unit.funcs.values() {
            funcs.push(unique(&function.name, &mut taken));
        }
        let mut globals = SecondaryMap::new();
        for (global, data) in unit.globals.iter() {
            globals[global] = unique(&data.name, &mut taken);
        }
        Names { funcs, globals }
    }

    /// The symbol of a function.
    pub(super) fn func(&self, func: Func) -> &str {
        self.funcs.get(func).map_or("", |name| name)
    }

    /// The symbol of a global.
    pub(super) fn global(&self, global: Global) -> &str {
        &self.globals[global]
    }
}

fn unique(name: &str, taken: &mut FxHashSet<String>) -> String {
    let mut symbol = mangle(name);
    let plain = symbol.len();
    let mut n = 0u32;
    while taken.contains(&symbol) {
        n += 1;
        symbol.truncate(plain);
        symbol.push_str("$n");
        symbol.push_str(&n.to_string());
    }
    taken.insert(symbol.clone());
    symbol
}

fn mangle(name: &str) -> String {
    let mut symbol = String::with_capacity(name.len());
    for (n, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphabetic() || (n > 0 && (byte.is_ascii_digit() || byte == b'_'));
        // A lone `_` is no identifier, so a first `_` is kept only where more follows.
        if plain || (byte == b'_' && name.len() > 1) {
            symbol.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
            symbol.extend(['$', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    if symbol.is_empty() || symbol == WARP_SIZE {
        symbol.push_str("$n");
    }
    symbol
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers_and_stay_apart() {
        let names = ["saxpy", "_x", "f(i32)", "f.i32", "1", "ü", "_", "", "WARP_SZ", "a$b"];
        let mut taken = FxHashSet::default();
        let symbols: Vec<String> = names.iter().map(|name| unique(name, &mut taken)).collect();
        assert_eq!(symbols[0], "saxpy");
        assert_eq!(symbols[3], "f$2ei32");
        for symbol in &symbols {
            assert!(symbol.bytes().all(|b| b.is_ascii_alphanumeric() || b"_$".contains(&b)), "{symbol}");
            assert!(!symbol.starts_with(|c: char| c.is_ascii_digit()), "{symbol}");
        }
        assert_eq!(taken.len(), names.len());
        assert_eq!(unique("saxpy", &mut taken), "saxpy$n1");
    }
}
