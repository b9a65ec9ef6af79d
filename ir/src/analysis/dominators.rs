//! Dominators, with preorder intervals on the tree so that a query takes constant time.
//!
//! Two algorithms. The iterative one (Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", 2001) is the
//! faster one on nearly all code, but it walks up the tree for every edge, and a long function whose blocks all have an
//! edge to one exit (checks that throw, say) makes that quadratic. So its steps are counted, and where they are more than
//! a multiple of the edges, the algorithm of Lengauer and Tarjan ("A Fast Algorithm for Finding Dominators in a
//! Flowgraph", TOPLAS 1979) in its simple form starts over.

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
    /// Subtree sizes, while the tree is numbered.
    sizes: Vec<u32>,
}

/// A depth-first spanning tree and, as the algorithm links it together, the forest on it. Blocks are numbered in
/// preorder, the entry is 0.
struct Forest {
    /// Reverse post-order position by preorder number, and the inverse.
    order: Vec<u32>,
    number: Vec<u32>,
    /// Parent in the spanning tree.
    parent: Vec<u32>,
    /// Semidominator; the block's own number before it is known.
    semi: Vec<u32>,
    /// Ancestor in the forest, none for roots; and the block with the least semidominator on the way to there.
    ancestor: Vec<u32>,
    label: Vec<u32>,
    path: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Steps of the iterative algorithm per block and edge: two rounds and short walks.
const STEPS_PER_EDGE: usize = 8;

impl Forest {
    fn new(cfg: &ControlFlow) -> Self {
        let blocks = cfg.reverse_post_order();
        let count = blocks.len();
        let (starts, successors) = successors(cfg);
        let (mut order, mut number, mut parent) =
            (Vec::with_capacity(count), vec![NONE; count], vec![0; count]);
        let mut stack = vec![(0u32, 0u32)];
        while let Some((at, from)) = stack.pop() {
            if number[at as usize] != NONE {
                continue;
            }
            number[at as usize] = order.len() as u32;
            parent[order.len()] = from;
            let this = order.len() as u32;
            order.push(at);
            let (start, end) = (starts[at as usize] as usize, starts[at as usize + 1] as usize);
            stack.extend(successors[start..end].iter().rev().map(|&to| (to, this)));
        }
        let own: Vec<u32> = (0..count as u32).collect();
        let (semi, label, ancestor) = (own.clone(), own, vec![NONE; count]);
        Forest { order, number, parent, semi, ancestor, label, path: Vec::new() }
    }

    /// The block with the least semidominator between a block and the root of its tree; halves the paths it walks.
    fn evaluate(&mut self, block: u32) -> u32 {
        if self.ancestor[block as usize] == NONE {
            return block;
        }
        let mut at = block;
        while self.ancestor[self.ancestor[at as usize] as usize] != NONE {
            self.path.push(at);
            at = self.ancestor[at as usize];
        }
        while let Some(below) = self.path.pop() {
            let (above, below) = (self.ancestor[below as usize] as usize, below as usize);
            if self.semi[self.label[above] as usize] < self.semi[self.label[below] as usize] {
                self.label[below] = self.label[above];
            }
            self.ancestor[below] = self.ancestor[above];
        }
        self.label[block as usize]
    }

