//! Natural loops: headers, nesting and membership. Loops entered in two places (irreducible) are not loops here.

use crate::analysis::cfg::ControlFlow;
use crate::analysis::dominators::Dominators;
use crate::entity::Block;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};

/// A natural loop of a body.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loop(u32);
entity_impl!(Loop, "loop");

#[derive(Clone, Debug)]
struct LoopData {
    header: Block,
    parent: PackedOption<Loop>,
    depth: u32,
}

/// The loop forest of a body.
#[derive(Clone, Debug, Default)]
pub struct Loops {
    loops: PrimaryMap<Loop, LoopData>,
    innermost: SecondaryMap<Block, PackedOption<Loop>>,
}

impl Loops {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the forest, in place of an earlier one. A loop's parent has the larger id, because headers are
    /// visited innermost first.
    pub fn compute(&mut self, cfg: &ControlFlow, dominators: &Dominators) {
        self.loops.clear();
        self.innermost.clear();
        let mut stack = Vec::new();
        // Later headers in reverse post-order are inner ones: visit them first, so that an outer loop meets
        // finished inner loops and steps over them to their headers.
        for &header in cfg.reverse_post_order().iter().rev() {
            let back_edges =
                cfg.predecessors(header).iter().filter(|e| dominators.dominates(cfg, header, e.0));
            stack.extend(back_edges.map(|edge| edge.0));
            if stack.is_empty() {
                continue;
            }
            let this = self.loops.push(LoopData { header, parent: None.into(), depth: 0 });
            while let Some(block) = stack.pop() {
                let next = match self.innermost[block].expand() {
                    None => {
                        self.innermost[block] = this.into();
                        (block != header).then_some(block)
                    }
                    Some(inner) => {
                        let outermost = self.outermost(inner);
                        if outermost == this {
                            None
                        } else {
                            self.loops[outermost].parent = this.into();
                            Some(self.loops[outermost].header)
                        }
                    }
                };
                if let Some(block) = next.filter(|&block| block != header) {
                    stack.extend(cfg.predecessors(block).iter().map(|edge| edge.0));
                }
            }
        }
        for n in (0..self.loops.len()).rev() {
            let this = Loop::from_u32(n as u32);
            let depth = self.loops[this].parent.expand().map_or(1, |parent| self.loops[parent].depth + 1);
            self.loops[this].depth = depth;
        }
    }

    fn outermost(&self, mut this: Loop) -> Loop {
        while let Some(parent) = self.loops[this].parent.expand() {
            this = parent;
        }
        this
    }

    /// All loops; a loop's parent comes after it.
    pub fn iter(&self) -> impl Iterator<Item = Loop> + use<> {
        (0..self.loops.len() as u32).map(Loop::from_u32)
    }

    /// The innermost loop that a block is in.
    pub fn innermost(&self, block: Block) -> Option<Loop> {
        self.innermost[block].expand()
    }

    /// The block through which a loop is entered.
    pub fn header(&self, this: Loop) -> Block {
        self.loops[this].header
    }

    /// The loop around a loop.
    pub fn parent(&self, this: Loop) -> Option<Loop> {
        self.loops[this].parent.expand()
    }

    /// How many loops a block is in.
    pub fn depth(&self, block: Block) -> u32 {
        self.innermost(block).map_or(0, |this| self.loops[this].depth)
    }

    /// Whether a block is in a loop or in a loop inside it.
    pub fn contains(&self, this: Loop, block: Block) -> bool {
        let mut at = self.innermost(block);
        while let Some(inner) = at {
            if inner == this {
                return true;
            }
            at = self.parent(inner);
        }
        false
    }
}
