//! Objects for other machines: four architectures run under emulation, and three formats read by others than their
//! writer.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, Machine, STRICT, code, is_present, marq_in, marq_ok, run_in, stderr};
use object::{Architecture, BinaryFormat, Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// Builds for a machine, links an object or a library of the program with its C library, and runs that.
fn emulated(machine: &str, args: &[&str], emit: &str) {
    let machine = Machine::named(machine);
    if !machine.is_present() {
        return;
    }
    let folder = Folder::with_library();
    let at = folder.root();
    let target = machine.target();
    let build = |file: &str, stem: &str, more: &[&str]| {
        let (object, header) = (format!("{stem}.o"), format!("{stem}.h"));
        let all = ["build", file, "--target", &target, "-o", &object, "--header", &header];
        marq_ok(at, &[&all, args, more].concat());
    };
    build("library.mq", "library", &["--emit", "obj"]);
    build("kernels.mq", "kernels", &["--device"]);
    let made = match emit {
        "obj" => "library.o",
        "static" => "liblibrary.a",
        _ => "liblibrary.so",
    };
    if emit != "obj" {
        let build = ["build", "library.mq", "--target", &target, "--emit", emit, "-o", made];
        marq_ok(at, &[&build, args].concat());
        // That nothing else is linked.
        std::fs::remove_file(folder.path("library.o")).expect("the object");
    }
    let mut linked = STRICT.to_vec();
    linked.extend(["-o", "program", "main.c", "kernels.o", made, "-Wl,-rpath,$ORIGIN", "-lm"]);
    machine.link(&folder, &linked);
    assert_eq!(machine.run(&folder, "./program"), "all is well\n", "{target} {args:?} {emit}");
}

/// Executables that `marq` has linked for a machine: what they return, and what they say if they throw.
fn executed(machine: &str) {
    let machine = Machine::named(machine);
    if !machine.is_present() {
        return;
    }
    let folder = Folder::new();
    folder.file("main.mq", EXECUTABLE);
    folder.file("thrower.mq", EXECUTABLE.replace("i32 4", "i32 0"));
    let target = machine.target();
    for args in [&["-O2"][..], &["-O0", "-g"], &["-O2", "--relocation=static"]] {
        let run = |file: &str| {
            let build = ["build", file, "--emit", "exe", "--target", &target, "-o", "program"];
            marq_ok(folder.root(), &[&build[..], args].concat());
            let output = machine.command(&folder, "./program").output().expect("it starts");
            (code(&output), stderr(&output))
        };
        assert_eq!(run("main.mq"), (25, String::new()), "{target} {args:?}");
        let (status, said) = run("thrower.mq");
        assert_eq!(status, 1, "{target} {args:?}");
        assert!(
            said.contains("threw DivideError") && said.contains("in 'quotient', thrower.mq:3:5"),
            "{target} {args:?}: {said}"
        );
    }
}

const EXECUTABLE: &str = "\
method quotient(a: i32, b: i32) -> i32 noinline {
entry:
    q = div.s a, b
    return q
}
method main() -> i32 {
entry:
    q = call quotient(i32 100, i32 4)
    return q
}
";

#[test]
fn aarch64_runs() {
    emulated("aarch64", &["-O2"], "obj");
    emulated("aarch64", &["-O0", "--relocation=static", "-g"], "obj");
    emulated("aarch64", &["-O2"], "static");
    emulated("aarch64", &["-O1", "-g"], "shared");
    executed("aarch64");
}

#[test]
fn riscv64_runs() {
    emulated("riscv64", &["-O2"], "obj");
    emulated("riscv64", &["-O0", "--relocation=static", "-g"], "obj");
    emulated("riscv64", &["-O2"], "static");
    emulated("riscv64", &["-O1", "-g"], "shared");
    executed("riscv64");
}

#[test]
fn s390x_runs() {
    emulated("s390x", &["-O2"], "obj");
    emulated("s390x", &["-O0", "--relocation=static", "-g"], "obj");
    emulated("s390x", &["-O2"], "static");
    emulated("s390x", &["-O1", "-g"], "shared");
    executed("s390x");
}

