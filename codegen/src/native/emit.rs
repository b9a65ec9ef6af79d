//! What objects and code in memory share: declaring a unit's symbols, in a module of either kind.

use super::abi::Convention;
use super::export::{Export, ExportKind};
use super::reach::Reach;
use super::select::internal;
use super::stack::{self, Frames};
use super::tables::{Callee, Tables};
use super::{Arch, NativeTarget};
use crate::artifact::{Relocation, Scheduling};
use crate::error::EmitError;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{self, ExtFuncData, ExternalName, Signature, UserExternalName};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_entity::SecondaryMap;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use marquetry_ir::entity::{Extern, Func, Global};
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::{Scalar, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::exceptions::places::{Locator, ThrowPlace};
use marquetry_lower::job::EntryConvention;
use marquetry_lower::legal::{EntryAbi, Legal};
use std::sync::Arc;

/// Memory that is reused from one emission to the next.
pub struct NativeContext {
    pub(super) cranelift: Context,
    pub(super) tables: Tables,
}

impl NativeContext {
    /// Fresh memory.
    pub fn new() -> Self {
        NativeContext { cranelift: Context::new(), tables: Tables::default() }
    }
}

impl Default for NativeContext {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for NativeContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeContext").finish_non_exhaustive()
    }
}

/// Where a global is.
#[derive(Copy, Clone, Debug)]
pub(super) enum Place {
    /// In this data object.
    Data(u32),
    /// At this offset in the shared memory of a group.
    Shared(u64),
}