    /// Immediate dominators by preorder number.
    fn immediate_dominators(&mut self, cfg: &ControlFlow) -> Vec<u32> {
        let count = self.order.len();
        let mut idom = vec![0u32; count];
        // Blocks by their semidominator: first of a list, next in the list.
        let (mut first, mut next) = (vec![NONE; count], vec![NONE; count]);
        for n in (1..count).rev() {
            let block = cfg.reverse_post_order()[self.order[n] as usize];
            for &(from, _) in cfg.predecessors(block) {
                let Some(from) = cfg.position(from) else { continue };
                let best = self.evaluate(self.number[from]);
                self.semi[n] = self.semi[n].min(self.semi[best as usize]);
            }
            let semi = self.semi[n] as usize;
            next[n] = std::mem::replace(&mut first[semi], n as u32);
            let parent = self.parent[n];
            self.ancestor[n] = parent;
            let mut at = std::mem::replace(&mut first[parent as usize], NONE);
            while at != NONE {
                let best = self.evaluate(at);
                let lower = self.semi[best as usize] < self.semi[at as usize];
                idom[at as usize] = if lower { best } else { parent };
                at = next[at as usize];
            }
        }
        for n in 1..count {
            if idom[n] != self.semi[n] {
                idom[n] = idom[idom[n] as usize];
            }
        }
        idom
    }
}

/// Successors by reverse post-order position: where a block's list starts, and all lists.
fn successors(cfg: &ControlFlow) -> (Vec<u32>, Vec<u32>) {
    let blocks = cfg.reverse_post_order();
    let mut starts = vec![0u32; blocks.len() + 1];
    let each = |f: &mut dyn FnMut(usize, u32)| {
        for (n, &block) in blocks.iter().enumerate() {
            let sources = cfg.predecessors(block).iter().filter_map(|&(from, _)| cfg.position(from));
            sources.for_each(|from| f(from, n as u32));
        }
    };
    each(&mut |from, _| starts[from + 1] += 1);
    for n in 1..starts.len() {
        starts[n] += starts[n - 1];
    }
    let mut fill = starts.clone();
    let mut list = vec![0; starts.last().map_or(0, |&total| total as usize)];
    each(&mut |from, to| {
        list[fill[from] as usize] = to;
        fill[from] += 1;
    });
    (starts, list)
}

impl Dominators {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the tree, in place of an earlier one. Costs O(edges * log blocks), whatever the shape.
    pub fn compute(&mut self, cfg: &ControlFlow) {
        let count = cfg.reverse_post_order().len();
        self.idom.clear();
        if count == 0 {
            return;
        }
        if !self.iterate(cfg, STEPS_PER_EDGE * (count + cfg.edge_count())) {
            self.lengauer_tarjan(cfg);
        }
        self.number_tree(count);
    }

    /// The iterative algorithm, as far as `steps` go. Says whether it came to its end.
    fn iterate(&mut self, cfg: &ControlFlow, mut steps: usize) -> bool {
        let blocks = cfg.reverse_post_order();
        let idom = &mut self.idom;
        idom.clear();
        idom.resize(blocks.len(), NONE);
        idom[0] = 0;
        // The edges that go back, as the first round meets them: from where, and where to.
        let back = &mut self.sizes;
        back.clear();
        for round in 0.. {
            let mut changed = false;
            for (n, &block) in blocks.iter().enumerate().skip(1) {
                let mut best = NONE;
                for &(from, _) in cfg.predecessors(block) {
                    let Some(from) = cfg.position(from) else { continue };
                    if round == 0 && from >= n {
                        back.extend([from as u32, n as u32]);
                    }
                    if idom[from] == NONE {
                        continue;
                    }
                    let (mut a, mut b) = (from as u32, if best == NONE { from as u32 } else { best });
                    while a != b {
                        let lower = if a > b { &mut a } else { &mut b };
                        *lower = idom[*lower as usize];
                        let Some(left) = steps.checked_sub(1) else { return false };
                        steps = left;
                    }
                    best = a;
                    let Some(left) = steps.checked_sub(1) else { return false };
                    steps = left;
                }
                changed |= idom[n] != best;
                idom[n] = best;
            }
            if !changed {
                return true;
            }
            if round > 0 {
                continue;
            }
            // An edge back to a block that dominates where it comes from changes nothing: then one round is enough.
            let mut settled = true;
            for edge in back.chunks_exact(2) {
                let mut at = edge[0];
                while at > edge[1] {
                    at = idom[at as usize];
                    let Some(left) = steps.checked_sub(1) else { return false };
                    steps = left;
                }
                settled &= at == edge[1];
            }
            if settled {
                return true;
            }
        }
        true
    }

