//! The optimiser's passes: one file each, all of one shape.
//!
//! A pass takes a body and the [`PassContext`], says whether it changed anything, and leaves the body valid. Facts
//! (control flow, dominators, loops, addresses) are computed by the pass that needs them, into tables that the
//! context owns and reuses. Facts about control flow hold until a pass that has changed edges between reachable
//! blocks says so ([`PassContext::forget_flow`]), for the passes that follow on the same body, too. No pass trusts
//! another fact that it did not compute.
//!
//! What no pass may change: which exception is thrown, when, and whether; volatile and atomic accesses and their
//! order; convergent ops and their order; termination. Results stay bit-equal, the payload of NaNs aside.

pub mod effects;
pub mod replace;
pub mod addresses;
pub mod ssa;
pub mod copy;
pub mod sroa;
pub mod mem2reg;
pub mod simplify;
mod simplify_arithmetic;
mod simplify_compare;
mod simplify_convert;
mod simplify_address;
pub mod cse;
pub mod implied;
pub mod dce;
pub mod simplify_cfg;
mod if_convert;
mod thread_edges;
pub mod rotate;
mod preheader;
pub mod licm;
mod trip_count;
pub mod unroll;
pub mod indvars;

#[cfg(test)]
mod tests;

use crate::inline;
use addresses::Addresses;
use cranelift_entity::SecondaryMap;
use dce::Liveness;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::analysis::loops::Loops;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Value;
use marquetry_ir::types::Types;
use replace::Replacements;
use ssa::SsaUpdater;
use std::sync::Arc;

/// Which facts about control flow the tables hold; each includes those before it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Known {
    #[default]
    Nothing,
    Flow,
    Dominators,
    Loops,
}

/// What passes share: the unit's types, and tables that are reused from run to run.
#[derive(Default)]
pub struct PassContext {
    /// Arrays and structs of the unit.
    pub types: Arc<Types>,
    /// Whether only ops may appear that the body has already: true after legalisation.
    pub light: bool,
    /// Whether known facts are not computed again: while a list of passes runs over one body.
    pub(crate) trusting: bool,
    pub(crate) known: Known,
    pub(crate) cfg: ControlFlow,
    pub(crate) dominators: Dominators,
    pub(crate) loops: Loops,
    pub(crate) addresses: Addresses,
    pub(crate) replacements: Replacements,
    pub(crate) ssa: SsaUpdater,
    pub(crate) liveness: Liveness,
    pub(crate) inlining: inline::Tables,
    pub(crate) facts: implied::Facts,
    pub(crate) cse: cse::Tables,
    /// Which parameters [`simplify_cfg`] found used outside their block.
    pub(crate) outside: SecondaryMap<Value, bool>,
}

impl PassContext {
    /// A context for the functions of a unit.
    pub fn new(types: Arc<Types>) -> Self {
        PassContext { types, ..Self::default() }
    }

    /// For a pass that changed edges between reachable blocks: what was known about control flow is not so any more.
    pub fn changed_edges(&mut self) {
        self.forget_flow();
    }

    /// Edges have changed: what the tables hold is not so any more.
    pub(crate) fn forget_flow(&mut self) {
        self.known = Known::Nothing;
    }

    /// Whether the control flow that is known is the body's.
    pub(crate) fn flow_is_right(&self, body: &Body) -> bool {
        let mut fresh = ControlFlow::new();
        fresh.compute(body);
        let order = self.cfg.reverse_post_order();
        let same = |&block: &_| self.cfg.predecessors(block) == fresh.predecessors(block);
        !self.knows(Known::Flow) || (order == fresh.reverse_post_order() && order.iter().all(same))
    }

    fn knows(&self, what: Known) -> bool {
        self.trusting && self.known >= what
    }

    /// Computes control flow, unless it is known.
    pub(crate) fn find_flow(&mut self, body: &Body) {
        if !self.knows(Known::Flow) {
            self.cfg.compute(body);
            self.known = Known::Flow;
        }
    }

    /// Computes control flow and dominators, as far as they are not known.
    pub(crate) fn find_dominators(&mut self, body: &Body) {
        self.find_flow(body);
        if !self.knows(Known::Dominators) {
            self.dominators.compute(&self.cfg);
            self.known = Known::Dominators;
        }
    }

    /// Computes control flow, dominators and loops, as far as they are not known.
    pub(crate) fn find_loops(&mut self, body: &Body) {
        self.find_dominators(body);
        if !self.knows(Known::Loops) {
            self.loops.compute(&self.cfg, &self.dominators);
            self.known = Known::Loops;
        }
    }
}
