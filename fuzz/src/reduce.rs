//! Shrinking a case while it shows the same mistake: results become zero, branches become jumps, and so on, as long
//! as the interpreter says that the program still means something.

use crate::generate::methods::Case;
use crate::run;
use marquetry_ir::body::Body;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Block, Inst, Method, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::Program;
use marquetry_ir::text::print_program;
use marquetry_ir::types::{Type, TypeKind};

/// One way to make a program smaller.
#[derive(Copy, Clone, Debug)]
enum Step {
    /// Results become zero, the instruction goes.
    Zero(Method, Inst),
    /// The result becomes an operand of the same type.
    Forward(Method, Inst, usize),
    /// A terminator becomes a jump to one of its destinations.
    Jump(Method, Inst, usize),
    /// An operand becomes zero.
    Operand(Method, Inst, usize),
    /// A parameter of a block becomes zero, and goes.
    Param(Method, Block, usize),
}

/// The smallest case found that still shows the mistake.
pub fn reduce(case: &Case, shows: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    for n in (0..best.calls.len()).rev() {
        let mut calls = best.calls.clone();
        if calls.len() > 1 {
            calls.remove(n);
        }
        let smaller = Case { calls, ..best.clone() };
        if shows(&smaller) {
            best = smaller;
        }
    }
    loop {
        let before = best.text.len();
        best = drop_items(best, shows);
        best = steps_once(best, shows);
        if best.text.len() >= before {
            return best;
        }
    }
}

/// Drops methods, globals and structs that nothing needs.
fn drop_items(mut best: Case, shows: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut n = 0;
    loop {
        let items = items(&best.text);
        if n >= items.len() {
            return best;
        }
        let text: String =
            items.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, item)| &**item).collect();
        let smaller = Case { text, ..best.clone() };
        if shows(&smaller) {
            best = smaller;
        } else {
            n += 1;
        }
    }
}

fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    for line in text.lines() {
        let starts = !line.starts_with([' ', '}']) && !line.ends_with(':') && !line.is_empty();
        if starts {
            items.push(String::new());
        }
        if let Some(item) = items.last_mut() {
            *item += line;
            item.push('\n');
        }
    }
    items
}

fn steps_once(mut best: Case, shows: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut n = 0;
    loop {
        let Ok(program) = run::parse(&best.text) else { return best };
        let steps = all_steps(&program);
        let Some(&step) = steps.get(n) else { return best };
        let mut changed = program;
        let text = if apply(&mut changed, step) { print_program(&changed) } else { best.text.clone() };
        let smaller = Case { text, ..best.clone() };
        if smaller.text != best.text && shows(&smaller) {
            best = smaller;
        } else {
            n += 1;
        }
    }
}

fn all_steps(program: &Program) -> Vec<Step> {
    let mut steps = Vec::new();
    for (method, data) in program.methods() {
        let body = &data.body;
        for block in body.blocks() {
            for inst in body.block_insts(block) {
                if body.inst(inst).op.is_terminator() {
                    steps.extend((0..body.targets(inst).len()).map(|n| Step::Jump(method, inst, n)));
                }
            }
        }
    }
    for (method, data) in program.methods() {
        let body = &data.body;
        let mut blocks: Vec<Block> = body.blocks().collect();
        blocks.reverse();
        for block in blocks {
            let mut insts: Vec<Inst> = body.block_insts(block).collect();
            insts.reverse();
            for inst in insts {
                if !body.inst(inst).op.is_terminator() && !guards_nan(body, inst) {
                    steps.push(Step::Zero(method, inst));
                    steps.extend((0..body.args(inst).len()).map(|n| Step::Forward(method, inst, n)));
                }
                steps.extend((0..body.args(inst).len()).map(|n| Step::Operand(method, inst, n)));
            }
            if body.entry() != Some(block) {
                let count = body.block_params(block).len();
                steps.extend((0..count).map(|n| Step::Param(method, block, n)));
            }
        }
    }
    steps
}

/// Whether an instruction keeps the bits of NaNs from showing.
fn guards_nan(body: &Body, inst: Inst) -> bool {
    let op = body.inst(inst).op;
    let by_nan = |inst| body.inst(inst).op == Op::Uno;
    op == Op::Uno
        || op == Op::Select && body.args(inst).first().and_then(|&c| body.value_inst(c)).is_some_and(by_nan)
}

