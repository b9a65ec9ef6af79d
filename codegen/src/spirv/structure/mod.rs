//! Structured control flow from any graph.
//!
//! Shaders must declare, for every loop and selection, where it ends (SPIR-V 2.11), and may leave the constructs only
//! towards the ends of those around. The construction follows the dominator tree:
//!
//! - A node with one forward edge into it is nested in the arm that leads to it. A node with several, a *follower*,
//!   comes after everything that its immediate dominator holds. Nodes that leave a loop follow the loop.
//! - A branch to a follower leaves the constructs in between one by one. Where several followers are under way
//!   at one place, a variable tells which: the branch stores its destination there, and a follower with
//!   company is guarded by a test. Where only one can be under way, and that is the usual case, there is neither.
//! - The continue target of a loop is an empty block, its merge block the place after it. Branches to the
//!   innermost loop's continue and merge blocks are direct, however many selections they leave (2.11.1).
//! - Irreducible graphs are made reducible first; see [`graph`].
//!
//! What a node computes still dominates its uses, with one exception: a follower of a loop is moved out of the loop,
//! so values made in a loop and used outside it live in variables. In graphs with dispatch nodes, all
//! values that are used in another block do. Parameters of blocks always live in variables; drivers turn variables
//! back into values, and merge nodes need not know which branches reach them in the end.

pub(crate) mod graph;
mod pending;

use self::graph::{Graph, Node, reset};
use self::pending::Pending;

/// A label, numbered from 0.
pub(crate) type Label = u32;

/// What to emit, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The instructions of a node, without its terminator.
    Code(Node),
    /// The terminator of a node, which leaves the function.
    Leave(Node),
    /// What an edge of a node passes to its destination.
    Edge(Node, u32),
    /// Store a destination in the variable.
    SetExit(Node),
    /// The terminator of a node with several edges: one arm per edge, labels from `arms` on.
    Select { node: Node, arms: Label, merge: Label },
    /// A block begins.
    Label(Label),
    /// A loop begins: ends the block before, begins the body's.
    Loop { head: Label, body: Label, next: Label, merge: Label },
    /// The continue block: back to the head. `endless`: nothing leaves the loop.
    Next { head: Label, next: Label, endless: bool },
    /// Ends a block.
    Goto(Label),
    /// Ends a block: on to `then` if the variable holds `exit`, else to `merge`; a selection.
    Guard { exit: Node, then: Label, merge: Label },
    /// Ends a block: if the variable holds `exit` to the loop's continue block, else out of it.
    Again { exit: Node, next: Label, merge: Label },
    /// Ends a block that control does not reach.
    Unreachable,
}

/// How a function is structured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// What to emit.
    pub steps: Vec<Step>,
    /// How many labels there are.
    pub labels: u32,
    /// How many constructs are open at the deepest place.
    pub depth: usize,
    /// Which destinations are told apart by the variable.
    pub told_apart: Vec<bool>,
}

/// A construct that is open.
#[derive(Debug)]
struct Scope {
    /// For loops: header, continue block, head, and how many places left the function before the loop.
    looping: Option<(Node, Label, Label, usize)>,
    merge: Label,
    /// Destinations under way at the merge block.
    pending: Pending,
}

#[derive(Copy, Clone, Debug)]
enum Work {
    Tree(Node),
    Body(Node),
    Arm(Node, u32, Label),
    Close,
    LoopEnd,
    FollowerBegins(Node),
    FollowerEnds,
}

/// No node.
const NONE: Node = Node::MAX;

/// The tables of the construction, to be used again.
#[derive(Debug, Default)]
struct Tables {
    /// The last follower of a node's terminator, and of a header's loop; each is in one list at most, through `earlier`.
    last_follower: Vec<Node>,
    last_after_loop: Vec<Node>,
    earlier: Vec<Node>,
    is_follower: Vec<bool>,
    /// How many loops are open where a follower, or the inside of a header's loop, stands.
    depth_of: Vec<u32>,
    scopes: Vec<Scope>,
    /// Where the open loops are among the scopes.
    loops: Vec<usize>,
    /// How many places that leave the function were emitted.
    leaves: usize,
    /// Whether the open followers are guarded.
    guarded: Vec<bool>,
    work: Vec<Work>,
}

/// Structures graphs; the memory that this takes is used again.
#[derive(Debug, Default)]
pub(crate) struct Structurer {
    /// The plan of the last graph.
    pub plan: Plan,
    tables: Tables,
}

struct Planner<'a> {
    graph: &'a Graph,
    tables: &'a mut Tables,
    /// Destinations under way here; none where control does not get.
    here: Option<Pending>,
    plan: &'a mut Plan,
}

