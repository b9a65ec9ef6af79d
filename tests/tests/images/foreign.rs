//! Another loader, in C, that knows only what is written about the file: on this machine, and for aarch64 under emulation.

use super::folder;
use marquetry::compile::Target;
use marquetry::session::{Backend, Session};
use marquetry_lower::job::OptLevel;
use marquetry_tests::is_present;
use std::path::Path;
use std::process::{Command, Stdio};

const TEXT: &str = r#"
global count: i64 in global = i64 5
global names: array<i64, 2> in constant = [i64 0, i64 3] with [0: address names at 8]
extern func add_there(i64) -> i64 as "host_add"

method fib(n: i64) -> i64 {
entry:
    small = lt.s n, i64 2
    branch small, done, more
done:
    return n
more:
    a = sub n, i64 1
    b = sub n, i64 2
    x = call fib(a)
    y = call fib(b)
    r = add x, y
    return r
}

method twice(x: i64) -> i64 noinline {
entry:
    y = add x, x
    return y
}

method there(x: i64) -> i64 {
entry:
    f = function_address twice(i64)
    q = call_indirect f(x) -> i64
    p = address.global count
    old = load.i64 p
    store p, q
    y = call add_there(q)
    z = add y, old
    n = address.constant names
    at = load.ptr<constant> n
    three = load.i64 at
    w = add z, three
    return w
}

method divided(x: i64) -> i64 {
entry:
    q = div.s i64 100, x
    return q
}
"#;

fn run(folder: &Path, command: &str, args: &[&str]) -> String {
    let output = Command::new(command).current_dir(folder).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command} {args:?}: {}: {said}", output.status);
    said
}

/// Writes an image for a machine, and has the loader call what is in it.
fn loaded(machine: &str, cc: &str, emulator: Option<&[&str]>) {
    let session = Session::new();
    let target = Target::parse(&format!("native:{machine}"), OptLevel::Default).unwrap();
    let native = session.add_backend(Backend::new("native", target)).unwrap();
    session.define("program.mq", TEXT).unwrap_or_else(|error| panic!("{error}"));
    let jobs = ["fib", "there", "divided"].map(|name| session.job(name, &native).unwrap());
    let folder = folder();
    let at = folder.path();
    session.write_image(&at.join("code.image"), &jobs).unwrap();
    std::fs::write(at.join("loader.c"), include_str!("loader.c")).unwrap();
    run(at, cc, &["-Wall", "-Wextra", "-Werror", "-O1", "-o", "loader", "loader.c"]);
    let machine = format!("{machine}-linux");
    let said = match emulator {
        Some([emulator, args @ ..]) => {
            run(at, emulator, &[args, &["./loader", "code.image", &machine]].concat())
        }
        _ => run(at, "./loader", &["code.image", &machine]),
    };
    assert_eq!(said, "all is well\n", "{machine}");
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn the_file_is_what_is_written_about_it() {
    if is_present("cc") {
        loaded("x86_64", "cc", None);
    }
}

#[test]
fn an_image_for_aarch64_runs() {
    if is_present("aarch64-linux-gnu-gcc") && is_present("qemu-aarch64") {
        loaded("aarch64", "aarch64-linux-gnu-gcc", Some(&["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]));
    }
}
