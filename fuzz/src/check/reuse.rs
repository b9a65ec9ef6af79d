//! The same program gives the same bytes: again, after others, and whatever ran in between.

use super::{Checked, Reference};
use crate::generate::choices::Choices;
use crate::generate::methods::case;
use crate::run;
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::compile::Target;
use marquetry_codegen::native::{NativeContext, NativeOptions, NativeTarget, emit_object, emit_object_with};
use marquetry_ir::text::print_unit;
use marquetry_lower::job::OptLevel;
use marquetry_lower::pipeline;
use std::cell::RefCell;

thread_local! {
    // Reused over all cases on purpose.
    static CONTEXT: RefCell<NativeContext> = RefCell::new(NativeContext::new());
}

/// Legal code and objects, twice, with a fresh context and a used one.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    let Some(reference) = Reference::of(case(&mut Choices::new(input)))? else {
        return Ok(Verdict::TimedOut);
    };
    let program = &reference.program;
    for opt_level in [OptLevel::None, OptLevel::Default] {
        let options = NativeOptions { opt_level: opt_level as u8, verify: true, ..NativeOptions::default() };
        let Ok(target) = NativeTarget::host(options) else { return Ok(Verdict::Refused) };
        let Some(job) = run::job(program, false, opt_level) else { return Ok(Verdict::Refused) };
        let again = run::parse(&reference.case.text).map_err(|why| reference.bug(&why, ""))?;
        let (first, second) =
            match (pipeline::run(program, &job, &target), pipeline::run(&again, &job, &target)) {
                (Ok(first), Ok(second)) => (first, second),
                (Err(failure), _) | (_, Err(failure)) => {
                    super::passes::refusal(&reference, "native", &failure)?;
                    continue;
                }
            };
        if print_unit(first.unit()) != print_unit(second.unit()) {
            return Err(reference.bug("lowering twice gives other code", ""));
        }
        let fresh = emit_object(&first, &target);
        let used = CONTEXT.with_borrow_mut(|context| emit_object_with(&second, &target, context));
        match (fresh, used) {
            (Ok(fresh), Ok(used)) if fresh == used => {}
            (Ok(_), Ok(_)) => return Err(reference.bug("a used context gives another object", "")),
            (Err(error), _) | (_, Err(error)) => {
                return Err(reference.bug(&format!("no object: {error}"), ""));
            }
        }
    }
    for name in ["ptx:sm_80", "spirv:vulkan1.3"] {
        let Ok(target) = Target::parse(name, OptLevel::Default) else { continue };
        let Some(job) = run::job(program, true, OptLevel::Default) else { continue };
        let emit = || {
            pipeline::run(program, &job, target.lowering()).ok().and_then(|legal| target.emit(&legal).ok())
        };
        if emit() != emit() {
            return Err(reference.bug(&format!("{name} twice gives other code"), ""));
        }
    }
    Ok(reference.verdict())
}
