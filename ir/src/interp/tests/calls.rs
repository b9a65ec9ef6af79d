//! Calls: direct, indirect, to the host; limits.

use super::*;

#[test]
fn recursion_needs_no_host_stack() {
    let text = "method f(n: i32) -> i32 {
entry:
    z = eq n, i32 0
    branch z, done, more
more:
    m = sub n, i32 1
    r = call f(m)
    s = add r, n
    return s
done:
    return i32 0
}
";
    assert_eq!(returns(text, &[Val::i32(9_000)]), [Val::i32(9_000 * 9_001 / 2)]);
    assert_eq!(fault(text, &[Val::i32(20_000)]), FaultKind::StackOverflow);
}

#[test]
fn fuel_ends_endless_loops() {
    let text = "method f() {
entry:
    jump entry
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config { fuel: 1000, ..Config::default() });
    for n in 1..3 {
        let found = interp.call(unit.find("f").expect("f"), &[]).map_err(|fault| *fault.kind);
        assert_eq!(found, Err(FaultKind::OutOfFuel));
        assert_eq!(interp.steps(), n * 1000);
    }
}

#[test]
fn fuel_pays_for_bytes() {
    let text = "method f(p: ptr<global>, n: i64) {
entry:
    jump loop
loop:
    memset p, i8 1, n
    jump loop
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config { fuel: 1_000_000, ..Config::default() });
    let buffer = interp.memory_mut().alloc(&vec![0; 1 << 20]).expect("memory");
    let args = [Val::pointer(buffer), Val::i64(1 << 20)];
    let found = interp.call(unit.find("f").expect("f"), &args).map_err(|fault| *fault.kind);
    assert_eq!(found, Err(FaultKind::OutOfFuel));
    assert_eq!(interp.steps(), 1_000_000);
}

#[test]
fn results_and_indirect_calls() {
    let text = "extern func twice(i32) -> i32 as \"host_twice\"
method swap(a: i32, b: i32) -> (i32, i32) {
entry:
    return b, a
}
method inc(a: i32) -> i32 {
entry:
    b = add a, i32 1
    return b
}
method f(which: i32) -> (i32, i32) {
entry:
    p = function_address inc(i32)
    q = function_address twice(i32)
    r = function_address swap(i32, i32)
    switch which, go(p), [1: go(q), 2: go(r), 3: go(ptr<generic> null)]
go(fp: ptr<generic>):
    x = call_indirect fp(i32 20) -> i32
    y = call twice(x)
    a, b = call swap(x, y)
    return a, b
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let func = unit.find("f").expect("f");
    let missing = interp.call(func, &[Val::i32(0)]).map_err(|fault| *fault.kind);
    assert_eq!(missing, Err(FaultKind::UnknownExtern("host_twice".into())));
    let twice = |_: &mut Memory, args: &[Val]| match args {
        [Val::Bits(0)] => Err("zero".to_string()),
        [Val::Bits(99)] => Ok(vec![]),
        [Val::Bits(x)] => Ok(vec![Val::Bits(x * 2)]),
        _ => Err("no number".to_string()),
    };
    interp.define_extern("host_twice", Box::new(twice));
    let mut call = |which| interp.call(func, &[Val::i32(which)]).map_err(|fault| *fault.kind);
    assert_eq!(call(0), Ok(Ended::Returned(vec![Val::i32(42), Val::i32(21)])));
    assert_eq!(call(1), Ok(Ended::Returned(vec![Val::i32(80), Val::i32(40)])));
    assert_eq!(call(2), Err(FaultKind::WrongSignature { function: "swap".into() }));
    assert_eq!(call(3), Err(FaultKind::NotAFunction { address: 0 }));
}

#[test]
fn failures_of_the_host_are_faults() {
    let text = "extern func twice(i32) -> i32 as \"host_twice\"
method f(a: i32) -> i32 {
entry:
    b = call twice(a)
    return b
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let func = unit.find("f").expect("f");
    interp.define_extern(
        "host_twice",
        Box::new(|_, args| match args {
            [Val::Bits(0)] => Err("zero".to_string()),
            _ => Ok(vec![]),
        }),
    );
    let mut call = |arg| interp.call(func, &[arg]).map_err(|fault| *fault.kind);
    assert_eq!(call(Val::i32(0)), Err(FaultKind::ExternFailed("zero".into())));
    assert!(matches!(call(Val::i32(1)), Err(FaultKind::ExternFailed(_))));
    assert!(matches!(call(Val::Bits(1 << 32)), Err(FaultKind::BadArguments(_))));
    let none = interp.call(func, &[]).map_err(|fault| *fault.kind);
    assert!(matches!(none, Err(FaultKind::BadArguments(_))));
}
