//! The same program gives the same bytes: in other folders and processes, with any number of threads.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, is_present, marq_ok};
use std::fmt::Write;
use std::path::Path;

/// Enough functions for several threads to be worth it, some of which throw, recurse, and call each other.
fn program() -> String {
    let mut text = String::from(
        "struct pair { a: i64, b: f32 }\nglobal table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]\n",
    );
    for n in 0..300 {
        let next = (n + 7) % 300;
        let _ = write!(
            text,
            "method f{n}(x: i32, p: pair) -> i32 noinline {{\nentry:\n    small = lt.s x, i32 {n}\n    branch small, low, high\nlow:\n    \
             q = div.s i32 {n}, x\n    return q\nhigh:\n    y = sub x, i32 {}\n    t = address.constant table\n    z = load.i32 t\n    \
             w = add y, z\n    r = call f{next}(w, p)\n    return r\n}}\n",
            n + 1
        );
    }
    text.push_str("method main() -> i32 {\nentry:\n    return i32 3\n}\n");
    text
}

fn build(folder: &Folder, file: &str, args: &[&str], out: &str) -> (Vec<u8>, Vec<u8>) {
    let mut all = vec!["build", file, "-o", out, "--header", "out.h"];
    all.extend_from_slice(args);
    marq_ok(folder.0.path(), &all);
    let read = |name: &str| std::fs::read(folder.path(name)).expect("a file");
    (read(out), read("out.h"))
}

#[test]
fn folders_processes_and_threads_make_no_difference() {
    let text = program();
    let folders = [Folder::new(), Folder::new()];
    folders.iter().for_each(|folder| drop(folder.file("p.mq", &text)));
    let linked = is_present("cc");
    let kinds: &[&str] = if linked { &["obj", "static", "shared", "exe"] } else { &["obj", "static"] };
    for target in [
        "native",
        "native:aarch64",
        "native:s390x",
        "native:x86_64-apple-darwin",
        "native:x86_64-pc-windows-msvc",
    ] {
        for debug in ["-g0", "-g2"] {
            for &emit in kinds {
                if target != "native" && emit != "obj" {
                    continue;
                }
                let args = ["--target", target, debug, "--emit", emit];
                let one = build(&folders[0], "p.mq", &[&args[..], &["--threads", "1"]].concat(), "out");
                let two = build(&folders[1], "p.mq", &[&args[..], &["--threads", "2"]].concat(), "out");
                let many = build(&folders[1], "p.mq", &[&args[..], &["--threads", "7"]].concat(), "out");
                assert!(one == two && two == many, "{target} {debug} {emit}");
            }
        }
    }
}

/// Without `-g` not even the names of the sources as they were given make a difference.
#[test]
fn paths_stay_outside() {
    let text = program();
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
