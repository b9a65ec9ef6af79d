//! From a program and a job to code for one target: the whole way, in one function.

use crate::device::{DeviceInfo, DeviceKind, KernelCode, KernelImage, KernelParam};
use crate::engine::{EngineError, Outcome, Thrown, parts};
use crate::memory::{self, Memory};
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_codegen::artifact::{Artifact, Entry, Slot, argument_block};
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::{
    self, JitCode, NativeKernel, NativeOptions, NativeTarget, ObjectPlan, StackLimit, emit_jit_with,
    emit_object, emit_object_with, emit_planned,
};
use marquetry_codegen::ptx::{self, PtxTarget};
#[cfg(feature = "shader")]
use marquetry_codegen::shader::{self, ShaderTarget};
use marquetry_codegen::spirv::{self, SpirvTarget};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{NoHost, Program, Resolve};
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_ir::unit::PrintFormat;
use marquetry_lower::exceptions::places::ThrowPlace;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{DebugLevel, Job, OptLevel};
use marquetry_lower::legal::Legal;
use marquetry_lower::observe::{Observer, Silent};
use marquetry_lower::pipeline::{self, Lowering, Setup};
use marquetry_lower::references::Strategy;
use marquetry_lower::runtime::Library;
use marquetry_lower::stage::Stage;
use std::fmt;
use std::sync::Arc;

/// A target of any back-end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Native code.
    Native(NativeTarget),
    /// PTX.
    Ptx(PtxTarget),
    /// SPIR-V.
    Spirv(SpirvTarget),
    /// WGSL, MSL or HLSL.
    #[cfg(feature = "shader")]
    Shader(ShaderTarget),
}

impl Target {
    /// Reads a target as the command line spells it: `native[:TRIPLE]`, `ptx[:sm_XX][,BOUNDS]`, `spirv[:ENVIRONMENT]`,
    /// `wgsl`, `msl` or `hlsl`, with `[:GROUP_SIZE]`.
    ///
    /// # Errors
    /// No such target: what was found, and what there is.
    pub fn parse(text: &str, opt_level: OptLevel) -> Result<Target, EmitError> {
        match text.split([':', ',']).next() {
            Some("native") => NativeTarget::parse(text, native_options(opt_level)).map(Target::Native),
            Some("ptx") => PtxTarget::parse(text).map(Target::Ptx),
            Some("spirv") => SpirvTarget::parse(text).map(Target::Spirv),
            #[cfg(feature = "shader")]
            Some("wgsl" | "msl" | "hlsl") => ShaderTarget::parse(text).map(Target::Shader),
            #[cfg(not(feature = "shader"))]
            Some("wgsl" | "msl" | "hlsl") => Err(EmitError::Target(format!(
                "'{text}' is a target of the feature `shader`, which was left out"
            ))),
            _ => {
                let message =
                    format!("'{text}' is not a target: expected native, ptx, spirv, wgsl, msl or hlsl");
                Err(EmitError::Target(message))
            }
        }
    }

    /// The target for a device.
    ///
    /// # Errors
    /// The device has none.
    pub fn for_device(info: &DeviceInfo, opt_level: OptLevel) -> Result<Target, String> {
        let text = match info.kind {
            DeviceKind::Cpu => "native".to_string(),
            DeviceKind::Vulkan => "spirv:vulkan1.3".to_string(),
            DeviceKind::OpenCl => "spirv:opencl2.1".to_string(),
            DeviceKind::Cuda => match info.compute_capability {
                Some((major, minor)) => format!("ptx:sm_{major}{minor}"),
                None => return Err("the device does not state its compute capability".into()),
            },
        };
        Target::parse(&text, opt_level).map_err(|error| error.to_string())
    }

    /// As lowering sees it.
    pub fn lowering(&self) -> &dyn marquetry_lower::target::Target {
        match self {
            Target::Native(target) => target,
            Target::Ptx(target) => target,
            Target::Spirv(target) => target,
            #[cfg(feature = "shader")]
            Target::Shader(target) => target,
        }
    }

    /// Whether jobs for it see the device table.
    pub fn is_device(&self) -> bool {
        !matches!(self, Target::Native(_))
    }

