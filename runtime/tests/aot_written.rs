//! Files that several processes write at once, and disks that are full: what is there is always whole.
#![cfg(all(feature = "cli", unix))]

mod command;

use command::{Folder, code, is_present, marq_in, marq_ok, run_in, stderr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const EMITTED: [&str; 5] = ["obj", "static", "shared", "exe", "image"];

/// A program of so many functions, and `main`.
fn program(functions: u32) -> String {
    let function = |n: u32| {
        format!(
            "method f{n}(x: i64) -> i64 noinline {{\nentry:\n    y = mul x, i64 {}\n    z = add y, i64 {n}\n    return z\n}}\n",
            n + 3
        )
    };
    let main = "method main() -> i32 {\nentry:\n    return i32 0\n}\n";
    (0..functions).map(function).collect::<String>() + main
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Whoever reads meanwhile sees one of the two, whole, and so does who comes later.
#[test]
fn two_processes_may_write_one_file() {
    let folder = Folder::new();
    folder.file("one.mq", program(400));
    folder.file("two.mq", program(150));
    let at = folder.0.path();
    for emit in EMITTED {
        if matches!(emit, "shared" | "exe") && !is_present("cc") {
            continue;
        }
        // The name is in what is linked.
        let whole = ["one.mq", "two.mq"].map(|file| {
            marq_ok(at, &["build", file, "--emit", emit, "-o", "out"]);
            std::fs::read(folder.path("out")).expect("what was built")
        });
        assert_ne!(whole[0], whole[1]);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = [0u32; 2];
                while !is_over.load(Ordering::Relaxed) {
                    let found = std::fs::read(folder.path("out")).expect("there is always one");
                    let which = whole.iter().position(|whole| *whole == found);
                    seen[which.unwrap_or_else(|| panic!("{emit}: {} bytes of neither", found.len()))] += 1;
                }
                seen
            });
            for _ in 0..4 {
                let start = |file: &str| {
                    let mut marq = Command::new(env!("CARGO_BIN_EXE_marq"));
                    marq.args(["build", file, "--emit", emit, "-o", "out"]).current_dir(at);
                    marq.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("marq should start")
                };
                let both = ["one.mq", "two.mq", "one.mq", "two.mq"].map(start);
                for process in both {
                    let output = process.wait_with_output().expect("it ends");
                    assert_eq!(code(&output), 0, "{emit}: {}", stderr(&output));
                }
            }
            is_over.store(true, Ordering::Relaxed);
            let seen = reader.join().expect("every file was whole");
            assert!(seen.iter().sum::<u32>() > 0);
        });
        assert!(whole.contains(&std::fs::read(folder.path("out")).expect("the last one")), "{emit}");
        assert_eq!(files(at), ["one.mq", "out", "two.mq"], "{emit}");
    }
}

/// A device that is always full takes none of what can be built.
#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error_for_everything() {
    use std::os::unix::fs::FileTypeExt;
    let folder = Folder::new();
    folder.file("f.mq", program(3));
    let at = folder.0.path();
    let full = |args: &[&str]| {
        let output = marq_in(at, args);
        assert_eq!(code(&output), 1, "{args:?}");
        let said = stderr(&output);
        assert!(
            said.contains("error: cannot write '/dev/full': No space left on device"),
            "{args:?}: {said}"
        );
    };
    for emit in EMITTED {
        if matches!(emit, "shared" | "exe") && !is_present("cc") {
            continue;
        }
        full(&["build", "f.mq", "--emit", emit, "-o", "/dev/full"]);
    }
    full(&["build", "f.mq", "-o", "out.o", "--header", "/dev/full"]);
    full(&["build", "f.mq", "-o", "out.o", "--patches", "/dev/full"]);
    let device = std::fs::metadata("/dev/full").expect("the device");
    assert!(device.file_type().is_char_device(), "it is still one");
}

/// Runs `marq` where files may not grow beyond so many blocks, which is what a disk looks like that is nearly full.
fn limited(folder: &Path, blocks: u32, args: &[&str]) -> Output {
    // Past the limit is an error of the write then, and no signal.
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_marq")]).args(args);
    shell.current_dir(folder).stdin(Stdio::null()).output().expect("a shell")
}

#[test]
fn a_write_that_fails_leaves_the_old_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let at = folder.0.path();
    folder.file("small.mq", program(3));
    folder.file("large.mq", program(400));
    // It may write what it likes.
    let linker = folder.file("cc.sh", "#!/bin/sh\nulimit -S -f unlimited\nexec cc \"$@\"\n");
    std::fs::set_permissions(&linker, std::fs::Permissions::from_mode(0o755)).expect("a command");
    let linker = linker.to_str().expect("text");
    for emit in EMITTED {
        let is_linked = matches!(emit, "shared" | "exe");
        if is_linked && !is_present("cc") {
            continue;
        }
        // What is linked is larger than its object, which has to be written first.
        let (file, blocks, more) = match is_linked {
            true => ("small.mq", 16, &["--linker", linker][..]),
            false => ("large.mq", 4, &[][..]),
        };
        folder.file("out", "old");
        let before = files(at);
        let build = [&["build", file, "--emit", emit, "-o", "out"], more].concat();
        let output = limited(at, blocks, &build);
        assert_eq!(code(&output), 1, "{emit}: {}", stderr(&output));
        assert!(stderr(&output).contains("error: cannot write 'out': "), "{emit}: {}", stderr(&output));
        assert_eq!(std::fs::read(folder.path("out")).expect("the old file"), b"old", "{emit}");
        assert_eq!(files(at), before, "{emit}: nothing is left behind");
        // It is the limit that was in the way.
        marq_ok(at, &build);
        assert_ne!(std::fs::read(folder.path("out")).expect("the new file"), b"old", "{emit}");
        if emit == "exe" {
            run_in(at, "./out", &[]);
        }
    }
    // Without room for the linker's own files nothing is written, either.
    if is_present("cc") {
        folder.file("out", "old");
        let output = limited(at, 2, &["build", "large.mq", "--emit", "shared", "-o", "out"]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("a temporary object cannot be written"), "{}", stderr(&output));
        assert_eq!(std::fs::read(folder.path("out")).expect("the old file"), b"old");
    }
}
