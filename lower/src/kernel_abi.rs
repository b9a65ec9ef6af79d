//! The kernel ABI: how each argument of an entry is passed.
//!
//! | argument | passed |
//! |---|---|
//! | has no bytes (an empty struct, a singleton, an array of none of them) | not at all |
//! | pointer | as it is |
//! | scalar, vector, small aggregate | by value, in as many parts as the target's registers need |
//! | aggregate that a kernel indexes by what it computes, or of more than [`MAX_PARTS`] parts | by value in one block where the target has such ([`Caps::argument_blocks`](crate::target::Caps::argument_blocks)), else by reference |
//!
//! Code reads a block or a reference where it lies: a slot of a kernel that only holds a copy of the argument and is only
//! read becomes the argument's own address, so that nothing is copied to local memory; fields that are taken out of it are
//! loaded one by one, where they are.
//! Functions that hosts call take all arguments in parts. With [`EntryConvention::Packed`] the back-end puts a wrapper of one
//! signature in front of them.

use crate::exceptions::Lowered;
use crate::job::EntryConvention;
use crate::legal::{Argument, EntryAbi, Parts, Passing, Returned, Role};
use crate::passes::replace::Replacements;
use crate::target::Target;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Func, Inst, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::{Aggregate, Space, Type, Types};
use marquetry_ir::unit::Function;
use rustc_hash::{FxHashMap, FxHashSet};

/// Most scalars of an aggregate that is passed part by part, unless a kernel indexes it by what it computes.
pub const MAX_PARTS: u64 = 16;

/// Decides how the arguments of entries are passed, and makes the entries take them so.
pub fn run(lowered: &mut Lowered, target: &dyn Target, convention: EntryConvention) {
    let blocks = target.caps().argument_blocks;
    let types = lowered.unit.types.clone();
    let entries: Vec<Func> = lowered.unit.entries.clone();
    for (&func, abi) in entries.iter().zip(&mut lowered.entries) {
        let function = &mut lowered.unit.funcs[func];
        abi.arguments = arguments(function, abi, &types);
        abi.results = results(function, abi, &types);
        abi.convention = convention;
        if function.kind != MethodKind::Kernel {
            continue;
        }
        let mut uses = None;
        let mut changed = false;
        for n in 0..abi.arguments.len() {
            let argument = &mut abi.arguments[n];
            if !argument.ty.is_aggregate() || argument.passing == Passing::Ghost {
                continue;
            }
            let Some(&param) =
                function.body.entry().and_then(|entry| function.body.block_params(entry).get(n))
            else {
                continue;
            };
            let known = uses.get_or_insert_with(|| Uses::of(&function.body));
            let copies = copies(&function.body, known, param, argument.ty);
            if copies.is_empty() && part_count(&types, argument.ty) <= MAX_PARTS {
                continue;
            }
            argument.passing = if blocks { Passing::Block } else { Passing::Reference };
            let pointer = Type::pointer(if blocks { Space::Param } else { Space::Global });
            point_to(&mut function.body, known, param, argument.ty, &copies, pointer);
            function.signature.params[n] = pointer;
            changed = true;
            uses = None;
        }
        if changed && !lowered.rewritten.contains(&func) {
            lowered.rewritten.push(func);
        }
    }
}

/// The arguments of an entry, as far as they are known before its code is looked at.
fn arguments(function: &Function, abi: &EntryAbi, types: &Types) -> Vec<Argument> {
    let count = function.signature.params.len();
    let first_input = count.saturating_sub(abi.inputs.len());
    let mailbox = abi.mailbox.then(|| first_input.saturating_sub(1));
    let entry = function.body.entry().map_or(&[][..], |entry| function.body.block_params(entry));
    let described = function.signature.params.iter().enumerate().map(|(n, &ty)| {
        let layout = types.layout(ty);
        let (size, align) = layout.map_or((0, 1), |layout| (layout.size, layout.align));
        let passing = match () {
            () if size == 0 => Passing::Ghost,
            () if ty.is_pointer() => Passing::Pointer,
            () => Passing::Parts,
        };
        let role = match n.checked_sub(first_input).and_then(|n| abi.inputs.get(n)) {
            Some(input) => Role::Input(input.name.clone()),
            None if Some(n) == mailbox => Role::Mailbox,
            None if n == 0 && abi.state.is_some() => Role::State,
            None => Role::Argument,
        };
        let name = entry.get(n).and_then(|&param| function.body.names.value(param)).map(Into::into);
        Argument { name, role, passing, ty, size, align, first: 0, parts: Parts::new() }
    });
    described.collect()
}

