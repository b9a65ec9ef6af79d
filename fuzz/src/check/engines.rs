//! Native code against the interpreter: the same results, NaNs alike, and the same exceptions.

use super::{Checked, Reference};
use crate::generate::choices::Choices;
use crate::generate::methods::{Case, KERNEL, case};
use crate::run::{self, End, buffers};
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::device::DeviceKind;
use marquetry::engine::{Engine, EngineError, EngineKind, Extent, Outcome, Thrown};
use marquetry::value::HostArg;
use marquetry_ir::types::Scalar;
use marquetry_lower::job::OptLevel;
use std::cell::RefCell;
use std::sync::Arc;

/// An engine with its level and kind.
type Opened = (OptLevel, EngineKind, Box<dyn Engine>);

thread_local! {
    // Reused over cases on purpose: what one leaves behind, the next must not see.
    static ENGINES: RefCell<Vec<Opened>> = const { RefCell::new(Vec::new()) };
}

/// Native code at two levels.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    check_case(case(&mut Choices::new(input)))
}

/// The check of a case.
///
/// # Errors
/// An engine ends a call otherwise, or not at all.
pub fn check_case(case: Case) -> Checked {
    let Some(reference) = Reference::of(case)? else { return Ok(Verdict::TimedOut) };
    let program = Arc::new(reference.program.clone());
    ENGINES.with_borrow_mut(|engines| {
        if engines.is_empty() {
            let kinds = [
                (OptLevel::None, EngineKind::Native),
                (OptLevel::Default, EngineKind::Native),
                (OptLevel::Default, EngineKind::Device(DeviceKind::Cpu)),
            ];
            for (level, kind) in kinds {
                engines.extend(kind.open(level).ok().map(|engine| (level, kind, engine)));
            }
        }
        for (level, kind, engine) in engines {
            engine.load(program.clone());
            let what = format!("{} at {level:?}", kind.name());
            let ends: Result<Vec<End>, EngineError> = match kind {
                EngineKind::Native => called(&reference, engine.as_mut()),
                _ => launched(&reference, engine.as_mut()),
            };
            match ends {
                Ok(ends) => reference.compare(&what, &ends)?,
                Err(EngineError::Unsupported(_)) => {}
                Err(error) => return Err(reference.bug(&format!("{what}: {error}"), "")),
            }
        }
        Ok(reference.verdict())
    })
}

fn end(outcome: Outcome) -> End {
    match outcome {
        Outcome::Returned(values) => End::Returned(values),
        Outcome::Threw(thrown) => threw(thrown),
    }
}

fn called(reference: &Reference, engine: &mut dyn Engine) -> Result<Vec<End>, EngineError> {
    let entry = run::method(&reference.program, &reference.case.entry)
        .ok_or_else(|| EngineError::Failed("no entry".into()))?;
    let calls = reference.case.calls.iter();
    calls
        .map(|args| {
            let mut args: Vec<HostArg> = args.iter().cloned().map(HostArg::Value).collect();
            engine.call(entry, &mut args).map(end)
        })
        .collect()
}

fn launched(reference: &Reference, engine: &mut dyn Engine) -> Result<Vec<End>, EngineError> {
    let kernel =
        run::method(&reference.program, KERNEL).ok_or_else(|| EngineError::Failed("no kernel".into()))?;
    let types = super::passes::result_types(reference);
    let calls = reference.case.calls.iter();
    calls
        .map(|args| {
            let (from, to) = buffers(args, types.len());
            let buffer = |bytes| HostArg::Buffer { element: Scalar::I8, bytes };
            let mut args = [buffer(from), buffer(to)];
            let outcome = engine.launch(kernel, Extent { grid: [1; 3], block: [1; 3] }, &mut args)?;
            if let Outcome::Threw(thrown) = outcome {
                return Ok(threw(thrown));
            }
            let [_, HostArg::Buffer { bytes, .. }] = &args else {
                return Err(EngineError::Failed("the buffers are gone".into()));
            };
            let results = run::results(&types, bytes);
            Ok(results.map_or_else(|| End::Fault("results do not read".into()), End::Returned))
        })
        .collect()
}

/// An exception that arrived.
fn threw(thrown: Thrown) -> End {
    End::Threw(thrown.kind, thrown.operands.into_iter().map(|operand| operand.1).collect())
}
