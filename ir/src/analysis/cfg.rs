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
    scratch: Scratch,
}

/// What is needed while the facts are computed.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// All edges with their targets, those of a block one after the other.
    leaving: Vec<(BlockCall, Block)>,
    /// Per block of `order`: where its edges are in `leaving`.
    ranges: Vec<(u32, u32)>,
    stack: Vec<Visit>,
    counts: Vec<u32>,
}

/// A block whose successors are being visited.
#[derive(Copy, Clone, Debug)]
struct Visit {
    block: Block,
    /// Its edges, and the next one to follow.
    start: u32,
    next: u32,
    end: u32,
}

impl Scratch {
    #[inline]
    fn enter(&mut self, block: Block, successors: &impl Fn(Block, &mut Vec<(BlockCall, Block)>)) {
        let start = self.leaving.len() as u32;
        successors(block, &mut self.leaving);
        self.stack.push(Visit { block, start, next: start, end: self.leaving.len() as u32 });
    }
}

impl ControlFlow {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the facts for a body, in place of earlier ones. Costs the number of blocks and edges.
    pub fn compute(&mut self, body: &Body) {
        self.compute_graph(body.block_count(), body.entry(), |block, leaving| {
            let calls = body.successors(block).iter();
            leaving.extend(calls.map(|&call| (call, body.target_block(call))));
        });
    }

    /// Computes the facts for any graph of this many blocks whose edges `successors` appends, in place of earlier ones.
    pub fn compute_graph(
        &mut self,
        blocks: usize,
        entry: Option<Block>,
        successors: impl Fn(Block, &mut Vec<(BlockCall, Block)>),
    ) {
        let Self { order, position, starts, edges, scratch } = self;
        let Scratch { leaving, ranges, stack, counts } = scratch;
        order.clear();
        position.clear();
        position.resize(blocks);
        starts.clear();
        edges.clear();
        leaving.clear();
        ranges.clear();
        stack.clear();
        counts.clear();
        // Most blocks have two edges at most; a fresh table then grows once.
        order.reserve(blocks);
        ranges.reserve(blocks);
        stack.reserve(blocks);
        leaving.reserve(blocks * 2);
        self.number_blocks(entry, &successors);
        self.collect_edges();
    }

    /// Depth-first with an explicit stack; blocks are emitted when all their successors are done. A block's
    /// terminator is looked at once.
    fn number_blocks(
        &mut self,
        entry: Option<Block>,
        successors: &impl Fn(Block, &mut Vec<(BlockCall, Block)>),
    ) {
        let Self { order, position, scratch, .. } = self;
        let Some(entry) = entry else { return };
        position[entry] = 1;
        scratch.enter(entry, successors);
        while let Some(visit) = scratch.stack.last_mut() {
            if visit.next == visit.end {
                order.push(visit.block);
                scratch.ranges.push((visit.start, visit.end));
                scratch.stack.pop();
                continue;
            }
            let (_, target) = scratch.leaving[visit.next as usize];
            visit.next += 1;
            if position[target] == 0 {
                position[target] = 1;
                scratch.enter(target, successors);
            }
        }
        order.reverse();
        scratch.ranges.reverse();
        for (n, &block) in order.iter().enumerate() {
            position[block] = n as u32 + 1;
        }
    }

    /// Sorts the edges by their target; those into one block are in the order of the blocks that they leave.
    fn collect_edges(&mut self) {
        let Self { order, position, starts, edges, scratch } = self;
        let Scratch { leaving, ranges, counts, .. } = scratch;
        starts.resize(order.len() + 1, 0);
        for &(_, target) in leaving.iter() {
            starts[position[target] as usize] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        counts.extend_from_slice(starts);
        edges.resize(leaving.len(), (Block::new(0), BlockCall::new(0)));
        for (&block, &(start, end)) in order.iter().zip(ranges.iter()) {
            for &(call, target) in &leaving[start as usize..end as usize] {
                let slot = &mut counts[position[target] as usize - 1];
                edges[*slot as usize] = (block, call);
                *slot += 1;
            }
        }
    }

    /// How many edges leave reachable blocks.
    pub(crate) fn edge_count(&self) -> usize {
        self.edges.len()
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
