//! Conformance facts of the prior art that concern boxed constants and references to the host, each as a test that carries
//! its number. What such words are at run time, on every engine, is in `tests/filetests/references`; T067 is with the rules
//! themselves, `lower/src/references.rs`.
//!
//! What an object is there is here a global in the host's own form ([`ObjectModel`]); what a slot of a constant is there,
//! a word of a global that stands for a value, a symbol or a word of the host. Facts of the same section without a test:
//!
//! | facts | why |
//! |---|---|
//! | T051, T054, T057, T060, T063, T066, T069 | no facts: the list leaves these numbers out |

use marquetry::compile::{
    Compiled, Form, Target, compile, compile_artifact, compile_artifact_for, compile_for,
};
use marquetry::engine::Outcome;
use marquetry::library;
use marquetry::session::{Backend, Session};
use marquetry::value::HostArg;
use marquetry_codegen::artifact::{Artifact, Relocation, RelocationKind};
use marquetry_ir::program::{Header, ObjectModel, Program, Reference, Words};
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Space, Type};
use marquetry_ir::verify::verify_program;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::references::Strategy;
use marquetry_lower::runtime::Library;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const DEVICES: [&str; 3] = ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1"];
const MACHINES: [&str; 4] = [
    "native:x86_64-unknown-linux-gnu",
    "native:aarch64-unknown-linux-gnu",
    "native:riscv64gc-unknown-linux-gnu",
    "native:s390x-unknown-linux-gnu",
];

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    assert_eq!(verify_program(&program), []);
    program
}

fn target(name: &str) -> Target {
    Target::parse(name, OptLevel::Default).unwrap()
}

#[track_caller]
fn job(program: &Program, entry: &str, name: &str, references: Strategy) -> Job {
    let method = *program.methods_of(entry).first().expect("the entry");
    let view = if name.starts_with("native") { View::native(&[]) } else { View::device(&[]) };
    let mut job = Job::new(vec![method], view, OptLevel::Default);
    job.options.references = references;
    job
}

