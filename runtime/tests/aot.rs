//! Ahead of time, across processes: C calls what `marq build` made, and what it made calls C.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, STRICT, code, globals, is_present, marq_in, marq_ok, run_in, stderr, stdout};
use object::{Object, ObjectSection, ObjectSymbol};
use std::path::{Path, PathBuf};

/// The kernels that the C code runs, as an object.
fn build_kernels(folder: &Folder, args: &[&str]) {
    let mut all = vec!["build", "kernels.mq", "--device", "-o", "kernels.o", "--header", "kernels.h"];
    all.extend_from_slice(args);
    marq_ok(folder.root(), &all);
}

fn undefined(bytes: &[u8]) -> Vec<String> {
    let file = object::File::parse(bytes).expect("an object");
    let needed = file.symbols().filter(|symbol| symbol.is_undefined());
    let names = needed.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn c_calls_an_object() {
    if !is_present("cc") {
        return;
    }
    for (n, options) in
        [&["-O2"][..], &["-O0"], &["-g"], &["--relocation=static"], &["-O3", "--threads", "3", "--library"]]
            .iter()
            .enumerate()
    {
        let folder = Folder::with_library();
        let mut args = vec!["build", "library.mq", "-o", "library.o", "--header", "library.h"];
        args.extend_from_slice(options);
        marq_ok(folder.root(), &args);
        build_kernels(&folder, &options[..options.len().min(1)]);
        let pie = if n == 3 { "-no-pie" } else { "-pie" };
        let mut cc = vec![pie, "-o", "program", "main.c", "library.o", "kernels.o", "-lm"];
        cc.extend(STRICT);
        run_in(folder.root(), "cc", &cc);
        assert_eq!(run_in(folder.root(), "./program", &[]), "all is well\n", "{options:?}");
    }
}

#[test]
fn c_calls_a_static_library() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::with_library();
    marq_ok(folder.root(), &["build", "library.mq", "--emit", "static", "--header", "library.h"]);
    build_kernels(&folder, &[]);
    let mut cc = vec!["-o", "program", "main.c", "kernels.o", "-L.", "-llibrary", "-lm"];
    cc.extend(STRICT);
    run_in(folder.root(), "cc", &cc);
    assert_eq!(run_in(folder.root(), "./program", &[]), "all is well\n");
    let listed = run_in(folder.root(), "ar", &["t", "liblibrary.a"]);
    assert_eq!(listed, "code.o\n");
}

#[test]
fn c_calls_a_shared_library() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::with_library();
    let build =
        ["build", "library.mq", "--emit", "shared", "--header", "library.h", "--link-arg", "-Wl,-z,defs"];
    marq_ok(folder.root(), &build);
    build_kernels(&folder, &[]);
    let mut cc = vec!["-o", "program", "main.c", "kernels.o", "-L.", "-llibrary", "-Wl,-rpath,$ORIGIN"];
    cc.extend(STRICT);
    run_in(folder.root(), "cc", &cc);
    assert_eq!(run_in(folder.root(), "./program", &[]), "all is well\n");
    // Its exports are all that the loader sees, and its own calls are not bound to others of the same name.
    let bytes = std::fs::read(folder.path("liblibrary.so")).expect("the library");
    let file = object::File::parse(&*bytes).expect("a library");
    let seen = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let mut names: Vec<&str> = seen.map(|symbol| symbol.name().expect("a name")).collect();
    names.sort_unstable();
    assert!(names.contains(&"fib") && names.contains(&"twice_f64"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains('$') || name.starts_with("host_")), "{names:?}");
    let text = file.section_by_name(".text").expect("code");
    assert_eq!(text.relocations().count(), 0);
}

