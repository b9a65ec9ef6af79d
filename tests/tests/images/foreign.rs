//! Another loader, in C, that knows only what is written about the file: on this machine, and for others under emulation.

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
global small: i8 in constant = i8 3
global smaller: i8 in constant = i8 4
global weights: array<i32, 3> in constant = [i32 1, i32 256, i32 65536]
global limits: array<f64, 2> in constant = [f64 0.5, f64 1000.0]
global space: array<i8, 4096> in global
global there: i64 in constant with [0: symbol "host_add"]
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

; Constants of several sizes, behind two that would make places odd.
method weighed(x: i64) -> i64 {
entry:
    s = address.constant small
    t = address.constant smaller
    three = load.i8 s
    four = load.i8 t
    seven = add three, four
    w = address.constant weights
    p = index w, x, i32
    weight = load.i32 p
    l = address.constant limits
    q = index l, i64 1, f64
    limit = load.f64 q
    a = zext.i64 seven
    b = zext.i64 weight
    c = ftos.i64 limit
    d = add a, b
    e = add c, d
    return e
}

; What Cranelift needs a routine for on some machines, and what takes more bytes than it copies itself.
method routines(x: i64) -> i64 {
entry:
    p = address.global space
    q = index p, x, i8
    memset p, i8 3, i64 2048
    memcpy q, p, i64 2048
    r = index q, i64 2047, i8
    y = load.i8 r
    wide = zext.i64 y
    f = stof.f64 x
    g = fma f, f64 2.5, f64 0.25
    h = floor g
    i = ftos.i64 h
    z = add i, wide
    return z
}

; Calls of the host from two entries, and in a tail.
method far(x: i64) -> i64 {
entry:
    y = call add_there(x)
    z = call twice(y)
    w = call add_there(z)
    return w
}

; The address of a function of the host, as a word.
method address_there(x: i64) -> i64 {
entry:
    p = address.constant there
    r = load.i64 p
    return r
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
    let names = ["fib", "there", "weighed", "routines", "far", "address_there", "divided"];
    let jobs = names.map(|name| session.job(name, &native).unwrap());
    let folder = folder();
    let at = folder.path();
    session.write_image(&at.join("code.image"), &jobs).unwrap();
    std::fs::write(at.join("loader.c"), include_str!("loader.c")).unwrap();
    run(at, cc, &["-Wall", "-Wextra", "-Werror", "-O1", "-o", "loader", "loader.c", "-lm"]);
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

/// The same for a machine that is not this one, as its triple and as Debian's tools call it.
fn emulated(machine: &str, gnu: &str) {
    let (cc, emulator) = (format!("{gnu}-linux-gnu-gcc"), format!("qemu-{gnu}"));
    if is_present(&cc) && is_present(&emulator) {
        loaded(machine, &cc, Some(&[&emulator, "-L", &format!("/usr/{gnu}-linux-gnu")]));
    }
}

#[test]
fn an_image_for_aarch64_runs() {
    emulated("aarch64", "aarch64");
}

#[test]
fn an_image_for_riscv64_runs() {
    emulated("riscv64gc", "riscv64");
}

/// Which is big-endian.
#[test]
fn an_image_for_s390x_runs() {
    emulated("s390x", "s390x");
}
