//! Sets of destinations under way: one or two nearly always, any number in graphs that are made for it.

use super::graph::Node;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Up to this many are listed.
const FEW: usize = 8;

/// A set of nodes.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The members, in any order, while `many` is empty.
    few: SmallVec<[Node; 4]>,
    /// The members, once they were more than a few.
    many: BTreeSet<Node>,
}

impl Pending {
    /// The set of one.
    pub(super) fn one(node: Node) -> Self {
        let mut set = Self::default();
        set.few.push(node);
        set
    }

    pub(super) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Any member.
    pub(super) fn first(&self) -> Option<Node> {
        self.few.first().or_else(|| self.many.first()).copied()
    }

    pub(super) fn insert(&mut self, node: Node) {
        if !self.many.is_empty() {
            self.many.insert(node);
        } else if !self.few.contains(&node) {
            self.few.push(node);
            if self.few.len() > FEW {
                self.many.extend(self.few.drain(..));
            }
        }
    }

    /// Takes a node out; whether it was there.
    pub(super) fn remove(&mut self, node: &Node) -> bool {
        match self.few.iter().position(|other| other == node) {
            Some(at) => {
                self.few.swap_remove(at);
                true
            }
            None => self.many.remove(node),
        }
    }

    /// Calls `f` with each member.
    pub(super) fn for_each(&self, mut f: impl FnMut(Node)) {
        self.few.iter().for_each(|&node| f(node));
        self.many.iter().for_each(|&node| f(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_sets_hold_what_was_put_in() {
        for count in [0u32, 1, 4, FEW as u32, FEW as u32 + 1, 100] {
            let mut set = Pending::default();
            (0..count).chain(0..count).for_each(|n| set.insert(n * 3));
            assert_eq!(set.len(), count as usize);
            assert!(!set.remove(&1));
            let mut sum = 0;
            set.for_each(|node| sum += node);
            assert_eq!(sum, (0..count).map(|n| n * 3).sum());
            assert!(
                (0..count).rev().all(|n| set.remove(&(n * 3))) && set.is_empty() && set.first().is_none()
            );
        }
    }
}