/// Functions as the host sees them and kernels as the CPU device does, in one build.
#[test]
fn functions_and_kernels_are_built_together() {
    if !is_present("cc") {
        return;
    }
    for (emit, linked) in [("obj", "both.o"), ("static", "libboth.a"), ("shared", "libboth.so")] {
        let folder = Folder::with_library();
        let build =
            ["build", "library.mq", "kernels.mq", "--emit", emit, "-o", linked, "--header", "library.h"];
        marq_ok(folder.root(), &build);
        // Everything is in one header.
        folder.file("kernels.h", "");
        let library = format!("./{linked}");
        let mut cc = vec!["-o", "program", "main.c", &library, "-lm", "-Wl,-rpath,$ORIGIN"];
        cc.extend(STRICT);
        run_in(folder.root(), "cc", &cc);
        assert_eq!(run_in(folder.root(), "./program", &[]), "all is well\n", "{emit}");
    }
    let folder = Folder::with_library();
    let seen = |args: &[&str]| {
        marq_ok(folder.root(), &[&["build", "library.mq", "kernels.mq", "-o", "both.o"], args].concat());
        globals(&std::fs::read(folder.path("both.o")).expect("an object"))
    };
    assert_eq!(seen(&["--export", "saxpy", "--export", "fib=fibonacci"]), ["fibonacci", "saxpy"]);
    assert_eq!(seen(&["--export", "saxpy=launch"]), ["launch"]);
    assert_eq!(seen(&["--export", "half"]), ["half"]);
    assert_eq!(seen(&["--device"]), ["saxpy"]);
    let clash = ["build", "library.mq", "kernels.mq", "--export", "saxpy=fib", "--export", "fib"];
    let said = stderr(&marq_in(folder.root(), &clash));
    assert!(said.contains("a kernel and a function would both be 'fib'"), "{said}");
    // Making one object of two takes a linker.
    let unlinked = ["build", "library.mq", "kernels.mq", "--linker", "/no/such/cc"];
    let said = stderr(&marq_in(folder.root(), &unlinked));
    assert!(said.contains("the linker '/no/such/cc' does not run"), "{said}");
}

const LOADER: &str = r#"
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
int32_t fib(int32_t n) { return -n; } /* not the library's */
int main(void) {
    void *library = dlopen("./liblibrary.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) { puts(dlerror()); return 1; }
    int64_t (*own)(int32_t) = (int64_t (*)(int32_t))dlsym(library, "fib");
    uint32_t (*half)(int32_t, int32_t, int32_t *) = (uint32_t (*)(int32_t, int32_t, int32_t *))dlsym(library, "half");
    int32_t result = 0;
    if (!own || own(10) != 55) return 2;
    if (!half || half(9, 3, &result) != 0 || result != 3 || half(1, 0, &result) == 0) return 3;
    if (dlsym(library, "count")) return 4;
    return dlclose(library);
}
"#;

#[test]
fn another_process_loads_a_shared_library() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::with_library();
    folder.file("loader.c", LOADER);
    let build = ["build", "library.mq", "--emit", "shared", "--export", "fib", "--export", "half"];
    marq_ok(folder.root(), &build);
    run_in(folder.root(), "cc", &["-rdynamic", "-o", "loader", "loader.c", "-ldl"]);
    run_in(folder.root(), "./loader", &[]);
}

#[test]
fn all_of_base_links_and_needs_nothing_of_a_device() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::with_library();
    folder.file("main.mq", "method main() -> i32 {\nentry:\n    return i32 7\n}\n");
    let kernels: Vec<PathBuf> = ["saxpy", "reduce", "hist", "scan"]
        .iter()
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/kernels/{name}.mq")))
        .collect();
    let mut files = vec!["build", "main.mq", "--library"];
    files.extend(kernels.iter().map(|path| path.to_str().expect("text")));
    let build = |emit: &str, out: &str| {
        let mut args = files.clone();
        args.extend(["--emit", emit, "-o", out, "--link-arg", "-Wl,-z,defs"]);
        marq_ok(folder.root(), &args);
        std::fs::read(folder.path(out)).expect("what was made")
    };
    let object = build("obj", "all.o");
    let needed = undefined(&object);
    assert_eq!(needed.iter().find(|name| name.starts_with("gpu_")), None);
    assert!(globals(&object).iter().any(|name| name.starts_with("host_")), "the library is there");
    build("shared", "all.so");
    build("exe", "all");
    let status = std::process::Command::new(folder.path("all")).status().expect("it starts");
    assert_eq!(status.code(), Some(7));
}

