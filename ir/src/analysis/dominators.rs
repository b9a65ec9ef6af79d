//! Dominators, by the iterative algorithm of Cooper, Harvey and Kennedy over reverse post-order numbers, with
//! preorder intervals on the tree so that a query takes constant time.

use crate::analysis::cfg::ControlFlow;
use crate::entity::Block;

/// The dominator tree of a body's reachable blocks.
#[derive(Clone, Debug, Default)]
pub struct Dominators {
    /// Immediate dominator by reverse post-order position; the entry is its own.
    idom: Vec<u32>,
    /// Preorder number and the largest one in the subtree.
    interval: Vec<(u32, u32)>,
    /// Children lists: first child, next sibling (positions plus one).
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
}

const UNDEFINED: u32 = u32::MAX;

impl Dominators {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the tree, in place of an earlier one.
    pub fn compute(&mut self, cfg: &ControlFlow) {
        let count = cfg.reverse_post_order().len();
        self.idom.clear();
        self.idom.resize(count, UNDEFINED);
        if count == 0 {
            return;
        }
        self.idom[0] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for (n, &block) in cfg.reverse_post_order().iter().enumerate().skip(1) {
                let mut new = UNDEFINED;
                for &(from, _) in cfg.predecessors(block) {
                    let Some(from) = cfg.position(from) else { continue };
                    if self.idom[from] != UNDEFINED {
                        new = if new == UNDEFINED { from as u32 } else { self.intersect(from as u32, new) };
                    }
                }
                changed |= self.idom[n] != new;
                self.idom[n] = new;
            }
        }
        self.number_tree(count);
    }

    fn intersect(&self, mut a: u32, mut b: u32) -> u32 {
        while a != b {
            while a > b {
                a = self.idom[a as usize];
            }
            while b > a {
                b = self.idom[b as usize];
            }
        }
        a
    }

    fn number_tree(&mut self, count: usize) {
        self.first_child.clear();
        self.first_child.resize(count, 0);
        self.next_sibling.clear();
        self.next_sibling.resize(count, 0);
        for n in (1..count).rev() {
            let parent = self.idom[n] as usize;
            self.next_sibling[n] = self.first_child[parent];
            self.first_child[parent] = n as u32 + 1;
        }
        self.interval.clear();
        self.interval.resize(count, (0, 0));
        // A block's descendants come after it in reverse post-order, so sizes add up from the back.
        let mut sizes = vec![1u32; count];
        for n in (1..count).rev() {
            sizes[self.idom[n] as usize] += sizes[n];
        }
        self.interval[0] = (0, sizes[0] - 1);
        for n in 0..count {
            let mut next = self.interval[n].0 + 1;
            let mut child = self.first_child[n];
            while child != 0 {
                let c = child as usize - 1;
                self.interval[c] = (next, next + sizes[c] - 1);
                next += sizes[c];
                child = self.next_sibling[c];
            }
        }
    }

    /// The immediate dominator of a reachable block; none for the entry.
    pub fn immediate(&self, cfg: &ControlFlow, block: Block) -> Option<Block> {
        let n = cfg.position(block)?;
        let parent = *self.idom.get(n)?;
        if n == 0 {
            return None;
        }
        cfg.reverse_post_order().get(parent as usize).copied()
    }

    /// Whether every path to `b` goes through `a`. A block dominates itself; unreachable blocks dominate nothing
    /// and are dominated by nothing.
    pub fn dominates(&self, cfg: &ControlFlow, a: Block, b: Block) -> bool {
        match (cfg.position(a), cfg.position(b)) {
            (Some(a), Some(b)) => {
                let (start, end) = self.interval[a];
                (start..=end).contains(&self.interval[b].0)
            }
            _ => false,
        }
    }

    /// The blocks that a block dominates immediately, in reverse post-order.
    pub fn children<'a>(&'a self, cfg: &'a ControlFlow, block: Block) -> impl Iterator<Item = Block> + 'a {
        let first = cfg.position(block).map_or(0, |n| self.first_child[n]);
        let step = |&n: &u32| (n != 0).then(|| self.next_sibling[n as usize - 1]);
        let nodes = std::iter::successors(Some(first), step).take_while(|&n| n != 0);
        nodes.map(|n| cfg.reverse_post_order()[n as usize - 1])
    }
}
