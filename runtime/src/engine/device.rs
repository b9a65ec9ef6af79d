//! Kernels on a device: compile for its target, load, copy buffers, launch, copy back, read the mailbox.

use super::parts::{self, Part};
use super::{Engine, EngineError, Extent, Outcome, wrap};
use crate::compile::{Compiled, Target, compile_with};
use crate::device::{Arg, Buffer, Device, DeviceError, DeviceKind, KernelParam, LoadedModule, open};
use crate::inputs::{self, LaunchMemory};
use crate::value::HostArg;
use marquetry_codegen::artifact::{Slot, argument_block};
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::runtime::{Library, print};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a mailbox: four `i32`.
const MAILBOX_BYTES: usize = 16;

/// How kernels become what a device loads: [`compile`], or a way round by other tools.
pub(super) type Compiler = fn(&Program, &Job, &Target, &Library) -> Result<Compiled, EngineError>;

/// Launches kernels on one device.
pub(super) struct DeviceEngine {
    kind: DeviceKind,
    device: Box<dyn Device>,
    target: Target,
    compiler: Compiler,
    opt_level: OptLevel,
    program: Arc<Program>,
    /// Kernels loaded from the program, by method and block.
    kernels: HashMap<(Method, [u32; 3]), Arc<Loaded>>,
    /// Functions wrapped into kernels.
    functions: HashMap<Method, (Arc<Loaded>, Vec<Type>)>,
    /// Library functions, for all kernels of the program.
    library: Library,
    /// What the last launch printed.
    output: Vec<String>,
}

struct Loaded {
    compiled: Compiled,
    module: LoadedModule,
}

/// What a launch left.
struct Launched {
    outcome: Outcome,
    results: Vec<u8>,
    output: Vec<String>,
}

/// A launch of one work-item.
const ONE: Extent = Extent { grid: [1; 3], block: [1; 3] };

impl DeviceEngine {
    /// Opens the first device of a kind.
    pub(super) fn open(kind: DeviceKind, opt_level: OptLevel) -> Result<Self, String> {
        Self::open_with(kind, opt_level, compile_with)
    }

    /// Opens the first device of a kind, for kernels that are compiled this way.
    pub(super) fn open_with(
        kind: DeviceKind,
        opt_level: OptLevel,
        compiler: Compiler,
    ) -> Result<Self, String> {
        let device = open(kind).map_err(|error| error.to_string())?;
        let target = Target::for_device(device.info(), opt_level)?;
        let (program, kernels, functions, library, output) = Default::default();
        Ok(DeviceEngine {
            kind,
            device,
            target,
            compiler,
            opt_level,
            program,
            kernels,
            functions,
            library,
            output,
        })
    }

    fn compile(
        &self,
        program: &Program,
        kernel: Method,
        block: [u32; 3],
    ) -> Result<Arc<Loaded>, EngineError> {
        let job = Job::new(vec![kernel], View::device(&[]), self.opt_level);
        let compiled = (self.compiler)(program, &job, &self.target, &self.library)?;
        let params = kernel_params(&compiled.entry()?.signature.params);
        let image = compiled.image(&params, block)?;
        let module = self.device.load(&image).map_err(failed)?;
        Ok(Arc::new(Loaded { compiled, module }))
    }