impl Structurer {
    /// Structures a graph. None if the graph contradicts itself, which would be a mistake of this module.
    pub fn plan(&mut self, graph: &Graph) -> Option<&Plan> {
        let count = graph.count();
        let Structurer { plan, tables } = self;
        plan.steps.clear();
        // A node takes about five steps.
        plan.steps.reserve(count * 5);
        reset(&mut plan.told_apart, count, false);
        (plan.labels, plan.depth) = (0, 0);
        reset(&mut tables.last_follower, count, NONE);
        reset(&mut tables.last_after_loop, count, NONE);
        reset(&mut tables.earlier, count, NONE);
        reset(&mut tables.is_follower, count, false);
        reset(&mut tables.depth_of, count, 0);
        tables.scopes.clear();
        tables.loops.clear();
        tables.leaves = 0;
        tables.guarded.clear();
        tables.work.clear();
        let mut planner = Planner { graph, tables, here: Some(Pending::default()), plan };
        planner.place();
        planner.run()?;
        Some(plan)
    }
}

impl Planner<'_> {
    /// Decides what follows what.
    fn place(&mut self) {
        let tables = &mut *self.tables;
        for &node in self.graph.order.iter().skip(1) {
            let parent = self.graph.idom[node as usize];
            let list = if let Some(left) = self.graph.loop_left(parent, node) {
                let header = self.graph.loops[left as usize].header;
                &mut tables.last_after_loop[header as usize]
            } else if self.graph.forward_edges[node as usize] > 1 {
                &mut tables.last_follower[parent as usize]
            } else {
                continue;
            };
            tables.earlier[node as usize] = std::mem::replace(list, node);
            tables.is_follower[node as usize] = true;
        }
    }

    fn label(&mut self) -> Label {
        self.plan.labels += 1;
        self.plan.labels - 1
    }

    fn step(&mut self, step: Step) {
        self.plan.steps.push(step);
    }

    fn open(&mut self, scope: Scope) {
        self.tables.scopes.push(scope);
        self.plan.depth = self.plan.depth.max(self.tables.scopes.len());
    }

    fn run(&mut self) -> Option<()> {
        self.tables.work.push(Work::Tree(0));
        while let Some(item) = self.tables.work.pop() {
            match item {
                Work::Tree(node) => self.tree(node),
                Work::Body(node) => self.body(node)?,
                Work::Arm(node, edge, label) => {
                    self.end_arm();
                    self.step(Step::Label(label));
                    self.here = Some(Pending::default());
                    self.edge(node, edge)?;
                }
                Work::Close => {
                    self.end_arm();
                    self.close()?;
                }
                Work::LoopEnd => self.loop_end()?,
                Work::FollowerBegins(node) => self.follower_begins(node)?,
                Work::FollowerEnds => {
                    if self.tables.guarded.pop()? {
                        self.end_arm();
                        self.close()?;
                    }
                }
            }
        }
        Some(())
    }

    /// Schedules what follows, last first, after noting at which depth it stands.
    fn schedule(&mut self, last: Node) {
        let tables = &mut *self.tables;
        let mut node = last;
        while node != NONE {
            tables.depth_of[node as usize] = tables.loops.len() as u32;
            tables.work.extend([Work::FollowerEnds, Work::Tree(node), Work::FollowerBegins(node)]);
            node = tables.earlier[node as usize];
        }
    }

    fn tree(&mut self, node: Node) {
        let inner = self.graph.loop_of[node as usize];
        let is_header = self.graph.loops.get(inner as usize).is_some_and(|l| l.header == node);
        if !is_header {
            self.tables.work.push(Work::Body(node));
            return;
        }
        self.schedule(self.tables.last_after_loop[node as usize]);
        let (head, body, next, merge) = (self.label(), self.label(), self.label(), self.label());
        self.step(Step::Loop { head, body, next, merge });
        self.tables.loops.push(self.tables.scopes.len());
        let looping = Some((node, next, head, self.tables.leaves));
        self.open(Scope { looping, merge, pending: Pending::default() });
        self.tables.work.push(Work::LoopEnd);
        self.tables.work.push(Work::Body(node));
    }

    fn body(&mut self, node: Node) -> Option<()> {
        self.schedule(self.tables.last_follower[node as usize]);
        self.step(Step::Code(node));
        let edges = self.graph.successors(node).len() as u32;
        match edges {
            0 => {
                self.step(Step::Leave(node));
                self.tables.leaves += 1;
                self.here = None;
            }
            1 => self.edge(node, 0)?,
            _ => {
                let merge = self.label();
                let arms = self.plan.labels;
                self.plan.labels += edges;
                self.step(Step::Select { node, arms, merge });
                self.open(Scope { looping: None, merge, pending: Pending::default() });
                self.here = None;
                self.tables.work.push(Work::Close);
                self.tables.work.extend((0..edges).rev().map(|edge| Work::Arm(node, edge, arms + edge)));
            }
        }
        Some(())
    }

    /// Follows one edge: inwards, or out of the constructs up to its destination.
    fn edge(&mut self, node: Node, edge: u32) -> Option<()> {
        self.step(Step::Edge(node, edge));
        let to = *self.graph.successors(node).get(edge as usize)?;
        let back = self.graph.goes_back(node, to);
        if !back && !self.tables.is_follower[to as usize] {
            self.tables.work.push(Work::Tree(to));
            return Some(());
        }
        self.step(Step::SetExit(to));
        let open = self.tables.loops.len() as u32;
        // A header's loop is open at the depth of the loop in the forest; a follower stands where it was scheduled.
        let depth = if back {
            let of = self.graph.loop_of[to as usize];
            self.graph.loops.get(of as usize)?.depth
        } else {
            self.tables.depth_of[to as usize]
        };
        if depth > open {
            return None;
        }
        if depth == open && !back {
            self.here = Some(Pending::one(to));
            return Some(());
        }
        let innermost = *self.tables.loops.last()?;
        let scope = self.tables.scopes.get_mut(innermost)?;
        let (_, next, ..) = scope.looping?;
        if depth == open {
            self.step(Step::Goto(next));
        } else {
            let merge = scope.merge;
            unite(&mut self.plan.told_apart, &mut scope.pending, Pending::one(to));
            self.step(Step::Goto(merge));
        }
        self.here = None;
        Some(())
    }

    /// Control that is here goes on to the end of the innermost construct.
    fn end_arm(&mut self) {
        let Some(pending) = self.here.take() else { return };
        let Some(scope) = self.tables.scopes.last_mut() else { return };
        unite(&mut self.plan.told_apart, &mut scope.pending, pending);
        let merge = scope.merge;
        self.step(Step::Goto(merge));
    }

    /// The innermost construct ends.
    fn close(&mut self) -> Option<()> {
        let scope = self.tables.scopes.pop()?;
        self.step(Step::Label(scope.merge));
        if scope.pending.is_empty() {
            self.step(Step::Unreachable);
            self.here = None;
        } else {
            self.here = Some(scope.pending);
        }
        Some(())
    }

    fn loop_end(&mut self) -> Option<()> {
        self.tables.loops.pop()?;
        let scope = self.tables.scopes.last_mut()?;
        let (header, next, head, leaves) = scope.looping?;
        let merge = scope.merge;
        if let Some(mut pending) = self.here.take() {
            let again = pending.remove(&header);
            let out = !pending.is_empty();
            unite(&mut self.plan.told_apart, &mut scope.pending, pending);
            self.step(match (again, out) {
                (true, true) => Step::Again { exit: header, next, merge },
                (true, false) => Step::Goto(next),
                (false, _) => Step::Goto(merge),
            });
        }
        let endless = self.tables.scopes.last()?.pending.is_empty() && self.tables.leaves == leaves;
        self.step(Step::Next { head, next, endless });
        self.close()
    }

    fn follower_begins(&mut self, node: Node) -> Option<()> {
        let mut pending = self.here.take()?;
        if !pending.remove(&node) {
            return None;
        }
        let guard = !pending.is_empty();
        self.tables.guarded.push(guard);
        if guard {
            let (then, merge) = (self.label(), self.label());
            self.step(Step::Guard { exit: node, then, merge });
            self.step(Step::Label(then));
            self.open(Scope { looping: None, merge, pending });
        }
        self.here = Some(Pending::default());
        Some(())
    }
}

/// Adds destinations to those under way, the smaller set to the larger one; several are told apart.
fn unite(told_apart: &mut [bool], into: &mut Pending, mut other: Pending) {
    if into.len() < other.len() {
        std::mem::swap(into, &mut other);
    }
    if other.is_empty() {
        return;
    }
    let first = into.first().filter(|_| into.len() == 1);
    other.for_each(|node| into.insert(node));
    if into.len() > 1 {
        let mut tell = |node: Node| {
            if let Some(flag) = told_apart.get_mut(node as usize) {
                *flag = true;
            }
        };
        other.for_each(&mut tell);
        first.into_iter().for_each(tell);
    }
}
