//! Engines: everything that can carry out a call or a launch, behind one trait.
//!
//! The interpreter is the oracle; the others compile. An engine takes arguments by value and buffers by copy, so that
//! the same line of a filetest, or of the command line, means the same on all of them.

mod arguments;
mod device;
mod functions;
mod interp;
mod launcher;
mod native;
mod object;
pub(crate) mod parts;
mod wrap;

pub use launcher::{Launched, Launcher};

use crate::compile::CompileError;
use crate::device::DeviceKind;
use crate::inputs::LaunchOptions;
use crate::value::{HostArg, HostValue};
use functions::FunctionEngine;
use marquetry_codegen::artifact::Entry;
use marquetry_codegen::error::EmitError;
use marquetry_ir::body::Frame;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::Method;
use marquetry_ir::print_format;
use marquetry_ir::program::{MethodKind, Program, Resolve};
use marquetry_ir::span::{Location, SourceFile};
use marquetry_ir::types::Type;
use marquetry_lower::exceptions::places::{ThrowFrame, ThrowPlace};
use marquetry_lower::exceptions::record::{Record, WorkItem};
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{DebugLevel, OptLevel, ThrowPolicy};
use std::fmt;
use std::sync::Arc;

/// What became of a call or launch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It returned these results.
    Returned(Vec<HostValue>),
    /// It threw.
    Threw(Thrown),
}

impl Outcome {
    /// The results, or the exception as an error: what `?` passes on.
    ///
    /// # Errors
    /// It threw.
    pub fn returned(self) -> Result<Vec<HostValue>, Box<Thrown>> {
        match self {
            Outcome::Returned(values) => Ok(values),
            Outcome::Threw(thrown) => Err(Box::new(thrown)),
        }
    }
}

/// An exception that arrived at the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thrown {
    /// Its kind.
    pub kind: String,
    /// The reason that the author gave, its operands put in.
    pub reason: Option<String>,
    /// Type and bits of each operand.
    pub operands: Box<[(Type, u64)]>,
    /// The function whose code threw.
    pub function: String,
    /// Where in the source.
    pub place: Option<Location>,
    /// Who called it, from the inside to the outside, as far as the engine knows: the interpreter knows all, compiled
    /// code knows those that the function was inlined into, and those that are the only ones to call these.
    pub callers: Vec<Caller>,
    /// Which calls may come next, where there are several and the engine does not know which.
    pub candidates: Vec<Caller>,
    /// Whether there are more than these lists name: candidates if there are any, else callers.
    pub more: bool,
    /// The kernel, if one was launched.
    pub kernel: Option<String>,
    /// The work-item of the launch that threw first.
    pub item: Option<WorkItem>,
}

/// A function on the way to a place that threw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The function.
    pub function: String,
    /// Where in the source it called.
    pub place: Option<Location>,
}

impl Caller {
    /// From a frame of a unit with these files.
    pub fn new(frame: &Frame, files: &[SourceFile]) -> Self {
        Caller { function: frame.function.to_string(), place: Location::of(files, frame.file, frame.span) }
    }
}

impl From<&ThrowFrame> for Caller {
    fn from(frame: &ThrowFrame) -> Caller {
        Caller { function: frame.function.to_string(), place: frame.location.clone() }
    }
}

/// How many callers a message names.
const SHOWN_CALLERS: usize = 8;

impl Thrown {
    /// The exception of a place, with its operands as they arrived; those that are missing count as 0.
    pub fn at(place: &ThrowPlace, operands: &[u64]) -> Thrown {
        let words = operands.iter().copied().chain(std::iter::repeat(0));
        let operands: Box<[(Type, u64)]> = place.operands.iter().copied().zip(words).collect();
        Thrown {
            kind: place.kind.to_string(),
            reason: place.reason.as_ref().map(|text| print_format::reason(text, &operands).into_owned()),
            operands,
            function: place.at.function.to_string(),
            place: place.at.location.clone(),
            callers: place.callers.iter().map(Caller::from).collect(),
            candidates: place.candidates.iter().map(Caller::from).collect(),
            more: place.more,
            kernel: None,
            item: None,
        }
    }

    /// The exception that a status stands for in a table, with its operands; none for 0.
    pub fn of_status(places: &[ThrowPlace], status: u32, operands: &[u64]) -> Option<Thrown> {
        Some(match places.get((status as usize).checked_sub(1)?) {
            Some(place) => Thrown::at(place, operands),
            None => Thrown {
                kind: format!("unknown exception {status}"),
                reason: None,
                operands: Box::default(),
                function: "?".into(),
                place: None,
                callers: Vec::new(),
                candidates: Vec::new(),
                more: false,
                kernel: None,
                item: None,
            },
        })
    }

