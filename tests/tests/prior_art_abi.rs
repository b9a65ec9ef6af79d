//! Conformance facts of the prior art that concern what kernels and functions take and how they are called: arguments,
//! the kernels' state, hidden inputs, entry ABIs. Each test carries its numbers. What launches give is in the filetests,
//! `tests/filetests/abi`.
//!
//! Facts of the same sections that cannot apply here, or are tested where they belong:
//!
//! | facts | why |
//! |---|---|
//! | T071 | there are no arguments in a garbage-collected heap |
//! | T092 to T095 | scratch memory: `prior_art_session.rs` |
//! | T100 | with the mangler, `lower/src/specialise/mangle.rs` |
//! | T106 | bounds of launches are those of the target: `codegen/src/ptx/tests/control.rs` |
//! | T133, T134, T149, T151 | instructions and versions of targets that this project has none of |
//! | T148, T152 | no target passes scalars by address; `t128` states how each argument travels |
//! | T157, T170 | there are no attributes or alias metadata of parameters that could become wrong |
//! | T160 | there are no boxes |

use marquetry::compile::Target;
use marquetry::library;
use marquetry_codegen::native::{emit_jit, emit_object};
use marquetry_ir::entity::Table;
use marquetry_ir::op::Op;
use marquetry_ir::program::{OpenTable, Program};
use marquetry_ir::text;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{EntryConvention, Job, OptLevel};
use marquetry_lower::legal::{Legal, Passing, Role};
use marquetry_lower::pipeline;
use object::{Object, ObjectSymbol};

const DEVICES: [&str; 3] = ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1"];

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    program
}

fn target(name: &str) -> Target {
    Target::parse(name, OptLevel::Default).unwrap()
}

/// A job whose back-end's table, if the program has it, is `mine`.
#[track_caller]
fn job(program: &Program, entry: &str, target: &str) -> Job {
    let method = *program.methods_of(entry).first().expect("the entry");
    let tables: Vec<OpenTable> = program.open_table("mine").into_iter().collect();
    let provider: Vec<Table> = program.find_table("mine").into_iter().collect();
    let view = if target.starts_with("native") {
        View::native(&tables)
    } else {
        View::device(&tables).with_provider(&provider)
    };
    Job::new(vec![method], view, OptLevel::Default)
}

#[track_caller]
fn lower(program: &Program, job: &Job, name: &str) -> Legal {
    let target = target(name);
    pipeline::run(program, job, target.lowering()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn legal(program: &Program, entry: &str, name: &str) -> Legal {
    lower(program, &job(program, entry, name), name)
}

#[track_caller]
fn code(legal: &Legal, name: &str) -> String {
    target(name).emit_text(legal).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What is wrong with a job: messages and notes.
#[track_caller]
fn refused(program: &Program, job: &Job, name: &str) -> String {
    match pipeline::run(program, job, target(name).lowering()) {
        Err(Failure::Program(list)) => {
            list.iter().map(|d| format!("{}\n{}\n", d.message, d.notes.join("\n"))).collect()
        }
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name}: was not refused"),
    }
}

#[track_caller]
fn function<'a>(unit: &'a Unit, name: &str) -> &'a Function {
    let mut all = unit.funcs.values();
    all.find(|function| &*function.name == name).unwrap_or_else(|| panic!("there is no '{name}'"))
}

fn count(unit: &Unit, op: Op) -> usize {
    let bodies = unit.funcs.values().map(|function| &function.body);
    bodies.map(|b| b.blocks().flat_map(|k| b.block_insts(k)).filter(|&i| b.inst(i).op == op).count()).sum()
}

fn passing(legal: &Legal) -> Vec<Passing> {
    legal.entries()[0].arguments.iter().map(|argument| argument.passing).collect()
}

#[test]
fn t026_arguments_without_bytes_vanish_from_every_signature() {
    let program = program(
        "struct empty {}\nstruct hollow { a: empty, b: array<i64, 0> }\n\
         method second(a: empty, x: i32, b: hollow) -> i32 noinline {\nentry:\n    y = add x, i32 1\n    return y\n}\n\
         kernel k(nothing: empty, out: ptr<global>, none: array<f64, 0>, x: i32, hole: hollow) {\nentry:\n    \
         y = call second(nothing, x, hole)\n    store out, y\n    return\n}\n",
    );
    for name in DEVICES.into_iter().chain(["native"]) {
        let legal = legal(&program, "k", name);
        assert_eq!(function(legal.unit(), "k").signature.params.len(), 2, "{name}");
        assert_eq!(function(legal.unit(), "second").signature.params, [Type::I32], "{name}");
        code(&legal, name);
    }
}