    /// Emits a legal unit as an artifact; native code as a relocatable object.
    ///
    /// # Errors
    /// A limit of the target's format.
    pub fn emit(&self, legal: &Legal) -> Result<Artifact, EmitError> {
        match self {
            Target::Native(target) => emit_object(legal, target),
            Target::Ptx(target) => ptx::emit(legal, target),
            Target::Spirv(target) => spirv::emit(legal, target),
            #[cfg(feature = "shader")]
            Target::Shader(target) => shader::emit(legal, target),
        }
    }

    /// As [`Self::emit`], in memory that is kept.
    fn emit_in(&self, legal: &Legal, memory: &mut Memory) -> Result<Artifact, EmitError> {
        match self {
            Target::Native(target) => emit_object_with(legal, target, &mut memory.native),
            Target::Ptx(target) => ptx::emit(legal, target),
            Target::Spirv(target) => spirv::emit_with(legal, target, &mut memory.spirv),
            #[cfg(feature = "shader")]
            Target::Shader(target) => shader::emit(legal, target),
        }
    }
}

/// Code as people read it.
impl Target {
    /// Emits a legal unit as text: PTX, disassembled SPIR-V, a shading language, or Cranelift's IR.
    ///
    /// # Errors
    /// A limit of the target's format.
    pub fn emit_text(&self, legal: &Legal) -> Result<String, EmitError> {
        match self {
            Target::Native(target) => native::emit_text(legal, target),
            Target::Ptx(target) => Ok(String::from_utf8_lossy(&ptx::emit(legal, target)?.code).into_owned()),
            Target::Spirv(target) => spirv::disassemble(&spirv::emit(legal, target)?.code),
            #[cfg(feature = "shader")]
            Target::Shader(target) => {
                Ok(String::from_utf8_lossy(&shader::emit(legal, target)?.code).into_owned())
            }
        }
    }
}

fn native_options(opt_level: OptLevel) -> NativeOptions {
    NativeOptions { opt_level: opt_level as u8, ..NativeOptions::default() }
}

/// Code that can be run.
#[derive(Clone)]
pub enum Code {
    /// For a driver or a linker.
    Artifact(Box<Artifact>),
    /// In this process.
    Jit(Arc<JitCode>),
}

/// Something else that a job asked for.
#[derive(Clone, Debug)]
pub struct Child {
    /// The job that compiles it.
    pub job: crate::session::Job,
    /// What it became; none if that is still being compiled because this is, in turn, its child. The session has it
    /// afterwards.
    pub compiled: Option<Arc<Compiled>>,
}

/// What a job became.
pub struct Compiled {
    /// The code.
    pub code: Code,
    /// What can be called.
    pub entries: Vec<Entry>,
    /// What else the job asked for, in the order in which it did.
    pub children: Vec<Child>,
    /// What the first entry returns, before lowering.
    results: Vec<Type>,
    /// The first entry, if it is a kernel in this process.
    kernel: Option<NativeKernel>,
    /// The formats of what it prints.
    pub formats: Vec<PrintFormat>,
    /// What hooks warned of.
    pub warnings: Vec<Diagnostic>,
    places: Arc<[ThrowPlace]>,
}

/// Where native code goes; everything else is an artifact anyway.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Form {
    /// Into this process's memory.
    #[default]
    Memory,
    /// Into a relocatable object.
    Object,
}

/// Addresses of the host's functions, by link name.
pub(crate) type Symbols<'a> = &'a dyn Fn(&str) -> Option<*const u8>;

/// Compiles a job, native code for this process.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn compile(program: &Program, job: &Job, target: &Target) -> Result<Compiled, EngineError> {
    compile_with(program, job, target, &Library::new())
}

/// As [`compile_with`], for a host that supplies words: those of code in this process, and those that are baked in.
///
/// # Errors
/// As [`compile`]; or words are missing.
pub fn compile_for(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
    host: &dyn Resolve,
) -> Result<Compiled, EngineError> {
    memory::with(|memory| {
        let setup = Setup { host, ..Setup::new(target.lowering(), library) };
        let lowering = lower(memory, program, job, &setup, &mut Silent)?;
        emit(memory, &lowering, target, Form::Memory, &|_| None, host)
    })
}

