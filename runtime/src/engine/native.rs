//! Native code in memory: functions called through their packed wrappers, kernels launched on the CPU device.

use super::device::DeviceEngine;
use super::{Engine, EngineError, Extent, Outcome, parts};
use crate::compile::{Code, Compiled, Target, compile};
use crate::device::DeviceKind;
use crate::inputs::LaunchOptions;
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_codegen::artifact::argument_block;
use marquetry_codegen::native::StackLimit;
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use std::collections::HashMap;
use std::sync::Arc;

/// Compiles functions in memory and calls them.
pub(super) struct NativeEngine {
    target: Target,
    opt_level: OptLevel,
    program: Arc<Program>,
    functions: HashMap<Method, Compiled>,
    kernels: DeviceEngine,
    stack: CallStack,
}

impl NativeEngine {
    /// An engine for this machine.
    pub(super) fn new(opt_level: OptLevel) -> Result<Self, String> {
        let target = Target::parse("native", opt_level).map_err(|error| error.to_string())?;
        let kernels = DeviceEngine::open(DeviceKind::Cpu, opt_level)?;
        let (program, functions, stack) = Default::default();
        Ok(NativeEngine { target, opt_level, program, functions, kernels, stack })
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

    fn call(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        if !self.functions.contains_key(&method) {
            let job = Job::new(vec![method], View::native(&[]), self.opt_level);
            self.functions.insert(method, compile(&self.program, &job, &self.target)?);
        }
        let Some(compiled) = self.functions.get(&method) else {
            return Err(EngineError::Failed("the function is missing".into()));
        };
        let entry = compiled.entry()?;
        let status = usize::from(entry.abi.status);
        let types = entry.signature.results.get(status..).unwrap_or(&[]);
        let (_, size) = argument_block(types);
        let block = parts::pack(args, entry)?;
        let mut results = vec![0; size as usize];
        let Code::Jit(jit) = &compiled.code else {
            return Err(EngineError::Failed("the code is not in this process".into()));
        };
        let needs = jit.stack();
        let mut status = Ok(0);
        // SAFETY: the block and the results have the layout of this entry's signature; buffers outlive the call. The
        // closure owns nothing.
        #[allow(unsafe_code, reason = "this is where compiled code is executed")]
        let done = unsafe {
            let call = |limit: Option<&StackLimit>| status = jit.call_packed(0, &block, &mut results, limit);
            parts::on_stack(&mut self.stack, &needs, call)
        };
        if let Err(exhausted) = done? {
            return Err(compiled.exhausted(exhausted.function));
        }
        let status = status?;
        if let Some(thrown) = compiled.thrown(status) {
            return Ok(Outcome::Threw(thrown));
        }
        let wanted = parts::held(&self.program.types, &self.program.method(method).signature.results);
        parts::join(&wanted, types, &results).map(Outcome::Returned)
    }

    fn options(&mut self) -> &mut LaunchOptions {
        self.kernels.options()
    }

    fn take_output(&mut self) -> Vec<String> {
        self.kernels.take_output()
    }

    fn launch(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        self.kernels.launch(method, extent, args)
    }
}
