//! Tests of SPIR-V: every op that is claimed validates, control flow of any shape is structured, memory of every kind.
//!
//! Modules are read back by [`check`] always, and by `spirv-val` where it is installed. Running them is the device
//! tests' part.

mod control;
mod memory;
mod ops;

use super::*;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{Job, OptLevel};
use std::io::Write;
use std::process::{Command, Stdio};

/// Every environment.
pub(super) fn targets() -> Vec<SpirvTarget> {
    VERSIONS.iter().map(|row| SpirvTarget::parse(&format!("spirv:{}", row.0)).unwrap()).collect()
}

/// Every kernel of a text, legal for a target.
pub(super) fn legal(source: &str, target: &SpirvTarget) -> Legal {
    lower(source, target).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

/// What a text is refused for, by lowering or by the emitter.
pub(super) fn refusals(source: &str, target: &SpirvTarget) -> Vec<Diagnostic> {
    let legal = match lower(source, target) {
        Ok(legal) => legal,
        Err(Failure::Program(list)) => return list,
        Err(other) => panic!("{other}\n{source}"),
    };
    match emit(&legal, target) {
        Err(EmitError::Program(list)) => list,
        Err(other) => panic!("{other}\n{source}"),
        Ok(_) => panic!("accepted\n{source}"),
    }
}

fn lower(source: &str, target: &SpirvTarget) -> Result<Legal, Failure> {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "test.mq", source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}\n{source}");
    let kernels = program.methods().filter(|(_, m)| m.kind == marquetry_ir::program::MethodKind::Kernel);
    let entries = kernels.map(|(method, _)| method).collect();
    let job = Job::new(entries, View::device(&[]), OptLevel::None);
    let unit = marquetry_lower::pipeline::specialised(&program, &job).unwrap();
    let lowered = marquetry_lower::exceptions::run(unit).unwrap();
    marquetry_lower::legalise::run(lowered, target)
}

/// The module of a text, checked.
pub(super) fn module(source: &str, target: &SpirvTarget) -> Vec<u8> {
    let artifact = emit(&legal(source, target), target).unwrap_or_else(|e| panic!("{target}: {e}\n{source}"));
    validate(&artifact.code, target);
    artifact.code
}

/// As text.
pub(super) fn text_of(source: &str, target: &SpirvTarget) -> String {
    disassemble(&module(source, target)).unwrap()
}

/// Checks a module. For OpenCL, `spirv-val` knows the core version only: it refuses extensions that every OpenCL device
/// has, such as 64-bit atomics and halves.
pub(super) fn validate(code: &[u8], target: &SpirvTarget) {
    check(code).unwrap_or_else(|e| panic!("{target}: {e}"));
    // The version word is 0x00MMmm00, little-endian.
    let minor = code.get(5).copied().unwrap_or(0);
    let environment = match target.env {
        Environment { api: Api::Vulkan, minor: 2, .. } => "vulkan1.2".to_string(),
        Environment { api: Api::Vulkan, .. } => "vulkan1.3".to_string(),
        Environment { api: Api::OpenCl, .. } => format!("spv1.{minor}"),
    };
    let child = Command::new("spirv-val")
        .args(["--target-env", &environment, "--scalar-block-layout", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return };
    child.stdin.take().unwrap().write_all(code).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let text = disassemble(code).unwrap_or_default();
        panic!("{target} ({environment}): {}\n{text}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn targets_are_spelled_as_they_are_read() {
    for row in VERSIONS {
        let spelling = format!("spirv:{}", row.0);
        assert_eq!(SpirvTarget::parse(&spelling).unwrap().to_string(), spelling);
    }
    assert_eq!(SpirvTarget::parse("spirv").unwrap(), SpirvTarget::vulkan());
    assert_eq!(SpirvTarget::parse("spirv:vulkan").unwrap(), SpirvTarget::vulkan());
    assert_eq!(SpirvTarget::parse("spirv:opencl").unwrap().to_string(), "spirv:opencl2.1");
    for wrong in ["spirv:", "spirv:vulkan1.1", "spirvx", "ptx", "spirv:opencl1.2"] {
        let error = SpirvTarget::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("vulkan1.3"), "{error}");
    }
}

#[test]
fn the_same_unit_gives_the_same_bytes() {
    for target in targets() {
        let legal = legal(ops::REST, &target);
        assert_eq!(emit(&legal, &target).unwrap(), emit(&legal, &target).unwrap());
    }
}

#[test]
fn the_check_finds_damage() {
    let target = SpirvTarget::opencl();
    let code = module("kernel k(x: ptr<global>) {\nentry:\n    store x, i32 1\n    return\n}\n", &target);
    let mut cut = code.clone();
    cut.truncate(code.len() - 8);
    assert!(check(&cut).is_err());
    let mut bound = code.clone();
    bound[12] = 2;
    bound[13] = 0;
    assert!(check(&bound).unwrap_err().to_string().contains("bound"));
    assert!(check(&[]).is_err());
}