    fn lengauer_tarjan(&mut self, cfg: &ControlFlow) {
        let mut forest = Forest::new(cfg);
        let idom = forest.immediate_dominators(cfg);
        for (n, &parent) in idom.iter().enumerate() {
            self.idom[forest.order[n] as usize] = forest.order[parent as usize];
        }
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
        let sizes = &mut self.sizes;
        sizes.clear();
        sizes.resize(count, 1);
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

    /// A reachable block's number in the pre-order of the tree, and the largest one of those that it dominates.
    pub(crate) fn interval(&self, cfg: &ControlFlow, block: Block) -> Option<(u32, u32)> {
        self.interval.get(cfg.position(block)?).copied()
    }

    /// Whether every path to `b` goes through `a`. A block dominates itself; unreachable blocks dominate nothing
    /// and are dominated by nothing.
    #[inline]
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
    #[inline]
    pub fn children<'a>(&'a self, cfg: &'a ControlFlow, block: Block) -> impl Iterator<Item = Block> + 'a {
        let first = cfg.position(block).map_or(0, |n| self.first_child[n]);
        let step = |&n: &u32| (n != 0).then(|| self.next_sibling[n as usize - 1]);
        let nodes = std::iter::successors(Some(first), step).take_while(|&n| n != 0);
        nodes.map(|n| cfg.reverse_post_order()[n as usize - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::op::Op;
    use crate::types::Type;

    fn body(count: usize, edges: impl Fn(usize) -> Vec<usize>) -> Body {
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
        body
    }

    fn analyse(body: &Body) -> (ControlFlow, Dominators) {
        let (mut cfg, mut dominators) = (ControlFlow::new(), Dominators::new());
        cfg.compute(body);
        dominators.compute(&cfg);
        (cfg, dominators)
    }

    /// Whether `b` cannot be reached without going through `a`, by definition.
    fn cut(edges: &[Vec<usize>], a: usize, b: usize) -> bool {
        let mut seen = vec![false; edges.len()];
        let mut stack = vec![0];
        while let Some(at) = stack.pop() {
            if at != a && !std::mem::replace(&mut seen[at], true) {
                stack.extend(&edges[at]);
            }
        }
        !seen[b]
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 20) as usize % limit
        };
        for _ in 0..400 {
            let count = 1 + random(12);
            let edges: Vec<Vec<usize>> =
                (0..count).map(|_| (0..random(4)).map(|_| random(count)).collect()).collect();
            let body = body(count, |n| edges[n].clone());
            let (cfg, dominators) = analyse(&body);
            let mut other = dominators.clone();
            other.idom.fill(NONE);
            other.lengauer_tarjan(&cfg);
            assert_eq!(dominators.idom, other.idom, "{edges:?}");
            for a in 0..count {
                for b in 0..count {
                    let (from, to) = (Block::from_u32(a as u32), Block::from_u32(b as u32));
                    let wanted = cfg.is_reachable(from) && cfg.is_reachable(to) && cut(&edges, a, b);
                    assert_eq!(dominators.dominates(&cfg, from, to), wanted, "{a} {b} {edges:?}");
                }
            }
            for n in 1..count {
                let block = Block::from_u32(n as u32);
                let Some(parent) = dominators.immediate(&cfg, block) else { continue };
                assert!(parent != block && dominators.dominates(&cfg, parent, block));
                assert!(dominators.children(&cfg, parent).any(|child| child == block));
            }
        }
    }

    #[test]
    fn many_ways_to_one_exit() {
        let count = 200_000;
        let body = body(count, |n| if n + 1 < count { vec![count - 1, n + 1] } else { vec![] });
        let (cfg, mut dominators) = analyse(&body);
        let (middle, exit) = (Block::from_u32(count as u32 / 2), Block::from_u32(count as u32 - 1));
        assert_eq!(dominators.immediate(&cfg, exit), body.entry());
        assert!(dominators.dominates(&cfg, middle, Block::from_u32(count as u32 - 2)));
        assert!(!dominators.dominates(&cfg, middle, exit));
        assert!(
            !dominators.iterate(&cfg, STEPS_PER_EDGE * 3 * count),
            "the walks are too long for this algorithm"
        );
    }
}
