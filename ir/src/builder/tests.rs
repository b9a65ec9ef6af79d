//! Variables through control flow, mistakes as values, and cost.

use super::*;
use crate::body::Symbol;
use crate::inst::{MemFlags, Order, Scope};
use crate::program::{Inlining, MethodKind};
use crate::types::Space;
use crate::unit::{Function, Unit};
use crate::verify::{explain, verify_unit};
use std::sync::Arc;

/// Builds a function and runs the whole verifier over it.
fn build(
    signature: Signature,
    make: impl FnOnce(&mut FunctionBuilder<'_>),
) -> (Body, Result<(), BuildError>, BuilderContext) {
    let (mut body, mut context) = (Body::new(), BuilderContext::new());
    let types = Types::new();
    let mut builder = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
    make(&mut builder);
    let result = builder.finalize();
    if result.is_ok() {
        let kind = MethodKind::Function;
        let (name, inlining, file, span) = ("f".into(), Inlining::Auto, None, Span::NOWHERE);
        let mut unit = Unit { types: Arc::new(types), ..Unit::default() };
        unit.funcs.push(Function { name, kind, signature, body, inlining, file, span });
        let found = verify_unit(&unit);
        assert!(found.is_empty(), "{}", explain(&unit, &found));
        body = std::mem::take(&mut unit.funcs[crate::entity::Func::from_u32(0)].body);
    }
    (body, result, context)
}

fn start(b: &mut FunctionBuilder<'_>) -> Block {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    entry
}

fn mistakes(signature: Signature, make: impl FnOnce(&mut FunctionBuilder<'_>)) -> Vec<MistakeKind> {
    let (_, result, _) = build(signature, make);
    result.map_or_else(|error| error.mistakes.into_iter().map(|mistake| mistake.kind).collect(), |()| vec![])
}

fn i64_to_i64() -> Signature {
    Signature::new([Type::I64], [Type::I64])
}

#[test]
fn a_variable_that_does_not_change_needs_no_parameter() {
    let mut header = None;
    let (body, result, _) = build(i64_to_i64(), |b| {
        let entry = start(b);
        let (outer, inner, back, done) =
            (b.create_block(), b.create_block(), b.create_block(), b.create_block());
        let (kept, count) = (b.declare_var(Type::I64), b.declare_var(Type::I64));
        let n = b.block_params(entry)[0];
        b.def_var(kept, n);
        b.def_var(count, n);
        b.ins().jump(outer, &[]);
        b.switch_to_block(outer);
        // The outer parameter is looked at first, and falls only when the inner one has fallen.
        let early = b.use_var(kept);
        b.ins().neg(early);
        b.ins().jump(inner, &[]);
        b.switch_to_block(inner);
        let (x, y) = (b.use_var(kept), b.use_var(count));
        let sum = b.ins().add(x, y);
        b.def_var(count, sum);
        let again = b.ins().lt_s(sum, x);
        b.ins().branch(again, inner, &[], back, &[]);
        b.switch_to_block(back);
        let y = b.use_var(count);
        let more = b.ins().lt_u(y, n);
        b.ins().branch(more, outer, &[], done, &[]);
        b.switch_to_block(done);
        let (x, y) = (b.use_var(kept), b.use_var(count));
        let all = b.ins().xor(x, y);
        b.ins().ret(&[all]);
        b.seal_all_blocks();
        header = Some((outer, inner, done));
    });
    result.unwrap();
    let (outer, inner, done) = header.unwrap();
    assert_eq!(body.block_params(outer).len(), 1, "{body:?}");
    assert_eq!(body.block_params(inner).len(), 1);
    assert_eq!(body.block_params(done).len(), 0);
}

#[test]
fn own_parameters_come_before_those_of_variables() {
    let mut merge = None;
    let (body, result, _) = build(i64_to_i64(), |b| {
        let entry = start(b);
        let (left, right, join) = (b.create_block(), b.create_block(), b.create_block());
        let variable = b.declare_var(Type::I32);
        let n = b.block_params(entry)[0];
        let zero = b.ins().iconst(Type::I64, 0);
        let negative = b.ins().lt_s(n, zero);
        b.ins().branch(negative, left, &[], right, &[]);
        for (block, number) in [(left, 1), (right, 2)] {
            b.switch_to_block(block);
            b.seal_block(block);
            let number = b.ins().iconst(Type::I32, number);
            b.def_var(variable, number);
            b.ins().jump(join, &[n]);
        }
        // The variable's parameter exists before the author's own.
        b.switch_to_block(join);
        let changed = b.use_var(variable);
        let own = b.append_block_param(join, Type::I64);
        let wide = b.ins().sext(Type::I64, changed);
        let sum = b.ins().add(own, wide);
        b.ins().ret(&[sum]);
        b.seal_all_blocks();
        merge = Some(join);
    });
    result.unwrap();
    let params = body.block_params(merge.unwrap());
    assert_eq!(params.iter().map(|&p| body.value_type(p)).collect::<Vec<_>>(), [Type::I64, Type::I32]);
}

#[test]
fn both_edges_of_a_branch_to_one_block_carry_the_variable() {
    let (_, result, _) = build(i64_to_i64(), |b| {
        let entry = start(b);
        let (head, join) = (b.create_block(), b.create_block());
        let variable = b.declare_var(Type::I64);
        let n = b.block_params(entry)[0];
        b.def_var(variable, n);
        b.ins().jump(head, &[]);
        b.switch_to_block(head);
        let x = b.use_var(variable);
        let next = b.ins().neg(x);
        b.def_var(variable, next);
        let odd = b.ins().trunc(Type::I1, next);
        b.ins().branch(odd, head, &[], join, &[]);
        b.switch_to_block(join);
        let x = b.use_var(variable);
        let yes = b.ins().bconst(true);
        let end = b.create_block();
        b.ins().branch(yes, end, &[], end, &[]);
        b.switch_to_block(end);
        let y = b.use_var(variable);
        let sum = b.ins().add(x, y);
        b.ins().ret(&[sum]);
        b.seal_all_blocks();
    });
    result.unwrap();
}

#[test]
fn unreachable_circles_end() {
    let (_, result, _) = build(i64_to_i64(), |b| {
        let entry = start(b);
        let variable = b.declare_var(Type::I64);
        let n = b.block_params(entry)[0];
        b.ins().ret(&[n]);
        let ring: Vec<Block> = (0..5).map(|_| b.create_block()).collect();
        b.seal_all_blocks();
        b.context.blocks.values_mut().for_each(|state| state.sealed = false);
        for (n, &block) in ring.iter().enumerate() {
            b.switch_to_block(block);
            b.ins().jump(ring[(n + 1) % 5], &[]);
        }
        b.seal_all_blocks();
        let lost = b.create_block();
        b.seal_block(lost);
        b.switch_to_block(lost);
        let x = b.use_var(variable);
        b.ins().ret(&[x]);
        let context = &mut *b.context;
        let lookup = (variable, ring[2]);
        let edges = Edges { blocks: &context.blocks, sources: &context.sources, pool: &context.edges };
        assert!(context.variables.lookup(b.body, &edges, lookup).is_ok());
    });
    result.unwrap();
}

#[test]
fn most_ops_have_a_method() {
    let types = [Type::pointer(Space::Global), Type::I32, Type::F32, Type::I64];
    let (_, result, _) = build(Signature::new(types, [Type::I32]), |b| {
        let entry = start(b);
        let [p, i, f, n] = b.block_params(entry).try_into().unwrap();
        b.set_name(i, "count");
        b.set_block_name(entry, "start");
        let (sum, wrapped) = b.ins().add_overflow_s(i, i);
        let chosen = b.ins().select(wrapped, sum, i);
        let vector = Type::vector(crate::types::Scalar::I32, 4).unwrap();
        let v = b.ins().splat(vector, chosen);
        let v = b.ins().shuffle(v, v, &[0, 5, 2, 7]);
        let x = b.ins().reduce_add(v);
        let q = b.ins().index(p, n, Type::I32);
        let flags = MemFlags::plain().with_align(4).unwrap();
        let old = b.ins().load(Type::I32, flags, q);
        b.ins().store(flags.with_volatile(), q, old);
        let (old, ok) = b.ins().compare_exchange(q, old, x, Order::AcqRel, Scope::Device);
        b.ins().atomic_store(q, old, Order::Release, Scope::Device);
        let more = b.ins().rmw_add(q, old, Order::Relaxed, Scope::Device);
        b.ins().fence(Order::SeqCst, Scope::System);
        b.ins().barrier();
        let id = b.ins().local_id(2);
        let lanes = b.ins().subgroup_size();
        let slot = b.ins().slot(Type::F32);
        b.ins().store(MemFlags::plain(), slot, f);
        b.ins().static_assert(ok, "must hold");
        let call = b.ins().call_indirect(Signature::new([Type::I32], [Type::I32, Type::I1]), p, &[id]);
        let (first, _) = (b.inst_results(call)[0], b.inst_results(call)[1]);
        let sum = b.ins().add(first, more);
        let sum = b.ins().add(sum, lanes);
        let (one, two) = (b.create_block(), b.create_block());
        b.ins().switch(sum, (one, &[]), &[(-1, two, &[sum]), (7, one, &[])]);
        b.switch_to_block(one);
        b.ins().throw("Wrong", Some("reason"));
        let last = b.append_block_param(two, Type::I32);
        b.switch_to_block(two);
        b.ins().ret(&[last]);
        b.seal_all_blocks();
    });
    result.unwrap();
}

#[test]
fn calls_by_name_keep_the_expected_types() {
    let (mut body, mut context) = (Body::new(), BuilderContext::new());
    let (types, signature) = (Types::new(), i64_to_i64());
    let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
    let entry = start(&mut b);
    let n = b.block_params(entry)[0];
    let call = b.ins().call("square", &[n], &[Type::I64]);
    let result = b.inst_results(call)[0];
    assert_eq!(b.value_type(result), Type::I64);
    b.ins().ret(&[result]);
    b.finalize().unwrap();
    assert!(body.symbols().any(|(_, symbol)| *symbol == Symbol::Name("square".into())));
}

#[test]
fn mistakes_are_values() {
    let sig = i64_to_i64;
    let found = mistakes(sig(), |b| {
        let entry = start(b);
        let n = b.block_params(entry)[0];
        let f = b.ins().f32const(1.0);
        let bad = b.ins().add(n, f);
        assert_eq!(b.value_type(bad), Type::ERROR);
        let worse = b.ins().mul(bad, n);
        b.ins().sqrt(n);
        b.ins().ret(&[worse]);
    });
    assert!(matches!(found[..], [MistakeKind::Operands { .. }, MistakeKind::Operands { .. }]), "{found:?}");

    let variable = Variable::from_u32(0);
    let undefined = |b: &mut FunctionBuilder<'_>| {
        start(b);
        let variable = b.declare_var(Type::I64);
        let x = b.use_var(variable);
        b.ins().ret(&[x]);
    };
    assert_eq!(mistakes(sig(), undefined), [MistakeKind::Undefined(variable)]);

    // Defined on one of two ways only: known when all blocks are.
    let half = |b: &mut FunctionBuilder<'_>| {
        start(b);
        let variable = b.declare_var(Type::I64);
        let (left, join) = (b.create_block(), b.create_block());
        let yes = b.ins().bconst(true);
        b.ins().branch(yes, left, &[], join, &[]);
        b.switch_to_block(left);
        let one = b.ins().iconst(Type::I64, 1);
        b.def_var(variable, one);
        b.ins().jump(join, &[]);
        b.switch_to_block(join);
        let x = b.use_var(variable);
        b.ins().ret(&[x]);
        b.seal_all_blocks();
    };
    assert_eq!(mistakes(sig(), half), [MistakeKind::Undefined(variable)]);

    let found = mistakes(sig(), |b| {
        let entry = start(b);
        let next = b.create_block();
        b.ins().jump(next, &[]);
        b.ins().barrier();
        b.switch_to_block(next);
        b.ins().jump(entry, &[]);
    });
    assert_eq!(
        found,
        [
            MistakeKind::Filled(Block::from_u32(0)),
            MistakeKind::EntryTarget,
            MistakeKind::Unsealed(Block::from_u32(1))
        ]
    );

    let found = mistakes(sig(), |b| {
        b.ins().barrier();
        let entry = start(b);
        let n = b.block_params(entry)[0];
        let next = b.create_block();
        b.seal_block(next);
        b.ins().jump(next, &[n]);
        b.switch_to_block(next);
    });
    let next = Block::from_u32(1);
    let count = MistakeKind::ArgumentCount { block: next, found: 1, wanted: 0 };
    assert_eq!(found, [MistakeKind::NoBlock, MistakeKind::Sealed(next), MistakeKind::Unfilled(next), count]);

    let found = mistakes(sig(), |b| {
        start(b);
        let (lost, nowhere) = (Value::from_u32(99), Block::from_u32(99));
        b.ins().neg(lost);
        b.ins().jump(nowhere, &[]);
        b.switch_to_block(nowhere);
        b.seal_block(nowhere);
        b.append_block_param(nowhere, Type::I8);
        b.set_name(lost, "x");
        b.use_var(Variable::from_u32(5));
        assert_eq!(b.value_type(lost), Type::ERROR);
        assert!(b.block_params(nowhere).is_empty() && b.inst_results(Inst::from_u32(99)).is_empty());
        b.ins().ret(&[]);
    });
    let (lost, nowhere) =
        (MistakeKind::MissingValue(Value::from_u32(99)), MistakeKind::MissingBlock(Block::from_u32(99)));
    let again = nowhere.clone();
    assert_eq!(found[..5], [lost.clone(), nowhere, again.clone(), again.clone(), again]);
    let variable = MistakeKind::MissingVariable(Variable::from_u32(5));
    assert_eq!(found[5..7], [lost, variable]);

    let found = mistakes(sig(), |b| {
        let entry = start(b);
        let n = b.block_params(entry)[0];
        let variable = b.declare_var(Type::F32);
        b.def_var(variable, n);
        b.set_name(n, "no name");
        let end = b.create_block();
        let small = b.ins().trunc(Type::I8, n);
        b.ins().switch(small, (end, &[]), &[(300, end, &[])]);
        b.switch_to_block(end);
        b.seal_block(end);
        b.ins().ret(&[small]);
    });
    assert!(matches!(found[0], MistakeKind::VariableType { .. }), "{found:?}");
    assert!(matches!(found[1], MistakeKind::Malformed(_)));
    assert_eq!(found[2], MistakeKind::Case(300));
    assert!(matches!(found[3], MistakeKind::Argument { index: 0, .. }));
    let text = BuildError { mistakes: vec![Mistake { block: None, kind: found[2].clone() }] }.to_string();
    assert_eq!(text, "case 300 is no value of the selector's type");
}

