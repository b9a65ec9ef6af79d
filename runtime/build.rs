//! Link options that make the released `marq` smaller, where the linker and the C library at hand take them.
//!
//! Identical functions become one, which Rust allows (a function's address means nothing), and relocations that only
//! add the address of the program are packed into bits. Neither is in every linker or C library, so each is tried on a program
//! that does nothing; what fails is left out, and `marq` is some percent larger.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

const OPTIONS: [&str; 2] = ["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    let is_native = env::var_os("HOST") == env::var_os("TARGET");
    if !is_native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("PROFILE", "release") {
        return;
    }
    for option in OPTIONS.into_iter().filter(|option| works(option).unwrap_or(false)) {
        println!("cargo:rustc-link-arg-bins={option}");
    }
}

/// Whether a program that was linked with an option runs; none if that cannot be tried.
fn works(option: &str) -> Option<bool> {
    let directory = env::var_os("OUT_DIR")?;
    let (source, program) = (Path::new(&directory).join("probe.rs"), Path::new(&directory).join("probe"));
    std::fs::write(&source, "fn main() {}\n").ok()?;
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.arg("--edition=2024").arg(&source).arg("-o").arg(&program).arg(format!("-Clink-arg={option}"));
    // As Cargo links: with its flags, and the linker that it was told.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut flag = OsString::from("-Clinker=");
        flag.push(linker);
        rustc.arg(flag);
    }
    let runs = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    Some(runs(&mut rustc) && runs(&mut Command::new(&program)))
}
