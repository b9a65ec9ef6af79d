//! Native objects as an engine: each function or kernel is compiled to an object, linked into a shared library by the
//! system's C compiler, and called from there or launched on the CPU device. What runs has been through the linker, as
//! code compiled ahead of time is.

use super::device::DeviceEngine;
use super::functions::Way;
use super::{EngineError, Outcome, parts};
use crate::compile::{Compiled, Target, compile_artifact_with, exhausted_in};
use crate::device::DeviceKind;
use crate::stack::CallStack;
use crate::value::HostArg;
use libloading::Library;
use marquetry_codegen::artifact::{Artifact, Filling, Relocation, argument_block};
use marquetry_codegen::native::{KernelFn, NativeKernel, StackLimit, StackNeeds};
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, Resolve};
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::references::Strategy;
use marquetry_lower::runtime::Library as RuntimeLibrary;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A function in a library of its own.
pub(super) struct Linked {
    artifact: Artifact,
    image: Arc<Image>,
}

/// A loaded library.
struct Image {
    library: Library,
    /// Holds the library's file for as long as it is loaded.
    _folder: tempfile::TempDir,
}

/// Arguments and results by address, and the stack; gives the status.
type Packed = unsafe extern "C" fn(*const u8, *mut u8, *const StackLimit) -> u32;

