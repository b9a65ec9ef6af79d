//! Executables: they start at `main`, and report what it throws.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, code, is_present, marq_in, marq_ok, stderr, stdout};
use std::path::Path;

fn root(folder: &Folder) -> &Path {
    folder.0.path()
}

const HELLO: &str = r#"
extern func puts(ptr<generic>) -> i32 as "puts"
extern func atoi(ptr<generic>) -> i32 as "atoi"
extern func qsort(ptr<generic>, i64, i64, ptr<generic>) as "qsort"
global hello: array<i8, 6> in constant = bytes "hello\x00"
global numbers: array<i32, 5> in global = [i32 5, i32 3, i32 -1, i32 9, i32 0]

method main(count: i32, values: ptr<generic>) -> i32 {
entry:
    p = address.constant hello
    g = spacecast.ptr<generic> p
    r = call puts(g)
    place = index values, i64 1, ptr<generic>
    text = load.ptr<generic> place
    n = call atoi(text)
    s = add n, count
    return s
}
"#;

#[test]
fn executables_start_at_main() {
    if !is_present("cc") {
        return;
    }
    for relocation in ["pic", "static"] {
        let folder = Folder::new();
        folder.file("hello.mq", HELLO);
        marq_ok(root(&folder), &["build", "hello.mq", "--emit", "exe", "--relocation", relocation]);
        let output = std::process::Command::new(folder.path("hello")).arg("40").output().expect("it starts");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(42), "hello\n"));
    }
    let folder = Folder::new();
    for (source, wanted) in [
        ("method f() -> i32 {\nentry:\n    return i32 0\n}\n", "an executable starts at 'main'"),
        (
            "method main(x: i32) -> i32 {\nentry:\n    q = div.s i32 7, x\n    return q\n}\n",
            "'main' is not one of C",
        ),
        ("method main(x: i32) -> i32 {\nentry:\n    return x\n}\n", "'main' is not one of C"),
    ] {
        let path = folder.file("bad.mq", source);
        let output = marq_in(root(&folder), &["build", "bad.mq", "--emit", "exe"]);
        assert_eq!(code(&output), 1, "{source}");
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
        assert!(!path.with_extension("").exists());
    }
}

const THROWING: &str = r#"
extern func atoi(ptr<generic>) -> i32 as "atoi"

method checked(n: i32) -> i32 noinline {
entry:
    wide = sext.i64 n
    real = stof.f64 n
    short = stof.f16 n
    letter = add n, i32 132
    p = inttoptr.ptr<generic> i64 4096
    bad = gt.s n, i32 100
    branch bad, no, fine
no:
    throw LimitError
fine:
    return n
}

method main(count: i32, values: ptr<generic>) -> i32 {
entry:
    place = index values, i64 1, ptr<generic>
    text = load.ptr<generic> place
    n = call atoi(text)
    q = div.s i32 84, n
    c = call checked(n)
    r = add q, c
    return r
}
"#;

/// What `main` throws is told as `marq run` tells it.
#[test]
fn executables_report_what_main_throws() {
    if !is_present("cc") {
        return;
    }
    // A `throw` takes up to four operands.
    let source = |format: &str, operands: &str| {
        let start = THROWING.find("throw LimitError").expect("it is there");
        let end = start + THROWING[start..].find('\n').expect("a line");
        format!("{}throw LimitError, \"{format}\", {operands}{}", &THROWING[..start], &THROWING[end..])
    };
    for (format, operands) in [
        ("%d (%5.2f, %g) is too much??/: %+d\\n", "n, real, short, wide"),
        ("%x %#b [%3c] 100%% %p", "n, n, letter, p"),
        ("nothing of it: 100%", ""),
    ] {
        for level in ["-g0", "-g2"] {
            let folder = Folder::new();
            let text = source(format, operands).replace("\", \n", "\"\n");
            folder.file("main.mq", &text);
            marq_ok(root(&folder), &["build", "main.mq", "--emit", "exe", level]);
            let run = |argument: &str| {
                let output = std::process::Command::new(folder.path("main"))
                    .arg(argument)
                    .output()
                    .expect("it starts");
                (output.status.code(), stdout(&output), stderr(&output))
            };
            assert_eq!(run("42"), (Some(44), String::new(), String::new()));
            let (status, printed, said) = run("0");
            assert_eq!((status, printed.as_str()), (Some(1), ""));
            assert!(said.starts_with("error: threw DivideError") && said.contains("main.mq:"), "{said}");
            // The same exception in the same function, called by another one.
            let (status, _, said) = run("101");
            let told =
                marq_in(root(&folder), &["run", "main.mq", "--entry", "checked", "--args", "i32 101", level]);
            assert_eq!((status, code(&told)), (Some(1), 1));
            let told = stderr(&told);
            let reason = |text: &str| text.split(['(', '\n']).next().map(str::to_owned);
            let whole = |text: &str| text.split(" (in ").next().map(str::to_owned);
            match level {
                "-g0" => assert_eq!(whole(&said), whole(&told), "{said}\n{told}"),
                _ => assert_eq!(reason(&said), reason(&told), "{said}\n{told}"),
            }
            assert!(said.ends_with('\n') && said.contains("checked"), "{said}");
        }
    }
}