/// A target, and what is to be found in its objects.
const TARGETS: [(&str, BinaryFormat, Architecture); 8] = [
    ("x86_64-unknown-linux-gnu", BinaryFormat::Elf, Architecture::X86_64),
    ("aarch64-unknown-linux-gnu", BinaryFormat::Elf, Architecture::Aarch64),
    ("riscv64gc-unknown-linux-gnu", BinaryFormat::Elf, Architecture::Riscv64),
    ("s390x-ibm-linux-gnu", BinaryFormat::Elf, Architecture::S390x),
    ("x86_64-apple-darwin", BinaryFormat::MachO, Architecture::X86_64),
    ("aarch64-apple-darwin", BinaryFormat::MachO, Architecture::Aarch64),
    ("x86_64-pc-windows-msvc", BinaryFormat::Coff, Architecture::X86_64),
    ("x86_64-pc-windows-gnu", BinaryFormat::Coff, Architecture::X86_64),
];

fn object_for(folder: &Folder, triple: &str, args: &[&str]) -> Vec<u8> {
    let target = format!("native:{triple}");
    let mut all = vec!["build", "library.mq", "--target", &target, "-o", "out.o"];
    all.extend_from_slice(args);
    let output = marq_in(folder.root(), &all);
    assert!(output.status.success(), "{triple} {args:?}: {}", stderr(&output));
    std::fs::read(folder.path("out.o")).expect("an object")
}

#[test]
fn every_format_holds_what_it_should() {
    let folder = Folder::with_library();
    for (triple, format, architecture) in TARGETS {
        for relocation in ["pic", "static"] {
            let relocation = format!("--relocation={relocation}");
            let bytes = object_for(&folder, triple, &[&relocation, "--export", "fib", "--export", "length"]);
            let file = object::File::parse(&*bytes).expect("an object");
            assert_eq!((file.format(), file.architecture()), (format, architecture), "{triple}");
            let prefix = if format == BinaryFormat::MachO { "_" } else { "" };
            let mut seen: Vec<&str> = file
                .symbols()
                .filter(|symbol| symbol.is_global() && symbol.is_definition())
                .filter_map(|symbol| symbol.name().ok()?.strip_prefix(prefix))
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, ["fib", "length"], "{triple} {relocation}");
            let strlen = format!("{prefix}strlen");
            let needed: Vec<&str> = file
                .symbols()
                .filter(|symbol| symbol.is_undefined())
                .filter_map(|symbol| symbol.name().ok())
                .collect();
            assert!(needed.contains(&strlen.as_str()), "{triple}: {needed:?}");
            assert!(!needed.iter().any(|name| name.contains("gpu_")), "{triple}: {needed:?}");
            let text =
                file.sections().find(|section| section.kind() == object::SectionKind::Text).expect("code");
            assert!(text.size() > 100, "{triple}");
            assert!(text.relocations().count() > 0, "{triple}: calls of others are relocated");
            // Debug information was not asked for, and nothing says where this was built.
            assert!(!file.sections().any(|section| section.name().is_ok_and(|name| name.contains("debug"))));
            let path = folder.root().to_str().expect("text").as_bytes();
            assert!(!bytes.windows(path.len()).any(|window| window == path), "{triple}");
        }
    }
}

#[test]
fn externs_at_addresses_need_no_symbol_in_any_format() {
    let folder = Folder::with_library();
    for (triple, ..) in TARGETS {
        for relocation in ["--relocation=pic", "--relocation=static"] {
            let args = [
                relocation,
                "--entry",
                "length",
                "--externs",
                "addresses",
                "--address",
                "strlen=0x1122334455667788",
            ];
            let bytes = object_for(&folder, triple, &args);
            let file = object::File::parse(&*bytes).expect("an object");
            let needed = file.symbols().filter(|symbol| symbol.is_undefined());
            let needed: Vec<&str> =
                needed.filter_map(|symbol| symbol.name().ok()).filter(|name| !name.is_empty()).collect();
            assert!(needed.is_empty(), "{triple} {relocation}: {needed:?}");
        }
    }
}