/// The results of an entry besides its status and the operands of exceptions.
fn results(function: &Function, abi: &EntryAbi, types: &Types) -> Vec<Returned> {
    let own = function.signature.results.iter().skip(usize::from(abi.status) + abi.operands);
    let described = own.map(|&ty| {
        let size = types.layout(ty).map_or(0, |layout| layout.size);
        Returned { ty, size, first: 0, parts: Parts::new() }
    });
    described.collect()
}

/// How many scalars an aggregate consists of, at least: counting ends when there are many.
fn part_count(types: &Types, ty: Type) -> u64 {
    let mut count = 0u64;
    let mut stack = vec![(ty, 1u64)];
    while let Some((ty, times)) = stack.pop() {
        match types.aggregate(ty) {
            Some(Aggregate::Array { element, length }) => {
                if types.layout(*element).is_some_and(|layout| layout.size > 0) {
                    stack.push((*element, times.saturating_mul(*length)));
                }
            }
            Some(Aggregate::Struct { fields, .. }) => {
                stack.extend(fields.iter().map(|field| (field.1, times)))
            }
            Some(Aggregate::Singleton(_)) => {}
            None => count = count.saturating_add(times.saturating_mul(u64::from(ty.lanes()))),
        }
        if count > MAX_PARTS {
            break;
        }
    }
    count
}

/// Who uses values: instructions, and whether edges do.
struct Uses {
    insts: FxHashMap<Value, Vec<Inst>>,
    edges: FxHashSet<Value>,
}

impl Uses {
    fn of(body: &Body) -> Self {
        let mut uses = Uses { insts: FxHashMap::default(), edges: FxHashSet::default() };
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            for &arg in body.args(inst) {
                uses.insts.entry(arg).or_default().push(inst);
            }
            for &call in body.targets(inst) {
                uses.edges.extend(body.target_args(call));
            }
        }
        uses
    }

    fn insts(&self, value: Value) -> &[Inst] {
        self.insts.get(&value).map_or(&[], |list| list)
    }
}

/// A slot that holds a copy of an argument and nothing else, ever.
struct Copied {
    slot: Inst,
    store: Inst,
    /// The addresses in it.
    derived: Vec<Value>,
}

/// The slots that only hold a copy of an argument.
fn copies(body: &Body, uses: &Uses, param: Value, ty: Type) -> Vec<Copied> {
    let stores = uses.insts(param).iter().copied().filter(|&inst| body.inst(inst).op == Op::Store);
    let in_entry = |inst: Inst| body.entry().is_some() && body.inst_block(inst) == body.entry();
    let mut found: Vec<Copied> = Vec::new();
    for store in stores {
        let &[address, value] = body.args(store) else { continue };
        let Some(slot) = body.value_inst(address).filter(|&inst| body.inst(inst).op == Op::Slot) else {
            continue;
        };
        if value == param
            && body.inst(slot).ty == ty
            && !MemFlags::from_bits(body.inst(store).imm).is_volatile()
            && found.iter().all(|copied| copied.slot != slot)
            && in_entry(store)
            && let Some(derived) = only_read(body, uses, address, store)
        {
            found.push(Copied { slot, store, derived });
        }
    }
    found
}

