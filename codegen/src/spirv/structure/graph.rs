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
    /// Where the edges go, in the order of the terminator.
    pub successors: Vec<Vec<Node>>,
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
}

impl Graph {
    /// The graph of a body; node 0 is the entry and node `n` the `n`-th block in reverse post-order.
    pub fn new(body: &Body, cfg: &ControlFlow) -> Graph {
        let blocks = cfg.reverse_post_order();
        let node = |block: Block| cfg.position(block).map_or(0, |n| n as Node);
        let mut graph = Graph::default();
        for &block in blocks {
            let edges = body.successors(block).iter();
            graph.successors.push(edges.map(|&call| node(body.target_block(call))).collect());
            graph.origins.push(Origin::Block(block));
        }
        graph.analyse();
        if !graph.is_reducible() {
            graph.add_dispatches();
            graph.analyse();
        }
        graph.find_loops();
        graph
    }

    /// Whether a node is at or before another one in the order: an edge to it goes back.
    pub fn goes_back(&self, from: Node, to: Node) -> bool {
        self.position[to as usize] <= self.position[from as usize]
    }

    fn analyse(&mut self) {
        self.number();
        self.find_dominators();
    }

    /// Depth first with an explicit stack, as in [`ControlFlow`].
    fn number(&mut self) {
        let count = self.successors.len();
        self.order.clear();
        self.position = vec![NONE; count];
        let mut stack = vec![(0 as Node, 0usize)];
        if count == 0 {
            return;
        }
        self.position[0] = 0;
        while let Some((node, next)) = stack.last_mut() {
            let Some(&to) = self.successors[*node as usize].get(*next) else {
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
        self.order.reverse();
        for (n, &node) in self.order.iter().enumerate() {
            self.position[node as usize] = n as u32;
        }
        self.forward_edges = vec![0; count];
        for from in 0..count {
            for &to in &self.successors[from] {
                if self.position[to as usize] > self.position[from] {
                    self.forward_edges[to as usize] += 1;
                }
            }
        }
    }

    fn predecessors(&self) -> Vec<Vec<Node>> {
        let mut list = vec![Vec::new(); self.successors.len()];
        for &from in &self.order {
            for &to in &self.successors[from as usize] {
                list[to as usize].push(from);
            }
        }
        list
    }

    /// The iterative algorithm of Cooper, Harvey and Kennedy.
    fn find_dominators(&mut self) {
        self.idom = vec![NONE; self.successors.len()];
        if self.order.is_empty() {
            return;
        }
        let predecessors = self.predecessors();
        self.idom[0] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for &node in self.order.iter().skip(1) {
                let mut new = NONE;
                for &from in &predecessors[node as usize] {
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
    fn is_reducible(&self) -> bool {
        let count = self.successors.len();
        let mut size = vec![1u32; count];
        for &node in self.order.iter().skip(1).rev() {
            size[self.idom[node as usize] as usize] += size[node as usize];
        }
        let mut start = vec![0u32; count];
        let mut next = vec![1u32; count];
        for &node in self.order.iter().skip(1) {
            let parent = self.idom[node as usize] as usize;
            start[node as usize] = start[parent] + next[parent];
            next[parent] += size[node as usize];
        }
        let dominates = |a: Node, b: Node| {
            let (a, b) = (a as usize, b as usize);
            start[a] <= start[b] && start[b] < start[a] + size[a]
        };
        self.order.iter().all(|&from| {
            let mut edges = self.successors[from as usize].iter();
            edges.all(|&to| !self.goes_back(from, to) || dominates(to, from))
        })
    }

    fn add_dispatches(&mut self) {
        self.dispatches = true;
        // A set of nodes to look for components in, and the header through which it is entered.
        let mut work = vec![(self.order.clone(), NONE)];
        let mut component_of = vec![NONE; self.successors.len()];
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
                for &to in &self.successors[from as usize] {
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
                    self.successors.push(list.clone());
                    component_of.push(NONE);
                }
            }
            for from in sources() {
                for to in &mut self.successors[from as usize] {
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
        let count = self.successors.len();
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
                if let Some(&to) = self.successors[n].get(*edge) {
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
        let predecessors = self.predecessors();
        self.loop_of = vec![NONE; self.successors.len()];
        let mut outermost: Vec<u32> = Vec::new();
        for &header in self.order.iter().rev() {
            let all = predecessors[header as usize].iter();
            let mut stack: Vec<Node> = all.copied().filter(|&from| self.goes_back(from, header)).collect();
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
                    stack.extend(&predecessors[next as usize]);
                }
            }
        }
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
