//! Round trips and error recovery of the text format.

use super::*;
use crate::body::Body;
use crate::op::{Op, Rule, Shape};

pub(super) fn sound(text: &str) -> Program {
    let mut program = Program::new();
    let diagnostics = parse(&mut program, "t.mq", text);
    assert!(diagnostics.is_empty(), "{}\n{text}", crate::diag::render(&diagnostics, &program.files));
    program
}

/// Reads and prints; the result must be a fixed point.
fn canonical(text: &str) -> String {
    let printed = print_program(&sound(text));
    assert_eq!(print_program(&sound(&printed)), printed);
    printed
}

pub(super) const EXAMPLE: &str = r#"struct point { x: f32, y: f32 }
global table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]
global tile: array<f32, 256> in shared
global text: array<i8, 4> in global = bytes "a\"\x00\xff"
extern func sin(f64) -> f64 as "sin"

method axpy(a: f32, x: f32, y: f32) -> f32 inline {
entry:
    p = mul a, x
    r = add p, y
    return r
}

overlay fast_gpu method axpy(a: f32, x: f32, y: f32) -> f32 noinline consistent {
entry:
    r = fma a, x, y
    return r
}

method two(a: i32) -> (i32, i1) {
entry:
    return a, i1 true
}

kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    i = call global_id(i32 0)
    inside = lt.s i, n
    branch inside, body, done
body:
    px = index x, i, f32
    vx = load.f32 px
    store px, vx align 2 volatile
    old = rmw_add px, f32 1.0 relaxed device
    v, ok = cmpxchg y, i32 0, i32 1 acq_rel device
    s = slot.array<f32, 4>
    q = field_address s, array<f32, 4>, 3
    t = address.shared tile
    m = shuffle vec<f32, 4> [1.0, 2.0, -0.0, inf], vec<f32, 4> [nan, nan:0x7fc00001, -inf, 0.1], [0, 5, 2, 7]
    agg = make.point vx, vx
    g = get agg, 1
    agg2 = set agg, vx, 0
    agg3 = set point zero, vx, 0
    z = ftos.i32 vx
    fp = function_address axpy(f32, f32, f32)
    r = call_indirect fp(vx, vx, vx) -> f32
    fence acq_rel device
    d = local_id 0
    static_assert inside, "message"
    nothing = eq ptr<global> null, ptr<global> 0x10
    switch z, other(vx), [0: one, -5: two(vx)]
two(w: f32):
    throw DivideError
one:
    throw "My Error", "reason"
other(u: f32):
    jump loop(i64 0, u)
loop(k: i64, acc: f32):
    unreachable
done:
    return
}
"#;

#[test]
fn the_example_is_canonical() {
    assert_eq!(canonical(EXAMPLE), EXAMPLE);
}

