//! Values of the program's types as parameters and results of lowered signatures.
//!
//! A target that does not hold a type takes its values in parts: a vector lane by lane or half by half, a wide integer
//! in two halves, low first. The bytes of the parts, one after the other, are the bytes of the value, so that it is cut
//! and put together without knowing how it was lowered. What became of each argument stands in the artifact
//! ([`Entry::arguments`]).

use super::{EngineError, Outcome, Thrown};
use crate::inputs::{self, KernelState, LaunchOptions};
use crate::stack::{CallStack, Exhausted};
use crate::value::{HostArg, HostValue, regroup};
use marquetry_codegen::artifact::{Entry, Slot, argument_block};
use marquetry_codegen::native::{StackLimit, StackNeeds};
use marquetry_ir::types::{Scalar, Type, TypeKind, Types};
use marquetry_lower::exceptions::places::ThrowPlace;
use marquetry_lower::legal::{Argument, Passing, Role};
use marquetry_lower::runtime::Input;
use std::sync::Arc;

/// What values of these types are held as: newtypes are what they are newtypes of.
pub(crate) fn held(types: &Types, list: &[Type]) -> Vec<Type> {
    list.iter().map(|&ty| types.underlying(ty)).collect()
}

/// Runs a call of native code, on a stack of its own where it needs one.
///
/// # Safety
/// As for [`CallStack::run`].
#[allow(unsafe_code, reason = "the caller vouches for the code that it runs")]
pub(crate) unsafe fn on_stack(
    stack: &mut CallStack,
    needs: &StackNeeds,
    call: impl FnOnce(Option<&StackLimit>),
) -> Result<Result<(), Exhausted>, EngineError> {
    if !CallStack::is_wanted(needs) {
        call(None);
        return Ok(Ok(()));
    }
    // SAFETY: the caller's promise.
    let done = unsafe { stack.run(needs, |limit| call(Some(limit))) };
    done.map_err(|error| EngineError::Failed(format!("no memory for the stack: {error}")))
}

/// What is passed for one lowered parameter.
pub(crate) enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The address of memory that holds these bytes, and that nobody writes.
    Reference(Vec<u8>),
    /// The address of the buffer that is this argument.
    Buffer(usize),
    /// The address of the buffer of the hidden input of this number.
    Input(usize),
    /// The address of the mailbox.
    Mailbox,
    /// The address of where results go.
    Results,
    /// A null pointer.
    Null,
}

fn size(ty: Type) -> usize {
    match ty.kind() {
        TypeKind::Scalar(scalar) => scalar.bytes() as usize,
        TypeKind::Vector(lane, lanes) => lane.bytes() as usize * lanes as usize,
        TypeKind::Pointer(_) => Scalar::I64.bytes() as usize,
        TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => 0,
    }
}

fn unfit() -> EngineError {
    EngineError::Failed("the arguments do not fit the lowered signature".into())
}

fn unsupplied(name: &str) -> EngineError {
    EngineError::Failed(format!("nobody supplies the kernel input '{name}'"))
}

/// A hidden input of a launch: its value, or what its buffer holds.
pub(crate) struct Hidden {
    pub name: Arc<str>,
    pub value: HostArg,
}

/// The hidden inputs of an entry, in order: bound by the host, or known to the library.
pub(crate) fn hidden(names: &[Input], options: &LaunchOptions) -> Result<Vec<Hidden>, EngineError> {
    let bound = |input: &Input| {
        let name = input.name.clone();
        if let Some((_, value)) = options.inputs.iter().find(|(other, _)| **other == *name) {
            return Ok(Hidden { name, value: value.clone() });
        }
        match inputs::buffer(&name, options.memory) {
            Some(bytes) => Ok(Hidden { name, value: HostArg::Buffer { element: Scalar::I8, bytes } }),
            None => Err(unsupplied(&name)),
        }
    };
    names.iter().map(bound).collect()
}

