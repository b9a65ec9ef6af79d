//! The command line and the file system: what cannot be read or written is named, and what was there before stays.
#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const GOOD: &str = "method twice(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}\n";

fn marq(args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_marq");
    Command::new(binary).args(args).stdin(Stdio::null()).output().expect("marq should start")
}

/// Exit code and standard error.
fn ends(args: &[&str]) -> (i32, String) {
    let output = marq(args);
    let code = output.status.code().expect("marq should exit, not be killed");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Every command that reads a program from `path`.
fn readers(path: &str) -> [Vec<&str>; 6] {
    [
        vec!["check", path],
        vec!["fmt", path],
        vec!["test", "--on", "interp", path],
        vec!["run", path, "--entry", "twice", "--args", "i32 1"],
        vec!["compile", path, "--target", "native", "--entry", "twice", "--stage", "program"],
        vec!["which", path, "twice(i32)"],
    ]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn folder_with(name: &str, contents: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, contents).expect("a file in it");
    (folder, path)
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.mq");
    for args in readers(text(&missing)) {
        let (code, shown) = ends(&args);
        assert_eq!(code, 1, "{args:?}: {shown}");
        assert!(
            shown.contains("error: cannot read '") && shown.contains("missing.mq': "),
            "{args:?}: {shown}"
        );
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_and_closed_files_are_named() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, closed) = folder_with("closed.mq", GOOD);
    let path = |name: &str| folder.path().join(name);
    symlink(path("b.mq"), path("a.mq")).expect("a link");
    symlink(path("a.mq"), path("b.mq")).expect("a link");
    symlink(path("nothing"), path("dangling.mq")).expect("a link");
    let mut names = vec!["a.mq", "dangling.mq"];
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("it should close");
    // The superuser reads everything.
    if std::fs::read(&closed).is_err() {
        names.push("closed.mq");
    }
    for name in names {
        let path = path(name);
        for args in readers(text(&path)) {
            let (code, shown) = ends(&args);
            assert_eq!(code, 1, "{args:?}: {shown}");
            assert!(shown.contains("cannot read '") && shown.contains(name), "{args:?}: {shown}");
        }
    }
}

#[test]
fn a_folder_is_no_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = text(folder.path());
    for args in readers(path) {
        let (code, shown) = ends(&args);
        // Commands that take folders find no files in it; to the others it is no file.
        let takes_folders = ["check", "fmt", "test"].contains(&args[0]);
        assert_eq!(code, if takes_folders { 2 } else { 1 }, "{args:?}: {shown}");
        assert!(shown.contains(path), "{args:?}: {shown}");
    }
}

#[test]
fn bytes_that_are_no_program_are_drawn() {
    for (name, bytes, wanted) in [
        ("latin.mq", &b"; na\xefve\n"[..], "found byte 0xef at offset 4, expected UTF-8"),
        ("utf16.mq", b"\xff\xfem\0", "found byte 0xff at offset 0"),
        ("nul.mq", b"\0\0\0", "found character '\\0'"),
        ("mac.mq", b"; one line\rmethod m() {\rentry:\r    return\r}\r", "found character '\\r'"),
        ("mark.mq", b"\xef\xbb\xbf\xef\xbb\xbf", "found character '\\u{feff}'"),
    ] {
        let (_folder, path) = folder_with(name, bytes);
        for args in readers(text(&path)) {
            let output = marq(&args);
            let shown = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {shown}");
            assert!(shown.contains(name), "{args:?}: {shown}");
            // A test of a file that is no text says so in its table.
            assert!(shown.contains(wanted) || args[0] == "test", "{args:?}: {shown}");
        }
        assert_eq!(std::fs::read(&path).expect("the file"), bytes, "{name} was changed");
    }
}

#[test]
fn line_ends_and_marks_of_other_systems_are_read_and_formatted_away() {
    let windows = format!("\u{feff}; doubles\n{GOOD}\n; run: @twice(i32 2) == i32 4\n").replace('\n', "\r\n");
    let (_folder, path) = folder_with("windows.mq", windows);
    let path_text = text(&path);
    for args in readers(path_text).into_iter().filter(|args| args[0] != "fmt") {
        let (code, shown) = ends(&args);
        assert_eq!(code, 0, "{args:?}: {shown}");
    }
    assert_eq!(ends(&["fmt", "--check", path_text]).0, 1);
    assert_eq!(ends(&["fmt", path_text]).0, 0);
    let formatted = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(formatted, format!("; doubles\n{GOOD}\n; run: @twice(i32 2) == i32 4\n"));
}

#[test]
fn an_empty_file_is_an_empty_program() {
    let (_folder, path) = folder_with("empty.mq", "");
    for args in readers(text(&path)) {
        let (code, shown) = ends(&args);
        let wants_a_method = ["run", "compile", "which"].contains(&args[0]);
        assert_eq!(code, i32::from(wants_a_method), "{args:?}: {shown}");
    }
    assert_eq!(std::fs::read(&path).expect("the file"), b"");
}

