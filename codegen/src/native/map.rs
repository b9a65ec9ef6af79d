//! What the addresses of code in memory stand for: for hosts that show where their programs are, and for profilers.

use super::debug::Known;
use cranelift_module::FuncId;
use marquetry_ir::body::Frame;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::fmt::Write;

/// Functions and places of a [`JitCode`](super::JitCode), by address. Empty for code without debug information.
#[derive(Clone, Debug, Default)]
pub struct CodeMap {
    /// In ascending order; none overlaps another.
    functions: Vec<MappedFunction>,
    /// Start and end of code of one place, in ascending order.
    rows: Vec<(usize, usize, u32)>,
    places: Vec<Box<[Frame]>>,
}

/// A function in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedFunction {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: usize,
    /// How many bytes it has.
    pub size: usize,
}

impl CodeMap {
    pub(super) fn new(unit: &Unit, known: &[Known], address: impl Fn(FuncId) -> usize) -> Self {
        let mut map = CodeMap::default();
        let mut numbers = FxHashMap::default();
        for code in known {
            let start = address(code.id);
            map.functions.push(MappedFunction {
                name: code.name.clone(),
                address: start,
                size: code.size as usize,
            });
            let Some((func, function)) = code.func.and_then(|func| Some((func, unit.funcs.get(func)?)))
            else {
                continue;
            };
            for row in &code.rows {
                let Some(origin) = row.origin else { continue };
                let number = *numbers.entry((func, origin)).or_insert_with(|| {
                    map.places.push(function.frames(origin).owned().collect());
                    map.places.len() as u32 - 1
                });
                map.rows.push((start + row.start as usize, start + row.end as usize, number));
            }
        }
        map.functions.sort_by_key(|function| function.address);
        map.rows.sort_unstable();
        map
    }

    /// The functions, in the order of their addresses.
    pub fn functions(&self) -> &[MappedFunction] {
        &self.functions
    }

    /// The function that an address is in.
    pub fn function(&self, address: usize) -> Option<&MappedFunction> {
        let behind = self.functions.partition_point(|function| function.address <= address);
        let found = self.functions.get(behind.checked_sub(1)?)?;
        (address - found.address < found.size).then_some(found)
    }

    /// Where the code at an address comes from: its function first, then those that it was inlined into. For the
    /// address that a call returns to, ask for the byte before it.
    pub fn lookup(&self, address: usize) -> Option<&[Frame]> {
        let behind = self.rows.partition_point(|row| row.0 <= address);
        let &(_, end, number) = self.rows.get(behind.checked_sub(1)?)?;
        self.places.get(number as usize).filter(|_| address < end).map(|frames| &**frames)
    }

    /// The functions as `perf` reads them from `/tmp/perf-PID.map`, a file that hosts write.
    pub fn perf_map(&self) -> String {
        let mut text = String::new();
        for MappedFunction { name, address, size } in &self.functions {
            let _ = writeln!(text, "{address:x} {size:x} {name}");
        }
        text
    }
}
