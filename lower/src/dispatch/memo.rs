//! Remembered answers: a signature is interned once, and its answer read without lock and without allocation.
//!
//! A memo belongs to one program, view and world, in which answers cannot change. Reading an answer that is there is two
//! array accesses; rows are made in blocks that double in size and never move.

use super::resolve::{LookUp, look_up};
use super::view::View;
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::{OnceLock, PoisonError, RwLock};

/// An interned name with argument types, of one memo.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignatureId(u32);

#[derive(Debug)]
struct Row {
    name: Box<str>,
    arguments: Box<[Type]>,
    answer: OnceLock<LookUp>,
}

/// Blocks of 64, 64, 128, 256 ... rows.
const BLOCKS: usize = 27;
const FIRST_BITS: u32 = 6;

/// Answers of one program in one world through one view.
#[derive(Debug)]
pub struct Memo {
    view: View,
    blocks: [OnceLock<Box<[OnceLock<Row>]>>; BLOCKS],
    /// Ids by hash; several where hashes collide.
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    ids: FxHashMap<u64, Vec<u32>>,
    count: u32,
}

impl Memo {
    /// A memo without answers, pinned to the present world if the view is to none.
    pub fn new(program: &Program, view: &View) -> Self {
        let world = view.world(program);
        Memo {
            view: view.clone().at(world),
            blocks: [const { OnceLock::new() }; BLOCKS],
            index: RwLock::new(Index::default()),
        }
    }

    /// The id of a signature; none if there are too many.
    pub fn intern(&self, name: &str, arguments: &[Type]) -> Option<SignatureId> {
        let mut hasher = FxHasher::default();
        (name, arguments).hash(&mut hasher);
        let hash = hasher.finish();
        let is_it =
            |&&id: &&u32| self.row(id).is_some_and(|row| *row.name == *name && *row.arguments == *arguments);
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = index.ids.get(&hash).and_then(|ids| ids.iter().find(is_it)) {
            return Some(SignatureId(id));
        }
        drop(index);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(&id) = index.ids.get(&hash).and_then(|ids| ids.iter().find(is_it)) {
            return Some(SignatureId(id));
        }
        let id = index.count;
        let (block, at) = place(id);
        let rows = self.blocks.get(block)?.get_or_init(|| {
            let size = 1usize << (FIRST_BITS + (block as u32).saturating_sub(1));
            (0..size).map(|_| OnceLock::new()).collect()
        });
        let row = Row { name: name.into(), arguments: arguments.into(), answer: OnceLock::new() };
        rows.get(at)?.set(row).ok()?;
        index.count += 1;
        index.ids.entry(hash).or_default().push(id);
        Some(SignatureId(id))
    }

    fn row(&self, id: u32) -> Option<&Row> {
        let (block, at) = place(id);
        self.blocks.get(block)?.get()?.get(at)?.get()
    }

    /// What a call means: remembered, or looked up now. The program must be the one that the memo was made for, or
    /// a later state of it.
    pub fn look_up(&self, program: &Program, signature: SignatureId) -> Option<LookUp> {
        let row = self.row(signature.0)?;
        Some(*row.answer.get_or_init(|| look_up(program, &self.view, &row.name, &row.arguments)))
    }
}

/// The block that holds a row, and where in it.
fn place(id: u32) -> (usize, usize) {
    let high = (id >> FIRST_BITS).checked_ilog2().map_or(0, |log| log + 1);
    let start = if high == 0 { 0 } else { 1 << (FIRST_BITS + high - 1) };
    (high as usize, (id - start) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other() {
        let mut want = (0, 0);
        for id in 0..5000 {
            assert_eq!(place(id), want, "{id}");
            let size = 1usize << (FIRST_BITS as usize + want.0.saturating_sub(1));
            want = if want.1 + 1 == size { (want.0 + 1, 0) } else { (want.0, want.1 + 1) };
        }
        assert!(place(u32::MAX).0 < BLOCKS);
    }
}
