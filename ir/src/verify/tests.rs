//! Every code is raised, alone; several independent mistakes are all reported; one mistake is one error.

use super::*;
use crate::body::{Body, Symbol};
use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::{Block, BlockCall, Extern, Func, Global, Inst, Value};
use crate::inst::{MemFlags, Order, Scope};
use crate::limits;
use crate::op::Op;
use crate::program::{ExternData, GlobalData, Inlining, MethodKind, Reference};
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Scalar, Space, Type, Types};
use crate::unit::Function;
use std::sync::Arc;

/// A unit of one function `f(i32, f32) -> i32`, with a global `g`, an extern `e(i32) -> i32` and a kernel `k()`.
struct Bench {
    unit: Unit,
    body: Body,
    entry: Block,
    int: Value,
    float: Value,
}

const U: Type = Type::UNKNOWN;

fn function(name: &str, kind: MethodKind, signature: Signature, body: Body) -> Function {
    let name = name.into();
    Function { name, kind, signature, body, inlining: Inlining::Auto, file: None, span: Span::NOWHERE }
}

fn word(name: &str, space: Space) -> GlobalData {
    GlobalData::new(name, Type::I64, space)
}

fn global(name: &str, space: Space, init: Option<&[u8]>) -> GlobalData {
    let init = init.map(Arc::from);
    GlobalData { init, ..GlobalData::new(name, Type::I32, space) }
}

fn host(name: &str) -> ExternData {
    let signature = Signature::new([Type::I32], [Type::I32]);
    ExternData { name: name.into(), link_name: name.into(), signature, file: None, span: Span::NOWHERE }
}

impl Bench {
    fn new() -> Self {
        let mut unit = Unit::default();
        let mut kernel = Body::new();
        let block = kernel.make_block();
        kernel.append_block(block);
        let end = kernel.make_inst(Op::Return, U, &[], 0);
        kernel.append_inst(end, block);
        unit.funcs.push(function("k", MethodKind::Kernel, Signature::default(), kernel));
        unit.globals.push(global("g", Space::Global, None));
        unit.externs.push(host("e"));
        let mut body = Body::new();
        let entry = body.make_block();
        body.append_block(entry);
        let int = body.append_block_param(entry, Type::I32);
        let float = body.append_block_param(entry, Type::F32);
        Bench { unit, body, entry, int, float }
    }

    fn put(&mut self, op: Op, ty: Type, args: &[Value], imm: u32, results: &[Type]) -> Inst {
        let inst = self.body.make_inst(op, ty, args, imm);
        self.body.make_results(inst, results);
        self.body.append_inst(inst, self.entry);
        inst
    }

    fn end(&mut self, op: Op, args: &[Value], imm: u32, targets: &[(Block, &[Value])]) {
        let inst = self.put(op, U, args, imm, &[]);
        let calls: Vec<BlockCall> = targets.iter().map(|(b, a)| self.body.make_block_call(*b, a)).collect();
        self.body.set_targets(inst, &calls);
    }

    /// A block that returns its last parameter or, without any, the function's first.
    fn exit(&mut self, params: &[Type]) -> Block {
        let block = self.body.make_block();
        self.body.append_block(block);
        let mut result = self.int;
        for &ty in params {
            result = self.body.append_block_param(block, ty);
        }
        let end = self.body.make_inst(Op::Return, U, &[result], 0);
        self.body.append_inst(end, block);
        block
    }

    fn ret(&mut self) {
        let int = self.int;
        self.end(Op::Return, &[int], 0, &[]);
    }

    fn symbol(&mut self, symbol: Symbol) -> u32 {
        self.body.make_symbol(symbol).as_u32()
    }

