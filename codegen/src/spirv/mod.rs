//! SPIR-V for OpenCL and for Vulkan.
//!
//! One selector ([`select`]) serves both environments. They differ in pointers ([`select_address`], [`select_memory`]: real ones in OpenCL,
//! addresses and [objects](pointers) in Vulkan), in control flow ([`select_control`]: any in OpenCL,
//! [`select_structured`]: [structured](structure) in Vulkan) and in how arguments arrive ([`abi`]). The target is given as
//! `spirv:vulkan1.3` (1.2 to 1.4) or `spirv:opencl2.2` (2.0 to 3.0); `spirv` alone is `spirv:vulkan1.3`.
//!
//! Division and square roots of `f32` are correctly rounded in OpenCL only for programs built with
//! `-cl-fp32-correctly-rounded-divide-sqrt`, which hosts pass.

mod abi;
mod caps;
mod check;
mod data;
mod debug;
mod intrinsics;
mod legality;
mod module;
mod pointers;
mod refuse;
mod select;
mod select_address;
mod select_atomic;
mod select_control;
mod select_float;
mod select_memory;
mod select_object;
mod select_scalar;
mod select_structured;
pub(crate) mod structure;
#[cfg(test)]
mod tests;
mod types;

pub use abi::PUSH_CONSTANT_BYTES;
pub use check::{check, disassemble};
pub use data::specialise;

use crate::artifact::{Artifact, Format, Relocation};
use crate::error::{EmitError, check_addresses, check_data, check_deferred};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::limits::MAX_DEVICE_DATA_BYTES;
use marquetry_lower::legal::Legal;
use marquetry_lower::target::Caps;
use module::Module;
use rustc_hash::FxHashMap;
use select::{Scratch, State};
use std::collections::BTreeMap;
use std::fmt;

/// Who runs the modules.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Api {
    /// Compute shaders with buffer addresses and the Vulkan memory model.
    Vulkan,
    /// Kernels with 64-bit pointers.
    OpenCl,
}

/// An interface and its version.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Environment {
    /// Which interface.
    pub api: Api,
    /// Its major version.
    pub major: u32,
    /// Its minor version; for OpenCL 3, that of the 2.x whose SPIR-V it takes.
    pub minor: u32,
}

/// A SPIR-V target.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SpirvTarget {
    env: Environment,
    caps: Caps,
}

/// The versions that can be asked for.
const VERSIONS: [(&str, Api, u32, u32); 7] = [
    ("vulkan1.2", Api::Vulkan, 1, 2),
    ("vulkan1.3", Api::Vulkan, 1, 3),
    ("vulkan1.4", Api::Vulkan, 1, 4),
    ("opencl2.0", Api::OpenCl, 2, 0),
    ("opencl2.1", Api::OpenCl, 2, 1),
    ("opencl2.2", Api::OpenCl, 2, 2),
    ("opencl3.0", Api::OpenCl, 3, 2),
];

impl SpirvTarget {
    /// Vulkan 1.3.
    pub fn vulkan() -> Self {
        Self::of(Api::Vulkan, 1, 3)
    }

    /// OpenCL 2.2.
    pub fn opencl() -> Self {
        Self::of(Api::OpenCl, 2, 2)
    }

    fn of(api: Api, major: u32, minor: u32) -> Self {
        SpirvTarget { env: Environment { api, major, minor }, caps: legality::caps(api) }
    }

    /// Who runs the modules.
    pub fn environment(&self) -> Environment {
        self.env
    }
}

impl SpirvTarget {
    /// Reads a target as the command line spells it.
    ///
    /// # Errors
    /// No such target: what was found, and what there is.
    pub fn parse(text: &str) -> Result<Self, EmitError> {
        let version = match text.strip_prefix("spirv") {
            Some("" | ":vulkan") => Some("vulkan1.3"),
            Some(":opencl") => Some("opencl2.1"),
            Some(rest) => rest.strip_prefix(':'),
            None => None,
        };
        let known = VERSIONS.iter().find(|row| Some(row.0) == version);
        known.map(|&(_, api, major, minor)| Self::of(api, major, minor)).ok_or_else(|| {
            let names: Vec<&str> = VERSIONS.iter().map(|row| row.0).collect();
            EmitError::Target(format!(
                "unknown target '{text}', expected 'spirv:' and one of {}",
                names.join(", ")
            ))
        })
    }
}