/// One way to write every op, by its shape and rule; the names are those of the frame in `every_op_round_trips`.
pub(super) fn sample(op: Op) -> String {
    let kind = op.mnemonic();
    let number = match op.info().rule {
        Rule::SameFloat | Rule::CompareFloat | Rule::AtomicFloat => "f",
        Rule::SubgroupVote | Rule::SubgroupBallot => "c",
        Rule::ReduceNumber | Rule::ReduceInt | Rule::ReduceBits => "vi",
        Rule::ReduceFloat => "vf",
        _ => "i",
    };
    let x = number;
    match (op.info().shape, op) {
        (Shape::Unary, _) => format!("r = {kind} {x}"),
        (Shape::Ternary, Op::Select) => format!("r = {kind} c, {x}, i32 7"),
        (Shape::Ternary, Op::Insert) => format!("r = {kind} vi, i, i32 1"),
        (Shape::Ternary, _) => format!("r = {kind} {x}, {x}, {x}"),
        (Shape::Binary, Op::PtrAdd) => format!("r = {kind} p, i64 -8"),
        (Shape::Binary, Op::Extract) => format!("r = {kind} vf, i"),
        (Shape::Binary, _) if op.info().rule == Rule::Overflow => format!("r, s = {kind} {x}, {x}"),
        (Shape::Binary, _) => format!("r = {kind} {x}, {x}"),
        (Shape::Convert, Op::Trunc) => format!("r = {kind}.i8 i"),
        (Shape::Convert, Op::Zext | Op::Sext) => format!("r = {kind}.i128 i"),
        (Shape::Convert, Op::FConvert) => format!("r = {kind}.bf16 f"),
        (Shape::Convert, Op::FToS | Op::FToU) => format!("r = {kind}.vec<i8, 4> vf"),
        (Shape::Convert, Op::SToF | Op::UToF) => format!("r = {kind}.f64 i"),
        (Shape::Convert, Op::Bitcast) => format!("r = {kind}.vec<i8, 4> f"),
        (Shape::Convert, Op::PtrToInt) => format!("r = {kind}.i64 p"),
        (Shape::Convert, Op::IntToPtr) => format!("r = {kind}.ptr<local> i64 16"),
        (Shape::Convert, Op::SpaceCast) => format!("r = {kind}.ptr<generic> p"),
        (Shape::Convert, _) => format!("r = {kind}.vec<i32, 64> i"),
        (Shape::Nullary, Op::Unreachable | Op::Barrier | Op::SubgroupBarrier | Op::Trap) => kind.into(),
        (Shape::Nullary, _) => format!("r = {kind}"),
        (Shape::Dimension, _) => format!("r = {kind} 2"),
        (Shape::Shuffle, _) => format!("r = {kind} vi, vi, [7, 0]"),
        (Shape::Make, _) => format!("r = {kind}.pair i, f"),
        (Shape::Field, Op::SetField) => format!("r = {kind} pair zero, i, 0"),
        (Shape::Field, _) => format!("r = {kind} pair zero, 1"),
        (Shape::Index, _) => format!("r = {kind} p, i, array<pair, 3>"),
        (Shape::FieldAddress, _) => format!("r = {kind} p, pair, 1"),
        (Shape::GlobalAddress, _) => format!("r = {kind}.global \"a b\""),
        (Shape::Slot, Op::Sentinel) => format!("r = {kind}.vec<f32, 4>"),
        (Shape::Slot, _) => format!("r = {kind}.array<array<pair, 3>, 2>"),
        (Shape::Load, _) => format!("r = {kind}.pair p align 16 volatile"),
        (Shape::Store, _) => format!("{kind} p, f align 1"),
        (Shape::Memory, Op::MemSet) => format!("{kind} p, i8 0, i64 4 volatile"),
        (Shape::Memory, _) => format!("{kind} p, p, i64 4 align 4"),
        (Shape::AtomicLoad, _) => format!("r = {kind}.i64 p acquire system"),
        (Shape::Atomic, Op::AtomicStore) => format!("{kind} p, f release group"),
        (Shape::Atomic, Op::CompareExchange) => format!("r, s = {kind} p, i, i32 1 seq_cst subgroup"),
        (Shape::Atomic, _) => format!("r = {kind} p, {x} relaxed device"),
        (Shape::Fence, _) => format!("{kind} acq_rel system"),
        (Shape::Call, _) => format!("r, s = {kind} \"f(i32)\"(i, f)"),
        (Shape::CallIndirect, _) => format!("r, s = {kind} p(i, f) -> (pair, i1)"),
        (Shape::FunctionAddress, _) => format!("r = {kind} g(i32, pair)"),
        (Shape::Jump, _) => format!("{kind} next(i)"),
        (Shape::Branch, _) => format!("{kind} c, next(i), last"),
        (Shape::Switch, _) => format!("{kind} i, last, [0: next(i), -1: last]"),
        (Shape::Return, _) => format!("{kind} i, f"),
        (Shape::Throw, _) => format!("{kind} Error, \"because %d\\n\", i"),
        (Shape::Input, _) => format!("r = {kind}.ptr<global> arena"),
        (Shape::Print, _) => format!("{kind} \"%d and %f\\n\", i, f"),
        (Shape::Assert, _) => format!("{kind} c, \"%d must hold\", i"),
        (Shape::StaticAssert, _) => format!("{kind} c, \"must hold\""),
        (Shape::Query, _) => format!("r = {kind}.i32 \"sm\""),
        (Shape::Scratch, _) => format!("r = {kind}.shared array<f32, 4>"),
    }
}

