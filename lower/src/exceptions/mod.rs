//! Exceptions become results: no target unwinds.
//!
//! A function that may throw gets a first result, its status: 0, or the number of the throwing site plus one. Its
//! callers test the status and pass it on. A kernel that may throw gets a last parameter, the mailbox; the first
//! work-item to throw leaves a [`record`] there, and every work-item that throws returns.
//!
//! Operands of exceptions are results as well, words of 64 bits behind the status: of the functions that such an
//! exception passes, and as many for all of them as the `throw` or `assert` with the most has. Where none has operands nothing
//! is different.
//!
//! Functions whose address is taken count as throwing, so that indirect calls have one convention: the first result
//! is a status. Entries that throw nothing of their own stay as they are for their hosts: addresses lead to functions that
//! call them. After this stage no op throws: divisions are `guarded`, which also means that a guarded `rem.s`
//! never sees the divisor -1.

mod addressed;
mod callers;
mod guards;
pub mod places;
pub mod record;
mod rewrite;
mod throwing;

use crate::call_graph;
use crate::failure::{Failure, Limit};
use crate::job::ThrowPolicy;
use crate::legal::{EntryAbi, Site};
use crate::observe::Observer;
use crate::optimise;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Func, SigRef};
use marquetry_ir::limits::{MAX_PARAMS, MAX_RESULTS};
use marquetry_ir::op::{Effects, Op, OpSet};
use marquetry_ir::program::MethodKind;
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::{Function, Unit};
use marquetry_ir::verify::Verified;
use record::Exits;
use rustc_hash::FxHashMap;

/// A unit without `throw`, as only this stage makes it, from verified code.
#[derive(Clone, Debug)]
pub struct Lowered {
    pub(crate) unit: Unit,
    pub(crate) sites: Vec<Site>,
    pub(crate) entries: Vec<EntryAbi>,
    /// The functions whose code is not what it was.
    pub(crate) rewritten: Vec<Func>,
    /// Whether nothing is left that nobody uses: the optimiser ran.
    pub(crate) tidy: bool,
    /// How kernels are left with an exception.
    pub(crate) exits: Exits,
}

impl Lowered {
    /// The code.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The places that throw, by number.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// One per entry of the unit, in order.
    pub fn entries(&self) -> &[EntryAbi] {
        &self.entries
    }

    /// Runs the passes that tidy up after a stage.
    pub fn cleanup(&mut self, observer: &mut dyn Observer) {
        optimise::cleanup(&mut self.unit, observer);
    }
}

/// What throws, and what may lead to something that does.
const CONCERNED: OpSet = {
    let mut found = [Op::Throw; Op::ALL.len()];
    let mut n = 0;
    while n < found.len() {
        let op = Op::ALL[n];
        if op.effects().has(Effects::THROW.and(Effects::CALL)) {
            found[n] = op;
        }
        n += 1;
    }
    let mut set = OpSet::of(&found);
    set = set.with(&OpSet::of(&[Op::Unreachable, Op::FunctionAddress]));
    set
};

/// Type of a kernel's mailbox parameter.
pub const MAILBOX: Type = Type::pointer(Space::Global);

/// Lowers the exceptions of a unit, which leave as usual.
///
/// # Errors
/// A limit is passed.
pub fn run(unit: Verified) -> Result<Lowered, Failure> {
    run_with(unit, ThrowPolicy::default(), false)
}

