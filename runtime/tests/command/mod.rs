//! `marq` as a command of a test, and files for it.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