    fn unit(mut self) -> Unit {
        let signature = Signature::new([Type::I32, Type::F32], [Type::I32]);
        let func = self.unit.funcs.push(function("f", MethodKind::Function, signature, self.body));
        self.unit.entries.push(func);
        self.unit
    }
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<Code> {
    diagnostics.iter().map(|d| d.code).collect()
}

type Case = (Code, fn(&mut Bench));

/// One mistake each; the return is added where the case made no terminator.
const BODY_CASES: &[Case] = &[
    (Code::DanglingId, |b| {
        b.put(Op::Neg, U, &[Value::from_u32(999)], 0, &[Type::I32]);
    }),
    (Code::DanglingId, |b| {
        b.put(Op::Call, U, &[], 77, &[]);
    }),
    (Code::DanglingId, |b| {
        let symbol = b.symbol(Symbol::Func(Func::from_u32(9)));
        b.put(Op::Call, U, &[], symbol, &[]);
    }),
    (Code::DanglingId, |b| {
        let end = b.put(Op::Jump, U, &[], 0, &[]);
        b.body.set_targets(end, &[BlockCall::from_u32(44)]);
    }),
    (Code::DanglingId, |b| b.body.append_inst(Inst::from_u32(500), b.entry)),
    (Code::Order, |b| {
        let inst = b.put(Op::Barrier, U, &[], 0, &[]);
        b.body.append_inst(inst, b.entry);
    }),
    (Code::MissingTerminator, |b| {
        let empty = b.body.make_block();
        b.body.append_block(empty);
    }),
    (Code::MisplacedTerminator, |b| {
        b.ret();
        b.put(Op::Barrier, U, &[], 0, &[]);
        b.ret();
    }),
    (Code::EntryParameters, |b| {
        b.body.append_block_param(b.entry, Type::I64);
    }),
    (Code::EntryParameters, |b| b.body.set_value_type(b.float, Type::F64)),
    (Code::EntryTarget, |b| {
        let (int, float, entry) = (b.int, b.float, b.entry);
        b.end(Op::Jump, &[], 0, &[(entry, &[int, float])]);
    }),
    (Code::Destinations, |b| {
        let exit = b.exit(&[]);
        b.end(Op::Jump, &[], 0, &[(exit, &[]), (exit, &[])]);
    }),
    (Code::UnplacedTarget, |b| {
        let lost = b.body.make_block();
        b.end(Op::Jump, &[], 0, &[(lost, &[])]);
    }),
    (Code::TypeMismatch, |b| {
        b.put(Op::Add, U, &[b.int, b.float], 0, &[Type::I32]);
    }),
    (Code::TypeMismatch, |b| {
        b.put(Op::Add, U, &[b.int], 0, &[Type::I32]);
    }),
    (Code::ResultType, |b| {
        b.put(Op::Add, U, &[b.int, b.int], 0, &[Type::I64]);
    }),
    (Code::Results, |b| {
        b.put(Op::AddOverflowS, U, &[b.int, b.int], 0, &[Type::I32]);
    }),
    (Code::Untyped, |b| {
        b.put(Op::Add, U, &[b.int, b.int], 0, &[U]);
    }),
    (Code::Untyped, |b| {
        b.put(Op::Slot, U, &[], 0, &[Type::pointer(Space::Local)]);
    }),
    (Code::Untyped, |b| {
        b.exit(&[U]);
    }),
    (Code::ForeignType, |b| {
        let foreign = Types::new().array(Type::I32, 4).unwrap();
        b.put(Op::Slot, foreign, &[], 0, &[Type::pointer(Space::Local)]);
    }),
    (Code::Constant, |b| {
        let bad = b.body.make_const(ConstData { ty: Type::I8, value: ConstValue::Scalar(256) });
        b.put(Op::Neg, U, &[bad], 0, &[Type::I8]);
        b.put(Op::Abs, U, &[bad], 0, &[Type::I8]);
    }),
    (Code::Constant, |b| {
        let ty = Type::vector(Scalar::I8, 4).unwrap();
        let bad = b.body.make_const(ConstData { ty, value: ConstValue::Lanes([1, 2].into()) });
        b.put(Op::Neg, U, &[bad], 0, &[ty]);
    }),
    (Code::Constant, |b| {
        let ty = Type::vector(Scalar::I8, 2).unwrap();
        let bad = b.body.make_const(ConstData { ty, value: ConstValue::Lanes([1, 256].into()) });
        b.put(Op::Neg, U, &[bad], 0, &[ty]);
    }),
    (Code::Constant, |b| {
        let bad = b.body.make_const(ConstData { ty: Type::F32, value: ConstValue::Zero });
        b.put(Op::Neg, U, &[bad], 0, &[Type::F32]);
    }),
    (Code::Untyped, |b| {
        let bad = b.body.make_scalar(Type::ERROR, 0);
        b.put(Op::Add, U, &[bad, b.int], 0, &[Type::I32]);
    }),
    (Code::Dominance, |b| {
        // Of itself.
        let inst = b.put(Op::Neg, U, &[b.int], 0, &[Type::I32]);
        let own = b.body.first_result(inst).unwrap();
        b.body.args_mut(inst)[0] = own;
    }),
    (Code::Dominance, |b| {
        // Of an edge, from the block that it goes to.
        let exit = b.exit(&[Type::I32]);
        let own = b.body.block_params(exit)[0];
        b.end(Op::Jump, &[], 0, &[(exit, &[own])]);
    }),
    (Code::EdgeArguments, |b| {
        let exit = b.exit(&[Type::I32]);
        b.end(Op::Jump, &[], 0, &[(exit, &[])]);
    }),
    (Code::EdgeArguments, |b| {
        let (exit, float) = (b.exit(&[Type::I32]), b.float);
        b.end(Op::Jump, &[], 0, &[(exit, &[float])]);
    }),
    (Code::Condition, |b| {
        let (exit, int) = (b.exit(&[]), b.int);
        b.end(Op::Branch, &[int], 0, &[(exit, &[]), (exit, &[])]);
    }),
    (Code::Selector, |b| {
        let (exit, float, none) = (b.exit(&[]), b.float, b.body.make_switch(&[]).as_u32());
        b.end(Op::Switch, &[float], none, &[(exit, &[])]);
    }),
    (Code::Cases, |b| {
        let (exit, int, cases) = (b.exit(&[]), b.int, b.body.make_switch(&[1 << 40]).as_u32());
        b.end(Op::Switch, &[int], cases, &[(exit, &[]), (exit, &[])]);
    }),
    (Code::Cases, |b| {
        let (exit, int, cases) = (b.exit(&[]), b.int, b.body.make_switch(&[7, 1, 7]).as_u32());
        b.end(Op::Switch, &[int], cases, &[(exit, &[]), (exit, &[]), (exit, &[]), (exit, &[])]);
    }),
    (Code::ReturnValues, |b| {
        let float = b.float;
        b.end(Op::Return, &[float], 0, &[]);
    }),
    (Code::ReturnValues, |b| b.end(Op::Return, &[], 0, &[])),
    (Code::MemoryFlags, |b| {
        let null = b.body.make_scalar(Type::pointer(Space::Global), 0);
        b.put(Op::Load, Type::I32, &[null], 1 << 8, &[Type::I32]);
    }),
    (Code::MemoryFlags, |b| {
        b.put(Op::Fence, U, &[], MemFlags::atomic(Order::SeqCst, Scope::Device).with_volatile().bits(), &[]);
    }),
    (Code::MemoryOrder, |b| {
        let null = b.body.make_scalar(Type::pointer(Space::Global), 0);
        let flags = MemFlags::atomic(Order::Release, Scope::Device).bits();
        b.put(Op::AtomicLoad, Type::I32, &[null], flags, &[Type::I32]);
    }),
    (Code::MemoryOrder, |b| {
        let null = b.body.make_scalar(Type::pointer(Space::Global), 0);
        let flags = MemFlags::atomic(Order::Acquire, Scope::Device).bits();
        b.put(Op::AtomicStore, U, &[null, b.int], flags, &[]);
    }),
    (Code::MemoryOrder, |b| {
        b.put(Op::Fence, U, &[], MemFlags::atomic(Order::Relaxed, Scope::Device).bits(), &[]);
    }),
    (Code::SymbolKind, |b| {
        let symbol = b.symbol(Symbol::Name("e".into()));
        b.put(Op::Call, U, &[b.int], symbol, &[Type::I32]);
    }),
    (Code::SymbolKind, |b| {
        let symbol = b.symbol(Symbol::Func(Func::from_u32(0)));
        b.put(Op::Call, U, &[], symbol, &[]);
    }),
    (Code::SymbolKind, |b| {
        let symbol = b.symbol(Symbol::Message("m".into()));
        b.end(Op::Throw, &[], symbol, &[]);
    }),
    (Code::Callee, |b| {
        let symbol = b.symbol(Symbol::Extern(Extern::from_u32(0)));
        b.put(Op::Call, U, &[b.float], symbol, &[Type::I32]);
    }),
    (Code::Callee, |b| {
        let symbol = b.symbol(Symbol::Extern(Extern::from_u32(0)));
        b.put(Op::Call, U, &[b.int], symbol, &[Type::I64]);
    }),
    (Code::Callee, |b| {
        let symbol = b.symbol(Symbol::Extern(Extern::from_u32(0)));
        b.put(Op::Call, U, &[b.int], symbol, &[]);
    }),
    (Code::AddressSpace, |b| {
        let symbol = b.symbol(Symbol::Global(Global::from_u32(0)));
        let ty = Type::pointer(Space::Shared);
        b.put(Op::GlobalAddress, ty, &[], symbol, &[ty]);
    }),
    (Code::FrameSize, |b| {
        let big = Arc::make_mut(&mut b.unit.types).array(Type::I8, limits::MAX_FRAME_BYTES).unwrap();
        b.put(Op::Slot, big, &[], 0, &[Type::pointer(Space::Local)]);
        b.put(Op::Slot, Type::I8, &[], 0, &[Type::pointer(Space::Local)]);
    }),
    (Code::Dominance, |b| {
        let inst = b.body.make_inst(Op::Neg, U, &[b.int], 0);
        b.body.make_results(inst, &[Type::I32]);
        let late = b.body.first_result(inst).unwrap();
        b.put(Op::Neg, U, &[late], 0, &[Type::I32]);
        b.body.append_inst(inst, b.entry);
    }),
    (Code::Dominance, |b| {
        // Only one of two ways to the exit defines the value.
        let (left, exit) = (b.body.make_block(), b.exit(&[]));
        b.body.append_block(left);
        let yes = b.body.make_scalar(Type::I1, 1);
        b.end(Op::Branch, &[yes], 0, &[(left, &[]), (exit, &[])]);
        let inst = b.body.make_inst(Op::Neg, U, &[b.int], 0);
        b.body.make_results(inst, &[Type::I32]);
        b.body.append_inst(inst, left);
        let call = b.body.make_block_call(exit, &[]);
        let jump = b.body.make_inst(Op::Jump, U, &[], 0);
        b.body.set_targets(jump, &[call]);
        b.body.append_inst(jump, left);
        let end = b.body.last_inst(exit).unwrap();
        b.body.args_mut(end)[0] = b.body.first_result(inst).unwrap();
    }),
    (Code::Undefined, |b| {
        let inst = b.body.make_inst(Op::Neg, U, &[b.int], 0);
        b.body.make_results(inst, &[Type::I32]);
        let never = b.body.first_result(inst).unwrap();
        b.put(Op::Neg, U, &[never], 0, &[Type::I32]);
    }),
    (Code::Duplicate, |b| {
        b.unit.globals.push(global("g", Space::Global, None));
    }),
    (Code::Duplicate, |b| {
        b.unit.externs.push(host("e"));
    }),
    (Code::KernelResults, |b| b.unit.funcs[Func::from_u32(0)].signature.results.push(Type::I32)),
    (Code::GlobalInit, |b| {
        b.unit.globals.push(global("h", Space::Global, Some(&[1, 2, 3])));
    }),
    (Code::GlobalInit, |b| {
        b.unit.globals.push(global("h", Space::Shared, Some(&[1, 2, 3, 4])));
    }),
    (Code::GlobalSpace, |b| {
        b.unit.globals.push(global("h", Space::Local, None));
    }),
    (Code::GlobalAlign, |b| {
        b.unit.globals.push(global("h", Space::Global, None).with_align(24));
    }),
    (Code::GlobalAlign, |b| {
        b.unit.globals.push(global("h", Space::Global, None).with_align(1 << 13));
    }),
    (Code::SlotPlace, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(8, Reference::value("v")));
    }),
    (Code::SlotPlace, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(u64::MAX - 3, Reference::value("v")));
    }),
    (Code::SlotPlace, |b| {
        let data = GlobalData::new("h", Type::F64, Space::Global);
        b.unit.globals.push(data.with_slot(0, Reference::value("v")));
    }),
    (Code::SlotPlace, |b| {
        let data = word("h", Space::Global).with_slot(0, Reference::value("v"));
        b.unit.globals.push(data.with_slot(0, Reference::value("w")));
    }),
    (Code::SlotPlace, |b| {
        let data = word("h", Space::Global).with_init(&[0, 1, 0, 0, 0, 0, 0, 0]);
        b.unit.globals.push(data.with_slot(0, Reference::value("v")));
    }),
    (Code::SlotSpace, |b| {
        b.unit.globals.push(word("h", Space::Shared).with_slot(0, Reference::value("v")));
    }),
    (Code::SlotSpace, |b| {
        let data = GlobalData::new("h", Type::pointer(Space::Shared), Space::Global);
        b.unit.globals.push(data.with_slot(0, Reference::value("v")));
    }),
    (Code::SlotSpace, |b| {
        let data = GlobalData::new("h", Type::pointer(Space::Constant), Space::Global);
        b.unit.globals.push(data.with_slot(0, Reference::global("g")));
    }),
    (Code::SlotTarget, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(0, Reference::global("nothing")));
    }),
    (Code::SlotTarget, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(0, Reference::global_at("g", 5)));
    }),
    (Code::SlotTarget, |b| {
        b.unit.globals.push(word("tile", Space::Shared));
        b.unit.globals.push(word("h", Space::Global).with_slot(0, Reference::global("tile")));
    }),
    (Code::SlotTarget, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(0, Reference::value("a\0b")));
    }),
    (Code::SlotTarget, |b| {
        b.unit.globals.push(word("h", Space::Global).with_slot(0, Reference::symbol("")));
    }),
    (Code::LinkName, |b| {
        b.unit.externs.push(ExternData { link_name: "".into(), ..host("empty") });
    }),
    (Code::LinkName, |b| {
        b.unit.externs.push(ExternData { link_name: "a\0b".into(), ..host("zero") });
    }),
    (Code::SlotTarget, |b| {
        let missing = Reference::Func(Func::from_u32(99));
        b.unit.globals.push(word("h", Space::Global).with_slot(0, missing));
    }),
    (Code::SlotTarget, |b| {
        let method = Reference::method("f", &[]);
        b.unit.globals.push(word("h", Space::Global).with_slot(0, method));
    }),
    (Code::SlotTarget, |b| {
        let kernel = Reference::Func(Func::from_u32(0));
        b.unit.globals.push(word("h", Space::Global).with_slot(0, kernel));
    }),
];