/// How the symbols of a unit are spelled: one policy for objects, others for code in memory. What is defined has no names
/// unless the policy gives it one; what is imported always has.
pub(super) trait Spelling {
    /// The name of a function of the unit; none for functions without name. `entry`: hosts see it.
    fn function(&mut self, _: &Unit, _: Func, _entry: bool) -> Result<Option<String>, EmitError> {
        Ok(None)
    }
    /// The name of an entry that hosts know another function by: see [`wrap`](super::wrap).
    fn inner(&mut self, _: &Unit, _: Func, _what: &str) -> Result<Option<String>, EmitError> {
        Ok(None)
    }
    /// The name of the wrapper of an entry.
    fn wrapper(&mut self, _: &Unit, _: Func) -> Result<Option<String>, EmitError> {
        Ok(None)
    }
    /// The name of a global.
    fn global(&mut self, _: &Unit, _: Global) -> Result<Option<String>, EmitError> {
        Ok(None)
    }
    /// The name of a global that a loader finds.
    fn visible(&mut self, unit: &Unit, global: Global) -> Result<String, EmitError>;
    /// The name of a function of the host.
    fn import(&mut self, unit: &Unit, id: Extern) -> Result<String, EmitError>;
    /// The name of a function of the C library.
    fn library(&mut self, name: &'static str) -> String;
    /// The address of a function of the host, where that is known and code calls it.
    fn address(&self, _: &Unit, _: Extern) -> Option<u64> {
        None
    }
    /// What is seen from outside, where that is not every entry with its wrapper.
    fn exports(&self) -> Option<&[Export]> {
        None
    }
}

/// How code gets at a function of the host.
#[derive(Copy, Clone, Debug)]
enum Reached {
    Symbol(u32),
    Address(u64),
}

/// What waits for a group of one work-item: its barrier and its sub-group operations.
#[derive(Copy, Clone, Debug)]
pub(super) enum Solo {
    /// At these addresses.
    Addresses([u64; 2]),
    /// Functions of the object.
    Functions([FuncId; 2]),
}

/// What stands in front of an entry that is exported, if anything has to.
#[derive(Clone, Debug)]
pub(super) struct Front {
    pub(super) entry: usize,
    pub(super) symbol: String,
    /// Else it is the function itself that is seen under the symbol.
    pub(super) id: Option<FuncId>,
    pub(super) kind: ExportKind,
}

/// The symbols of a unit, declared in a module.
pub(super) struct Declared {
    pub(super) convention: Convention,
    pub(super) arch: Arch,
    /// Whether calls of others name them, as if they were near, and linkers put what leads there in between.
    pub(super) through_linker: bool,
    pub(super) reach: Reach,
    funcs: SecondaryMap<Func, Option<(u32, Signature)>>,
    externs: SecondaryMap<Extern, Option<(Reached, Signature)>>,
    pub(super) places: SecondaryMap<Global, Option<Place>>,
    library: [Option<(u32, Signature)>; 3],
    /// One per entry of the unit.
    pub(super) wrappers: Vec<FuncId>,
    /// What they are called in messages and listings.
    pub(super) wrapper_names: Vec<String>,
    /// One per entry of the unit: what hosts call in its place, if it has the stack as a hidden parameter.
    pub(super) unlimited: Vec<Option<(FuncId, Signature)>>,
    /// The record of a stack without limit, if there are wrappers that pass it.
    pub(super) no_limit: Option<u32>,
    /// The functions that check the stack, by number, and the number of each.
    checked: Arc<[ThrowPlace]>,
    check_numbers: SecondaryMap<Func, u32>,
    pub(super) solo: Option<Solo>,
    pub(super) shared_bytes: u64,
    /// The words that are left to a linker or a loader.
    pub(super) relocations: Vec<Relocation>,
    /// One per export.
    pub(super) fronts: Vec<Front>,
}

impl Declared {
    pub(super) fn declare<M: Module>(
        module: &mut M,
        legal: &Legal,
        arch: Arch,
        solo: Option<Solo>,
        spelling: &mut dyn Spelling,
    ) -> Result<Declared, EmitError> {
        let unit = legal.unit();
        let convention = Convention::new(module.isa(), arch);
        let reach = Reach::compute(unit);
        let mut is_entry: SecondaryMap<Func, bool> = SecondaryMap::new();
        unit.entries.iter().for_each(|&func| is_entry[func] = true);
        let packed = |abi: &EntryAbi, func: Func| {
            abi.convention == EntryConvention::Packed && unit.funcs[func].kind == MethodKind::Function
        };
        // With exports, nothing but what stands in front of them is special about entries.
        let exports = spelling.exports().map(<[Export]>::to_vec);
        let wrapped: &[Func] = if exports.is_none() { &unit.entries } else { &[] };
        let mut is_packed: SecondaryMap<Func, bool> = SecondaryMap::new();
        for (&func, abi) in wrapped.iter().zip(legal.entries()) {
            is_packed[func] = packed(abi, func);
        }

        let (mut checked, mut check_numbers) = (Vec::new(), SecondaryMap::new());
        let mut locator = Locator::new(&unit.files);
        let mut funcs = SecondaryMap::new();
        for (func, function) in unit.funcs.iter() {
            let facts = reach.facts(func);
            let entry = is_entry[func] && exports.is_none();
            let inner = entry && (facts.stack || is_packed[func]);
            let platform = is_entry[func] && !is_packed[func] || facts.address;
            let signature = convention.signature(&function.signature, facts.hidden(), platform)?;
            let exported = entry && !inner;
            let name = match inner {
                true => spelling.inner(unit, func, if is_packed[func] { "typed" } else { "limited" })?,
                false => spelling.function(unit, func, exported)?,
            };
            let id = match name {
                Some(name) => {
                    let linkage = if exported { Linkage::Export } else { Linkage::Local };
                    module.declare_function(&name, linkage, &signature)
                }
                None => module.declare_anonymous_function(&signature),
            };
            funcs[func] = Some((id.map_err(module_error)?.as_u32(), signature));
            if facts.checks {
                check_numbers[func] = checked.len() as u32;
                checked.push(stack::place(function, &mut locator));
            }
        }
        let mut externs = SecondaryMap::new();
        for (id, data) in unit.externs.iter() {
            // Windows passes them by address, and gives them in a vector register.
            let is_wide = |ty: &Type| ty.as_scalar() == Some(Scalar::I128);
            let all = data.signature.params.iter().chain(&data.signature.results);
            if convention.call_conv == CallConv::WindowsFastcall && all.into_iter().any(is_wide) {
                let name = &data.name;
                let message =
                    format!("'{name}' takes or returns an i128, which C on Windows does not pass by value");
                return Err(EmitError::Unsupported(message));
            }
            let signature = convention.signature(&data.signature, 0, true)?;
            if let Some(address) = spelling.address(unit, id) {
                externs[id] = Some((Reached::Address(address), signature));
                continue;
            }
            let name = spelling.import(unit, id)?;
            // Several declarations may share a link name; each call keeps its own idea of the signature.
            let known = match module.get_name(&name) {
                Some(cranelift_module::FuncOrDataId::Func(known)) => Ok(known),
                _ => module.declare_function(&name, Linkage::Import, &signature),
            };
            externs[id] = Some((Reached::Symbol(known.map_err(module_error)?.as_u32()), signature));
        }
        let used = [
            (reach.uses_copy, "memmove", convention.registers(3, 1)),
            (reach.uses_set, "memset", convention.registers(3, 1)),
            (reach.uses_clock, "clock", convention.registers(0, 1)),
        ];
        let mut library = [const { None }; 3];
        for (slot, (used, name, signature)) in library.iter_mut().zip(used) {
            if used {
                let name = spelling.library(name);
                let known = match module.get_name(&name) {
                    Some(cranelift_module::FuncOrDataId::Func(known)) => Ok(known),
                    _ => module.declare_function(&name, Linkage::Import, &signature),
                };
                *slot = Some((known.map_err(module_error)?.as_u32(), signature));
            }
        }
        let mut wrappers = Vec::with_capacity(wrapped.len());
        let mut wrapper_names = Vec::with_capacity(wrapped.len());
        let mut unlimited = Vec::with_capacity(wrapped.len());
        for &func in wrapped {
            let facts = reach.facts(func);
            unlimited.push(if facts.stack && !is_packed[func] {
                let hidden = usize::from(facts.context);
                let signature = convention.signature(&unit.funcs[func].signature, hidden, true)?;
                let id = match spelling.function(unit, func, true)? {
                    Some(name) => module.declare_function(&name, Linkage::Export, &signature),
                    None => module.declare_anonymous_function(&signature),
                };
                Some((id.map_err(module_error)?, signature))
            } else {
                None
            });
            let signature = match unit.funcs[func].kind {
                MethodKind::Function => convention.packed(),
                MethodKind::Kernel => convention.kernel(),
            };
            let name = match is_packed[func] {
                true => spelling.function(unit, func, true)?,
                false => spelling.wrapper(unit, func)?,
            };
            let id = match name {
                Some(ref name) => module.declare_function(name, Linkage::Export, &signature),
                None => module.declare_anonymous_function(&signature),
            };
            wrappers.push(id.map_err(module_error)?);
            wrapper_names.push(name.unwrap_or_else(|| match is_packed[func] {
                true => unit.funcs[func].name.to_string(),
                false => wrapper_name(unit, func),
            }));
        }
        let asks =
            |&&func: &&Func| unit.funcs[func].kind == MethodKind::Function && reach.facts(func).context;
        let solo = match solo {
            None if unit.entries.iter().find(asks).is_some() => {
                let mut declare = |params, results| {
                    let signature = convention.registers(params, results);
                    module.declare_anonymous_function(&signature).map_err(module_error)
                };
                Some(Solo::Functions([declare(2, 0)?, declare(5, 1)?]))
            }
            known => known,
        };
        let mut declared = Declared {
            convention,
            arch,
            through_linker: through_linker(arch, module.isa()),
            reach,
            funcs,
            externs,
            places: SecondaryMap::new(),
            library,
            wrappers,
            wrapper_names,
            no_limit: None,
            checked: checked.into(),
            check_numbers,
            solo,
            shared_bytes: 0,
            relocations: Vec::new(),
            fronts: Vec::new(),
            unlimited,
        };
        for export in exports.iter().flatten() {
            let front = declared.front(module, legal, export)?;
            declared.fronts.push(front);
        }
        if unit.entries.iter().any(|&func| declared.reach.facts(func).stack) {
            let id = module.declare_anonymous_data(false, false).map_err(module_error)?;
            let mut zeros = DataDescription::new();
            zeros.set_align(8);
            zeros.define(vec![0; stack::offset::LIMIT_BYTES].into());
            module.define_data(id, &zeros).map_err(module_error)?;
            declared.no_limit = Some(id.as_u32());
        }
        declared.globals(module, legal, spelling)?;
        Ok(declared)
    }

