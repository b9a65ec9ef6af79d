//! Kernels on a device: compile for its target, load, copy buffers, launch, copy back, read the mailbox.

use super::parts::{self, Part};
use super::{Engine, EngineError, Extent, Outcome, wrap};
use crate::compile::{Compiled, Target, compile_with};
use crate::device::{Arg, Buffer, Device, DeviceError, DeviceKind, KernelParam, LoadedModule, open};
use crate::inputs::{self, LaunchOptions};
use crate::value::HostArg;
use marquetry_codegen::artifact::{Entry, Slot, argument_block};
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
    /// Kernels loaded from the program, by method, block and type of the state.
    kernels: HashMap<(Method, [u32; 3], Option<Type>), Arc<Loaded>>,
    /// Functions wrapped into kernels.
    functions: HashMap<(Method, Option<Type>), (Arc<Loaded>, Vec<Type>)>,
    /// Library functions, for all kernels of the program.
    library: Library,
    /// What the last launch printed.
    output: Vec<String>,
    options: LaunchOptions,
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
            options: LaunchOptions::default(),
        })
    }

    fn compile(
        &self,
        program: &Program,
        kernel: Method,
        block: [u32; 3],
    ) -> Result<Arc<Loaded>, EngineError> {
        let mut job = Job::new(vec![kernel], View::device(&[]), self.opt_level);
        job.options.state = self.options.state_type();
        let compiled = (self.compiler)(program, &job, &self.target, &self.library)?;
        let params = kernel_params(compiled.entry()?);
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
        options: &mut LaunchOptions,
        result_bytes: Option<u32>,
    ) -> Result<Launched, EngineError> {
        let mut buffers = Vec::with_capacity(args.len());
        for arg in args.iter() {
            buffers.push(match arg {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) | HostArg::Aggregate(_) => None,
            });
        }
        let mut results = result_bytes.map_or_else(Vec::new, |size| vec![0; size as usize]);
        let result_buffer = result_bytes.map(|_| self.upload(&results)).transpose()?;
        let mut mailbox = [0; MAILBOX_BYTES];
        let has_mailbox = loaded.compiled.entry()?.abi.mailbox;
        let mailbox_buffer = has_mailbox.then(|| self.upload(&mailbox)).transpose()?;
        let entry = loaded.compiled.entry()?;
        let hidden = parts::hidden(&entry.abi.inputs, options)?;
        let parts = parts::split(entry, args, &hidden, options.state.as_ref())?;
        let mut hidden_buffers = Vec::with_capacity(hidden.len());
        for input in &hidden {
            hidden_buffers.push(match &input.value {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) | HostArg::Aggregate(_) => None,
            });
        }
        let mut references = Vec::new();
        for part in &parts {
            if let Part::Reference(bytes) = part {
                references.push(self.upload(bytes)?);
            }
        }
        let mut next_reference = references.iter();
        let passed: Vec<Arg<'_>> = parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => Arg::Bytes(bytes),
                Part::Reference(_) => address(next_reference.next()),
                Part::Buffer(n) => address(buffers.get(*n).and_then(|buffer| buffer.as_ref())),
                Part::Input(n) => address(hidden_buffers.get(*n).and_then(|buffer| buffer.as_ref())),
                Part::Mailbox => address(mailbox_buffer.as_ref()),
                Part::Results => address(result_buffer.as_ref()),
                Part::Null => Arg::Null,
            })
            .collect();
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
            Some(thrown) => Outcome::Threw(thrown),
            None => Outcome::Returned(Vec::new()),
        };
        let mut output = Vec::new();
        for (input, buffer) in hidden.into_iter().zip(&hidden_buffers) {
            let (HostArg::Buffer { mut bytes, element }, Some(buffer)) = (input.value, buffer) else { continue };
            let bound = options.inputs.iter_mut().find(|(name, _)| **name == *input.name);
            if bound.is_none() && &*input.name != print::INPUT {
                continue;
            }
            self.device.read(buffer, 0, &mut bytes).map_err(failed)?;
            match bound {
                Some((_, value)) => *value = HostArg::Buffer { element, bytes },
                None => output = inputs::printed(&loaded.compiled.formats, &bytes),
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

/// The address of a buffer, if there is one.
fn address(buffer: Option<&Buffer>) -> Arg<'_> {
    buffer.map_or(Arg::Null, |buffer| Arg::Buffer(buffer, 0))
}

fn kernel_params(entry: &Entry) -> Vec<KernelParam> {
    let param = |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
    entry.block().0.into_iter().map(param).collect()
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

    fn options(&mut self) -> &mut LaunchOptions {
        &mut self.options
    }

    fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    fn call(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        let key = (method, self.options.state_type());
        if !self.functions.contains_key(&key) {
            let wrapped = wrap::wrap(&self.program, method)?;
            let loaded = self.compile(&wrapped.program, wrapped.kernel, ONE.block)?;
            self.functions.insert(key, (loaded, wrapped.results));
        }
        let Some((loaded, types)) = self.functions.get(&key) else {
            return Err(EngineError::Failed("the wrapping kernel is missing".into()));
        };
        let (_, size) = argument_block(types);
        let mut options = self.options.clone();
        let launched = self.launch_loaded(loaded, ONE, args, &mut options, Some(size))?;
        self.options = options;
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
        let key = (method, extent.block, self.options.state_type());
        if !self.kernels.contains_key(&key) {
            let loaded = self.compile(&self.program, method, extent.block)?;
            self.kernels.insert(key, loaded);
        }
        let Some(loaded) = self.kernels.get(&key) else {
            return Err(EngineError::Failed("the kernel is missing".into()));
        };
        let mut options = self.options.clone();
        let launched = self.launch_loaded(loaded, extent, args, &mut options, None)?;
        self.options = options;
        self.output = launched.output;
        Ok(launched.outcome)
    }
}
