//! The command line, end to end: exit codes, output, and files that survive.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, marq, stderr, stdout, text};
use std::process::{Command, Stdio};

#[test]
fn check_accepts_a_good_file() {
    let folder = Folder::new();
    let output = marq(&["check", text(&folder.file("a.mq", GOOD))]);
    assert_eq!((code(&output), stdout(&output), stderr(&output)), (0, String::new(), String::new()));
}

#[test]
fn check_reports_every_error_with_its_place() {
    let folder = Folder::new();
    let source =
        "method f(x: i32) -> i32 {\nentry:\n    y = add x, i64 1\n    z = frobnicate x\n    return x\n}\n";
    let path = folder.file("bad.mq", source);
    let output = marq(&["check", text(&path)]);
    assert_eq!(code(&output), 1);
    let shown = stderr(&output);
    assert!(shown.contains("bad.mq:3:") && shown.contains("bad.mq:4:"), "{shown}");
    let json = marq(&["check", "--json", text(&path)]);
    assert_eq!(code(&json), 1);
    let rows: serde_json::Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    let lines: Vec<u64> =
        rows.as_array().expect("a list").iter().filter_map(|row| row["line"].as_u64()).collect();
    assert_eq!(lines, [3, 4]);
}

#[test]
fn bad_files_are_errors_not_crashes() {
    let folder = Folder::new();
    let nested = "array<".repeat(100_000);
    let inputs: [(&str, Vec<u8>); 7] = [
        ("empty_item", b"method".to_vec()),
        ("binary", (0..=255).collect()),
        ("utf8", b"method f() {\nentry:\n  return \xff\n}".to_vec()),
        ("nested", format!("method f(x: {nested}").into_bytes()),
        ("braces", vec![b'{'; 100_000]),
        ("quote", b"extern func f() as \"".to_vec()),
        ("nul", vec![0; 1000]),
    ];
    for (name, bytes) in inputs {
        let output = marq(&["check", text(&folder.file(name, bytes))]);
        assert_eq!(code(&output), 1, "{name}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error"), "{name}: {}", stderr(&output));
    }
    let missing = marq(&["check", text(&folder.path("missing.mq"))]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("missing.mq"), "{}", stderr(&missing));
}

