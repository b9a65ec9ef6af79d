//! The command line: what a launch is given, why a call means what it means, and what is said where something else was meant.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, marq, stderr, stdout, text};

#[test]
fn run_passes_state_and_hidden_inputs() {
    let folder = Folder::new();
    let source = "struct config { scale: i64, low: i8 }
kernel k(out: ptr<global>) {
entry:
    s = kernel_input.config state
    scale = get s, 0
    n = kernel_input.i64 seed
    table = kernel_input.ptr<global> table
    x = load.i64 table
    y = mul n, scale
    z = add x, y
    store out, z
    store table, y
    return
}
";
    let path = folder.file("k.mq", source);
    let (state, seed, table) = ("config=bytes(i64=[5], i8[8])", "seed=i64 8", "table=buf i64=[100, 7]");
    let base = ["run", text(&path), "--entry", "k", "--args", "buf i64[1]", "--grid", "1", "--block", "1"];
    let with = |more: &[&str]| marq(&[&base[..], more].concat());
    for engine in ["interp", "cpu"] {
        let output = with(&["--on", engine, "--state", state, "--input", seed, "--input", table]);
        assert_eq!(stdout(&output), "[0] i64[1] = [140]\n[table] i64[2] = [40, 7]\n", "{}", stderr(&output));
    }
    // What is missing is named.
    let output = with(&["--state", state, "--input", seed]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("'table'"), "{}", stderr(&output));
    let output = with(&["--input", seed, "--input", table, "--state", "nosuch=bytes(i64=[5])"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--state: there is no struct 'nosuch'"), "{}", stderr(&output));
    for (more, wanted) in [
        (&["--input", seed, "--input", seed][..], "'seed' is given twice"),
        (&["--input", "seed"], "--input:"),
        (&["--input", "state=i32 1"], "give --state"),
        (&["--state", "i32"], "--state:"),
    ] {
        let output = with(more);
        assert_eq!(code(&output), 2, "{more:?}");
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
    let good = folder.file("a.mq", GOOD);
    let output = marq(&["run", text(&good), "--entry", "twice", "--args", "i32 2", "--input", seed]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("only launches have it"), "{}", stderr(&output));
}

/// Every table in order, every candidate, and why it lost: by the first argument that differs, by one that is more
/// specific, or by a table that was asked before.
#[test]
fn which_explains_every_decision() {
    let folder = Folder::new();
    let body = "{\nentry:\n    return x\n}\n";
    let source = format!(
        "abstract Real\nimpl f32, f64 : Real\nextern func host(f64) -> f64\n\
         method f(x: f32) -> f32 {body}method f<T: Real>(x: T) -> T {body}method f<T>(x: T) -> T {body}\
         method f(x: i8, y: i8) -> i8 {body}overlay upper method f(x: f32) -> f32 {body}\
         method g(x: Real, y: f32) {{\nentry:\n    return\n}}\nmethod g(x: f32, y: Real) {{\nentry:\n    return\n}}\n\
         method g(x: Real, y: Real) {{\nentry:\n    return\n}}\n\
         overlay mine method gpu_malloc(size: i64) -> ptr<global> {{\nentry:\n    return ptr<global> null\n}}\n\
         overlay wrong method gpu_malloc(size: i64) -> ptr<generic> {{\nentry:\n    return ptr<generic> null\n}}\n"
    );
    let path = folder.file("w.mq", source);
    let which = |call: &str, more: &[&str]| marq(&[&["which", text(&path), call], more].concat());
    let shown = |call: &str, more: &[&str]| {
        let output = which(call, more);
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    assert_eq!(
        shown("f(f32)", &["--target", "ptx", "--table", "upper"]),
        "f(f32) -> upper: f(f32) -> f32\n\
         table upper\n    f(f32) -> f32: chosen\n\
         table device\n    no methods of this name\n\
         table base\n    f(f32) -> f32: applies, but table upper is asked first\n    \
         f<T: Real>(T) -> T: applies, but table upper is asked first\n    \
         f<T>(T) -> T: applies, but table upper is asked first\n    \
         f(i8, i8) -> i8: takes 2 arguments, found 1\n"
    );
    assert_eq!(
        shown("f(f64)", &["--table", "upper"]),
        "f(f64) -> base: f<T: Real>(T) -> T\n\
         table upper\n    f(f32) -> f32: argument 1 is f64, expected f32\n\
         table base\n    f(f32) -> f32: argument 1 is f64, expected f32\n    \
         f<T: Real>(T) -> T: chosen\n    \
         f<T>(T) -> T: applies, but f<T: Real>(T) -> T is more specific\n    \
         f(i8, i8) -> i8: takes 2 arguments, found 1\n"
    );
    let output = which("g(f32, f32)", &[]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stdout(&output),
        "g(f32, f32) -> ambiguous\ntable base\n    \
         g(Real, f32): applies, and so does g(f32, Real); neither is more specific\n    \
         g(f32, Real): applies, and so does g(Real, f32); neither is more specific\n    \
         g(Real, Real): applies, but g(Real, f32) is more specific\n"
    );
    assert_eq!(
        shown("host(f64)", &[]),
        "host(f64) -> the host: host(f64) -> f64\ntable base\n    no methods of this name\nthe host\n    \
         host(f64) -> f64: chosen\n"
    );
    let output = which("host(f32)", &[]);
    assert_eq!(code(&output), 1);
    assert!(
        stdout(&output).ends_with("the host\n    host(f64) -> f64: argument 1 is f32, expected f64\n"),
        "{output:?}"
    );
    let output = which("sqrt(f32)", &[]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("'sqrt' is an instruction, not a generic function"), "{output:?}");
    let device = ["--target", "spirv", "--provider", "mine"];
    let supplied = shown("gpu_malloc(i64)", &device);
    assert!(
        supplied.starts_with("gpu_malloc(i64) -> mine: gpu_malloc(i64) -> ptr<global>\ntable mine\n"),
        "{supplied}"
    );
    assert!(shown("gpu_malloc(i64)", &["--target", "spirv"]).contains("-> standard: "));
    let misfit = which("gpu_malloc(i64)", &["--target", "spirv", "--provider", "wrong"]);
    assert_eq!(code(&misfit), 1);
    assert!(stdout(&misfit).contains("does not fit gpu_malloc(i64) -> ptr<global>"), "{misfit:?}");
    assert_eq!(code(&which("gpu_malloc(i64)", &["--provider", "mine"])), 2);
    assert_eq!(code(&which("gpu_malloc(i64)", &["--target", "spirv", "--provider", "base"])), 2);
    assert_eq!(code(&which("gpu_malloc(i64)", &["--target", "spirv", "--provider", "nosuch"])), 1);
}

/// Native code that gets at an invalid place, or traps, ends the process: with an error that says what was running.
#[cfg(unix)]
#[test]
fn what_ends_the_process_is_named() {
    let folder = Folder::new();
    let source = "method die() -> i32 {
entry:
    trap
    return i32 1
}
kernel outside(p: ptr<global>) {
entry:
    q = ptr_add p, i64 70368744177664
    store q, i32 1
    return
}
; run: @die() == i32 1
kernel behind(p: ptr<global>, n: i64) {
entry:
    q = index p, n, i32
    store q, i32 1
    return
}
global tile: array<i32, 1024> in shared
kernel shared_behind(n: i64) {
entry:
    p = address.shared tile
    q = index p, n, i32
    store q, i32 1
    return
}
";
    let path = folder.file("die.mq", source);
    let launch = ["--entry", "outside", "--grid", "1", "--args", "buf i32[1]"];
    // Memory of kernels lies between pages that nobody may access.
    let behind = ["--entry", "behind", "--grid", "1", "--args"];
    let shared_behind = ["--entry", "shared_behind", "--grid", "1", "--args"];
    for (more, name, signal) in [
        (&[&["run"][..], &behind, &["buf i32[256], i64 256"]].concat()[..], "cpu: 'behind'", "SIGSEGV"),
        (&[&["run"][..], &behind, &["buf i32[256], i64 -769"]].concat(), "cpu: 'behind'", "SIGSEGV"),
        (&[&["run"][..], &behind, &["buf i32[1020], i64 1020"]].concat(), "cpu: 'behind'", "SIGSEGV"),
        (&[&["run"][..], &shared_behind, &["i64 1024"]].concat(), "cpu: 'shared_behind'", "SIGSEGV"),
        (&["run", "--entry", "die"][..], "native: 'die'", "SIGILL"),
        (&[&["run"][..], &launch].concat(), "cpu: 'outside'", "SIGSEGV"),
        (&["test", "--on", "native", "--timeout", "0"], "die.mq:12: native: run: @die() == i32 1", "SIGILL"),
    ] {
        let output = marq(&[more, &[text(&path)]].concat());
        assert_eq!(code(&output), 1, "{more:?}");
        let said = stderr(&output);
        assert!(said.contains(name) && said.contains(&format!("ended this process by {signal}")), "{said}");
    }
}

/// `-g` alone is `-g2`; what stands behind it is a level.
#[test]
fn levels_are_told_from_files() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let output = marq(&["compile", "--target", "native", "-g", text(&path)]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("expected 0, 1 or 2, or another option behind '-g'"),
        "{}",
        stderr(&output)
    );
    for level in ["-g2", "-g=0", "-g"] {
        let output = marq(&["compile", level, "--target", "native", text(&path)]);
        assert_eq!(code(&output), 0, "{level}: {}", stderr(&output));
    }
    assert_eq!(code(&marq(&["compile", "-g3", "--target", "native", text(&path)])), 2);
}

/// A misspelled name is a warning, because another file may have what it means; with what is nearly spelled so.
#[test]
fn check_warns_of_calls_that_nothing_answers() {
    let folder = Folder::new();
    let call = |name: &str| {
        format!("method f(x: i32) -> i32 {{\nentry:\n    y = call {name}(x)\n    return y\n}}\n")
    };
    let output = marq(&["check", text(&folder.file("a.mq", call("globl_id")))]);
    assert_eq!(code(&output), 0);
    let said = stderr(&output);
    assert!(said.contains("warning[D0001]: nothing is called 'globl_id'; there is 'global_id'"), "{said}");
    assert!(said.contains("a.mq:3:5"), "{said}");
    let other = folder.file("b.mq", "extern func g(i32) -> i32 as \"g\"\n");
    let output = marq(&["check", text(&folder.file("c.mq", call("g"))), text(&other)]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let output = marq(&["which", text(&other), "g"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("'g' is no call, as 'f(i32, f32)' is"), "{}", stderr(&output));
}

#[test]
fn environments_have_a_usual_version() {
    let folder = Folder::new();
    let path = folder.file("k.mq", "kernel k(p: ptr<global>) {\nentry:\n    store p, i32 1\n    return\n}\n");
    for (short, long) in [("spirv:vulkan", "spirv:vulkan1.3"), ("spirv:opencl", "spirv:opencl2.1")] {
        let [short, long] =
            [short, long].map(|target| stdout(&marq(&["compile", text(&path), "--target", target])));
        assert!(!short.is_empty());
        assert_eq!(short, long);
    }
    let output = marq(&["compile", text(&folder.file("f.mq", GOOD)), "--target", "ptx"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("there is no kernel without type variables"), "{}", stderr(&output));
}

/// Tables are asked in the order in which they are given; what is called itself is base's, on every engine alike.
#[test]
fn runs_and_tests_see_the_tables_that_are_named() {
    let folder = Folder::new();
    let path = folder.file(
        "tables.mq",
        "method part(x: i32) -> i32 {\nentry:\n    return x\n}\n\
         overlay fast method part(x: i32) -> i32 {\nentry:\n    y = add x, i32 10\n    return y\n}\n\
         overlay exact method part(x: i32) -> i32 {\nentry:\n    y = add x, i32 20\n    return y\n}\n\
         method whole(x: i32) -> i32 {\nentry:\n    y = call part(x)\n    return y\n}\n\
         kernel k(out: ptr<global>) {\nentry:\n    y = call part(i32 1)\n    store out, y\n    return\n}\n\
         ; run: @whole(i32 1) == i32 11\n; run: @part(i32 1) == i32 1\n\
         ; launch: @k grid=1 block=1 (buf i32[1]=0) => [0] == i32[1]=11\n",
    );
    let shown = |arguments: &[&str], tables: &[&str]| {
        let tables = tables.iter().flat_map(|table| ["--table", table]);
        let command: Vec<&str> =
            ["run", text(&path)].iter().chain(arguments).copied().chain(tables).collect();
        let output = marq(&command);
        assert_eq!(code(&output), 0, "{command:?}: {}", stderr(&output));
        stdout(&output)
    };
    for engine in ["interp", "native", "object", "cpu"] {
        let call = |entry| ["--on", engine, "--entry", entry, "--args", "i32 1"];
        assert_eq!(shown(&call("whole"), &[]), "i32 1\n", "{engine}");
        assert_eq!(shown(&call("whole"), &["fast"]), "i32 11\n", "{engine}");
        assert_eq!(shown(&call("whole"), &["exact", "fast"]), "i32 21\n", "{engine}");
        assert_eq!(shown(&call("part"), &["fast"]), "i32 1\n", "{engine}");
        let launch = ["--on", engine, "--entry", "k", "--grid", "1", "--args", "buf i32[1]=0"];
        assert_eq!(shown(&launch, &["fast"]), "[0] i32[1] = [11]\n", "{engine}");
    }
    let test = |tables: &[&str]| {
        let engines = ["test", text(&path), "--on", "interp,native,object,cpu"];
        marq(&[&engines[..], tables].concat())
    };
    let output = test(&["--table", "fast"]);
    assert_eq!(code(&output), 0, "{}", stdout(&output));
    assert_eq!(code(&test(&[])), 1);
    assert_eq!(code(&test(&["--table", "exact", "--table", "fast"])), 1);
    for output in
        [test(&["--table", "fats"]), marq(&["run", text(&path), "--entry", "whole", "--table", "fats"])]
    {
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("there is no table 'fats'"), "{}", stderr(&output));
    }
}