#[test]
fn t037_packed_entries_are_wrappers_around_functions_that_nobody_sees() {
    let program = program(
        "method add3(a: i8, b: f64, c: i32) -> i32 {\nentry:\n    x = sext.i32 a\n    y = ftos.i32 b\n    z = add x, y\n    \
         w = add z, c\n    return w\n}\n\
         method fall(n: i32) -> i32 {\nentry:\n    z = eq n, i32 0\n    branch z, end, more\nend:\n    return i32 7\n\
         more:\n    m = sub n, i32 1\n    r = call fall(m)\n    s = div.s r, n\n    return s\n}\n\
         kernel k(out: ptr<global>) {\nentry:\n    return\n}\n",
    );
    let Target::Native(native) = target("native") else { panic!("a native target") };
    for (convention, visible, hidden) in [
        (EntryConvention::Packed, &["add3"][..], &["add3$typed"][..]),
        (EntryConvention::Native, &["add3", "add3$packed"], &[]),
    ] {
        let mut job = job(&program, "add3", "native");
        job.options.entry_abi = convention;
        let legal = lower(&program, &job, "native");
        let object = emit_object(&legal, &native).unwrap().code;
        let object = object::File::parse(&*object).unwrap();
        let named = |global: bool| -> Vec<&str> {
            let symbols = object.symbols().filter(|s| s.is_definition() && s.is_global() == global);
            symbols.filter_map(|s| s.name().ok().filter(|name| name.starts_with("add3"))).collect()
        };
        assert_eq!(named(true), visible, "{convention:?}");
        assert_eq!(named(false), hidden, "{convention:?}");
    }
    // What the symbol stands for takes three addresses and calls the function.
    let mut packed = job(&program, "add3", "native");
    packed.options.entry_abi = EntryConvention::Packed;
    let legal = lower(&program, &packed, "native");
    let text = code(&legal, "native");
    let wrapper = text.split("\n; add3\n").last().unwrap();
    assert!(wrapper.contains("(i64, i64, i64) -> i32 uext") && wrapper.contains("call fn0"), "{text}");
    let jit = emit_jit(&legal, &native, &|_| None).unwrap();
    let mut args = [0; 24];
    args[0] = 0xff;
    args[8..16].copy_from_slice(&40.0_f64.to_le_bytes());
    args[16..20].copy_from_slice(&3_i32.to_le_bytes());
    let size = jit.entries()[0].argument_bytes as usize;
    let mut result = [0; 8];
    // SAFETY: the blocks are those of the entry, whose sizes are checked; it has no addresses.
    #[allow(unsafe_code, reason = "this is where compiled code is executed")]
    let status = unsafe { jit.call_packed(0, &args[..size], &mut result, None) };
    assert_eq!((status, i64::from_le_bytes(result)), (Ok(0), 42));

    // With recursion, and with an exception that leaves by the status.
    let mut packed = job(&program, "fall", "native");
    packed.options.entry_abi = EntryConvention::Packed;
    let legal = lower(&program, &packed, "native");
    assert!(legal.entries()[0].status);
    let jit = emit_jit(&legal, &native, &|_| None).unwrap();
    // SAFETY: as above; the recursion is shallow.
    #[allow(unsafe_code, reason = "this is where compiled code is executed")]
    let status = unsafe { jit.call_packed(0, &1_i64.to_le_bytes(), &mut result, None) };
    assert_eq!((status, i64::from_le_bytes(result)), (Ok(0), 7));

    for name in ["native", "ptx:sm_80"] {
        let mut packed = job(&program, "k", name);
        packed.options.entry_abi = EntryConvention::Packed;
        let message = refused(&program, &packed, name);
        assert!(
            message.contains("the packed entry ABI is for functions that hosts call, and 'k' is a kernel"),
            "{message}"
        );
    }
}

