//! The optimiser's passes: one file each, all of one shape.
//!
//! A pass takes a body and the [`PassContext`], says whether it changed anything, and leaves the body valid. Facts
//! (control flow, dominators, loops, addresses) are computed by the pass that needs them, into tables that the
//! context owns and reuses. No pass trusts a fact that another pass computed.
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

use addresses::Addresses;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::analysis::loops::Loops;
use marquetry_ir::body::Body;
use marquetry_ir::types::Types;
use replace::Replacements;
use ssa::SsaUpdater;
use std::sync::Arc;

/// What passes share: the unit's types, and tables that are reused from run to run.
#[derive(Default)]
pub struct PassContext {
    /// Arrays and structs of the unit.
    pub types: Arc<Types>,
    /// Whether only ops may appear that the body has already: true after legalisation.
    pub light: bool,
    pub(crate) cfg: ControlFlow,
    pub(crate) dominators: Dominators,
    pub(crate) loops: Loops,
    pub(crate) addresses: Addresses,
    pub(crate) replacements: Replacements,
    pub(crate) ssa: SsaUpdater,
}

impl PassContext {
    /// A context for the functions of a unit.
    pub fn new(types: Arc<Types>) -> Self {
        PassContext { types, ..Self::default() }
    }

    /// Computes control flow.
    pub(crate) fn find_flow(&mut self, body: &Body) {
        self.cfg.compute(body);
    }

    /// Computes control flow and dominators.
    pub(crate) fn find_dominators(&mut self, body: &Body) {
        self.cfg.compute(body);
        self.dominators.compute(&self.cfg);
    }

    /// Computes control flow, dominators and loops.
    pub(crate) fn find_loops(&mut self, body: &Body) {
        self.find_dominators(body);
        self.loops.compute(&self.cfg, &self.dominators);
    }
}
