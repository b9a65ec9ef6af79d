//! Functions and entry points: how arguments arrive.
//!
//! | | OpenCL | Vulkan |
//! |---|---|---|
//! | kernel arguments | parameters of the function; `i1` as a byte, `ptr<generic>` as a global pointer | the argument block ([`argument_block`]): the push constants if it has at most 128 bytes, else in a buffer whose address is the only push constant |
//! | group size | set at launch | `LocalSizeId` (built-in `WorkgroupSize` before 1.3): specialisation constants 0, 1, 2; 64, 1, 1 by default |
//! | contraction | off, by an execution mode | off, by decorations |
//! | NaN, infinities, zeros | kept | kept, by an execution mode per width |
//!
//! Functions return nothing, their result, or a struct of their results.

use super::module::Id;
use super::select::{Selector, State, Uses};
use super::{Api, internal};
use crate::artifact::argument_block;
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::Func;
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::{Space, Type};
use rspirv::spirv::{
    BuiltIn, Capability, Decoration, ExecutionMode, ExecutionModel, FunctionControl, MemoryAccess, Op,
    StorageClass,
};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// The most bytes of push constants that every device of Vulkan has.
pub const PUSH_CONSTANT_BYTES: u32 = 128;

/// Emits one function of the unit.
pub(super) fn function(state: &mut State<'_>, func: Func, cfg: &ControlFlow) -> Result<(), EmitError> {
    let mut selector = Selector::new(state, func, cfg);
    let function = selector.function;
    let kernel = function.kind == MethodKind::Kernel;
    let id = *selector
        .state
        .functions
        .get(func.as_u32() as usize)
        .ok_or_else(|| internal("a dangling function"))?;
    selector.prologue_label = selector.module().id();
    let entry = selector.body.entry().ok_or_else(|| internal("a function without blocks"))?;
    let params = selector.body.block_params(entry);

    let result = selector.module().result_type(&function.signature.results)?;
    let by_block = kernel && selector.is_vulkan();
    let mut param_types = SmallVec::<[Id; 16]>::new();
    if !by_block {
        for &ty in &function.signature.params {
            param_types.push(match kernel {
                true => selector.module().kernel_parameter(ty)?,
                false => selector.type_id(ty)?,
            });
        }
    }
    let mut signature = SmallVec::<[Id; 16]>::from_slice(&[result]);
    signature.extend_from_slice(&param_types);
    let ty = selector.module().intern_type(Op::TypeFunction, &signature);
    selector.buffers.head.op(Op::Function, &[result, id, FunctionControl::NONE.bits(), ty]);
    selector.in_prologue = true;
    if by_block {
        let arguments = block_arguments(&mut selector, &function.signature.params)?;
        params
            .iter()
            .zip(arguments)
            .for_each(|(&param, id)| selector.buffers.ids[param.as_u32() as usize] = id);
    } else {
        for (n, &param) in params.iter().enumerate() {
            let held = *param_types.get(n).ok_or_else(|| internal("an entry block with other parameters"))?;
            let mut argument = selector.module().id();
            selector.buffers.head.op(Op::FunctionParameter, &[held, argument]);
            let ty = selector.body.value_type(param);
            if kernel && ty == Type::I1 {
                argument = selector.byte_to_truth(argument);
            } else if kernel && ty.space() == Some(Space::Generic) {
                let generic = selector.type_id(ty)?;
                argument = selector.emit(Op::PtrCastToGeneric, generic, &[argument]);
            }
            selector.buffers.ids[param.as_u32() as usize] = argument;
        }
    }
    selector.in_prologue = false;
    for &param in params {
        let id = selector.buffers.ids.get(param.as_u32() as usize).copied().unwrap_or(0);
        if id != 0 {
            selector.name_value(param, id);
        }
    }
    if selector.state.debug.is_on() && !unit_entry(&selector, func) {
        selector.state.module.name(id, &function.name);
    }
    match selector.state.module.env.api {
        Api::Vulkan => selector.structured()?,
        Api::OpenCl => selector.unstructured()?,
    }

    let (label, first) = (selector.prologue_label, selector.first_label);
    let buffers = selector.buffers;
    if let Some(uses) = state.uses.get_mut(func.as_u32() as usize) {
        uses.settle();
    }
    let out = &mut state.module.functions;
    out.0.extend_from_slice(&buffers.head.0);
    out.op(Op::Label, &[label]);
    out.0.extend_from_slice(&buffers.locals.0);
    out.0.extend_from_slice(&buffers.prologue.0);
    out.op(Op::Branch, &[first]);
    out.0.extend_from_slice(&buffers.code.0);
    out.op(Op::FunctionEnd, &[]);
    state.scratch.buffers = buffers;
    Ok(())
}

/// Whether a function is an entry point, which is named in any case.
fn unit_entry(selector: &Selector<'_, '_>, func: Func) -> bool {
    selector.unit.entries.contains(&func)
}

