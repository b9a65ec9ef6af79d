//! What exceptions become, as text.

use super::{Lowered, run, run_with};
use crate::dispatch::view::View;
use crate::job::{Job, OptLevel, ThrowPolicy};
use marquetry_ir::body::Symbol;
use marquetry_ir::op::Op;
use marquetry_ir::program::{ExternData, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::text::{parse, print_unit};
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;

fn lower(text: &str) -> Lowered {
    let lowered = run(marquetry_ir::verify::Verified::new(unit(text)).unwrap()).unwrap();
    let diagnostics = marquetry_ir::verify::verify_unit(&lowered.unit);
    assert!(diagnostics.is_empty(), "{}", marquetry_ir::diag::render(&diagnostics, &lowered.unit.files));
    lowered
}

fn unit(text: &str) -> Unit {
    let mut program = Program::new();
    let diagnostics = parse(&mut program, "test.mq", text);
    assert!(diagnostics.is_empty(), "{}", marquetry_ir::diag::render(&diagnostics, &program.files));
    let entries = program.methods_of("main").to_vec();
    let job = Job::new(entries, View::native(&[]), OptLevel::None);
    crate::specialise::run(&program, &job).unwrap()
}

fn kinds(lowered: &Lowered) -> Vec<&str> {
    lowered.sites.iter().map(|site| &*site.kind).collect()
}

#[test]
fn what_constants_exclude_is_not_tested() {
    let lowered = lower(
        "method main(a: i32, v: vec<i64, 2>) -> (i32, i32, i32, i32, vec<i64, 2>) {
         entry:
             q = div.s a, i32 7
             r = rem.u q, i32 3
             s = div.s i32 5, i32 -1
             t = rem.s a, i32 -1
             w = div.u v, vec<i64, 2> [4, 5]
             return q, r, s, t, w
         }",
    );
    assert_eq!(kinds(&lowered), [""; 0]);
    assert!(!lowered.entries[0].status);
    let text = print_unit(&lowered.unit);
    assert!(text.contains("t = rem.s a, i32 1 "), "{text}");
    assert!(!text.contains("branch"), "{text}");
}

#[test]
fn a_division_has_two_places_that_throw() {
    let lowered = lower(
        "method main(a: i32, b: i32) -> i32 {
         entry:
             q = div.s a, b
             return q
         }",
    );
    assert_eq!(kinds(&lowered), ["DivideError", "OverflowError"]);
    assert!(lowered.entries[0].status && !lowered.entries[0].mailbox);
    assert!(lowered.sites[0].span.is_somewhere());
    let text = print_unit(&lowered.unit);
    for line in ["eq b, i32 0\n", "eq b, i32 -1\n", "eq a, i32 -2147483648\n", "return i32 1, i32 0\n"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.contains("return i32 2, i32 0\n") && text.contains("return i32 0, q\n"), "{text}");
}

#[test]
fn vectors_are_tested_as_a_whole() {
    let lowered = lower(
        "method main(a: vec<i32, 4>, b: vec<i32, 4>) -> vec<i32, 4> {
         entry:
             q = rem.u a, b
             return q
         }",
    );
    assert_eq!(kinds(&lowered), ["DivideError"]);
    let text = print_unit(&lowered.unit);
    assert!(text.contains("reduce_or"), "{text}");
}

#[test]
fn callers_of_what_throws_throw_and_others_do_not() {
    let lowered = lower(
        "method bad() noinline {
         entry:
             throw Mine, \"why\"
         }
         method middle() noinline {
         entry:
             call bad()
             return
         }
         method calm(a: i32) -> i32 noinline {
         entry:
             return a
         }
         kernel main(a: i32) {
         entry:
             b = call calm(a)
             call middle()
             return
         }",
    );
    assert_eq!(kinds(&lowered), ["Mine"]);
    assert_eq!(lowered.sites[0].reason.as_deref(), Some("why"));
    assert_eq!(&*lowered.sites[0].function, "bad");
    let results = |name: &str| {
        let found = lowered.unit.funcs.values().find(|function| function.name.starts_with(name)).unwrap();
        found.signature.results.len()
    };
    assert_eq!([results("bad"), results("middle"), results("calm"), results("main")], [1, 1, 1, 0]);
    let entry = &lowered.unit.funcs[lowered.unit.entries[0]];
    assert_eq!(entry.signature.params.last(), Some(&super::MAILBOX));
    assert!(lowered.entries[0].mailbox && !lowered.entries[0].status);
    let text = print_unit(&lowered.unit);
    assert!(text.contains("cmpxchg"), "{text}");
}

#[test]
fn addresses_of_functions_have_one_convention() {
    let mut unit = unit(
        "method calm(a: i32) -> i32 noinline {
         entry:
             return a
         }
         method main(a: i32, c: i1) -> i32 {
         entry:
             f = function_address calm(i32)
             g = function_address calm(i32)
             p = select c, f, g
             r = call_indirect p(a) -> i32
             return r
         }",
    );
    // The second address becomes that of a function of the host.
    let signature = Signature::new([Type::I32], [Type::I32]);
    let (name, span) = ("host".into(), Span::NOWHERE);
    let host = unit.externs.push(ExternData { name, link_name: "host".into(), signature, file: None, span });
    let body = &mut unit.funcs[unit.entries[0]].body;
    let entry = body.entry().unwrap();
    let second = body.block_insts(entry).nth(1).unwrap();
    let symbol = body.make_symbol(Symbol::Extern(host));
    body.set_imm(second, symbol.as_u32());
    let lowered = run(marquetry_ir::verify::Verified::new(unit).unwrap()).unwrap();
    let text = print_unit(&lowered.unit);
    assert!(text.contains("-> (i32, i32)"), "{text}");
    // It is called by one that adds the status.
    assert_eq!(lowered.unit.funcs.len(), 3);
    assert!(text.contains("method host_status(") && text.contains("function_address host_status"), "{text}");
}

const KERNELS: &str = "kernel main(a: i32, b: i32) {
     entry:
         q = div.s a, b
         c = bounds_check q, i32 4
         call may(c)
         return
     }
     method may(a: i32) noinline {
     entry:
         r = rem.u a, a
         return
     }";

#[test]
fn a_kernel_leaves_from_one_block() {
    let lowered = lower(KERNELS);
    assert_eq!(lowered.sites.len(), 4);
    let text = print_unit(&lowered.unit);
    assert_eq!((text.matches("cmpxchg").count(), text.matches("group_id").count()), (1, 3), "{text}");
    assert!(!text.contains("mq_throw"), "{text}");
    assert_eq!((lowered.exits.claims.len(), lowered.exits.leaves.len()), (1, 1));
    let &(func, leave) = &lowered.exits.leaves[0];
    assert_eq!(lowered.unit.funcs[func].body.inst(leave).op, Op::Return);
}

#[test]
fn a_kernel_whose_control_flow_is_structured_leaves_where_it_throws() {
    let unit = marquetry_ir::verify::Verified::new(unit(KERNELS)).unwrap();
    let lowered = run_with(unit, ThrowPolicy::Trap, true).unwrap();
    assert_eq!(marquetry_ir::verify::verify_unit(&lowered.unit), []);
    let text = print_unit(&lowered.unit);
    assert_eq!((text.matches("cmpxchg").count(), text.matches("call mq_throw(").count()), (1, 4), "{text}");
    assert_eq!((lowered.exits.claims.len(), lowered.exits.leaves.len()), (1, 4));
    for &(func, leave) in &lowered.exits.leaves {
        assert_eq!(lowered.unit.funcs[func].body.inst(leave).op, Op::Trap);
    }
}