/// Emits the object of a job, links it into a library, and loads that.
fn link(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &RuntimeLibrary,
    host: &dyn Resolve,
) -> Result<Linked, EngineError> {
    let mut job = job.clone();
    // The words are in this process, not in a library that the linker could find.
    job.options.references = Strategy::Patch;
    let mut artifact = compile_artifact_with(program, &job, target, library)?;
    let fillings = artifact.fill(host)?;
    let failed = |what: &str, error: &dyn std::fmt::Display| EngineError::Failed(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(|error| failed("temporary folder", &error))?;
    let (object, shared) = (folder.path().join("code.o"), folder.path().join("code.so"));
    std::fs::write(&object, &artifact.code).map_err(|error| failed("object", &error))?;
    let mut linker = Command::new("cc");
    linker.arg("-shared").arg("-o").arg(&shared).arg(&object).arg("-lm");
    if cfg!(target_os = "linux") {
        // Else a function named like one of the C library is replaced by that one: ELF symbols are found in the
        // executable first. And imports are bound on loading: the stack of a work-item is no place for it.
        linker.arg("-Wl,-Bsymbolic,-z,now");
    }
    let output = linker.output().map_err(|error| failed("cc", &error))?;
    if !output.status.success() {
        return Err(failed("cc", &String::from_utf8_lossy(&output.stderr)));
    }
    // SAFETY: the library holds nothing but this program's functions; it has no initialisers.
    #[allow(unsafe_code, reason = "this is where compiled code is loaded")]
    let library = unsafe { Library::new(&shared) }.map_err(|error| failed("load", &error))?;
    fillings.iter().try_for_each(|filling| fill(&library, &artifact, filling))?;
    Ok(Linked { artifact, image: Arc::new(Image { library, _folder: folder }) })
}

/// Writes a word into a variable of a loaded library.
fn fill(library: &Library, artifact: &Artifact, filling: &Filling) -> Result<(), EngineError> {
    let Filling { symbol, offset, word } = filling;
    let known = |relocation: &Relocation| relocation.symbol == *symbol && relocation.offset == *offset;
    if !artifact.relocations.iter().any(known) {
        return Err(EngineError::Failed(format!("'{symbol}' has no slot at {offset}")));
    }
    // SAFETY: the emitter put a writable variable of this name into the object, with a word at this offset, for its loader
    // to fill; nothing of the library runs yet.
    #[allow(unsafe_code, reason = "this is where compiled code is loaded")]
    unsafe {
        let variable = library.get::<*mut u8>(symbol.as_bytes());
        let variable = *variable.map_err(|error| EngineError::Failed(format!("{symbol}: {error}")))?;
        variable.add(*offset as usize).cast::<u64>().write_unaligned(*word);
    }
    Ok(())
}

/// The [`Compiler`](super::device::Compiler) of this engine.
fn link_kernel(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &RuntimeLibrary,
    host: &dyn Resolve,
) -> Result<Compiled, EngineError> {
    let Linked { artifact, image } = link(program, job, target, library, host)?;
    let Some(entry) = artifact.entries.first() else {
        return Err(EngineError::Failed("the object has no entry".into()));
    };
    let symbol = format!("{}$items", entry.symbol);
    // SAFETY: the symbol is that of the wrapper of the first entry of this artifact, which has this signature if the
    // entry is a kernel and is not there otherwise; the library is unloaded when the image is dropped.
    #[allow(unsafe_code, reason = "this is where compiled code is loaded")]
    let kernel = unsafe {
        let function = image.library.get::<KernelFn>(symbol.as_bytes());
        let function = *function.map_err(|error| EngineError::Failed(format!("{symbol}: {error}")))?;
        NativeKernel::linked(&artifact, 0, function, image.clone())
    };
    let kernel = kernel.ok_or_else(|| EngineError::Failed(format!("'{}' is no kernel", entry.symbol)))?;
    Ok(Compiled::linked(artifact, kernel))
}

/// Into an object, which the system's linker makes a library of.
pub(super) struct ThroughLinker;

impl Way for ThroughLinker {
    const NAME: &'static str = "object";
    type Function = Linked;

    fn kernels(opt_level: OptLevel) -> Result<DeviceEngine, String> {
        let found = Command::new("cc").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match found {
            Ok(status) if status.success() => {}
            _ => return Err("no C compiler: 'cc' does not run".into()),
        }
        DeviceEngine::open_with(DeviceKind::Cpu, opt_level, link_kernel)
    }

    fn compile(
        program: &Program,
        job: &Job,
        target: &Target,
        host: &dyn Resolve,
    ) -> Result<Linked, EngineError> {
        link(program, job, target, &RuntimeLibrary::new(), host)
    }

    fn call(
        linked: &Linked,
        program: &Program,
        method: Method,
        stack: &mut CallStack,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        let Some(entry) = linked.artifact.entries.first() else {
            return Err(EngineError::Failed("the object has no entry".into()));
        };
        let types = entry.signature.results.get(usize::from(entry.abi.status)..).unwrap_or(&[]);
        let (_, size) = argument_block(types);
        let block = parts::pack(args, entry)?;
        let mut results = vec![0; size as usize];
        let symbol = format!("{}$packed", entry.symbol);
        let scheduling = linked.artifact.scheduling.as_ref();
        let needs = scheduling.map_or_else(StackNeeds::default, |known| known.stack);
        let mut status = 0;
        // SAFETY: the wrapper has this signature, the block and the results have the layout of its entry, and
        // buffers outlive the call. The closure owns nothing.
        #[allow(unsafe_code, reason = "this is where compiled code is executed")]
        let done = unsafe {
            let function = linked.image.library.get::<Packed>(symbol.as_bytes());
            let function = *function.map_err(|error| EngineError::Failed(format!("{symbol}: {error}")))?;
            let (args, results) = (block.as_ptr(), results.as_mut_ptr());
            let call = |limit: Option<&StackLimit>| {
                status = function(args, results, limit.map_or(std::ptr::null(), std::ptr::from_ref));
            };
            parts::on_stack(stack, &needs, call)
        };
        if let Err(exhausted) = done? {
            let checked = scheduling.map_or(&[][..], |known| &known.checked);
            return Err(exhausted_in(checked, exhausted.function));
        }
        let wanted = parts::held(&program.types, &program.method(method).signature.results);
        parts::outcome(status, entry, &linked.artifact.places, &wanted, &results)
    }
}
