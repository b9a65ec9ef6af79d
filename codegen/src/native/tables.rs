//! What the translation of a function looks up, kept from function to function.

use super::debug::Notes;
use cranelift_codegen::ir;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::{Block, Extern, Func, Global, Inst, Value};

/// What a function of CLIF may call by name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Callee {
    Func(Func),
    Extern(Extern),
    Copy,
    Set,
    Clock,
}

/// A map whose entries are forgotten all at once, in no time.
pub(super) struct Stamped<K: EntityRef, V: Clone> {
    stamp: u32,
    entries: SecondaryMap<K, (u32, Option<V>)>,
}

impl<K: EntityRef, V: Clone> Default for Stamped<K, V> {
    fn default() -> Self {
        Stamped { stamp: 1, entries: SecondaryMap::with_default((0, None)) }
    }
}

impl<K: EntityRef, V: Clone + Copy> Stamped<K, V> {
    fn forget(&mut self) {
        self.stamp += 1;
    }

    pub(super) fn get(&self, key: K) -> Option<V> {
        match self.entries.get(key) {
            Some(&(stamp, value)) if stamp == self.stamp => value,
            _ => None,
        }
    }

    pub(super) fn set(&mut self, key: K, value: V) {
        self.entries[key] = (self.stamp, Some(value));
    }
}

/// Tables that are reused from function to function.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) values: SecondaryMap<Value, PackedOption<ir::Value>>,
    pub(super) blocks: SecondaryMap<Block, PackedOption<ir::Block>>,
    pub(super) funcs: Stamped<Func, ir::FuncRef>,
    pub(super) externs: Stamped<Extern, ir::FuncRef>,
    pub(super) globals: Stamped<Global, ir::GlobalValue>,
    pub(super) library: [Option<ir::FuncRef>; 3],
    pub(super) flow: ControlFlow,
    /// Numbers of the ops where work-items meet, in the order of the code.
    pub(super) sites: SecondaryMap<Inst, u32>,
    pub(super) args: Vec<ir::Value>,
    pub(super) edge: Vec<ir::BlockArg>,
    /// For debuggers.
    pub(super) notes: Notes,
}

impl Tables {
    /// For another unit, whose ids mean something else.
    pub(super) fn start_function(&mut self) {
        self.values.clear();
        self.blocks.clear();
        self.funcs.forget();
        self.externs.forget();
        self.globals.forget();
        self.library = [None; 3];
    }
}
