//! Executables: they start at `main`, and report what it throws.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, code, is_present, marq_in, marq_ok, stderr, stdout};

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
        marq_ok(folder.root(), &["build", "hello.mq", "--emit", "exe", "--relocation", relocation]);
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
        let output = marq_in(folder.root(), &["build", "bad.mq", "--emit", "exe"]);
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
            marq_ok(folder.root(), &["build", "main.mq", "--emit", "exe", level]);
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
                marq_in(folder.root(), &["run", "main.mq", "--entry", "checked", "--args", "i32 101", level]);
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

/// Recursion as deep as the argument says, which uses up the stack without end where that is 0. It throws nothing; the second
/// one may.
const DEEP: &str = r#"
extern func atoi(ptr<generic>) -> i32 as "atoi"
extern func puts(ptr<generic>) -> i32 as "puts"
global hello: array<i8, 6> in constant = bytes "hello\x00"

method deep(n: i32) -> i32 noinline {
entry:
    m = sub n, i32 1
    done = eq m, i32 0
    branch done, stop, more
stop:
    return i32 40
more:
    r = call deep(m)
    s = add r, m
    t = sub s, m
    return t
}

method checked(n: i32) -> i32 noinline {
entry:
    s = slot.array<i64, 40>
    volatile_place = field_address s, array<i64, 40>, 7
    wide = sext.i64 n
    store volatile_place, wide volatile
    few = eq n, i32 7
    branch few, bad, fine
bad:
    throw TooFew
fine:
    m = sub n, i32 1
    done = eq m, i32 0
    branch done, stop, more
stop:
    return i32 2
more:
    r = call checked(m)
    s1 = add r, m
    t = sub s1, m
    return t
}

method main(count: i32, values: ptr<generic>) -> i32 {
entry:
    h = address.constant hello
    g = spacecast.ptr<generic> h
    said = call puts(g)
    place = index values, i64 1, ptr<generic>
    text = load.ptr<generic> place
    n = call atoi(text)
    d = call DEEPER(n)
    r = add d, i32 2
    return r
}
"#;

#[test]
fn executables_report_that_the_stack_is_used_up() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for (function, level, shallow, result) in
            [("deep", "-g0", "20000", 42), ("checked", "-g0", "5", 4), ("checked", "-g2", "1", 4)]
        {
            let folder = Folder::new();
            folder.file("deep.mq", DEEP.replace("DEEPER", function));
            let target = machine.target();
            marq_ok(folder.root(), &["build", "deep.mq", "--emit", "exe", "--target", &target, level]);
            let run = |argument: &str| {
                let output = machine.command(&folder, "deep").arg(argument).output().expect("it starts");
                (output.status.code(), stdout(&output), stderr(&output))
            };
            let what = format!("{} {function}", machine.name);
            assert_eq!(run(shallow), (Some(result), "hello\n".to_owned(), String::new()), "{what}");
            // What was printed before is not lost.
            let (status, printed, said) = run("0");
            assert_eq!((status, printed.as_str()), (Some(1), "hello\n"), "{what}: {said}");
            let separator = if level == "-g2" { "\n  in " } else { " (in " };
            let wanted = format!("error: stack overflow{separator}'{function}', deep.mq:");
            assert!(said.starts_with(&wanted) && said.ends_with('\n'), "{what}: {said}");
            if function == "checked" {
                let (status, _, said) = run("9");
                assert_eq!(status, Some(1), "{what}");
                assert!(said.starts_with("error: threw TooFew"), "{what}: {said}");
            }
        }
    }
}

/// Large frames, one below the other, and no recursion.
#[test]
fn executables_that_need_too_much_stack_do_not_start() {
    if !is_present("cc") {
        return;
    }
    let frames = 60;
    let mut source =
        "method f0(x: i32) -> i32 noinline {\nentry:\n    q = div.s i32 84, x\n    return q\n}\n".to_owned();
    for n in 1..=frames {
        let callee = n - 1;
        source += &format!(
            "method f{n}(x: i32) -> i32 noinline {{\nentry:\n    s = slot.array<i8, 1000000>\n    store s, i8 3 volatile\n    \
             r = call f{callee}(x)\n    y = load.i8 s volatile\n    z = sext.i32 y\n    t = add r, z\n    return t\n}}\n"
        );
    }
    source += &format!("method main() -> i32 {{\nentry:\n    r = call f{frames}(i32 2)\n    return r\n}}\n");
    let folder = Folder::new();
    folder.file("large.mq", source);
    marq_ok(folder.root(), &["build", "large.mq", "--emit", "exe"]);
    let output = std::process::Command::new(folder.path("large")).output().expect("it starts");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), "error: stack overflow\n"));
}