#[test]
fn every_mistake_has_its_code() {
    for (n, (code, make)) in BODY_CASES.iter().enumerate() {
        let mut bench = Bench::new();
        make(&mut bench);
        if n != 4 && bench.body.terminator(bench.entry).is_none() {
            bench.ret();
        }
        let unit = bench.unit();
        let found = verify_unit(&unit);
        let wanted = match code {
            // The kernel returns nothing, so its return does not fit its results either.
            Code::KernelResults => vec![*code, Code::ReturnValues],
            _ => vec![*code],
        };
        assert_eq!(codes(&found), wanted, "case {n}:\n{}", explain(&unit, &found));
        let text = explain(&unit, &found);
        assert!(text.contains(&found[0].message), "case {n}:\n{text}");
        // Where types were just inferred only the type rule is not asked again.
        let found = verify(module::Module::Unit(&unit), Results::JustInferred);
        let rule = matches!(code, Code::TypeMismatch | Code::ResultType | Code::Results);
        assert!(rule && found.is_empty() || codes(&found) == wanted, "case {n}: {found:?}");
    }
}

#[test]
fn every_verifier_code_has_a_case() {
    let elsewhere = [Code::NoBlocks];
    for &code in Code::ALL.iter().filter(|code| code.name().starts_with('V')) {
        let covered = elsewhere.contains(&code) || BODY_CASES.iter().any(|case| case.0 == code);
        assert!(covered, "{code} has no test");
    }
}