#[test]
fn results_that_cannot_be_written_are_errors_and_nothing_is_left_behind() {
    let (folder, good) = folder_with("good.mq", GOOD);
    let names = || {
        let entries = std::fs::read_dir(folder.path()).expect("the folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let missing = folder.path().join("no/such/out.o");
    let through_a_file = good.join("out.o");
    let before = names();
    for out in [&missing, &through_a_file, folder.path()] {
        let (code, shown) =
            ends(&["compile", text(&good), "--target", "native", "--entry", "twice", "-o", text(out)]);
        assert_eq!(code, 1, "{out:?}: {shown}");
        assert!(shown.contains("error: cannot write '") && shown.contains(text(out)), "{out:?}: {shown}");
        assert_eq!(names(), before, "{out:?}");
    }
    assert_eq!(std::fs::read_to_string(&good).expect("the program"), GOOD);
}

#[test]
fn read_only_files_stay_as_they_are() {
    let unformatted = GOOD.replace("    ", "");
    let (folder, good) = folder_with("good.mq", &unformatted);
    let old = folder.path().join("old.o");
    std::fs::write(&old, "old").expect("a file");
    for path in [&good, &old] {
        let mut permissions = std::fs::metadata(path).expect("the file").permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(path, permissions).expect("it should become read-only");
    }
    let compile = ["compile", text(&good), "--target", "native", "--entry", "twice", "-o", text(&old)];
    for (args, path) in [(&compile[..], &old), (&["fmt", text(&good)], &good)] {
        let (code, shown) = ends(args);
        assert_eq!(code, 1, "{args:?}: {shown}");
        let wanted = format!("cannot write '{}': the file is read-only", text(path));
        assert!(shown.contains(&wanted), "{args:?}: {shown}");
    }
    assert_eq!(std::fs::read_to_string(&old).expect("the old file"), "old");
    assert_eq!(std::fs::read_to_string(&good).expect("the program"), unformatted);
}

#[cfg(target_os = "linux")]
#[test]
fn full_devices_closed_folders_and_links_to_nothing_are_errors() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, good) = folder_with("good.mq", GOOD);
    let path = |name: &str| folder.path().join(name);
    symlink(path("b"), path("a")).expect("a link");
    symlink(path("a"), path("b")).expect("a link");
    symlink(path("nothing"), path("dangling")).expect("a link");
    let closed = path("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::write(closed.join("old.o"), "old").expect("a file");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).expect("it should close");
    let mut outputs = vec![PathBuf::from("/dev/full"), path("a"), path("dangling")];
    // The superuser writes everywhere.
    if std::fs::write(closed.join("try"), "").is_err() {
        outputs.push(closed.join("old.o"));
    }
    for out in &outputs {
        let (code, shown) =
            ends(&["compile", text(&good), "--target", "native", "--entry", "twice", "-o", text(out)]);
        assert_eq!(code, 1, "{out:?}: {shown}");
        assert!(shown.contains("cannot write '") && shown.contains(text(out)), "{out:?}: {shown}");
    }
    assert!(path("a").is_symlink() && path("dangling").is_symlink());
    assert_eq!(std::fs::read_to_string(closed.join("old.o")).expect("the old file"), "old");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let to_standard_output = Command::new(env!("CARGO_BIN_EXE_marq"))
        .args(["compile", text(&good), "--target", "native", "--entry", "twice", "--stage", "program"])
        .stdout(full)
        .output()
        .expect("marq should start");
    assert_eq!(to_standard_output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&to_standard_output.stderr).contains("cannot write to standard output"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_a_file_to_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe.mq");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo should start");
    assert!(made.success());
    let target = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(target, GOOD));
    let (code, shown) = ends(&["check", text(&pipe)]);
    assert_eq!(code, 0, "{shown}");
    writer.join().expect("the writer").expect("the pipe");
}

#[test]
fn results_are_not_written_over_the_program_or_over_each_other() {
    let (folder, good) = folder_with("good.mq", GOOD);
    let (good, same) = (text(&good), folder.path().join("same"));
    let other = folder.path().join(".").join("good.mq");
    let (same, other) = (text(&same), text(&other));
    for args in [
        &["build", good, "-o", good][..],
        &["build", good, "-o", other],
        &["build", good, "--header", good],
        &["build", good, "--emit", "image", "-o", good],
        &["compile", good, "--target", "native", "-o", good],
        &["build", good, "-o", same, "--header", same],
        &["build", good, "-o", "-", "--header", "-"],
    ] {
        let (code, shown) = ends(args);
        assert_eq!(code, 2, "{args:?}: {shown}");
        assert!(shown.contains("name another output") || shown.contains("named for two outputs"), "{shown}");
    }
    assert_eq!(std::fs::read_to_string(good).expect("the program"), GOOD);
    assert!(!Path::new(same).exists());
}

#[test]
fn a_header_stays_where_its_code_could_not_be_written() {
    let (folder, good) = folder_with("good.mq", GOOD);
    let header = folder.path().join("old.h");
    std::fs::write(&header, "old").expect("a header");
    let nowhere = folder.path().join("missing").join("out.o");
    let (code, shown) = ends(&["build", text(&good), "-o", text(&nowhere), "--header", text(&header)]);
    assert_eq!(code, 1, "{shown}");
    assert_eq!(std::fs::read_to_string(&header).expect("the header"), "old");
}

#[test]
fn absurd_numbers_of_threads_are_mistakes() {
    let (_folder, good) = folder_with("good.mq", GOOD);
    let (code, shown) = ends(&["build", text(&good), "--threads", "20000000"]);
    assert_eq!(code, 2, "{shown}");
    assert!(shown.contains("20000000 is not in 0..=1024"), "{shown}");
}

/// What it leads to may be a pipe, which has no name.
#[cfg(target_os = "linux")]
#[test]
fn standard_output_may_be_named_as_a_file() {
    let (_folder, good) = folder_with("good.mq", GOOD);
    let output = marq(&["build", text(&good), "-o", "/dev/stdout"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let to_standard_output = marq(&["build", text(&good), "-o", "-"]);
    assert!(output.stdout.starts_with(b"\x7fELF") && output.stdout == to_standard_output.stdout);
}
