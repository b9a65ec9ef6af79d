//! Functions that C calls through addresses which the program hands over.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, STRICT, marq_in, marq_ok, stderr};
use object::{Object, ObjectSymbol};

const SOURCE: &str = r#"
extern func qsort(ptr<generic>, i64, i64, ptr<generic>) as "qsort"
extern func apply(ptr<generic>, i32) -> i32 as "host_apply"
global callbacks: array<i64, 3> in constant = [i64 0, i64 0, i64 7] with [0: symbol "backwards", 8: symbol "halve"]
global own: array<i64, 2> in constant = [i64 0, i64 0] with [0: function twice(i64), 8: function thrice(i64)]

method backwards(a: ptr<generic>, b: ptr<generic>) -> i32 noinline {
entry:
    x = load.i32 a
    y = load.i32 b
    r = sub y, x
    return r
}

; Throws, so C gets a status, and tells where the result goes.
method halve(x: i32, n: i32) -> i32 noinline {
entry:
    q = div.s x, n
    return q
}

method sort(numbers: ptr<generic>, count: i64) {
entry:
    t = address.constant callbacks
    f = load.ptr<generic> t
    call qsort(numbers, count, i64 4, f)
    return
}

method table() -> ptr<generic> {
entry:
    t = address.constant callbacks
    g = spacecast.ptr<generic> t
    return g
}

; A function of C's arrives as an address, and a function of C's calls it.
method through(f: ptr<generic>, x: i32) -> i32 {
entry:
    r = call apply(f, x)
    return r
}

; The program's own addresses are no business of who calls these two by name.
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

method choose(n: i64, x: i64) -> i64 {
entry:
    t = address.constant own
    at = index t, n, i64
    f = load.ptr<generic> at
    direct = function_address thrice(i64)
    first = eq n, i64 5
    branch first, other, usual(f)
other:
    jump usual(direct)
usual(g: ptr<generic>):
    r = call_indirect g(x) -> i64
    return r
}
"#;

const MAIN: &str = r#"
#include "calls.h"
#include <stdio.h>

int32_t host_apply(int32_t (*f)(int32_t), int32_t x);
int32_t host_apply(int32_t (*f)(int32_t), int32_t x) { return f(x); }
static int32_t next(int32_t x) { return x + 1; }

struct handlers {
    int32_t (*order)(void *a, void *b);
    uint32_t (*halve)(int32_t x, int32_t n, int32_t *result);
    int64_t seven;
};

int main(void) {
    int32_t numbers[5] = {3, -1, 9, 0, 4}, result = 0;
    int64_t wide = 0;
    sort(numbers, 5);
    for (int n = 0; n < 4; n++)
        if (numbers[n] <= numbers[n + 1]) return 2;
    const struct handlers *handlers = (const struct handlers *)table();
    if (handlers->order(numbers, numbers + 1) >= 0 || handlers->seven != 7) return 3;
    if (handlers->halve(9, 2, &result) != 0 || result != 4) return 4;
    if (handlers->halve(9, 0, &result) == 0) return 5;
    if (through((void *)(uintptr_t)next, 41) != 42) return 6;
    if (twice(21) != 42 || thrice(3) != 9) return 7;
    if (choose(0, 4, &wide) != 0 || wide != 8) return 8;
    if (choose(1, 4, &wide) != 0 || wide != 12) return 9;
    if (choose(5, 5, &wide) != 0 || wide != 15) return 10;
    return 0;
}
"#;

#[test]
fn c_calls_what_symbols_of_exports_lead_to() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for options in [&["-O2"][..], &["-O0", "--relocation=static"]] {
            let folder = Folder::new();
            folder.file("calls.mq", SOURCE);
            folder.file("main.c", MAIN);
            let build = ["build", "calls.mq", "--target", &machine.target(), "--header", "calls.h"];
            marq_ok(folder.root(), &[&build, options].concat());
            let strict: Vec<&str> = STRICT.into_iter().filter(|&option| option != "-pedantic").collect();
            for pie in ["-pie", "-no-pie"] {
                machine.link(&folder, &[&strict[..], &[pie, "main.c", "calls.o", "-o", "program"]].concat());
                machine.run(&folder, "program");
            }
        }
        // In a shared library, too, where no other function of the name is meant.
        let folder = Folder::new();
        folder.file("calls.mq", SOURCE);
        folder.file(
            "main.c",
            MAIN.replace("int main", "int32_t backwards(void *a, void *b) { return 0; }\nint main"),
        );
        let target = machine.target();
        let build = ["build", "calls.mq", "--target", &target, "--header", "calls.h", "--emit", "shared"];
        marq_ok(folder.root(), &build);
        machine.link(
            &folder,
            &["-I.", "-rdynamic", "main.c", "-o", "program", "-L.", "-lcalls", "-Wl,-rpath,$ORIGIN"],
        );
        machine.run(&folder, "program");
    }
}

/// What is not exported is a symbol of somebody else's, and a function of the host is not the program's own.
#[test]
fn symbols_are_those_of_others_else() {
    let folder = Folder::new();
    folder.file("calls.mq", SOURCE);
    let build = ["build", "calls.mq", "--export", "sort", "--export", "halve"];
    marq_ok(folder.root(), &build);
    let bytes = folder.bytes("calls.o");
    let file = object::File::parse(&*bytes).expect("an object");
    let undefined = file.symbols().filter(|symbol| symbol.is_undefined());
    let undefined: Vec<&str> = undefined.filter_map(|symbol| symbol.name().ok()).collect();
    assert!(undefined.contains(&"backwards") && !undefined.contains(&"halve"), "{undefined:?}");
    folder.file("clash.mq", SOURCE.replace("host_apply", "backwards"));
    let output = marq_in(folder.root(), &["build", "clash.mq"]);
    assert!(
        stderr(&output).contains("entry 'backwards' has the name of a function of the host"),
        "{}",
        stderr(&output)
    );
}
