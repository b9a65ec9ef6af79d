//! The relocation model and the policy for externs, in all their combinations; and session addresses: a library that another
//! tool linked calls functions of this very process, through no symbol.
#![cfg(feature = "cli")]
#![allow(unsafe_code, reason = "this is where linked code is loaded and called")]

mod command;

use command::{Folder, MACHINES, is_present, marq_in, marq_ok, run_in};
use marquetry::aot::link::{Linker, link};
use marquetry::aot::{self, Emit, Plan, choose};
use marquetry::library;
use marquetry_codegen::native::{ExternPolicy, NativeOptions, NativeTarget};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use object::{Object, ObjectSection, ObjectSymbol, RelocationKind};
use std::sync::atomic::{AtomicI64, Ordering};

static SEEN: AtomicI64 = AtomicI64::new(0);

extern "C" fn note(x: i64) -> i64 {
    SEEN.fetch_add(x, Ordering::Relaxed) + x
}

const SOURCE: &str = "
extern func note(i64) -> i64 as \"no_such_symbol\"

method tell(x: i64) -> i64 {
entry:
    a = call note(x)
    b = call note(a)
    return b
}
";

#[test]
fn linked_code_calls_functions_of_this_process() {
    if !is_present("cc") {
        return;
    }
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "s.mq", SOURCE), []);
    let entries = choose::concrete(&program, false);
    let job = Job::new(entries, View::native(&[]), OptLevel::Default);
    let options = NativeOptions { externs: ExternPolicy::Addresses, ..NativeOptions::default() };
    let target = NativeTarget::host(options).expect("this machine");
    let missing = aot::build(&program, &job, &target, &Plan::default()).expect_err("there is no address");
    assert!(missing.to_string().contains("no_such_symbol"), "{missing}");
    let addresses = [("no_such_symbol".to_owned(), note as *const () as u64)].into();
    let plan = Plan { addresses, ..Plan::default() };
    let built = aot::build(&program, &job, &target, &plan).expect("an object");
    let linker = Linker { name: "s.so".into(), arguments: vec!["-Wl,-z,defs".into()], ..Linker::default() };
    let library = link(Emit::Shared, vec![built.artifact.code], &target, &linker).expect("a library");
    let folder = Folder::new();
    let path = folder.file("s.so", library);
    // SAFETY: the library holds the function above and no initialisers; it has this signature.
    unsafe {
        let library = libloading::Library::new(path).expect("it loads");
        let tell: libloading::Symbol<'_, extern "C" fn(i64) -> i64> =
            library.get(b"tell").expect("it is there");
        assert_eq!(tell(5), 10);
    }
    assert_eq!(SEEN.load(Ordering::Relaxed), 10);
}

/// Has a function of the host, a table with addresses of its own, and writable memory.
const HOSTED: &str = "
extern func note(i64) -> i64 as \"host_note\"
global seen: i64 in global = i64 1

method twice(x: i64) -> i64 noinline {
entry:
    y = add x, x
    return y
}

method thrice(x: i64) -> i64 noinline {
entry:
    y = mul x, i64 3
    return y
}

method tell(x: i64) -> i64 {
entry:
    a = call note(x)
    large = gt.s x, i64 5
    f2 = function_address twice(i64)
    f3 = function_address thrice(i64)
    f = select large, f3, f2
    b = call_indirect f(a) -> i64
    p = address.global seen
    old = load.i64 p
    new = add old, b
    store p, new
    return new
}
";

