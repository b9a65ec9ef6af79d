//! What `nm`, `readelf` and `objdump` find in objects, for every architecture and format: sections, undefined symbols, kinds of
//! relocations, and who sees what is exported. The readers are others' than the writer.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, is_present, marq_ok, run_in};
use std::collections::BTreeSet;
use std::path::Path;

/// What there must be in the objects for a triple, and nothing else.
struct Wanted {
    triple: &'static str,
    /// Names of sections, but for those that only hold names and symbols.
    sections: &'static [&'static str],
    /// Kinds of relocations, code being for any place, and for a fixed one.
    pic: &'static [&'static str],
    fixed: &'static [&'static str],
    /// The kind that is an address of 64 bits: in code for a fixed place, of what may be far away; and in data.
    address: &'static str,
}

const ELF: &[&str] = &[".data", ".note.GNU-stack", ".rela.text", ".rodata", ".text"];
const MACH_O: &[&str] = &["__const", "__data", "__text"];
const COFF: &[&str] = &[".data", ".rdata", ".text"];
const WANTED: [Wanted; 8] = [
    Wanted {
        triple: "x86_64-unknown-linux-gnu",
        sections: ELF,
        pic: &["R_X86_64_GOTPCREL", "R_X86_64_PLT32"],
        fixed: &["R_X86_64_PLT32"],
        address: "R_X86_64_64",
    },
    Wanted {
        triple: "aarch64-unknown-linux-gnu",
        sections: ELF,
        pic: &["R_AARCH64_ADR_GOT_PAGE", "R_AARCH64_CALL26", "R_AARCH64_LD64_GOT_LO12_NC"],
        fixed: &["R_AARCH64_ADD_ABS_LO12_NC", "R_AARCH64_ADR_PREL_PG_HI21", "R_AARCH64_CALL26"],
        address: "R_AARCH64_ABS64",
    },
    Wanted {
        triple: "riscv64gc-unknown-linux-gnu",
        sections: ELF,
        pic: &["R_RISCV_CALL_PLT", "R_RISCV_GOT_HI20", "R_RISCV_PCREL_LO12_I"],
        fixed: &["R_RISCV_CALL_PLT", "R_RISCV_PCREL_HI20", "R_RISCV_PCREL_LO12_I"],
        address: "R_RISCV_64",
    },
    Wanted {
        triple: "s390x-ibm-linux-gnu",
        sections: ELF,
        pic: &["R_390_PC32DBL", "R_390_PLT32DBL"],
        fixed: &["R_390_PC32DBL", "R_390_PLT32DBL"],
        address: "R_390_64",
    },
    Wanted {
        triple: "x86_64-apple-darwin",
        sections: MACH_O,
        pic: &["X86_64_RELOC_BRANCH", "X86_64_RELOC_GOT"],
        fixed: &["X86_64_RELOC_BRANCH"],
        address: "X86_64_RELOC_UNSIGNED",
    },
    Wanted {
        triple: "aarch64-apple-darwin",
        sections: MACH_O,
        pic: &["ARM64_RELOC_BRANCH26", "ARM64_RELOC_GOT_LOAD_PAGE21", "ARM64_RELOC_GOT_LOAD_PAGEOFF12"],
        fixed: &["ARM64_RELOC_BRANCH26", "ARM64_RELOC_PAGE21", "ARM64_RELOC_PAGEOFF12"],
        address: "ARM64_RELOC_UNSIGNED",
    },
    Wanted { triple: "x86_64-pc-windows-msvc", ..WINDOWS },
    Wanted { triple: "x86_64-pc-windows-gnu", ..WINDOWS },
];

const WINDOWS: Wanted = Wanted {
    triple: "x86_64-pc-windows",
    sections: COFF,
    pic: &["IMAGE_REL_AMD64_ADDR64", "IMAGE_REL_AMD64_REL32"],
    fixed: &["IMAGE_REL_AMD64_REL32"],
    address: "IMAGE_REL_AMD64_ADDR64",
};