/// As [`compile`], with a device library that is kept for other jobs of the program.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
) -> Result<Compiled, EngineError> {
    compile_for(program, job, target, library, &NoHost)
}

/// All stages but the last.
pub(crate) fn lower(
    memory: &mut Memory,
    program: &Program,
    job: &Job,
    setup: &Setup<'_>,
    observer: &mut dyn Observer,
) -> Result<Lowering, Failure> {
    let lowering = pipeline::run_recorded(&mut memory.lowering, program, job, setup, observer)?;
    memory.used_for(lowering.legal.unit());
    Ok(lowering)
}

/// The last step of a job.
pub(crate) fn emit(
    memory: &mut Memory,
    lowering: &Lowering,
    target: &Target,
    form: Form,
    symbols: Symbols<'_>,
    host: &dyn Resolve,
) -> Result<Compiled, EngineError> {
    let legal = &lowering.legal;
    let (code, kernel) = match (target, form) {
        (Target::Native(target), Form::Memory) => {
            // Code in memory is loaded as soon as it is made.
            let filled = match legal.references() {
                Strategy::Defer => None,
                _ if !legal.has_slots() => None,
                _ => Some(legal.clone().baked_by(host)?),
            };
            let legal = filled.as_ref().unwrap_or(legal);
            let jit = Arc::new(emit_jit_with(legal, target, symbols, &mut memory.native)?);
            let kernel = jit.kernel(0);
            (Code::Jit(jit), kernel)
        }
        (Target::Native(target), Form::Object) => {
            let addresses = |name: &str| symbols(name).map(|address| address.expose_provenance() as u64);
            let plan = ObjectPlan { addresses: &addresses, ..ObjectPlan::default() };
            (Code::Artifact(Box::new(emit_planned(legal, target, &plan, &mut memory.native)?)), None)
        }
        (other, _) => (Code::Artifact(Box::new(other.emit_in(legal, memory)?)), None),
    };
    let (entries, places) = match &code {
        Code::Artifact(artifact) => (artifact.entries.clone(), artifact.places.clone()),
        Code::Jit(jit) => (marquetry_codegen::artifact::entries(legal), jit.places().clone()),
    };
    let results = lowering.signatures.first().map(|signature| signature.results.clone()).unwrap_or_default();
    let formats = legal.unit().formats.clone();
    let (children, warnings) = (Vec::new(), lowering.warnings.clone());
    Ok(Compiled { code, entries, children, results, kernel, formats, warnings, places })
}

/// Compiles a job to an artifact; native code as a relocatable object.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn compile_artifact(program: &Program, job: &Job, target: &Target) -> Result<Artifact, CompileError> {
    compile_artifact_with(program, job, target, &Library::new())
}

/// As [`compile_artifact`], with a device library that is kept for other jobs of the program.
///
/// # Errors
/// As [`compile_artifact`].
pub fn compile_artifact_with(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
) -> Result<Artifact, CompileError> {
    compile_artifact_for(program, job, target, library, &NoHost)
}

/// As [`compile_artifact_with`], for a host that supplies the words that are baked in.
///
/// # Errors
/// As [`compile_artifact`]; or words are missing.
pub fn compile_artifact_for(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
    host: &dyn Resolve,
) -> Result<Artifact, CompileError> {
    memory::with(|memory| {
        let setup = Setup { host, ..Setup::new(target.lowering(), library) };
        let lowering = lower(memory, program, job, &setup, &mut Silent)?;
        Ok(target.emit_in(&lowering.legal, memory)?)
    })
}

/// The methods of a name that hosts may compile: those of base.
pub fn entries_named(program: &Program, name: &str) -> Vec<Method> {
    let in_base = |method: &Method| program.method(*method).table == Table::BASE;
    program.methods_of(name).iter().copied().filter(in_base).collect()
}

/// Why a job did not become code.
#[derive(Clone, Debug)]
pub enum CompileError {
    /// Before it was legal for its target.
    Lower(Failure),
    /// When it was.
    Emit(EmitError),
}

