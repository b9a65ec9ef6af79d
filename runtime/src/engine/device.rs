//! Kernels on a device: compile for its target, load, launch.

use super::launcher::Launcher;
use super::{Engine, EngineError, Extent, Outcome, parts, wrap};
use crate::compile::{Compiled, Target, compile_with};
use crate::device::{DeviceKind, LoadedModule};
use crate::value::HostArg;
use marquetry_codegen::artifact::argument_block;
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::runtime::Library;
use std::collections::HashMap;
use std::sync::Arc;

/// How kernels become what a device loads: [`compile`], or a way round by other tools.
pub(super) type Compiler = fn(&Program, &Job, &Target, &Library) -> Result<Compiled, EngineError>;

/// Launches kernels on one device.
pub(super) struct DeviceEngine {
    kind: DeviceKind,
    launcher: Launcher,
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
        let launcher = Launcher::open(kind)?;
        let target = Target::for_device(launcher.device().info(), opt_level)?;
        let (program, kernels, functions, library, output) = Default::default();
        Ok(DeviceEngine {
            kind,
            launcher,
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
        let module = self.launcher.load(&compiled, block)?;
        Ok(Arc::new(Loaded { compiled, module }))
    }
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
        let launched =
            self.launcher.launch_loaded(&loaded.compiled, &loaded.module, ONE, args, Some(size))?;
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
        let launched = self.launcher.launch_loaded(&loaded.compiled, &loaded.module, extent, args, None)?;
        self.output = launched.output;
        Ok(launched.outcome)
    }
}