/// What is exported; everything else of the file is local.
const EXPORTS: [&str; 2] = ["fib", "length"];

fn build(folder: &Folder, triple: &str, relocation: &str) {
    let target = format!("native:{triple}");
    let exports = EXPORTS.map(|name| ["--export", name]).concat();
    let args = ["build", "library.mq", "--target", &target, "--relocation", relocation, "-o", "out.o"];
    marq_ok(folder.0.path(), &[&args[..], &exports].concat());
}

/// Both relocation models of every triple that is wanted.
fn each(wanted: impl Fn(&Wanted) -> bool, check: impl Fn(&Path, &Wanted, &[&str], &str)) {
    let folder = Folder::new();
    folder.file("library.mq", include_str!("aot/library.mq"));
    for wanted in WANTED.iter().filter(|one| wanted(one)) {
        for (relocation, kinds) in [("pic", wanted.pic), ("static", wanted.fixed)] {
            build(&folder, wanted.triple, relocation);
            check(folder.0.path(), wanted, kinds, &format!("{} {relocation}", wanted.triple));
        }
    }
}

/// The first word behind a label, of every line that has it.
fn labelled<'a>(text: &'a str, label: &str) -> BTreeSet<&'a str> {
    let values = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
    values.filter_map(|rest| rest.split_whitespace().next()).filter(|word| *word != "(0)").collect()
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

#[test]
fn llvm_finds_what_is_wanted_in_every_format() {
    if !["llvm-readobj", "llvm-nm"].into_iter().all(is_present) {
        return;
    }
    each(
        |_| true,
        |at, wanted, kinds, what| {
            let sections = run_in(at, "llvm-readobj", &["--sections", "out.o"]);
            let mut found = labelled(&sections, "Name:");
            // What is about the file itself; and the words by which code for any place gets at what may be elsewhere.
            for own in [".symtab", ".strtab", ".shstrtab", ".rdata$.refptr"] {
                found.remove(own);
            }
            assert_eq!(found, set(wanted.sections), "{what}\n{sections}");
            let relocations = run_in(at, "llvm-readobj", &["-r", "--expand-relocs", "out.o"]);
            assert_eq!(labelled(&relocations, "Type:"), set(kinds), "{what}\n{relocations}");
            let prefix = if wanted.sections == MACH_O { "_" } else { "" };
            let nm = |args: &[&str]| run_in(at, "llvm-nm", &[args, &["out.o"]].concat());
            let spelled =
                |names: &[&str]| names.iter().map(|name| format!("{prefix}{name}\n")).collect::<String>();
            assert_eq!(nm(&["-u", "-j"]), spelled(&["strlen"]), "{what}");
            assert_eq!(nm(&["-g", "-j", "--defined-only"]), spelled(&EXPORTS), "{what}");
            if wanted.sections == MACH_O {
                // Neither of another linkage unit only nor weak.
                let read = nm(&["-m"]);
                for name in EXPORTS {
                    assert!(read.contains(&format!(" (__TEXT,__text) external _{name}\n")), "{what}\n{read}");
                }
                assert!(read.contains(" non-external _add\n") && !read.contains("private"), "{what}\n{read}");
            }
        },
    );
}