    /// The exception that a launch left in a mailbox, if any, by the tables of an artifact: its entries and the places that
    /// throw. Nothing else is needed, neither the program nor its source.
    pub fn in_mailbox(entries: &[Entry], places: &[ThrowPlace], mailbox: &[u8]) -> Option<Thrown> {
        let record = Record::read(mailbox)?;
        let kernel = record.kernel.and_then(|number| entries.get(number as usize));
        let thrown = Thrown::of_status(places, record.status, &record.operands)?;
        let kernel = kernel.map(|entry| entry.symbol.to_string());
        Some(Thrown { kernel, item: Some(record.item), ..thrown })
    }

    /// What is known, for people: at level none in one line; at the others also which work-item of which kernel; at the
    /// full level every frame in a line of its own.
    pub fn report(&self, level: DebugLevel) -> String {
        let mut text = match level {
            DebugLevel::None | DebugLevel::Lines => self.to_string(),
            DebugLevel::Full => {
                let mut text = self.kind.clone();
                text.extend(self.reason.iter().flat_map(|reason| [": ", reason]));
                text.push_str(&format!("\n  in {}", Place(&self.function, &self.place)));
                for Caller { function, place } in &self.callers {
                    text.push_str(&format!("\n  called by {}", Place(function, place)));
                }
                if !self.candidates.is_empty() {
                    text.push_str("\n  called by one of");
                }
                for Caller { function, place } in &self.candidates {
                    text.push_str(&format!("\n    {}", Place(function, place)));
                }
                match (self.more, self.candidates.is_empty()) {
                    (true, true) => text.push_str("\n  and further callers"),
                    (true, false) => text.push_str("\n    and others"),
                    (false, _) => {}
                }
                text
            }
        };
        if level > DebugLevel::None
            && let Some(WorkItem { group: [x, y, z], local: [i, j, k] }) = self.item
        {
            text.push_str(&format!("\n  thrown by work-item ({i}, {j}, {k}) of group ({x}, {y}, {z})"));
            text.extend(self.kernel.iter().map(|kernel| format!(" of kernel '{kernel}'")));
        }
        text
    }
}

/// A function and where in it.
struct Place<'a>(&'a str, &'a Option<Location>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)?;
        match self.1 {
            Some(place) => write!(f, ", {place}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        write!(f, " (in {}", Place(&self.function, &self.place))?;
        for caller in self.callers.iter().take(SHOWN_CALLERS) {
            write!(f, "; called by {}", Place(&caller.function, &caller.place))?;
        }
        let cut = if self.more { "more than " } else { "" };
        match self.callers.len().saturating_sub(SHOWN_CALLERS) {
            0 => {}
            more => {
                let cut = if self.candidates.is_empty() { cut } else { "" };
                return write!(f, "; and {cut}{more} more)");
            }
        }
        for (n, caller) in self.candidates.iter().take(SHOWN_CALLERS).enumerate() {
            let before = if n == 0 { "; called by one of " } else { " or " };
            write!(f, "{before}{}", Place(&caller.function, &caller.place))?;
        }
        match self.candidates.len().saturating_sub(SHOWN_CALLERS) {
            0 if self.more => f.write_str("; and others)"),
            0 => f.write_str(")"),
            more => write!(f, " or {cut}{more} more)"),
        }
    }
}

impl std::error::Error for Thrown {}

/// Why an engine did not carry something out.
#[derive(Clone, Debug)]
pub enum EngineError {
    /// It cannot: not a mistake, but the reason is worth showing.
    Unsupported(String),
    /// The program is wrong.
    Program(Vec<Diagnostic>),
    /// It failed.
    Failed(String),
    /// Recursion used up the stack: where.
    StackOverflow(Box<Thrown>),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Unsupported(reason) | EngineError::Failed(reason) => f.write_str(reason),
            EngineError::StackOverflow(place) => write!(f, "{place}"),
            EngineError::Program(diagnostics) => {
                let messages: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
                f.write_str(&messages.join("; "))
            }
        }
    }
}

impl std::error::Error for EngineError {}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Program(diagnostics) if diagnostics.iter().all(|d| d.code == Code::Unsupported) => {
                let messages: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
                EngineError::Unsupported(messages.join("; "))
            }
            Failure::Program(diagnostics) => EngineError::Program(diagnostics),
            Failure::Limit(limit) => EngineError::Program(vec![limit.diagnostic()]),
            other => EngineError::Failed(other.to_string()),
        }
    }
}

impl From<CompileError> for EngineError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Lower(failure) => failure.into(),
            CompileError::Emit(error) => error.into(),
        }
    }
}

impl From<EmitError> for EngineError {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::Target(message) | EmitError::Unsupported(message) => EngineError::Unsupported(message),
            EmitError::Limit(limit) => EngineError::Program(vec![limit.diagnostic()]),
            EmitError::Program(diagnostics) => EngineError::Program(diagnostics),
            other => EngineError::Failed(other.to_string()),
        }
    }
}