#[test]
fn every_format_has_unwind_tables_and_lines() {
    let folder = Folder::with_library();
    for (triple, format, _) in TARGETS {
        let bytes = object_for(&folder, triple, &["-g"]);
        let file = object::File::parse(&*bytes).expect("an object");
        let section =
            |name: &str| file.sections().find(|section| section.name().is_ok_and(|own| own == name));
        let (unwind, lines) = match format {
            BinaryFormat::MachO => ("__eh_frame", "__debug_line"),
            BinaryFormat::Coff => (".pdata", ".debug_line"),
            _ => (".eh_frame", ".debug_line"),
        };
        let unwind = section(unwind).unwrap_or_else(|| panic!("{triple}: {unwind}"));
        assert!(unwind.size() > 100 && unwind.relocations().count() > 10, "{triple}");
        let lines = section(lines).unwrap_or_else(|| panic!("{triple}: {lines}"));
        let data = lines.data().expect("bytes");
        let name = b"library.mq";
        assert!(data.windows(name.len()).any(|window| window == name), "{triple}: the file as it was named");
        // Each sequence of lines starts at a function.
        for (_, relocation) in lines.relocations() {
            let known = match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    file.symbol_by_index(index).is_ok_and(|symbol| !symbol.is_undefined())
                }
                RelocationTarget::Section(index) => file.section_by_index(index).is_ok(),
                _ => false,
            };
            assert!(known, "{triple}");
        }
    }
}

/// Readers that others wrote accept what is written: those of GNU for ELF and COFF, LLVM's for everything.
#[test]
fn gnu_reads_what_is_written() {
    let folder = Folder::with_library();
    let at = folder.root();
    for machine in &MACHINES {
        let [readelf, objdump, nm] = ["readelf", "objdump", "nm"].map(|name| machine.tool(name));
        let machine = machine.name;
        if ![&readelf, &objdump, &nm].into_iter().all(|tool| is_present(tool)) {
            continue;
        }
        for relocation in ["--relocation=pic", "--relocation=static"] {
            object_for(&folder, machine, &["-g", relocation]);
            let read = run_in(at, &readelf, &["-sW", "out.o"]);
            assert!(read.lines().any(|line| line.contains("GLOBAL") && line.ends_with(" fib")), "{read}");
            // Every function and object has a name that says something.
            let named = |line: &&str| line.contains(" FUNC ") || line.contains(" OBJECT ");
            for line in read.lines().filter(named) {
                let name = line.split_whitespace().nth(7).unwrap_or("");
                assert!(!name.is_empty() && !name.starts_with(".L"), "{machine}: {line}");
            }
            assert!(
                read.lines().any(|line| line.contains("LOCAL") && line.ends_with(" half$typed")),
                "{read}"
            );
            let read = run_in(at, &readelf, &["-aW", "--debug-dump=frames,info,decodedline", "out.o"]);
            assert!(read.contains("DW_TAG_subprogram") && read.contains("library.mq"), "{read}");
            let code = run_in(at, &objdump, &["-dr", "out.o"]);
            assert!(code.contains("<fib>:") && !code.contains("<.Lfn"), "{code}");
            let nm = run_in(at, &nm, &["-g", "out.o"]);
            assert!(nm.contains(" T fib\n") && nm.contains(" U strlen\n"), "{nm}");
        }
    }
    if is_present("objdump") {
        for triple in ["x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"] {
            object_for(&folder, triple, &["-g"]);
            let read = run_in(at, "objdump", &["-x", "out.o"]);
            assert!(read.contains("pe-x86-64") && read.contains(".pdata") && read.contains("fib"), "{read}");
        }
    }
}

