//! The two promises of the device library, read off the artifacts: an object with all of base needs nothing of a device, and
//! code for devices holds nothing of the host's. And a runtime provider that is made outside, through the public API.

use marquetry::compile::{Compiled, Target, compile_with};
use marquetry::device::{Arg, Buffer, Device, DeviceKind, KernelParam, open};
use marquetry::library::{self, intrinsics};
use marquetry_codegen::artifact::argument_block;
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::emit_object;
use marquetry_codegen::spirv::disassemble;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::op::Op;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{DebugLevel, Job, OptLevel};
use marquetry_lower::pipeline;
use marquetry_lower::runtime::Library;
use marquetry_lower::runtime::host::HostPolicy;
use marquetry_tests::corpus;
use object::{Object, ObjectSymbol};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn read(path: &Path) -> Option<Program> {
    let source = std::fs::read_to_string(path).expect("a file");
    let mut program = library::program();
    let problems = text::parse(&mut program, &path.display().to_string(), &source);
    (problems.is_empty() && marquetry::check(&program).is_empty()).then_some(program)
}

/// Every shipped program that is valid.
fn programs(folders: &[&str]) -> Vec<(PathBuf, Program)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders.iter().flat_map(|folder| corpus(&root.join(folder)));
    files.filter_map(|path| read(&path).map(|program| (path, program))).collect()
}

fn in_base(program: &Program, fits: impl Fn(MethodKind) -> bool) -> Vec<Method> {
    let mine = program.methods().filter(|(_, m)| m.table() == Table::BASE && !m.is_generic() && fits(m.kind));
    mine.map(|(method, _)| method).collect()
}

/// Everything in base as an object; none if the program calls what only some jobs have.
fn base_as_object(program: &Program, policy: HostPolicy) -> Option<Vec<u8>> {
    as_object(program, in_base(program, |_| true), policy)
}

/// As [`base_as_object`], without the library's mathematics: the same in every program, and large.
fn own_base_as_object(program: &Program, policy: HostPolicy) -> Option<Vec<u8>> {
    let mut entries = in_base(program, |_| true);
    entries.retain(|&method| !program.method(method).name.starts_with("math_"));
    as_object(program, entries, policy)
}

fn as_object(program: &Program, entries: Vec<Method>, policy: HostPolicy) -> Option<Vec<u8>> {
    let Ok(Target::Native(target)) = Target::parse("native", OptLevel::Default) else { panic!("a target") };
    let view = View::native(&[]).with_host_policy(policy);
    let job = Job::new(entries, view, OptLevel::Default);
    match pipeline::run(program, &job, &target) {
        Ok(legal) => match emit_object(&legal, &target) {
            Ok(artifact) => Some(artifact.code),
            // A function that asks for its work-item by an op of its own is for kernels only.
            Err(EmitError::Unsupported(_)) => None,
            Err(error) => panic!("{error}"),
        },
        Err(Failure::Program(_)) => None,
        Err(failure) => panic!("{failure}"),
    }
}

fn undefined(object: &[u8]) -> Vec<String> {
    let file = object::File::parse(object).expect("an object file");
    let needed = file.symbols().filter(|symbol| symbol.is_undefined());
    needed
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn an_object_with_all_of_base_needs_nothing_of_a_device() {
    let mut objects = 0;
    for (path, program) in programs(&["kernels", "filetests/runtime", "filetests/device"]) {
        for policy in [HostPolicy::Sentinel, HostPolicy::Trap] {
            let Some(object) = own_base_as_object(&program, policy) else { continue };
            objects += 1;
            let needed = undefined(&object);
            let found = needed.iter().find(|name| name.starts_with("gpu_"));
            assert_eq!(found, None, "{}", path.display());
        }
    }
    assert!(objects > 60, "{objects}");
    let object = base_as_object(&library::program(), HostPolicy::Trap).expect("an object");
    assert_eq!(undefined(&object).iter().find(|name| name.starts_with("gpu_")), None);
    // The check sees what it looks for.
    let mut program = library::program();
    let source = "extern func f() as \"gpu_f\"\nmethod g() {\nentry:\n    call f()\n    return\n}\n";
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    let object = base_as_object(&program, HostPolicy::Sentinel).expect("an object");
    assert!(undefined(&object).contains(&"gpu_f".to_owned()));
}

/// Whether there is a linker; says so if not.
fn has_cc() -> bool {
    let runs = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        println!("skipped: 'cc' does not run");
    }
    runs
}

