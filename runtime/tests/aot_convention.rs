//! The platforms' C conventions, as C compilers understand them: arguments and results that Cranelift would place elsewhere or
//! leave half undefined.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, marq_in, marq_ok, stderr};
use std::fmt::Write;

/// What stands in front of the first `i128`, in the program and in C.
struct Before {
    name: String,
    /// Of each argument, whether it is a number with a fraction.
    real: Vec<bool>,
}

impl Before {
    fn all() -> Vec<Before> {
        let integers = (0..=9).map(|n| Before { name: format!("i{n}"), real: vec![false; n] });
        let reals = (8..=11).map(|n| Before { name: format!("r{n}"), real: vec![true; n] });
        // As many of each, so that both kinds of registers run out, in either order.
        let mixed = (4..=9).map(|n| Before { name: format!("m{n}"), real: [false, true].repeat(n) });
        let late = (5..=8).map(|n| {
            let real = [vec![true; 10], vec![false; n]].concat();
            Before { name: format!("l{n}"), real }
        });
        integers.chain(reals).chain(mixed).chain(late).collect()
    }
}

/// For each, a function of C's that the program calls, and one of its own, called by name and by address.
fn sources() -> (String, String) {
    let (mut program, mut c, mut calls) = (String::new(), String::new(), String::new());
    c.push_str("#include \"wide.h\"\n#include <stdio.h>\ntypedef __int128 wide;\n");
    c.push_str("#define W(h, l) ((wide)(((unsigned __int128)(h) << 64) | (l)))\n");
    for Before { name, real } in Before::all() {
        let text = |word: &dyn Fn(usize, bool) -> String| -> String {
            real.iter().enumerate().map(|(n, &real)| word(n, real)).collect()
        };
        let ty = |real| if real { "f64" } else { "i64" };
        let c_ty = |real| if real { "double" } else { "int64_t" };
        let types = text(&|_, real| format!("{}, ", ty(real)));
        let values = text(&|n, real| format!("{} {}{}, ", ty(real), n + 1, if real { ".0" } else { "" }));
        let params = text(&|n, real| format!("p{n}: {}, ", ty(real)));
        let c_values = text(&|n, _| format!("{}, ", n + 1));
        let c_params = text(&|n, real| format!("{} p{n}, ", c_ty(real)));
        let same = text(&|n, _| format!("p{n} == {} && ", n + 1));
        let _ = write!(
            program,
            "extern func c_{name}({types}i128, i64, i128, i32, i64) -> i64 as \"c_{name}\"
method call_{name}() -> i64 {{
entry:
    r = call c_{name}({values}i128 36893488147419103235, i64 100, i128 92233720368547758086, i32 101, i64 102)
    return r
}}
method back_{name}({params}w: i128, x: i64, v: i128, y: i32, z: i64) -> i64 noinline {{
entry:
"
        );
        let mut sum = "i64 0".to_owned();
        for (n, &real) in real.iter().enumerate() {
            let part = if real { format!("w{n}") } else { format!("p{n}") };
            if real {
                let _ = writeln!(program, "    {part} = ftos.i64 p{n}");
            }
            let _ = writeln!(program, "    t{n} = mul {sum}, i64 3\n    s{n} = add t{n}, {part}");
            sum = format!("s{n}");
        }
        let _ = write!(
            program,
            "    h = shr.u w, i128 64
    hw = trunc.i64 h
    lw = trunc.i64 w
    g = shr.u v, i128 64
    hv = trunc.i64 g
    lv = trunc.i64 v
    yw = sext.i64 y
"
        );
        for (n, part) in ["hw", "lw", "x", "hv", "lv", "yw", "z"].into_iter().enumerate() {
            let _ = writeln!(program, "    a{n} = mul {sum}, i64 3\n    b{n} = add a{n}, {part}");
            sum = format!("b{n}");
        }
        let _ = write!(
            program,
            "    return {sum}
}}
method direct_{name}() -> i64 {{
entry:
    f = function_address back_{name}({types}i128, i64, i128, i32, i64)
    a = call_indirect f({values}i128 36893488147419103235, i64 100, i128 92233720368547758086, i32 101, i64 102) -> i64
    b = call back_{name}({values}i128 36893488147419103235, i64 100, i128 92233720368547758086, i32 101, i64 102)
    d = sub a, b
    e = eq d, i64 0
    r = select e, a, i64 -1
    return r
}}
"
        );
        let _ = write!(
            c,
            "int64_t c_{name}({c_params}wide w, int64_t x, wide v, int32_t y, int64_t z);
int64_t c_{name}({c_params}wide w, int64_t x, wide v, int32_t y, int64_t z) {{
    return {same}w == W(2, 3) && x == 100 && v == W(5, 6) && y == 101 && z == 102;
}}
static int64_t sum_{name}({c_params}wide w, int64_t x, wide v, int32_t y, int64_t z) {{
    int64_t sum = 0;
{}    sum = sum * 3 + (int64_t)(w >> 64); sum = sum * 3 + (int64_t)w; sum = sum * 3 + x;
    sum = sum * 3 + (int64_t)(v >> 64); sum = sum * 3 + (int64_t)v; sum = sum * 3 + y;
    return sum * 3 + z;
}}
",
            text(&|n, _| format!("    sum = sum * 3 + (int64_t)p{n};\n"))
        );
        let passed = format!("({c_values}W(2, 3), 100, W(5, 6), 101, 102)");
        let _ = write!(
            calls,
            "    if (call_{name}() != 1) {{ puts(\"call_{name}\"); failed = 1; }}
    if (direct_{name}() != sum_{name}{passed}) {{ puts(\"direct_{name}\"); failed = 1; }}
"
        );
    }
    let _ = write!(c, "int main(void) {{\n    int failed = 0;\n{calls}    return failed;\n}}\n");
    (program, c)
}

#[test]
fn wide_integers_are_where_c_has_them() {
    let (program, c) = sources();
    let mut wrong = String::new();
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for level in ["-O0", "-O2"] {
            let folder = Folder::new();
            folder.file("wide.mq", &program);
            folder.file("main.c", &c);
            let build = ["build", "wide.mq", "--target", &machine.target(), "--header", "wide.h", level];
            marq_ok(folder.root(), &build);
            machine.link(&folder, &["-Wall", "-Wextra", "main.c", "wide.o", "-o", "program"]);
            let output = machine.command(&folder, "./program").output().expect("it starts");
            let said = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                let _ = writeln!(
                    wrong,
                    "{} {level}: {}: {}",
                    machine.name,
                    output.status,
                    said.replace('\n', " ")
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// No C compiler of Windows passes one in registers, as Cranelift does.
#[test]
fn wide_integers_do_not_reach_c_on_windows() {
    let folder = Folder::new();
    folder.file("wide.mq", "extern func c(i128) -> i64 as \"c\"\nmethod f() -> i64 {\nentry:\n    r = call c(i128 1)\n    return r\n}\n");
    let output = marq_in(folder.root(), &["build", "wide.mq", "--target", "native:x86_64-pc-windows-gnu"]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("'c' takes or returns an i128"), "{said}");
}

const HALVES: &str = "extern func sink(f16, bf16, i64) -> i64 as \"sink\"
extern func give(i64) -> f16 as \"give\"
method half(a: i64) -> f16 {
entry:
    t = trunc.i16 a
    b = bitcast.f16 t
    return b
}
method pass(a: i64) -> i64 {
entry:
    t = trunc.i16 a
    b = bitcast.f16 t
    u = trunc.i16 a
    d = bitcast.bf16 u
    r = call sink(b, d, a)
    return r
}
method turn(a: i64) -> i64 {
entry:
    h = call give(a)
    b = bitcast.i16 h
    r = zext.i64 b
    return r
}
";

const HALVES_MAIN: &str = "
#include \"half.h\"
int64_t sink(uint16_t a, uint16_t b, int64_t c);
int64_t sink(uint16_t a, uint16_t b, int64_t c) { (void)c; return (int64_t)a * 65536 + b; }
uint16_t give(int64_t a);
uint16_t give(int64_t a) { return (uint16_t)a; }
int main(void) {
    if ((uint64_t)half(0x12345678bc00LL) != 0xbc00) return 1;
    if (pass(0x12345678bc00LL) != 0xbc00bc00LL) return 2;
    if (turn(0x12345678bc00LL) != 0xbc00) return 3;
    return 0;
}
";

#[test]
fn short_floats_are_integers_without_sign() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for level in ["-O0", "-O2"] {
            let folder = Folder::new();
            folder.file("half.mq", HALVES);
            folder.file("main.c", HALVES_MAIN);
            let build = ["build", "half.mq", "--target", &machine.target(), "--header", "half.h", level];
            marq_ok(folder.root(), &build);
            machine.link(&folder, &["-O2", "-Wall", "-Wextra", "main.c", "half.o", "-o", "program"]);
            machine.run(&folder, "./program");
        }
    }
}
