//! The same program gives the same bytes: in other folders and processes, with any number of threads.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, is_present, marq_ok};
use std::fmt::Write;
use std::path::Path;

/// Enough functions for several threads to be worth it.
const MANY: usize = 300;

/// Functions some of which throw, recurse, and call each other.
fn program(functions: usize) -> String {
    let mut text = String::from(
        "struct pair { a: i64, b: f32 }\nglobal table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]\n",
    );
    for n in 0..functions {
        let next = (n + 7) % functions;
        let _ = write!(
            text,
            "method f{n}(x: i32, p: pair) -> i32 noinline {{\nentry:\n    small = lt.s x, i32 {n}\n    branch small, low, high\nlow:\n    \
             q = div.s i32 {n}, x\n    return q\nhigh:\n    y = sub x, i32 {}\n    t = address.constant table\n    z = load.i32 t\n    \
             w = add y, z\n    r = call f{next}(w, p)\n    return r\n}}\n",
            n + 1
        );
    }
    // It may throw: an executable starts in C code that says so.
    text.push_str(
        "method main() -> i32 {\nentry:\n    p = make.pair i64 1, f32 2.0\n    r = call f3(i32 5, p)\n    return r\n}\n",
    );
    text
}

fn build(folder: &Folder, file: &str, args: &[&str], out: &str) -> (Vec<u8>, Vec<u8>) {
    let mut all = vec!["build", file, "-o", out, "--header", "out.h"];
    all.extend_from_slice(args);
    marq_ok(folder.0.path(), &all);
    let read = |name: &str| std::fs::read(folder.path(name)).expect("a file");
    (read(out), read("out.h"))
}

/// Everything that is built, by target: what a linker makes, where there is one.
const TARGETS: [(&str, Option<&str>); 9] = [
    ("native", Some("cc")),
    ("native:x86_64-unknown-linux-gnu", None),
    ("native:aarch64", Some("aarch64-linux-gnu-gcc")),
    ("native:riscv64", Some("riscv64-linux-gnu-gcc")),
    ("native:s390x", Some("s390x-linux-gnu-gcc")),
    ("native:x86_64-apple-darwin", None),
    ("native:aarch64-apple-darwin", None),
    ("native:x86_64-pc-windows-msvc", None),
    ("native:x86_64-pc-windows-gnu", None),
];

/// Every process has hash seeds of its own.
#[test]
fn folders_processes_and_threads_make_no_difference() {
    let text = program(MANY);
    let folders = [Folder::new(), Folder::new()];
    folders.iter().for_each(|folder| drop(folder.file("p.mq", &text)));
    for (target, linker) in TARGETS {
        let is_linked = linker.is_some_and(is_present);
        let kinds: &[&str] = if is_linked { &["obj", "static", "shared", "exe"] } else { &["obj", "static"] };
        for debug in ["-g0", "-g2"] {
            for &emit in kinds {
                let args = ["--target", target, debug, "--emit", emit];
                let one = build(&folders[0], "p.mq", &[&args[..], &["--threads", "1"]].concat(), "out");
                let two = build(&folders[1], "p.mq", &[&args[..], &["--threads", "2"]].concat(), "out");
                let many = build(&folders[1], "p.mq", &[&args[..], &["--threads", "7"]].concat(), "out");
                assert!(one == two && two == many, "{target} {debug} {emit}");
            }
        }
    }
}

/// Images are made by a session, for each function with what it calls.
#[test]
fn images_are_the_same_everywhere() {
    let text = program(30);
    let folders = [Folder::new(), Folder::new()];
    for target in ["native", "native:x86_64", "native:aarch64"] {
        let image = |n: usize, threads: &str| {
            folders[n].file("p.mq", &text);
            let args =
                ["build", "p.mq", "--emit", "image", "--target", target, "--threads", threads, "-o", "out"];
            marq_ok(folders[n].0.path(), &args);
            std::fs::read(folders[n].path("out")).expect("an image")
        };
        let one = image(0, "1");
        assert!(one == image(1, "2") && one == image(1, "7"), "{target}");
    }
}

/// Without `-g` not even the names of the sources as they were given make a difference.
#[test]
fn paths_stay_outside() {
    let text = program(MANY);
    let folders = [Folder::new(), Folder::new()];
    let paths = folders.each_ref().map(|folder| folder.file("p.mq", &text));
    let made = |n: usize, debug: &str| {
        let path: &Path = &paths[n];
        build(&folders[n], path.to_str().expect("text"), &[debug], "out")
    };
    assert_eq!(made(0, "-g0"), made(1, "-g0"));
    let (lines, header) = made(0, "-g1");
    let path = paths[0].to_str().expect("text").as_bytes();
    assert!(lines.windows(path.len()).any(|window| window == path), "with -g the name is the given one");
    assert!(!header.windows(path.len()).any(|window| window == path));
}
