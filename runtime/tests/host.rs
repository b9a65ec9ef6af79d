//! What hosts are told that ask a session for something else than there is.

use marquetry::compile::Target;
use marquetry::ir::body::Body;
use marquetry::ir::builder::{BuilderContext, FunctionBuilder};
use marquetry::ir::program::{MethodData, OpenTable};
use marquetry::ir::signature::Signature;
use marquetry::ir::types::{Scalar, Space, Type, Types};
use marquetry::lower::job::OptLevel;
use marquetry::session::{Backend, Config, Session};
use marquetry::value::{HostArg, HostValue};

const PROGRAM: &str = "
method first(p: ptr<global>) -> i32 {
entry:
    x = load.i32 p
    return x
}
method half(x: i32) -> i32 {
entry:
    y = shr.s x, i32 1
    return y
}
method half(x: i64) -> i64 {
entry:
    y = shr.s x, i64 1
    return y
}
method same<T>(x: T) -> T {
entry:
    return x
}
";

fn host() -> (Session, Config) {
    let session = Session::new();
    let target = Target::parse("native", OptLevel::Default).unwrap();
    let native = session.add_backend(Backend::new("native", target)).unwrap();
    session.define("program.mq", PROGRAM).unwrap();
    (session, native)
}

#[test]
fn a_name_alone_says_what_is_meant_or_what_there_is() {
    let (session, native) = host();
    let refused = |call: &str| session.job(call, &native).unwrap_err().to_string();
    assert_eq!(refused("firs"), "there is no method 'firs'; there is 'first'");
    let wanted = "'half' has to be asked for with the types of its arguments; there is half(i32) -> i32; half(i64) -> i64";
    assert_eq!(refused("half"), wanted);
    let wanted = "'same' has to be asked for with the types of its arguments; there is same<T>(T) -> T";
    assert_eq!(refused("same"), wanted);
    assert_eq!(refused("same("), "found the end of the text, expected a type");
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let (session, native) = host();
    let first = session.compile(&session.job("first", &native).unwrap()).unwrap();
    let refused = |args: &mut [HostArg]| first.call(args).unwrap_err().to_string();
    assert_eq!(refused(&mut []), "'first' takes 1 argument, found 0");
    assert_eq!(refused(&mut [HostArg::buffer(&[1]), 2.into()]), "'first' takes 1 argument, found 2");
    // The address would not have arrived.
    let address = HostValue::scalar(Type::pointer(Space::Global), 0x1000).unwrap();
    assert_eq!(
        refused(&mut [address.into()]),
        "argument 0 is an address of the host, expected a buffer or null"
    );
    assert_eq!(refused(&mut [2i64.into()]), "argument 0 is i64, but 'first' takes ptr<global>");
    assert_eq!(first.call(&mut [HostArg::buffer(&[7, 8])]).unwrap().returned().unwrap()[0].get(), Some(7));
}

/// Of the same size is not of the same type.
#[test]
fn arguments_are_checked_by_their_types() {
    let (session, native) = host();
    let half = session.compile(&session.job("half(i32)", &native).unwrap()).unwrap();
    let refused = |arg: HostArg| half.call(&mut [arg]).unwrap_err().to_string();
    assert_eq!(refused(1.5f32.into()), "argument 0 is f32, but 'half(i32)' takes i32");
    let pair = Type::vector(Scalar::I16, 2).unwrap();
    let pair = HostValue::vector(pair, &[1, 2]).unwrap();
    assert_eq!(refused(pair.into()), "argument 0 is vec<i16, 2>, but 'half(i32)' takes i32");
    assert_eq!(
        refused(HostArg::Aggregate(vec![0; 4])),
        "argument 0 is a struct or array of 4 bytes, but 'half(i32)' takes i32"
    );
    assert_eq!(refused(HostArg::buffer(&[1])), "argument 0 is a buffer of 1 i32, but 'half(i32)' takes i32");
    // Integers have no sign.
    assert_eq!(half.call(&mut [9u32.into()]).unwrap().returned().unwrap()[0].get(), Some(4));
    // So does code of an instance, and of a vector in parts.
    let same = session.compile(&session.job("same(f32)", &native).unwrap()).unwrap();
    let said = same.call(&mut [1i32.into()]).unwrap_err().to_string();
    assert_eq!(said, "argument 0 is i32, but 'same(f32)' takes f32");
    let wide = session.compile(&session.job("same(vec<f32, 8>)", &native).unwrap()).unwrap();
    let vector = |lane| HostValue::vector(Type::vector(lane, 8).unwrap(), &[0; 8]).unwrap();
    let said = wide.call(&mut [vector(Scalar::I32).into()]).unwrap_err().to_string();
    assert_eq!(said, "argument 0 is vec<i32, 8>, but 'same(vec<f32, 8>)' takes vec<f32, 8>");
    assert!(wide.call(&mut [vector(Scalar::F32).into()]).is_ok());
}

