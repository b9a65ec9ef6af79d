//! The control-flow graph that is structured: the blocks of a body, and *dispatch* nodes where it was irreducible.
//!
//! A loop that is entered in two places has no header, and no structured form. It gets one: a dispatch node that
//! takes over every edge into one of the entries and switches over a variable in which the edge has stored where it
//! wanted to go. This is done for each strongly connected component with more than one entry, outermost first, then
//! inside it without its header, so code that was reducible keeps its shape and the graph grows by one node per
//! such loop.

use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Block;

/// A node: a number in the graph.
pub(crate) type Node = u32;

const NONE: u32 = u32::MAX;

/// What a node stands for.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A block of the body.
    Block(Block),
    /// A dispatch over the variable; one node per successor.
    Dispatch(Vec<Node>),
}

/// A loop: header, loop around it, nesting depth from 1.
#[derive(Clone, Debug)]
pub(crate) struct LoopData {
    pub header: Node,
    pub parent: u32,
    pub depth: u32,
}

/// The graph and what is known about it. Everything is indexed by node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    /// What each node stands for.
    pub origins: Vec<Origin>,
    /// Where each node's edges are in `targets`, in the order of the terminator.
    ranges: Vec<(u32, u32)>,
    targets: Vec<Node>,
    /// Nodes in reverse post-order.
    pub order: Vec<Node>,
    /// Position in `order`.
    pub position: Vec<u32>,
    /// Edges that come from earlier in the order.
    pub forward_edges: Vec<u32>,
    /// Immediate dominators; the root's is itself.
    pub idom: Vec<Node>,
    /// Innermost loop of each node, `u32::MAX` for none.
    pub loop_of: Vec<u32>,
    /// The loops.
    pub loops: Vec<LoopData>,
    /// Whether there are dispatch nodes.
    pub dispatches: bool,
    /// Where each node's predecessors begin in `sources`; one more entry ends the last.
    starts: Vec<u32>,
    sources: Vec<Node>,
    scratch: Scratch,
}

/// What is needed while the facts are computed.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// Nodes on the way down, with the next edge to follow.
    path: Vec<(Node, u32)>,
    nodes: Vec<Node>,
    /// Sizes of dominator subtrees, where they start in preorder, and where the next child's does.
    intervals: Vec<(u32, u32, u32)>,
    outermost: Vec<u32>,
}

/// Makes all entries of a table the same.
pub(crate) fn reset<T: Clone>(table: &mut Vec<T>, count: usize, value: T) {
    table.clear();
    table.resize(count, value);
}

impl Graph {
    /// The graph of a body, in place of an earlier one; node 0 is the entry and node `n` the `n`-th block in reverse
    /// post-order.
    pub fn compute(&mut self, body: &Body, cfg: &ControlFlow) {
        let blocks = cfg.reverse_post_order();
        let node = |block: Block| cfg.position(block).map_or(0, |n| n as Node);
        self.origins.clear();
        self.ranges.clear();
        self.targets.clear();
        self.loops.clear();
        self.dispatches = false;
        self.origins.extend(blocks.iter().map(|&block| Origin::Block(block)));
        for &block in blocks {
            let edges = body.successors(block).iter();
            let start = self.targets.len() as u32;
            self.targets.extend(edges.map(|&call| node(body.target_block(call))));
            self.ranges.push((start, self.targets.len() as u32));
        }
        self.analyse();
        if !self.is_reducible() {
            self.add_dispatches();
            self.analyse();
        }
        self.find_loops();
    }

    /// Where the edges of a node go, in the order of the terminator.
    #[inline]
    pub fn successors(&self, node: Node) -> &[Node] {
        let (start, end) = self.ranges.get(node as usize).copied().unwrap_or_default();
        self.targets.get(start as usize..end as usize).unwrap_or(&[])
    }

