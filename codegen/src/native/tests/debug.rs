//! Debug information, read back by crates that know nothing of how it was written.

use super::*;
use cranelift_object::object::read::{File, Object, ObjectSection, ObjectSymbol, RelocationTarget};
use gimli::{AttributeValue, EndianRcSlice, Reader, RunTimeEndian, constants as dw};
use marquetry_lower::job::DebugLevel;
use marquetry_lower::pipeline;

const TEXT: &str = "method safe(a: i32, b: i32) -> i32 inline {
entry:
    q = div.u a, b
    return q
}
method mean(a: i32, n: i32) -> i32 inline {
entry:
    s = add a, i32 5
    m = call safe(s, n)
    return m
}
method sum(p: ptr<global>, n: i64) -> i32 {
entry:
    jump loop(i64 0, i32 0)
loop(i: i64, total: i32):
    at = index p, i, i32
    x = load.i32 at
    next = add total, x
    k = add i, i64 1
    more = lt.s k, n
    branch more, loop(k, next), done
done:
    count = trunc.i32 n
    r = call mean(next, count)
    return r
}
";

fn compile(name: &str, level: DebugLevel, target: &NativeTarget) -> Legal {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, name, TEXT);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let entries = program.methods_of("sum").to_vec();
    let opt_level = OptLevel::Default;
    let mut job = Job::new(entries, View::native(&[]), opt_level);
    job.options.debug_level = level;
    pipeline::run(&program, &job, target).unwrap()
}

fn object(triple: &str, level: DebugLevel) -> Vec<u8> {
    let target = target(triple, 2);
    emit_object(&compile("dir/test.mq", level, &target), &target).unwrap().code
}

/// A section with its relocations carried out, as if the object's code stood at 0.
fn section(file: &File<'_>, name: &str) -> Vec<u8> {
    let Some(section) = file.section_by_name(name) else { return Vec::new() };
    let mut bytes = section.data().unwrap().to_vec();
    for (offset, relocation) in section.relocations() {
        let base = match relocation.target() {
            RelocationTarget::Symbol(symbol) => file.symbol_by_index(symbol).unwrap().address(),
            _ => 0,
        };
        let value = base.wrapping_add(relocation.addend() as u64);
        let size = usize::from(relocation.size() / 8);
        let word = match file.is_little_endian() {
            true => value.to_le_bytes()[..size].to_vec(),
            false => value.to_be_bytes()[8 - size..].to_vec(),
        };
        bytes[offset as usize..offset as usize + size].copy_from_slice(&word);
    }
    bytes
}

type Dwarf = gimli::Dwarf<EndianRcSlice<RunTimeEndian>>;

fn dwarf(code: &[u8]) -> Dwarf {
    let file = File::parse(code).unwrap();
    let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        Ok(EndianRcSlice::new(section(&file, id.name()).into(), endian))
    };
    Dwarf::load(load).unwrap()
}

/// Function and line of each frame at an address, from the inside to the outside.
fn frames(context: &addr2line::Context<EndianRcSlice<RunTimeEndian>>, at: u64) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut frames = context.find_frames(at).skip_all_loads().unwrap();
    while let Some(frame) = frames.next().unwrap() {
        let name = frame.function.map_or(String::new(), |f| f.raw_name().unwrap().into_owned());
        let location = frame.location.filter(|location| location.file == Some("dir/test.mq"));
        found.push((name, location.and_then(|location| location.line).unwrap_or(0)));
    }
    found
}

/// All chains of frames in the code of a function, in order.
fn chains(code: &[u8], name: &str) -> Vec<Vec<(String, u32)>> {
    let file = File::parse(code).unwrap();
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
    let context = addr2line::Context::from_dwarf(dwarf(code)).unwrap();
    let mut chains: Vec<_> =
        (symbol.address()..symbol.address() + symbol.size()).map(|at| frames(&context, at)).collect();
    chains.dedup();
    chains
}

fn chain(frames: &[(&str, u32)]) -> Vec<(String, u32)> {
    frames.iter().map(|&(name, line)| (name.to_owned(), line)).collect()
}

#[test]
fn lines_and_inlined_calls_are_read_back() {
    for triple in TRIPLES {
        let found = chains(&object(triple, DebugLevel::Full), "sum");
        for wanted in [
            chain(&[("sum", 17)]),
            chain(&[("mean", 8), ("sum", 24)]),
            chain(&[("safe", 3), ("mean", 9), ("sum", 24)]),
        ] {
            assert!(found.contains(&wanted), "{triple}: {wanted:?} in {found:?}");
        }
        if triple == "native:x86_64" {
            // What comes before the first instruction.
            assert_eq!(found.first(), Some(&chain(&[("sum", 12)])));
        }
        assert!(
            found.iter().all(|frames| frames.last().is_some_and(|f| f.0 == "sum" && f.1 > 0)),
            "{found:?}"
        );

        let found = chains(&object(triple, DebugLevel::Lines), "sum");
        for wanted in [chain(&[("sum", 17)]), chain(&[("sum", 8)]), chain(&[("sum", 3)])] {
            assert!(found.contains(&wanted), "{triple}: {wanted:?} in {found:?}");
        }
    }
}

