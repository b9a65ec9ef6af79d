//! Tests of the emitter: every module is read again by [`check`](super::check), and assembled by ptxas where the
//! environment names one in `MARQ_PTXAS`.

mod control;
mod machine;
mod meaning;
mod ops;
mod running;

use super::check::check;
use super::{PtxTarget, emit};
use crate::artifact::Artifact;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::{exceptions, legalise, pipeline};
use std::io::Write;
use std::process::{Command, Stdio};

pub(super) const ARCHITECTURES: [&str; 5] = ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"];

/// The module of all kernels of a program.
pub(super) fn try_compile(source: &str, architecture: &str) -> Result<Artifact, String> {
    let target = PtxTarget::parse(&format!("ptx:{architecture}")).map_err(|error| error.to_string())?;
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "test.mq", source);
    assert!(diagnostics.is_empty(), "{:?}\n{source}", diagnostics.first());
    let kernels = program.methods().filter(|(_, method)| method.kind == MethodKind::Kernel);
    let entries = kernels.map(|(id, _)| id).collect();
    let job = Job::new(entries, View::device(&[]), OptLevel::None);
    let unit = pipeline::specialised(&program, &job).expect("the test should specialise");
    let lowered = exceptions::run(unit).expect("the test should lower");
    let legal = legalise::run(lowered, &target).map_err(|failure| failure.to_string())?;
    emit(&legal, &target).map_err(|error| error.to_string())
}

/// The same as text, checked and assembled.
pub(super) fn compile(source: &str, architecture: &str) -> String {
    let text = compile_text(source, architecture);
    assemble(&text, architecture);
    text
}

/// The same as text, checked.
pub(super) fn compile_text(source: &str, architecture: &str) -> String {
    let artifact = try_compile(source, architecture).expect("the test should be emitted");
    let text = String::from_utf8(artifact.code).expect("PTX should be text");
    if let Err(errors) = check(&text) {
        panic!("{}\n{text}", errors.join("\n"));
    }
    text
}

/// Runs ptxas on a module.
fn assemble(text: &str, architecture: &str) {
    let Ok(ptxas) = std::env::var("MARQ_PTXAS") else {
        eprintln!("skipped: MARQ_PTXAS names no ptxas, the text was only checked");
        return;
    };
    let mut file = tempfile::NamedTempFile::with_suffix(".ptx").expect("a temporary file should be made");
    file.write_all(text.as_bytes()).expect("the temporary file should be written");
    let mut command = Command::new(ptxas);
    command.arg("-O1").arg(format!("-arch={architecture}")).arg(file.path()).args(["-o", "/dev/null"]);
    let output = command.stdin(Stdio::null()).output().expect("ptxas should start");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let numbered: Vec<String> =
            text.lines().enumerate().map(|(n, l)| format!("{}: {l}", n + 1)).collect();
        panic!("{said}\n{}", numbered.join("\n"));
    }
}
