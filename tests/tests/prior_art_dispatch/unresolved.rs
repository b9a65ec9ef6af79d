//! What becomes of calls that no method fits.

use super::*;

const SOURCE: &str = "\
method f(x: i32) -> i32 {
entry:
    bad = gt.s x, i32 0
    branch bad, yes, no
yes:
    a = call missing(x)
    b = add a, i32 1
    call other(b, f32 1.0)
    jump no
no:
    return x
}\n";

#[test]
fn thrown_when_control_gets_there() {
    let program = program(SOURCE);
    let job = with(&native(&program, "f"), |options| options.unresolved = Unresolved::Throw);
    let unit = specialised(&program, &job);
    assert_eq!(call(&unit, &[Val::i32(0)]), [Val::i32(0)]);
    match Interp::new(&unit, Config::default()).call(unit.entries[0], &[Val::i32(1)]) {
        Ok(Ended::Threw(thrown)) => {
            assert_eq!(&*thrown.kind, "UnresolvedError");
            assert_eq!(thrown.reason.as_deref(), Some("no method missing(i32) in sight"));
        }
        other => panic!("{other:?}"),
    }
    for opt_level in [OptLevel::None, OptLevel::Default] {
        let job = with(&job, |options| options.opt_level = opt_level);
        assert!(asm(&program, &job, "native").contains("return"));
    }
}

#[test]
fn answered_by_the_host() {
    let program = program(SOURCE);
    let job =
        with(&native(&program, "f"), |options| options.unresolved = Unresolved::Callback("host:".into()));
    let unit = specialised(&program, &job);
    let asked: Vec<&str> = unit.externs.values().map(|data| &*data.link_name).collect();
    assert_eq!(asked, ["host:missing(i32) -> i32", "host:other(i32, f32)"]);
    let mut interp = Interp::new(&unit, Config::default());
    interp.define_extern(asked[0], Box::new(|_, args| Ok(vec![args[0].clone()])));
    interp.define_extern(asked[1], Box::new(|_, _| Ok(vec![])));
    assert_eq!(interp.call(unit.entries[0], &[Val::i32(5)]), Ok(Ended::Returned(vec![Val::i32(5)])));
    // A device has no host to ask.
    let target = Target::parse("ptx:sm_80", OptLevel::None).unwrap();
    let source = "kernel k(x: i32) {\nentry:\n    call missing(x)\n    return\n}\n";
    let program = self::program(source);
    let job = Job { entries: vec![method(&program, "k").into()], view: View::device(&[]), ..job };
    let failure = pipeline::run(&program, &job, target.lowering()).map(|_| ()).unwrap_err();
    assert!(failure.to_string().contains("host:missing"), "{failure}");
}

#[test]
fn one_mistake_is_one_message() {
    let source = "\
method bad<T>(x: T) -> i32 {\nentry:\n    r = call missing(i8 1)\n    s = call use(r)\n    t = call use(s)\n    return t\n}
method use(x: i32) -> i32 {\nentry:\n    return x\n}
method f(x: i32) {\nentry:\n    a = call bad(x)\n    b = call bad(i8 1)\n    c = call bad(i16 1)\n    return\n}\n";
    let program = program(source);
    let found = refused(&program, &native(&program, "f"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("2 other calls that need its results are not reported"), "{found:?}");
    assert!(found[0].contains("the same in 2 other instances of the method"), "{found:?}");
}
