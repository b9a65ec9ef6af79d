//! Kernels that C runs in another process: what they throw, print and allocate.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, MACHINES, STRICT, is_present, marq_ok};

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
