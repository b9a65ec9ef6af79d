//! Where a table has an entry of some value: a hash table of numbers, with nothing but the numbers in it.
//!
//! Bodies have few constants and symbols, so that a short table is searched as it is. A longer one gets slots with
//! linear probing, four bytes each, that are copied with the body as they are.

use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// Tables up to this length are searched without slots.
const SHORT: usize = 8;

/// The slots; a number plus one in each that is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    slots: Vec<u32>,
}

fn start(key: &impl Hash, mask: usize) -> usize {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish() as usize & mask
}

impl Index {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// The number of an entry that equals `key`, in a table of this length.
    pub(super) fn find<'a, T: Hash + Eq + 'a>(
        &self,
        len: usize,
        key: &T,
        entry: impl Fn(u32) -> &'a T,
    ) -> Option<u32> {
        if self.slots.is_empty() {
            return (0..len as u32).find(|&number| entry(number) == key);
        }
        let mask = self.slots.len() - 1;
        let mut at = start(key, mask);
        loop {
            match self.slots.get(at).copied()?.checked_sub(1) {
                None => return None,
                Some(number) if entry(number) == key => return Some(number),
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    /// Takes note of the last entry of a table that has now this length.
    pub(super) fn grow<'a, T: Hash + 'a>(&mut self, len: usize, entry: impl Fn(u32) -> &'a T) {
        if len <= SHORT {
            return;
        }
        let mut first = len - 1;
        // At most two of three slots are taken.
        if self.slots.len() * 2 < len * 3 {
            let count = (len * 2).next_power_of_two();
            self.slots.clear();
            self.slots.resize(count, 0);
            first = 0;
        }
        let mask = self.slots.len() - 1;
        for number in first as u32..len as u32 {
            let mut at = start(entry(number), mask);
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = number + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let mut index = Index::default();
        let mut table: Vec<u64> = Vec::new();
        for n in 0..1000u64 {
            let key = n * 64;
            assert_eq!(index.find(table.len(), &key, |id| &table[id as usize]), None);
            table.push(key);
            index.grow(table.len(), |id| &table[id as usize]);
            for (id, key) in table.iter().enumerate().step_by(97) {
                assert_eq!(index.find(table.len(), key, |id| &table[id as usize]), Some(id as u32));
            }
        }
        index.clear();
        assert_eq!(index.find(0, &64, |id| &table[id as usize]), None);
    }
}