/// All addresses computed from a slot's, if the slot is only read but for one store.
fn only_read(body: &Body, uses: &Uses, slot: Value, store: Inst) -> Option<Vec<Value>> {
    let mut derived = vec![slot];
    let mut next = 0;
    while let Some(&address) = derived.get(next) {
        next += 1;
        if uses.edges.contains(&address) {
            return None;
        }
        for &inst in uses.insts(address) {
            let data = body.inst(inst);
            match data.op {
                Op::Load if !MemFlags::from_bits(data.imm).is_volatile() => {}
                Op::Index | Op::FieldAddress | Op::PtrAdd if body.args(inst).first() == Some(&address) => {
                    derived.extend(body.first_result(inst));
                }
                _ if inst == store => {}
                _ => return None,
            }
        }
    }
    Some(derived)
}

/// Makes a parameter the address of what it was.
fn point_to(body: &mut Body, uses: &Uses, param: Value, ty: Type, copies: &[Copied], pointer: Type) {
    let mut replaced = Replacements::default();
    let mut stored = 0;
    for Copied { slot, store, derived } in copies {
        stored += 1;
        for &address in derived {
            let old = body.value_type(address);
            body.set_value_type(address, pointer);
            if let Some(inst) = body.value_inst(address).filter(|&inst| body.inst(inst).ty == old) {
                body.set_ty(inst, pointer);
            }
        }
        body.remove_inst(*store);
        if let Some(address) = body.first_result(*slot) {
            replaced.set(address, param);
        }
        body.remove_inst(*slot);
    }
    let first = body.entry().and_then(|entry| body.first_inst(entry));
    let fields = gets(body, uses, param);
    let others = uses.insts(param).len() > stored + fields.len() || uses.edges.contains(&param);
    body.set_value_type(param, pointer);
    if others && let Some(first) = first {
        let load = body.make_inst(Op::Load, ty, &[param], MemFlags::plain().bits());
        body.make_results(load, &[ty]);
        let mut whole = Replacements::default();
        if let Some(value) = body.first_result(load) {
            whole.set(param, value);
        }
        whole.apply(body);
        // Only now: the load itself reads the address.
        body.insert_inst_before(load, first);
    }
    // After that, for the same reason.
    read_fields(body, uses, fields, (param, ty), pointer, &mut replaced);
    replaced.apply(body);
}

/// What takes fields out of a value.
fn gets(body: &Body, uses: &Uses, value: Value) -> Vec<Inst> {
    uses.insts(value).iter().copied().filter(|&inst| body.inst(inst).op == Op::GetField).collect()
}

/// Has each field that code takes out of an argument be read alone, at the argument's address. What takes fields out of
/// fields reads those.
fn read_fields(
    body: &mut Body,
    uses: &Uses,
    fields: Vec<Inst>,
    (param, ty): (Value, Type),
    pointer: Type,
    replaced: &mut Replacements,
) {
    // Instructions to go, with the address and the type of what they take from.
    let mut work: Vec<(Inst, Value, Type)> = fields.into_iter().map(|inst| (inst, param, ty)).collect();
    while let Some((inst, address, ty)) = work.pop() {
        let Some(field) = body.first_result(inst) else { continue };
        let of = body.value_type(field);
        let at = body.make_inst(Op::FieldAddress, ty, &[address], body.inst(inst).imm);
        body.make_results(at, &[pointer]);
        body.insert_inst_before(at, inst);
        let Some(place) = body.first_result(at) else { continue };
        let inner = gets(body, uses, field);
        let all = inner.len() == uses.insts(field).len() && !uses.edges.contains(&field);
        work.extend(inner.iter().map(|&inner| (inner, place, of)));
        if !all {
            let load = body.make_inst(Op::Load, of, &[place], MemFlags::plain().bits());
            body.make_results(load, &[of]);
            body.insert_inst_before(load, inst);
            if let Some(value) = body.first_result(load) {
                replaced.set(field, value);
            }
        }
        body.remove_inst(inst);
    }
}
