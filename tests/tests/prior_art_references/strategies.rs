//! Rules I4 to I6: where words of the host stand, what the strategies make of them, what is merged and what is dropped, in
//! every format.

use super::{CHOICE, DEVICES, MACHINES, artifact, both, call, job, named, needed, program, target};
use marquetry::compile::{Target, compile_artifact, compile_artifact_for, compile_for};
use marquetry_codegen::artifact::{Artifact, RelocationKind};
use marquetry_ir::program::Program;
use marquetry_lower::references::Strategy;
use marquetry_lower::runtime::Library;
use object::{Object, ObjectSection, ObjectSymbol};

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

/// The artifact of some entries by a strategy, with the host's words where it bakes.
#[track_caller]
fn made(program: &Program, entries: &[&str], name: &str, references: Strategy) -> Artifact {
    let mut job = job(program, entries[0], name, references);
    job.entries = entries.iter().map(|entry| program.methods_of(entry)[0].into()).collect();
    compile_artifact_for(program, &job, &target(name), &Library::new(), &both())
        .unwrap_or_else(|error| panic!("{name} {references:?}: {error}"))
}

/// How many words an artifact leaves open, and how many it has of this session.
fn counts(code: &Artifact) -> (usize, usize) {
    (code.relocations.len(), code.session_values.len())
}

const EMITTED: [Strategy; 3] = [Strategy::Bake, Strategy::Patch, Strategy::Import];

#[test]
fn i4_sites_are_words_of_globals_that_the_artifact_has() {
    let program = program(CHOICE);
    for name in MACHINES.into_iter().chain(DEVICES) {
        let entry = if name.starts_with("native") { "first" } else { "choose" };
        for references in EMITTED {
            let code = made(&program, &[entry], name, references);
            let wanted = if references == Strategy::Bake { (0, 2) } else { (2, 0) };
            assert_eq!(counts(&code), wanted, "{name} {references:?}");
            let linked = name.starts_with("native") && references == Strategy::Import;
            for (relocation, offset) in code.relocations.iter().zip([0, 8]) {
                assert_eq!((relocation.offset, relocation.size), (offset, 8), "{name} {references:?}");
                assert_eq!(relocation.kind == RelocationKind::Link, linked, "{name} {references:?}");
            }
        }
    }
}

#[test]
fn i6_what_several_entries_need_is_there_once() {
    let program = program(CHOICE);
    for name in MACHINES {
        for references in EMITTED {
            let one = made(&program, &["first"], name, references);
            let both = made(&program, &["first", "second"], name, references);
            assert_eq!(counts(&both), counts(&one), "{name} {references:?}");
            assert_eq!(both.relocations, one.relocations, "{name} {references:?}");
            let object = object::File::parse(&*both.code).unwrap();
            let wanted: &[&str] = match references {
                Strategy::Import => &["environ", "marq_value_con$23fig"],
                _ => &[],
            };
            assert_eq!(needed(&object), wanted, "{name} {references:?}");
        }
    }
}

#[test]
fn i6_slots_go_with_their_global() {
    let source = format!(
        "{CHOICE}method none() -> i64 {{\nentry:\n    never = eq i32 1, i32 2\n    branch never, a, b\na:\n    \
         t = address.constant names\n    v = load.i64 t\n    return v\nb:\n    return i64 3\n}}\n\
         kernel nothing(out: ptr<global>) {{\nentry:\n    v = call none()\n    store out, v\n    return\n}}\n"
    );
    let program = program(&source);
    for references in Strategy::ALL {
        for name in MACHINES {
            // Nobody has to supply what nobody needs, and nothing is deferred.
            let code = artifact(&program, "none", name, references);
            assert_eq!(counts(&code), (0, 0), "{name} {references:?}");
            let object = object::File::parse(&*code.code).unwrap();
            assert_eq!(needed(&object), [""; 0], "{name} {references:?}");
        }
        for name in DEVICES {
            let code = artifact(&program, "nothing", name, references);
            assert_eq!(counts(&code), (0, 0), "{name} {references:?}");
        }
    }
}

/// Plain data of awkward layouts, with addresses and words of the host in it.
const LAYOUTS: &str = "\
struct odd { a: i8, word: i64, b: f16, c: vec<f32, 4>, d: array<i16, 3>, e: i1, far: ptr<generic>, f: i128 }
global page: odd in constant align 4096 = [i8 -1, i64 0, f16 1.0, vec<f32, 4> [1.0, 2.0, 3.0, 4.0], [i16 0x102, i16 8, i16 9], i1 true, ptr<generic> null, i128 5] with [8: value \"con#fig\", 56: function sum()]
global bytes: array<i8, 3> in constant = [i8 1, i8 2, i8 3]
global line: array<odd, 2> in global align 64 with [8: symbol \"environ\", 88: address page at 16, 136: address bytes]
method sum() -> i64 {
entry:
    t = address.constant page
    p = field_address t, odd, 1
    v = load.i64 p
    l = address.global line
    q = ptr_add l, i64 8
    w = load.i64 q
    h = ptr_add l, i64 136
    b = load.ptr<generic> h
    c = load.i8 b
    d = sext.i64 c
    x = add v, w
    y = add x, d
    f = field_address t, odd, 6
    g = load.ptr<generic> f volatile
    n = ptrtoint.i64 g
    m = and n, i64 0
    r = add y, m
    return r
}
";

#[test]
fn i5_plain_data_keeps_its_layout_by_every_strategy() {
    let program = program(LAYOUTS);
    let page = &program.globals[program.find_global("page").unwrap()];
    let offset = |index| program.types.field_offset(page.ty, index).unwrap();
    assert_eq!(
        (offset(1), offset(3), offset(6), program.types.layout(page.ty).unwrap().align),
        (8, 32, 56, 16)
    );
    for references in EMITTED {
        for name in MACHINES {
            let code = made(&program, &["sum"], name, references);
            let object = object::File::parse(&*code.code).unwrap();
            for (global, align) in [("page", 4096), ("line", 64)] {
                let symbol = named(&object, global).expect("the global");
                let section = object.section_by_index(symbol.section_index().unwrap()).unwrap();
                let at = symbol.address() - section.address();
                assert!(section.align() >= align && at % align == 0, "{name} {references:?} {global}");
                if global == "page" {
                    let data = &section.data().unwrap()[at as usize..];
                    let little = object.is_little_endian();
                    let lanes = [1.0f32, 2.0, 3.0, 4.0]
                        .map(|x| if little { x.to_le_bytes() } else { x.to_be_bytes() })
                        .concat();
                    assert_eq!(data[0], 0xff, "{name} {references:?}");
                    assert_eq!(data[32..48], lanes, "{name} {references:?}");
                    let first = if little { [2, 1] } else { [1, 2] };
                    assert_eq!(data[48..50], first, "{name} {references:?}");
                }
            }
        }
        let baking = job(&program, "sum", "native", references);
        let code = compile_for(&program, &baking, &target("native"), &Library::new(), &both()).unwrap();
        assert_eq!(call(&code), 0x1234_5678_9abc + 0x77 + 1, "{references:?}");
    }
}
