//! Running units on the interpreter at any stage, and comparing how they ended.

use crate::generate::methods::{Case, ENTRY, KERNEL, STRIDE};
use marquetry::value::{HostValue, regroup};
use marquetry_ir::entity::{Func, Method};
use marquetry_ir::interp::{Config, Ended, Fault, FaultKind, Interp, Thrown, Val};
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::legal::{EntryAbi, Site};

/// How a call ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// With these results.
    Returned(Vec<HostValue>),
    /// With an exception of this kind, with the bits of its operands.
    Threw(String, Vec<u64>),
    /// The interpreter, or the engine, gave up for this reason.
    Fault(String),
}

/// What a fault says when a run takes too long.
pub const OUT_OF_FUEL: &str = "out of fuel";

impl End {
    /// Whether both are the same to a host: NaNs alike.
    pub fn same(&self, other: &End) -> bool {
        match (self, other) {
            (End::Returned(a), End::Returned(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            _ => self == other,
        }
    }

    /// With results that lowering took apart put together as another's.
    pub fn shaped_as(self, other: &End) -> End {
        match (&self, other) {
            (End::Returned(parts), End::Returned(whole)) => {
                let types: Vec<Type> = whole.iter().map(HostValue::ty).collect();
                regroup(parts, &types).map_or(self, End::Returned)
            }
            _ => self,
        }
    }

    /// Whether it ended as the language says.
    pub fn is_defined(&self) -> bool {
        !matches!(self, End::Fault(_))
    }
}

/// Fuel of a program as it was written.
pub const FUEL: u64 = 20_000;
/// Fuel of what became of it: legal code for a small target is much longer.
pub const LOWERED_FUEL: u64 = 2_000_000_000;

/// The program of a case, read from its text.
///
/// # Errors
/// What the reader said.
pub fn parse(text: &str) -> Result<Program, String> {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "case.mq", text);
    match diagnostics.first() {
        None => Ok(program),
        Some(first) => Err(format!("{}: {}", first.code, first.message)),
    }
}

/// The only method of a name.
pub fn method(program: &Program, name: &str) -> Option<Method> {
    program.methods_of(name).first().copied()
}

/// The job that compiles the entry of a case, or its kernel.
pub fn job(program: &Program, is_kernel: bool, opt_level: OptLevel) -> Option<Job> {
    let entry = method(program, if is_kernel { KERNEL } else { ENTRY })?;
    let view = if is_kernel { View::device(&[]) } else { View::native(&[]) };
    Some(Job::new(vec![entry], view, opt_level))
}

fn fault(fault: &Fault) -> End {
    match &*fault.kind {
        FaultKind::OutOfFuel => End::Fault(OUT_OF_FUEL.into()),
        // Addresses differ from run to run of a changed program.
        FaultKind::OutOfBounds { .. } => End::Fault("out of bounds".into()),
        FaultKind::Uninitialised { .. } => End::Fault("uninitialised".into()),
        FaultKind::Misaligned { .. } => End::Fault("misaligned".into()),
        FaultKind::InvalidAddress { .. } => End::Fault("invalid address".into()),
        other => End::Fault(other.to_string()),
    }
}

fn to_val(value: &HostValue) -> Val {
    match value.lanes() {
        [bits] if !value.ty().is_vector() => Val::Bits(*bits),
        lanes => Val::Lanes(lanes.into()),
    }
}

fn from_val(ty: Type, value: &Val) -> Option<HostValue> {
    match value {
        Val::Bits(bits) => HostValue::scalar(ty, *bits),
        Val::Lanes(lanes) => HostValue::vector(ty, lanes),
        Val::Bytes(_) => None,
    }
}

/// An exception that the interpreter threw.
fn threw(thrown: &Thrown) -> End {
    End::Threw(thrown.kind.to_string(), thrown.operands.iter().map(|operand| operand.1).collect())
}

/// How exceptions leave a unit, if they were lowered.
#[derive(Copy, Clone)]
pub struct Lowering<'a> {
    /// The places that throw.
    pub sites: &'a [Site],
    /// How the entry reports them.
    pub abi: &'a EntryAbi,
}

impl Lowering<'_> {
    fn thrown(&self, status: u128, operands: impl Iterator<Item = u64>) -> Option<End> {
        let site = (status as usize).checked_sub(1)?;
        Some(match self.sites.get(site) {
            Some(site) => End::Threw(site.kind.to_string(), operands.take(site.operands.len()).collect()),
            None => End::Fault(format!("status {status} of {} sites", self.sites.len())),
        })
    }
}

/// Makes the calls of a case on the first entry of a unit, one after the other in one memory.
pub fn calls(unit: &Unit, case: &Case, lowering: Option<Lowering<'_>>) -> Vec<End> {
    let fuel = if lowering.is_some() { LOWERED_FUEL } else { FUEL };
    calls_with(unit, case, lowering, fuel)
}

