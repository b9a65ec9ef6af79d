//! Independent checkers accept what the emitters make of every kernel: `ptxas` for PTX, `spirv-val` for SPIR-V.
//!
//! Without a checker a test is skipped and says so; with `MARQ_REQUIRE_ENGINES` set it fails.

use marquetry::compile::{Target, compile_artifact};
use marquetry::engine::EngineError;
use marquetry::library;
use marquetry_ir::entity::Method;
use marquetry_ir::program::MethodKind;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{DebugLevel, Job, OptLevel};
use marquetry_tests::{corpus, is_present};
use std::path::Path;
use std::process::Command;

/// Compiles all kernels of the corpus, file by file, for a target, and has each file's code checked.
fn check(target: &str, extension: &str, debug_level: DebugLevel, command: &dyn Fn(&Path) -> Command) {
    let target = Target::parse(target, OptLevel::Default).expect("a target");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut checked = 0;
    let mut failures = Vec::new();
    for path in corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")) {
        let source = std::fs::read_to_string(&path).expect("a kernel");
        let mut program = library::program();
        let library = program.files.len() as u32;
        assert!(
            text::parse(&mut program, &path.display().to_string(), &source).is_empty(),
            "{}",
            path.display()
        );
        let is_kernel =
            |m: &marquetry_ir::program::MethodData| m.kind == MethodKind::Kernel && m.file >= Some(library);
        let entries: Vec<Method> =
            program.methods().filter(|(_, m)| is_kernel(m)).map(|(method, _)| method).collect();
        if entries.is_empty() {
            continue;
        }
        let mut job = Job::new(entries, View::device(&[]), OptLevel::Default);
        job.options.debug_level = debug_level;
        let artifact = match compile_artifact(&program, &job, &target).map_err(EngineError::from) {
            Ok(artifact) => artifact,
            Err(EngineError::Unsupported(reason)) => {
                println!("skipped: {}: {reason}", path.display());
                continue;
            }
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let file = folder.path().join("code").with_extension(extension);
        std::fs::write(&file, &artifact.code).expect("the code's file");
        let output = command(&file).output().expect("the checker starts");
        checked += 1;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            failures.push(format!("{}: {said}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(checked > 0, "there should be kernels to check");
}

fn ptx(architecture: &str, debug_level: DebugLevel) {
    let ptxas = std::env::var("MARQ_PTXAS").unwrap_or_else(|_| "ptxas".into());
    if is_present(&ptxas) {
        check(&format!("ptx:{architecture}"), "ptx", debug_level, &|file| {
            let mut command = Command::new(&ptxas);
            if debug_level > DebugLevel::None {
                command.args(["-lineinfo", "-Werror"]);
            }
            command
                .arg(format!("-arch={architecture}"))
                .arg("-o")
                .arg(file.with_extension("cubin"))
                .arg(file);
            command
        });
    }
}

fn spirv(target: &str, environment: &str, debug_level: DebugLevel) {
    if is_present("spirv-val") {
        check(target, "spv", debug_level, &|file| {
            let mut command = Command::new("spirv-val");
            command.arg("--target-env").arg(environment);
            if environment.starts_with("vulkan") {
                command.arg("--scalar-block-layout");
            }
            command.arg(file);
            command
        });
    }
}

/// No checker outside is needed: naga validates what it writes. No kernel is refused.
#[test]
fn naga_accepts_shading_languages() {
    for target in ["wgsl", "msl", "hlsl"] {
        check(target, target, DebugLevel::Full, &|_| Command::new("true"));
    }
}

#[test]
fn ptxas_accepts_sm_75() {
    ptx("sm_75", DebugLevel::None);
}

#[test]
fn ptxas_accepts_sm_80() {
    ptx("sm_80", DebugLevel::None);
}

#[test]
fn ptxas_accepts_sm_90() {
    ptx("sm_90", DebugLevel::None);
}

#[test]
fn ptxas_accepts_sm_100() {
    ptx("sm_100", DebugLevel::None);
}

#[test]
fn ptxas_accepts_sm_120() {
    ptx("sm_120", DebugLevel::None);
}

#[test]
fn spirv_val_accepts_vulkan() {
    spirv("spirv:vulkan1.3", "vulkan1.3", DebugLevel::None);
}

#[test]
fn spirv_val_accepts_opencl() {
    // The universal environment: that of OpenCL 2 in spirv-val refuses what extensions of OpenCL allow.
    spirv("spirv:opencl2.1", "spv1.4", DebugLevel::None);
}

#[test]
fn ptxas_accepts_lines() {
    ptx("sm_75", DebugLevel::Lines);
}

#[test]
fn ptxas_accepts_inlined_calls() {
    ptx("sm_90", DebugLevel::Full);
}

#[test]
fn spirv_val_accepts_debug_information() {
    spirv("spirv:vulkan1.2", "vulkan1.2", DebugLevel::Lines);
    spirv("spirv:vulkan1.3", "vulkan1.3", DebugLevel::Full);
    spirv("spirv:opencl2.2", "spv1.4", DebugLevel::Full);
}

/// Each version of OpenCL takes a version of SPIR-V, which modules without extensions keep to.
#[test]
fn spirv_val_accepts_the_versions_of_opencl() {
    if !is_present("spirv-val") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("code.spv");
    for version in ["opencl2.0", "opencl2.1", "opencl2.2"] {
        for debug_level in [DebugLevel::None, DebugLevel::Full] {
            let target = Target::parse(&format!("spirv:{version}"), OptLevel::Default).expect("a target");
            let mut program = library::program();
            let source = "kernel k(p: ptr<global>) {\nentry:\n    i = call global_id(i32 0)\n    \
                          q = index p, i, i64\n    store q, i\n    return\n}\n";
            assert!(text::parse(&mut program, "k.mq", source).is_empty());
            let entries = program.methods_of("k").to_vec();
            let mut job = Job::new(entries, View::device(&[]), OptLevel::Default);
            job.options.debug_level = debug_level;
            let artifact = compile_artifact(&program, &job, &target).expect("code");
            std::fs::write(&file, &artifact.code).expect("the code's file");
            let checked = Command::new("spirv-val").args(["--target-env", version]).arg(&file).output();
            let checked = checked.expect("the checker starts");
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success(), "{version}: {said}");
        }
    }
}