impl fmt::Display for SpirvTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Environment { api, major, minor } = self.env;
        let named = VERSIONS.iter().find(|row| (row.1, row.2, row.3) == (api, major, minor));
        write!(f, "spirv:{}", named.map_or("?", |row| row.0))
    }
}

/// The largest bound of ids (SPIR-V 2.17, "Universal Limits").
const MAX_BOUND: u32 = 0x3f_ffff;

fn internal(message: &str) -> EmitError {
    EmitError::Internal(format!("SPIR-V: {message}"))
}

/// The memory of an emission, for the next one to use again.
///
/// Emission takes some dozens of tables; a host that compiles many kernels keeps one of these per thread.
#[derive(Debug)]
pub struct SpirvContext {
    module: Module,
    scratch: Scratch,
    cfgs: Vec<ControlFlow>,
}

impl Default for SpirvContext {
    fn default() -> Self {
        Self::new()
    }
}

impl SpirvContext {
    /// Nothing emitted yet.
    pub fn new() -> Self {
        let module = Module::new(SpirvTarget::vulkan().env);
        SpirvContext { module, scratch: Scratch::default(), cfgs: Vec::new() }
    }
}

/// Emits a unit that is legal for the target, as words.
///
/// # Errors
/// What the environment cannot express, or a unit that is not legal for it.
pub fn emit_words(
    legal: &Legal,
    target: &SpirvTarget,
    context: &mut SpirvContext,
) -> Result<Vec<u32>, EmitError> {
    Ok(emit_parts(legal, target, context)?.0)
}

/// The words of the module, and the words that it leaves to the host.
fn emit_parts(
    legal: &Legal,
    target: &SpirvTarget,
    context: &mut SpirvContext,
) -> Result<(Vec<u32>, Vec<Relocation>), EmitError> {
    let unit = legal.unit();
    check_data(unit, 0, MAX_DEVICE_DATA_BYTES)?;
    check_deferred(legal)?;
    check_addresses(unit, "SPIR-V")?;
    let SpirvContext { module, scratch, cfgs } = context;
    if cfgs.len() < unit.funcs.len() {
        cfgs.resize_with(unit.funcs.len(), ControlFlow::new);
    }
    for (function, cfg) in unit.funcs.values().zip(&mut *cfgs) {
        cfg.compute(&function.body);
    }
    let cfgs = cfgs.get(..unit.funcs.len()).unwrap_or(&[]);
    module.restart(target.env);
    let functions = unit.funcs.iter().map(|_| module.id()).collect();
    let objects = match target.env.api {
        Api::Vulkan => pointers::Objects::new(unit, cfgs),
        Api::OpenCl => pointers::Objects::default(),
    };
    refuse::check(unit, cfgs, &objects, target)?;
    let mut state = State {
        module,
        scratch,
        unit,
        functions,
        globals: FxHashMap::default(),
        builtins: BTreeMap::new(),
        group_size: None,
        objects,
        relocations: Vec::new(),
        debug: debug::Debug::new(unit, legal.debug_level()),
        uses: vec![Default::default(); unit.funcs.len()],
    };
    for (func, cfg) in unit.funcs.keys().zip(cfgs) {
        abi::function(&mut state, func, cfg).map_err(|error| error.within(&unit.funcs[func]))?;
    }
    abi::entry_points(&mut state)?;
    let relocations = std::mem::take(&mut state.relocations);
    let words = state.module.finish();
    match words.get(3) {
        Some(&bound) if bound > MAX_BOUND => {
            Err(EmitError::limit("SPIR-V ids", u64::from(MAX_BOUND), u64::from(bound)))
        }
        _ => Ok((words, relocations)),
    }
}

/// Emits a unit that is legal for the target.
///
/// # Errors
/// As [`emit_words`].
pub fn emit(legal: &Legal, target: &SpirvTarget) -> Result<Artifact, EmitError> {
    emit_with(legal, target, &mut SpirvContext::new())
}

/// As [`emit`], in the memory of earlier emissions.
///
/// # Errors
/// As [`emit_words`].
pub fn emit_with(
    legal: &Legal,
    target: &SpirvTarget,
    context: &mut SpirvContext,
) -> Result<Artifact, EmitError> {
    let (words, relocations) = emit_parts(legal, target, context)?;
    let mut code = vec![0; words.len() * 4];
    for (bytes, word) in code.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
        *bytes = word.to_le_bytes();
    }
    Ok(Artifact { relocations, ..Artifact::new(target.to_string(), Format::Spirv, code, legal) })
}
