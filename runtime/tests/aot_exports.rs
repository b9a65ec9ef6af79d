//! What others see of an object, and under which names.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, code, globals, is_present, marq_in, marq_ok, run_in, stderr};

/// Functions may be called like those of C, and like what is no name there.
#[test]
fn names_that_mean_something_in_c_are_others_there() {
    let names = [
        "abs",
        "printf",
        "memcmp",
        "sin",
        "while",
        "int32_t",
        "_Bool",
        "template",
        "linux",
        "index",
        "INT64_MAX",
        "NULL",
        "EOF",
        "errno",
        "stdin",
        "assert",
        "isnan",
        "MARQ_ALIGN",
        "MARQ_EXIT",
        "marq_group",
        "__LINE__",
        "INT8_C",
        "PRId64",
        "SIGINT",
        "I",
        "M_PI",
        "HUGE_VAL",
        "unix",
    ];
    // The same names for parameters, fields and structs.
    let mut text = String::new();
    for (n, name) in names.iter().enumerate() {
        let next = names[(n + 1) % names.len()];
        text += &format!("struct \"{name}\" {{ {next}: i32, {name}: f64 }}\n");
        text += &format!(
            "method \"{name}\"({next}: i32, {name}: i32) -> i32 {{\nentry:\n    r = add {next}, i32 {n}\n    return r\n}}\n"
        );
        text += &format!(
            "method \"of {name}\"({next}: \"{name}\") -> \"{name}\" {{\nentry:\n    return {next}\n}}\n"
        );
    }
    let folder = Folder::new();
    folder.file("names.mq", &text);
    marq_ok(folder.root(), &["build", "names.mq", "--header", "names.h"]);
    let mut seen = globals(&std::fs::read(folder.path("names.o")).expect("an object"));
    let mut wanted: Vec<String> =
        names.iter().flat_map(|name| [format!("{name}_"), format!("of_{name}")]).collect();
    wanted.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, wanted);
    if is_present("cc") {
        let calls: Vec<String> =
            names.iter().enumerate().map(|(n, name)| format!("{name}_(1, 2) == {}", n + 1)).collect();
        let main = |headers: &[&str]| {
            let headers: String = headers.iter().map(|name| format!("#include <{name}>\n")).collect();
            format!(
                "{headers}#include \"names.h\"\nint main(void) {{ return {} ? 0 : 1; }}\n",
                calls.join(" && ")
            )
        };
        let all = main(&[
            "assert.h",
            "complex.h",
            "errno.h",
            "inttypes.h",
            "limits.h",
            "math.h",
            "signal.h",
            "stdio.h",
            "stdlib.h",
            "string.h",
            "strings.h",
            "time.h",
            "wchar.h",
        ]);
        for (compiler, standard, file, text) in [
            ("cc", "-std=c99", "main.c", &all),
            ("cc", "-std=gnu17", "main.c", &all),
            ("cc", "-std=c99", "alone.c", &main(&[])),
            ("c++", "-std=c++11", "main.cpp", &all.replace("complex.h", "cerrno")),
            ("c++", "-std=gnu++17", "alone.cpp", &main(&[])),
        ] {
            if !is_present(compiler) {
                continue;
            }
            folder.file(file, text);
            let strict = [standard, "-Wall", "-Wextra", "-Werror", "-pedantic"];
            run_in(
                folder.root(),
                compiler,
                &[&strict[..], &["-o", "program", file, "names.o", "-lm"]].concat(),
            );
            run_in(folder.root(), "./program", &[]);
        }
    }
    let refused = |symbol: &str, header: bool| {
        let export = format!("while={symbol}");
        let mut args = vec!["build", "names.mq", "--export", &export];
        args.extend(["--header", "other.h"].iter().filter(|_| header));
        let output = marq_in(folder.root(), &args);
        (code(&output), stderr(&output))
    };
    for symbol in ["while", "printf", "a.b"] {
        let (status, said) = refused(symbol, true);
        assert_eq!(status, 1);
        let wanted =
            format!("'while' cannot be '{symbol}' in a header: that is no name for a function in C or C++");
        assert!(said.contains(&wanted), "{said}");
    }
    // Others than C may call it.
    assert_eq!(refused("a.b", false), (0, String::new()));
}