#[test]
fn a_function_without_blocks() {
    let mut unit = Bench::new().unit;
    unit.funcs.push(function("f", MethodKind::Function, Signature::default(), Body::new()));
    unit.entries.push(Func::from_u32(7));
    let found = verify_unit(&unit);
    assert_eq!(codes(&found), [Code::DanglingId, Code::NoBlocks]);
    assert!(explain(&unit, &found).contains("no blocks"));
}

#[test]
fn a_sound_unit_gives_the_token() {
    let mut bench = Bench::new();
    let symbol = bench.symbol(Symbol::Extern(Extern::from_u32(0)));
    bench.put(Op::Call, U, &[bench.int], symbol, &[Type::I32]);
    bench.ret();
    let unit = bench.unit();
    assert_eq!(Verified::new(unit).unwrap().unit().entries.len(), 1);
    let mut bench = Bench::new();
    bench.put(Op::Neg, U, &[], 0, &[]);
    bench.ret();
    assert!(Verified::new(bench.unit()).is_err());
}

#[test]
fn independent_mistakes_are_all_reported_and_drawn() {
    let mut bench = Bench::new();
    bench.put(Op::Add, U, &[bench.int, bench.float], 0, &[Type::I32]);
    bench.put(Op::Sqrt, U, &[bench.int], 0, &[Type::I32]);
    bench.put(Op::Neg, U, &[bench.int], 0, &[Type::I64]);
    let exit = bench.exit(&[Type::I32]);
    let float = bench.float;
    bench.end(Op::Jump, &[], 0, &[(exit, &[float])]);
    bench.unit.globals.push(global("h", Space::Local, None));
    let unit = bench.unit();
    let found = verify_unit(&unit);
    let mismatch = Code::TypeMismatch;
    let wanted = [Code::GlobalSpace, mismatch, mismatch, Code::ResultType, Code::EdgeArguments];
    assert_eq!(codes(&found), wanted);
    let text = explain(&unit, &found);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains("sqrt v0")).expect(&text);
    assert!(lines[at + 1].starts_with("; error[V0101]: operand 1 of sqrt has type i32"), "{text}");
    assert!(text.starts_with("h: error[V0304]"), "{text}");
}

