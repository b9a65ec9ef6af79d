//! The control-flow graph: predecessors and reverse post-order.

use crate::body::Body;
use crate::entity::{Block, BlockCall};
use cranelift_entity::{EntityRef, SecondaryMap};

/// Predecessor edges and reverse post-order of a body's reachable blocks.
#[derive(Clone, Debug, Default)]
pub struct ControlFlow {
    order: Vec<Block>,
    /// Position in `order`, plus one; 0 for unreachable blocks.
    position: SecondaryMap<Block, u32>,
    /// Start of a block's edges in `edges`; one more entry closes the last.
    starts: Vec<u32>,
    edges: Vec<(Block, BlockCall)>,
    scratch_stack: Vec<(Block, u32)>,
    scratch_counts: Vec<u32>,
}

impl ControlFlow {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the facts for a body, in place of earlier ones. Costs the number of blocks and edges.
    pub fn compute(&mut self, body: &Body) {
        let Self { order, position, starts, edges, scratch_stack, scratch_counts: _ } = self;
        order.clear();
        position.clear();
        starts.clear();
        edges.clear();
        scratch_stack.clear();
        self.number_blocks(body);
        self.collect_edges(body);
    }

    /// Depth-first with an explicit stack; blocks are emitted when all their successors are done.
    fn number_blocks(&mut self, body: &Body) {
        let Some(entry) = body.entry() else { return };
        self.position[entry] = 1;
        self.scratch_stack.push((entry, 0));
        while let Some((block, next)) = self.scratch_stack.last_mut() {
            let Some(&call) = body.successors(*block).get(*next as usize) else {
                self.order.push(*block);
                self.scratch_stack.pop();
                continue;
            };
            *next += 1;
            let target = body.target_block(call);
            if self.position[target] == 0 {
                self.position[target] = 1;
                self.scratch_stack.push((target, 0));
            }
        }
        self.order.reverse();
        for (n, &block) in self.order.iter().enumerate() {
            self.position[block] = n as u32 + 1;
        }
    }

    fn collect_edges(&mut self, body: &Body) {
        let mut counts = std::mem::take(&mut self.scratch_counts);
        counts.clear();
        counts.resize(self.order.len() + 1, 0);
        let each = |order: &[Block], f: &mut dyn FnMut(Block, BlockCall)| {
            for &block in order {
                body.successors(block).iter().for_each(|&call| f(block, call));
            }
        };
        let position = &self.position;
        let at = |call: BlockCall| position[body.target_block(call)] as usize - 1;
        each(&self.order, &mut |_, call| counts[at(call) + 1] += 1);
        for n in 1..counts.len() {
            counts[n] += counts[n - 1];
        }
        self.starts.clone_from(&counts);
        let total = counts.last().copied().unwrap_or(0) as usize;
        self.edges.resize(total, (Block::new(0), BlockCall::new(0)));
        let edges = &mut self.edges;
        each(&self.order, &mut |block, call| {
            let slot = &mut counts[at(call)];
            edges[*slot as usize] = (block, call);
            *slot += 1;
        });
        self.scratch_counts = counts;
    }

    /// Reachable blocks, each before its successors except along back edges; the entry first.
    #[inline]
    pub fn reverse_post_order(&self) -> &[Block] {
        &self.order
    }

    /// Position of a block in the reverse post-order; none if unreachable.
    #[inline]
    pub fn position(&self, block: Block) -> Option<usize> {
        (self.position[block] as usize).checked_sub(1)
    }

    /// Whether control can reach a block.
    #[inline]
    pub fn is_reachable(&self, block: Block) -> bool {
        self.position[block] != 0
    }

    /// The edges that enter a block from reachable blocks.
    #[inline]
    pub fn predecessors(&self, block: Block) -> &[(Block, BlockCall)] {
        let Some(n) = self.position(block) else { return &[] };
        match (self.starts.get(n), self.starts.get(n + 1)) {
            (Some(&start), Some(&end)) => &self.edges[start as usize..end as usize],
            _ => &[],
        }
    }
}