/// What is passed for each lowered parameter of an entry.
pub(crate) fn split(
    entry: &Entry,
    args: &[HostArg],
    hidden: &[Hidden],
    state: Option<&KernelState>,
) -> Result<Vec<Part>, EngineError> {
    let mut parts = Vec::with_capacity(entry.signature.params.len());
    // What has no bytes is not passed, and is no argument of the entry any more.
    let is_ghost = |arg: &HostArg| matches!(arg, HostArg::Aggregate(bytes) if bytes.is_empty());
    let mut rest = args.iter().enumerate().filter(|(_, arg)| !is_ghost(arg));
    let mut has_results = false;
    for argument in entry.arguments() {
        match &argument.role {
            Role::State => {
                let bytes = state.map(|state| state.bytes.clone());
                cut(entry, argument, &bytes.unwrap_or_default(), "the state", &mut parts)?;
            }
            Role::Mailbox => parts.push(Part::Mailbox),
            Role::Input(name) => {
                let n = hidden.iter().position(|input| input.name == *name);
                let n = n.ok_or_else(|| unsupplied(name))?;
                let value = &hidden.get(n).ok_or_else(unfit)?.value;
                pass(entry, argument, value, Part::Input(n), &format!("input '{name}'"), &mut parts)?;
            }
            Role::Argument if argument.passing == Passing::Ghost => {}
            Role::Argument => match rest.next() {
                Some((n, value)) => {
                    pass(entry, argument, value, Part::Buffer(n), &format!("argument {n}"), &mut parts)?;
                }
                // The last argument of a kernel around a function is where the results go.
                None if argument.passing == Passing::Pointer && !has_results => {
                    parts.push(Part::Results);
                    has_results = true;
                }
                None => return Err(miscounted(entry, args.len())),
            },
        }
    }
    if rest.next().is_some() { Err(miscounted(entry, args.len())) } else { Ok(parts) }
}

fn miscounted(entry: &Entry, found: usize) -> EngineError {
    let wanted = entry.arguments().iter().filter(|argument| argument.role == Role::Argument).count();
    let plural = if wanted == 1 { "" } else { "s" };
    EngineError::Failed(format!("'{}' takes {wanted} argument{plural}, found {found}", entry.symbol))
}

fn pass(
    entry: &Entry,
    argument: &Argument,
    value: &HostArg,
    buffer: Part,
    what: &str,
    parts: &mut Vec<Part>,
) -> Result<(), EngineError> {
    let pointer = argument.passing == Passing::Pointer;
    if !is_taken(argument.ty, value) {
        let (found, wanted) = (value.description(), argument.ty);
        return Err(EngineError::Failed(format!("{what} is {found}, but '{}' takes {wanted}", entry.symbol)));
    }
    match value {
        HostArg::Buffer { .. } if pointer => parts.push(buffer),
        HostArg::Value(value) if pointer && value.ty().is_pointer() => match value.lanes() {
            [0] => parts.push(Part::Null),
            _ => {
                let message = format!("{what} is an address of the host, expected a buffer or null");
                return Err(EngineError::Unsupported(message));
            }
        },
        HostArg::Value(value) if !pointer => return cut(entry, argument, &value.to_bytes(), what, parts),
        HostArg::Aggregate(bytes) if !pointer => return cut(entry, argument, bytes, what, parts),
        _ => {
            let wanted = if pointer { "a buffer" } else { "a value" };
            let found = value.description();
            return Err(EngineError::Failed(format!(
                "{what} is {found}, but '{}' takes {wanted}",
                entry.symbol
            )));
        }
    }
    Ok(())
}

/// Whether a parameter of this type takes a value. Of a type that is the program's own, only the size is known here.
fn is_taken(ty: Type, value: &HostArg) -> bool {
    if ty.is_aggregate() || !ty.is_known() {
        return true;
    }
    match value {
        HostArg::Value(value) => value.ty() == ty || value.ty().is_pointer() && ty.is_pointer(),
        HostArg::Aggregate(_) => false,
        HostArg::Buffer { .. } => ty.is_pointer(),
    }
}

