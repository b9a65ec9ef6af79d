//! Control flow, values and exceptions.

use super::*;

#[test]
fn loops_and_swapped_parameters() {
    // Fibonacci: both parameters change at once.
    let text = "method f(n: i32) -> i64 {
entry:
    jump loop(i32 0, i64 0, i64 1)
loop(i: i32, a: i64, b: i64):
    more = lt.s i, n
    branch more, body, done
body:
    next = add a, b
    j = add i, i32 1
    jump loop(j, b, next)
done:
    return a
}
";
    assert_eq!(returns(text, &[Val::i32(50)]), [Val::i64(12_586_269_025)]);
    let text = "method f(n: i32) -> (i64, i64) {
entry:
    jump loop(n, i64 1, i64 2)
loop(i: i32, a: i64, b: i64):
    j = sub i, i32 1
    more = ne i, i32 0
    branch more, loop(j, b, a), done
done:
    return a, b
}
";
    assert_eq!(returns(text, &[Val::i32(3)]), [Val::i64(2), Val::i64(1)]);
    assert_eq!(returns(text, &[Val::i32(4)]), [Val::i64(1), Val::i64(2)]);
    let text = "method f(n: i32) -> i32 {
entry:
    jump swap(n, i32 5)
swap(a: i32, b: i32):
    c = ne a, i32 5
    branch c, swap(b, a), done
done:
    return b
}
";
    assert_eq!(returns(text, &[Val::i32(9)]), [Val::i32(9)]);
}

#[test]
fn switches_choose_signed_cases() {
    let text = "method f(k: i8) -> i32 {
entry:
    switch k, other(i32 0), [7: other(i32 1), -5: minus, 3: other(i32 3)]
minus:
    return i32 2
other(x: i32):
    return x
}
";
    for (k, wanted) in [(7, 1), (-5, 2), (3, 3), (4, 0), (-7, 0)] {
        assert_eq!(returns(text, &[Val::Bits((k as i8 as u8).into())]), [Val::i32(wanted)]);
    }
}

#[test]
fn vectors_and_aggregates() {
    let text = "struct pair { a: i8, b: f32, c: array<i16, 2> }
method f(x: f32) -> (f32, i16, vec<f32, 4>, pair) {
entry:
    v = splat.vec<f32, 4> x
    w = add v, vec<f32, 4> [1.0, 2.0, 3.0, 4.0]
    s = shuffle w, v, [3, 4, 0, 7]
    sum = reduce_add s
    inner = make.array<i16, 2> i16 5, i16 -6
    p = make.pair i8 1, x, inner
    q = set p, sum, 1
    arr = get q, 2
    e = get arr, 1
    wide = select i1 true, q, p
    return sum, e, s, wide
}
";
    let x = |x: f32| u128::from(x.to_bits());
    let lanes = [x(5.0), x(1.0), x(2.0), x(1.0)];
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(9f32.to_bits().to_le_bytes());
    bytes.extend([5, 0, 0xfa, 0xff]);
    let wanted = [Val::f32(9.0), Val::Bits(0xfffa), Val::Lanes(lanes.into()), Val::Bytes(bytes.into())];
    assert_eq!(returns(text, &[Val::f32(1.0)]), wanted);
}

#[test]
fn exceptions_end_the_call() {
    let text = "method g(a: i32, b: i32) -> i32 {
entry:
    q = div.s a, b
    return q
}
method f(a: i32, b: i32) -> i32 {
entry:
    c = eq b, i32 7
    branch c, bad, good
bad:
    throw Unlucky, \"seven\"
good:
    q = call g(a, b)
    i = bounds_check q, i32 10
    e = eq i, i32 9
    branch e, never, fine
never:
    unreachable
fine:
    return i
}
";
    let of = |a: i32, b: i32| thrown(text, &[Val::i32(a), Val::i32(b)]);
    assert_eq!(&*of(1, 0).kind, "DivideError");
    assert_eq!(&*of(1, 0).location.expect("somewhere").function, "g");
    assert_eq!(&*of(i32::MIN, -1).kind, "OverflowError");
    assert_eq!(&*of(100, 2).kind, "BoundsError");
    assert_eq!(&*of(-1, 1).kind, "BoundsError");
    assert_eq!(&*of(9, 1).kind, "UnreachableError");
    let unlucky = of(1, 7);
    assert_eq!((&*unlucky.kind, unlucky.reason.as_deref()), ("Unlucky", Some("seven")));
    let location = unlucky.location.expect("somewhere");
    assert_eq!(text[location.span.start as usize..].get(..5), Some("throw"));
    assert_eq!(returns(text, &[Val::i32(12), Val::i32(4)]), [Val::i32(3)]);
}