const STATE: &str = "\
struct state { seed: i64, scale: f32 }
method child1(x: i64) -> i64 noinline {\nentry:\n    y = mul x, i64 3\n    return y\n}
method child2(x: i64) -> i64 noinline {\nentry:\n    s = kernel_input.state state\n    n = get s, 0\n    y = add x, n\n    return y\n}
kernel k(x: i64, out: ptr<global>) {\nentry:\n    a = call child1(x)\n    b = call child2(a)\n    store out, b\n    return\n}
kernel other(out: ptr<global>) {\nentry:\n    return\n}\n";

/// The type of this name.
#[track_caller]
fn named(program: &mut Program, name: &str) -> Type {
    text::parse_call(program, &format!("f({name})")).expect("a type").1[0]
}

#[test]
fn t103_the_state_comes_first_and_only_where_it_is_used() {
    let mut program = program(STATE);
    let ty = named(&mut program, "state");
    for name in DEVICES.into_iter().chain(["native"]) {
        let mut job = job(&program, "k", name);
        job.options.state = Some(ty);
        let legal = lower(&program, &job, name);
        let unit = legal.unit();
        assert_eq!(count(unit, Op::KernelInput), 0, "{name}");
        let global = Type::pointer(Space::Global);
        assert_eq!(function(unit, "k").signature.params, [Type::I64, Type::F32, Type::I64, global], "{name}");
        assert_eq!(function(unit, "child1").signature.params, [Type::I64], "{name}");
        assert_eq!(function(unit, "child2").signature.params, [Type::I64, Type::F32, Type::I64], "{name}");
        let arguments = &legal.entries()[0].arguments;
        assert_eq!((&arguments[0].role, arguments[0].passing), (&Role::State, Passing::Parts), "{name}");
        assert_eq!((arguments[0].size, &*arguments[0].parts), (16, &[0, 8][..]), "{name}");
    }
    // A kernel that does not use it takes it, too: all are launched alike.
    let mut unused = job(&program, "other", "ptx:sm_80");
    unused.options.state = Some(ty);
    let legal = lower(&program, &unused, "ptx:sm_80");
    assert_eq!(legal.entries()[0].arguments[0].role, Role::State);
    unused.options.state = None;
    assert_eq!(lower(&program, &unused, "ptx:sm_80").entries()[0].state, None);
    // Not declared, and declared otherwise.
    let mut bad = job(&program, "k", "ptx:sm_80");
    assert!(refused(&program, &bad, "ptx:sm_80").contains("the back-end declares none"));
    bad.options.state = Some(Type::I64);
    let message = refused(&program, &bad, "ptx:sm_80");
    assert!(message.contains("the kernel state is read as state, and the back-end's is i64"), "{message}");
}

#[test]
fn t098_what_the_provider_needs_of_the_state_reaches_kernels_that_may_throw() {
    let mut program = program(
        "struct state { seed: i64, scale: f32 }\n\
         overlay mine method gpu_signal_exception() noinline {\nentry:\n    s = kernel_input.state state\n    \
         n = get s, 0\n    p = inttoptr.ptr<global> n\n    store p, i32 1\n    return\n}\n\
         kernel throws(x: i32, out: ptr<global>) {\nentry:\n    y = div.s i32 100, x\n    store out, y\n    return\n}\n\
         kernel quiet(x: i32, out: ptr<global>) {\nentry:\n    store out, x\n    return\n}\n",
    );
    let ty = named(&mut program, "state");
    for name in DEVICES {
        for (entry, calls) in [("throws", true), ("quiet", false)] {
            let mut job = job(&program, entry, name);
            job.options.state = Some(ty);
            let legal = lower(&program, &job, name);
            let kernel = function(legal.unit(), entry);
            assert_eq!(kernel.signature.params[0], Type::I64, "{name}");
            let signals = legal.unit().funcs.values().filter(|f| f.name.contains("signal_exception"));
            let signals: Vec<usize> = signals.map(|f| f.signature.params.len()).collect();
            // Of the state it gets both parts, wherever it is not inlined.
            assert!(signals.iter().all(|&count| count == 2), "{name}: {signals:?}");
            assert_eq!(!signals.is_empty(), calls, "{name}");
            assert_eq!(legal.entries()[0].mailbox, calls, "{name}");
        }
    }
}