    /// Declares what stands in front of an exported entry.
    fn front<M: Module>(&self, module: &mut M, legal: &Legal, export: &Export) -> Result<Front, EmitError> {
        let missing = || internal("an export is no entry");
        let entry = export.entry;
        let func = *legal.unit().entries.get(entry).ok_or_else(missing)?;
        let facts = self.reach.facts(func);
        let kind = ExportKind::of(legal, export, facts.waits).ok_or_else(missing)?;
        let signature = match &kind {
            ExportKind::Function(signature) if signature.is_direct() && facts.hidden() == 0 => None,
            ExportKind::Function(signature) => {
                let types = &legal.unit().types;
                Some(self.convention.seen_from_c(types, signature)?)
            }
            ExportKind::Packed => Some(self.convention.packed()),
            ExportKind::Kernel { .. } => Some(self.convention.kernel()),
        };
        let symbol = export.symbol.to_string();
        let declare = |signature| module.declare_anonymous_function(&signature).map_err(module_error);
        let id = signature.map(declare).transpose()?;
        Ok(Front { entry, symbol, id, kind })
    }

    pub(super) fn place(&self, global: Global) -> Result<Place, EmitError> {
        self.places[global].ok_or_else(|| internal("a global is missing"))
    }

    pub(super) fn function(&self, func: Func) -> Result<(FuncId, &Signature), EmitError> {
        let known = self.funcs[func].as_ref().ok_or_else(|| internal("a function is missing"))?;
        Ok((FuncId::from_u32(known.0), &known.1))
    }