impl CompileError {
    /// What to show of it in the program's text; none if it is about nothing there.
    pub fn diagnostics(&self) -> Option<Vec<Diagnostic>> {
        match self {
            CompileError::Lower(Failure::Program(diagnostics))
            | CompileError::Emit(EmitError::Program(diagnostics)) => Some(diagnostics.clone()),
            CompileError::Lower(Failure::Limit(limit)) | CompileError::Emit(EmitError::Limit(limit)) => {
                Some(vec![limit.diagnostic()])
            }
            _ => None,
        }
    }
}

impl From<Failure> for CompileError {
    fn from(failure: Failure) -> Self {
        CompileError::Lower(failure)
    }
}

impl From<EmitError> for CompileError {
    fn from(error: EmitError) -> Self {
        CompileError::Emit(error)
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Lower(failure) => failure.fmt(f),
            CompileError::Emit(error) => error.fmt(f),
        }
    }
}

/// What a job is at a stage, as text: the program, a unit, or the target's code. Methods of the library are left out
/// of the program, and are comments as long as they have not been optimised: every program starts with them, and the text
/// reads back.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn text_at(program: &Program, job: &Job, target: &Target, stage: Stage) -> Result<String, CompileError> {
    text_for(program, job, target, stage, &NoHost)
}

/// As [`text_at`], for a host that supplies the words that are baked in.
///
/// # Errors
/// As [`text_at`]; or words are missing.
pub fn text_for(
    program: &Program,
    job: &Job,
    target: &Target,
    stage: Stage,
    host: &dyn Resolve,
) -> Result<String, CompileError> {
    let library = Library::new();
    let setup = Setup { host, ..Setup::new(target.lowering(), &library) };
    Ok(match stage {
        Stage::Program => text::print_own_program(program),
        Stage::Code => {
            let mut context = pipeline::Context::new();
            let lowering = pipeline::run_recorded(&mut context, program, job, &setup, &mut Silent)?;
            target.emit_text(&lowering.legal)?
        }
        _ => {
            let unit = pipeline::run_until_with(program, job, &setup, stage)?;
            let (mut plain, mut places) = (Plain, text::Places::new(&unit));
            let annotate: &mut dyn text::Annotate = match job.options.debug_level {
                DebugLevel::None => &mut plain,
                DebugLevel::Lines | DebugLevel::Full => &mut places,
            };
            match stage {
                Stage::Specialised => text::print_own_unit_with(&unit, annotate),
                _ => text::print_unit_with(&unit, annotate),
            }
        }
    })
}

/// No comments.
struct Plain;

impl text::Annotate for Plain {}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|entry| &*entry.symbol).collect();
        f.debug_struct("Compiled").field("entries", &names).finish_non_exhaustive()
    }
}

impl Compiled {
    /// An object that was linked and loaded, its first entry being this kernel.
    pub fn linked(artifact: Artifact, kernel: NativeKernel) -> Self {
        let (entries, places) = (artifact.entries.clone(), artifact.places.clone());
        let formats = artifact.formats.clone();
        let (code, kernel) = (Code::Artifact(Box::new(artifact)), Some(kernel));
        let (children, results, warnings) = Default::default();
        Compiled { code, entries, children, results, kernel, formats, warnings, places }
    }

    /// Code of one entry that was compiled by another process, with the places that it knew.
    pub(crate) fn stored(
        code: Arc<JitCode>,
        entry: Entry,
        results: Vec<Type>,
        formats: Vec<PrintFormat>,
        places: Arc<[ThrowPlace]>,
    ) -> Self {
        let (kernel, entries) = (code.kernel(0), vec![entry]);
        let (code, children, warnings) = (Code::Jit(code), Vec::new(), Vec::new());
        Compiled { code, entries, children, results, kernel, formats, warnings, places }
    }

    /// The only or first entry.
    ///
    /// # Errors
    /// There is none.
    pub fn entry(&self) -> Result<&Entry, EngineError> {
        self.entries.first().ok_or_else(|| EngineError::Failed("the job has no entry".into()))
    }

    /// Bytes for a driver or a linker; none for code in this process.
    pub fn artifact(&self) -> Option<&Artifact> {
        match &self.code {
            Code::Artifact(artifact) => Some(artifact),
            Code::Jit(_) => None,
        }
    }

    /// Calls the first entry, a function in this process. Buffers hold afterwards what the function left in them. The
    /// code lives for as long as somebody holds it, whatever becomes of the program meanwhile.
    ///
    /// # Errors
    /// The code is not in this process, the arguments are not those that the function takes, or the stack overflows.
    pub fn call(&self, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        self.call_on(&mut CallStack::new(), args)
    }

