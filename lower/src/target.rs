//! What lowering asks of a target: data, and one question per op.
//!
//! `lower` owns this trait, `codegen` implements it, so nothing here names a back-end.

use crate::query::Answer;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};

/// How an op on some type becomes something that the target can do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The emitter has it.
    Legal,
    /// Rewritten in terms of other ops of the language, which are asked about in turn.
    Expand,
    /// Computed in another, wider scalar type and converted back; only where that rounds once.
    Promote(Scalar),
    /// The target cannot do it; the reason is shown to the user.
    Unsupported(&'static str),
}

/// How values of a type are held in registers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TypeAction {
    /// As they are.
    Legal,
    /// In two values: the halves of a vector, or the low and high half of an integer, low first.
    Halves,
    /// One value per lane.
    Lanes,
    /// The target has no such type; the reason is shown to the user.
    Unsupported(&'static str),
}

/// What a target is able to do, as data.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caps {
    /// Whether functions can be called, as opposed to being inlined into kernels.
    pub calls: bool,
    /// Whether a function may call itself.
    pub recursion: bool,
    /// Whether functions have addresses.
    pub indirect_calls: bool,
    /// Whether control flow must be structured.
    pub structured: bool,
    /// Whether entries can be functions that hosts call, as opposed to kernels.
    pub functions: bool,
    /// Whether entries can be kernels.
    pub kernels: bool,
    /// Whether functions of the host can be called.
    pub externs: bool,
    /// Whether memory can be copied and filled by one op; else they become loops.
    pub memory_ops: bool,
    /// Whether variables can be in global memory, where they outlive a launch.
    pub global_variables: bool,
    /// Whether atomics and fences can be sequentially consistent.
    pub sequential_consistency: bool,
    /// Whether memory accesses can be volatile.
    pub volatile_accesses: bool,
    /// Whether a work-item may return while others of its group still meet at barriers.
    pub early_returns: bool,
    /// Most bytes of shared memory per group; 0 for none.
    pub max_shared_bytes: u64,
    /// Whether a kernel can take an aggregate by value as one block of bytes with an address in `param`; else large
    /// ones are passed by reference.
    pub argument_blocks: bool,
    /// Most bytes of kernel arguments.
    pub max_argument_bytes: u64,
}

/// A target, as lowering sees it: immutable, shared between threads.
pub trait Target: Send + Sync {
    /// Its full spelling, as on the command line: `ptx:sm_90`.
    fn name(&self) -> String;

    /// What it is able to do.
    fn caps(&self) -> &Caps;

    /// How values of a scalar, vector or pointer type are held. Aggregates never reach a target.
    fn type_action(&self, ty: Type) -> TypeAction;

    /// How an op becomes legal.
    ///
    /// `from` is the type of the first operand: a pointer for memory accesses and addresses. It is the value's type
    /// for `store`, `select` and atomics other than loads, and the result's type where there is no operand (`i32`
    /// where there is no result either). `to` is the type of the first result, or `from` if there is none.
    ///
    /// Asked only about types that are held as they are; not about calls, terminators and `slot`, which every target
    /// must have, and about `extract` and `insert` only with lane numbers that are no constants.
    fn action(&self, op: Op, from: Type, to: Type) -> Action;

    /// What it says about itself: its answers to some of [`KEYS`](crate::query::KEYS), where those that hold for
    /// everything do not do.
    fn answer(&self, key: &str) -> Option<Answer> {
        let _ = key;
        None
    }
}