    /// What running the code takes.
    pub(super) fn scheduling(&self, unit: &Unit, frames: &Frames) -> Result<Scheduling, EmitError> {
        let waits = unit.entries.iter().map(|&func| self.reach.facts(func).waits).collect();
        let stack = stack::needs(unit, &self.reach, frames)?;
        Ok(Scheduling { waits, stack, checked: self.checked.clone() })
    }

    /// The number of a function that checks the stack.
    pub(super) fn check_number(&self, func: Func) -> Option<u32> {
        self.reach.facts(func).checks.then(|| self.check_numbers[func])
    }

    /// Makes a function callable from another.
    pub(super) fn import(&self, out: &mut ir::Function, callee: Callee) -> Result<ir::FuncRef, EmitError> {
        let known = |known: &'_ Option<(u32, Signature)>| known.clone();
        let (known, colocated) = match callee {
            Callee::Func(func) => (known(&self.funcs[func]), true),
            Callee::Extern(id) => match &self.externs[id] {
                Some((Reached::Symbol(id), signature)) => {
                    (Some((*id, signature.clone())), self.through_linker)
                }
                _ => (None, false),
            },
            Callee::Copy => (known(&self.library[0]), self.through_linker),
            Callee::Set => (known(&self.library[1]), self.through_linker),
            Callee::Clock => (known(&self.library[2]), self.through_linker),
        };
        let (id, signature) = known.ok_or_else(|| internal("a callee is missing"))?;
        Ok(import_function(out, id, signature, colocated))
    }

    /// The address of a function of the host, if that is how code gets at it.
    pub(super) fn address(&self, id: Extern) -> Option<(u64, &Signature)> {
        match &self.externs[id] {
            Some((Reached::Address(address), signature)) => Some((*address, signature)),
            _ => None,
        }
    }
}

/// Whether position-independent code of an architecture calls through what linkers make, as code of the static model does in
/// objects everywhere. Elsewhere it takes the address from the global offset table; on s390x Cranelift has an absolute address among the code for functions that may be far, which
/// would have to be written where only reading is allowed (ELF ABI s390x supplement, "Procedure Linkage Table").
pub(super) fn through_linker(arch: Arch, isa: &dyn TargetIsa) -> bool {
    arch == Arch::S390x && isa.flags().is_pic()
}

/// Makes a function callable from another.
pub(super) fn import_function(
    out: &mut ir::Function,
    id: u32,
    signature: Signature,
    colocated: bool,
) -> ir::FuncRef {
    let signature = out.import_signature(signature);
    let name = out.declare_imported_user_function(UserExternalName { namespace: 0, index: id });
    out.import_function(ExtFuncData {
        name: ExternalName::user(name),
        signature,
        colocated,
        patchable: false,
    })
}

/// Makes a data object visible to a function.
pub(super) fn import_data(out: &mut ir::Function, data: u32) -> ir::GlobalValue {
    let name = UserExternalName { namespace: 1, index: DataId::from_u32(data).as_u32() };
    let name = out.declare_imported_user_function(name);
    out.create_global_value(ir::GlobalValueData::Symbol {
        name: ExternalName::user(name),
        offset: 0.into(),
        colocated: true,
        tls: false,
    })
}

/// The usual symbol of an entry's wrapper. All linkers and C compilers take a `$`; only quoted names of the language
/// have one.
pub(super) fn wrapper_name(unit: &Unit, func: Func) -> String {
    let function = &unit.funcs[func];
    let suffix = match function.kind {
        MethodKind::Function => "packed",
        MethodKind::Kernel => "items",
    };
    format!("{}${suffix}", function.name)
}

pub(super) fn module_error(error: ModuleError) -> EmitError {
    internal(error.to_string())
}

/// Declares and emits a unit into a module.
pub(super) fn target_isa(target: &NativeTarget, jit: bool) -> Result<&dyn TargetIsa, EmitError> {
    match (jit, &target.jit_isas) {
        (false, _) => Ok(&*target.object_isas.full),
        (true, Some(isas)) => Ok(&*isas.full),
        (true, None) => Err(EmitError::Target(format!("target '{}' is not this machine", target.name))),
    }
}