#[test]
fn gnu_finds_what_is_wanted_in_elf() {
    let is_elf = |wanted: &Wanted| wanted.sections == ELF;
    let tool = |wanted: &Wanted, name: &str| {
        let machine = wanted.triple.split('-').next().unwrap_or_default().trim_end_matches("gc");
        // Its own machine's tools have no prefix.
        match machine == std::env::consts::ARCH {
            true => name.to_owned(),
            false => format!("{machine}-linux-gnu-{name}"),
        }
    };
    let has_tools = |wanted: &Wanted| {
        is_elf(wanted) && ["readelf", "nm", "objdump"].iter().all(|name| is_present(&tool(wanted, name)))
    };
    each(has_tools, |at, wanted, kinds, what| {
        let readelf = |args: &[&str]| run_in(at, &tool(wanted, "readelf"), &[args, &["out.o"]].concat());
        let read = readelf(&["-SW"]);
        let sections: BTreeSet<&str> = read
            .lines()
            .filter_map(|line| line.split_once(']')?.1.split_whitespace().next())
            .filter(|name| name.starts_with('.') && ![".symtab", ".strtab", ".shstrtab"].contains(name))
            .collect();
        assert_eq!(sections, set(wanted.sections), "{what}\n{read}");
        // Code is not writable, data are not executable, and neither is the stack.
        let flags = |name: &str| {
            let line = read.lines().find(|line| line.contains(&format!(" {name} "))).unwrap_or_default();
            line.split_whitespace().rev().nth(3).unwrap_or_default().to_owned()
        };
        let found = [".text", ".data", ".rodata", ".note.GNU-stack"].map(flags);
        // Where there are none, the column before is the last one: the size of entries.
        assert_eq!(found, ["AX", "WA", "A", "00"], "{what}\n{read}");
        let read = readelf(&["-rW"]);
        let found: BTreeSet<&str> = read
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2))
            .filter(|kind| kind.starts_with("R_"))
            .collect();
        // The names are as long as a column allows.
        let same = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
        assert!(
            found.len() == kinds.len() && found.iter().all(|one| kinds.iter().any(|kind| same(one, kind))),
            "{what}: {found:?}, wanted {kinds:?}\n{read}"
        );
        let read = readelf(&["-sW"]);
        let rows = read.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows: Vec<Vec<&str>> = rows.filter(|row| row.len() >= 7 && row[0].ends_with(':')).collect();
        let global: Vec<String> =
            rows.iter().filter(|row| row[4] == "GLOBAL").map(|row| row[3..].join(" ")).collect();
        let mut global: Vec<&str> =
            global.iter().map(|row| row.trim_start_matches("FUNC ").trim_start_matches("NOTYPE ")).collect();
        global.sort_unstable();
        let number = rows.iter().find(|row| row.last() == Some(&"fib")).map_or("?", |row| row[6]);
        let mut wanted_rows = vec!["GLOBAL DEFAULT UND strlen".to_owned()];
        wanted_rows.extend(EXPORTS.map(|name| format!("GLOBAL DEFAULT {number} {name}")));
        wanted_rows.sort_unstable();
        assert_eq!(global, wanted_rows, "{what}\n{read}");
        assert!(!rows.iter().any(|row| row[4] == "WEAK"), "{what}\n{read}");
        let nm = |args: &[&str]| run_in(at, &tool(wanted, "nm"), &[args, &["out.o"]].concat());
        assert_eq!(nm(&["-u"]).split_whitespace().collect::<Vec<_>>(), ["U", "strlen"], "{what}");
        let read = run_in(at, &tool(wanted, "objdump"), &["-dr", "out.o"]);
        assert!(read.contains("<fib>:") || read.contains("<.Lfn"), "{what}\n{read}");
    });
}

#[test]
fn gnu_finds_what_is_wanted_in_coff() {
    if !is_present("objdump") || !is_present("nm") {
        return;
    }
    each(
        |wanted| wanted.sections == COFF,
        |at, _, kinds, what| {
            let read = run_in(at, "objdump", &["-h", "out.o"]);
            let names: BTreeSet<&str> = read
                .lines()
                .filter_map(|line| line.split_whitespace().nth(1))
                .filter(|name| name.starts_with('.') && !name.contains('$'))
                .collect();
            assert_eq!(names, set(COFF), "{what}\n{read}");
            let read = run_in(at, "objdump", &["-r", "out.o"]);
            let found: BTreeSet<&str> = read
                .lines()
                .filter_map(|line| line.split_whitespace().nth(1))
                .filter(|kind| kind.starts_with("IMAGE_REL"))
                .collect();
            assert_eq!(found, set(kinds), "{what}\n{read}");
            let nm = |args: &[&str]| run_in(at, "nm", &[args, &["out.o"]].concat());
            assert_eq!(nm(&["-u"]).split_whitespace().collect::<Vec<_>>(), ["U", "strlen"], "{what}");
            let read = nm(&["-g", "--defined-only"]);
            let seen: Vec<&str> = read.lines().filter_map(|line| line.split_whitespace().last()).collect();
            assert_eq!(seen, EXPORTS, "{what}\n{read}");
        },
    );
}