#[test]
fn t143_t145_errors_are_signalled_in_the_kernel_which_returns() {
    let program = program(
        "overlay mine method gpu_signal_exception() noinline {\nentry:\n    return\n}\n\
         method guard(x: i32) noinline {\nentry:\n    bad = lt.s x, i32 0\n    branch bad, fail, fine\nfail:\n    \
         throw RangeError\nfine:\n    return\n}\n\
         kernel k(x: i32, out: ptr<global>) {\nentry:\n    call guard(x)\n    store out, x\n    return\n}\n",
    );
    for name in DEVICES {
        let legal = legal(&program, "k", name);
        let unit = legal.unit();
        assert_eq!((count(unit, Op::Throw), count(unit, Op::Unreachable)), (0, 0), "{name}");
        let text = code(&legal, name);
        // Vulkan's structured control flow has unreachable merge blocks.
        let ends = if name == "spirv:vulkan1.3" { "OpKill" } else { "OpUnreachable" };
        for word in [ends, "trap;", "exit;"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        if name.starts_with("spirv") {
            assert!(text.contains("OpReturn"), "{name}");
        }
        let calls = |function: &str| {
            let printed = text::print_unit(unit);
            let body = printed
                .split(&format!("{function}("))
                .nth(1)
                .unwrap()
                .split("\n}")
                .next()
                .unwrap()
                .to_owned();
            body.contains("signal_exception")
        };
        assert!(calls("kernel k") && !calls("method guard"), "{name}: {}", text::print_unit(unit));
    }
}

#[test]
fn t101_t104_kernels_are_entries_and_functions_are_called() {
    let mut program = program(STATE);
    let ty = named(&mut program, "state");
    let mut kernel = job(&program, "k", "ptx:sm_80");
    kernel.options.state = Some(ty);
    let text = code(&lower(&program, &kernel, "ptx:sm_80"), "ptx:sm_80");
    assert_eq!(text.matches(".visible .entry k(").count(), 1, "{text}");
    assert_eq!(text.matches(".entry").count(), 1, "{text}");
    assert!(text.contains(") child1(") && text.contains("call\t($s0), child1"), "{text}");
    let function = job(&program, "child1", "ptx:sm_80");
    let message = refused(&program, &function, "ptx:sm_80");
    assert!(message.contains("has no functions that hosts can call"), "{message}");
    let native = code(&legal(&program, "child1", "native"), "native");
    assert!(!native.contains("$items"), "{native}");
}

#[test]
fn t107_a_shared_child_is_in_both_artifacts() {
    let program = program(&format!(
        "{STATE}kernel a(n: i64, out: ptr<global>) {{\nentry:\n    x = call child1(n)\n    store out, x\n    return\n}}\n\
         kernel b(out: ptr<global>, n: i64) {{\nentry:\n    x = call child1(n)\n    store out, x\n    return\n}}\n"
    ));
    for name in DEVICES {
        for entry in ["a", "b"] {
            function(legal(&program, entry, name).unit(), "child1");
        }
    }
}

const INDEXED: &str = "\
struct table { rows: array<f32, 12>, bias: f32 }
kernel k(x: f64, t: table, i: i64, out: ptr<global>) {\nentry:\n    s = slot.table\n    store s, t\n    \
rows = field_address s, table, 0\n    p = index rows, i, f32\n    a = load.f32 p\n    b = get t, 1\n    c = add a, b\n    \
store out, c\n    return\n}
method f(x: f64, t: table) -> f32 {\nentry:\n    b = get t, 1\n    return b\n}
kernel both(t: table, i: i64, out: ptr<global>) {\nentry:\n    s = slot.table\n    store s, t\n    p = index s, i, f32\n    \
store p, f32 1.0\n    a = load.f32 s\n    b = get t, 1\n    c = add a, b\n    store out, c\n    r = get t, 0\n    e = get r, 3\n    \
q = index out, i, f32\n    store q, e\n    return\n}
kernel large(t: array<table, 20>, out: ptr<global>) {\nentry:\n    a = get t, 1\n    b = get a, 0\n    c = get b, 2\n    store out, c\n    \
store out, b\n    return\n}
kernel fields(t: table, out: ptr<global>) {\nentry:\n    b = get t, 1\n    store out, b\n    return\n}\n";

#[test]
fn t128_t130_only_the_aggregate_that_is_indexed_is_a_block_or_a_reference() {
    let program = program(INDEXED);
    for name in DEVICES.into_iter().chain(["native"]) {
        let (how, space) = match name.starts_with("ptx") {
            true => (Passing::Block, Space::Param),
            false => (Passing::Reference, Space::Global),
        };
        let kernel = legal(&program, "k", name);
        assert_eq!(passing(&kernel), [Passing::Parts, how, Passing::Parts, Passing::Pointer], "{name}");
        let params = &function(kernel.unit(), "k").signature.params;
        assert_eq!(params[..3], [Type::F64, Type::pointer(space), Type::I64], "{name}");
        assert_eq!(count(kernel.unit(), Op::Slot), 0, "{name}: it is read where it lies");
    }
    // What the host calls takes parts.
    let taken = legal(&program, "f", "native");
    assert_eq!(passing(&taken), [Passing::Parts; 2]);
    assert_eq!(function(taken.unit(), "f").signature.params.len(), 1 + 13);
}

#[test]
fn t131_t169_fields_are_read_alone() {
    let program = program(INDEXED);
    let text = code(&legal(&program, "k", "ptx:sm_80"), "ptx:sm_80");
    // The scalar, the element, the bias, the index, where to.
    assert_eq!(text.matches("ld.param").count(), 5, "{text}");
    assert!(text.contains(".param .align 4 .b8 $p1[52]") && !text.contains(".local"), "{text}");
    // A field of a field of a field, and the array that the last one is in.
    let text = code(&legal(&program, "large", "ptx:sm_80"), "ptx:sm_80");
    assert_eq!(text.matches("ld.param").count(), 1 + 12, "{text}");
    for name in DEVICES {
        code(&legal(&program, "large", name), name);
        // The copy that is written to stays, beside what is read alone.
        assert_eq!(count(legal(&program, "both", name).unit(), Op::Slot), 1, "{name}");
    }
    // An aggregate of few parts is as many parameters; those that are not used are not read on Vulkan.
    for name in DEVICES {
        assert_eq!(passing(&legal(&program, "fields", name))[0], Passing::Parts, "{name}");
    }
}

#[test]
fn t139_t140_structs_of_one_field_and_kernels_of_nothing() {
    let program = program(
        "struct one { x: f32 }\nkernel k(o: one, out: ptr<global>) {\nentry:\n    x = get o, 0\n    store out, x\n    return\n}\n\
         kernel nothing() noinline {\nentry:\n    return\n}\n",
    );
    for name in DEVICES {
        let taken = legal(&program, "k", name);
        assert_eq!(function(taken.unit(), "k").signature.params[0], Type::F32, "{name}");
        assert!(code(&taken, name).contains('k'), "{name}");
        let text = code(&legal(&program, "nothing", name), name);
        assert!(text.contains("nothing"), "{name}: {text}");
    }
}

#[test]
fn t146_wide_integers_in_memory_leave_none_on_devices() {
    let program = program(
        "struct wide { v: vec<f32, 4>, n: i128 }\nkernel k(a: wide, i: i64, out: ptr<global>) {\nentry:\n    \
         s = slot.wide\n    store s, a\n    v = get a, 0\n    w = add v, v\n    b = set a, w, 0\n    store s, b\n    \
         p = index s, i, f32\n    x = load.f32 p\n    store out, x\n    c = load.wide s\n    q = ptr_add out, i64 16\n    \
         store q, c\n    return\n}\n",
    );
    for name in DEVICES {
        let text = code(&legal(&program, "k", name), name);
        assert!(!text.contains("OpTypeInt 128") && !text.contains(".b128"), "{name}: {text}");
    }
}

#[test]
fn t155_hidden_inputs_reach_what_the_provider_defines_and_nothing_else() {
    let program = program(
        "overlay mine method gpu_malloc(bytes: i64) -> ptr<global> noinline {\nentry:\n    \
         i = kernel_input.i32 thread_position\n    n = sext.i64 i\n    p = inttoptr.ptr<global> n\n    return p\n}\n\
         kernel allocates(out: ptr<global>) {\nentry:\n    p = call malloc(i64 16)\n    n = ptrtoint.i64 p\n    store out, n\n    return\n}\n\
         kernel none(out: ptr<global>) {\nentry:\n    store out, i32 1\n    return\n}\n",
    );
    for name in DEVICES {
        let taken = legal(&program, "allocates", name);
        let malloc = taken.unit().funcs.values().find(|f| f.name.contains("malloc")).expect("the allocation");
        assert_eq!(malloc.signature.params, [Type::I64, Type::I32], "{name}");
        let inputs: Vec<&str> = taken.entries()[0].inputs.iter().map(|input| &*input.name).collect();
        assert_eq!(inputs, ["thread_position"], "{name}");
        assert_eq!(taken.entries()[0].arguments.last().unwrap().role, Role::Input("thread_position".into()));
        let params = &function(taken.unit(), "allocates").signature.params;
        assert_eq!(params.last(), Some(&Type::I32), "{name}: it comes last");
        assert_eq!(legal(&program, "none", name).entries()[0].inputs, [], "{name}");
    }
}

#[test]
fn an_input_has_one_type() {
    let program = program(
        "method a() -> i32 noinline {\nentry:\n    x = kernel_input.i32 n\n    return x\n}\n\
         kernel k(out: ptr<global>) {\nentry:\n    x = call a()\n    y = kernel_input.i64 n\n    store out, x\n    store out, y\n    return\n}\n",
    );
    let message = refused(&program, &job(&program, "k", "ptx:sm_80"), "ptx:sm_80");
    assert!(message.contains("hidden input 'n' has type") && message.contains("elsewhere"), "{message}");
}

#[test]
fn too_many_bytes_of_arguments_are_shown_field_by_field() {
    let fields = |count: usize| (0..count).map(|n| format!("p{n}: words, ")).collect::<String>();
    let source = format!(
        "struct words {{ w: array<i64, 16> }}\nstruct inner {{ n: i32, list: array<words, 300> }}\n\
         struct outer {{ tag: i8, in: inner }}\n\
         kernel block(a: i32, big: outer, out: ptr<global>) {{\nentry:\n    in = get big, 1\n    n = get in, 0\n    store out, n\n    return\n}}\n\
         kernel many({}out: ptr<global>) {{\nentry:\n    return\n}}\n\
         struct page {{ x: array<i64, 600> }}\n\
         kernel page(p: page, i: i64, out: ptr<global>) {{\nentry:\n    s = slot.page\n    store s, p\n    q = index s, i, i64\n    x = load.i64 q\n    store out, x\n    return\n}}\n",
        fields(33)
    );
    let program = program(&source);
    let message = refused(&program, &job(&program, "block", "ptx:sm_80"), "ptx:sm_80");
    for line in [
        "takes at most 32764 bytes of arguments, found 38432",
        "       0      4  a: i32",
        "       8  38416  big: outer",
        "       8      1  tag: i8",
        "      16  38408  in: inner",
        "      24  38400  list: array<words, 300>",
        "each of 300: words",
        "out: ptr<global>",
    ] {
        assert!(message.contains(line), "{line}\n{message}");
    }
    // Elsewhere it goes by reference.
    for name in ["spirv:opencl2.1", "spirv:vulkan1.3", "native"] {
        assert_eq!(passing(&legal(&program, "block", name))[1], Passing::Reference, "{name}");
    }
    for (name, most) in [("spirv:opencl2.1", 1024), ("spirv:vulkan1.3", 4096)] {
        let message = refused(&program, &job(&program, "many", name), name);
        let wanted = format!("takes at most {most} bytes of arguments, found 4232");
        assert!(message.contains(&wanted) && message.contains("4096    128  p32: words"), "{message}");
    }
    // From PTX ISA 8.1 on there is room for more than 4096 bytes, and the code says that it needs it.
    let version = |entry: &str| {
        code(&legal(&program, entry, "ptx:sm_80"), "ptx:sm_80").lines().next().unwrap().to_owned()
    };
    assert_eq!(version("page"), ".version 8.1");
    assert_eq!(version("many"), ".version 8.1");
}