#[test]
fn only_what_is_exported_is_seen() {
    let folder = Folder::with_library();
    let seen = |args: &[&str]| {
        let mut all = vec!["build", "library.mq", "-o", "library.o"];
        all.extend_from_slice(args);
        marq_ok(folder.root(), &all);
        globals(&std::fs::read(folder.path("library.o")).expect("an object"))
    };
    assert_eq!(seen(&["--export", "fib", "--export", "half"]), ["fib", "half"]);
    assert_eq!(seen(&["--export", "twice"]), ["twice_f64", "twice_i32"]);
    assert_eq!(seen(&["--export", "twice(f64)=double_it"]), ["double_it"]);
    assert_eq!(seen(&["--export", "odd name!"]), ["odd_name"]);
    assert_eq!(seen(&["--entry", "add", "--entry", "fib"]), ["add", "fib"]);
    assert_eq!(seen(&["--entry", "twice(i32)"]), ["twice_i32"]);
    assert_eq!(seen(&["--entry", "half", "--entry-abi", "packed"]), ["half"]);
    let all = seen(&[]);
    assert_eq!(all.len(), 22, "{all:?}");
    assert!(all.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')), "{all:?}");
}

#[test]
fn generic_methods_are_built_for_types() {
    let folder = Folder::new();
    let source = "method double<T>(x: T) -> T {\nentry:\n    r = add x, x\n    return r\n}\n";
    folder.file("g.mq", source);
    let entries = ["build", "g.mq", "--entry", "double(i32)", "--entry", "double(f64)", "--header", "g.h"];
    marq_ok(folder.root(), &entries);
    let bytes = std::fs::read(folder.path("g.o")).expect("an object");
    assert_eq!(globals(&bytes), ["double_f64", "double_i32"]);
    let header = std::fs::read_to_string(folder.path("g.h")).expect("a header");
    assert!(header.contains("double double_f64(double x);"), "{header}");
    assert!(header.contains("int32_t double_i32(int32_t x);"), "{header}");
    for (args, wanted) in [
        (&["--entry", "double"][..], "'double' has type variables: say for which types"),
        (&[], "there is no function or kernel without type variables"),
    ] {
        let mut all = vec!["build", "g.mq"];
        all.extend_from_slice(args);
        let output = marq_in(folder.root(), &all);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
}

#[test]
fn clashes_are_errors_that_name_both() {
    let folder = Folder::new();
    let source = "method \"a b\"() {\nentry:\n    return\n}\nmethod \"a-b\"() {\nentry:\n    return\n}\n";
    folder.file("clash.mq", source);
    let output = marq_in(folder.root(), &["build", "clash.mq"]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains("'a b' and 'a-b' would both be 'a_b'"), "{said}");
    marq_ok(folder.root(), &["build", "clash.mq", "--export", "a b", "--export", "a-b=other"]);
    assert_eq!(globals(&std::fs::read(folder.path("clash.o")).expect("an object")), ["a_b", "other"]);
    let output = marq_in(folder.root(), &["build", "clash.mq", "--export", "a b=memmove"]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains("entry 'a b', as 'memmove', has the name of a routine of the C library"), "{said}");
    folder.file("host.mq", "extern func g() as \"f\"\nmethod f() {\nentry:\n    call g()\n    return\n}\n");
    let said = stderr(&marq_in(folder.root(), &["build", "host.mq"]));
    assert!(said.contains("entry 'f' has the name of a function of the host"), "{said}");
}

#[test]
fn one_function_has_one_symbol() {
    let folder = Folder::with_library();
    folder.file("f.mq", "method f(x: i32) -> i32 {\nentry:\n    return x\n}\n");
    let output = marq_in(folder.root(), &["build", "f.mq", "--export", "f=x", "--export", "f=y"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("'f' cannot be both 'x' and 'y'"), "{}", stderr(&output));
    assert!(!folder.path("f.o").exists());
}

/// The linker runs where its user is.
#[test]
fn files_in_arguments_of_the_linker_are_found() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::new();
    folder.file("sum.mq", "extern func host_add(i32, i32) -> i32 as \"host_add\"\nmethod sum(a: i32, b: i32) -> i32 {\nentry:\n    r = call host_add(a, b)\n    return r\n}\n");
    folder.file("host.c", "int host_add(int a, int b) { return a + b; }\n");
    run_in(folder.root(), "cc", &["-fPIC", "-c", "host.c", "-o", "host.o"]);
    marq_ok(folder.root(), &["build", "sum.mq", "--emit", "shared", "--link-arg", "host.o"]);
    let library = std::fs::read(folder.path("libsum.so")).expect("a library");
    assert!(globals(&library).iter().any(|symbol| symbol == "host_add"));
}