/// A launch's size.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Groups along each dimension.
    pub grid: [u32; 3],
    /// Work-items of a group along each dimension.
    pub block: [u32; 3],
}

/// Something that carries out calls and launches.
pub trait Engine: Send {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// Takes a program, in place of an earlier one. Methods passed to the other functions are methods of it.
    fn load(&mut self, program: Arc<Program>);

    /// The program that was taken last.
    fn program(&self) -> &Program;

    /// Calls a function. Buffers hold afterwards what the function left in them.
    ///
    /// # Errors
    /// The arguments are not those that the function takes, the program is wrong, or the engine cannot do it or fails.
    fn call(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        arguments::check(self.program(), method, MethodKind::Function, args)?;
        self.call_checked(method, args)
    }

    /// As [`Self::call`], for a function of the program and arguments that it takes.
    ///
    /// # Errors
    /// The program is wrong, or the engine cannot do it or fails.
    fn call_checked(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError>;

    /// How code is compiled, as far as exceptions are concerned; what was compiled another way is made anew. For engines that
    /// compile.
    fn set_exceptions(&mut self, _debug_level: DebugLevel, _throws: ThrowPolicy) {}

    /// The tables of overlays that code sees besides the library's, first asked first; what was compiled with others is made
    /// anew. One that the program does not have has no methods.
    fn set_tables(&mut self, names: &[String]);

    /// Takes who supplies the words that globals leave to the host, in place of an earlier one; code that was given words
    /// of that one is made anew. Engines that cannot hand words to code refuse programs that need some.
    fn set_host(&mut self, host: Arc<dyn Resolve>) {
        let _ = host;
    }

    /// What launches get besides the arguments, until it is changed.
    fn options(&mut self) -> &mut LaunchOptions;

    /// The lines that the last call or launch printed, in the order in which they were written.
    fn take_output(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Launches a kernel. Buffers hold afterwards what the kernel left in them.
    ///
    /// # Errors
    /// The arguments are not those that the kernel takes, the program is wrong, or the engine cannot do it or fails.
    fn launch(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        arguments::check(self.program(), method, MethodKind::Kernel, args)?;
        self.launch_checked(method, extent, args)
    }

    /// As [`Self::launch`], for a kernel of the program and arguments that it takes.
    ///
    /// # Errors
    /// The program is wrong, or the engine cannot do it or fails.
    fn launch_checked(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError>;
}

/// The kinds of engines, in the order in which they are tried and listed.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum EngineKind {
    /// The reference interpreter.
    Interp,
    /// Native code in memory. Launches are those of the CPU device.
    Native,
    /// Native code linked into a shared library by the system's C compiler. Kernels run on the CPU device.
    Object,
    /// A device that runs kernels; calls are wrapped into a kernel of one work-item.
    Device(DeviceKind),
}

impl EngineKind {
    /// All kinds.
    pub const ALL: [EngineKind; 7] = [
        EngineKind::Interp,
        EngineKind::Native,
        EngineKind::Object,
        EngineKind::Device(DeviceKind::Cpu),
        EngineKind::Device(DeviceKind::Vulkan),
        EngineKind::Device(DeviceKind::OpenCl),
        EngineKind::Device(DeviceKind::Cuda),
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Interp => "interp",
            EngineKind::Native => "native",
            EngineKind::Object => "object",
            EngineKind::Device(kind) => kind.name(),
        }
    }

    /// What it is, in a few words.
    pub const fn description(self) -> &'static str {
        match self {
            EngineKind::Interp => "the reference interpreter",
            EngineKind::Native => "native code in this process",
            EngineKind::Object => "native objects, linked by the C compiler",
            EngineKind::Device(_) => "a device",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether every Linux machine can have this engine by installing software.
    pub const fn is_expected_everywhere(self) -> bool {
        !matches!(self, EngineKind::Device(DeviceKind::Cuda))
    }

    /// Opens an engine of this kind.
    ///
    /// # Errors
    /// The reason why this machine has none.
    pub fn open(self, opt_level: OptLevel) -> Result<Box<dyn Engine>, String> {
        Ok(match self {
            EngineKind::Interp => Box::new(interp::InterpEngine::new()),
            EngineKind::Native => Box::new(FunctionEngine::<native::InMemory>::new(opt_level)?),
            EngineKind::Object => Box::new(FunctionEngine::<object::ThroughLinker>::new(opt_level)?),
            EngineKind::Device(kind) => Box::new(device::DeviceEngine::open(kind, opt_level)?),
        })
    }
}

/// The engine that computes what references leave in buffers: compiled, because references may be long.
///
/// # Errors
/// The reason why this machine has none.
pub fn reference() -> Result<Box<dyn Engine>, String> {
    EngineKind::Native.open(OptLevel::None)
}