#[test]
fn externs_are_symbols_or_addresses_whatever_the_relocation_model() {
    let folder = Folder::with_library();
    for relocation in ["pic", "static"] {
        let build = |args: &[&str]| {
            let mut all = vec![
                "build",
                "library.mq",
                "-o",
                "library.o",
                "--entry",
                "length",
                "--relocation",
                relocation,
            ];
            all.extend_from_slice(args);
            let output = marq_in(folder.root(), &all);
            (code(&output), stderr(&output))
        };
        let object = || std::fs::read(folder.path("library.o")).expect("an object");
        assert_eq!(build(&["--externs", "symbols"]), (0, String::new()));
        assert!(undefined(&object()).contains(&"strlen".to_owned()), "{relocation}");
        let known = ["--externs", "addresses", "--address", "strlen=0x1122334455667788"];
        assert_eq!(build(&known), (0, String::new()));
        let bytes = object();
        assert!(undefined(&bytes).is_empty(), "{relocation}: {:?}", undefined(&bytes));
        let address = 0x1122_3344_5566_7788_u64.to_le_bytes();
        let inside = bytes.windows(8).any(|window| window == address);
        assert!(inside || !cfg!(target_arch = "x86_64"), "{relocation}: the address is in the code");
        let (status, said) = build(&["--externs", "addresses", "--address", "strlem=1"]);
        assert_eq!(status, 2);
        assert!(
            said.contains("the program knows no function 'strlem' of the host; there is 'strlen'"),
            "{said}"
        );
        let (status, said) = build(&["--externs", "addresses"]);
        assert_eq!(status, 1);
        assert!(said.contains("no address for the host's functions strlen"), "{said}");
        assert_eq!(build(&["--address", "strlen=1"]).0, 2);
        assert_eq!(build(&["--externs", "addresses", "--address", "strlen=x"]).0, 2);
        assert_eq!(build(&["--externs", "adresses"]).0, 2);
    }
}

#[test]
fn mistakes_are_explained() {
    let folder = Folder::with_library();
    let cases: [(&[&str], i32, &str); 20] = [
        (&["--entry", "ad"], 1, "there is no 'ad'; there is 'add'"),
        (&["--entry", "minmex"], 1, "there is no 'minmex'; there is 'minmax'"),
        (&["--export", "fibb"], 1, "nothing that is compiled is called 'fibb'; there is 'fib'"),
        (&["--export", "twice=two"], 1, "'twice' cannot be 'two': it is twice(i32), twice(f64)"),
        (&["--target", "native:vax-dec-ultrix"], 2, "target 'native:vax-dec-ultrix'"),
        (&["--target", "native:wasm32-unknown-unknown"], 2, "unknown architecture"),
        (&["--target", "native:riscv64imac-unknown-linux-gnu"], 2, "unknown architecture"),
        (&["--target", "native:riscv64-unknown-linux-gnu"], 2, "unknown architecture"),
        (&["--target", "native:aarch64_be-unknown-linux-gnu"], 2, "unknown architecture"),
        (&["--target", "native:x86_64-unknown-linux-gnux32"], 2, "code has addresses of 64 bits"),
        (&["--target", "native:aarch64-unknown-linux-gnu_ilp32"], 2, "code has addresses of 64 bits"),
        (
            &["--target", "native:x86_64-unknown-linux-gnu+static", "--relocation", "pic"],
            2,
            "the target says static, and --relocation pic",
        ),
        (
            &["--target", "native+addresses", "--externs=symbols"],
            2,
            "the target says addresses, and --externs",
        ),
        (
            &["--emit", "image", "--target", "native+static"],
            1,
            "with static relocation: they are loaded anywhere",
        ),
        (&["--target", "ptx"], 2, "not a native target"),
        (&["--target", "native+fixed"], 2, "'+fixed' is not a setting"),
        (&["--emit", "picture"], 2, "expected one of obj, static, shared, exe, image"),
        (&["--emit", "shared", "--linker", "/no/such/cc"], 1, "the linker '/no/such/cc' does not run"),
        (&["--emit", "shared", "--relocation", "static"], 1, "a shared library is loaded anywhere"),
        (&["-o", "no/such/folder/x.o"], 1, "there is no folder 'no/such/folder'"),
    ];
    for (args, status, wanted) in cases {
        let mut all = vec!["build", "library.mq"];
        all.extend_from_slice(args);
        let output = marq_in(folder.root(), &all);
        assert_eq!(code(&output), status, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(wanted), "{args:?}: {}", stderr(&output));
    }
    // What was there stays, and nothing is left behind.
    if is_present("cc") {
        folder.file("liblibrary.so", "old");
        let args = ["build", "library.mq", "--emit", "shared", "--link-arg", "-lno_such_library"];
        let output = marq_in(folder.root(), &args);
        assert_eq!(code(&output), 1);
        let said = stderr(&output);
        assert!(said.contains("'cc' failed:") && said.contains("no_such_library"), "{said}");
        assert_eq!(std::fs::read(folder.path("liblibrary.so")).expect("the old file"), b"old");
    }
    let mut left: Vec<String> = std::fs::read_dir(folder.root())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort_unstable();
    left.retain(|name| name != "liblibrary.so");
    assert_eq!(left, ["kernels.mq", "library.mq", "main.c"]);
}

/// A device that is always full.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let folder = Folder::with_library();
    let output = marq_in(folder.root(), &["build", "library.mq", "-o", "/dev/full"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("cannot write '/dev/full'"), "{}", stderr(&output));
}

