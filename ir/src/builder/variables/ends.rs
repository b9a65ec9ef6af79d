//! What variables are at the ends of blocks.

use crate::builder::Variable;
use crate::entity::{Block, Value};
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;

/// Values of variables at the ends of blocks. A block's first few are a list, in memory next to those of its
/// neighbours; the others of blocks that have many are in a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// First entry of a block's list, plus one, and how many entries it has.
    lists: SecondaryMap<Block, (u32, u32)>,
    entries: Vec<End>,
    others: FxHashMap<(Variable, Block), Value>,
}

#[derive(Clone, Debug)]
struct End {
    variable: Variable,
    value: Value,
    /// The next of the list, plus one.
    next: u32,
}

/// Most entries of a list.
const MAX_LIST: u32 = 8;

impl Ends {
    pub(super) fn clear(&mut self) {
        self.lists.clear();
        self.entries.clear();
        self.others.clear();
    }

    pub(super) fn position(&self, variable: Variable, block: Block) -> Option<usize> {
        let mut next = self.lists[block].0;
        while let Some(n) = next.checked_sub(1) {
            let entry = &self.entries[n as usize];
            if entry.variable == variable {
                return Some(n as usize);
            }
            next = entry.next;
        }
        None
    }

    pub(super) fn get(&self, variable: Variable, block: Block) -> Option<Value> {
        match self.position(variable, block) {
            Some(n) => Some(self.entries[n].value),
            None if self.lists[block].1 < MAX_LIST => None,
            None => self.others.get(&(variable, block)).copied(),
        }
    }

    pub(super) fn set(&mut self, variable: Variable, block: Block, value: Value) {
        if let Some(n) = self.position(variable, block) {
            self.entries[n].value = value;
            return;
        }
        let (first, count) = &mut self.lists[block];
        if *count == MAX_LIST {
            self.others.insert((variable, block), value);
            return;
        }
        self.entries.push(End { variable, value, next: *first });
        *first = self.entries.len() as u32;
        *count += 1;
    }
}