fn zero(body: &mut Body, ty: Type) -> Option<Value> {
    let value = match ty.kind() {
        TypeKind::Scalar(_) => ConstValue::Scalar(0),
        TypeKind::Vector(_, lanes) => ConstValue::Lanes(vec![0; lanes as usize].into()),
        TypeKind::Aggregate(_) => ConstValue::Zero,
        _ => return None,
    };
    Some(body.make_const(ConstData { ty, value }))
}

fn substitute(body: &mut Body, from: Value, to: Value) {
    let insts: Vec<Inst> = body.blocks().flat_map(|block| body.block_insts(block)).collect();
    for inst in insts {
        body.rewrite_operands(inst, |value| if value == from { to } else { value });
    }
}

fn apply(program: &mut Program, step: Step) -> bool {
    match step {
        Step::Zero(method, inst) => {
            let signature = call_results(program, method, inst);
            let Some(body) = program.body_mut(method) else { return false };
            for (n, result) in body.results(inst).enumerate() {
                let known = body.value_type(result);
                let ty = if known.is_known() { Some(known) } else { signature.get(n).copied() };
                let Some(zero) = ty.and_then(|ty| zero(body, ty)) else { return false };
                substitute(body, result, zero);
            }
            body.remove_inst(inst);
        }
        Step::Forward(method, inst, n) => {
            let Some(body) = program.body_mut(method) else { return false };
            let mut results = body.results(inst);
            let (Some(result), None, Some(&arg)) = (results.next(), results.next(), body.args(inst).get(n))
            else {
                return false;
            };
            if body.value_type(result) != body.value_type(arg) || !body.value_type(arg).is_known() {
                return false;
            }
            substitute(body, result, arg);
            body.remove_inst(inst);
        }
        Step::Jump(method, inst, n) => {
            let Some(body) = program.body_mut(method) else { return false };
            let Some(&call) = body.targets(inst).get(n) else { return false };
            body.replace_inst(inst, Op::Jump, Type::I32, &[], 0);
            body.set_targets(inst, &[call]);
            drop_unreachable(body);
        }
        Step::Operand(method, inst, n) => {
            let Some(body) = program.body_mut(method) else { return false };
            let Some(&arg) = body.args(inst).get(n) else { return false };
            let ty = body.value_type(arg);
            if body.value_const(arg).is_some_and(ConstData::is_zero) {
                return false;
            }
            let Some(zero) = zero(body, ty) else { return false };
            body.args_mut(inst)[n] = zero;
        }
        Step::Param(method, block, n) => {
            let Some(body) = program.body_mut(method) else { return false };
            let Some(&param) = body.block_params(block).get(n) else { return false };
            let ty = body.value_type(param);
            let Some(zero) = zero(body, ty) else { return false };
            substitute(body, param, zero);
            let blocks: Vec<Block> = body.blocks().collect();
            for from in blocks {
                for call in body.successors(from).to_vec() {
                    if body.target_block(call) == block {
                        let mut args = body.target_args(call).to_vec();
                        if n < args.len() {
                            args.remove(n);
                        }
                        body.set_block_call(call, block, &args);
                    }
                }
            }
            body.retain_block_params(block, |m| m != n);
        }
    }
    true
}

/// Result types of a call by name.
fn call_results(program: &Program, method: Method, inst: Inst) -> Vec<Type> {
    use marquetry_ir::body::Symbol;
    use marquetry_ir::entity::SymbolRef;
    let body = &program.method(method).body;
    let data = body.inst(inst);
    if data.op != Op::Call || !body.symbol_exists(data.imm) {
        return Vec::new();
    }
    let Symbol::Name(name) = body.symbol(SymbolRef::from_u32(data.imm)) else { return Vec::new() };
    run::method(program, name)
        .map_or_else(Vec::new, |callee| program.method(callee).signature.results.clone())
}

fn drop_unreachable(body: &mut Body) {
    let mut reached = vec![false; body.block_count()];
    let mut rest: Vec<Block> = body.entry().into_iter().collect();
    while let Some(block) = rest.pop() {
        if !std::mem::replace(&mut reached[block.as_u32() as usize], true) {
            rest.extend(body.successors(block).iter().map(|&call| body.target_block(call)));
        }
    }
    let blocks: Vec<Block> = body.blocks().collect();
    for block in blocks.into_iter().filter(|block| !reached[block.as_u32() as usize]) {
        body.remove_block(block);
    }
}
