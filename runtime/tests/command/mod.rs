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

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// What is in a file of it.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A folder with the program that the tests build ahead of time and the C code that calls it.
    pub fn with_library() -> Self {
        let folder = Folder::new();
        folder.file("library.mq", include_str!("../aot/library.mq"));
        folder.file("kernels.mq", include_str!("../aot/kernels.mq"));
        folder.file("main.c", include_str!("../aot/main.c"));
        folder
    }
}

/// How strictly C is read.
pub const STRICT: [&str; 6] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I."];

/// A machine whose code can be linked and run here.
pub struct Machine {
    pub name: &'static str,
    /// How its tools are called: what stands in front of their names.
    prefix: &'static str,
    emulator: Option<&'static str>,
}

/// This one, and those that are emulated.
pub const MACHINES: [Machine; 4] = [
    Machine { name: "x86_64", prefix: "", emulator: None },
    Machine { name: "aarch64", prefix: "aarch64-linux-gnu-", emulator: Some("qemu-aarch64") },
    Machine { name: "riscv64", prefix: "riscv64-linux-gnu-", emulator: Some("qemu-riscv64") },
    Machine { name: "s390x", prefix: "s390x-linux-gnu-", emulator: Some("qemu-s390x") },
];

impl Machine {
    /// The machine of this name.
    pub fn named(name: &str) -> &'static Machine {
        MACHINES.iter().find(|machine| machine.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// A tool for its code.
    pub fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Its C compiler.
    pub fn cc(&self) -> String {
        self.tool(if self.emulator.is_some() { "gcc" } else { "cc" })
    }

    /// What `--target` calls it.
    pub fn target(&self) -> String {
        format!("native:{}", self.name)
    }

    /// Whether its code can be linked and run.
    pub fn is_present(&self) -> bool {
        let is_host = cfg!(all(target_arch = "x86_64", target_os = "linux"));
        is_present(&self.cc()) && self.emulator.map_or(is_host, is_present)
    }

    /// Compiles and links C code for it.
    pub fn link(&self, folder: &Folder, args: &[&str]) {
        run_in(folder.root(), &self.cc(), args);
    }

    /// A command that runs a program for it.
    pub fn command(&self, folder: &Folder, program: &str) -> Command {
        let mut command = match self.emulator {
            Some(emulator) => {
                let mut command = Command::new(emulator);
                command.args(["-L", &format!("/usr/{}-linux-gnu", self.name), program]);
                command
            }
            None => Command::new(folder.path(program)),
        };
        command.current_dir(folder.root()).stdin(Stdio::null());
        command
    }

    /// Runs a program for it, which must succeed; gives what it printed.
    pub fn run(&self, folder: &Folder, program: &str) -> String {
        let output = self.command(folder, program).output().expect("it starts");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(output.status.success(), "{} {program}: {}: {said}", self.name, output.status);
        stdout(&output)
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