#[test]
fn one_mistake_is_one_error() {
    let mut bench = Bench::new();
    let bad = bench.put(Op::Add, U, &[bench.int, bench.float], 0, &[Type::I64]);
    let mut value = bench.body.first_result(bad).unwrap();
    bench.put(Op::Sub, U, &[bench.int, value], 0, &[U]);
    for ty in [U, Type::ERROR, Type::F64] {
        let next = bench.put(Op::Sqrt, U, &[value], 0, &[ty]);
        value = bench.body.first_result(next).unwrap();
    }
    bench.end(Op::Return, &[value], 0, &[]);
    // What follows from the first: nothing. What has a type of its own is believed: the last square root.
    let found = verify_unit(&bench.unit());
    assert_eq!(codes(&found), [Code::TypeMismatch, Code::ReturnValues]);
}

#[test]
fn unreachable_code_has_types_but_no_order() {
    let mut bench = Bench::new();
    bench.ret();
    let (lost, int) = (bench.body.make_block(), bench.int);
    bench.body.append_block(lost);
    let user = bench.body.make_inst(Op::Neg, U, &[int], 0);
    bench.body.make_results(user, &[Type::I32]);
    let own = bench.body.first_result(user).unwrap();
    bench.body.args_mut(user)[0] = own;
    bench.body.append_inst(user, lost);
    let end = bench.body.make_inst(Op::Return, U, &[own], 0);
    bench.body.append_inst(end, lost);
    let unit = bench.unit();
    let found = verify_unit(&unit);
    assert!(found.is_empty(), "{}", explain(&unit, &found));
}

