//! The interpreter as an engine: it runs units as specialisation makes them.

use super::{Caller, Engine, EngineError, Extent, Outcome, Thrown, parts};
use crate::inputs::LaunchOptions;
use crate::value::{HostArg, HostValue};
use marquetry_ir::entity::Method;
use marquetry_ir::interp::{self, Config, Ended, Fault, FaultKind, Interp, Val};
use marquetry_ir::program::{NoHost, Program, Resolve};
use marquetry_ir::span::Location;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::Verified;
use marquetry_lower::dispatch::view::{View, overlays_present};
use marquetry_lower::exceptions::record::WorkItem;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use marquetry_lower::runtime::inputs::{STATE, collect};
use std::collections::HashMap;
use std::sync::Arc;

/// Interprets calls and launches.
pub(super) struct InterpEngine {
    program: Arc<Program>,
    tables: Vec<String>,
    units: HashMap<Method, Verified>,
    output: Vec<String>,
    options: LaunchOptions,
    host: Arc<dyn Resolve>,
}

impl InterpEngine {
    pub(super) fn new() -> Self {
        InterpEngine {
            program: Arc::new(Program::new()),
            tables: Vec::new(),
            units: HashMap::new(),
            output: Vec::new(),
            options: LaunchOptions::default(),
            host: Arc::new(NoHost),
        }
    }

    fn run(
        &mut self,
        method: Method,
        extent: Option<Extent>,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        if !self.units.contains_key(&method) {
            let tables = overlays_present(&self.program, &self.tables);
            let view = if extent.is_some() { View::device(&tables) } else { View::native(&tables) };
            let job = Job::new(vec![method], view, OptLevel::None);
            self.units.insert(method, pipeline::specialised(&self.program, &job)?);
        }
        let Some(unit) = self.units.get(&method) else {
            return Err(EngineError::Failed("the unit is missing".into()));
        };
        self.output.clear();
        interpret(unit.unit(), &self.host, extent, args, &mut self.options, &mut self.output)
    }
}