#[track_caller]
fn artifact(program: &Program, entry: &str, name: &str, references: Strategy) -> Artifact {
    let job = job(program, entry, name, references);
    compile_artifact(program, &job, &target(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn words(list: &[(Reference, u64)]) -> Words {
    Words(list.iter().cloned().collect())
}

#[track_caller]
fn call(code: &Compiled) -> u64 {
    match code.call(&mut []).unwrap() {
        Outcome::Returned(results) => results[0].lanes()[0] as u64,
        Outcome::Threw(thrown) => panic!("{thrown}"),
    }
}

/// A program with one box, `box`, and a function and a kernel that read its payload and the word before it.
fn boxed(headers: &[Header], ty: Type, bytes: &[u8]) -> (Program, u64) {
    let mut program = library::program();
    let model = ObjectModel { align: 8 };
    let boxed = model.boxed(&mut program, "box", headers, ty, bytes).unwrap();
    let slot =
        marquetry_ir::program::GlobalData::new("slot", Type::pointer(Space::Constant), Space::Constant);
    program.add_global(slot.with_slot(0, boxed.reference())).unwrap();
    let source = "method read() -> (i64, i64) {\nentry:\n    s = address.constant slot\n    p = load.ptr<constant> s\n    \
                  x = load.i64 p\n    h = ptr_add p, i64 -8\n    y = load.i64 h\n    return x, y\n}\n\
                  kernel show(out: ptr<global>) {\nentry:\n    x, y = call read()\n    z = add x, y\n    store out, z\n    return\n}\n\
                  method tag() -> i64 {\nentry:\n    p = address.constant box\n    q = ptr_add p, i64 0\n    y = load.i64 q\n    return y\n}\n";
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    assert_eq!(verify_program(&program), []);
    (program, boxed.payload)
}

/// Compares a word with what the host knows as `config`, and passes on another one.
const CHOICE: &str = "\
struct pair { first: i64, second: i64 }
global names: pair in constant with [0: value \"con#fig\", 8: symbol \"environ\"]
kernel choose(x: i64, out: ptr<global>) {
entry:
    t = address.constant names
    v = load.i64 t
    same = eq x, v
    branch same, yes, no
yes:
    store out, v
    return
no:
    q = field_address t, pair, 1
    w = load.i64 q
    store out, w
    return
}
method first() -> i64 {
entry:
    t = address.constant names
    v = load.i64 t
    return v
}
method second() -> i64 {
entry:
    t = address.constant names
    q = field_address t, pair, 1
    w = load.i64 q
    return w
}
";

fn both() -> Words {
    words(&[(Reference::value("con#fig"), 0x1234_5678_9abc), (Reference::symbol("environ"), 0x77)])
}

#[test]
fn t049_and_t055_a_box_with_a_small_number_is_data_for_every_process() {
    let (program, payload) = boxed(&[Header::Number(0x40)], Type::I64, &42_i64.to_le_bytes());
    assert_eq!(payload, 8);
    for name in MACHINES {
        let code = artifact(&program, "read", name, Strategy::Import);
        assert!(code.is_portable() && code.relocations.is_empty(), "{name}");
    }
    let code =
        compile(&program, &job(&program, "read", "native", Strategy::Import), &target("native")).unwrap();
    let Outcome::Returned(results) = code.call(&mut []).unwrap() else { panic!("it threw") };
    assert_eq!((results[0].lanes()[0], results[1].lanes()[0]), (42, 0x40));
    // In PTX the address is the variable's and an offset, never a number.
    let text = artifact(&program, "show", "ptx:sm_80", Strategy::Import).code;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(".global .align 8 .b8 box[16]") && text.contains("slot[1] = {box+8}"), "{text}");
}

#[test]
fn t050_and_t056_a_box_whose_header_is_the_hosts_is_portable_until_that_is_baked() {
    let headers = [Header::Host(Reference::value("Float64"))];
    let (program, _) = boxed(&headers, Type::F64, &2.5_f64.to_le_bytes());
    let host = words(&[(Reference::value("Float64"), 0xabcdef)]);
    let imported = artifact(&program, "tag", "native", Strategy::Import);
    assert!(imported.is_portable());
    assert_eq!(imported.relocations.len(), 1);
    let bake = job(&program, "tag", "native", Strategy::Bake);
    let baked = compile_artifact_for(&program, &bake, &target("native"), &Library::new(), &host).unwrap();
    assert!(!baked.is_portable());
    assert_eq!((baked.session_values, baked.relocations), (vec![Reference::value("Float64")], vec![]));
    let code = compile_for(&program, &bake, &target("native"), &Library::new(), &host).unwrap();
    assert_eq!(call(&code), 0xabcdef);
}

#[test]
fn t052_what_has_no_bytes_is_an_identity_and_no_box() {
    let mut program = library::program();
    let nothing = program.types.array(Type::I64, 0).unwrap();
    let refused = ObjectModel { align: 8 }.boxed(&mut program, "nothing", &[Header::Number(1)], nothing, &[]);
    assert_eq!(refused.unwrap_err().to_string(), "the payload has no bytes: it is an identity, not a box");
}

#[test]
fn t053_kernels_store_words_and_compare_them_on_every_target() {
    let program = program(CHOICE);
    for name in DEVICES {
        let code = artifact(&program, "choose", name, Strategy::Patch);
        assert_eq!(code.relocations.len(), 2, "{name}");
        assert!(code.is_portable(), "{name}");
    }
}

#[test]
fn t058_a_payload_of_larger_alignment_has_padding_in_front() {
    let wide = Type::vector(Scalar::F32, 4).unwrap();
    let (program, payload) = boxed(&[Header::Number(3)], wide, &[1; 16]);
    assert_eq!(payload, 16);
    let data = &program.globals[program.find_global("box").unwrap()];
    assert_eq!((program.types.field_count(data.ty), data.align), (Some(3), Some(16)));
    let code =
        compile(&program, &job(&program, "read", "native", Strategy::Import), &target("native")).unwrap();
    let Outcome::Returned(results) = code.call(&mut []).unwrap() else { panic!("it threw") };
    assert_eq!((results[0].lanes()[0], results[1].lanes()[0]), (0x0101_0101_0101_0101, 3));
}

#[test]
fn t059_comparisons_with_the_hosts_words_are_not_folded() {
    let program = program(CHOICE);
    let bake = job(&program, "choose", "ptx:sm_80", Strategy::Bake);
    let baked =
        compile_artifact_for(&program, &bake, &target("ptx:sm_80"), &Library::new(), &both()).unwrap();
    let text = String::from_utf8(baked.code).unwrap();
    // 0x123456789abc, byte by byte.
    assert!(text.contains("{188,154,120,86,52,18,0,0,119}") && text.contains("setp.eq"), "{text}");
    let patched = artifact(&program, "choose", "ptx:sm_80", Strategy::Patch);
    let text = String::from_utf8(patched.code).unwrap();
    assert!(text.contains(".visible .global .align 8 .u64 names[2] = {0,0};"), "{text}");
    assert!(text.contains("setp.eq") && !text.contains('#'), "{text}");
    // A symbol of an object has no such characters either.
    let object = artifact(&program, "first", "native", Strategy::Import).code;
    let object = object::File::parse(&*object).unwrap();
    let mut undefined: Vec<&str> =
        object.symbols().filter(|s| s.is_undefined()).filter_map(|s| s.name().ok()).collect();
    undefined.retain(|name| !name.is_empty());
    assert_eq!(undefined, ["marq_value_con$23fig", "environ"]);
}

#[test]
fn t061_what_the_host_has_no_word_for_is_an_error_that_names_it() {
    let program = program(CHOICE);
    let host = |reference: &Reference| match reference {
        Reference::Value(_) => Err("plain data has no address that lasts".to_owned()),
        _ => Ok(1),
    };
    for references in [Strategy::Bake, Strategy::Patch, Strategy::Import] {
        let job = job(&program, "first", "native", references);
        let error = compile_for(&program, &job, &target("native"), &Library::new(), &host).unwrap_err();
        let wanted =
            "no word for value \"con#fig\" at 0 in global 'names': plain data has no address that lasts";
        assert_eq!(error.to_string(), wanted, "{references:?}");
    }
    for name in DEVICES {
        let mut code = artifact(&program, "choose", name, Strategy::Patch);
        let before = code.clone();
        let error = code.fill(&host).unwrap_err().to_string();
        let wanted =
            "no words for value \"con#fig\" at 0 in global 'names' (plain data has no address that lasts)";
        assert_eq!(error, wanted, "{name}");
        assert_eq!(code, before, "{name}");
    }
}

/// Compiles and links C with objects; none if this machine has no C compiler.
#[track_caller]
fn link(folder: &Path, arguments: &[&str]) -> Option<std::process::Output> {
    if !Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: 'cc' does not run");
        return None;
    }
    Some(Command::new("cc").current_dir(folder).args(arguments).output().expect("cc runs"))
}

const IMPORTS: &str = "\
struct entry { kind: i32, value: i64, call: ptr<generic>, flag: i64 }
global names: entry in constant align 32 = [i32 7, i64 0, ptr<generic> null, i64 0] with [8: value \"config\", 16: symbol \"puts\" from \"libc.so.6\", 24: word \"flag\"]
method value() -> i64 {\nentry:\n    t = address.constant names\n    p = field_address t, entry, 1\n    v = load.i64 p\n    return v\n}
method routine() -> i64 {\nentry:\n    t = address.constant names\n    p = field_address t, entry, 2\n    v = load.ptr<generic> p\n    n = ptrtoint.i64 v\n    return n\n}
method flag() -> i64 {\nentry:\n    t = address.constant names\n    p = field_address t, entry, 3\n    v = load.i64 p\n    return v\n}
method kind() -> i64 {\nentry:\n    t = address.constant names\n    v = load.i32 t\n    w = sext.i64 v\n    n = ptrtoint.i64 t\n    m = and n, i64 31\n    r = add w, m\n    return r\n}
";

const HOST: &str = "\
#include <stdint.h>
#include <stdio.h>
char marq_value_config[16], marq_word_flag;
int64_t value(void), routine(void), flag(void), kind(void);
int main(void) {
    int fine = value() == (int64_t)marq_value_config && routine() == (int64_t)&puts;
    fine = fine && flag() == (int64_t)&marq_word_flag && kind() == 7;
    puts(fine ? \"as it should\" : \"wrong\");
    return !fine;
}
";

#[test]
fn t062_imported_words_are_the_linkers() {
    let program = program(IMPORTS);
    let entries = ["value", "routine", "flag", "kind"];
    let mut imports = job(&program, "value", "native", Strategy::Import);
    imports.entries = entries.map(|name| program.methods_of(name)[0].into()).to_vec();
    for name in MACHINES {
        let code = compile_artifact(&program, &imports, &target(name)).unwrap();
        let wanted = [(8, Reference::value("config")), (16, Reference::symbol_of("puts", "libc.so.6"))];
        let wanted = wanted.into_iter().chain([(24, Reference::word("flag"))]);
        let wanted: Vec<Relocation> = wanted
            .map(|(offset, reference)| Relocation {
                symbol: "names".into(),
                offset,
                size: 8,
                reference,
                kind: RelocationKind::Link,
            })
            .collect();
        assert_eq!(code.relocations, wanted, "{name}");
        assert!(code.is_portable(), "{name}");
        let object = object::File::parse(&*code.code).unwrap();
        let names = object.symbol_by_name("names").expect("the global");
        let section = object.section_by_index(names.section_index().unwrap()).unwrap();
        assert!(section.align() >= 32 && names.address() % 32 == 0, "{name}");
        // All sites are whole words against undefined symbols.
        let mut found = Vec::new();
        for (offset, relocation) in
            object.sections().flat_map(|section| section.relocations().collect::<Vec<_>>())
        {
            let RelocationTarget::Symbol(id) = relocation.target() else { continue };
            let symbol = object.symbol_by_index(id).unwrap();
            if symbol.is_undefined() {
                assert_eq!((relocation.size(), relocation.addend()), (64, 0), "{name}");
                found.push((offset % 32, symbol.name().unwrap().to_owned()));
            }
        }
        found.sort();
        let wanted = [(8, "marq_value_config"), (16, "puts"), (24, "marq_word_flag")];
        assert_eq!(found, wanted.map(|(at, name)| (at, name.to_owned())), "{name}");
    }
    // Another process, whose linker knows the words.
    let code = compile_artifact(&program, &imports, &target("native")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.o"), &code.code).unwrap();
    std::fs::write(folder.path().join("host.c"), HOST).unwrap();
    let Some(linked) = link(folder.path(), &["-o", "host", "host.c", "names.o"]) else { return };
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    let output = Command::new(folder.path().join("host")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "as it should\n");
    // A linker that knows none.
    std::fs::write(folder.path().join("empty.c"), "int main(void) { return 0; }\n").unwrap();
    let linked = link(folder.path(), &["-o", "empty", "empty.c", "names.o"]).unwrap();
    assert!(!linked.status.success());
    assert!(String::from_utf8_lossy(&linked.stderr).contains("marq_value_config"));
    // In memory the host is the linker.
    let first = job(&program, "value", "native", Strategy::Import);
    let host = words(&[(Reference::value("config"), 5)]);
    let error = compile_for(&program, &first, &target("native"), &Library::new(), &host).unwrap_err();
    assert!(error.to_string().contains("symbol \"puts\" from \"libc.so.6\""), "{error}");
}

#[test]
fn t064_baked_words_leave_nothing_open() {
    let program = program(CHOICE);
    for name in MACHINES.into_iter().chain(DEVICES) {
        let entry = if name.starts_with("native") { "second" } else { "choose" };
        let bake = job(&program, entry, name, Strategy::Bake);
        let code = compile_artifact_for(&program, &bake, &target(name), &Library::new(), &both()).unwrap();
        assert_eq!(code.relocations, [], "{name}");
        assert_eq!(code.session_values.len(), 2, "{name}");
        if let Ok(object) = object::File::parse(&*code.code) {
            let open: Vec<_> = object.symbols().filter(|s| s.is_undefined() && s.name() != Ok("")).collect();
            assert!(open.is_empty(), "{name}: {open:?}");
            // The words are in the machine's own order.
            let data = object.section_by_name(".rodata").expect("constants").data().unwrap();
            let wanted = match object.is_little_endian() {
                true => 0x1234_5678_9abc_u64.to_le_bytes(),
                false => 0x1234_5678_9abc_u64.to_be_bytes(),
            };
            assert!(data.windows(8).any(|bytes| bytes == wanted), "{name}: {data:?}");
        }
        let missing = compile_artifact(&program, &bake, &target(name)).unwrap_err().to_string();
        assert!(missing.contains("no word for value \"con#fig\""), "{missing}");
    }
}

#[test]
fn t065_patched_words_are_in_memory_that_a_loader_finds_and_writes() {
    let program = program(CHOICE);
    for name in MACHINES {
        let code = artifact(&program, "second", name, Strategy::Patch);
        assert_eq!(code.relocations.len(), 2, "{name}");
        let object = object::File::parse(&*code.code).unwrap();
        for relocation in &code.relocations {
            assert_eq!(relocation.kind, RelocationKind::Write);
            let symbol = object.symbol_by_name(&relocation.symbol).expect("the variable");
            assert!(symbol.is_definition() && symbol.is_global(), "{name}");
            let section = object.section_by_index(symbol.section_index().unwrap()).unwrap();
            assert_eq!(section.kind(), object::SectionKind::Data, "{name}");
            assert!(relocation.offset + 8 <= symbol.size(), "{name}");
        }
    }
    // Another process, whose loader writes them.
    let code = artifact(&program, "second", "native", Strategy::Patch);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.o"), &code.code).unwrap();
    let symbol = &code.relocations[1].symbol;
    let host = format!(
        "#include <stdint.h>\nextern char {symbol}[];\nint64_t second(void);\nint main(void) {{\n    \
         if (second() != 0) return 1;\n    *(int64_t *)({symbol} + 8) = 77;\n    return second() != 77;\n}}\n"
    );
    std::fs::write(folder.path().join("host.c"), host).unwrap();
    let Some(linked) = link(folder.path(), &["-o", "host", "host.c", "names.o"]) else { return };
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    assert!(Command::new(folder.path().join("host")).status().unwrap().success());
}

#[test]
fn t065_specialised_words_are_the_loaders() {
    let program = program(CHOICE);
    for name in ["spirv:vulkan1.3", "spirv:opencl2.1"] {
        let mut code = artifact(&program, "choose", name, Strategy::Patch);
        let plain = code.code.clone();
        let kinds: Vec<RelocationKind> = code.relocations.iter().map(|relocation| relocation.kind).collect();
        let (first, second) = match kinds[..] {
            [
                RelocationKind::Specialise { first, bytes },
                RelocationKind::Specialise { first: second, .. },
            ] => {
                assert_eq!(second - first, 8 / bytes, "{name}");
                (first, second)
            }
            _ => panic!("{name}: {kinds:?}"),
        };
        assert_eq!(code.fill(&both()).unwrap(), [], "{name}");
        assert!(code.code != plain && code.code.len() == plain.len(), "{name}");
        assert_eq!(code.session_values.len(), 2, "{name}");
        // Modules that are not what they should be, and constants that are not there.
        let values = std::collections::BTreeMap::from([(first, 1_u64), (second, 2)]);
        let unknown = std::collections::BTreeMap::from([(9999, 1_u64)]);
        let mut module = plain.clone();
        let specialise = marquetry_codegen::spirv::specialise;
        assert!(specialise(&mut module, &unknown).unwrap_err().to_string().contains("no constant 9999"));
        assert_eq!(module, plain);
        for length in [0, 3, 4, 20, (plain.len() / 2) & !3] {
            let _ = specialise(&mut plain[..length].to_vec(), &values);
        }
        let mut zero = plain.clone();
        zero[20..24].fill(0);
        assert!(specialise(&mut zero, &values).unwrap_err().to_string().contains("wrong length"));
    }
}

#[test]
fn t068_words_that_are_zero_are_words() {
    let program = program(CHOICE);
    let zeros = words(&[(Reference::value("con#fig"), 0), (Reference::symbol("environ"), 0)]);
    for references in [Strategy::Bake, Strategy::Patch, Strategy::Import] {
        let job = job(&program, "second", "native", references);
        let code = compile_for(&program, &job, &target("native"), &Library::new(), &zeros).unwrap();
        assert_eq!(call(&code), 0, "{references:?}");
    }
    let bake = job(&program, "second", "native", Strategy::Bake);
    let code = compile_artifact_for(&program, &bake, &target("native"), &Library::new(), &zeros).unwrap();
    assert_eq!((code.session_values.len(), code.relocations.len()), (2, 0));
}

#[test]
fn t070_what_is_baked_is_the_sessions() {
    let session = Session::new().hosted(Arc::new(both()));
    session.define("t.mq", CHOICE).unwrap();
    let mut config = session.add_backend(Backend::new("native", target("native"))).unwrap();
    config.form = Form::Object;
    for (references, wiped) in [(Strategy::Import, 0), (Strategy::Patch, 0), (Strategy::Bake, 1)] {
        let mut config = config.clone();
        config.options.references = references;
        let job = session.job("first", &config).unwrap();
        let code = session.compile(&job).unwrap();
        assert_eq!(code.artifact().unwrap().is_portable(), wiped == 0, "{references:?}");
        assert_eq!(session.wipe_session_dependent(), wiped, "{references:?}");
    }
    // Code in memory gets the words of the session's host, however they were to get there.
    config.form = Form::Memory;
    let job = session.job("first", &config).unwrap();
    assert_eq!(call(&session.compile(&job).unwrap()), 0x1234_5678_9abc);
    let mut none: [HostArg; 0] = [];
    let alone = Session::new();
    alone.define("t.mq", CHOICE).unwrap();
    let config = alone.add_backend(Backend::new("native", target("native"))).unwrap();
    let error = alone.compile(&alone.job("first", &config).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the host supplies no words"), "{error}");
    assert!(session.compile(&job).unwrap().call(&mut none).is_ok());
}

#[test]
fn i5_deferred_words_stay_in_the_unit_and_no_code_is_emitted() {
    let program = program(CHOICE);
    for name in MACHINES.into_iter().chain(DEVICES) {
        let entry = if name.starts_with("native") { "second" } else { "choose" };
        let defer = job(&program, entry, name, Strategy::Defer);
        let error = compile_artifact(&program, &defer, &target(name)).unwrap_err().to_string();
        assert!(error.contains("defers its references") && error.contains("symbol \"environ\""), "{error}");
    }
    // Whoever takes the unit further writes the words.
    let defer = job(&program, "second", "native", Strategy::Defer);
    let Target::Native(native) = target("native") else { panic!("a native target") };
    let legal = marquetry_lower::pipeline::run(&program, &defer, &native).unwrap();
    assert!(legal.has_slots());
    let written = legal.baked_by(&both()).unwrap();
    assert_eq!((written.has_slots(), written.baked().len()), (false, 2));
    assert!(marquetry_codegen::native::emit_object(&written, &native).is_ok());
    assert_eq!(Strategy::from_name("link"), None);
}

#[test]
fn i6_slots_go_with_their_global() {
    let source = format!(
        "{CHOICE}method none() -> i64 {{\nentry:\n    never = eq i32 1, i32 2\n    branch never, a, b\na:\n    \
         t = address.constant names\n    v = load.i64 t\n    return v\nb:\n    return i64 3\n}}\n"
    );
    let program = program(&source);
    for name in MACHINES {
        let code = artifact(&program, "none", name, Strategy::Import);
        assert_eq!(code.relocations, [], "{name}");
        let object = object::File::parse(&*code.code).unwrap();
        assert!(object.symbol_by_name("environ").is_none(), "{name}");
    }
}