#[test]
fn no_more_than_the_limit() {
    let mut bench = Bench::new();
    for _ in 0..1000 {
        bench.put(Op::Add, U, &[bench.int, bench.float], 0, &[Type::I32]);
    }
    bench.ret();
    let found = verify_unit(&bench.unit());
    assert_eq!(found.len(), limits::MAX_DIAGNOSTICS);
    assert!(found.last().unwrap().notes[0].contains("may be more"));
}

#[test]
fn ids_of_results_are_checked() {
    let mut bench = Bench::new();
    let inst = bench.put(Op::Neg, U, &[bench.int], 0, &[Type::I32]);
    let stale = bench.body.first_result(inst).unwrap();
    bench.body.make_results(inst, &[Type::I32]);
    bench.put(Op::Neg, U, &[stale], 0, &[Type::I32]);
    bench.ret();
    assert_eq!(codes(&verify_unit(&bench.unit())), [Code::Undefined]);
}

fn program(text: &str) -> (Program, Vec<Diagnostic>) {
    let mut program = Program::new();
    let mistakes = crate::text::parse(&mut program, "t.mq", text);
    assert!(mistakes.is_empty(), "{}", crate::diag::render(&mistakes, &program.files));
    let found = verify_program(&program);
    (program, found)
}

#[test]
fn programs_are_checked_as_far_as_types_are_known() {
    let (program, found) = program(
        "global tile: array<f32, 4> in shared
kernel k(p: ptr<global>) {
entry:
    i = call somewhere(i32 0)
    next = add i, i
    q = index p, next, f32
    x = load.f32 q
    f = function_address anything(f32)
    t = address.shared tile
    fence acq_rel device
    store q, x align 2 volatile
    return
}
",
    );
    assert!(found.is_empty(), "{}", explain(&program, &found));
}