#[test]
fn a_context_remembers_nothing() {
    let (types, signature) = (Types::new(), i64_to_i64());
    let mut context = BuilderContext::new();
    for round in 0..3 {
        let mut body = Body::new();
        let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
        let entry = start(&mut b);
        let variable = b.declare_var(Type::I64);
        assert_eq!(variable, Variable::from_u32(0));
        if round == 0 {
            b.def_var(variable, Value::from_u32(7));
            assert!(b.finalize().is_err());
            continue;
        }
        let n = b.block_params(entry)[0];
        b.def_var(variable, n);
        let x = b.use_var(variable);
        b.ins().ret(&[x]);
        b.finalize().unwrap();
    }
}

/// A chain of diamonds, all variables live throughout, every second one changed somewhere.
fn diamonds(count: usize, variables: usize) -> (Body, usize) {
    let (body, result, context) = build(i64_to_i64(), |b| {
        let entry = start(b);
        let n = b.block_params(entry)[0];
        let all: Vec<Variable> = (0..variables).map(|_| b.declare_var(Type::I64)).collect();
        all.iter().for_each(|&variable| b.def_var(variable, n));
        for at in 0..count {
            let (left, right, join) = (b.create_block(), b.create_block(), b.create_block());
            let odd = b.ins().trunc(Type::I1, n);
            b.ins().branch(odd, left, &[], right, &[]);
            b.switch_to_block(left);
            b.seal_block(left);
            let variable = all[(at % variables) & !1];
            let old = b.use_var(variable);
            let new = b.ins().add(old, n);
            b.def_var(variable, new);
            b.ins().jump(join, &[]);
            b.switch_to_block(right);
            b.seal_block(right);
            b.ins().jump(join, &[]);
            b.switch_to_block(join);
            b.seal_block(join);
        }
        let mut sum = n;
        for &variable in &all {
            let last = b.use_var(variable);
            sum = b.ins().add(sum, last);
        }
        b.ins().ret(&[sum]);
    });
    result.unwrap();
    (body, context.variables.steps)
}