    /// As [`Self::call`], with a stack that is kept for later calls of recursive functions.
    ///
    /// # Errors
    /// As there.
    pub fn call_on(&self, stack: &mut CallStack, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        let entry = self.entry()?;
        let status = usize::from(entry.abi.status);
        let types = entry.signature.results.get(status..).unwrap_or(&[]);
        let (_, size) = argument_block(types);
        let block = parts::pack(args, entry)?;
        let mut results = vec![0; size as usize];
        let Code::Jit(jit) = &self.code else {
            return Err(EngineError::Failed("the code is not in this process".into()));
        };
        let needs = jit.stack();
        let mut status = Ok(0);
        // SAFETY: the block and the results have the layout of this entry's signature; buffers outlive the call. The
        // closure owns nothing.
        #[allow(unsafe_code, reason = "this is where compiled code is executed")]
        let done = unsafe {
            let call = |limit: Option<&StackLimit>| status = jit.call_packed(0, &block, &mut results, limit);
            parts::on_stack(stack, &needs, call)
        };
        if let Err(exhausted) = done? {
            return Err(self.exhausted(exhausted.function));
        }
        parts::outcome(status?, entry, &self.places, &self.results, &results)
    }

    /// What a device is told of the first entry's parameters: those of the source, then what the entry's ABI adds.
    ///
    /// # Errors
    /// There is no entry.
    pub fn kernel_params(&self) -> Result<Vec<KernelParam>, EngineError> {
        let param =
            |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
        Ok(self.entry()?.block().0.into_iter().map(param).collect())
    }

    /// What a device loads.
    ///
    /// # Errors
    /// There is no entry, or it is native code but no kernel.
    pub fn image<'a>(
        &'a self,
        params: &'a [KernelParam],
        block: [u32; 3],
    ) -> Result<KernelImage<'a>, EngineError> {
        let entry = &self.entry()?.symbol;
        let (code, shared_bytes) = match (&self.kernel, &self.code) {
            (Some(kernel), _) => (KernelCode::Native(kernel), kernel.shared_bytes()),
            (None, Code::Artifact(artifact)) => (KernelCode::Bytes(&artifact.code), artifact.shared_bytes),
            (None, Code::Jit(_)) => return Err(EngineError::Failed(format!("'{entry}' is no kernel"))),
        };
        let shared_bytes = u32::try_from(shared_bytes).unwrap_or(u32::MAX);
        Ok(KernelImage { code, entry, params, block, shared_bytes, fillings: &[] })
    }

    /// The functions that check the limit of the stack, by number.
    fn checked(&self) -> &[ThrowPlace] {
        match &self.code {
            Code::Jit(jit) => jit.checked(),
            Code::Artifact(artifact) => artifact.scheduling.as_ref().map_or(&[], |known| &known.checked),
        }
    }

    /// The error for a function, by number, for which there was no stack left.
    pub fn exhausted(&self, function: usize) -> EngineError {
        exhausted_in(self.checked(), function)
    }

    /// The places that throw, by number: with the entries all that it takes to tell what was thrown, for as long as
    /// somebody holds them ([`Thrown::in_mailbox`]).
    pub fn places(&self) -> &Arc<[ThrowPlace]> {
        &self.places
    }

    /// The exception that a status stands for; none for 0. Its operands count as 0.
    pub fn thrown(&self, status: u32) -> Option<Thrown> {
        Thrown::of_status(&self.places, status, &[])
    }

    /// The exception that a launch left in its mailbox, if any; with the kernel and the work-item.
    pub fn thrown_in(&self, mailbox: &[u8]) -> Option<Thrown> {
        Thrown::in_mailbox(&self.entries, &self.places, mailbox)
    }
}

/// The error for a function, by number, for which there was no stack left.
pub fn exhausted_in(checked: &[ThrowPlace], function: usize) -> EngineError {
    match checked.get(function) {
        Some(place) => EngineError::StackOverflow(Box::new(Thrown::at(place, &[]))),
        None => EngineError::Failed("stack overflow".into()),
    }
}