#[test]
fn mistakes_in_text_are_drawn_into_it() {
    let (program, found) = program(
        "global tile: array<f32, 4> in shared
method f(a: i32, c: i1) -> i32 {
entry:
    t = address.global tile
    branch c, left, right
left:
    x = neg a
    jump right
right:
    return x
}
method f(a: f32) -> i32 {
entry:
    return a
}
kernel k() -> i32 {
entry:
    return i32 1
}
",
    );
    let text = explain(&program, &found);
    let wanted = [Code::KernelResults, Code::AddressSpace, Code::Dominance, Code::ReturnValues];
    assert_eq!(codes(&found), wanted, "{text}");
    assert!(text.contains("t.mq:4:5: error[V0116]"), "{text}");
    assert!(text.contains("t.mq:10:5: error[V0201]: 'x' is not defined on every path to its use"), "{text}");
    assert!(text.contains("t.mq:14:5: error[V0111]"), "{text}");
}

#[test]
fn calls_in_programs_are_names() {
    let mut program = Program::new();
    crate::text::parse(&mut program, "t.mq", "method f() {\nentry:\n    call g()\n    return\n}\n");
    let method = program.methods_of("f")[0];
    let body = &mut program.method_mut(method).body;
    let call = body.first_inst(body.entry().unwrap()).unwrap();
    let symbol = body.make_symbol(Symbol::Func(Func::from_u32(0))).as_u32();
    body.set_imm(call, symbol);
    assert_eq!(codes(&verify_program(&program)), [Code::SymbolKind]);
}