/// Cuts the bytes of a value into what is passed of it.
fn cut(
    entry: &Entry,
    argument: &Argument,
    bytes: &[u8],
    what: &str,
    parts: &mut Vec<Part>,
) -> Result<(), EngineError> {
    if bytes.len() as u64 != argument.size {
        let (found, wanted) = (bytes.len(), argument.size);
        return Err(EngineError::Failed(format!("{what} has {found} bytes, wanted {wanted}")));
    }
    match argument.passing {
        Passing::Ghost => {}
        Passing::Block => parts.push(Part::Bytes(bytes.to_vec())),
        Passing::Reference => parts.push(Part::Reference(bytes.to_vec())),
        Passing::Pointer => return Err(unfit()),
        Passing::Parts => {
            for (n, &at) in argument.parts.iter().enumerate() {
                let ty = *entry.signature.params.get(argument.first as usize + n).ok_or_else(unfit)?;
                let part = bytes.get(at as usize..at as usize + size(ty)).ok_or_else(unfit)?;
                parts.push(match ty.is_pointer() {
                    false => Part::Bytes(part.to_vec()),
                    true if part.iter().all(|&byte| byte == 0) => Part::Null,
                    true => {
                        let message = format!("{what} contains pointers, which the host cannot supply");
                        return Err(EngineError::Unsupported(message));
                    }
                });
            }
        }
    }
    Ok(())
}

/// The argument block of native code: parts at their places, buffers by their addresses.
pub(crate) fn pack(args: &mut [HostArg], entry: &Entry) -> Result<Vec<u8>, EngineError> {
    let address = |arg: &mut HostArg| match arg {
        HostArg::Buffer { bytes, .. } => bytes.as_mut_ptr() as u64,
        HostArg::Value(_) | HostArg::Aggregate(_) => 0,
    };
    let addresses: Vec<u64> = args.iter_mut().map(address).collect();
    let (slots, size) = entry.block();
    let mut block = vec![0; size as usize];
    let parts = split(entry, args, &[], None)?;
    if parts.len() != slots.len() {
        return Err(unfit());
    }
    for (slot, part) in slots.iter().zip(parts) {
        let bytes = match part {
            Part::Bytes(bytes) => bytes,
            Part::Buffer(n) => addresses.get(n).copied().unwrap_or(0).to_le_bytes().to_vec(),
            Part::Null => vec![0; 8],
            // Functions of native code have none of these: what is left over of their arguments is no place for results.
            Part::Results => return Err(miscounted(entry, args.len())),
            Part::Reference(_) | Part::Input(_) | Part::Mailbox => return Err(unfit()),
        };
        let start = slot.offset as usize;
        block.get_mut(start..start + bytes.len()).ok_or_else(unfit)?.copy_from_slice(&bytes);
    }
    Ok(block)
}

/// How a call of native code ended, by its status and the block that holds operands of an exception and results.
pub(crate) fn outcome(
    status: u32,
    entry: &Entry,
    places: &[ThrowPlace],
    types: &[Type],
    block: &[u8],
) -> Result<Outcome, EngineError> {
    // They stand first, and have no need of padding.
    let (words, _) = block.as_chunks();
    let operands: Vec<u64> =
        words.iter().take(entry.abi.operands).map(|&word| u64::from_le_bytes(word)).collect();
    if let Some(thrown) = Thrown::of_status(places, status, &operands) {
        return Ok(Outcome::Threw(thrown));
    }
    let lowered = entry.signature.results.get(usize::from(entry.abi.status)..).unwrap_or(&[]);
    join(types, lowered, entry.abi.operands, block).map(Outcome::Returned)
}

/// Puts values of these types together from a block that holds lowered results, behind others that are skipped.
pub(crate) fn join(
    types: &[Type],
    lowered: &[Type],
    skipped: usize,
    block: &[u8],
) -> Result<Vec<HostValue>, EngineError> {
    // Of what an image returns only types are known that need no table.
    if types.iter().any(|ty| ty.is_aggregate() || !ty.is_known()) {
        return Err(EngineError::Unsupported("aggregates do not pass to the host".into()));
    }
    let read = |(slot, &ty): (Slot, &Type)| {
        let bytes = block.get(slot.offset as usize..(slot.offset + slot.size) as usize)?;
        HostValue::from_bytes(ty, bytes)
    };
    let parts: Option<Vec<HostValue>> =
        argument_block(lowered).0.into_iter().zip(lowered).skip(skipped).map(read).collect();
    let values = parts.and_then(|parts| regroup(&parts, types));
    values.ok_or_else(|| EngineError::Failed("the results do not fit the lowered signature".into()))
}