#[test]
fn values_with_names_are_somewhere() {
    for triple in TRIPLES {
        let dwarf = dwarf(&object(triple, DebugLevel::Full));
        let header = dwarf.units().next().unwrap().unwrap();
        let unit = dwarf.unit(header).unwrap();
        let mut entries = unit.entries();
        let mut found = Vec::new();
        while let Some(entry) = entries.next_dfs().unwrap() {
            let tag = entry.tag();
            if !matches!(tag, dw::DW_TAG_formal_parameter | dw::DW_TAG_variable) {
                continue;
            }
            let name = entry.attr_value(dw::DW_AT_name).unwrap();
            let name = dwarf.attr_string(&unit, name).unwrap().to_string().unwrap().into_owned();
            let mut ranges = 0;
            if let Some(AttributeValue::LocationListsRef(list)) = entry.attr_value(dw::DW_AT_location) {
                let mut list = dwarf.locations(&unit, list).unwrap();
                while let Some(range) = list.next().unwrap() {
                    assert!(range.range.begin < range.range.end);
                    ranges += 1;
                }
            }
            found.push((tag == dw::DW_TAG_formal_parameter, name, ranges > 0));
        }
        for wanted in
            [(true, "p".to_owned(), true), (true, "n".to_owned(), true), (false, "x".to_owned(), true)]
        {
            assert!(found.contains(&wanted), "{triple}: {wanted:?} in {found:?}");
        }
    }
}

#[test]
fn debug_information_changes_no_code() {
    for triple in TRIPLES {
        let objects =
            [DebugLevel::None, DebugLevel::Lines, DebugLevel::Full].map(|level| object(triple, level));
        let files = objects.each_ref().map(|code| File::parse(&**code).unwrap());
        let text = files.each_ref().map(|file| section(file, ".text"));
        assert!(!text[0].is_empty() && text[0] == text[1] && text[0] == text[2], "{triple}");
        let extra = |file: &File<'_>| {
            file.sections().any(|s| s.name().is_ok_and(|n| n.contains("debug") || n.contains("eh_frame")))
        };
        assert_eq!(files.each_ref().map(extra), [false, true, true], "{triple}");
        assert_eq!(objects[2], object(triple, DebugLevel::Full), "{triple}");
    }
}

#[test]
fn files_may_have_any_name() {
    for name in ["", "a\0b", "/absolute/name.mq", "ünïcode.mq"] {
        let target = target("native:x86_64", 2);
        let code = emit_object(&compile(name, DebugLevel::Full, &target), &target).unwrap().code;
        assert!(File::parse(&*code).unwrap().section_by_name(".debug_line").is_some(), "{name:?}");
    }
}

#[test]
fn code_in_memory_has_a_map() {
    let target = target("native", 2);
    let code = emit_jit(&compile("test.mq", DebugLevel::Lines, &target), &target, &|_| None).unwrap();
    let map = code.map();
    let sum = map.functions().iter().find(|function| function.name == "sum").unwrap();
    assert_eq!(Some(sum.address), code.address(0).map(|address| address as usize));
    let mut found = Vec::new();
    for at in sum.address..sum.address + sum.size {
        assert_eq!(map.function(at), Some(sum));
        let Some(frames) = map.lookup(at) else { continue };
        let names: Vec<&str> = frames.iter().map(|frame| &*frame.function).collect();
        let line = TEXT[..frames[0].span.start as usize].matches('\n').count() + 1;
        found.push((names.join("<"), line));
    }
    for wanted in [("safe<mean<sum".to_owned(), 3), ("mean<sum".to_owned(), 8), ("sum".to_owned(), 17)] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(map.lookup(0), None);
    assert_eq!(map.function(usize::MAX), None);
    let line = format!("{:x} {:x} sum\n", sum.address, sum.size);
    assert!(map.perf_map().contains(&line), "{}", map.perf_map());
    let bare = emit_jit(&compile("test.mq", DebugLevel::None, &target), &target, &|_| None).unwrap();
    assert!(bare.map().functions().is_empty());
}

/// Cranelift gives the unused result of an atomic operation no register, and its single-pass allocator looks it up.
#[test]
fn values_that_nobody_uses_need_no_place() {
    let text = "kernel k(p: ptr<global>) {
entry:
    x = load.i32 p
    old = rmw_add p, x relaxed device
    return
}
";
    for triple in TRIPLES {
        for opt_level in [0, 2] {
            let target = target(triple, opt_level);
            let legal = legal(text, &target).with_debug_level(DebugLevel::Full);
            emit_object(&legal, &target).unwrap_or_else(|error| panic!("{triple} -O{opt_level}: {error}"));
        }
    }
}