#[test]
fn every_op_round_trips() {
    for &op in Op::ALL {
        let line = sample(op);
        let end = if op.is_terminator() { "" } else { "    return i, f\n" };
        let text = format!(
            "struct pair {{ a: i32, b: f32 }}\n\nmethod m(c: i1, i: i32, f: f32, p: ptr<global>, vi: vec<i32, 4>, \
             vf: vec<f32, 4>) -> (i32, f32) {{\nentry:\n    {line}\n{end}next(k: i32):\n    return k, f\n\
             last:\n    return i, f\n}}\n"
        );
        let program = sound(&text);
        assert_eq!(print_program(&program), text);
        let (_, method) = program.methods().next().expect("one method");
        let entry = method.body.entry().expect("an entry");
        assert_eq!(method.body.inst(method.body.first_inst(entry).expect("an instruction")).op, op);
        assert_eq!(super::format(&text).as_deref(), Ok(text.as_str()));
    }
}

#[test]
fn the_formatter_agrees_with_the_printer() {
    assert_eq!(super::format(EXAMPLE).as_deref(), Ok(EXAMPLE));
}

/// Codes and lines of all mistakes.
pub(super) fn mistakes(text: &str) -> Vec<(Code, usize)> {
    let mut program = Program::new();
    let list = parse(&mut program, "t.mq", text);
    list.iter().map(|d| (d.code, program.files[0].line_column(d.span.start).0)).collect()
}

#[test]
fn several_mistakes_each_on_its_line() {
    let text = "struct s { x: i33 }
method f(a: i32) -> i32 {
entry:
    x = add a, f32 1.0
    y = add x, a
    z = bogus a
    w = mul a,
    v = mul a, nowhere
    u = neg a extra
    q, r = neg a
    i32 = neg a
    a = neg a
    t = add a, i8 300
    jump missing
}
global g: i32 in somewhere
method ok() {
entry:
    return
}
method broken( {
entry:
    return
}
global g2: f32 in global = f32 \"x\"
}
method unclosed() {
entry:
    return
method ok2() {
entry:
    § return
    return
}
";
    let want = [
        (Code::UnknownType, 1),
        (Code::OperandType, 4),
        (Code::UnknownOp, 6),
        (Code::Syntax, 7),
        (Code::UndefinedValue, 8),
        (Code::Syntax, 9),
        (Code::ResultCount, 10),
        (Code::Reserved, 11),
        (Code::Redefined, 12),
        (Code::Literal, 13),
        (Code::UndefinedBlock, 14),
        (Code::Syntax, 16),
        (Code::Syntax, 21),
        (Code::Syntax, 25),
        (Code::Syntax, 30),
        (Code::Token, 32),
    ];
    assert_eq!(mistakes(text), want);
    let mut program = Program::new();
    parse(&mut program, "t.mq", text);
    let names: Vec<_> = program.methods().map(|(_, method)| method.name.to_string()).collect();
    assert_eq!(names, ["ok"]);
}

#[test]
fn redefinitions_point_at_the_first() {
    let mut program = sound("global g: i32 in global\nmethod f(a: i32) {\nentry:\n    return\n}\n");
    let text = "global g: i32 in global\nglobal h: i32 in global\nglobal h: i8 in global\n\
                method f(b: i32) {\nentry:\n    return\nentry:\n    return\n}\n\
                method f(b: i32) {\nentry:\n    return\n}\n";
    let list = parse(&mut program, "u.mq", text);
    let shown = crate::diag::render(&list, &program.files);
    assert!(shown.contains("u.mq:1:8: error[P0011]: global 'g' is defined already"), "{shown}");
    assert!(shown.contains("= first defined at t.mq:1:8"), "{shown}");
    assert!(shown.contains("u.mq:2:8: first defined here"), "{shown}");
    assert!(shown.contains("u.mq:5:1: first defined here"), "{shown}");
    assert!(shown.contains("error[P0011]: method 'f' of (i32) is defined already"), "{shown}");
    assert_eq!(list.len(), 4, "{shown}");
}

#[test]
fn values_of_later_blocks_are_typed() {
    let text = "method f(c: i1, p: ptr<global>) -> f32 {\nentry:\n    jump a\nc2:\n    z = add y, f32 1.0\n    \
                r = call_indirect p(y) -> f32\n    switch k, out, [-1: out]\nb:\n    y = mul x, x\n    k = trunc.i8 w\n    \
                jump c2\na:\n    x = load.f32 p\n    w = load.i64 p\n    jump b\nout:\n    return z\n}\n";
    let program = sound(text);
    assert_eq!(print_program(&program), text);
    let body = &program.methods().next().expect("one method").1.body;
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            assert!(body.results(inst).all(|value| body.value_type(value).is_known()));
            if body.inst(inst).op == Op::CallIndirect {
                let signature = body.signature(crate::entity::SigRef::from_u32(body.inst(inst).imm));
                assert_eq!(signature.params, [crate::types::Type::F32]);
            }
            if body.inst(inst).op == Op::Switch {
                assert_eq!(body.switch_cases(crate::entity::Switch::from_u32(body.inst(inst).imm)), [0xff]);
            }
        }
    }
    let wrong = text.replace("mul x, x", "and x, x");
    assert_eq!(mistakes(&wrong), [(Code::OperandType, 9)]);
    // An unreachable chain against the order is left unknown, not wrong.
    sound(
        "method f() {\nentry:\n    return\nb:\n    y = neg x\n    return\na:\n    x = neg i32 1\n    jump b\n}\n",
    );
}

