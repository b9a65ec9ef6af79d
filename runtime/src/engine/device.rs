//! Kernels on a device: compile for its target, load, launch.

use super::launcher::Launcher;
use super::{Engine, EngineError, Extent, Outcome, parts, wrap};
use crate::compile::{Compiled, Target, compile_for};
use crate::device::{DeviceKind, LoadedModule, open_guarded};
use crate::inputs::{KernelState, LaunchOptions};
use crate::value::HostArg;
use marquetry_codegen::artifact::argument_block;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, Resolve};
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::{View, overlays_present};
use marquetry_lower::job::{DebugLevel, Job, OptLevel, ThrowPolicy};
use marquetry_lower::runtime::Library;
use std::collections::HashMap;
use std::sync::Arc;

/// How kernels become what a device loads: [`compile_for`], or a way round by other tools.
pub(super) type Compiler =
    fn(&Program, &Job, &Target, &Library, &dyn Resolve) -> Result<Compiled, EngineError>;

/// Launches kernels on one device.
pub(super) struct DeviceEngine {
    kind: DeviceKind,
    launcher: Launcher,
    target: Target,
    compiler: Compiler,
    opt_level: OptLevel,
    exceptions: (DebugLevel, ThrowPolicy),
    program: Arc<Program>,
    tables: Vec<String>,
    /// Kernels loaded from the program, by method, block and type of the state.
    kernels: HashMap<(Method, [u32; 3], Option<Type>), Arc<Loaded>>,
    /// Functions wrapped into kernels.
    functions: HashMap<Method, Function>,
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

/// A function in a kernel.
struct Function {
    loaded: Arc<Loaded>,
    /// Types of its results.
    results: Vec<Type>,
    /// What it has for the kernels' state.
    state: Option<KernelState>,
}

/// A launch of one work-item.
const ONE: Extent = Extent { grid: [1; 3], block: [1; 3] };

impl DeviceEngine {
    /// Opens the first device of a kind, guarded as far as it can be.
    pub(super) fn open(kind: DeviceKind, opt_level: OptLevel) -> Result<Self, String> {
        Self::open_with(kind, opt_level, compile_for)
    }

    /// Opens the first device of a kind, for kernels that are compiled this way.
    pub(super) fn open_with(
        kind: DeviceKind,
        opt_level: OptLevel,
        compiler: Compiler,
    ) -> Result<Self, String> {
        let device = open_guarded(kind).map_err(|error| error.to_string())?;
        let launcher = Launcher::new(device);
        let target = Target::for_device(launcher.device().info(), opt_level)?;
        let (program, tables, kernels, functions, library, output) = Default::default();
        Ok(DeviceEngine {
            kind,
            launcher,
            target,
            compiler,
            opt_level,
            exceptions: Default::default(),
            program,
            tables,
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
        state: Option<Type>,
    ) -> Result<Arc<Loaded>, EngineError> {
        let view = View::device(&overlays_present(program, &self.tables));
        let mut job = Job::new(vec![kernel], view, self.opt_level);
        job.options.state = state;
        (job.options.debug_level, job.options.throws) = self.exceptions;
        let compiled = (self.compiler)(program, &job, &self.target, &self.library, self.launcher.host())?;
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

    fn set_exceptions(&mut self, debug_level: DebugLevel, throws: ThrowPolicy) {
        if std::mem::replace(&mut self.exceptions, (debug_level, throws)) != self.exceptions {
            self.kernels.clear();
            self.functions.clear();
        }
    }

    fn set_tables(&mut self, names: &[String]) {
        self.tables = names.to_vec();
        self.kernels.clear();
        self.functions.clear();
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn set_host(&mut self, host: Arc<dyn Resolve>) {
        self.launcher.set_host(host);
        self.kernels.clear();
        self.functions.clear();
    }

    fn options(&mut self) -> &mut LaunchOptions {
        &mut self.options
    }

    fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    fn call_checked(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        if !self.functions.contains_key(&method) {
            let wrap::Wrapped { program, kernel, results, state } =
                wrap::wrap(&self.program, method, &self.tables)?;
            let loaded = self.compile(&program, kernel, ONE.block, state.as_ref().map(|state| state.ty))?;
            self.functions.insert(method, Function { loaded, results, state });
        }
        let Some(Function { loaded, results: types, state }) = self.functions.get(&method) else {
            return Err(EngineError::Failed("the wrapping kernel is missing".into()));
        };
        let (_, size) = argument_block(types);
        // As on the host: the state of launches is none of a call's business.
        let launches = std::mem::replace(&mut self.options.state, state.clone());
        let (compiled, module, options) = (&loaded.compiled, &loaded.module, &mut self.options);
        let launched = self.launcher.launch_loaded(compiled, module, ONE, args, options, Some(size));
        self.options.state = launches;
        let launched = launched?;
        let joined = match launched.outcome {
            Outcome::Threw(_) => Ok(launched.outcome),
            Outcome::Returned(_) => parts::join(types, types, 0, &launched.results).map(Outcome::Returned),
        };
        self.output = launched.output;
        joined
    }

    fn launch_checked(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        let key = (method, extent.block, self.options.state_type());
        if !self.kernels.contains_key(&key) {
            let loaded = self.compile(&self.program, method, extent.block, self.options.state_type())?;
            self.kernels.insert(key, loaded);
        }
        let Some(loaded) = self.kernels.get(&key) else {
            return Err(EngineError::Failed("the kernel is missing".into()));
        };
        let launched = self.launcher.launch_loaded(
            &loaded.compiled,
            &loaded.module,
            extent,
            args,
            &mut self.options,
            None,
        )?;
        self.output = launched.output;
        Ok(launched.outcome)
    }
}
