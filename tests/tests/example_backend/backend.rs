//! A back-end as someone outside would write it: tables of its own, params that choose among them, a runtime provider, a
//! state that every launch carries, a hook that knows what its devices lack, and a launcher.

use marquetry::compile::{Compiled, Target};
use marquetry::device::{Arg, Buffer, Device, KernelParam};
use marquetry::engine::{Extent, Thrown};
use marquetry::session::{self, Config, Session, SessionError};
use marquetry_codegen::artifact::{Slot, argument_block};
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::op::Op;
use marquetry_ir::print_format::Format;
use marquetry_ir::types::Type;
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::hooks::{Anchor, HookContext};
use marquetry_lower::job::{DebugLevel, OptLevel};
use marquetry_lower::query::Answer;

/// What users of the back-end choose: a value, part of what tells jobs apart.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Params {
    /// Whether approximations take the place of exact functions.
    pub fast_math: bool,
    /// Whether code may compute with `f64`.
    pub f64: bool,
}

/// Bytes of the state before the heap: `example_state` of the tables.
const STATE_BYTES: usize = 32;
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
    backend.hook(Anchor::AfterOptimise, "example_types", refuse_f64);
    session.add_backend(backend)
}

/// Adds the back-end's tables to a session, once for all its targets.
pub fn define(session: &Session) -> Result<(), SessionError> {
    session.define("example/tables.mq", include_str!("tables.mq"))
}

/// The config for what a user chose.
pub fn config(installed: &Config, params: Params) -> Config {
    let mut config = installed.clone();
    config.params = session::Params::new(params);
    // Its runtime is told the kinds of exceptions.
    config.options.debug_level = DebugLevel::Lines;
    config.tables = if params.fast_math { vec!["example_math".into()] } else { Vec::new() };
    config
}

/// What is left to compute with `f64`, where the params say that there is none.
fn refuse_f64(context: &mut HookContext<'_>) -> Result<(), Vec<Diagnostic>> {
    let params = context.params.and_then(|params| params.downcast_ref::<Params>());
    if params.is_none_or(|params| params.f64) {
        return Ok(());
    }
    let mut problems = Vec::new();
    for function in context.unit.funcs.values() {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let moves = matches!(body.inst(inst).op, Op::Load | Op::Bitcast);
            if !moves && body.results(inst).any(|value| body.value_type(value) == Type::F64) {
                let message =
                    format!("the example's devices do not compute with f64, in '{}'", function.name);
                problems.push(Diagnostic::error(Code::Unsupported, function.file, body.span(inst), message));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// An argument of a launch.
pub enum HostArg<'a> {
    /// Memory, which holds afterwards what the kernel left in it.
    Buffer(&'a mut [u8]),
    /// The bytes of a number.
    Value(&'a [u8]),
}

/// Launches a kernel.
pub fn launch(
    device: &dyn Device,
    kernel: &Compiled,
    extent: Extent,
    args: &mut [HostArg<'_>],
    heap_bytes: usize,
) -> Result<Report, String> {
    let entry = kernel.entry().map_err(|error| error.to_string())?;
    let param = |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
    let params: Vec<KernelParam> = argument_block(&entry.signature.params).0.into_iter().map(param).collect();
    let image = kernel.image(&params, extent.block).map_err(|error| error.to_string())?;
    let module = device.load(&image).map_err(|error| error.to_string())?;
    let upload = |bytes: &[u8]| -> Result<Buffer, String> {
        let buffer = device.alloc(bytes.len().max(1) as u64).map_err(|error| error.to_string())?;
        device.write(&buffer, 0, bytes).map_err(|error| error.to_string())?;
        Ok(buffer)
    };
    let mut state = vec![0; STATE_BYTES + heap_bytes];
    state[4..8].copy_from_slice(&u32::try_from(heap_bytes).unwrap_or(u32::MAX).to_le_bytes());
    let mut log = vec![0; 1 << 12];
    let mut mailbox = [0; Record::BYTES];
    let (state_buffer, log_buffer, mailbox_buffer) = (upload(&state)?, upload(&log)?, upload(&mailbox)?);
    let mut buffers = Vec::new();
    for arg in args.iter() {
        buffers.push(match arg {
            HostArg::Buffer(bytes) => Some(upload(bytes)?),
            HostArg::Value(_) => None,
        });
    }
    let mut passed: Vec<Arg<'_>> = Vec::new();
    for (arg, buffer) in args.iter().zip(&buffers) {
        passed.push(match (arg, buffer) {
            (HostArg::Value(bytes), _) => Arg::Bytes(bytes),
            (_, Some(buffer)) => Arg::Buffer(buffer, 0),
            (_, None) => Arg::Null,
        });
    }
    passed.extend(entry.abi.mailbox.then_some(Arg::Buffer(&mailbox_buffer, 0)));
    for input in &entry.abi.inputs {
        passed.push(match &*input.name {
            "state" => Arg::Buffer(&state_buffer, 0),
            "log" => Arg::Buffer(&log_buffer, 0),
            other => return Err(format!("hidden input '{other}'")),
        });
    }
    device.launch(&module, extent.grid, extent.block, &passed).map_err(|error| error.to_string())?;
    drop(passed);
    device.sync().map_err(|error| error.to_string())?;
    let read =
        |buffer: &Buffer, bytes: &mut [u8]| device.read(buffer, 0, bytes).map_err(|error| error.to_string());
    for (arg, buffer) in args.iter_mut().zip(&buffers) {
        if let (HostArg::Buffer(bytes), Some(buffer)) = (arg, buffer) {
            read(buffer, bytes)?;
        }
    }
    read(&state_buffer, &mut state)?;
    read(&log_buffer, &mut log)?;
    read(&mailbox_buffer, &mut mailbox)?;
    let word = |n: usize| {
        let bytes = state.get(4 * n..4 * n + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    Ok(Report {
        thrown: kernel.thrown_in(&mailbox),
        throwers: word(2),
        letter: word(3) as u8,
        heap: word(0),
        refused: word(6),
        lines: lines(kernel, &log, word(4))?,
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