    /// Launches, with a further buffer for results; gives what that one holds afterwards.
    fn launch_loaded(
        &self,
        loaded: &Loaded,
        extent: Extent,
        args: &mut [HostArg],
        result_bytes: Option<u32>,
    ) -> Result<Launched, EngineError> {
        let mut buffers = Vec::with_capacity(args.len());
        for arg in args.iter() {
            buffers.push(match arg {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) => None,
            });
        }
        let mut results = result_bytes.map_or_else(Vec::new, |size| vec![0; size as usize]);
        let result_buffer = result_bytes.map(|_| self.upload(&results)).transpose()?;
        let mut mailbox = [0; MAILBOX_BYTES];
        let has_mailbox = loaded.compiled.entry()?.abi.mailbox;
        let mailbox_buffer = has_mailbox.then(|| self.upload(&mailbox)).transpose()?;
        let hidden = &loaded.compiled.entry()?.abi.inputs;
        let mut hidden_buffers = Vec::with_capacity(hidden.len());
        for input in hidden {
            let Some(bytes) = inputs::buffer(input, LaunchMemory::default()) else {
                let message = format!("kernel input '{}' is not known here", input.name);
                return Err(EngineError::Unsupported(message));
            };
            hidden_buffers.push((self.upload(&bytes)?, bytes));
        }
        let parts = parts::split(args, &loaded.compiled.entry()?.signature.params)?;
        let mut passed: Vec<Arg<'_>> = parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => Arg::Bytes(bytes),
                Part::Buffer(n) => {
                    buffers.get(*n).and_then(|b| b.as_ref()).map_or(Arg::Null, |b| Arg::Buffer(b, 0))
                }
                Part::Null => Arg::Null,
            })
            .collect();
        passed.extend(
            [&result_buffer, &mailbox_buffer].into_iter().flatten().map(|buffer| Arg::Buffer(buffer, 0)),
        );
        passed.extend(hidden_buffers.iter().map(|(buffer, _)| Arg::Buffer(buffer, 0)));
        let launched = self.device.launch(&loaded.module, extent.grid, extent.block, &passed);
        launched.map_err(|error| match error {
            DeviceError::StackOverflow { number, .. } => loaded.compiled.exhausted(number),
            other => failed(other),
        })?;
        drop(passed);
        self.device.sync().map_err(failed)?;
        for (arg, buffer) in args.iter_mut().zip(&buffers) {
            if let (HostArg::Buffer { bytes, .. }, Some(buffer)) = (arg, buffer) {
                self.device.read(buffer, 0, bytes).map_err(failed)?;
            }
        }
        if let Some(buffer) = &result_buffer {
            self.device.read(buffer, 0, &mut results).map_err(failed)?;
        }
        if let Some(buffer) = &mailbox_buffer {
            self.device.read(buffer, 0, &mut mailbox).map_err(failed)?;
        }
        let [a, b, c, d, ..] = mailbox;
        let outcome = match loaded.compiled.thrown(u32::from_le_bytes([a, b, c, d])) {
            Some(mut thrown) => {
                thrown.callers.retain(|caller| caller.function != wrap::KERNEL);
                Outcome::Threw(thrown)
            }
            None => Outcome::Returned(Vec::new()),
        };
        let mut output = Vec::new();
        for (input, (buffer, bytes)) in hidden.iter().zip(&mut hidden_buffers) {
            if &*input.name == print::INPUT {
                self.device.read(buffer, 0, bytes).map_err(failed)?;
                output = inputs::printed(&loaded.compiled.formats, bytes);
            }
        }
        Ok(Launched { outcome, results, output })
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer, EngineError> {
        let buffer = self.device.alloc(bytes.len().max(1) as u64).map_err(failed)?;
        self.device.write(&buffer, 0, bytes).map_err(failed)?;
        Ok(buffer)
    }
}

fn failed(error: DeviceError) -> EngineError {
    match error {
        DeviceError::Unsupported { .. } => EngineError::Unsupported(error.to_string()),
        other => EngineError::Failed(other.to_string()),
    }
}

fn kernel_params(types: &[Type]) -> Vec<KernelParam> {
    let param = |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
    argument_block(types).0.into_iter().map(param).collect()
}

impl Engine for DeviceEngine {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn load(&mut self, program: Arc<Program>) {
        self.program = program;
        self.kernels.clear();
        self.functions.clear();
        self.library = Library::new();
    }

    fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    fn call(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        if !self.functions.contains_key(&method) {
            let wrapped = wrap::wrap(&self.program, method)?;
            let loaded = self.compile(&wrapped.program, wrapped.kernel, ONE.block)?;
            self.functions.insert(method, (loaded, wrapped.results));
        }
        let Some((loaded, types)) = self.functions.get(&method) else {
            return Err(EngineError::Failed("the wrapping kernel is missing".into()));
        };
        let (_, size) = argument_block(types);
        let launched = self.launch_loaded(loaded, ONE, args, Some(size))?;
        let joined = match launched.outcome {
            Outcome::Threw(_) => Ok(launched.outcome),
            Outcome::Returned(_) => parts::join(types, types, &launched.results).map(Outcome::Returned),
        };
        self.output = launched.output;
        joined
    }

    fn launch(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        let key = (method, extent.block);
        if !self.kernels.contains_key(&key) {
            let loaded = self.compile(&self.program, method, extent.block)?;
            self.kernels.insert(key, loaded);
        }
        let Some(loaded) = self.kernels.get(&key) else {
            return Err(EngineError::Failed("the kernel is missing".into()));
        };
        let launched = self.launch_loaded(loaded, extent, args, None)?;
        self.output = launched.output;
        Ok(launched.outcome)
    }
}