/// The host: its function has a symbol, or is at an address without any.
const HOST: &str = "
#include <stdint.h>
#include \"tell.h\"
#ifdef ADDRESS
__attribute__((section(\".fixed\"), used, noinline)) static int64_t note(int64_t x) { return x + 100; }
#else
int64_t host_note(int64_t x) { return x + 100; }
#endif
int main(void) {
    int64_t result = 0;
#ifdef ADDRESS
    if ((uintptr_t)note != ADDRESS) return 2;
#endif
    if (tell(1, &result) != 0 || result != 203) return 3;
    if (tell(2, &result) != 0 || result != 407) return 4;
    if (tell(10, &result) != 0 || result != 737) return 5;
    return 0;
}
";

/// Apart from everything else of the program, and where calls of C's still reach it.
const ADDRESS: &str = "0x30000000";

#[test]
fn relocation_and_externs_are_independent() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for relocation in ["static", "pic"] {
            for externs in ["symbols", "addresses"] {
                let folder = Folder::new();
                let at = folder.root();
                folder.file("tell.mq", HOSTED);
                folder.file("host.c", HOST);
                let what = format!("{} {relocation} {externs}", machine.name);
                let target = machine.target();
                let mut build = vec!["build", "tell.mq", "--target", &target, "--header", "tell.h"];
                build.extend(["--entry", "tell", "--relocation", relocation, "--externs", externs]);
                let address = format!("host_note={ADDRESS}");
                let section = format!("-Wl,--section-start=.fixed={ADDRESS}");
                let defined = format!("-DADDRESS={ADDRESS}");
                let mut link = vec!["-Wall", "-Werror", "host.c", "tell.o", "-o", "program"];
                if externs == "addresses" {
                    build.extend(["--address", &address]);
                    link.extend([section.as_str(), defined.as_str()]);
                }
                marq_ok(at, &build);
                says(&folder.bytes("tell.o"), externs, &what);
                machine.link(&folder, &[&link[..], &["-no-pie"]].concat());
                machine.run(&folder, "program");
                if externs == "symbols" {
                    machine.link(&folder, &[&link[..], &["-pie", "-fPIE", "-Wl,-z,text"]].concat());
                    machine.run(&folder, "program");
                }
                let shared = marq_in(
                    at,
                    &[&build[..], &["--emit", "shared", "--link-arg", "-Wl,-z,text", "-o", "out.so"]]
                        .concat(),
                );
                assert_eq!(shared.status.success(), relocation == "pic", "{what}");
            }
        }
    }
}

/// Tables of addresses that only a linker or loader knows, and calls of what the C library has.
const TABLES: &str = "
extern func strlen(ptr<generic>) -> i64 as \"strlen\"
global seen: i64 in global = i64 41
global table: array<i64, 3> in constant align 64 = [i64 7, i64 0, i64 0] with [8: function thrice(i64), 16: function twice(i64)]
global others: array<i64, 2> in constant = [i64 0, i64 0] with [0: symbol \"host_data\", 8: address seen]

method twice(x: i64) -> i64 noinline {
entry:
    y = add x, x
    return y
}

method thrice(x: i64) -> i64 noinline {
entry:
    y = mul x, i64 3
    return y
}

method apply(n: i64, x: i64) -> i64 {
entry:
    t = address.constant table
    at = index t, n, i64
    f = load.ptr<generic> at
    r = call_indirect f(x) -> i64
    return r
}

method read(n: i64) -> i64 {
entry:
    t = address.constant others
    at = index t, n, i64
    p = load.ptr<global> at
    r = load.i64 p
    return r
}

method copy(to: ptr<generic>, from: ptr<generic>) -> i64 {
entry:
    n = call strlen(from)
    bytes = add n, i64 1
    memcpy to, from, bytes
    return n
}

method multiply(x: f64, y: f64, z: f64) -> f64 {
entry:
    r = fma x, y, z
    return r
}
";

const READER: &str = "
#include <string.h>
#include \"tables.h\"
int64_t host_data = 5;
int main(void) {
    int64_t result = 0;
    char text[8];
    if (apply(2, 21, &result) != 0 || result != 42) return 2;
    if (apply(1, 5, &result) != 0 || result != 15) return 3;
    if (read_(0) != 5 || read_(1) != 41) return 4;
    if (copy(text, (void *)\"marq\") != 4 || strcmp(text, \"marq\") != 0) return 5;
    return multiply(2, 3, 4) == 10 ? 0 : 6;
}
";

/// Whatever the model, an executable may be at a fixed place or anywhere, and nothing but data is written when it is loaded.
#[test]
fn constant_addresses_link_into_every_executable() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for relocation in ["static", "pic"] {
            let folder = Folder::new();
            folder.file("tables.mq", TABLES);
            folder.file("reader.c", READER);
            let target = machine.target();
            let build = ["build", "tables.mq", "--target", &target, "--relocation", relocation];
            marq_ok(
                folder.root(),
                &[
                    &build[..],
                    &[
                        "--header",
                        "tables.h",
                        "--export",
                        "apply",
                        "--export",
                        "read=read_",
                        "--export",
                        "copy",
                        "--export",
                        "multiply",
                    ],
                ]
                .concat(),
            );
            let link = ["-Wall", "-Werror", "-Wl,--fatal-warnings", "reader.c", "tables.o", "-o", "program"];
            for kind in [&["-no-pie"][..], &["-pie", "-fPIE", "-Wl,-z,text"], &["-Wl,-z,text"]] {
                machine.link(&folder, &[&link, kind, &["-lm"]].concat());
                machine.run(&folder, "program");
                let dynamic = run_in(folder.root(), &machine.tool("readelf"), &["-dW", "program"]);
                assert!(!dynamic.contains("TEXTREL"), "{} {relocation} {kind:?}: {dynamic}", machine.name);
            }
        }
    }
}

/// The object is what the settings say: functions of the host are symbols, or not mentioned. No code holds addresses that a linker
/// or loader would have to write into it.
fn says(bytes: &[u8], externs: &str, what: &str) {
    let file = object::File::parse(bytes).expect("an object");
    let needed: Vec<&str> =
        file.symbols().filter(|symbol| symbol.is_undefined()).filter_map(|s| s.name().ok()).collect();
    assert_eq!(needed.contains(&"host_note"), externs == "symbols", "{what}: {needed:?}");
    let text = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    let absolute = text
        .flat_map(|section| section.relocations().collect::<Vec<_>>())
        .filter(|(_, relocation)| relocation.kind() == RelocationKind::Absolute && relocation.size() == 64);
    assert_eq!(absolute.count(), 0, "{what}: absolute addresses in code");
}
