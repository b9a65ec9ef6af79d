//! Names of values and blocks: a side table, so that code without names pays nothing.

use crate::entity::{Block, Value};
use crate::limits::MAX_NAME_BYTES;
use rustc_hash::FxHashMap;

/// Names that authors gave to values and blocks of one body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    text: String,
    values: FxHashMap<Value, (u32, u32)>,
    blocks: FxHashMap<Block, (u32, u32)>,
}

impl Names {
    /// Forgets all names.
    pub fn clear(&mut self) {
        let Self { text, values, blocks } = self;
        text.clear();
        values.clear();
        blocks.clear();
    }

    /// Gives back what the tables hold more than they need.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
    }

    fn intern(&mut self, name: &str) -> Option<(u32, u32)> {
        let well_formed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if name.len() > MAX_NAME_BYTES || !starts_well || !name.chars().all(well_formed) {
            return None;
        }
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.push_str(name);
        Some((start, u32::try_from(self.text.len()).ok()?))
    }

    /// Names a value. Names that are no identifiers are ignored.
    #[inline]
    pub fn set_value(&mut self, value: Value, name: &str) {
        if let Some(range) = self.intern(name) {
            self.values.insert(value, range);
        }
    }

    /// Names a block. Names that are no identifiers are ignored.
    #[inline]
    pub fn set_block(&mut self, block: Block, name: &str) {
        if let Some(range) = self.intern(name) {
            self.blocks.insert(block, range);
        }
    }

    fn text(&self, range: Option<&(u32, u32)>) -> Option<&str> {
        let &(start, end) = range?;
        self.text.get(start as usize..end as usize)
    }

    /// The name of a value.
    #[inline]
    pub fn value(&self, value: Value) -> Option<&str> {
        self.text(self.values.get(&value))
    }

    /// The name of a block.
    #[inline]
    pub fn block(&self, block: Block) -> Option<&str> {
        self.text(self.blocks.get(&block))
    }

    /// Whether nothing has a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.blocks.is_empty()
    }
}
