//! Functions and entry points: how arguments and positions arrive.

use super::intrinsics::POSITIONS;
use super::module::State;
use super::objects::Objects;
use super::select::Selector;
use super::{ShaderTarget, internal, refuse};
use crate::artifact::argument_block;
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Func, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::Type;
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::legal::Legal;
use naga::{
    BinaryOperator as Binary, Binding, EntryPoint, Expression, FunctionArgument, FunctionResult, Span,
    Statement,
};

/// A module, and what its writers need to know besides.
pub(super) struct Shader {
    pub module: naga::Module,
    /// The kernels, in the order of the entry points.
    pub kernels: Vec<Func>,
    /// Whether any of them asks for the number of groups.
    pub group_count: bool,
}

/// The module of a legal unit.
///
/// # Errors
/// What the languages cannot express, or a unit that is not legal.
pub(super) fn module(legal: &Legal, target: &ShaderTarget) -> Result<Shader, EmitError> {
    let unit = legal.unit();
    let cfgs: Vec<ControlFlow> = unit
        .funcs
        .values()
        .map(|function| {
            let mut cfg = ControlFlow::new();
            cfg.compute(&function.body);
            cfg
        })
        .collect();
    let objects = Objects::new(unit, &cfgs)?;
    refuse::check(unit, &cfgs, &objects, target)?;
    let mut state = State::new(unit, objects, target.block());
    for func in callees_first(unit) {
        let cfg = cfgs.get(func.as_u32() as usize).ok_or_else(|| internal("a dangling function"))?;
        match unit.funcs[func].kind {
            MethodKind::Function => function(&mut state, func, cfg),
            MethodKind::Kernel => kernel(&mut state, func, cfg),
        }
        .map_err(|error| error.within(&unit.funcs[func]))?;
    }
    let group_count = state.group_count;
    Ok(Shader { module: state.module, kernels: state.kernels, group_count })
}

/// All functions, each after those that it calls; kernels after all positions are known to be wanted or not.
fn callees_first(unit: &Unit) -> Vec<Func> {
    let count = unit.funcs.len();
    let callees = |func: Func| {
        let body = &unit.funcs[func].body;
        let insts = body.blocks().flat_map(|block| body.block_insts(block));
        let mut list: Vec<Func> = Vec::new();
        for inst in insts.filter(|&inst| body.inst(inst).op == Op::Call) {
            if let Symbol::Func(callee) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) {
                list.push(*callee);
            }
        }
        list
    };
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    for root in unit.funcs.keys() {
        let mut stack = vec![(root, None::<Vec<Func>>)];
        while let Some((func, rest)) = stack.last_mut() {
            let func = *func;
            if rest.is_none() && std::mem::replace(&mut seen[func.as_u32() as usize], true) {
                stack.pop();
                continue;
            }
            match rest.get_or_insert_with(|| callees(func)).pop() {
                Some(callee) => stack.push((callee, None)),
                None => {
                    order.push(func);
                    stack.pop();
                }
            }
        }
    }
    // Stable: kernels call nothing that comes after them.
    order.sort_by_key(|&func| unit.funcs[func].kind == MethodKind::Kernel);
    order
}

fn function(state: &mut State<'_>, func: Func, cfg: &ControlFlow) -> Result<(), EmitError> {
    let mut selector = Selector::new(state, func);
    let source = selector.source;
    let entry = source.body.entry().ok_or_else(|| internal("a function without blocks"))?;
    for (n, &param) in source.body.block_params(entry).iter().enumerate() {
        let ty = selector.state.value_type(source.body.value_type(param))?;
        selector.function.arguments.push(FunctionArgument { name: Some(format!("a{n}")), ty, binding: None });
        let argument = selector.fixed(Expression::FunctionArgument(n as u32));
        selector.values[param.as_u32() as usize] = Some(argument);
    }
    let result = selector.state.result_type(&source.signature.results)?;
    selector.function.result = result.map(|ty| FunctionResult { ty, binding: None });
    let function = finish(selector, cfg)?;
    let handle = state.module.functions.append(function, Span::UNDEFINED);
    state.functions.insert(func, handle);
    Ok(())
}