#[test]
fn the_header_says_what_c_must_know() {
    let folder = Folder::with_library();
    marq_ok(folder.root(), &["build", "library.mq", "--header", "library.h"]);
    let header = std::fs::read_to_string(folder.path("library.h")).expect("a header");
    for wanted in [
        "#ifndef MARQ_LIBRARY_H\n",
        "\nint32_t add(int32_t a, int32_t b);\n",
        "\nint8_t narrow(int8_t a, int16_t b, bool c);\n",
        "\nvoid minmax(int32_t a, int32_t b, int32_t *result0, int32_t *result1);\n",
        "/* half(x: i32, n: i32) -> i32, returns a status */\nuint32_t half(int32_t x, int32_t n, int32_t *result);\n",
        "\nvoid flip(const struct point *p, struct point *result);\n",
        "\nfloat dot(const float *a, const float *b);\n",
        "\nuint16_t double_half(uint16_t a);\n",
        "static inline const char *library_exception(uint32_t number) {",
        "\"DivideError in half, library.mq:",
        "\"CheckError in check, library.mq:",
    ] {
        assert!(header.contains(wanted), "{wanted}\n{header}");
    }
    build_kernels(&folder, &[]);
    let kernels = std::fs::read_to_string(folder.path("kernels.h")).expect("a header");
    for wanted in [
        "struct saxpy_args {\n    int64_t n;\n    float a;\n    void *x;\n    void *y;\n};\nvoid saxpy(const struct saxpy_args *args, ",
        "#ifndef MARQ_KERNELS_H\n",
    ] {
        assert!(kernels.contains(wanted), "{wanted}\n{kernels}");
    }
    if is_present("c++") {
        folder.file(
            "all.cpp",
            "#include \"kernels.h\"\n#include \"library.h\"\nint main() { return add(1, -1); }\n",
        );
        run_in(
            folder.root(),
            "c++",
            &["-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", "all", "all.cpp", "library.o", "-lm"],
        );
        run_in(folder.root(), "./all", &[]);
    }
}

/// What the README shows is what happens.
#[test]
fn the_readme_is_true() {
    if !is_present("cc") {
        return;
    }
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```console\ncat >area.mq").expect("the README shows it");
    let (lines, _) = rest.split_once("```").expect("the block ends");
    let folder = Folder::new();
    folder.file("lines.sh", format!("set -eu\ncat >area.mq{lines}"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_marq")).parent().expect("a folder");
    let path = std::env::join_paths(
        std::iter::once(binaries.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").expect("a path"))),
    );
    let output = std::process::Command::new("sh")
        .arg("lines.sh")
        .env("PATH", path.expect("a path"))
        .current_dir(folder.root())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(lines.trim().lines().count() <= 10, "ten lines are enough");
}

/// What the command line writes, a session with the same text runs without compiling.
#[test]
#[allow(unsafe_code)] // the image was written a line before
fn an_image_of_a_file_is_loaded_by_a_session() {
    use marquetry::compile::Target;
    use marquetry::engine::Outcome;
    use marquetry::session::{Backend, Session};
    use marquetry::value::{HostArg, HostValue};
    use marquetry_ir::types::Type;
    use marquetry_lower::job::OptLevel;
    const TEXT: &str = "method twice(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}\n";
    let folder = Folder::new();
    folder.file("twice.mq", TEXT);
    marq_ok(folder.root(), &["build", "twice.mq", "--emit", "image"]);
    let session = Session::new();
    let target = Target::parse("native", OptLevel::Default).expect("this machine");
    let native = session.add_backend(Backend::new("native", target)).expect("a back-end");
    session.define("twice.mq", TEXT).expect("a definition");
    // SAFETY: the image comes from this crate, and needs nothing of the host.
    let loaded = unsafe { session.load_image(&folder.root().join("twice.mqi"), &session.symbols()) };
    loaded.expect("an image for this machine");
    let code = session.compile(&session.job("twice", &native).expect("a job")).expect("code");
    let mut args = [HostArg::Value(HostValue::scalar(Type::I32, 21).expect("an i32"))];
    let Outcome::Returned(results) = code.call(&mut args).expect("a call") else { panic!("it threw") };
    assert_eq!(results[0].to_string(), "i32 42");
    assert_eq!((session.statistics().compilations, session.statistics().loaded), (0, 1));
    for (option, value) in [("--header", "x.h"), ("--linker", "cc"), ("--externs", "addresses")] {
        let output = marq_in(folder.root(), &["build", "twice.mq", "--emit", "image", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option}");
    }
}
