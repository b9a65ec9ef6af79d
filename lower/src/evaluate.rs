//! Compile-time evaluation: pure calls with constant arguments are computed by the reference interpreter.
//!
//! The interpreter runs the very bodies that the job would compile, with fuel; a call that throws, does not end in time
//! or is not pure stays. A call also stays if anything it reaches means something else elsewhere: a method of an overlay
//! that is not `consistent`, or a body of base that the device table replaces, a sentinel. So a result that is computed
//! here is the same in every job, and one that is not must come from where it belongs.

use crate::call_graph;
use crate::dispatch::edges::Instance;
use crate::dispatch::pattern::accept_in;
use crate::effects::{self, FuncEffects};
use crate::passes::{PassContext, simplify};
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::body::Body;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Block, Func, Inst, Table, Value};
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::op::Op;
use marquetry_ir::program::{Program, World};
use marquetry_ir::types::{Type, TypeKind};
use marquetry_ir::unit::{Function, Unit};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Instructions of one call at most.
const CALL_FUEL: u64 = 1 << 16;
/// Instructions of all calls of a unit at most.
const UNIT_FUEL: u64 = 1 << 22;
/// Bytes of memory of one call at most.
const MEMORY: u64 = 1 << 20;
/// Times that results become arguments of other calls.
const ROUNDS: usize = 4;

/// What a call computes; none if it stays.
type Results = Option<Vec<Val>>;

/// Evaluates the calls of a unit whose functions are these instances, in this order. Says how many went.
pub fn run(program: &Program, world: World, unit: &mut Unit, instances: &[Instance]) -> usize {
    if !has_candidates(unit) {
        return 0;
    }
    let overridden = |func: Func| match instances.get(func.index()) {
        Some(instance) if !is_overridden(program, world, unit, instance) => FuncEffects::PURE,
        _ => FuncEffects::OVERRIDDEN,
    };
    let effects = effects::find(unit, overridden);
    let mut known: FxHashMap<(Func, Vec<Val>), Results> = FxHashMap::default();
    let mut fuel = UNIT_FUEL;
    let mut ctx = PassContext::new(unit.types.clone());
    let mut count = 0;
    let mut changed: Vec<Func> = unit.funcs.keys().collect();
    for _ in 0..ROUNDS {
        let mut calls: Vec<(Func, Inst, Func, Vec<Val>)> = Vec::new();
        for &func in &changed {
            find_calls(unit, func, &effects, |inst, callee, args| calls.push((func, inst, callee, args)));
        }
        if calls.is_empty() {
            break;
        }
        let mut interp = None;
        for (_, _, callee, args) in &calls {
            let key = (*callee, args.clone());
            if known.contains_key(&key) || fuel == 0 {
                continue;
            }
            let config = Config { fuel: CALL_FUEL.min(fuel), memory: MEMORY, subgroup_size: 1, races: false };
            let interp = interp.get_or_insert_with(|| Interp::new(unit, config));
            let before = interp.steps();
            let results = match interp.call(*callee, args) {
                Ok(Ended::Returned(values)) => Some(values),
                Ok(Ended::Threw(_)) | Err(_) => None,
            };
            fuel = fuel.saturating_sub(interp.steps().wrapping_sub(before).max(1));
            known.insert(key, results);
        }
        changed.clear();
        let mut of_func: FxHashMap<Func, Vec<(Inst, Vec<Val>)>> = FxHashMap::default();
        for (func, inst, callee, args) in calls {
            if let Some(Some(values)) = known.get(&(callee, args)) {
                of_func.entry(func).or_default().push((inst, values.clone()));
                changed.extend((changed.last() != Some(&func)).then_some(func));
            }
        }
        for func in &changed {
            let (Some(calls), Some(function)) = (of_func.remove(func), unit.funcs.get_mut(*func)) else {
                continue;
            };
            count += calls.len();
            replace(&mut function.body, &calls);
            simplify::run(&mut function.body, &mut ctx);
        }
    }
    count
}

/// What calls that are computed may do.
const ALLOWED: FuncEffects = FuncEffects::THROWS.and(FuncEffects::NONTOTAL);
/// How many functions are looked at to find out that nothing can be computed.
const MAX_REACHED: usize = 32;

/// Whether any call could be computed; where it takes much to find out, it may be.
fn has_candidates(unit: &Unit) -> bool {
    let mut budget = MAX_REACHED;
    let calling = |function: &&Function| function.body.may_have(Op::Call);
    unit.funcs.values().filter(calling).any(|Function { body, .. }| {
        let mut insts = body.blocks().flat_map(|block| body.block_insts(block));
        insts.any(|inst| candidate(body, inst).is_some_and(|callee| may_be_pure(unit, callee, &mut budget)))
    })
}