/// As [`run`], by a policy, and for a target whose control flow must be structured. How it differs is in the code of what
/// throws: the tables are the same.
///
/// # Errors
/// As [`run`].
pub fn run_with(unit: Verified, policy: ThrowPolicy, structured: bool) -> Result<Lowered, Failure> {
    let mut unit = unit.into_unit();
    let is_concerned = |function: &Function| function.body.may_have_any(&CONCERNED);
    if !unit.funcs.values().any(is_concerned) && call_graph::held(&unit).next().is_none() {
        let entries = unit.entries.iter().map(|_| EntryAbi::default()).collect();
        let (sites, rewritten, exits) = Default::default();
        return Ok(Lowered { unit, sites, entries, rewritten, tidy: false, exits });
    }
    addressed::wrap_externs(&mut unit);
    addressed::wrap_entries(&mut unit);
    let throwing = throwing::find(&unit, true);
    for function in unit.funcs.values() {
        for signature in mentioned_signatures(&function.body) {
            check_room(
                signature.results.len() + 1 + throwing.indirect_operands(),
                "results of an indirect call",
                MAX_RESULTS,
            )
            .map_err(|limit| Failure::Limit(limit.at(&function.name, function.file, function.span)))?;
        }
    }
    for (func, function) in unit.funcs.iter_mut() {
        if !throwing.contains(func) {
            continue;
        }
        match function.kind {
            MethodKind::Kernel => function.signature.params.push(MAILBOX),
            MethodKind::Function => {
                function.signature.results.splice(0..0, rewrite::status_types(throwing.operands(func)));
            }
        }
        check_room(function.signature.params.len(), "parameters", MAX_PARAMS)
            .and_then(|()| check_room(function.signature.results.len(), "results", MAX_RESULTS))
            .map_err(|limit| Failure::Limit(limit.at(&function.name, function.file, function.span)))?;
    }
    let funcs: Vec<Func> = unit.funcs.keys().collect();
    let leaves = |func: &Func| throwing.contains(*func) && unit.funcs[*func].kind == MethodKind::Kernel;
    let leaving: Vec<Func> = funcs.iter().copied().filter(leaves).collect();
    let mut sites = rewrite::Sites::default();
    let mut throwers = FxHashMap::default();
    for (n, &kernel) in leaving.iter().enumerate().filter(|_| structured) {
        let (thrower, claim) = record::add_thrower(&mut unit, n, throwing.operands(kernel));
        throwers.insert(kernel, thrower);
        sites.exits.claims.push(claim);
    }
    let kernels = (1..).zip(&unit.entries).map(|(number, &entry)| (entry, number)).collect();
    let trap = policy == ThrowPolicy::Trap;
    let manner = rewrite::Manner { throwers, recorded: !leaving.is_empty(), kernels, trap };
    let mut rewritten = Vec::new();
    for func in funcs {
        let before = unit.funcs[func].body.inst_count();
        rewrite::function(&mut unit, func, &throwing, &manner, &mut sites);
        if unit.funcs[func].body.inst_count() != before {
            rewritten.push(func);
        }
    }
    let rewrite::Sites { list: mut sites, funcs, exits } = sites;
    check_room(sites.len(), "places that throw", i32::MAX as usize - 1).map_err(Failure::Limit)?;
    callers::find(&unit, &mut sites, &funcs);
    let abi = |&func: &Func| {
        let throws = throwing.contains(func);
        let kernel = unit.funcs[func].kind == MethodKind::Kernel;
        let operands = if kernel { 0 } else { throwing.operands(func) };
        EntryAbi { status: throws && !kernel, operands, mailbox: throws && kernel, ..EntryAbi::default() }
    };
    let entries = unit.entries.iter().map(abi).collect();
    Ok(Lowered { unit, sites, entries, rewritten, tidy: false, exits })
}

/// The functions that throw by an op of their own or of a callee. After lowering there are none, but new ones.
pub(crate) fn throwing_functions(unit: &Unit) -> Vec<Func> {
    let throws = |func: &Func| {
        let body = &unit.funcs[*func].body;
        body.blocks().flat_map(|block| body.block_insts(block)).any(|inst| {
            let data = body.inst(inst);
            !data.guarded
                && !matches!(data.op, Op::Call | Op::CallIndirect)
                && data.op.effects().has(Effects::THROW)
        })
    };
    unit.funcs.keys().filter(throws).collect()
}

fn check_room(found: usize, what: &'static str, limit: usize) -> Result<(), Limit> {
    if found <= limit { Ok(()) } else { Err(Limit::new(what, limit as u64, found as u64)) }
}

/// The signatures that indirect calls of a body mention.
fn mentioned_signatures(body: &Body) -> impl Iterator<Item = &Signature> {
    let insts = body.blocks().flat_map(|block| body.block_insts(block)).map(|inst| body.inst(inst));
    let calls = insts.filter(|data| data.op == Op::CallIndirect && body.signature_exists(data.imm));
    calls.map(|data| body.signature(SigRef::from_u32(data.imm)))
}

#[cfg(test)]
mod tests;
