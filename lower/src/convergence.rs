//! Convergence: whether every barrier of a kernel is reached by all work-items of a group or by none.
//!
//! The language lets a work-item return while others still meet at barriers, and so do most targets. OpenCL does not: a
//! barrier that some work-items never reach is undefined there, and drivers compute wrong results. For such a target
//! this check refuses what it cannot prove: a barrier between a branch whose condition may differ between work-items of
//! a group and the place where its two ways are sure to meet again.
//!
//! A value is *uniform* if it is computed from constants, kernel parameters and the ops that are the same for a whole
//! group; a block parameter is if all its arguments are and no divergent branch decides between them.
//!
//! What lies between a branch and where its ways meet holds all that lies between any branch in it and where the ways of
//! that one meet, so inner branches add nothing to what an outer one has marked, and nests cost no more than rows.

use crate::call_graph::{callee, mentioned};
use crate::report::{self, Place};
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::body::{Body, Frame};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Block, BlockCall, Func, Inst, Value};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::program::MethodKind;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashSet;

/// The barriers that some work-items of a group may miss, in all functions of a unit.
pub fn check(unit: &Unit) -> Vec<Diagnostic> {
    if !unit.funcs.values().any(|function| function.body.may_have(Op::Barrier)) {
        return Vec::new();
    }
    let meets = functions_that_meet(unit);
    let mut diagnostics = Vec::new();
    for (func, function) in &unit.funcs {
        if !meets[func] {
            continue;
        }
        let is_kernel = function.kind == MethodKind::Kernel;
        for inst in Analysis::new(&function.body, &meets, is_kernel).missed_barriers() {
            let chain: Vec<Frame> = function.frames(function.body.origin(inst)).owned().collect();
            let Some((own, callers)) = chain.split_first() else { continue };
            let place = Place { function: &own.function, file: own.file, span: own.span };
            let message =
                "a barrier that some work-items of a group may miss, which the target does not allow";
            let mut diagnostic = report::unsupported(&place, message.into());
            diagnostic.notes.extend(report::inlined_into(callers, &unit.files));
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

/// Functions in which work-items may meet at a barrier, their callees included.
fn functions_that_meet(unit: &Unit) -> SecondaryMap<Func, bool> {
    let mut callers = SecondaryMap::<Func, Vec<Func>>::new();
    let mut meets = SecondaryMap::new();
    let mut stack = Vec::new();
    for (func, function) in &unit.funcs {
        mentioned(&function.body, |callee| callers[callee].push(func));
        let body = &function.body;
        let mut insts = body.blocks().flat_map(|block| body.block_insts(block));
        if body.may_have(Op::Barrier) && insts.any(|inst| body.inst(inst).op == Op::Barrier) {
            stack.push(func);
        }
    }
    while let Some(func) = stack.pop() {
        if !std::mem::replace(&mut meets[func], true) {
            stack.extend(&callers[func]);
        }
    }
    meets
}

struct Analysis<'a> {
    body: &'a Body,
    meets: &'a SecondaryMap<Func, bool>,
    cfg: ControlFlow,
    divergent: SecondaryMap<Value, bool>,
    /// Branches whose region is marked already.
    marked: SecondaryMap<Block, bool>,
    /// Blocks that are marked already because a way from some branch leaves the function.
    left: SecondaryMap<Block, bool>,
    /// Blocks in the region of a branch that is marked.
    covered: SecondaryMap<Block, bool>,
    post: PostDominators,
}

/// Where all ways from a block meet: the dominators of the graph whose edges are turned around.
struct PostDominators {
    /// The turned graph, whose blocks are numbered by the positions of those that they stand for; the one after the
    /// last is the way out.
    turned: ControlFlow,
    dominators: Dominators,
}

impl PostDominators {
    fn compute(body: &Body, cfg: &ControlFlow) -> PostDominators {
        let order = cfg.reverse_post_order();
        let node = |n: usize| Block::from_u32(n as u32);
        let (mut turned, mut dominators) = (ControlFlow::new(), Dominators::new());
        // The way out is where the turned graph begins.
        turned.compute_graph(order.len() + 1, Some(node(order.len())), |at, leaving| {
            match order.get(at.index()) {
                Some(&block) => {
                    let entering = cfg.predecessors(block).iter();
                    leaving
                        .extend(entering.filter_map(|&(from, call)| Some((call, node(cfg.position(from)?)))));
                }
                None => {
                    let last =
                        order.iter().enumerate().filter(|&(_, &block)| body.successors(block).is_empty());
                    leaving.extend(last.map(|(n, _)| (BlockCall::from_u32(0), node(n))));
                }
            }
        });
        dominators.compute(&turned);
        PostDominators { turned, dominators }
    }

    fn meeting(&self, cfg: &ControlFlow, block: Block) -> Option<Block> {
        let node = Block::from_u32(cfg.position(block)? as u32);
        let meeting = self.dominators.immediate(&self.turned, node)?;
        cfg.reverse_post_order().get(meeting.index()).copied()
    }
}

impl<'a> Analysis<'a> {
    fn new(body: &'a Body, meets: &'a SecondaryMap<Func, bool>, is_kernel: bool) -> Self {
        let mut cfg = ControlFlow::new();
        cfg.compute(body);
        let post = PostDominators::compute(body, &cfg);
        let mut analysis = Analysis {
            body,
            meets,
            cfg,
            divergent: SecondaryMap::new(),
            marked: SecondaryMap::new(),
            left: SecondaryMap::new(),
            covered: SecondaryMap::new(),
            post,
        };
        analysis.divergent.resize(body.value_count());
        analysis.find_divergent_values(is_kernel);
        analysis
    }

    /// Everything starts out uniform; what is not spreads until nothing changes.
    fn find_divergent_values(&mut self, is_kernel: bool) {
        if let Some(entry) = self.body.entry().filter(|_| !is_kernel) {
            // Other functions may be called with anything.
            self.body.block_params(entry).iter().for_each(|&param| self.divergent[param] = true);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for n in 0..self.cfg.reverse_post_order().len() {
                let block = self.cfg.reverse_post_order()[n];
                for inst in self.body.block_insts(block) {
                    changed |= self.visit(inst);
                }
                changed |= self.spread_along_edges(block);
            }
        }
    }

    fn visit(&mut self, inst: Inst) -> bool {
        // Most are known to be divergent after the first round, or have no results.
        if self.body.results(inst).all(|value| self.divergent[value]) {
            return false;
        }
        let op = self.body.inst(inst).op;
        let effects = op.effects();
        let source = matches!(op, Op::LocalId | Op::SubgroupLane | Op::Clock | Op::Slot)
            || effects.has(Effects::READ)
            || effects.has(Effects::CALL)
            || effects.has(Effects::CONVERGENT);
        let divergent = source || self.body.args(inst).iter().any(|&arg| self.divergent[arg]);
        let mut changed = false;
        if divergent {
            for value in self.body.results(inst) {
                changed |= !std::mem::replace(&mut self.divergent[value], true);
            }
        }
        changed
    }

    /// Marks block parameters: those with divergent arguments, and, below a divergent branch, those of every block
    /// that its ways reach before they are sure to meet, and of the block where they meet.
    fn spread_along_edges(&mut self, block: Block) -> bool {
        let mut changed = false;
        for &call in self.body.successors(block) {
            let params = self.body.block_params(self.body.target_block(call));
            for (&param, &arg) in params.iter().zip(self.body.target_args(call)) {
                if self.divergent[arg] {
                    changed |= !std::mem::replace(&mut self.divergent[param], true);
                }
            }
        }
        if !self.marked[block] && !self.covered[block] && self.is_divergent_branch(block) {
            self.marked[block] = true;
            let mut left = std::mem::take(&mut self.left);
            let (region, meeting) = self.region(block, &mut left);
            self.left = left;
            region.iter().for_each(|&reached| self.covered[reached] = true);
            for reached in region.into_iter().chain(meeting) {
                for &param in self.body.block_params(reached) {
                    changed |= !std::mem::replace(&mut self.divergent[param], true);
                }
            }
        }
        changed
    }

    fn is_divergent_branch(&self, block: Block) -> bool {
        let Some(inst) = self.body.terminator(block) else { return false };
        self.body.targets(inst).len() > 1 && self.body.args(inst).iter().any(|&arg| self.divergent[arg])
    }

    /// The blocks that the ways from a branch reach before they are sure to meet, and where they meet; none if some
    /// way leaves the function first. The region of such a branch is all that it reaches; `left` holds what earlier
    /// ones have given, which is not given again, so that many early returns cost no more than one.
    fn region(&self, branch: Block, left: &mut SecondaryMap<Block, bool>) -> (Vec<Block>, Option<Block>) {
        let meeting = self.post.meeting(&self.cfg, branch);
        let mut seen = FxHashSet::default();
        let mut is_new = |block: Block| match meeting {
            Some(meeting) => block != meeting && seen.insert(block),
            None => !std::mem::replace(&mut left[block], true),
        };
        let mut region = Vec::new();
        let mut stack: Vec<Block> = self.successors(branch).collect();
        while let Some(block) = stack.pop() {
            if is_new(block) {
                region.push(block);
                stack.extend(self.successors(block));
            }
        }
        (region, meeting)
    }

    fn successors(&self, block: Block) -> impl Iterator<Item = Block> + '_ {
        self.body.successors(block).iter().map(|&call| self.body.target_block(call))
    }

    fn missed_barriers(&self) -> Vec<Inst> {
        let mut missed = SecondaryMap::<Block, bool>::new();
        let mut left = SecondaryMap::new();
        for &block in self.cfg.reverse_post_order() {
            if !missed[block] && self.is_divergent_branch(block) {
                self.region(block, &mut left).0.into_iter().for_each(|block| missed[block] = true);
            }
        }
        let blocks = self.cfg.reverse_post_order().iter().filter(|&&block| missed[block]);
        let meets = |&inst: &Inst| {
            let calls = callee(self.body, inst).is_some_and(|func| self.meets[func]);
            calls || self.body.inst(inst).op == Op::Barrier
        };
        blocks.flat_map(|&block| self.body.block_insts(block)).filter(meets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::view::View;
    use crate::job::{Job, OptLevel};
    use marquetry_ir::program::Program;
    use marquetry_ir::text;

    fn missed(body: &str) -> usize {
        let mut program = Program::new();
        let source = format!("kernel k(n: i32, p: ptr<global>) {{\nentry:\n    id = local_id 0\n{body}}}\n");
        let diagnostics = text::parse(&mut program, "test.mq", &source);
        assert_eq!(diagnostics, []);
        let entries = vec![program.methods_of("k")[0]];
        let job = Job::new(entries, View::device(&[]), OptLevel::None);
        check(&crate::specialise::run(&program, &job).expect("a unit")).len()
    }

    #[test]
    fn a_barrier_behind_an_early_return_is_missed() {
        assert_eq!(
            missed(
                "    c = eq id, n\n    branch c, out, on\nout:\n    return\non:\n    barrier\n    return\n"
            ),
            1
        );
    }

    #[test]
    fn a_barrier_where_ways_have_met_is_not() {
        let text = "    c = eq id, n\n    branch c, a, b\na:\n    jump b\nb:\n    barrier\n    return\n";
        assert_eq!(missed(text), 0);
    }

    #[test]
    fn uniform_branches_and_loops_do_not_matter() {
        let text = "    z = eq n, i32 0\n    branch z, out, loop(n)\nout:\n    return\nloop(k: i32):\n    barrier\n    \
                    j = sub k, i32 1\n    m = gt.s j, i32 0\n    branch m, loop(j), out\n";
        assert_eq!(missed(text), 0);
    }

    #[test]
    fn a_loop_that_work_items_leave_apart_is_missed() {
        let text = "    jump loop(id)\nloop(k: i32):\n    barrier\n    j = sub k, i32 1\n    m = gt.s j, i32 0\n    \
                    branch m, loop(j), out\nout:\n    return\n";
        assert_eq!(missed(text), 1);
    }

    #[test]
    fn a_parameter_that_a_divergent_branch_decides_is_divergent() {
        let text = "    c = eq id, n\n    branch c, a(i32 1), a(i32 2)\na(k: i32):\n    d = eq k, i32 1\n    \
                    branch d, out, on\nout:\n    return\non:\n    barrier\n    return\n";
        assert_eq!(missed(text), 1);
    }
}