#[test]
fn every_printed_name_is_unique() {
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let names = ["x", "", "v1", "i32", "x", "x_1", "v1_1"];
    for name in names {
        let value = body.append_block_param(entry, crate::types::Type::I32);
        body.names.set_value(value, name);
    }
    let next = body.make_block();
    body.append_block(next);
    body.names.set_block(entry, "block1");
    for (block, target) in [(entry, Some(next)), (next, None)] {
        let op = if target.is_some() { Op::Jump } else { Op::Return };
        let params = if target.is_some() { vec![] } else { body.block_params(entry).to_vec() };
        let inst = body.make_inst(op, crate::types::Type::I1, &params, 0);
        if let Some(target) = target {
            let call = body.make_block_call(target, &[]);
            body.set_targets(inst, &[call]);
        }
        body.append_inst(inst, block);
    }
    let text = print_body(&body, &crate::types::Types::new(), None);
    assert_eq!(
        text,
        "block1:\n    jump block1_1\nblock1_1:\n    return x, v1_2, v1, i32_1, x_2, x_1, v1_1\n"
    );
}

#[test]
fn unnamed_things_have_default_names() {
    let text = "method f(v0: i32) {\nblock0:\n    v1 = neg v0\n    jump block1(v1)\nblock1(v2: i32):\n    return\n}\n";
    let program = sound(text);
    assert_eq!(print_program(&program), text);
    let body = &program.methods().next().expect("one method").1.body;
    assert!(body.names.is_empty());
    assert_eq!(canonical(&text.replace("v1", "v01").replace("v2", "v0012")).matches("v01").count(), 2);
}

struct Everywhere;

impl Annotate for Everywhere {
    fn before(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        line(&format!("before {place:?}\nreturn }}"));
    }

    fn after(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        line(&format!("after {place:?}"));
    }
}

#[test]
fn annotations_are_comments() {
    let program = sound(EXAMPLE);
    let noisy = print_program_with(&program, &mut Everywhere);
    assert!(noisy.contains("; after Inst(inst0)") && noisy.contains("; before Method(method0)"));
    assert_eq!(print_program(&sound(&noisy)), EXAMPLE);
}

