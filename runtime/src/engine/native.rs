//! Native code in memory: functions called through their packed wrappers, kernels launched on the CPU device.

use super::device::DeviceEngine;
use super::functions::Way;
use super::{EngineError, Outcome};
use crate::compile::{Compiled, Target, compile_for};
use crate::device::DeviceKind;
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, Resolve};
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::runtime::Library;

/// Into the memory of this process.
pub(super) struct InMemory;

impl Way for InMemory {
    const NAME: &'static str = "native";
    type Function = Compiled;

    fn kernels(opt_level: OptLevel) -> Result<DeviceEngine, String> {
        DeviceEngine::open(DeviceKind::Cpu, opt_level)
    }

    fn compile(
        program: &Program,
        job: &Job,
        target: &Target,
        host: &dyn Resolve,
    ) -> Result<Compiled, EngineError> {
        compile_for(program, job, target, &Library::new(), host)
    }

    fn call(
        function: &Compiled,
        _: &Program,
        _: Method,
        stack: &mut CallStack,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        function.call_on(stack, args)
    }
}
