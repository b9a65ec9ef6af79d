//! A back-end as someone outside would write it: a target with tables of its own, params that choose among them, a
//! runtime provider, a state that every launch carries, and a launcher.

use marquetry::compile::{Compiled, Target, compile_with};
use marquetry::device::{Arg, Buffer, Device, KernelParam};
use marquetry::engine::{EngineError, Extent, Thrown};
use marquetry_codegen::artifact::{Slot, argument_block};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::print_format::Format;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::runtime::Library;

/// What users of the back-end choose: a value, part of what tells jobs apart.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Params {
    /// Whether approximations take the place of exact functions.
    pub fast_math: bool,
    /// How much the optimiser does.
    pub opt_level: OptLevel,
}

/// The back-end, for one target.
pub struct Backend {
    target: Target,
    params: Params,
    /// What was linked for earlier jobs of the program.
    library: Library,
}

/// Bytes of the state before the heap: `example_state` of the tables.
const STATE_BYTES: usize = 32;
/// Bytes of a mailbox.
const MAILBOX_BYTES: usize = 16;

/// What a launch left besides its buffers.
#[derive(Debug)]
pub struct Report {
    /// The exception that arrived first.
    pub thrown: Option<Thrown>,
    /// How many work-items threw.
    pub throwers: u32,
    /// The first letter of the kind of exception that was reported last.
    pub letter: u8,
    /// Bytes of the heap that were taken.
    pub heap: u32,
    /// Bytes that were asked for when there were none left.
    pub refused: u64,
    /// What was printed.
    pub lines: Vec<String>,
}

impl Backend {
    /// Adds the back-end's tables to a program, once.
    pub fn install(program: &mut Program) -> Vec<Diagnostic> {
        text::parse(program, "example/tables.mq", include_str!("tables.mq"))
    }

    /// For a target, as the command line spells it.
    pub fn new(target: &str, params: Params) -> Result<Self, String> {
        let target = Target::parse(target, params.opt_level).map_err(|error| error.to_string())?;
        Ok(Backend { target, params, library: Library::new() })
    }

    /// What its jobs see: its tables, the device table, base; and what it does not supply to the device library itself,
    /// the standard provider does.
    fn view(&self, program: &Program) -> Result<View, String> {
        let table = |name| program.find_table(name).ok_or_else(|| format!("table {name} is not installed"));
        let own = if self.params.fast_math { vec![table("example_math")?] } else { Vec::new() };
        Ok(View::device(&own).with_provider(&[table("example_runtime")?, Table::STANDARD]))
    }

    /// The job for a kernel.
    pub fn job(&self, program: &Program, kernel: Method) -> Result<Job, String> {
        Ok(Job::new(vec![kernel], self.view(program)?, self.params.opt_level))
    }

    /// Compiles a kernel.
    pub fn compile(&self, program: &Program, kernel: Method) -> Result<Compiled, EngineError> {
        let job = self.job(program, kernel).map_err(EngineError::Failed)?;
        compile_with(program, &job, &self.target, &self.library)
    }
}

/// Launches a kernel with buffers, which hold afterwards what it left in them, and numbers.
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
    let mut mailbox = [0; MAILBOX_BYTES];
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
    let read = |buffer: &Buffer, bytes: &mut [u8]| {
        device.read(buffer, 0, bytes).map_err(|error| error.to_string())
    };
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
    let status = u32::from_le_bytes(mailbox[..4].try_into().unwrap_or_default());
    Ok(Report {
        thrown: kernel.thrown(status),
        throwers: word(2),
        letter: word(3) as u8,
        heap: word(0),
        refused: u64::from(word(6)) | (u64::from(word(7)) << 32),
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

/// An argument of a launch.
pub enum HostArg<'a> {
    /// Memory.
    Buffer(&'a mut [u8]),
    /// The bytes of a number.
    Value(&'a [u8]),
}
