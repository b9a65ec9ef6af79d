//! Names of values and blocks: a side table, so that code without names pays nothing.

use crate::entity::{Block, Value};
use crate::limits::MAX_NAME_BYTES;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Names that authors gave to values and blocks of one body. Copies share them until one of them gets another name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Option<Arc<Tables>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    text: String,
    values: FxHashMap<Value, (u32, u32)>,
    blocks: FxHashMap<Block, (u32, u32)>,
}

impl Names {
    /// Forgets all names.
    pub fn clear(&mut self) {
        match self.0.as_mut().and_then(Arc::get_mut) {
            Some(Tables { text, values, blocks }) => {
                text.clear();
                values.clear();
                blocks.clear();
            }
            None => self.0 = None,
        }
    }

    /// Gives back what the tables hold more than they need.
    pub(crate) fn shrink(&mut self) {
        if let Some(tables) = self.0.as_mut().and_then(Arc::get_mut) {
            tables.text.shrink_to_fit();
        }
    }

    /// The tables, to be changed, with a name in them; none if it is no identifier.
    fn intern(&mut self, name: &str) -> Option<(&mut Tables, (u32, u32))> {
        let well_formed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if name.len() > MAX_NAME_BYTES || !starts_well || !name.chars().all(well_formed) {
            return None;
        }
        let tables = Arc::make_mut(self.0.get_or_insert_default());
        let start = u32::try_from(tables.text.len()).ok()?;
        tables.text.push_str(name);
        let end = u32::try_from(tables.text.len()).ok()?;
        Some((tables, (start, end)))
    }

    /// Names a value. Names that are no identifiers are ignored.
    #[inline]
    pub fn set_value(&mut self, value: Value, name: &str) {
        if let Some((tables, range)) = self.intern(name) {
            tables.values.insert(value, range);
        }
    }

    /// Names a block. Names that are no identifiers are ignored.
    #[inline]
    pub fn set_block(&mut self, block: Block, name: &str) {
        if let Some((tables, range)) = self.intern(name) {
            tables.blocks.insert(block, range);
        }
    }

    fn text(&self, find: impl FnOnce(&Tables) -> Option<&(u32, u32)>) -> Option<&str> {
        let tables = self.0.as_deref()?;
        let &(start, end) = find(tables)?;
        tables.text.get(start as usize..end as usize)
    }

    /// The name of a value.
    #[inline]
    pub fn value(&self, value: Value) -> Option<&str> {
        self.text(|tables| tables.values.get(&value))
    }

    /// The name of a block.
    #[inline]
    pub fn block(&self, block: Block) -> Option<&str> {
        self.text(|tables| tables.blocks.get(&block))
    }

    /// Whether nothing has a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.as_deref().is_none_or(|tables| tables.values.is_empty() && tables.blocks.is_empty())
    }
}
