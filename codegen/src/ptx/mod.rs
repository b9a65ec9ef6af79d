//! PTX for NVIDIA GPUs, written by hand.
//!
//! [`emit`] turns a legal unit into the text of one PTX module that needs no other tool: the driver, or ptxas,
//! compiles it. The text is made in one pass over the code, without a machine representation in between: ptxas
//! builds SSA anew, allocates registers, schedules and removes dead code, so that what pays here is what it cannot
//! know or find: immediates, offsets in addresses, no copies where none are needed, and exactly the language's
//! meaning of every op.
//!
//! | file | holds |
//! |---|---|
//! | `target` | targets by name, versions of the ISA |
//! | `bounds` | bounds of launches |
//! | `actions` | which ops are legal on which types |
//! | `types` | register classes and type suffixes |
//! | `names` | symbols |
//! | `data` | globals |
//! | `abi` | parameters, results, calls |
//! | `select`, `select_*`, `intrinsics` | which instruction stands for which op |
//! | `regs` | where values are, copies |
//! | `write` | text |
//! | `debug` | lines for debuggers |
//! | [`check`] | reads the text again, for tests |

mod abi;
mod actions;
mod bounds;
pub mod check;
mod data;
mod debug;
mod intrinsics;
mod names;
mod regs;
mod select;
mod select_atomic;
mod select_bits;
mod select_compare;
mod select_control;
mod select_convert;
mod select_memory;
mod select_scalar;
mod target;
#[cfg(test)]
mod tests;
mod types;
mod write;

pub use bounds::Bounds;
pub use target::{Features, PtxTarget, Version};

use crate::artifact::{Artifact, Format, parameter_block};
use crate::error::{EmitError, check_data, check_deferred};
use cranelift_entity::EntitySet;
use debug::Debug;
use marquetry_ir::entity::Func;
use marquetry_ir::limits::MAX_DEVICE_DATA_BYTES;
use marquetry_ir::program::MethodKind;
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::call_graph;
use marquetry_lower::job::DebugLevel;
use marquetry_lower::legal::{Argument, EntryAbi, Legal};
use marquetry_lower::target::Target;
use names::Names;
use select::Selector;
use std::collections::BTreeMap;
use target::{MAX_ARGUMENT_BYTES, MAX_SHARED_BYTES, OLD_ARGUMENT_BYTES};
use types::Class;
use write::{SLOTS, Writer};

/// Writes a legal unit as a PTX module.
///
/// # Errors
/// A kernel takes more arguments than PTX passes, a group needs more shared memory than a module may declare, or
/// the unit is not one that was made legal for this target.
pub fn emit(legal: &Legal, target: &PtxTarget) -> Result<Artifact, EmitError> {
    let unit = legal.unit();
    check_data(unit, 0, MAX_DEVICE_DATA_BYTES)?;
    check_deferred(legal)?;
    let names = Names::new(unit);
    let mut module = Writer::new(&names);
    let (mut major, mut minor) = version(legal, target)?;
    if legal.debug_level() == DebugLevel::Full {
        (major, minor) = (major, minor).max(debug::INLINED_AT);
    }
    module.push(".version ");
    module.unsigned(u64::from(major));
    module.push(".");
    module.unsigned(u64::from(minor));
    module.push("\n.target ");
    module.push(&target.architecture());
    module.push("\n.address_size 64\n\n");
    let mut entries = EntitySet::new();
    for &func in &unit.entries {
        entries.insert(func);
    }
    // Tables name functions, functions name globals only in their bodies.
    let tables = call_graph::held(unit).next().is_some();
    if tables {
        declare_functions(&mut module, unit, &entries)?;
    }
    let relocations = data::globals(&mut module, unit, &names)?;
    if !tables {
        declare_functions(&mut module, unit, &entries)?;
    }
    let mut selector =
        Selector::new(unit, target.sm(), Writer::new(&names), Debug::new(unit, legal.debug_level()));
    let abis: BTreeMap<Func, &EntryAbi> = unit.entries.iter().copied().zip(legal.entries()).collect();
    for (func, function) in unit.funcs.iter() {
        selector.out.text.clear();
        selector.function(function).map_err(|error| error.within(function))?;
        let arguments = abis.get(&func).map_or(&[][..], |abi| &abi.arguments);
        let bounds = (function.kind == MethodKind::Kernel).then_some(target.bounds());
        write_function(&mut module, func, function, entries.contains(func), arguments, bounds, &selector)?;
    }
    selector.debug.finish(&mut module);
    let code = module.text.into_bytes();
    let artifact = Artifact::new(target.name(), Format::Ptx, code, legal);
    let mut artifact = Artifact { relocations, ..artifact };
    for (entry, &func) in artifact.entries.iter_mut().zip(&unit.entries) {
        if *entry.symbol != *names.func(func) {
            entry.symbol = names.func(func).into();
        }
    }
    if artifact.shared_bytes > MAX_SHARED_BYTES {
        return Err(EmitError::limit("bytes of shared memory", MAX_SHARED_BYTES, artifact.shared_bytes));
    }
    Ok(artifact)
}

/// The lowest version of the ISA that has everything in the unit: older drivers take older versions.
fn version(legal: &Legal, target: &PtxTarget) -> Result<Version, EmitError> {
    let mut version = target.version();
    let unit = legal.unit();
    for (&func, abi) in unit.entries.iter().zip(legal.entries()) {
        let function = &unit.funcs[func];
        if function.kind != MethodKind::Kernel {
            continue;
        }
        let found = u64::from(parameter_block(&function.signature.params, &abi.arguments).1);
        if found > MAX_ARGUMENT_BYTES {
            let error = EmitError::limit("bytes of kernel arguments", MAX_ARGUMENT_BYTES, found);
            return Err(error.within(function));
        }
        if found > OLD_ARGUMENT_BYTES {
            version = version.max((8, 1));
        }
    }
    Ok(version)
}

/// Functions may be called before they are defined.
fn declare_functions(out: &mut Writer, unit: &Unit, entries: &EntitySet<Func>) -> Result<(), EmitError> {
    for (func, function) in unit.funcs.iter().filter(|(_, f)| f.kind == MethodKind::Function) {
        out.head(func, function.kind, entries.contains(func), &function.signature, &[])?;
        out.push(";\n");
    }
    Ok(())
}

fn write_function(
    out: &mut Writer,
    func: Func,
    function: &Function,
    is_entry: bool,
    arguments: &[Argument],
    bounds: Option<&Bounds>,
    selector: &Selector,
) -> Result<(), EmitError> {
    out.push("\n");
    let visible = function.kind == MethodKind::Kernel || is_entry;
    out.head(func, function.kind, visible, &function.signature, arguments)?;
    out.push("\n");
    if let Some(bounds) = bounds {
        bounds.write(out);
    }
    out.push("{\n");
    for class in Class::ALL {
        let count = selector.regs.count(class);
        if count > 0 {
            out.push("\t.reg ");
            out.push(class.suffix());
            out.push(" ");
            out.push(class.prefix());
            out.push("<");
            out.unsigned(u64::from(count));
            out.push(">;\n");
        }
    }
    if selector.frame.size > 0 {
        out.push("\t.local .align ");
        out.unsigned(u64::from(selector.frame.align));
        out.push(" .b8 ");
        out.push(SLOTS);
        out.push("[");
        out.unsigned(selector.frame.size);
        out.push("];\n");
    }
    selector.debug.registers(function, &selector.regs, out);
    out.push(&selector.out.text);
    out.push("}\n");
    Ok(())
}
