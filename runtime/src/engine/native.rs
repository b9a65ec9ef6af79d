//! Native code in memory: functions called through their packed wrappers.

use super::device::read_results;
use super::{Engine, EngineError, Extent, Outcome};
use crate::compile::{Code, Compiled, Target, compile};
use crate::value::{HostArg, HostValue, regroup};
use marquetry_codegen::artifact::argument_block;
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_ir::types::{Space, Type};
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
}

impl NativeEngine {
    /// An engine for this machine.
    pub(super) fn new(opt_level: OptLevel) -> Result<Self, String> {
        let target = Target::parse("native", opt_level).map_err(|error| error.to_string())?;
        Ok(NativeEngine { target, opt_level, program: Arc::new(Program::new()), functions: HashMap::new() })
    }
}

/// The bytes of an argument block, buffers by their addresses; arguments are taken apart as lowering took apart the
/// parameters.
///
/// # Errors
/// The arguments do not fit the parameters.
pub(super) fn pack(types: &[Type], args: &mut [HostArg]) -> Result<Vec<u8>, EngineError> {
    let value = |arg: &mut HostArg| match arg {
        HostArg::Value(value) => Some(value.clone()),
        HostArg::Buffer { bytes, .. } => {
            let address = bytes.as_mut_ptr() as u64;
            HostValue::scalar(Type::pointer(Space::Generic), address.into())
        }
    };
    let values: Option<Vec<HostValue>> = args.iter_mut().map(value).collect();
    let values = values.and_then(|values| regroup(&values, types));
    let values =
        values.ok_or_else(|| EngineError::Failed("the arguments do not fit the parameters".into()))?;
    let (slots, size) = argument_block(types);
    let mut block = vec![0; size as usize];
    for (slot, value) in slots.iter().zip(values) {
        let start = slot.offset as usize;
        if let Some(place) = block.get_mut(start..start + slot.size as usize) {
            place.copy_from_slice(&value.to_bytes());
        }
    }
    Ok(block)
}

/// Results that lowering took apart, as the method's own types.
///
/// # Errors
/// Aggregates do not pass to the host.
pub(super) fn put_together(values: &[HostValue], types: &[Type]) -> Result<Outcome, EngineError> {
    let values = if types.iter().any(|ty| ty.is_aggregate()) { None } else { regroup(values, types) };
    let aggregates = || EngineError::Unsupported("aggregates do not pass to the host".into());
    values.map(Outcome::Returned).ok_or_else(aggregates)
}

impl Engine for NativeEngine {
    fn name(&self) -> &'static str {
        "native"
    }

    fn load(&mut self, program: Arc<Program>) {
        self.program = program;
        self.functions.clear();
    }

    fn call(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        if !self.functions.contains_key(&method) {
            let job = Job { entries: vec![method], view: View::native(&[]), opt_level: self.opt_level };
            self.functions.insert(method, compile(&self.program, &job, &self.target)?);
        }
        let Some(compiled) = self.functions.get(&method) else {
            return Err(EngineError::Failed("the function is missing".into()));
        };
        let entry = compiled.entry()?;
        let status = usize::from(entry.abi.status);
        let types = entry.signature.results.get(status..).unwrap_or(&[]);
        let (slots, size) = argument_block(types);
        let block = pack(&entry.signature.params, args)?;
        let mut results = vec![0; size as usize];
        let Code::Jit(jit) = &compiled.code else {
            return Err(EngineError::Failed("the code is not in this process".into()));
        };
        // SAFETY: the block and the results have the layout of this entry's signature; buffers outlive the call.
        #[allow(unsafe_code, reason = "this is where compiled code is executed")]
        let status = unsafe { jit.call_packed(0, &block, &mut results) }?;
        if let Some(thrown) = compiled.thrown(status) {
            return Ok(Outcome::Threw(thrown));
        }
        put_together(&read_results(&slots, types, &results)?, &self.program.method(method).signature.results)
    }

    fn launch(&mut self, _: Method, _: Extent, _: &mut [HostArg]) -> Result<Outcome, EngineError> {
        Err(EngineError::Unsupported("kernels run on the CPU device".into()))
    }
}