/// Whether nothing that a function leads to is plainly more than what is allowed.
fn may_be_pure(unit: &Unit, func: Func, budget: &mut usize) -> bool {
    let mut reached: SmallVec<[Func; 8]> = SmallVec::from_slice(&[func]);
    let mut next = 0;
    while let Some(&func) = reached.get(next) {
        next += 1;
        let Some(left) = budget.checked_sub(1) else { return true };
        *budget = left;
        let Some(Function { body, .. }) = unit.funcs.get(func) else { return true };
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            if !effects::of_inst(body, inst).is_within(ALLOWED) {
                return false;
            }
            if let Some(callee) = call_graph::callee(body, inst).filter(|callee| !reached.contains(callee)) {
                if reached.len() > MAX_REACHED {
                    return true;
                }
                reached.push(callee);
            }
        }
    }
    true
}

/// The callee of a call whose arguments are constants and whose results can be.
fn candidate(body: &Body, inst: Inst) -> Option<Func> {
    let callee = call_graph::callee(body, inst)?;
    let is_constant = |value: &Value| body.value_const(*value).is_some_and(|data| is_plain(data.ty));
    let mut results = body.results(inst);
    let plain = results.len() > 0 && results.all(|value| is_plain(body.value_type(value)));
    (plain && body.args(inst).iter().all(is_constant)).then_some(callee)
}

/// Whether an instance means something else in other jobs.
fn is_overridden(program: &Program, world: World, unit: &Unit, instance: &Instance) -> bool {
    let data = program.method(instance.method);
    if data.table() != Table::BASE {
        return !data.consistent;
    }
    // A body that devices replace stands for what the host cannot do.
    let Some(overloads) = program.overloads(&data.name) else { return false };
    let exact = overloads.taking(Table::DEVICE, &instance.arguments).iter().copied();
    let mut others = exact.chain(overloads.generic(Table::DEVICE, &instance.arguments));
    others.any(|method| {
        let other = program.method(method);
        program.is_alive(method, world)
            && !other.consistent
            && accept_in(&unit.types, other, &instance.arguments).is_ok()
    })
}

/// Types whose values are constants that the interpreter takes and gives.
fn is_plain(ty: Type) -> bool {
    matches!(ty.kind(), TypeKind::Scalar(_) | TypeKind::Vector(..))
}

fn find_calls(
    unit: &Unit,
    func: Func,
    effects: &SecondaryMap<Func, FuncEffects>,
    mut f: impl FnMut(Inst, Func, Vec<Val>),
) {
    let Some(function) = unit.funcs.get(func) else { return };
    let body = &function.body;
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        let Some(callee) = candidate(body, inst).filter(|&callee| effects[callee].is_within(ALLOWED)) else {
            continue;
        };
        let args: Option<Vec<Val>> = body.args(inst).iter().map(|&arg| constant(body, arg)).collect();
        if let Some(args) = args {
            f(inst, callee, args);
        }
    }
}

fn constant(body: &Body, value: Value) -> Option<Val> {
    let data = body.value_const(value).filter(|data| is_plain(data.ty))?;
    match &data.value {
        ConstValue::Scalar(bits) => Some(Val::Bits(*bits)),
        ConstValue::Lanes(lanes) => Some(Val::Lanes(lanes.clone())),
        ConstValue::Zero | ConstValue::Literal(_) | ConstValue::Variable(_) => None,
    }
}

/// Puts results in the places of calls.
fn replace(body: &mut Body, calls: &[(Inst, Vec<Val>)]) {
    let mut replaced: FxHashMap<Value, Value> = FxHashMap::default();
    for (inst, values) in calls {
        let results: Vec<Value> = body.results(*inst).collect();
        for (result, value) in results.into_iter().zip(values) {
            let ty = body.value_type(result);
            let constant = match value {
                Val::Bits(bits) => body.make_scalar(ty, *bits),
                Val::Lanes(lanes) => {
                    body.make_const(ConstData { ty, value: ConstValue::Lanes(lanes.clone()) })
                }
                // Only plain results are asked for.
                Val::Bytes(_) => continue,
            };
            replaced.insert(result, constant);
        }
        body.remove_inst(*inst);
    }
    let blocks: Vec<Block> = body.blocks().collect();
    for block in blocks {
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            body.rewrite_operands(inst, |value| replaced.get(&value).copied().unwrap_or(value));
        }
    }
}