fn finish(mut selector: Selector<'_, '_>, cfg: &ControlFlow) -> Result<naga::Function, EmitError> {
    selector.control(cfg)?;
    let body = selector.close()?;
    if !selector.open.is_empty() {
        return Err(internal("blocks that were left open"));
    }
    let mut function = selector.function;
    function.body = body;
    Ok(function)
}

fn kernel(state: &mut State<'_>, func: Func, cfg: &ControlFlow) -> Result<(), EmitError> {
    let mut selector = Selector::new(state, func);
    let source = selector.source;
    let triple = selector.state.triple();
    let own = asked_for(source);
    for (n, (built_in, name)) in POSITIONS.iter().enumerate() {
        // Functions were emitted before: what they want is known.
        let wanted = selector.state.positions[n];
        if wanted.is_none() && !own[n] {
            continue;
        }
        selector.state.group_count |= *built_in == naga::BuiltIn::NumWorkGroups;
        let argument = selector.function.arguments.len() as u32;
        let binding = Some(Binding::BuiltIn(*built_in));
        selector.function.arguments.push(FunctionArgument {
            name: Some((*name).to_owned()),
            ty: triple,
            binding,
        });
        let argument = selector.fixed(Expression::FunctionArgument(argument));
        selector.positions[n] = Some(argument);
        if let Some(variable) = wanted {
            let pointer = selector.fixed(Expression::GlobalVariable(variable));
            selector.push(Statement::Store { pointer, value: argument });
        }
    }
    arguments(&mut selector)?;
    let (name, workgroup_size) = (source.name.to_string(), selector.state.block);
    let function = finish(selector, cfg)?;
    state.kernels.push(func);
    state.module.entry_points.push(EntryPoint {
        name,
        stage: naga::ShaderStage::Compute,
        early_depth_test: None,
        workgroup_size,
        workgroup_size_overrides: None,
        function,
        mesh_info: None,
        task_payload: None,
        incoming_ray_payload: None,
    });
    Ok(())
}

/// Which of the positions a function asks for itself.
fn asked_for(function: &Function) -> [bool; 3] {
    let body = &function.body;
    let mut asked = [false; 3];
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        match body.inst(inst).op {
            Op::LocalId => asked[0] = true,
            Op::GroupId => asked[1] = true,
            Op::GroupCount => asked[2] = true,
            _ => {}
        }
    }
    asked
}

/// Loads the arguments of a kernel from their block.
fn arguments(selector: &mut Selector<'_, '_>) -> Result<(), EmitError> {
    let source = selector.source;
    let types = &source.signature.params;
    if types.is_empty() {
        return Ok(());
    }
    let entry = source.body.entry().ok_or_else(|| internal("a kernel without blocks"))?;
    let block = selector.state.arguments(&source.name);
    let base = selector.fixed(Expression::GlobalVariable(block));
    let (slots, _) = argument_block(types);
    for (&param, slot) in source.body.block_params(entry).iter().zip(slots) {
        let ty = source.body.value_type(param);
        let index = selector.word(slot.offset / 4);
        let pointer = selector.expr(Expression::Access { base, index });
        let mut value = selector.expr(Expression::Load { pointer });
        if slot.size < 4 {
            let shift = selector.word(slot.offset % 4 * 8);
            let ones = selector.word((1 << (slot.size * 8)) - 1);
            value = selector.binary(Binary::ShiftRight, value, shift);
            value = selector.binary(Binary::And, value, ones);
        }
        if ty == Type::I1 {
            let zero = selector.word(0);
            value = selector.binary(Binary::NotEqual, value, zero);
        }
        let value = selector.value_of(value, ty);
        selector.define(param, value);
    }
    Ok(())
}