/// Runs the first entry of a unit.
fn interpret(
    unit: &Unit,
    host: &Arc<dyn Resolve>,
    extent: Option<Extent>,
    args: &mut [HostArg],
    options: &mut LaunchOptions,
    output: &mut Vec<String>,
) -> Result<Outcome, EngineError> {
    let Some(&entry) = unit.entries.first() else {
        return Err(EngineError::Failed("the unit has no entry".into()));
    };
    let mut interp = Interp::new(unit, Config::default());
    interp.set_host(host.clone());
    let failed = |kind: FaultKind| EngineError::Failed(kind.to_string());
    let mut values = Vec::with_capacity(args.len());
    for arg in args.iter() {
        values.push(match arg {
            HostArg::Value(value) => to_val(value),
            HostArg::Buffer { bytes, .. } => Val::pointer(interp.memory_mut().alloc(bytes).map_err(failed)?),
            HostArg::Aggregate(bytes) => Val::Bytes(bytes.as_slice().into()),
        });
    }
    let mut bound = Vec::new();
    for input in collect(unit)? {
        let name = &*input.name;
        if name == STATE && extent.is_some() {
            let Some(state) = &options.state else {
                return Err(EngineError::Failed(
                    "the kernel state is read, and the back-end declares none".into(),
                ));
            };
            let value = Val::decode(&unit.types, input.ty, &state.bytes);
            let wanted = unit.types.display(input.ty);
            let value =
                value.ok_or_else(|| EngineError::Failed(format!("the kernel state is no {wanted}")))?;
            interp.define_input(name, value);
            continue;
        }
        if name == STATE {
            let zero = Val::zero(&unit.types, input.ty);
            interp.define_input(name, zero.ok_or_else(|| EngineError::Failed("too large a state".into()))?);
            continue;
        }
        let hidden = parts::hidden(std::slice::from_ref(&input), options)?;
        let Some(hidden) = hidden.into_iter().next() else { continue };
        let value = match &hidden.value {
            HostArg::Value(value) => to_val(value),
            HostArg::Aggregate(bytes) => Val::Bytes(bytes.as_slice().into()),
            HostArg::Buffer { bytes, .. } => {
                let address = interp.memory_mut().alloc(bytes).map_err(failed)?;
                bound.push((input.name.clone(), address));
                Val::pointer(address)
            }
        };
        if !value.fits(&unit.types, input.ty) {
            let wanted = unit.types.display(input.ty);
            return Err(EngineError::Failed(format!("input '{name}' should be a value of {wanted}")));
        }
        interp.define_input(name, value);
    }
    // Of the arguments, what has no bytes is gone.
    let is_ghost = |arg: &HostArg| matches!(arg, HostArg::Aggregate(bytes) if bytes.is_empty());
    let passed: Vec<Val> =
        args.iter().zip(&values).filter(|(arg, _)| !is_ghost(arg)).map(|(_, value)| value.clone()).collect();
    let ended = match extent {
        Some(extent) => interp.launch(entry, extent.grid, extent.block, &passed),
        None => interp.call(entry, &passed),
    };
    output.extend(interp.take_printed().iter().map(ToString::to_string));
    let ended = ended.map_err(|fault| EngineError::Failed(describe(unit, &fault)))?;
    for (arg, value) in args.iter_mut().zip(&values) {
        if let (HostArg::Buffer { bytes, .. }, Some(address)) = (arg, value.bits()) {
            let left = interp.memory().read(address as u64, bytes.len() as u64).map_err(failed)?;
            bytes.copy_from_slice(left);
        }
    }
    for (name, address) in bound {
        let input = options.inputs.iter_mut().find(|(other, _)| **other == *name);
        if let Some((_, HostArg::Buffer { bytes, .. })) = input {
            let left = interp.memory().read(address, bytes.len() as u64).map_err(failed)?;
            bytes.copy_from_slice(left);
        }
    }
    match ended {
        Ended::Returned(values) => {
            let types = unit.funcs[entry].signature.results.iter();
            let values: Option<Vec<HostValue>> =
                types.zip(&values).map(|(&ty, value)| from_val(ty, value)).collect();
            let aggregates = || EngineError::Unsupported("aggregates do not pass to the host".into());
            values.map(Outcome::Returned).ok_or_else(aggregates)
        }
        Ended::Threw(thrown) => {
            let location = thrown.location.as_ref();
            let callers = location.map_or(&[][..], |l| &l.callers);
            Ok(Outcome::Threw(Thrown {
                kind: thrown.kind.to_string(),
                reason: thrown.reason.as_deref().map(String::from),
                operands: thrown.operands.into(),
                function: location.map_or_else(String::new, |l| l.function.to_string()),
                place: location.and_then(|l| place(unit, l)),
                callers: callers.iter().map(|caller| Caller::new(caller, &unit.files)).collect(),
                candidates: Vec::new(),
                more: location.is_some_and(|l| l.more),
                kernel: extent.map(|_| unit.funcs[entry].name.to_string()),
                item: extent.and(thrown.item).map(|(group, local)| WorkItem { group, local }),
            }))
        }
    }
}

fn place(unit: &Unit, location: &interp::Location) -> Option<Location> {
    Location::of(&unit.files, location.file, location.span)
}

fn describe(unit: &Unit, fault: &Fault) -> String {
    let Some(location) = &fault.location else { return fault.kind.to_string() };
    match place(unit, location) {
        Some(place) => format!("{} (in '{}', {place})", fault.kind, location.function),
        None => format!("{} ({location})", fault.kind),
    }
}

fn to_val(value: &HostValue) -> Val {
    match value.lanes() {
        [bits] if !value.ty().is_vector() => Val::Bits(*bits),
        lanes => Val::Lanes(lanes.into()),
    }
}

fn from_val(ty: marquetry_ir::types::Type, value: &Val) -> Option<HostValue> {
    match value {
        Val::Bits(bits) => HostValue::scalar(ty, *bits),
        Val::Lanes(lanes) => HostValue::vector(ty, lanes),
        Val::Bytes(_) => None,
    }
}

impl Engine for InterpEngine {
    fn name(&self) -> &'static str {
        "interp"
    }

    fn load(&mut self, program: Arc<Program>) {
        self.program = program;
        self.units.clear();
    }

    fn set_tables(&mut self, names: &[String]) {
        self.tables = names.to_vec();
        self.units.clear();
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn set_host(&mut self, host: Arc<dyn Resolve>) {
        self.host = host;
    }

    fn options(&mut self) -> &mut LaunchOptions {
        &mut self.options
    }

    fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    fn call_checked(&mut self, method: Method, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        self.run(method, None, args)
    }

    fn launch_checked(
        &mut self,
        method: Method,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Outcome, EngineError> {
        if let [x, y, z] = extent.block
            && extent.block.contains(&0)
        {
            let reason = format!("a block of {x} x {y} x {z} work-items; each dimension needs at least 1");
            return Err(EngineError::Failed(reason));
        }
        self.run(method, Some(extent), args)
    }
}
