//! How often a loop runs, if that follows from constants.
//!
//! Simulates the loop's counters: header parameters that start as constants and whose next value is computed from
//! such parameters and constants alone, by [`marquetry_ir::semantics`]. Costs the number of rounds.

use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::entity::{Block, BlockCall, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::vector::lane_scalar;
use marquetry_ir::semantics::{Outcome, scalar};
use smallvec::SmallVec;

/// How many instructions deep a counter's next value may be.
const MAX_DEPTH: usize = 4;

/// A loop that is tested at its bottom.
pub(super) struct Test {
    /// The loop's header.
    pub header: Block,
    /// The only edge into the loop.
    pub entry: BlockCall,
    /// The only edge back.
    pub back: BlockCall,
    /// Whether control goes back, as opposed to leaving.
    pub condition: Value,
    /// For which value of the condition control goes back.
    pub goes_back_if: bool,
}

/// How often a loop runs.
pub(super) struct Trips {
    /// Rounds, once it is entered.
    pub rounds: usize,
    /// Which of the header's parameters are known in every round.
    pub known: SmallVec<[bool; 8]>,
}

/// How many rounds the loop runs once it is entered, if that is known and at most `limit`.
pub(super) fn trip_count(body: &Body, test: &Test, limit: usize) -> Option<Trips> {
    let constant = |&arg: &Value| body.value_bits(arg);
    let mut state: SmallVec<[Option<u128>; 8]> = body.target_args(test.entry).iter().map(constant).collect();
    if !state.iter().any(Option::is_some) {
        return None;
    }
    let mut next: SmallVec<[Option<u128>; 8]> = SmallVec::new();
    for round in 1..=limit {
        let condition = evaluate(body, test.header, &state, test.condition, MAX_DEPTH)?;
        if (condition != 0) != test.goes_back_if {
            return Some(Trips { rounds: round, known: state.iter().map(Option::is_some).collect() });
        }
        let args = body.target_args(test.back).iter();
        next.clear();
        next.extend(args.map(|&arg| evaluate(body, test.header, &state, arg, MAX_DEPTH)));
        std::mem::swap(&mut state, &mut next);
    }
    None
}

/// A scalar's bits in a round in which the header's parameters are `state`. Recursion is as deep as `depth` says.
fn evaluate(body: &Body, header: Block, state: &[Option<u128>], value: Value, depth: usize) -> Option<u128> {
    match body.value_def(value) {
        ValueDef::Const(_) => body.value_bits(value),
        ValueDef::Param(block, n) if block == header => state.get(n as usize).copied().flatten(),
        ValueDef::Param(..) => None,
        ValueDef::Result(inst, 0) if depth > 0 => {
            let data = body.inst(inst);
            let args = body.args(inst);
            if !data.op.effects().is_pure() || args.len() > 3 || body.value_type(value).is_vector() {
                return None;
            }
            let bits: SmallVec<[u128; 3]> = args
                .iter()
                .map(|&arg| evaluate(body, header, state, arg, depth - 1))
                .collect::<Option<_>>()?;
            let operand = *args.get(usize::from(data.op == Op::Select))?;
            let (from, to) = (lane_scalar(body.value_type(operand))?, lane_scalar(body.value_type(value))?);
            match scalar(data.op, from, to, &bits)? {
                Outcome::Value(bits) | Outcome::Pair(bits, _) => Some(bits),
                Outcome::Throws(_) => None,
            }
        }
        ValueDef::Result(..) => None,
    }
}
