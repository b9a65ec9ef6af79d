//! A back-end as someone outside would write it: tables of its own, params that choose among them, a runtime provider, a
//! state that every launch carries, a hook that knows what its devices lack, and what it gives to launches.

use marquetry::compile::{Compiled, Target};
use marquetry::engine::{Extent, Launcher, Outcome, Thrown};
use marquetry::inputs::{KernelState, LaunchOptions};
use marquetry::ir::diag::{Code, Diagnostic};
use marquetry::ir::op::Op;
use marquetry::ir::print_format::Format;
use marquetry::ir::types::{Scalar, Type};
use marquetry::lower::hooks::{Anchor, HookContext};
use marquetry::lower::job::{DebugLevel, OptLevel};
use marquetry::lower::query::Answer;
use marquetry::session::{self, Config, Session, SessionError};
use marquetry::value::HostArg;
use std::sync::Arc;

/// What users of the back-end choose: a value, part of what tells jobs apart.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Params {
    /// Whether approximations take the place of exact functions.
    pub fast_math: bool,
    /// Whether code may compute with `f64`.
    pub f64: bool,
}

/// Bytes before the heap: `example_heap` of the tables.
const HEAP_HEADER_BYTES: usize = 24;
/// Bytes of a log.
const LOG_BYTES: usize = 1 << 12;
/// Bytes that the heap hands out at once: what code gets that asks for `example_unit`.
pub const UNIT: u64 = 16;

/// What a launch left besides its buffers.
#[derive(Debug)]
pub struct Report {
    /// The exception that arrived first.
    pub thrown: Option<Thrown>,
    /// How many work-items threw.
    pub throwers: u32,
    /// The first letter of the kind of exception that was reported last.
    pub letter: u8,
    /// Bytes of the heap that were asked for, in whole units.
    pub heap: u32,
    /// Bytes that were asked for when there were none left.
    pub refused: u32,
    /// What was printed.
    pub lines: Vec<String>,
}

/// Adds the back-end to a session, for a target as the command line spells it.
pub fn install(session: &Session, target: &str) -> Result<Config, SessionError> {
    let spelled = Target::parse(target, OptLevel::Default);
    let spelled = spelled.map_err(|error| SessionError::NotFound(error.to_string()))?;
    let name = format!("example for {target}");
    // For native code: kernels on the cores of this machine.
    let mut backend = session::Backend::cpu_device(&name, spelled);
    // What its tables do not supply to the device library, this project's own table does.
    backend.provider(&["example_runtime", "standard"]);
    backend.answer("example_unit", Answer::Number(UNIT));
    backend.tables_for(
        |params: &Params| if params.fast_math { vec!["example_math".into()] } else { Vec::new() },
    );
    backend.hook(Anchor::AfterOptimise, "example_types", refuse_f64);
    session.add_backend(backend)
}

/// Adds the back-end's tables to a session, once for all its targets.
pub fn define(session: &Session) -> Result<(), SessionError> {
    session.define("example/tables.mq", include_str!("tables.mq"))
}

/// The config for what a user chose.
pub fn config(session: &Session, installed: &Config, params: Params) -> Result<Config, SessionError> {
    let mut config = session.config(&installed.backend, session::Params::new(params))?;
    config.options.state = session.snapshot().types.find_struct("example_state");
    // Its runtime is told the kinds of exceptions.
    config.options.debug_level = DebugLevel::Lines;
    Ok(config)
}

/// What is left to compute with `f64`: refused where the params say that there is none, else slow.
fn refuse_f64(context: &mut HookContext<'_>) -> Result<(), Vec<Diagnostic>> {
    let Some(&Params { f64: allowed, .. }) = context.param() else { return Ok(()) };
    let mut found = Vec::new();
    for (func, function) in &context.unit.funcs {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let moves = matches!(body.inst(inst).op, Op::Load | Op::Bitcast);
            if !moves && body.results(inst).any(|value| body.value_type(value) == Type::F64) {
                found.push((func, inst));
            }
        }
    }
    if allowed {
        for (func, inst) in found {
            context.warn(func, inst, Code::Unsupported, "the example's devices compute with f64 in software");
        }
        return Ok(());
    }
    let message = "the example's devices do not compute with f64";
    let problem = |(func, inst)| context.problem(func, inst, Code::Unsupported, message);
    let problems: Vec<Diagnostic> = found.into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Launches a kernel.
pub fn launch(
    launcher: &Launcher,
    kernel: &Arc<Compiled>,
    extent: Extent,
    args: &mut [HostArg],
    heap_bytes: usize,
) -> Result<Report, String> {
    let limit = u32::try_from(heap_bytes).map_err(|error| error.to_string())?;
    let ty = kernel.entry().map_err(|error| error.to_string())?.abi.state.ok_or("a kernel without state")?;
    let state = KernelState { ty, bytes: limit.to_le_bytes().to_vec() };
    let buffer = |bytes: usize| HostArg::Buffer { element: Scalar::I32, bytes: vec![0; bytes] };
    let heap = ("heap".into(), buffer(HEAP_HEADER_BYTES + heap_bytes));
    let log = ("log".into(), buffer(LOG_BYTES));
    let mut options =
        LaunchOptions { state: Some(state), inputs: vec![heap, log], ..LaunchOptions::default() };
    let launched = launcher.launch_with(kernel, extent, args, &mut options);
    let launched = launched.map_err(|error| error.to_string())?;
    let [(_, HostArg::Buffer { bytes: heap, .. }), (_, HostArg::Buffer { bytes: log, .. })] =
        &*options.inputs
    else {
        return Err("the buffers are gone".into());
    };
    let word = |n: usize| {
        let bytes = heap.get(4 * n..4 * n + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let thrown = match launched.outcome {
        Outcome::Threw(thrown) => Some(thrown),
        Outcome::Returned(_) => None,
    };
    Ok(Report {
        thrown,
        throwers: word(1),
        letter: word(2) as u8,
        heap: word(0),
        refused: word(5),
        lines: lines(kernel, log, word(3))?,
    })
}

/// The lines of a log, by the formats that the code came with.
fn lines(kernel: &Compiled, log: &[u8], count: u32) -> Result<Vec<String>, String> {
    let mut words = log.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let mut lines = Vec::new();
    for _ in 0..count {
        let number = words.next().and_then(|number| usize::try_from(number).ok());
        let format = number.and_then(|number| kernel.formats.get(number)).ok_or("a line of no format")?;
        let values: Vec<_> = format.types.iter().copied().zip(words.by_ref()).collect();
        lines.push(Format::parse(&format.text)?.render(&values));
    }
    Ok(lines)
}