/// The arguments of a kernel for Vulkan, loaded from their block.
fn block_arguments(
    selector: &mut Selector<'_, '_>,
    params: &[Type],
) -> Result<SmallVec<[Id; 16]>, EmitError> {
    let (slots, size) = argument_block(params);
    if params.is_empty() {
        return Ok(SmallVec::new());
    }
    let by_address = size > PUSH_CONSTANT_BYTES;
    let mut members = SmallVec::<[Id; 16]>::new();
    if by_address {
        members.push(selector.module().int(64));
    } else {
        for &ty in params {
            let held = selector.module().memory_type(ty);
            members.push(held.ok_or_else(|| internal(&format!("a parameter of type {ty} in a legal unit")))?);
        }
    }
    // Decorated types are never shared: another kernel's block has other offsets.
    let block = selector.module().new_struct(&members);
    selector.module().decorate(block, Decoration::Block, &[]);
    for n in 0..members.len() as u32 {
        let offset = if by_address { 0 } else { slots.get(n as usize).map_or(0, |s| s.offset) };
        selector.module().decorate_member(block, n, Decoration::Offset, offset);
    }
    let pointer = selector.module().pointer(StorageClass::PushConstant, block);
    let class = StorageClass::PushConstant as u32;
    let variable = selector.module().global(Op::Variable, pointer, &[class]);
    selector.use_global(variable);
    let mut arguments = SmallVec::with_capacity(params.len());
    let mut base = 0;
    for (n, (&member, slot)) in members.iter().zip(&slots).enumerate() {
        match slot.size {
            _ if by_address => {}
            1 => selector.module().caps.add(Capability::StoragePushConstant8),
            2 => selector.module().caps.add(Capability::StoragePushConstant16),
            _ => {}
        }
        let index = selector.module().u32(n as u32);
        let place = selector.module().pointer(StorageClass::PushConstant, member);
        let place = selector.emit(Op::AccessChain, place, &[variable, index]);
        let loaded = selector.emit(Op::Load, member, &[place]);
        base = loaded;
        let ty = params.get(n).copied().unwrap_or(Type::ERROR);
        arguments.push(if !by_address && ty == Type::I1 { selector.byte_to_truth(loaded) } else { loaded });
    }
    if by_address {
        arguments.clear();
        for (&ty, slot) in params.iter().zip(&slots) {
            let (long, offset) = (selector.module().int(64), u64::from(slot.offset));
            let offset = selector.module().const_int(64, offset);
            let address = selector.emit(Op::IAdd, long, &[base, offset]);
            arguments.push(selector.load_address(address, ty, slot.align, MemoryAccess::NONE)?);
        }
    }
    Ok(arguments)
}

/// Declares the entry points of the unit.
pub(super) fn entry_points(state: &mut State<'_>) -> Result<(), EmitError> {
    for &func in &state.unit.entries {
        let function = &state.unit.funcs[func];
        if function.kind != MethodKind::Kernel {
            return Err(internal("an entry that is no kernel"));
        }
        let id = *state.functions.get(func.as_u32() as usize).ok_or_else(|| internal("a dangling entry"))?;
        let all = state.module.caps.lists_all_variables();
        let is_input = |id: u32| state.builtins.iter().any(|&(_, input)| input == id);
        let mut interface = used_globals(state, func);
        interface.retain(|id| all || is_input(*id));
        let vulkan = state.module.is_vulkan();
        let model = if vulkan { ExecutionModel::GLCompute } else { ExecutionModel::Kernel };
        state.module.name(id, &function.name);
        state.module.entry_point(model, id, &function.name, &interface);
        if vulkan {
            if state.module.env.minor >= 3 {
                let sizes = match state.group_size {
                    Some(sizes) => sizes,
                    None => *state.group_size.insert(state.module.group_size()),
                };
                state.module.mode_ids(id, ExecutionMode::LocalSizeId, &sizes);
            } else {
                state.module.mode(id, ExecutionMode::LocalSize, &[64, 1, 1]);
            }
            for width in state.module.float_widths() {
                state.module.caps.add(Capability::SignedZeroInfNanPreserve);
                state.module.mode(id, ExecutionMode::SignedZeroInfNanPreserve, &[width]);
            }
        } else {
            state.module.mode(id, ExecutionMode::ContractionOff, &[]);
        }
    }
    if state.module.is_vulkan() && state.module.env.minor < 3 {
        // The built-in overrides LocalSize, and needs no feature.
        let sizes = match state.group_size {
            Some(sizes) => sizes,
            None => state.module.group_size(),
        };
        let vector = state.module.int_vector(32, 3);
        let size = state.module.global(Op::SpecConstantComposite, vector, &sizes);
        state.module.decorate(size, Decoration::BuiltIn, &[BuiltIn::WorkgroupSize as u32]);
    }
    Ok(())
}

/// The module-scope variables that a function and those that it calls use.
fn used_globals(state: &State<'_>, func: Func) -> SmallVec<[Id; 8]> {
    let mut used = SmallVec::new();
    let mut seen = BTreeSet::new();
    let mut work = SmallVec::<[u32; 8]>::from_slice(&[func.as_u32()]);
    while let Some(at) = work.pop() {
        let Some(Uses { globals, callees }) = state.uses.get(at as usize) else { continue };
        used.extend_from_slice(globals);
        work.extend(callees.iter().copied().filter(|&callee| callee != func.as_u32() && seen.insert(callee)));
    }
    if !seen.is_empty() {
        used.sort_unstable();
        used.dedup();
    }
    used
}
