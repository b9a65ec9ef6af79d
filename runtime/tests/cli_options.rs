//! Options that what is asked for has no use for: mistakes, not passed over.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, is_present, marq, marq_in, marq_ok, stderr, stdout};

const KERNEL: &str = "kernel k(p: ptr<global>) {\nentry:\n    store p, i32 1\n    return\n}\n";

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    folder.file("f.mq", GOOD);
    folder.file("k.mq", KERNEL);
    let image: &[&[&str]] = &[
        &["--header", "x.h"],
        &["--export", "twice"],
        &["--relocation", "static"],
        &["--relocation", "pic"],
        &["--externs", "symbols"],
        &["--address", "x=1"],
        &["--linker", "cc"],
        &["--link-arg", "-lm"],
        &["--patches", "x.json"],
        &["--host-policy", "sentinel"],
    ];
    let archive: &[&[&str]] = &[&["--linker", "cc"], &["--link-arg", "-lm"]];
    for (emit, refused) in [("image", image), ("static", archive), ("obj", archive)] {
        for option in refused {
            let args = [&["build", "f.mq", "--emit", emit, "-o", "out"], *option].concat();
            let output = marq_in(folder.0.path(), &args);
            assert_eq!(code(&output), 2, "{args:?}");
            let wanted = match emit {
                "obj" => {
                    format!("{} is for --emit obj only where functions and kernels become one", option[0])
                }
                _ => format!("{} is not for --emit {emit}, but for obj", option[0]),
            };
            assert!(stderr(&output).contains(&wanted), "{args:?}: {}", stderr(&output));
            assert!(!folder.path("out").exists());
        }
    }
    let cases: [(&[&str], &str); 9] = [
        (
            &["build", "k.mq", "--entry-abi", "packed"],
            "--entry-abi is for functions, and only kernels are built",
        ),
        (
            &["build", "k.mq", "--host-policy", "trap"],
            "--host-policy is for code that does not see the device table",
        ),
        (
            &["build", "f.mq", "k.mq", "--device", "--host-policy", "trap"],
            "--host-policy is for code that does not",
        ),
        (&["build", "k.mq", "--device", "--library"], "'--device' cannot be used with '--library'"),
        (&["build", "f.mq", "--address", "x=1"], "--address is for --externs addresses"),
        (
            &["compile", "k.mq", "--target", "ptx", "--host-policy", "trap"],
            "--host-policy is for native code, not for ptx",
        ),
        (
            &["compile", "k.mq", "--target", "wgsl", "--entry-abi", "packed"],
            "--entry-abi is for native code, not for wgsl",
        ),
        (
            &["compile", "f.mq", "--target", "native", "--exceptions", "trap"],
            "--exceptions is for kernels, and only functions are compiled",
        ),
        (
            &["run", "f.mq", "k.mq", "--entry", "twice"],
            "'k.mq' would be the program of an image, and 'f.mq' is none",
        ),
    ];
    for (args, wanted) in cases {
        let output = marq_in(folder.0.path(), args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(stderr(&output).contains(wanted), "{args:?}: {}", stderr(&output));
    }
    // Joined by the linker, functions and kernels are one object.
    if is_present("cc") {
        let joined =
            ["build", "f.mq", "k.mq", "--linker", "cc", "--link-arg", "-Wl,--build-id=none", "-o", "out"];
        marq_ok(folder.0.path(), &joined);
    }
}

/// The help has the table that the check goes by.
#[test]
fn the_help_says_what_is_for_what() {
    let help = stdout(&marq(&["build", "--help"]));
    for row in [
        "                      obj     static  shared  exe     image",
        "  --linker            (yes)   -       yes     yes     -\n",
        "  --header            yes     yes     yes     yes     -\n",
        "  --references patch  yes     yes     yes     -       -\n",
    ] {
        assert!(help.contains(row), "{row}\n{help}");
    }
}