#[test]
fn mistakes_in_a_definition_have_their_place() {
    let (session, _) = host();
    let refused =
        session.define("new.mq", "method f(x: i32) -> i32 {\nentry:\n    y = addd x, x\n    return y\n}\n");
    let said = refused.unwrap_err().to_string();
    assert!(
        said.starts_with("new.mq:3:9: error[P0007]: found 'addd', expected an instruction; there is 'add'"),
        "{said}"
    );
    assert!(!said.contains("'y' is not defined"), "{said}");
}

/// A builder that is dropped leaves what the verifier refuses.
#[test]
fn half_a_body_is_refused() {
    let (session, native) = host();
    let signature = Signature::new([Type::I32], [Type::I32]);
    let (types, mut body, mut context) = (Types::new(), Body::new(), BuilderContext::new());
    let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
    let (entry, next) = (b.create_block(), b.create_block());
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.ins().jump(next, &[]);
    b.switch_to_block(next);
    let _ = b;
    let said = session
        .define_method(OpenTable::BASE, &MethodData::function("half_built", signature, body))
        .unwrap_err();
    assert!(said.to_string().contains("does not end with a terminator"), "{said}");
    let missing = session.job("half_built", &native).unwrap_err().to_string();
    assert!(missing.contains("half_built"), "{missing}");
    let unspeakable = MethodData::function("a\0b", Signature::default(), Body::new());
    let said = session.define_method(OpenTable::BASE, &unspeakable).unwrap_err().to_string();
    assert!(said.contains("has a zero byte"), "{said}");
}

/// What the host supplies as `positive`.
extern "C" fn positive(x: i32) -> i32 {
    x.abs()
}

#[test]
fn functions_of_the_host_have_addresses_and_take_newtypes() {
    #[allow(unsafe_code, reason = "the function takes and returns what is declared below")]
    // SAFETY: it is of the C convention, does not unwind, and lives as long as the process.
    let session = unsafe { Session::new().with_symbol("positive", positive as *const u8) };
    let target = Target::parse("native", OptLevel::Default).unwrap();
    let native = session.add_backend(Backend::new("native", target)).unwrap();
    let text = "extern func positive(i32) -> i32 as \"positive\"
newtype steps = i32
method same(x: i32) -> i32 noinline {
entry:
    return x
}
method both(x: i32, own: i1) -> i32 {
entry:
    s = make.steps x
    a = call positive(s)
    f = function_address positive(i32)
    g = function_address same(i32)
    h = select own, g, f
    b = call_indirect h(x) -> i32
    c = mul b, i32 100
    r = add a, c
    return r
}
";
    session.define("host.mq", text).unwrap();
    let both = session.compile(&session.job("both", &native).unwrap()).unwrap();
    let call = |own: bool| {
        let mut args = [HostValue::scalar(Type::I32, (-3i32) as u32 as u128).unwrap().into(), own.into()];
        both.call(&mut args).unwrap().returned().unwrap()[0].get::<i32>()
    };
    assert_eq!((call(false), call(true)), (Some(303), Some(-297)));
}

#[test]
fn what_answers_keep_control_from_is_prepared_and_compiled() {
    let session = Session::new();
    let target = Target::parse("native", OptLevel::Default).unwrap();
    let native = session.add_backend(Backend::new("native", target)).unwrap();
    let text = "method m() -> i32 {
entry:
    gpu = target_query.i1 \"is_gpu\"
    branch gpu, there, here
there:
    r = call nothing_of_the_kind()
    return r
here:
    return i32 7
}
";
    session.define("asks.mq", text).unwrap();
    let job = session.job("m", &native).unwrap();
    session.prepare(&job).unwrap();
    let code = session.compile(&job).unwrap();
    assert_eq!(code.call(&mut []).unwrap().returned().unwrap()[0].get::<i32>(), Some(7));
}
