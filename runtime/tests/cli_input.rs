//! The command line, end to end: what is handed to it by name, as text, as arguments and sizes, and what it refuses.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, marq, stderr, stdout, text};

/// A program whose kernel calls the library.
const USES_LIBRARY: &str = "kernel k(p: ptr<global>) {\nentry:\n    i = call global_id(i32 0)\n    q = index p, i, i64\n    \
     store q, i\n    call barrier()\n    return\n}\n";

#[test]
fn what_early_stages_print_reads_back() {
    let folder = Folder::new();
    let file = folder.file("a.mq", USES_LIBRARY);
    for stage in ["program", "specialised"] {
        for target in ["native", "ptx", "spirv:opencl2.1"] {
            for debug in ["-g0", "-g2"] {
                let printed = marq(&["compile", text(&file), "--target", target, "--stage", stage, debug]);
                assert_eq!(code(&printed), 0, "{}", stderr(&printed));
                let again = folder.file("again.mq", &printed.stdout);
                let compiled = marq(&["compile", text(&again), "--target", target]);
                assert_eq!(code(&compiled), 0, "{stage} {target}: {}", stderr(&compiled));
                let first = marq(&["compile", text(&file), "--target", target]);
                assert_eq!(stdout(&compiled), stdout(&first), "{stage} {target}");
            }
        }
    }
}

#[test]
fn arguments_are_those_that_are_taken() {
    let folder = Folder::new();
    let source = "method g(x: f64) -> f64 {\nentry:\n    return x\n}\n\nmethod pair(x: i32, p: ptr<generic>) -> i32 {\nentry:\n    \
                  return x\n}\n\nkernel k(n: i64, p: ptr<global>) {\nentry:\n    return\n}\n";
    let path = folder.file("a.mq", source);
    for engine in ["interp", "native", "object", "cpu"] {
        let run = |entry: &str, args: &str, more: &[&str]| {
            let mut all = vec!["run", text(&path), "--entry", entry, "--args", args, "--on", engine];
            all.extend(more);
            let output = marq(&all);
            assert_eq!(code(&output), 1, "{engine} {entry} {args}: {}", stdout(&output));
            stderr(&output)
        };
        for (entry, args, more, wanted) in [
            ("g(f64)", "i32 1", &[][..], "argument 0 is i32, but 'g' takes f64"),
            ("g(f64)", "i64 1", &[], "argument 0 is i64, but 'g' takes f64"),
            ("g(f64)", "buf i32[2]", &[], "argument 0 is a buffer of 2 i32, but 'g' takes f64"),
            (
                "g(f64)",
                "bytes(i64=[1])",
                &[],
                "argument 0 is a struct or array of 8 bytes, but 'g' takes f64",
            ),
            ("g(f64)", "", &[], "found 0 arguments, but 'g' takes 1"),
            (
                "pair(i32, ptr<generic>)",
                "i32 1, i64 1",
                &[],
                "argument 1 is i64, but 'pair' takes ptr<generic>",
            ),
            ("k(i64, ptr<global>)", "i64 1, buf i8[1]", &[], "'k' is a kernel: it is launched, not called"),
            (
                "k(i64, ptr<global>)",
                "i32 1, buf i8[1]",
                &["--grid", "1"],
                "argument 0 is i32, but 'k' takes i64",
            ),
            ("g(f64)", "f64 1", &["--grid", "1"], "'g' is a function: it is called, not launched"),
            ("g", "i32 1, buf i8[3]", &[], "'g' takes (f64) -> f64, found (i32, a buffer of 3 i8)"),
        ] {
            let shown = run(entry, args, more);
            assert!(shown.contains(wanted), "{engine} {entry} {args}: {shown}");
        }
    }
}

#[test]
fn buffers_hold_what_they_are_given() {
    let folder = Folder::new();
    let path = folder.file("a.mq", "method f(p: ptr<generic>) {\nentry:\n    return\n}\n");
    let run = |args: &str| marq(&["run", text(&path), "--entry", "f", "--args", args]);
    for (args, wanted) in [
        ("buf i32[4]=nan", "element 0: NaN does not fit into i32"),
        ("buf i8[4]=300", "element 0: 300 does not fit into i8"),
        ("buf i8[300]=iota", "element 256: 256 does not fit into i8"),
        ("buf i32[4]=iota/0", "element 0: division by zero"),
        ("buf i32[4]=iota%0", "element 0: division by zero"),
        ("buf i32[4]=0.5", "element 0: 0.5 does not fit into i32"),
        (
            "buf i128[4]=iota*170141183460469231731687303715884105727",
            "element 2: the number has more than 128 bits",
        ),
        ("bytes(i8[2]=-129)", "element 0: -129 does not fit into i8"),
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args}: {}", stdout(&output));
        assert!(stderr(&output).contains(wanted), "{args}: {}", stderr(&output));
    }
    for fine in [
        "buf i8[256]=iota",
        "buf i8[128]=-1-iota",
        "buf i32[4]=floor(iota/2.0)",
        "buf i32[9]=random(7)",
        "buf f32[2]=nan",
    ] {
        assert_eq!(code(&run(fine)), 0, "{fine}: {}", stderr(&run(fine)));
    }
}

#[test]
fn names_in_quotes_are_entries() {
    let folder = Folder::new();
    let path = folder.file("a.mq", "method \"odd \\x41()\"(x: i32) -> i32 {\nentry:\n    return x\n}\n");
    for entry in ["\"odd A()\"", "\"odd \\x41()\"", "\"odd A()\"(i32)"] {
        let output = marq(&["run", text(&path), "--entry", entry, "--args", "i32 3"]);
        assert_eq!((code(&output), stdout(&output)), (0, "i32 3\n".into()), "{entry}: {}", stderr(&output));
        let output = marq(&["compile", text(&path), "--entry", entry, "--target", "native"]);
        assert_eq!(code(&output), 0, "{entry}: {}", stderr(&output));
    }
}

#[test]
fn tables_of_the_library_are_not_chosen() {
    let folder = Folder::new();
    let path = folder.file("a.mq", GOOD);
    let object = path.with_extension("o");
    for table in ["base", "device", "standard"] {
        for command in [
            &["compile", text(&path), "--target", "native", "--table", table][..],
            &["which", text(&path), "twice(i32)", "--table", table],
            &["run", text(&path), "--entry", "twice", "--args", "i32 1", "--table", table],
            &["test", text(&path), "--table", table],
            &["build", text(&path), "--emit", "obj", "-o", text(&object), "--table", table],
        ] {
            let output = marq(command);
            assert_eq!(code(&output), 2, "{command:?}: {}", stdout(&output));
            let shown = stderr(&output);
            assert!(shown.contains(&format!("--table: '{table}' is a table of the library")), "{shown}");
        }
    }
}

#[test]
fn groups_that_are_too_large_are_shown_as_given() {
    let folder = Folder::new();
    let path = folder.file("a.mq", "kernel k() {\nentry:\n    return\n}\n");
    let block = "4294967295,4294967295,4294967295";
    for engine in ["interp", "cpu"] {
        let run = ["run", text(&path), "--entry", "k", "--grid", "1", "--block", block, "--on", engine];
        let output = marq(&run);
        assert_eq!(code(&output), 1);
        let wanted = "a block of 4294967295 x 4294967295 x 4294967295 work-items; ";
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
}