#[test]
fn globals_of_all_kinds_round_trip() {
    let text = "struct e {}\nstruct \"i32\" { a: i8, \"b c\": array<vec<f32, 2>, 2> }\n\
                global a: i32 in global = i32 -1\nglobal b: \"i32\" in constant = [i8 1, [vec<f32, 2> [1.5, nan], vec<f32, 2> [0.0, -0.0]]]\n\
                global c: array<array<i8, 3>, 2> in global = [bytes \"abc\", bytes \"\\x00\\\\\\\"\"]\nglobal d: e in global\n\
                global f: ptr<global> in global = ptr<global> 0x10\nglobal \"g h\": i128 in param\n\
                global i: array<f16, 2> in local = [f16 0.1, f16 nan:0xfe01]\nglobal j: vec<i1, 2> in generic = vec<i1, 2> [true, false]\n";
    assert_eq!(canonical(text), text);
    let lists = "global j: vec<i1, 2> in global = [i1 true, i1 false]\nglobal z: i32 in global = zero\n\
                 global m: array<array<i32, 2>, 2> in global = [\n  zero,\n  [i32 1, i32 2]]";
    let want = "global j: vec<i1, 2> in global = vec<i1, 2> [true, false]\nglobal z: i32 in global\n\
                global m: array<array<i32, 2>, 2> in global = [[i32 0, i32 0], [i32 1, i32 2]]\n";
    assert_eq!(canonical(lists), want);
    let wrong = "global a: array<i32, 3> in global = [i32 1, i32 2]\nglobal b: array<i8, 3> in global = bytes \"ab\"\n\
                 global c: i32 in global = f32 1.0\nglobal d: i32 in global = [i32 1]\n\
                 global e: array<array<i8, 1099511627776>, 1> in global = [zero]\n";
    let want =
        [(Code::Syntax, 1), (Code::Literal, 2), (Code::Literal, 3), (Code::Syntax, 4), (Code::Limit, 5)];
    assert_eq!(mistakes(wrong), want);
}

#[test]
fn units_print_as_programs() {
    use crate::body::Symbol;
    use crate::program::{Inlining, MethodKind};
    use crate::types::Type;
    use crate::unit::{Function, Unit};
    let source = "struct \"a b\" { x: i32 }\nglobal \"g h\": i32 in shared\nextern func sin(f64) -> f64 as \"sin\"\n\
                  method main(a: i32) -> i32 {\nentry:\n    g = address.shared x\n    s = call x(f64 1.0)\n    \
                  q = function_address x()\n    r = call x(a)\n    z = div.s r, a\n    return z\n}\n";
    let program = sound(source);
    let method = program.methods().next().expect("one method").1;
    let mut unit = Unit { types: program.types.clone().into(), ..Unit::default() };
    let global = unit.globals.push(program.globals.values().next().expect("one global").clone());
    let external = unit.externs.push(program.externs.values().next().expect("one extern").clone());
    let function = |name: &str, body: &Body| Function {
        name: name.into(),
        kind: MethodKind::Function,
        signature: method.signature.clone(),
        body: body.clone(),
        inlining: Inlining::Never,
        file: None,
        span: Span::NOWHERE,
    };
    let main = unit.funcs.push(function("main(i32)", &method.body));
    let body = &mut unit.funcs[main].body;
    let entry = body.entry().expect("an entry");
    let insts: Vec<_> = body.block_insts(entry).collect();
    let symbols = [Symbol::Global(global), Symbol::Extern(external), Symbol::Func(main), Symbol::Func(main)];
    for (&inst, symbol) in insts.iter().zip(symbols) {
        let imm = body.make_symbol(symbol).as_u32();
        body.set_imm(inst, imm);
    }
    body.set_guarded(insts[4], true);
    let mut other = Body::new();
    let block = other.make_block();
    other.append_block(block);
    other.append_block_param(block, Type::I32);
    let dangling = other.make_symbol(Symbol::Func(crate::entity::Func::from_u32(9)));
    let call = other.make_inst(Op::Call, Type::I1, &[], dangling.as_u32());
    other.append_inst(call, block);
    unit.funcs.push(function("other", &other));
    unit.entries.push(main);
    let text = print_unit(&unit);
    let want = "struct \"a b\" { x: i32 }\nglobal \"g h\": i32 in shared\nextern func sin(f64) -> f64 as \"sin\"\n\n\
                ; entry\nmethod \"main(i32)\"(a: i32) -> i32 noinline {\nentry:\n    g = address.shared \"g h\"\n    \
                s = call sin(f64 1.0)\n    q = function_address \"main(i32)\"(i32)\n    r = call \"main(i32)\"(a)\n    \
                z = div.s r, a ; guarded\n    return z\n}\n\n\
                method other(v0: i32) -> i32 noinline {\nblock0:\n    call func9()\n}\n";
    assert_eq!(text, want);
    sound(&text);
    assert_eq!(super::format(&text).as_deref(), Ok(text.as_str()));
}
