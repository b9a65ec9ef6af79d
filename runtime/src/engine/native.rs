//! Native code in memory: functions called through their packed wrappers, kernels launched on the CPU device.

use super::device::DeviceEngine;
use super::{Engine, EngineError, Extent, Outcome};
use crate::compile::{Compiled, Target, compile_for};
use crate::device::DeviceKind;
use crate::inputs::LaunchOptions;
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{NoHost, Program, Resolve};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{DebugLevel, Job, OptLevel, ThrowPolicy};
use marquetry_lower::runtime::Library;
use std::collections::HashMap;
use std::sync::Arc;

/// Compiles functions in memory and calls them.
pub(super) struct NativeEngine {
    target: Target,
    opt_level: OptLevel,
    exceptions: (DebugLevel, ThrowPolicy),
    program: Arc<Program>,
    functions: HashMap<Method, Compiled>,
    kernels: DeviceEngine,
    host: Arc<dyn Resolve>,
    stack: CallStack,
}

impl NativeEngine {
    /// An engine for this machine.
    pub(super) fn new(opt_level: OptLevel) -> Result<Self, String> {
        let target = Target::parse("native", opt_level).map_err(|error| error.to_string())?;
        let kernels = DeviceEngine::open(DeviceKind::Cpu, opt_level)?;
        let (exceptions, program, functions, stack) = Default::default();
        let host = Arc::new(NoHost);
        Ok(NativeEngine { target, opt_level, exceptions, program, functions, kernels, host, stack })
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> &'static str {
        "native"
    }

    fn load(&mut self, program: Arc<Program>) {
        self.kernels.load(program.clone());
        self.program = program;
        self.functions.clear();
    }

    fn call_checked(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        if !self.functions.contains_key(&method) {
            let mut job = Job::new(vec![method], View::native(&[]), self.opt_level);
            (job.options.debug_level, job.options.throws) = self.exceptions;
            self.functions.insert(
                method,
                compile_for(&self.program, &job, &self.target, &Library::new(), &*self.host)?,
            );
        }
        match self.functions.get(&method) {
            Some(compiled) => compiled.call_on(&mut self.stack, args),
            None => Err(EngineError::Failed("the function is missing".into())),
        }
    }

    fn set_exceptions(&mut self, debug_level: DebugLevel, throws: ThrowPolicy) {
        self.exceptions = (debug_level, throws);
        self.kernels.set_exceptions(debug_level, throws);
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn set_host(&mut self, host: Arc<dyn Resolve>) {
        self.kernels.set_host(host.clone());
        self.host = host;
        self.functions.clear();
    }

    fn options(&mut self) -> &mut LaunchOptions {
        self.kernels.options()
    }

    fn take_output(&mut self) -> Vec<String> {
        self.kernels.take_output()
    }

    fn launch_checked(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        self.kernels.launch_checked(method, extent, args)
    }
}