#[test]
fn guards_are_believed_but_checked() {
    let mut unit = unit(
        "method f(a: i32, b: i32) -> i32 {
entry:
    q = div.s a, b
    return q
}
",
    );
    let func = unit.find("f").expect("f");
    let body = &mut unit.funcs[func].body;
    let inst = body.first_inst(body.entry().expect("entry")).expect("the division");
    body.set_guarded(inst, true);
    let mut interp = Interp::new(&unit, Config::default());
    let found = interp.call(func, &[Val::i32(1), Val::i32(0)]).map_err(|fault| *fault.kind);
    assert_eq!(found, Err(FaultKind::Unguarded));
    let found = interp.call(func, &[Val::i32(7), Val::i32(-2)]);
    assert_eq!(found, Ok(Ended::Returned(vec![Val::i32(-3)])));
}

#[test]
fn assertions_and_clock() {
    let text = "method f(a: i32) -> i64 {
entry:
    t = clock
    c = gt.s a, i32 0
    static_assert c, \"positive\"
    u = clock
    d = sub u, t
    return d
}
";
    assert_eq!(returns(text, &[Val::i32(1)]), [Val::i64(3)]);
    assert_eq!(fault(text, &[Val::i32(0)]), FaultKind::AssertionFailed("positive".into()));
}

#[test]
fn malformed_code_is_an_error_where_it_runs() {
    let text = "method f(a: i32, b: i1) -> i32 {
entry:
    branch b, bad, good
bad:
    x = add a, a
    return x
good:
    return a
}
";
    let whole = unit(text);
    let func = whole.find("f").expect("f");
    let bad = |change: &dyn Fn(&mut crate::body::Body, Inst)| {
        let mut unit = whole.clone();
        let body = &mut unit.funcs[func].body;
        let inst = body.blocks().nth(1).and_then(|block| body.first_inst(block)).expect("the addition");
        change(body, inst);
        let mut interp = Interp::new(&unit, Config::default());
        assert_eq!(interp.call(func, &[Val::i32(4), Val::i1(false)]), Ok(Ended::Returned(vec![Val::i32(4)])));
        match interp.call(func, &[Val::i32(4), Val::i1(true)]).map_err(|fault| *fault.kind) {
            Err(FaultKind::Malformed(message)) => message.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(bad(&|body, inst| body.set_op(inst, Op::Fma)).contains("operands"));
    assert!(bad(&|body, inst| body.set_op(inst, Op::Div)).contains("float"));
    assert!(bad(&|body, inst| body.set_op(inst, Op::Call)).contains("name"));
    assert!(bad(&|body, inst| body.set_op(inst, Op::Jump)).contains("jump"));
    assert!(bad(&|body, inst| body.set_op(inst, Op::Slot)).contains("operands"));
    let unplaced = |body: &mut crate::body::Body, inst: Inst| body.remove_inst(inst);
    assert!(bad(&unplaced).contains("computed nowhere"));
    let unknown = |body: &mut crate::body::Body, inst: Inst| {
        let result = body.first_result(inst).expect("a result");
        body.set_value_type(result, crate::types::Type::UNKNOWN);
    };
    assert!(bad(&unknown).contains("resolved"));
    let endless = |body: &mut crate::body::Body, inst: Inst| {
        let last = body.next_inst(inst).expect("the return");
        body.remove_inst(last);
    };
    assert!(bad(&endless).contains("terminator"));
}

#[test]
fn every_op_with_any_operands_ends_without_panic() {
    // Not verified, and mostly nonsense: ends as a fault or not, but ends.
    let text = "struct pair { a: i8, b: f32 }
method f(a: i32, b: f32, c: vec<i32, 4>, d: ptr<generic>, e: pair) -> i32 {
entry:
    x = add a, a
    return a
}
";
    let whole = unit(text);
    let func = whole.find("f").expect("f");
    let types = &whole.types;
    for &op in Op::ALL {
        for pick in 0..64u32 {
            let mut unit = whole.clone();
            let body = &mut unit.funcs[func].body;
            let entry = body.entry().expect("entry");
            let params = body.block_params(entry).to_vec();
            let old = body.first_inst(entry).expect("the addition");
            let count = pick % 4;
            let args: Vec<_> = (0..count).map(|n| params[((pick >> (2 + n)) % 5) as usize]).collect();
            let inst = body.make_inst(op, body.value_type(params[(pick % 5) as usize]), &args, pick % 3);
            let wanted = infer(body, types, inst).unwrap_or_default();
            body.make_results(inst, &wanted);
            body.insert_inst_before(inst, old);
            let mut interp = Interp::new(&unit, Config { fuel: 100, ..Config::default() });
            let buffer = interp.memory_mut().alloc(&[1; 64]).expect("memory");
            let args = [
                Val::i32(3),
                Val::f32(1.5),
                Val::Lanes([1, 2, 3, 4].into()),
                Val::pointer(buffer),
                Val::zero(types, types.find_struct("pair").expect("pair")).expect("small"),
            ];
            let _ = interp.call(func, &args);
        }
    }
}