    fn successors_mut(&mut self, node: Node) -> &mut [Node] {
        let (start, end) = self.ranges.get(node as usize).copied().unwrap_or_default();
        self.targets.get_mut(start as usize..end as usize).unwrap_or(&mut [])
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Whether a node is at or before another one in the order: an edge to it goes back.
    pub fn goes_back(&self, from: Node, to: Node) -> bool {
        self.position[to as usize] <= self.position[from as usize]
    }

    fn analyse(&mut self) {
        self.number();
        self.find_predecessors();
        self.find_dominators();
    }

    /// Depth first with an explicit stack, as in [`ControlFlow`].
    fn number(&mut self) {
        let count = self.count();
        self.order.clear();
        reset(&mut self.position, count, NONE);
        reset(&mut self.forward_edges, count, 0);
        if count == 0 {
            return;
        }
        let mut stack = std::mem::take(&mut self.scratch.path);
        stack.push((0, 0));
        self.position[0] = 0;
        while let Some((node, next)) = stack.last_mut() {
            let Some(&to) = self.successors(*node).get(*next as usize) else {
                self.order.push(*node);
                stack.pop();
                continue;
            };
            *next += 1;
            if self.position[to as usize] == NONE {
                self.position[to as usize] = 0;
                stack.push((to, 0));
            }
        }
        self.scratch.path = stack;
        self.order.reverse();
        for (n, &node) in self.order.iter().enumerate() {
            self.position[node as usize] = n as u32;
        }
        for (from, &(start, end)) in self.ranges.iter().enumerate() {
            for &to in &self.targets[start as usize..end as usize] {
                if self.position[to as usize] > self.position[from] {
                    self.forward_edges[to as usize] += 1;
                }
            }
        }
    }

    /// Sorts the edges between reachable nodes by where they go; those into one node are in the order of their sources.
    fn find_predecessors(&mut self) {
        let count = self.count();
        reset(&mut self.starts, count + 1, 0);
        for &from in &self.order {
            let (start, end) = self.ranges[from as usize];
            self.targets[start as usize..end as usize].iter().for_each(|&to| self.starts[to as usize] += 1);
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
        reset(&mut self.sources, sum as usize, 0);
        // Each list is filled from its end; then its start is where it should be.
        for &from in self.order.iter().rev() {
            let (start, end) = self.ranges[from as usize];
            for &to in self.targets[start as usize..end as usize].iter().rev() {
                let free = &mut self.starts[to as usize];
                *free -= 1;
                self.sources[*free as usize] = from;
            }
        }
    }

    fn predecessors(&self, node: Node) -> &[Node] {
        let (start, end) = (self.starts[node as usize] as usize, self.starts[node as usize + 1] as usize);
        &self.sources[start..end]
    }

    /// The iterative algorithm of Cooper, Harvey and Kennedy.
    fn find_dominators(&mut self) {
        let count = self.count();
        reset(&mut self.idom, count, NONE);
        if self.order.is_empty() {
            return;
        }
        self.idom[0] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for n in 1..self.order.len() {
                let node = self.order[n];
                let mut new = NONE;
                for &from in self.predecessors(node) {
                    if self.idom[from as usize] != NONE {
                        new = if new == NONE { from } else { self.intersect(from, new) };
                    }
                }
                changed |= self.idom[node as usize] != new;
                self.idom[node as usize] = new;
            }
        }
    }

    fn intersect(&self, mut a: Node, mut b: Node) -> Node {
        while a != b {
            if self.position[a as usize] > self.position[b as usize] {
                a = self.idom[a as usize];
            } else {
                b = self.idom[b as usize];
            }
        }
        a
    }

    /// Whether every edge that goes back goes to a dominator: found by preorder intervals on the dominator tree.
    fn is_reducible(&mut self) -> bool {
        let goes_back = |&from: &Node| self.successors(from).iter().any(|&to| self.goes_back(from, to));
        if !self.order.iter().any(goes_back) {
            return true;
        }
        let count = self.count();
        let mut intervals = std::mem::take(&mut self.scratch.intervals);
        reset(&mut intervals, count, (1, 0, 1));
        for &node in self.order.iter().skip(1).rev() {
            let size = intervals[node as usize].0;
            intervals[self.idom[node as usize] as usize].0 += size;
        }
        for &node in self.order.iter().skip(1) {
            let (_, start, next) = &mut intervals[self.idom[node as usize] as usize];
            let here = *start + *next;
            let (size, start, _) = &mut intervals[node as usize];
            *start = here;
            let size = *size;
            intervals[self.idom[node as usize] as usize].2 += size;
        }
        let dominates = |a: Node, b: Node| {
            let ((size, a, _), (_, b, _)) = (intervals[a as usize], intervals[b as usize]);
            a <= b && b < a + size
        };
        let reducible = self.order.iter().all(|&from| {
            let mut edges = self.successors(from).iter();
            edges.all(|&to| !self.goes_back(from, to) || dominates(to, from))
        });
        self.scratch.intervals = intervals;
        reducible
    }

    fn add_dispatches(&mut self) {
        self.dispatches = true;
        // A set of nodes to look for components in, and the header through which it is entered.
        let mut work = vec![(self.order.clone(), NONE)];
        let mut component_of = vec![NONE; self.count()];
        while let Some((nodes, header)) = work.pop() {
            let components = self.components(&nodes);
            for (n, component) in components.iter().enumerate() {
                component.iter().for_each(|&node| component_of[node as usize] = n as u32);
            }
            let mut entries: Vec<Vec<Node>> = vec![Vec::new(); components.len()];
            let sources = || nodes.iter().copied().chain((header != NONE).then_some(header));
            let inside = |component_of: &[u32], from: Node| {
                if from == header { NONE } else { component_of[from as usize] }
            };
            for from in sources() {
                let of_from = inside(&component_of, from);
                for &to in self.successors(from) {
                    let of_to = component_of[to as usize];
                    if of_to != NONE && of_to != of_from {
                        entries[of_to as usize].push(to);
                    }
                }
            }
            for list in &mut entries {
                list.sort_unstable();
                list.dedup();
            }
            // The dispatch of each component with several entries, and edges to those entries redirected to it.
            let mut dispatch = vec![NONE; components.len()];
            for (n, list) in entries.iter().enumerate() {
                if list.len() > 1 {
                    dispatch[n] = self.origins.len() as Node;
                    self.origins.push(Origin::Dispatch(list.clone()));
                    let start = self.targets.len() as u32;
                    self.targets.extend_from_slice(list);
                    self.ranges.push((start, self.targets.len() as u32));
                    component_of.push(NONE);
                }
            }
            for from in sources() {
                for to in self.successors_mut(from) {
                    let of_to = component_of[*to as usize];
                    let redirected = of_to != NONE && dispatch[of_to as usize] != NONE;
                    if redirected && entries[of_to as usize].binary_search(to).is_ok() {
                        *to = dispatch[of_to as usize];
                    }
                }
            }
            nodes.iter().for_each(|&node| component_of[node as usize] = NONE);
            for (n, component) in components.into_iter().enumerate() {
                // The root's component has no entry from outside; the root is its header.
                let header = match (dispatch[n], entries[n].first()) {
                    (NONE, Some(&entry)) => entry,
                    (NONE, None) => 0,
                    (dispatch, _) => dispatch,
                };
                let rest: Vec<Node> = component.into_iter().filter(|&node| node != header).collect();
                if rest.len() > 1 {
                    work.push((rest, header));
                }
            }
        }
    }

    /// Strongly connected components with more than one node among some nodes: Tarjan's algorithm with its own
    /// stack.
    fn components(&self, nodes: &[Node]) -> Vec<Vec<Node>> {
        let count = self.count();
        let mut among = vec![false; count];
        nodes.iter().for_each(|&node| among[node as usize] = true);
        let mut index = vec![NONE; count];
        let mut low = vec![0u32; count];
        let mut open = vec![false; count];
        let (mut stack, mut path, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut next_index = 0;
        for &root in nodes {
            if index[root as usize] != NONE {
                continue;
            }
            path.push((root, 0usize));
            while let Some((node, edge)) = path.last_mut() {
                let n = *node as usize;
                if *edge == 0 && index[n] == NONE {
                    index[n] = next_index;
                    low[n] = next_index;
                    next_index += 1;
                    open[n] = true;
                    stack.push(*node);
                }
                if let Some(&to) = self.successors(n as Node).get(*edge) {
                    *edge += 1;
                    let t = to as usize;
                    if among[t] && index[t] == NONE {
                        path.push((to, 0));
                    } else if among[t] && open[t] {
                        low[n] = low[n].min(index[t]);
                    }
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    low[parent as usize] = low[parent as usize].min(low[n]);
                }
                if low[n] == index[n] {
                    let start = stack.iter().rposition(|&s| s as usize == n).unwrap_or(0);
                    let component: Vec<Node> = stack.split_off(start);
                    component.iter().for_each(|&c| open[c as usize] = false);
                    if component.len() > 1 {
                        found.push(component);
                    }
                }
            }
        }
        found
    }

    /// Natural loops, inner ones first, as in `marquetry_ir::analysis::loops`.
    fn find_loops(&mut self) {
        let count = self.count();
        reset(&mut self.loop_of, count, NONE);
        let mut outermost = std::mem::take(&mut self.scratch.outermost);
        let mut stack = std::mem::take(&mut self.scratch.nodes);
        outermost.clear();
        for n in (0..self.order.len()).rev() {
            let header = self.order[n];
            stack.extend(self.predecessors(header).iter().filter(|&&from| self.goes_back(from, header)));
            if stack.is_empty() {
                continue;
            }
            let this = self.loops.len() as u32;
            self.loops.push(LoopData { header, parent: NONE, depth: 0 });
            outermost.push(this);
            while let Some(node) = stack.pop() {
                let inner = self.loop_of[node as usize];
                let next = if inner == NONE {
                    self.loop_of[node as usize] = this;
                    node
                } else {
                    let top = Self::find(&mut outermost, inner);
                    if top == this {
                        continue;
                    }
                    self.loops[top as usize].parent = this;
                    outermost[top as usize] = this;
                    self.loops[top as usize].header
                };
                if next != header {
                    stack.extend_from_slice(self.predecessors(next));
                }
            }
        }
        (self.scratch.outermost, self.scratch.nodes) = (outermost, stack);
        for n in (0..self.loops.len()).rev() {
            let parent = self.loops[n].parent;
            self.loops[n].depth = if parent == NONE { 1 } else { self.loops[parent as usize].depth + 1 };
        }
    }

    /// The outermost loop so far around a loop, with path compression.
    fn find(outermost: &mut [u32], mut this: u32) -> u32 {
        while outermost[this as usize] != this {
            let up = outermost[this as usize];
            outermost[this as usize] = outermost[up as usize];
            this = up;
        }
        this
    }

    fn depth(&self, this: u32) -> u32 {
        self.loops.get(this as usize).map_or(0, |l| l.depth)
    }

    /// The outermost loop that a node is in and another node is not in.
    pub fn loop_left(&self, from: Node, to: Node) -> Option<u32> {
        let mut a = self.loop_of[from as usize];
        let mut b = self.loop_of[to as usize];
        let mut left = None;
        while a != b {
            let (depth_a, depth_b) = (self.depth(a), self.depth(b));
            if depth_a >= depth_b {
                left = Some(a);
                a = self.loops[a as usize].parent;
            }
            if depth_b >= depth_a {
                b = self.loops[b as usize].parent;
            }
        }
        left
    }
}
