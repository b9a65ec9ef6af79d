//! `marq` as a command of a test, and files for it.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use object::{Object, ObjectSymbol};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

pub const GOOD: &str = "method twice(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}\n";

pub fn marq(args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_marq");
    Command::new(binary).args(args).stdin(Stdio::null()).output().expect("marq should start")
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("marq should exit, not be killed")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder of its own for one test.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, contents).expect("a file in it");
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// Whether a command is there; if not, that is said, past what captures the output of tests, with the number of times in this
/// process; where everything must be there it is a failure.
pub fn is_present(command: &str) -> bool {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let found = Command::new(command).arg("--version").stdin(Stdio::null()).output();
    let present = found.is_ok_and(|output| output.status.success());
    assert!(
        present || std::env::var_os("MARQ_REQUIRE_ENGINES").is_none(),
        "'{command}' is required and does not run"
    );
    if !present {
        let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = writeln!(std::io::stderr(), "skipped ({number}): '{command}' does not run");
    }
    present
}

/// Runs a command in a folder, and must succeed; gives what it printed.
pub fn run_in(folder: &Path, command: &str, args: &[&str]) -> String {
    let output = Command::new(command).current_dir(folder).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success(), "{command} {args:?}: {}: {said}", output.status);
    stdout(&output)
}

/// Runs `marq` in a folder.
pub fn marq_in(folder: &Path, args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_marq");
    let output = Command::new(binary).current_dir(folder).args(args).stdin(Stdio::null()).output();
    output.expect("marq should start")
}

/// Runs `marq` in a folder, and must succeed.
pub fn marq_ok(folder: &Path, args: &[&str]) {
    let output = marq_in(folder, args);
    assert_eq!(code(&output), 0, "marq {args:?}: {}", stderr(&output));
}

/// Names of symbols that others see, sorted.
pub fn globals(bytes: &[u8]) -> Vec<String> {
    let file = object::File::parse(bytes).expect("an object");
    let seen = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
    let mut names: Vec<String> = seen.map(|symbol| symbol.name().expect("a name").to_owned()).collect();
    names.sort_unstable();
    names
}
