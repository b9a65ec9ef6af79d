//! Code for devices is well-formed, as far as this project's own readers can tell.

use super::{Checked, Reference};
use crate::generate::choices::Choices;
use crate::generate::methods::{Case, case};
use crate::run;
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::compile::Target;
use marquetry_codegen::artifact::Format;
use marquetry_codegen::error::EmitError;
use marquetry_codegen::{ptx, spirv};
use marquetry_lower::job::OptLevel;
use marquetry_lower::pipeline;

/// The targets.
pub const TARGETS: [&str; 7] =
    ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1", "ptx:sm_53", "wgsl", "msl", "hlsl"];

/// Emission of a generated kernel, and a second look at the result.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    check_case(case(&mut Choices::new(input)))
}

/// The check of a case.
///
/// # Errors
/// An emitter fails, or its output is malformed.
pub fn check_case(case: Case) -> Checked {
    let Some(reference) = Reference::of(case)? else { return Ok(Verdict::TimedOut) };
    let mut verdict = Verdict::Refused;
    for name in TARGETS {
        for level in [OptLevel::None, OptLevel::Default] {
            let Ok(target) = Target::parse(name, level) else { continue };
            let Some(job) = run::job(&reference.program, true, level) else { continue };
            let legal = match pipeline::run(&reference.program, &job, target.lowering()) {
                Ok(legal) => legal,
                Err(failure) => {
                    super::passes::refusal(&reference, name, &failure)?;
                    continue;
                }
            };
            let artifact = match target.emit(&legal) {
                Ok(artifact) => artifact,
                Err(EmitError::Internal(why)) => {
                    return Err(reference.bug(&format!("emit {name}: {why}"), ""));
                }
                Err(_) => continue,
            };
            verdict = reference.verdict();
            let wrong = match artifact.format {
                Format::Ptx => malformed_ptx(&artifact.code, level),
                Format::Spirv => malformed_spirv(&artifact.code),
                // Checked by the emitter itself, with the validator that its writers ask for.
                Format::Wgsl | Format::Msl | Format::Hlsl | Format::Object => None,
            };
            if let Some(wrong) = wrong {
                return Err(reference.bug(&format!("{name} is malformed"), &wrong));
            }
        }
    }
    Ok(verdict)
}

/// What is wrong with a text. Without optimisation, branches on constants leave blocks behind that nothing reaches, and
/// what those read need not be written.
fn malformed_ptx(code: &[u8], level: OptLevel) -> Option<String> {
    let mut list = ptx::check::check(&String::from_utf8_lossy(code)).err()?;
    list.retain(|line| level > OptLevel::None || !line.ends_with("is never written"));
    (!list.is_empty()).then(|| list.join("\n"))
}

fn malformed_spirv(code: &[u8]) -> Option<String> {
    spirv::check(code).err().map(|error| error.to_string())
}

/// The code of a case for each target, for validators outside.
pub fn artifacts(case: &Case) -> Vec<(&'static str, OptLevel, Vec<u8>)> {
    let Ok(program) = run::parse(&case.text) else { return Vec::new() };
    let mut all = Vec::new();
    for name in TARGETS {
        for level in [OptLevel::None, OptLevel::Default] {
            let code = Target::parse(name, level).ok().and_then(|target| {
                let job = run::job(&program, true, level)?;
                let legal = pipeline::run(&program, &job, target.lowering()).ok()?;
                Some(target.emit(&legal).ok()?.code)
            });
            all.extend(code.map(|code| (name, level, code)));
        }
    }
    all
}
