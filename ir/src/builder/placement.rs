//! Where values of a variable meet, for functions in which asking block after block would take variables times blocks.
//!
//! In a nest of loops or behind a long row of branches most variables stay what they are, and what a block does not
//! change comes from far above it. Two trees tell how far. A block that several edges enter has a value of its own only
//! if there is a definition below its immediate dominator but not below itself, or in a loop of which it is the header.
//! With the defining blocks of each variable sorted by their numbers in the pre-orders of both trees, the next place
//! above a block where that is so is found by two binary searches and two climbs, which take the logarithm of the
//! depth (Myers, "An Applicative Random-Access Stack", 1983). Where a definition below the immediate dominator does not
//! reach the block, its parameter carries one value and is dropped like any other.
//!
//! Loops must have one entry; for others there is no placement.

use crate::analysis::cfg::ControlFlow;
use crate::analysis::dominators::Dominators;
use crate::analysis::loops::Loops;
use crate::body::Body;
use crate::builder::Variable;
use crate::entity::Block;
use cranelift_entity::EntityRef;

/// A forest, its nodes numbered in pre-order.
#[derive(Debug)]
struct Forest {
    /// A root is its own parent.
    parent: Vec<u32>,
    /// The last number below a node.
    end: Vec<u32>,
    /// An ancestor, so far away that a climb takes the logarithm of the depth.
    jump: Vec<u32>,
}

impl Forest {
    fn new(parent: Vec<u32>, end: Vec<u32>) -> Forest {
        let mut depth = vec![0u32; parent.len()];
        let mut jump = vec![0u32; parent.len()];
        for node in 0..parent.len() {
            let above = parent[node] as usize;
            if above == node {
                jump[node] = node as u32;
                continue;
            }
            depth[node] = depth[above] + 1;
            let (far, further) = (jump[above] as usize, jump[jump[above] as usize] as usize);
            let is_even = depth[above] - depth[far] == depth[far] - depth[further];
            jump[node] = if is_even { further } else { above } as u32;
        }
        Forest { parent, end, jump }
    }

    /// The highest of a node and its ancestors that does not meet a condition, which the node does not, and which all
    /// do that are above one that does.
    fn climb(&self, node: u32, meets: impl Fn(u32) -> bool) -> u32 {
        let mut at = node;
        loop {
            let (far, above) = (self.jump[at as usize], self.parent[at as usize]);
            at = match () {
                _ if far != at && !meets(far) => far,
                _ if above != at && !meets(above) => above,
                _ => return at,
            };
        }
    }
}

/// Numbers of nodes where variables are defined, sorted by variable and number.
#[derive(Debug)]
struct Sites(Vec<u64>);

impl Sites {
    fn new(sites: impl Iterator<Item = (Variable, u32)>) -> Sites {
        let mut sites: Vec<u64> = sites.map(|(variable, number)| key(variable, number)).collect();
        sites.sort_unstable();
        sites.dedup();
        Sites(sites)
    }

    fn at(&self, variable: Variable, n: Option<usize>) -> Option<u32> {
        let site = *self.0.get(n?)?;
        (site >> 32 == variable.index() as u64).then_some(site as u32)
    }

    /// The last one before a node.
    fn before(&self, variable: Variable, node: u32) -> Option<u32> {
        let n = self.0.partition_point(|&site| site < key(variable, node));
        self.at(variable, n.checked_sub(1))
    }

    /// The first one after a node.
    fn after(&self, variable: Variable, node: u32) -> Option<u32> {
        let n = self.0.partition_point(|&site| site <= key(variable, node));
        self.at(variable, Some(n))
    }
}

fn key(variable: Variable, node: u32) -> u64 {
    (variable.index() as u64) << 32 | u64::from(node)
}

/// Where what a variable is at the beginning of a block comes from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A parameter of this block: the block itself or a dominator.
    Parameter(Block),
    /// The end of a dominator.
    End(Block),
    /// The beginning of the function, where it is not defined.
    Nowhere,
    /// Nothing gets to the block.
    Unreachable,
}

/// The trees of a function, and where its variables are defined.
#[derive(Debug)]
pub(super) struct Placement {
    flow: ControlFlow,
    dominators: Dominators,
    loops: Loops,
    /// Blocks by their numbers in the dominator tree, and that tree.
    blocks: Vec<Block>,
    tree: Forest,
    /// Numbers of the headers of loops in the dominator tree by the loops' numbers, and the forest of loops.
    headers: Vec<u32>,
    nest: Forest,
    tree_sites: Sites,
    nest_sites: Sites,
}