/// A global with words of the host, and code that reads it.
const WORDS: &str = "\
global names: array<i64, 2> in constant with [0: value \"config\", 8: symbol \"puts\" from \"libc.so.6\"]
method first() -> i64 {
entry:
    t = address.constant names
    a = load.i64 t
    return a
}
";

/// The words of a global, for the linker and for a loader, in every format.
#[test]
fn words_of_the_host_are_undefined_symbols_or_writable_memory() {
    if !["llvm-readobj", "llvm-nm"].into_iter().all(is_present) {
        return;
    }
    let folder = Folder::new();
    folder.file("words.mq", WORDS);
    let at = folder.0.path();
    for wanted in WANTED {
        let target = format!("native:{}", wanted.triple);
        let prefix = if wanted.sections == MACH_O { "_" } else { "" };
        let spelled =
            |names: &[&str]| names.iter().map(|name| format!("{prefix}{name}\n")).collect::<String>();
        let nm = |args: &[&str]| run_in(at, "llvm-nm", &[args, &["out.o"]].concat());
        for (strategy, undefined, seen) in [
            ("import", &["marq_value_config", "puts"][..], &["first"][..]),
            ("patch", &[], &["first", "names"]),
        ] {
            let args =
                ["--target", &target, "--references", strategy, "--patches", "words.json", "-o", "out.o"];
            marq_ok(at, &[&["build", "words.mq"], &args[..]].concat());
            let what = format!("{} {strategy}", wanted.triple);
            assert_eq!(nm(&["-u", "-j"]), spelled(undefined), "{what}");
            assert_eq!(nm(&["-g", "-j", "--defined-only"]), spelled(seen), "{what}");
            // Addresses of 64 bits, in data that the loader may write; what is patched has none.
            let read = run_in(at, "llvm-readobj", &["-r", "--expand-relocs", "out.o"]);
            let of_data: Vec<&str> = read
                .split("  Section ")
                .filter(|part| {
                    part.lines().next().is_some_and(|line| !line.contains("text") && !line.contains("refptr"))
                })
                .flat_map(|part| part.lines().filter_map(|line| line.trim_start().strip_prefix("Type: ")))
                .filter_map(|rest| rest.split_whitespace().next())
                .collect();
            assert_eq!(of_data, vec![wanted.address; undefined.len()], "{what}\n{read}");
            if strategy == "patch" {
                let letter = nm(&[]).lines().find_map(|line| {
                    let (rest, name) = line.rsplit_once(' ')?;
                    (name == format!("{prefix}names")).then(|| rest.chars().last())?
                });
                assert!(matches!(letter, Some('D' | 'B')), "{what}: {letter:?}");
            }
        }
    }
}

/// A linker for the format makes a library of it that has what is exported, and needs what is undefined.
#[test]
fn lld_links_mach_o() {
    if !["ld.lld", "llvm-nm"].into_iter().all(is_present) {
        return;
    }
    each(
        |wanted| wanted.sections == MACH_O,
        |at, wanted, _, what| {
            let machine = if wanted.triple.starts_with("aarch64") { "arm64" } else { "x86_64" };
            let platform = ["-platform_version", "macos", "11.0", "11.0", "-undefined", "dynamic_lookup"];
            let args = ["-flavor", "darwin", "-dylib", "-arch", machine, "-o", "out.dylib", "out.o"];
            run_in(at, "lld", &[&args[..], &platform].concat());
            let nm = |args: &[&str]| run_in(at, "llvm-nm", &[args, &["-j", "out.dylib"]].concat());
            assert_eq!(nm(&["-g", "--defined-only"]), "_fib\n_length\n", "{what}");
            assert!(nm(&["-u"]).contains("_strlen\n"), "{what}");
        },
    );
}