#[test]
fn misuse_of_the_command_line_exits_with_2() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let path = text(&path);
    for args in [
        &[][..],
        &["frobnicate"],
        &["check"],
        &["compile", path],
        &["compile", path, "--target", "vax"],
        &["compile", path, "--target", "ptx:sm_1"],
        &["compile", path, "--target", "native", "--stage", "soon"],
        &["compile", path, "--target", "native", "-O7"],
        &["run", path, "--entry", "twice", "--on", "abacus"],
        &["run", path, "--entry", "twice", "--args", "i32"],
        &["run", path, "--entry", "twice", "--grid", "1,2,3,4"],
    ] {
        let output = marq(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn every_command_has_help() {
    for command in ["check", "fmt", "run", "test", "compile", "devices"] {
        let output = marq(&[command, "--help"]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("Usage: marq"), "{command}");
    }
}

#[test]
fn run_calls_on_interpreter_and_native() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    for engine in ["interp", "native"] {
        let output = marq(&["run", text(&path), "--entry", "twice", "--args", "i32 21", "--on", engine]);
        assert_eq!((code(&output), stdout(&output)), (0, "i32 42\n".into()), "{}", stderr(&output));
    }
}

#[test]
fn run_names_what_was_thrown() {
    let folder = Folder::new();
    let source = "method f(x: i32) -> i32 {\nentry:\n    y = div.s i32 1, x\n    return y\n}\n";
    let path = folder.file("div.mq", source);
    for engine in ["interp", "native"] {
        let output = marq(&["run", text(&path), "--entry", "f", "--args", "i32 0", "--on", engine]);
        assert_eq!(code(&output), 1);
        let shown = stderr(&output);
        assert!(shown.contains("DivideError") && shown.contains("div.mq:3:"), "{engine}: {shown}");
    }
}

#[test]
fn fmt_changes_only_what_is_not_formatted() {
    let folder = Folder::new();
    let path =
        folder.file("a.mq", "method twice(x:i32)->i32 { ; doubles\nentry:\n y = add x,x\n return y\n}\n");
    assert_eq!(code(&marq(&["fmt", "--check", text(&path)])), 1);
    assert_eq!(code(&marq(&["fmt", text(&path)])), 0);
    let formatted = std::fs::read_to_string(&path).expect("the formatted file");
    assert!(formatted.contains("; doubles") && formatted.contains("    y = add x, x\n"), "{formatted}");
    assert_eq!(code(&marq(&["fmt", "--check", text(&path)])), 0);
    let bad = folder.file("bad.mq", "method {");
    assert_eq!(code(&marq(&["fmt", text(&bad)])), 1);
    assert_eq!(std::fs::read_to_string(&bad).expect("the file"), "method {");
}

#[test]
fn test_fails_when_an_expectation_does_not_hold() {
    let folder = Folder::new();
    let path = folder.file("a.mq", format!("{GOOD}\n; run: @twice(i32 2) == i32 4\n"));
    assert_eq!(code(&marq(&["test", "--on", "interp,native", text(&path)])), 0);
    let path = folder.file("a.mq", format!("{GOOD}\n; run: @twice(i32 2) == i32 5\n"));
    let output = marq(&["test", "--on", "interp,native", text(&path)]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("returned (i32 4), expected (i32 5)"), "{}", stdout(&output));
}

#[test]
fn compile_keeps_the_old_file_when_it_fails() {
    let folder = Folder::new();
    let bad = folder.file("bad.mq", "method f() {\nentry:\n    call g()\n    return\n}\n");
    let out = folder.file("out.o", "old");
    let output = marq(&["compile", text(&bad), "--target", "native", "-o", text(&out)]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no method g()"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&out).expect("the old file"), "old");
    let good = folder.file("good.mq", GOOD);
    assert_eq!(code(&marq(&["compile", text(&good), "--target", "native", "-o", text(&out)])), 0);
    assert!(std::fs::read(&out).expect("the object").starts_with(b"\x7fELF"));
    let nowhere = folder.path("no/such/folder/out.o");
    assert_eq!(code(&marq(&["compile", text(&good), "--target", "native", "-o", text(&nowhere)])), 1);
}

#[cfg(feature = "shader")]
const KERNEL: &str = "kernel k(p: ptr<global>) {\nentry:\n    i = call global_id(i32 0)\n    q = index p, i, i32\n    \
                      store q, i32 7\n    return\n}\n";

#[cfg(feature = "shader")]
#[test]
fn compile_writes_shading_languages() {
    let folder = Folder::new();
    let path = folder.file("a.mq", KERNEL);
    for (target, wanted) in [
        ("wgsl", "@workgroup_size(64, 1, 1)"),
        ("wgsl:16x8", "@workgroup_size(16, 8, 1)"),
        ("msl:32", "max_total_threads_per_threadgroup(32)"),
        ("hlsl:2x3x4", "[numthreads(2, 3, 4)]"),
    ] {
        let output = marq(&["compile", text(&path), "--target", target]);
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{target}");
        assert!(stdout(&output).contains(wanted), "{target}: {}", stdout(&output));
        // Debug information has no place in it, and a file holds the same.
        let file = folder.path("code");
        let output = marq(&["compile", text(&path), "--target", target, "-g", "-o", text(&file)]);
        assert_eq!(code(&output), 0, "{target}: {}", stderr(&output));
        assert!(std::fs::read_to_string(&file).expect("the code").contains(wanted), "{target}");
    }
    let stage = marq(&["compile", text(&path), "--target", "wgsl", "--stage", "legal"]);
    assert!(code(&stage) == 0 && stdout(&stage).contains("kernel k"), "{}", stderr(&stage));
}

#[cfg(feature = "shader")]
#[test]
fn shading_languages_refuse_what_they_cannot_do_at_its_place() {
    let folder = Folder::new();
    let path = folder.file("a.mq", KERNEL.replace("i32 7", "i32 7 volatile"));
    for target in ["wgsl", "msl", "hlsl"] {
        let output = marq(&["compile", text(&path), "--target", target]);
        assert_eq!((code(&output), stdout(&output)), (1, String::new()), "{target}");
        let shown = stderr(&output);
        assert!(shown.contains("a.mq:5:") && shown.contains("has no volatile 'store'"), "{shown}");
    }
}

#[cfg(feature = "shader")]
#[test]
fn group_sizes_that_do_not_exist_are_misuse() {
    let folder = Folder::new();
    let path = folder.file("a.mq", KERNEL);
    for target in ["wgsl:0x1x1", "wgsl:99999x1x1", "msl:64x64", "hlsl:1x1x1x1", "wgsl:", "wgsl:big"] {
        let output = marq(&["compile", text(&path), "--target", target]);
        assert_eq!((code(&output), stdout(&output)), (2, String::new()), "{target}: {}", stderr(&output));
    }
}

#[test]
fn compile_prints_each_stage() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    for stage in ["program", "specialised", "optimised", "exceptions", "legal", "code"] {
        let output = marq(&["compile", text(&path), "--target", "native", "--stage", stage]);
        assert_eq!(code(&output), 0, "{stage}: {}", stderr(&output));
        assert!(stdout(&output).contains("twice"), "{stage}");
    }
}

#[test]
fn endless_loops_end_in_the_interpreter() {
    let folder = Folder::new();
    let path = folder.file("loop.mq", "method f() {\nentry:\n    jump again\nagain:\n    jump again\n}\n");
    let output = marq(&["run", text(&path), "--entry", "f", "--on", "interp"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("fuel"), "{}", stderr(&output));
}

#[test]
fn what_never_ends_is_given_up_in_time() {
    let folder = Folder::new();
    let loops = "method f() {\nentry:\n    jump again\nagain:\n    jump again\n}\n; run: @f()\n";
    let path = folder.file("loop.mq", loops);
    let run = marq(&["run", text(&path), "--entry", "f", "--on", "native", "--timeout", "1"]);
    let test = marq(&["test", text(&path), "--on", "native", "--timeout", "1"]);
    for output in [&run, &test] {
        assert_eq!(code(output), 1);
        assert!(stderr(output).contains("did not end within 1 seconds"), "{}", stderr(output));
    }
    assert!(stderr(&test).contains("loop.mq:7: native: run: @f()"), "{}", stderr(&test));
}

#[test]
fn endless_recursion_ends_with_an_error_and_not_with_the_process() {
    let folder = Folder::new();
    let source = "method f(n: i32) -> i32 {
entry:
    m = add n, i32 1
    r = call f(m)
    s = add r, m
    return s
}
kernel k(p: ptr<global>) {
entry:
    n = load.i32 p
    r = call f(n)
    store p, r
    return
}
";
    let path = folder.file("deep.mq", source);
    let wanted = format!("stack overflow (in 'f', {}:3:5)", path.display());
    for engine in ["interp", "native", "cpu"] {
        let call = marq(&["run", text(&path), "--entry", "f", "--args", "i32 1", "--on", engine]);
        let launch = ["run", text(&path), "--entry", "k", "--args", "buf i32[1]", "--on", engine];
        let launch = marq(&[&launch[..], &["--grid", "4", "--block", "8"]].concat());
        for output in [call, launch] {
            assert_eq!(code(&output), 1, "{engine}");
            assert!(stderr(&output).contains(&wanted), "{engine}: {}", stderr(&output));
        }
    }
}

#[cfg(unix)]
#[test]
fn links_stay_links() {
    let folder = Folder::new();
    let real = folder.file("real.mq", "method f(){\nentry:\nreturn\n}");
    let link = folder.path("link.mq");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    assert_eq!(code(&marq(&["fmt", text(&link)])), 0);
    assert!(std::fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert!(std::fs::read_to_string(&real).expect("the file").contains("    return\n"));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_written_to_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = Folder::new();
    let good = folder.file("good.mq", GOOD);
    let pipe = folder.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo should start");
    assert!(made.success());
    let mut reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().expect("cat should start");
    let output = marq(&["compile", text(&good), "--target", "native", "-o", text(&pipe)]);
    let is_pipe = std::fs::symlink_metadata(&pipe).expect("the pipe").file_type().is_fifo();
    if !is_pipe {
        reader.kill().expect("cat should end");
    }
    let read = reader.wait_with_output().expect("cat should end");
    assert!(is_pipe, "the pipe is gone");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(read.stdout.starts_with(b"\x7fELF"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_unwritable_standard_error_is_no_panic() {
    let folder = Folder::new();
    let bad = folder.file("bad.mq", "method {");
    for (args, wanted) in [
        (&["check", "no such file"][..], 1),
        (&["check", text(&bad)], 1),
        (&["compile", text(&bad), "--target", "vax"], 2),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let status = Command::new(env!("CARGO_BIN_EXE_marq")).args(args).stderr(full).status();
        assert_eq!(status.expect("marq should start").code(), Some(wanted), "{args:?}");
    }
}

#[test]
fn long_lines_are_shown_in_part() {
    let folder = Folder::new();
    let path = folder.file("long.mq", format!("method f() {{ {}", "\"x\" ".repeat(100_000)));
    let output = marq(&["check", text(&path)]);
    assert_eq!(code(&output), 1);
    let shown = stderr(&output);
    assert!(
        shown.starts_with("error[") && shown.contains("long.mq:1:14") && shown.len() < 20_000,
        "{}",
        shown.len()
    );
    let path = folder.file("lines.mq", format!("method {}", "\n".repeat(100_000)));
    assert!(stderr(&marq(&["check", text(&path)])).starts_with("error["));
}

#[test]
fn arguments_must_fit_their_types() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let output = marq(&["run", text(&path), "--entry", "twice", "--args", "i32 99999999999"]);
    assert_eq!(code(&output), 2, "{}", stdout(&output));
    assert!(stderr(&output).contains("99999999999 does not fit into i32"), "{}", stderr(&output));
}

#[test]
fn compile_adds_debug_information_when_asked() {
    let folder = Folder::new();
    let source = "method twice(x: i32) -> i32 inline {\nentry:\n    y = add x, x\n    return y\n}\n\
                  kernel k(x: i32, p: ptr<global>) {\nentry:\n    y = call twice(x)\n    store p, y\n    return\n}\n";
    let path = folder.file("k.mq", source);
    let path = text(&path);
    let compiled = |target: &str, more: &[&str]| {
        let output = marq(&[&["compile", path, "--target", target][..], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let marks = [
        ("ptx", [".loc\t1 9 5", "function_name $i0, inlined_at 1 8 5"]),
        ("spirv:vulkan1.3", ["OpLine", "OpName %"]),
        ("native", ["@0001", "@0001"]),
    ];
    for (target, [lines, names]) in marks {
        assert_eq!(compiled(target, &[]), compiled(target, &["-g0"]));
        assert!(!compiled(target, &["-g0"]).contains(lines), "{target}");
        assert!(compiled(target, &["-g1"]).contains(lines), "{target}: {}", compiled(target, &["-g1"]));
        assert!(compiled(target, &["-g2"]).contains(names), "{target}: {}", compiled(target, &["-g2"]));
        assert_eq!(compiled(target, &["-g"]), compiled(target, &["-g2"]));
        let bytes = |level: &str| {
            let out = folder.path("out");
            let args = ["compile", path, "--target", target, level, "-o", text(&out)];
            assert_eq!(code(&marq(&args)), 0);
            std::fs::read(&out).expect("the code")
        };
        assert_eq!(bytes("-g2"), bytes("-g2"));
        assert!(
            bytes("-g0").len() < bytes("-g1").len() && bytes("-g1").len() <= bytes("-g2").len(),
            "{target}"
        );
    }
    let dump = compiled("native", &["-g1", "--stage", "optimised"]);
    let wanted = format!("; twice at {path}:3:5, inlined into k at {path}:8:5\n");
    assert!(dump.contains(&wanted), "{dump}");
    assert!(!compiled("native", &["--stage", "optimised"]).contains(" at "));
    assert_eq!(code(&marq(&["compile", path, "--target", "ptx", "-g3"])), 2);
}

const GENERIC: &str = "\
abstract Real
impl f32, f64 : Real
method axpy<T: Real>(a: T, x: T, y: T) -> T {\nentry:\n    p = mul a, x\n    r = add p, y\n    return r\n}
kernel scale<T: Real, S>(by: T, data: ptr<S>) {\nentry:\n    x = load.T data\n    y = mul x, by\n    store data, y\n    return\n}
method bad(x: i8) -> i8 {\nentry:\n    a = call axpy(x, x, x)\n    b = call nowhere(x)\n    return x\n}
";

#[test]
fn entries_with_type_variables_are_compiled_for_the_types_that_are_named() {
    let folder = Folder::new();
    let file = folder.file("a.mq", GENERIC);
    let run = |entry: &str, args: &str| marq(&["run", text(&file), "--entry", entry, "--args", args]);
    let output = run("axpy(f64, f64, f64)", "f64 2.0, f64 3.0, f64 1.0");
    assert_eq!((code(&output), stdout(&output).trim(), stderr(&output)), (0, "f64 7.0", String::new()));
    assert_eq!(stdout(&run("axpy", "f32 2.0, f32 3.0, f32 1.0")).trim(), "f32 7.0");
    let output = run("axpy(i32, i32, i32)", "i32 2, i32 3, i32 1");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("argument 1 is i32, expected T"), "{}", stderr(&output));
    let compile = |entry: &str, target: &str| {
        marq(&["compile", text(&file), "--entry", entry, "--target", target, "--stage", "code"])
    };
    let output = compile("scale(f64, ptr<global>)", "ptx");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains(".entry _Z5scale3f64PU6globalv"), "{}", stdout(&output));
    assert!(stdout(&output).contains("mul.rn.f64"), "{}", stdout(&output));
    let output = compile("axpy(f32, f32, f32)", "native");
    assert!(stdout(&output).contains("fmul"), "{}", stdout(&output));
    let output = compile("axpy", "native");
    assert!(
        stderr(&output).contains("as an entry it needs the types of its arguments"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn all_unresolved_calls_of_a_job_are_shown_with_their_near_misses() {
    let folder = Folder::new();
    let file = folder.file("a.mq", GENERIC);
    let output = marq(&["compile", text(&file), "--entry", "bad", "--target", "native"]);
    assert_eq!(code(&output), 1);
    let shown = stderr(&output);
    assert!(
        shown.contains("no method axpy(i8, i8, i8) in sight; there is axpy<T: Real>(T, T, T) -> T"),
        "{shown}"
    );
    assert!(shown.contains("argument 1 is i8, expected T"), "{shown}");
    assert!(shown.contains("no method nowhere(i8) in sight"), "{shown}");
}

#[test]
fn golden_text_is_compared_and_blessed() {
    let folder = Folder::new();
    let source = format!("{GOOD}\n; compile: @twice native stage=specialised\n  ;| wrong\n; a remark\n");
    let path = folder.file("a.mq", &source);
    let output = marq(&["test", "--on", "interp", text(&path)]);
    assert_eq!(code(&output), 1);
    let shown = stdout(&output);
    assert!(shown.contains("     - wrong\n") && shown.contains("     +     y = add x, x\n"), "{shown}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), source, "only --bless changes files");
    let blessed = marq(&["test", "--on", "interp", "--bless", text(&path)]);
    assert_eq!(code(&blessed), 0, "{}", stdout(&blessed));
    assert!(stdout(&blessed).contains("blessed") && stdout(&blessed).contains("- wrong"));
    let golden = std::fs::read_to_string(&path).expect("the file");
    let wanted = "  ;| ; entry\n  ;| method twice(x: i32) -> i32 {\n  ;| entry:\n  ;|     y = add x, x\n  ;|     return y\n  ;| }\n; a remark\n";
    assert!(golden.ends_with(wanted), "{golden}");
    let again = marq(&["test", "--on", "interp", "--bless", text(&path)]);
    assert!(code(&again) == 0 && !stdout(&again).contains("blessed"));
}

#[test]
fn directives_that_would_be_skipped_fail() {
    let folder = Folder::new();
    for (directive, wanted) in [
        ("; run @twice(i32 2) == i32 4", "did you mean 'run:'"),
        ("; lanch: @k grid=1 block=1 ()", "did you mean 'launch:'"),
        ("; expect: @twice(i32 2) == i32 4", "is not a directive"),
        ("; run[naitve]: @twice(i32 2) == i32 4", "'naitve' is not an engine"),
        ("; contains: add", "below a 'compile:' line"),
        ("; compile: @twice native\n; lacks: function", "is there"),
        ("; compile: @twice ptx\n; rejected: too slow", "'too slow' is not in"),
        ("; error: nothing is wrong here", "no error on line"),
        ("; run: @twice(i32 2) == i32 4\nmethod { ; error: expected", "not tried"),
    ] {
        let path = folder.file("a.mq", format!("{GOOD}{directive}\n"));
        let output = marq(&["test", "--on", "interp", text(&path)]);
        assert_eq!(code(&output), 1, "{directive}");
        assert!(stdout(&output).contains(wanted), "{directive}: {}", stdout(&output));
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let folder = Folder::new();
    let sources = [
        "method f() {\nentry:\n    call \"\\x1b[2J\"()\n    return\n}\n",
        "method f() {\nentry:\n    \u{1b}[31m frobnicate \u{9b}\u{202e}\n    return\n}\n",
    ];
    for source in sources {
        let path = folder.file("a\u{1b}.mq", source);
        for args in [
            &["check", text(&path)][..],
            &["compile", text(&path), "--target", "native"],
            &["test", text(&path)],
        ] {
            let output = marq(args);
            let shown = stderr(&output) + &stdout(&output);
            let control = |c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}');
            assert!(!shown.contains(control), "{args:?}: {shown:?}");
        }
    }
    let missing = marq(&["check", "no\u{1b}[31m"]);
    assert!(stderr(&missing).contains("no\\u{1b}[31m"), "{}", stderr(&missing));
}

#[test]
fn launches_need_work_items() {
    let folder = Folder::new();
    let path =
        folder.file("k.mq", "kernel k(out: ptr<global>) {\nentry:\n    store out, i32 7\n    return\n}\n");
    let common = ["run", text(&path), "--entry", "k", "--args", "buf i32[1]"];
    for engine in ["interp", "cpu"] {
        let run = |more: &[&str]| marq(&[&common[..], &["--on", engine], more].concat());
        let empty = run(&["--grid", "1", "--block=0"]);
        assert_eq!(code(&empty), 1, "{engine}");
        assert!(stderr(&empty).contains("each dimension needs at least 1"), "{engine}: {}", stderr(&empty));
        for more in [&["--block", "1"][..], &["--grid", "1"], &["--grid", "1", "--block", "2,2"]] {
            let output = run(more);
            assert_eq!(stdout(&output), "[0] i32[1] = [7]\n", "{engine} {more:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_dash_is_standard_output() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let binary = env!("CARGO_BIN_EXE_marq");
    let mut command = Command::new(binary);
    command.current_dir(folder.0.path()).args(["compile", text(&path), "--target", "native", "-o", "-"]);
    let output = command.stdin(Stdio::null()).output().expect("marq should start");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(output.stdout.starts_with(b"\x7fELF"));
    assert!(!folder.path("-").exists());
}

#[test]
fn folders_mean_the_files_in_them() {
    let folder = Folder::new();
    // Each is a program of its own: together they would define a function twice.
    folder.file("a.mq", GOOD);
    folder.file("b.mq", GOOD);
    folder.file("c.txt", "not a program");
    let root = text(folder.0.path());
    assert_eq!(code(&marq(&["check", root])), 0);
    assert_eq!(code(&marq(&["fmt", "--check", root])), 0);
    let (a, b) = (folder.path("a.mq"), folder.path("b.mq"));
    assert_eq!(code(&marq(&["check", text(&a), text(&b)])), 1);
    folder.file("d.mq", "method  g() {\nentry:\nreturn x\n}\n");
    let check = marq(&["check", "--json", root]);
    let rows: serde_json::Value = serde_json::from_str(&stdout(&check)).expect("JSON");
    assert_eq!((code(&check), rows[0]["line"].as_u64(), rows[0]["column"].as_u64()), (1, Some(3), Some(8)));
    let format = marq(&["fmt", "--check", root]);
    assert_eq!((code(&format), stdout(&format).lines().count()), (1, 1));
    let empty = Folder::new();
    assert_eq!(code(&marq(&["check", text(empty.0.path())])), 2);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let mut command = Command::new(env!("CARGO_BIN_EXE_marq"));
    command.args(["compile", text(&path), "--target", "native"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("marq should start");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("marq should end");
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

const DEVICE_HALVES: &str = "method uses() {\nentry:\n    p = call malloc(i64 8)\n    return\n}\n\nkernel says() {\nentry:\n    \
     i = call global_id(i32 0)\n    print \"item %d of %s\", i\n    return\n}\n";

#[test]
fn run_shows_what_a_kernel_prints() {
    let folder = Folder::new();
    let file = folder.file("a.mq", DEVICE_HALVES.replace(" of %s", ""));
    for engine in ["interp", "cpu"] {
        let output =
            marq(&["run", text(&file), "--entry", "says", "--grid", "1", "--block", "2", "--on", engine]);
        assert_eq!((code(&output), stdout(&output)), (0, "item 0\nitem 1\n".into()), "{}", stderr(&output));
    }
    let output = marq(&["check", text(&folder.file("b.mq", DEVICE_HALVES))]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("found conversion '%s'"), "{}", stderr(&output));
}

#[test]
fn host_policies_are_chosen_per_compilation() {
    let folder = Folder::new();
    let file = folder.file("a.mq", DEVICE_HALVES.replace(" of %s", ""));
    let compile = |policy: &str| {
        let arguments =
            ["--entry", "uses", "--target", "native", "--stage", "specialised", "--host-policy", policy];
        let mut all = vec!["compile", text(&file)];
        all.extend(arguments);
        marq(&all)
    };
    assert!(stdout(&compile("sentinel")).contains("sentinel.ptr<global>"));
    assert!(stdout(&compile("trap")).contains("throw DeviceOnlyError, \"'malloc' runs on devices only\""));
    let refused = compile("error");
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("'malloc' runs on devices only, and this is code for the host"));
    assert_eq!(code(&compile("maybe")), 2);
}

#[test]
fn the_entry_abi_is_chosen_per_compilation() {
    let folder = Folder::new();
    let file = folder.file("a.mq", "method f(x: i32) -> i32 {\nentry:\n    return x\n}\n");
    let compile = |abi: &str| marq(&["compile", text(&file), "--target", "native", "--entry-abi", abi]);
    assert!(stdout(&compile("native")).contains("; f$packed\n"));
    let packed = stdout(&compile("packed"));
    assert_eq!(packed.matches("\n; f\n").count(), 2, "{packed}");
    let refused = compile("boxed");
    assert_eq!(code(&refused), 2);
    let message = stderr(&refused);
    assert!(message.contains("'boxed' is not an entry ABI: expected one of native, packed"), "{message}");
}

const THROWS: &str = "method quotient(a: i32, b: i32) -> i32 noinline {\nentry:\n    q = div.u a, b\n    return q\n}\n\
kernel k(out: ptr<global>, n: i32) {\nentry:\n    q = call quotient(i32 1, n)\n    store out, q\n    return\n}\n";

#[test]
fn run_says_as_much_of_an_exception_as_it_is_asked_for() {
    let folder = Folder::new();
    let file = folder.file("a.mq", THROWS);
    let run = |level: &str| {
        let kernel = ["--entry", "k", "--on", "cpu", "--grid", "1", "--block", "1"];
        let mut args = vec!["run", text(&file), level, "--args", "buf i32[1], i32 0"];
        args.extend(kernel);
        let output = marq(&args);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        stderr(&output)
    };
    let short = run("-g0");
    assert_eq!(short.lines().count(), 1, "{short}");
    assert!(short.contains("threw DivideError (in 'quotient', "), "{short}");
    let item = "thrown by work-item (0, 0, 0) of group (0, 0, 0) of kernel 'k'";
    assert!(run("-g1").contains(item) && !short.contains(item));
    let long = run("-g2");
    let lines: Vec<&str> = long.lines().collect();
    let [kind, place, caller, last] = lines[..] else { panic!("{long}") };
    assert!(kind.ends_with("threw DivideError") && place.starts_with("  in 'quotient', "), "{long}");
    assert!(caller.starts_with("  called by 'k', ") && last.ends_with(item), "{long}");
}

#[test]
fn compile_takes_a_policy_for_exceptions() {
    let folder = Folder::new();
    let file = folder.file("a.mq", THROWS);
    let compile = |policy: &str| marq(&["compile", text(&file), "--target", "ptx", "--exceptions", policy]);
    for (policy, traps) in [("report", false), ("exit", false), ("trap", true)] {
        assert_eq!(stdout(&compile(policy)).contains("trap;"), traps, "{policy}");
    }
    let output = compile("explode");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("expected one of report, exit, trap"), "{}", stderr(&output));
}

#[test]
fn what_the_stack_of_a_job_hides_is_shown_once() {
    let folder = Folder::new();
    let source = "abstract Real
impl f32, f64 : Real
method f(x: Real) -> i32 {
entry:
    return i32 1
}
overlay low method f(x: f64) -> i32 {
entry:
    return i32 2
}
overlay top method f<T: Real>(x: T) -> i32 {
entry:
    return i32 3
}
overlay broad method f(x: Any) -> i32 {
entry:
    return i32 4
}
method m() -> i32 {
entry:
    r = call f(f64 1.0)
    return r
}
";
    let path = folder.file("a.mq", source);
    let hidden = "f<T: Real>(T) -> i32 in table top shadows the more specific f(f64) -> i32 in table low";
    let broad = "f(Any) -> i32 in table broad shadows the more specific f(Real) -> i32 in table base";
    let which = ["which", text(&path), "f(f64)"];
    let compile = ["compile", text(&path), "--entry", "m", "--target", "native", "--stage", "specialised"];
    for (args, tables, wanted) in [
        (&which[..], ["top", "low"], 1),
        (&compile, ["top", "low"], 1),
        (&which, ["low", "top"], 0),
        (&compile, ["low", "top"], 0),
    ] {
        let tables = tables.iter().flat_map(|table| ["--table", table]);
        let output = marq(&args.iter().copied().chain(tables).collect::<Vec<&str>>());
        let shown = stderr(&output);
        assert_eq!(code(&output), 0, "{shown}");
        assert_eq!((shown.matches(hidden).count(), shown.matches(broad).count()), (wanted, 1), "{shown}");
    }
    let shown = stderr(&marq(&["which", text(&path), "f(f64)", "--table", "broad"]));
    assert_eq!(shown.matches(broad).count(), 1, "{shown}");
}
