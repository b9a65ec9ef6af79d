//! Engines that compile functions for this machine and call them, and have kernels launched on its cores: all but how
//! code gets into the process ([`Way`]).

use super::device::DeviceEngine;
use super::{Engine, EngineError, Extent, Outcome};
use crate::compile::Target;
use crate::inputs::LaunchOptions;
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodKind, NoHost, Program, Resolve};
use marquetry_lower::dispatch::view::{View, overlays_present};
use marquetry_lower::job::{DebugLevel, Job, OptLevel, ThrowPolicy};
use std::collections::HashMap;
use std::sync::Arc;

/// How code gets into this process.
pub(super) trait Way {
    /// The engine's name.
    const NAME: &'static str;
    /// A compiled function.
    type Function: Send;

    /// What launches kernels.
    fn kernels(opt_level: OptLevel) -> Result<DeviceEngine, String>;

    /// Compiles the function of a job.
    fn compile(
        program: &Program,
        job: &Job,
        target: &Target,
        host: &dyn Resolve,
    ) -> Result<Self::Function, EngineError>;

    /// Calls a function that was compiled for a method of the program.
    fn call(
        function: &Self::Function,
        program: &Program,
        method: Method,
        stack: &mut CallStack,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError>;
}

/// Compiles functions one way and calls them.
pub(super) struct FunctionEngine<W: Way> {
    target: Target,
    opt_level: OptLevel,
    exceptions: (DebugLevel, ThrowPolicy),
    program: Arc<Program>,
    tables: Vec<String>,
    /// Compiled for the present program, tables, host and exceptions.
    functions: HashMap<Method, W::Function>,
    kernels: DeviceEngine,
    host: Arc<dyn Resolve>,
    stack: CallStack,
}

impl<W: Way> FunctionEngine<W> {
    /// An engine for this machine.
    pub(super) fn new(opt_level: OptLevel) -> Result<Self, String> {
        let target = Target::parse("native", opt_level).map_err(|error| error.to_string())?;
        let kernels = W::kernels(opt_level)?;
        let (exceptions, program, tables, functions, stack) = Default::default();
        let host = Arc::new(NoHost);
        Ok(FunctionEngine { target, opt_level, exceptions, program, tables, functions, kernels, host, stack })
    }
}

impl<W: Way> Engine for FunctionEngine<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn load(&mut self, program: Arc<Program>) {
        self.kernels.load(program.clone());
        self.program = program;
        self.functions.clear();
    }

    fn call_checked(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        debug_assert_eq!(self.program.method(method).kind, MethodKind::Function);
        if !self.functions.contains_key(&method) {
            let view = View::native(&overlays_present(&self.program, &self.tables));
            let mut job = Job::new(vec![method], view, self.opt_level);
            (job.options.debug_level, job.options.throws) = self.exceptions;
            let function = W::compile(&self.program, &job, &self.target, &*self.host)?;
            self.functions.insert(method, function);
        }
        match self.functions.get(&method) {
            Some(function) => W::call(function, &self.program, method, &mut self.stack, args),
            None => Err(EngineError::Failed("the function is missing".into())),
        }
    }

    fn set_exceptions(&mut self, debug_level: DebugLevel, throws: ThrowPolicy) {
        self.kernels.set_exceptions(debug_level, throws);
        if std::mem::replace(&mut self.exceptions, (debug_level, throws)) != self.exceptions {
            self.functions.clear();
        }
    }

    fn set_tables(&mut self, names: &[String]) {
        self.kernels.set_tables(names);
        self.tables = names.to_vec();
        self.functions.clear();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceKind;
    use marquetry_ir::text;

    /// Compiles nothing, and says with which options.
    struct Saying;

    impl Way for Saying {
        const NAME: &'static str = "saying";
        type Function = String;

        fn kernels(opt_level: OptLevel) -> Result<DeviceEngine, String> {
            DeviceEngine::open(DeviceKind::Cpu, opt_level)
        }

        fn compile(_: &Program, job: &Job, _: &Target, _: &dyn Resolve) -> Result<String, EngineError> {
            Ok(format!("{:?} {:?}", job.options.debug_level, job.options.throws))
        }

        fn call(
            function: &String,
            _: &Program,
            _: Method,
            _: &mut CallStack,
            _: &mut [HostArg],
        ) -> Result<Outcome, EngineError> {
            Err(EngineError::Failed(function.clone()))
        }
    }

    #[test]
    fn code_is_what_the_options_say_even_if_they_change() {
        let mut program = crate::library::program();
        assert_eq!(text::parse(&mut program, "f.mq", "method f() {\nentry:\n    return\n}\n"), []);
        let f = program.methods_of("f")[0];
        let mut engine = FunctionEngine::<Saying>::new(OptLevel::None).expect("this machine");
        engine.load(Arc::new(program));
        let mut said = |debug_level, throws| {
            engine.set_exceptions(debug_level, throws);
            engine.call(f, &mut []).expect_err("it only says").to_string()
        };
        assert_eq!(said(DebugLevel::None, ThrowPolicy::Report), "None Report");
        assert_eq!(said(DebugLevel::Full, ThrowPolicy::Report), "Full Report");
        assert_eq!(said(DebugLevel::Full, ThrowPolicy::Trap), "Full Trap");
    }
}