/// Every shipped kernel with all of base: what is left undefined is what its own text declares.
#[test]
fn objects_with_all_of_base_link_whatever_kernel_is_in_them() {
    if !has_cc() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let kernels = programs(&["kernels"]);
    assert!(kernels.len() > 30, "{}", kernels.len());
    for (path, program) in kernels {
        let object = own_base_as_object(&program, HostPolicy::Sentinel);
        std::fs::write(folder.path().join("base.o"), object.expect("an object")).expect("written");
        let declared = program.externs.values().map(|data| format!("-Wl,--defsym={}=0", data.link_name));
        let output = Command::new("cc")
            .current_dir(folder.path())
            .args(["-shared", "-Wl,--no-undefined", "-o", "base.so", "base.o", "-lm"])
            .args(declared)
            .output()
            .expect("cc runs");
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_object_with_all_of_base_links() {
    if !has_cc() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let mut program = library::program();
    let source = "method sixteen() -> i64 {\nentry:\n    p = call malloc(i64 16)\n    a = ptrtoint.i64 p\n    \
                  b = add a, i64 15\n    return b\n}\n";
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    let object = base_as_object(&program, HostPolicy::Sentinel).expect("an object");
    std::fs::write(path("base.o"), object).expect("written");
    // The C library's own malloc must stay what it is.
    let main = "#include <stdlib.h>\n#include <string.h>\nlong long sixteen(void);\nint main(void) {\n    char *p = \
                malloc(1 << 20);\n    memset(p, 1, 1 << 20);\n    free(p);\n    return sixteen() == 16 ? 0 : 1;\n}\n";
    std::fs::write(path("main.c"), main).expect("written");
    let cc = |arguments: &[&str]| {
        let output = Command::new("cc").current_dir(folder.path()).args(arguments).output().expect("cc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    cc(&["-o", "program", "main.c", "base.o", "-lm"]);
    let status = Command::new(path("program")).status().expect("it runs");
    assert!(status.success());
    cc(&["-shared", "-Wl,--no-undefined", "-o", "base.so", "base.o", "-lm"]);
    // SAFETY: the library holds this program's functions and no initialisers; `sixteen` has this signature.
    #[allow(unsafe_code, reason = "this is where linked code is loaded and called")]
    unsafe {
        let library = libloading::Library::new(path("base.so")).expect("it loads");
        let sixteen: libloading::Symbol<'_, extern "C" fn() -> i64> =
            library.get(b"sixteen").expect("it is there");
        assert_eq!(sixteen(), 16);
    }
}

/// What names a host body in text.
fn mentions_host(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_host = |word: &&str| {
        word.strip_prefix("host_").is_some_and(|name| intrinsics().iter().any(|i| *i.name == *name))
    };
    words.filter(is_host).map(str::to_owned).next()
}

/// Whether nothing is emitted for a good reason: the target cannot, the host body was found where it must not be, or the
/// address of a link name was asked for.
fn never_emitted(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == Code::Unsupported
        || diagnostic.message.starts_with("code for devices reaches the host body of 'mine'")
        || diagnostic.message.contains("of which no address is taken")
}

#[test]
fn no_code_for_devices_holds_a_host_body() {
    let mut artifacts = 0;
    for (path, program) in programs(&["kernels", "filetests/runtime", "filetests/device"]) {
        for kernel in in_base(&program, |kind| kind == MethodKind::Kernel) {
            for name in ["ptx:sm_90", "spirv:vulkan1.3", "spirv:opencl2.1", "native"] {
                for opt_level in [OptLevel::None, OptLevel::Default] {
                    let target = Target::parse(name, opt_level).expect("a target");
                    let job = Job::new(vec![kernel], View::device(&[]), opt_level);
                    let legal = match pipeline::run(&program, &job, target.lowering()) {
                        Ok(legal) => legal,
                        Err(Failure::Program(list)) if list.iter().all(never_emitted) => continue,
                        Err(failure) => panic!("{}: {failure}", path.display()),
                    };
                    for function in legal.unit().funcs.values() {
                        assert_eq!(mentions_host(&function.name), None, "{} for {name}", path.display());
                        let body = &function.body;
                        let mut insts = body.blocks().flat_map(|block| body.block_insts(block));
                        assert!(insts.all(|inst| body.inst(inst).op != Op::Sentinel));
                    }
                    let Ok(artifact) = target.emit(&legal) else { continue };
                    let text = match name {
                        "ptx:sm_90" => String::from_utf8(artifact.code).expect("PTX is text"),
                        "native" => {
                            let file = object::File::parse(&*artifact.code).expect("an object");
                            let names = file.symbols().filter_map(|symbol| symbol.name().ok());
                            names.collect::<Vec<&str>>().join("\n")
                        }
                        _ => disassemble(&artifact.code).expect("SPIR-V is readable"),
                    };
                    assert_eq!(mentions_host(&text), None, "{} for {name}", path.display());
                    artifacts += 1;
                }
            }
        }
    }
    assert!(artifacts > 400, "{artifacts}");
    // The check sees what it looks for: the same kernel through the host's tables.
    let mut program = library::program();
    let source = "kernel k() {\nentry:\n    p = call gc_pool_alloc(i64 8)\n    return\n}\n";
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    let entries = in_base(&program, |kind| kind == MethodKind::Kernel);
    let job = Job::new(entries, View::native(&[]), OptLevel::None);
    let unit = pipeline::specialised(&program, &job).expect("it is valid");
    assert_eq!(mentions_host(&text::print_unit(unit.unit())).as_deref(), Some("host_gc_pool_alloc"));
}

/// The link name of a function that only host bodies call, once they are marked.
const MARK: &str = "mark_of_the_host";

/// Gives every device function another host body: one that leaves a mark in whatever code it gets into, where the library's
/// own leave an innocent constant.
fn mark_host_bodies(program: &mut Program) {
    let mut source = format!("extern func {MARK}()\n");
    for intrinsic in intrinsics() {
        let params: Vec<String> =
            intrinsic.signature.params.iter().enumerate().map(|(n, ty)| format!("p{n}: {ty}")).collect();
        let zero = |ty: &Type| format!("{ty} zero");
        let results: Vec<String> = intrinsic.signature.results.iter().map(zero).collect();
        let types: Vec<String> = intrinsic.signature.results.iter().map(Type::to_string).collect();
        let arrow = if types.is_empty() { String::new() } else { format!(" -> ({})", types.join(", ")) };
        let (name, params, results) = (&intrinsic.name, params.join(", "), results.join(", "));
        let _ = writeln!(
            source,
            "method {name}({params}){arrow} {{\nentry:\n    call {MARK}()\n    return {results}\n}}"
        );
    }
    assert_eq!(text::parse_redefining(program, "marked.mq", &source), []);
    assert_eq!(marquetry::check(program), []);
}

#[test]
fn no_code_for_devices_holds_the_mark_of_a_host_body() {
    let mut artifacts = 0;
    for (path, mut program) in programs(&["kernels", "filetests/runtime", "filetests/device"]) {
        mark_host_bodies(&mut program);
        for kernel in in_base(&program, |kind| kind == MethodKind::Kernel) {
            for name in ["ptx:sm_90", "spirv:vulkan1.3", "spirv:opencl2.1", "native"] {
                let target = Target::parse(name, OptLevel::Default).expect("a target");
                let job = Job::new(vec![kernel], View::device(&[]), OptLevel::Default);
                let legal = match pipeline::run(&program, &job, target.lowering()) {
                    Ok(legal) => legal,
                    Err(failure) => {
                        let said = failure.to_string();
                        assert!(!said.contains(MARK), "{} for {name}: {said}", path.display());
                        continue;
                    }
                };
                let Ok(artifact) = target.emit(&legal) else { continue };
                let code = String::from_utf8_lossy(&artifact.code);
                assert!(!code.contains(MARK), "{} for {name}", path.display());
                artifacts += 1;
            }
        }
    }
    assert!(artifacts > 200, "{artifacts}");
    // The mark is where it should be.
    let mut program = library::program();
    mark_host_bodies(&mut program);
    let source = "method on_the_host() -> i64 {\nentry:\n    i = call global_id(i32 0)\n    return i\n}\n";
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    let entry = *program.methods_of("on_the_host").first().expect("a method");
    let object = as_object(&program, vec![entry], HostPolicy::Sentinel).expect("an object");
    assert!(undefined(&object).contains(&MARK.to_owned()));
}

/// A provider of one's own: memory comes from a pool that is handed over with every launch, and exceptions are counted by
/// kind in a log.
const PROVIDER: &str = "
overlay mine method gpu_malloc(bytes: i64) -> ptr<global> {
entry:
    pool = kernel_input.ptr<global> pool
    used = rmw_add pool, i64 16 relaxed device
    past = add used, i64 8
    p = ptr_add pool, past
    return p
}

overlay mine method gpu_local_id(dimension: i32) -> i64 inline {
entry:
    x = local_id 0
    y = zext.i64 x
    return y
}

overlay mine method gpu_report_exception(name: ptr<constant>) {
entry:
    log = kernel_input.ptr<global> log
    first = load.i8 name
    letter = zext.i32 first
    place = ptr_add log, i64 4
    old = rmw_exchange place, letter relaxed device
    return
}

overlay mine method gpu_signal_exception() {
entry:
    log = kernel_input.ptr<global> log
    old = rmw_add log, i32 1 relaxed device
    return
}

method half(x: i32, n: i32) -> i32 noinline {
entry:
    q = div.s x, n
    return q
}

kernel work(out: ptr<global>, n: i32) {
entry:
    i = call local_id(i32 0)
    p = call malloc(i64 8)
    x = trunc.i32 i
    y = add x, i32 10
    r = call half(y, n)
    store p, r
    z = load.i32 p
    place = index out, i, i32
    store place, z
    return
}
";

fn launch(device: &dyn Device, compiled: &Compiled, buffers: [&Buffer; 4], n: i32) -> u32 {
    let entry = compiled.entry().expect("an entry");
    let slots = argument_block(&entry.signature.params).0;
    let param = |slot: marquetry_codegen::artifact::Slot| KernelParam {
        size: slot.size,
        align: slot.align,
        is_pointer: slot.is_pointer,
    };
    let params: Vec<KernelParam> = slots.into_iter().map(param).collect();
    let module = device.load(&compiled.image(&params, [4, 1, 1]).expect("an image")).expect("it loads");
    let [out, mailbox, log, pool] = buffers;
    let number = n.to_le_bytes();
    let mut args = vec![Arg::Buffer(out, 0), Arg::Bytes(&number)];
    args.extend(entry.abi.mailbox.then_some(Arg::Buffer(mailbox, 0)));
    for input in &entry.abi.inputs {
        args.push(match &*input.name {
            "log" => Arg::Buffer(log, 0),
            "pool" => Arg::Buffer(pool, 0),
            other => panic!("hidden input '{other}'"),
        });
    }
    device.launch(&module, [1, 1, 1], [4, 1, 1], &args).expect("it runs");
    let mut status = [0; 4];
    device.read(mailbox, 0, &mut status).expect("it is read");
    u32::from_le_bytes(status)
}

#[test]
fn a_provider_from_outside_runs() {
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "provider.mq", PROVIDER), []);
    let mine = program.find_table("mine").expect("a table");
    let view = View::device(&[]).with_provider(&[mine]);
    let kernel = *program.methods_of("work").first().expect("a kernel");
    let mut job = Job::new(vec![kernel], view, OptLevel::Default);
    job.options.debug_level = DebugLevel::Lines;
    let shared = Library::new();
    for name in ["ptx:sm_90", "spirv:vulkan1.3"] {
        let target = Target::parse(name, OptLevel::Default).expect("a target");
        compile_with(&program, &job, &target, &shared).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let device = open(DeviceKind::Cpu).expect("the CPU device");
    let target = Target::for_device(device.info(), OptLevel::Default).expect("a target");
    let compiled = compile_with(&program, &job, &target, &shared).expect("it compiles");
    let (functions, reused) = shared.counts();
    assert!(reused >= functions, "three targets share the library: {functions} made, {reused} reused");
    let buffer = |bytes: &[u8]| {
        let buffer = device.alloc(bytes.len() as u64).expect("memory");
        device.write(&buffer, 0, bytes).expect("it is written");
        buffer
    };
    let [out, mailbox, log, pool] = [16, Record::BYTES, 16, 256].map(|size| buffer(&vec![0; size]));
    let read = |buffer: &Buffer| {
        let mut words = [0; 16];
        device.read(buffer, 0, &mut words).expect("it is read");
        words.chunks(4).map(|word| i32::from_le_bytes(word.try_into().expect("four"))).collect::<Vec<i32>>()
    };
    assert_eq!(launch(&*device, &compiled, [&out, &mailbox, &log, &pool], 2), 0);
    assert_eq!(read(&out), [5, 5, 6, 6]);
    assert_eq!((read(&pool)[0], read(&log)[0]), (64, 0));
    let status = launch(&*device, &compiled, [&out, &mailbox, &log, &pool], 0);
    assert_eq!(compiled.thrown(status).expect("it threw").kind, "DivideError");
    assert_eq!(read(&log)[..2], [4, i32::from(b'D')]);
}