impl Placement {
    /// Measures a function, if its loops have one entry each. `written` are the blocks that define variables.
    pub(super) fn new(body: &Body, written: &[(Variable, Block)]) -> Option<Placement> {
        let mut flow = ControlFlow::new();
        flow.compute(body);
        let (mut dominators, mut loops) = (Dominators::new(), Loops::new());
        dominators.compute(&flow);
        let order = flow.reverse_post_order();
        for (n, &block) in order.iter().enumerate() {
            let is_fine = |from: Block| {
                flow.position(from).is_some_and(|at| at < n) || dominators.dominates(&flow, block, from)
            };
            if !flow.predecessors(block).iter().all(|&(from, _)| is_fine(from)) {
                return None;
            }
        }
        loops.compute(&flow, &dominators);
        let mut blocks = vec![Block::new(0); order.len()];
        let (mut parent, mut end) = (vec![0; order.len()], vec![0; order.len()]);
        for &block in order {
            let (number, last) = dominators.interval(&flow, block)?;
            let above = dominators.immediate(&flow, block);
            let above = above.and_then(|above| dominators.interval(&flow, above));
            blocks[number as usize] = block;
            parent[number as usize] = above.map_or(number, |(above, _)| above);
            end[number as usize] = last;
        }
        let tree = Forest::new(parent, end);
        let count = loops.iter().count();
        let mut headers = vec![0; count];
        let (mut parent, mut end) = (vec![0; count], vec![0; count]);
        for this in loops.iter() {
            let (number, behind) = loops.interval(this);
            headers[number as usize] = dominators.interval(&flow, loops.header(this))?.0;
            parent[number as usize] = loops.parent(this).map_or(number, |outer| loops.interval(outer).0);
            end[number as usize] = behind - 1;
        }
        let nest = Forest::new(parent, end);
        let number = |block| dominators.interval(&flow, block).map(|(number, _)| number);
        let numbered = written.iter().filter_map(|&(variable, block)| Some((variable, number(block)?)));
        let tree_sites = Sites::new(numbered);
        let loop_of = |block| loops.innermost(block).map(|this| loops.interval(this).0);
        let nested = written.iter().filter_map(|&(variable, block)| Some((variable, loop_of(block)?)));
        let nest_sites = Sites::new(nested);
        Some(Placement { flow, dominators, loops, blocks, tree, headers, nest, tree_sites, nest_sites })
    }

    /// The header of the innermost loop around a block that defines a variable.
    fn header(&self, variable: Variable, block: Block) -> Option<u32> {
        let this = self.loops.interval(self.loops.innermost(block)?).0;
        let (sites, nest) = (&self.nest_sites, &self.nest);
        let before = sites.before(variable, this);
        let last = nest.end[this as usize];
        let inside = sites.before(variable, last + 1).is_some_and(|site| site >= this);
        if inside {
            return Some(self.headers[this as usize]);
        }
        let after = sites.after(variable, last);
        let meets = |outer: u32| {
            before.is_some_and(|site| outer <= site)
                || after.is_some_and(|site| site <= nest.end[outer as usize])
        };
        let below = nest.climb(this, meets);
        let outer = nest.parent[below as usize];
        (outer != below).then(|| self.headers[outer as usize])
    }

    /// Where what a variable is at the beginning of a block comes from.
    pub(super) fn origin(&self, variable: Variable, block: Block) -> Origin {
        let Some((this, last)) = self.dominators.interval(&self.flow, block) else {
            return Origin::Unreachable;
        };
        let (sites, tree) = (&self.tree_sites, &self.tree);
        let (before, after) = (sites.before(variable, this), sites.after(variable, last));
        let meets = |above: u32| {
            before.is_some_and(|site| above <= site)
                || after.is_some_and(|site| site <= tree.end[above as usize])
        };
        // Below `above`, the first dominator that has a definition beside the way from there to the block.
        let below = tree.climb(this, meets);
        if let Some(header) = self.header(variable, block)
            && header >= below
        {
            return Origin::Parameter(self.blocks[header as usize]);
        }
        let above = tree.parent[below as usize];
        if above == below {
            return Origin::Nowhere;
        }
        let (from, to) = (self.blocks[above as usize], self.blocks[below as usize]);
        let is_beside = sites.after(variable, above).is_some_and(|site| site < below)
            || sites
                .after(variable, tree.end[below as usize])
                .is_some_and(|site| site <= tree.end[above as usize]);
        let is_only = self.flow.predecessors(to).iter().all(|&(source, _)| source == from);
        if is_only || !is_beside { Origin::End(from) } else { Origin::Parameter(to) }
    }
}
