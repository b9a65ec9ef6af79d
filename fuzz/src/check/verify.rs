//! The verifier answers whatever the API built, and what it accepts never fails later but for want of support or room.

use super::Checked;
use crate::generate::choices::Choices;
use crate::generate::garbage::spoil;
use crate::generate::methods::case;
use crate::print::Bug;
use crate::run::{self, End};
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::compile::Target;
use marquetry_ir::diag::Code;
use marquetry_ir::text::print_program;
use marquetry_ir::verify::{verify_program, verify_unit};
use marquetry_lower::failure::Failure;
use marquetry_lower::job::OptLevel;
use marquetry_lower::pipeline;

/// A valid program, spoilt; then the whole way if it still passes.
pub fn garbage(input: &mut Unstructured<'_>) -> Checked {
    let mut choices = Choices::new(input);
    let case = case(&mut choices);
    let mut program = run::parse(&case.text).map_err(|why| Bug::new(why, "", case.text.clone()))?;
    spoil(&mut choices, &mut program);
    if !verify_program(&program).is_empty() {
        return Ok(Verdict::Refused);
    }
    let text = print_program(&program);
    let bug = |what: String| Bug::new(what, "", text.clone());
    let Some(job) = run::job(&program, false, OptLevel::None) else { return Ok(Verdict::Refused) };
    let unit = match pipeline::specialised(&program, &job) {
        Ok(verified) => verified.into_unit(),
        // Types that only dispatch knows.
        Err(Failure::Program(list)) if list.iter().all(|d| d.code != Code::Unsupported) => {
            return Ok(Verdict::Refused);
        }
        Err(Failure::Limit(_)) => return Ok(Verdict::Refused),
        Err(failure) => return Err(bug(format!("specialise: {failure}"))),
    };
    for end in run::calls(&unit, &case, None) {
        if let End::Fault(why) = &end
            && why.starts_with("malformed")
        {
            return Err(bug(format!("verified code is {why}")));
        }
    }
    for name in ["native", "ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1"] {
        for level in [OptLevel::None, OptLevel::Default] {
            let Ok(target) = Target::parse(name, level) else { continue };
            let Some(job) = run::job(&program, target.is_device(), level) else { continue };
            match pipeline::run(&program, &job, target.lowering()) {
                Ok(legal) => {
                    if let Some(first) = verify_unit(legal.unit()).first() {
                        return Err(bug(format!("legal for {name} is invalid: {}", first.message)));
                    }
                    match target.emit(&legal) {
                        Ok(_) => {}
                        Err(marquetry_codegen::error::EmitError::Internal(why)) => {
                            return Err(bug(format!("emit {name}: {why}")));
                        }
                        Err(_) => {}
                    }
                }
                Err(Failure::Internal(why)) => return Err(bug(format!("{name}: internal: {why}"))),
                Err(_) => {}
            }
        }
    }
    Ok(Verdict::Agreed)
}