#[test]
fn llvm_reads_every_format() {
    if !["llvm-readobj", "llvm-nm", "llvm-objdump"].into_iter().all(is_present) {
        return;
    }
    let folder = Folder::with_library();
    let at = folder.root();
    for (triple, format, _) in TARGETS {
        let prefix = if format == BinaryFormat::MachO { "_" } else { "" };
        for relocation in ["--relocation=pic", "--relocation=static"] {
            object_for(&folder, triple, &["-g", relocation]);
            let read = run_in(at, "llvm-readobj", &["--sections", "--symbols", "-r", "out.o"]);
            let format = match format {
                BinaryFormat::MachO => "mach-o",
                BinaryFormat::Coff => "coff-x86-64",
                _ => "elf64-",
            };
            let stated = read.lines().find_map(|line| line.strip_prefix("Format: ")).unwrap_or("nothing");
            assert!(stated.to_lowercase().starts_with(format), "{triple}: {stated}");
            let nm = run_in(at, "llvm-nm", &["-g", "out.o"]);
            assert!(nm.contains(&format!(" T {prefix}fib\n")), "{triple}: {nm}");
            assert!(nm.contains(&format!(" U {prefix}strlen\n")), "{triple}: {nm}");
            let code = run_in(at, "llvm-objdump", &["-dr", "out.o"]);
            assert!(code.contains(&format!("<{prefix}fib>:")), "{triple}: {code}");
        }
    }
}

/// A linker for Windows is told what a library exports: nobody else tells it.
#[cfg(unix)]
#[test]
fn libraries_for_windows_say_what_they_export() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_library();
    // Whoever really links is on another machine.
    let script = "#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done\ncp \"$3\" \"$2\"\n";
    let linker = folder.file("linker", script);
    std::fs::set_permissions(&linker, std::fs::Permissions::from_mode(0o755)).expect("a command");
    let linker = linker.to_str().expect("text");
    for (triple, wanted) in [
        ("x86_64-pc-windows-msvc", " /EXPORT:\"half\" /EXPORT:\"fib\""),
        ("x86_64-pc-windows-gnu", " -export:\"half\" -export:\"fib\""),
    ] {
        let exports = ["--export", "fib", "--export", "half"];
        let shared = [&exports[..], &["--emit", "shared", "--linker", linker]].concat();
        let bytes = object_for(&folder, triple, &shared);
        let file = object::File::parse(&*bytes).expect("an object");
        let section = file.section_by_name(".drectve").expect("directives");
        assert_eq!(section.kind(), object::SectionKind::Linker);
        assert_eq!(section.data().expect("bytes"), wanted.as_bytes());
        if is_present("ld.lld") && is_present("llvm-readobj") {
            let link = ["-flavor", "link", "/dll", "/noentry", "/force:unresolved", "/out:out.dll", "out.o"];
            run_in(folder.0.path(), "lld", &link);
            let read = run_in(folder.0.path(), "llvm-readobj", &["--coff-exports", "out.dll"]);
            let names: Vec<&str> =
                read.lines().filter_map(|line| line.trim().strip_prefix("Name: ")).collect();
            assert_eq!(names, ["fib", "half"], "{triple}: {read}");
        }
        let bytes = object_for(&folder, triple, &exports);
        let file = object::File::parse(&*bytes).expect("an object");
        assert!(file.section_by_name(".drectve").is_none(), "who links an object says what is exported");
    }
}

#[test]
fn archives_are_of_the_targets_kind() {
    let folder = Folder::with_library();
    for (triple, format, _) in TARGETS {
        let target = format!("native:{triple}");
        marq_ok(
            folder.root(),
            &["build", "library.mq", "--target", &target, "--emit", "static", "-o", "out.a"],
        );
        let bytes = std::fs::read(folder.path("out.a")).expect("an archive");
        let archive = object::read::archive::ArchiveFile::parse(&*bytes).expect("an archive");
        let symbols = archive.symbols().expect("a table").expect("a table");
        let names: Vec<Vec<u8>> = symbols.map(|symbol| symbol.expect("a symbol").name().to_vec()).collect();
        let fib: &[u8] = if format == BinaryFormat::MachO { b"_fib" } else { b"fib" };
        assert!(names.iter().any(|name| name == fib), "{triple}");
        let members: Vec<_> = archive.members().map(|member| member.expect("a member")).collect();
        assert_eq!(members.len(), 1, "{triple}");
        let object = object::File::parse(members[0].data(&*bytes).expect("bytes")).expect("an object");
        assert_eq!(object.format(), format, "{triple}");
    }
}
