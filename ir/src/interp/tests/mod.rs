//! Small programs in text, run as they are.

mod calls;
mod kernels;
mod memory;
mod speed;
mod values;

use super::*;
use crate::body::Symbol;
use crate::entity::{Inst, SymbolRef};
use crate::infer::infer;
use crate::op::Op;
use crate::program::Program;
use crate::unit::Function;
use cranelift_entity::EntityRef;

/// The unit of a program in which every name means one thing: calls and globals by name, types flowing forward.
pub(super) fn unit(text: &str) -> Unit {
    let mut program = Program::new();
    let diagnostics = crate::text::parse(&mut program, "t.mq", text);
    assert!(diagnostics.is_empty(), "{}", crate::diag::render(&diagnostics, &program.files));
    let mut unit = Unit { types: program.types.clone().into(), ..Unit::default() };
    unit.globals = program.globals.clone();
    unit.externs = program.externs.clone();
    for (_, method) in program.methods() {
        unit.funcs.push(Function {
            name: method.name.clone(),
            kind: method.kind,
            signature: method.signature.clone(),
            body: method.body.clone(),
            inlining: method.inlining,
            file: method.file,
            span: method.span,
        });
    }
    for func in unit.funcs.keys().collect::<Vec<_>>() {
        link(&mut unit, &program, func);
    }
    unit
}

fn link(unit: &mut Unit, program: &Program, func: Func) {
    let mut body = std::mem::take(&mut unit.funcs[func].body);
    let insts: Vec<Inst> =
        body.blocks().flat_map(|block| body.block_insts(block).collect::<Vec<_>>()).collect();
    for inst in insts {
        let (op, imm) = (body.inst(inst).op, body.inst(inst).imm);
        let mut results = None;
        if matches!(op, Op::Call | Op::FunctionAddress | Op::GlobalAddress) {
            let symbol = match body.symbol(SymbolRef::from_u32(imm)) {
                Symbol::Name(name) | Symbol::Overload(name, _) => match unit.find(name) {
                    Some(callee) => {
                        results = Some(unit.funcs[callee].signature.results.clone());
                        Symbol::Func(callee)
                    }
                    None if op == Op::GlobalAddress => {
                        Symbol::Global(program.find_global(name).expect("a global of this name"))
                    }
                    None => {
                        let callee = program.find_extern(name).expect("a function of this name");
                        results = Some(program.externs[callee].signature.results.clone());
                        Symbol::Extern(callee)
                    }
                },
                other => other.clone(),
            };
            let imm = body.make_symbol(symbol).index() as u32;
            body.set_imm(inst, imm);
        }
        let types = match (op, results) {
            (Op::Call, Some(results)) => results,
            _ => infer(&body, &unit.types, inst).expect("operands fit").to_vec(),
        };
        for (value, ty) in body.results(inst).zip(types) {
            body.set_value_type(value, ty);
        }
    }
    unit.funcs[func].body = body;
}

/// Calls `f` of a text.
pub(super) fn run(text: &str, args: &[Val]) -> Result<Ended, Fault> {
    let unit = unit(text);
    Interp::new(&unit, Config::default()).call(unit.find("f").expect("f"), args)
}

pub(super) fn returns(text: &str, args: &[Val]) -> Vec<Val> {
    match run(text, args) {
        Ok(Ended::Returned(values)) => values,
        other => panic!("{other:?}\n{text}"),
    }
}

pub(super) fn fault(text: &str, args: &[Val]) -> FaultKind {
    match run(text, args) {
        Err(fault) => *fault.kind,
        other => panic!("{other:?}\n{text}"),
    }
}

pub(super) fn thrown(text: &str, args: &[Val]) -> Thrown {
    match run(text, args) {
        Ok(Ended::Threw(thrown)) => thrown,
        other => panic!("{other:?}\n{text}"),
    }
}
