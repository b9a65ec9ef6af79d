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
    /// Number in the pre-order of the forest, and the first number behind the loops inside.
    first: u32,
    end: u32,
}

/// The loop forest of a body.
#[derive(Clone, Debug, Default)]
pub struct Loops {
    loops: PrimaryMap<Loop, LoopData>,
    innermost: SecondaryMap<Block, PackedOption<Loop>>,
    scratch: Scratch,
}

/// What is needed while the forest is computed.
#[derive(Clone, Debug, Default)]
struct Scratch {
    stack: Vec<Block>,
    /// For each loop a loop around it, or itself: chains that get shorter as they are walked.
    around: PrimaryMap<Loop, Loop>,
    /// For each loop the number of the next one inside.
    free: Vec<u32>,
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
        let Scratch { mut stack, mut around, free } = std::mem::take(&mut self.scratch);
        around.clear();
        // Later headers in reverse post-order are inner ones: visit them first, so that an outer loop meets
        // finished inner loops and steps over them to their headers.
        for &header in cfg.reverse_post_order().iter().rev() {
            let back_edges =
                cfg.predecessors(header).iter().filter(|e| dominators.dominates(cfg, header, e.0));
            stack.extend(back_edges.map(|edge| edge.0));
            if stack.is_empty() {
                continue;
            }
            let this = self.loops.push(LoopData { header, parent: None.into(), depth: 0, first: 0, end: 0 });
            around.push(this);
            while let Some(block) = stack.pop() {
                let next = match self.innermost[block].expand() {
                    None => {
                        self.innermost[block] = this.into();
                        (block != header).then_some(block)
                    }
                    Some(inner) => {
                        let outermost = outermost(&mut around, inner);
                        if outermost == this {
                            None
                        } else {
                            self.loops[outermost].parent = this.into();
                            around[outermost] = this;
                            Some(self.loops[outermost].header)
                        }
                    }
                };
                if let Some(block) = next.filter(|&block| block != header) {
                    stack.extend(cfg.predecessors(block).iter().map(|edge| edge.0));
                }
            }
        }
        self.scratch = Scratch { stack, around, free };
        self.number();
    }

    /// Depths, and the pre-order that answers what contains what. Parents have the larger ids.
    fn number(&mut self) {
        let ids = (0..self.loops.len() as u32).map(Loop::from_u32);
        // First `end` counts the loop and those inside it, then it is where the next inner loop will be numbered.
        for this in ids.clone() {
            self.loops[this].end += 1;
            let size = self.loops[this].end;
            if let Some(parent) = self.loops[this].parent.expand() {
                self.loops[parent].end += size;
            }
        }
        let mut roots = 0;
        let free = &mut self.scratch.free;
        free.clear();
        free.resize(self.loops.len(), 0);
        for this in ids.rev() {
            let size = self.loops[this].end;
            let parent = self.loops[this].parent.expand();
            let next = parent.map_or(&mut roots, |parent| &mut free[parent.as_u32() as usize]);
            let first = *next;
            *next += size;
            free[this.as_u32() as usize] = first + 1;
            let depth = parent.map_or(1, |parent| self.loops[parent].depth + 1);
            let data = &mut self.loops[this];
            (data.first, data.end, data.depth) = (first, first + size, depth);
        }
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

    /// Whether no loop is inside a loop.
    pub fn is_innermost(&self, this: Loop) -> bool {
        let data = &self.loops[this];
        data.end - data.first == 1
    }

    /// The loop around a loop.
    pub fn parent(&self, this: Loop) -> Option<Loop> {
        self.loops[this].parent.expand()
    }

    /// A loop's number in the pre-order of the forest, and the first number behind the loops inside.
    pub(crate) fn interval(&self, this: Loop) -> (u32, u32) {
        (self.loops[this].first, self.loops[this].end)
    }

    /// How many loops a block is in.
    pub fn depth(&self, block: Block) -> u32 {
        self.innermost(block).map_or(0, |this| self.loops[this].depth)
    }

    /// Whether a block is in a loop or in a loop inside it.
    pub fn contains(&self, this: Loop, block: Block) -> bool {
        let outer = &self.loops[this];
        self.innermost(block).is_some_and(|inner| (outer.first..outer.end).contains(&self.loops[inner].first))
    }
}

/// The end of the chain of loops around a loop.
fn outermost(around: &mut PrimaryMap<Loop, Loop>, mut this: Loop) -> Loop {
    while around[this] != this {
        around[this] = around[around[this]];
        this = around[this];
    }
    this
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::op::Op;
    use crate::types::Type;

    /// Blocks `0..count` with these edges, and their loops.
    fn loops(count: usize, edges: impl Fn(usize) -> Vec<usize>) -> (Vec<Block>, Loops) {
        let mut body = Body::new();
        let blocks: Vec<Block> = (0..count).map(|_| body.make_block()).collect();
        for (n, &block) in blocks.iter().enumerate() {
            body.append_block(block);
            let targets: Vec<_> = edges(n).iter().map(|&to| body.make_block_call(blocks[to], &[])).collect();
            let op = if targets.is_empty() { Op::Unreachable } else { Op::Switch };
            let inst = body.make_inst(op, Type::UNKNOWN, &[], 0);
            body.set_targets(inst, &targets);
            body.append_inst(inst, block);
        }
        let (mut cfg, mut dominators, mut loops) = (ControlFlow::new(), Dominators::new(), Loops::new());
        cfg.compute(&body);
        dominators.compute(&cfg);
        loops.compute(&cfg, &dominators);
        (blocks, loops)
    }

    #[test]
    fn membership_follows_the_forest() {
        // 1 { 2 { 3 } 4 { 5 } } 6 { 7 }
        let edges =
            [vec![1], vec![2], vec![3], vec![2, 4], vec![5], vec![4, 1, 6], vec![7], vec![6, 8], vec![]];
        let (blocks, loops) = loops(edges.len(), |n| edges[n].clone());
        assert_eq!(loops.iter().count(), 4);
        for this in loops.iter() {
            for &block in &blocks {
                let mut at = loops.innermost(block);
                while at.is_some_and(|inner| inner != this) {
                    at = at.and_then(|inner| loops.parent(inner));
                }
                assert_eq!(loops.contains(this, block), at.is_some(), "{this} {block}");
            }
        }
        let depths: Vec<u32> = blocks.iter().map(|&block| loops.depth(block)).collect();
        assert_eq!(depths, [0, 1, 2, 2, 2, 2, 1, 1, 0]);
    }

    #[test]
    fn deep_nests_take_linear_time() {
        // Each block goes on, and back to the first blocks: a nest as deep as there are blocks.
        let count = 200_000;
        let start = std::time::Instant::now();
        let (blocks, loops) = loops(count, |n| match n {
            0 => vec![1],
            n if n + 1 == count => vec![],
            n => vec![n + 1, (n / 2).max(1)],
        });
        let outer = loops.innermost(blocks[1]);
        assert!(outer.is_some_and(|outer| blocks[1..count - 1].iter().all(|&b| loops.contains(outer, b))));
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