#[test]
fn methods_are_unique_in_their_table() {
    let mut program = Program::new();
    let text =
        "method f(a: i32) {\nentry:\n    return\n}\noverlay o method f(a: i32) {\nentry:\n    return\n}\n";
    crate::text::parse(&mut program, "t.mq", text);
    assert!(verify_program(&program).is_empty());
    let overlay = program.methods_of("f")[1];
    program.method_mut(overlay).table = crate::entity::Table::BASE;
    assert_eq!(codes(&verify_program(&program)), [Code::Duplicate]);
}

#[test]
fn masks_are_vectors_of_i32() {
    let vector = Type::vector(Scalar::F32, 4).unwrap();
    for (ty, lanes, fine) in [
        (Type::vector(Scalar::I32, 2).unwrap(), vec![0, 7], true),
        (Type::vector(Scalar::I64, 2).unwrap(), vec![0, 7], false),
        (Type::I32, vec![0, 7], false),
    ] {
        let mut bench = Bench::new();
        let mask = bench.body.make_const(ConstData { ty, value: ConstValue::Lanes(lanes.into()) });
        let crate::body::ValueDef::Const(mask) = bench.body.value_def(mask) else { unreachable!() };
        let zero = bench.body.make_scalar(vector, 0);
        bench.put(Op::Shuffle, U, &[zero, zero], mask.as_u32(), &[vector.with_lane(Scalar::F32)]);
        let result = Type::vector(Scalar::F32, 2).unwrap();
        let shuffle = bench.body.last_inst(bench.entry).unwrap();
        bench.body.make_results(shuffle, &[result]);
        bench.ret();
        let wanted = if fine { vec![] } else { vec![Code::Constant] };
        assert_eq!(codes(&verify_unit(&bench.unit())), wanted);
    }
}

#[test]
fn type_variables_are_declared_and_determined() {
    let text = "method f<T>(x: T, y: i32...) -> T {\nentry:\n    return x\n}\n";
    type Change = fn(&mut crate::program::MethodData, Type);
    let changes: [(Change, &str); 4] = [
        (|data, _| data.variables.clear(), "type T is no variable of this method"),
        (|data, _| data.signature.params[0] = Type::I32, "type variable T is in no parameter"),
        (|data, _| data.variables[0].ty = Type::I32, "type variable i32 is in no parameter"),
        (|data, pack| data.signature.params[0] = pack, "only the last parameter can be a pack"),
    ];
    for (change, wanted) in changes {
        let mut program = crate::program::Program::new();
        assert_eq!(crate::text::parse(&mut program, "t.mq", text), []);
        assert_eq!(crate::verify::verify_program(&program), []);
        let method = program.methods().next().expect("it was read").0;
        let pack = program.method(method).signature.params[1];
        change(program.method_mut(method), pack);
        let found = crate::verify::verify_program(&program);
        assert!(found.iter().any(|d| d.message.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    for every in [1, 37, 2000] {
        let mut unit = Unit::default();
        for n in 0..1000 {
            let mut body = Body::new();
            let block = body.make_block();
            body.append_block(block);
            // Some have no end.
            if n % every != every - 1 {
                let end = body.make_inst(Op::Return, U, &[], 0);
                body.append_inst(end, block);
            }
            unit.funcs.push(function(&format!("f{n}"), MethodKind::Function, Signature::default(), body));
        }
        let one = verify(module::Module::Unit(&unit), Results::Checked);
        assert_eq!(one.len(), (1000 / every).min(limits::MAX_DIAGNOSTICS));
        for threads in [1, 2, 3, 20] {
            assert_eq!(
                verify_on(&mut Context::default(), &unit, Results::Checked, threads),
                one,
                "{threads} threads"
            );
        }
    }
}
