//! Kernels that C runs in another process: what they throw, print and allocate.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, STRICT, code, is_present, marq_in, marq_ok, run_in, stderr};

/// What the C code says of it.
const TOLD: &str = r#"BadValue in fill, hosted.mq:16:5: value %d at %d?: 7, 11
group 1, item 3
[item %d is "%d"] (i64, i16): 0 fffb
[and %f] (f32): 3f000000
[item %d is "%d"] (i64, i16): 1 fffb
[and %f] (f32): 3f000000
[item %d is "%d"] (i64, i16): 2 fffb
"#;

#[test]
fn c_gives_kernels_what_they_write_to() {
    for machine in MACHINES.iter().filter(|machine| machine.is_present()) {
        for options in [&["-O2"][..], &["-O0", "--relocation=static"]] {
            let folder = Folder::new();
            folder.file("hosted.mq", include_str!("aot/hosted.mq"));
            folder.file("hosted.c", include_str!("aot/hosted.c"));
            let build = ["build", "hosted.mq", "--target", &machine.target(), "--header", "hosted.h"];
            marq_ok(folder.root(), &[&build, options].concat());
            machine.link(&folder, &[&STRICT[..], &["hosted.c", "hosted.o", "-o", "program"]].concat());
            assert_eq!(machine.run(&folder, "./program"), TOLD, "{} {options:?}", machine.name);
        }
    }
}

/// One source, read as three languages.
#[test]
fn the_header_is_c99_and_cpp() {
    for (compiler, standard, file) in [
        ("cc", "-std=c99", "hosted.c"),
        ("cc", "-std=gnu17", "hosted.c"),
        ("c++", "-std=c++11", "hosted.cpp"),
    ] {
        if !is_present(compiler) {
            continue;
        }
        let folder = Folder::new();
        folder.file("hosted.mq", include_str!("aot/hosted.mq"));
        folder.file(file, include_str!("aot/hosted.c"));
        marq_ok(folder.root(), &["build", "hosted.mq", "--header", "hosted.h"]);
        let strict = [standard, "-Wall", "-Wextra", "-Werror", "-pedantic"];
        command::run_in(
            folder.root(),
            compiler,
            &[&strict[..], &[file, "hosted.o", "-o", "program"]].concat(),
        );
        assert_eq!(command::run_in(folder.root(), "./program", &[]), TOLD, "{compiler} {standard}");
    }
}

/// What is named in the header of functions and kernels that are one library has one name, whichever part it is of.
#[test]
fn names_of_functions_and_kernels_do_not_meet_in_the_header() {
    let folder = Folder::new();
    folder.file(
        "clash.mq",
        "struct fill_args { x: i32 }\n\
         struct pair { a: i64, b: i32 }\n\
         method f(a: fill_args, p: pair) -> i32 {\nentry:\n    x = get a, 0\n    y = get p, 1\n    z = add x, y\n    return z\n}\n\
         method clash_kernels_format(a: i32) -> i32 {\nentry:\n    return a\n}\n\
         method main(argc: i32, argv: ptr<global>) -> i32 {\nentry:\n    return argc\n}\n\
         kernel fill(p: ptr<global>) {\nentry:\n    print \"x\"\n    return\n}\n",
    );
    folder.file(
        "user.c",
        "#include \"clash.h\"\n#include \"clash.h\"\n\
         int use(struct pair p, struct fill_args_2 a);\n\
         int use(struct pair p, struct fill_args_2 a) {\n    struct fill_args b = {0};\n    (void)b;\n    \
         return f(&a, &p) + (clash_kernels_format_2(0) != 0);\n}\n",
    );
    marq_ok(folder.root(), &["build", "clash.mq", "--header", "clash.h", "--emit", "static"]);
    let header = String::from_utf8(folder.bytes("clash.h")).expect("text");
    assert_eq!(header.matches("#ifndef MARQ_CLASH").count(), 1, "{header}");
    assert!(!header.contains("int32_t main("), "{header}");
    if is_present("cc") {
        run_in(folder.root(), "cc", &[&STRICT[..], &["-c", "user.c"]].concat());
    }
    if is_present("g++") {
        folder.file("user.cc", "#include \"clash.h\"\nint main() { return 0; }\n");
        run_in(
            folder.root(),
            "g++",
            &["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I.", "-c", "user.cc"],
        );
    }
}

/// Functions and kernels are compiled apart: memory that both write would be two.
#[test]
fn globals_of_functions_and_kernels_are_not_two() {
    let folder = Folder::new();
    let program = |space: &str| {
        format!(
            "global counter: i64 in {space} = i64 4\n\
             method get_count() -> i64 {{\nentry:\n    t = address.{space} counter\n    v = load.i64 t\n    return v\n}}\n\
             method other(a: i64) -> i64 {{\nentry:\n    return a\n}}\n\
             kernel read_it(p: ptr<global>) {{\nentry:\n    t = address.{space} counter\n    v = load.i64 t\n    \
             store p, v\n    return\n}}\n"
        )
    };
    folder.file("g.mq", program("global"));
    folder.file("c.mq", program("constant"));
    let output = marq_in(folder.root(), &["build", "g.mq", "--emit", "static"]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains("functions and kernels would each have a global 'counter' of their own"), "{said}");
    marq_ok(folder.root(), &["build", "c.mq", "--emit", "static"]);
    marq_ok(folder.root(), &["build", "g.mq", "--emit", "static", "--entry", "other", "--entry", "read_it"]);
    marq_ok(folder.root(), &["build", "g.mq", "--emit", "static", "--device"]);
}