/// As [`calls`], with other fuel.
pub fn calls_with(unit: &Unit, case: &Case, lowering: Option<Lowering<'_>>, fuel: u64) -> Vec<End> {
    let Some(&entry) = unit.entries.first() else { return vec![End::Fault("no entry".into())] };
    let mut interp = Interp::new(unit, Config { fuel, ..Config::default() });
    case.calls.iter().map(|args| call(unit, &mut interp, entry, args, lowering)).collect()
}

fn call(
    unit: &Unit,
    interp: &mut Interp<'_>,
    entry: Func,
    args: &[HostValue],
    lowering: Option<Lowering<'_>>,
) -> End {
    let signature = &unit.funcs[entry].signature;
    let Some(args) = regroup(args, &signature.params) else {
        return End::Fault("the arguments do not fit the parameters".into());
    };
    let args: Vec<Val> = args.iter().map(to_val).collect();
    let types = &signature.results;
    match interp.call(entry, &args) {
        Err(found) => fault(&found),
        Ok(Ended::Threw(thrown)) => threw(&thrown),
        Ok(Ended::Returned(values)) => {
            let abi = lowering.map(|lowering| lowering.abi);
            let skipped = abi.map_or(0, |abi| usize::from(abi.status) + abi.operands);
            let operands = values.iter().skip(1).filter_map(Val::bits).map(|bits| bits as u64);
            if skipped > 0
                && let Some(status) = values.first().and_then(Val::bits)
                && let Some(end) = lowering.and_then(|lowering| lowering.thrown(status, operands))
            {
                return end;
            }
            let results: Option<Vec<HostValue>> =
                types.iter().zip(&values).skip(skipped).map(|(&ty, value)| from_val(ty, value)).collect();
            results.map_or_else(|| End::Fault("aggregate result".into()), End::Returned)
        }
    }
}

/// The buffers of the kernel of a case: arguments, and room for results.
pub fn buffers(args: &[HostValue], results: usize) -> (Vec<u8>, Vec<u8>) {
    let mut from = vec![0; STRIDE * args.len().max(1)];
    for (place, arg) in from.chunks_mut(STRIDE).zip(args) {
        let bytes = arg.to_bytes();
        if let Some(place) = place.get_mut(..bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }
    (from, vec![0; STRIDE * results.max(1)])
}

/// The results that the kernel of a case left.
pub fn results(types: &[Type], to: &[u8]) -> Option<Vec<HostValue>> {
    types
        .iter()
        .zip(to.chunks(STRIDE))
        .map(|(&ty, bytes)| {
            let size = ty.lane()?.bytes() as usize * ty.lanes() as usize;
            HostValue::from_bytes(ty, bytes.get(..size)?)
        })
        .collect()
}

/// Launches the kernel of a case once per call, in one memory.
pub fn launches(unit: &Unit, case: &Case, types: &[Type], lowering: Option<Lowering<'_>>) -> Vec<End> {
    let Some(&entry) = unit.entries.first() else { return vec![End::Fault("no entry".into())] };
    let mut interp = Interp::new(unit, Config { fuel: LOWERED_FUEL, ..Config::default() });
    let mut launch = |args: &[HostValue]| -> Result<End, FaultKind> {
        let (from, to) = buffers(args, types.len());
        let from = interp.memory_mut().alloc(&from)?;
        let place = interp.memory_mut().alloc(&to)?;
        let mut values = vec![Val::pointer(from), Val::pointer(place)];
        let mailbox = match lowering.filter(|lowering| lowering.abi.mailbox) {
            Some(lowering) => Some((lowering, interp.memory_mut().alloc(&[0; Record::BYTES])?)),
            None => None,
        };
        values.extend(mailbox.map(|(_, address)| Val::pointer(address)));
        match interp.launch(entry, [1; 3], [1; 3], &values) {
            Err(found) => return Ok(fault(&found)),
            Ok(Ended::Threw(thrown)) => return Ok(threw(&thrown)),
            Ok(Ended::Returned(_)) => {}
        }
        if let Some((lowering, address)) = mailbox {
            let record = Record::read(interp.memory().read(address, Record::BYTES as u64)?);
            if let Some(end) =
                record.and_then(|record| lowering.thrown(record.status.into(), record.operands.into_iter()))
            {
                return Ok(end);
            }
        }
        let left = interp.memory().read(place, to.len() as u64)?;
        Ok(results(types, left).map_or_else(|| End::Fault("results do not read".into()), End::Returned))
    };
    case.calls.iter().map(|args| launch(args).unwrap_or_else(|kind| End::Fault(kind.to_string()))).collect()
}