#[test]
fn cost_grows_with_blocks() {
    let (small, few) = diamonds(3_400, 8);
    let (large, many) = diamonds(34_000, 8);
    assert!(large.block_count() > 100_000);
    assert!(
        many < few * 11,
        "{few} steps for {} blocks, {many} for {}",
        small.block_count(),
        large.block_count()
    );
    // Variables that nobody looks at cost nothing.
    let params: usize = large.blocks().map(|block| large.block_params(block).len()).sum();
    assert!(params < 34_000 * 2, "{params} parameters");
}

#[test]
fn a_long_loop_is_linear_too() {
    let cost = |count: usize| {
        let (_, result, context) = build(i64_to_i64(), |b| {
            let entry = start(b);
            let variable = b.declare_var(Type::I64);
            let n = b.block_params(entry)[0];
            b.def_var(variable, n);
            let header = b.create_block();
            b.ins().jump(header, &[]);
            b.switch_to_block(header);
            // Nested loops that share one exit, none of them sealed before the end.
            let exit = b.create_block();
            for _ in 0..count {
                let next = b.create_block();
                let x = b.use_var(variable);
                let odd = b.ins().trunc(Type::I1, x);
                b.ins().branch(odd, next, &[], exit, &[]);
                b.switch_to_block(next);
            }
            let x = b.use_var(variable);
            let odd = b.ins().trunc(Type::I1, x);
            b.ins().branch(odd, header, &[], exit, &[]);
            b.switch_to_block(exit);
            let x = b.use_var(variable);
            b.ins().ret(&[x]);
            b.seal_all_blocks();
        });
        result.unwrap();
        context.variables.steps
    };
    let (few, many) = (cost(1_000), cost(10_000));
    assert!(many < few * 11, "{few}, then {many}");
}
