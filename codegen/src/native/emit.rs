//! What objects and code in memory share: declaring a unit's symbols, translating and compiling its functions.

use super::abi::Convention;
use super::debug::{Known, Notes};
use super::effort::Effort;
use super::reach::Reach;
use super::select::{self, Callee, Tables, internal};
use super::stack::{self, Frames};
use super::wrap;
use super::{Arch, Isas, NativeTarget};
use crate::artifact::{Relocation, Scheduling};
use crate::error::EmitError;
use cranelift_codegen::ir::{self, ExtFuncData, ExternalName, Signature, UserExternalName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CodegenError, CompileError, Context};
use cranelift_entity::SecondaryMap;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError, ModuleReloc};
use marquetry_ir::entity::{Extern, Func, Global};
use marquetry_ir::program::MethodKind;
use marquetry_ir::unit::Unit;
use marquetry_lower::exceptions::places::{Locator, ThrowPlace};
use marquetry_lower::job::{DebugLevel, EntryConvention};
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

/// How the symbols of a unit are spelled: one policy for objects, one for code in memory.
pub(super) trait Spelling {
    /// The name of a function of the unit; none for functions without name. `entry`: hosts see it.
    fn function(&mut self, unit: &Unit, func: Func, entry: bool) -> Result<Option<String>, EmitError>;
    /// The name of an entry that hosts know another function by: see [`wrap`](super::wrap).
    fn inner(&mut self, unit: &Unit, func: Func, what: &str) -> Result<Option<String>, EmitError>;
    /// The name of the wrapper of an entry.
    fn wrapper(&mut self, unit: &Unit, func: Func) -> Result<Option<String>, EmitError>;
    /// The name of a global that a loader finds.
    fn visible(&mut self, unit: &Unit, global: Global) -> Result<String, EmitError>;
    /// The name of a global.
    fn global(&mut self, unit: &Unit, global: Global) -> Result<Option<String>, EmitError>;
    /// The name of a function of the host.
    fn import(&mut self, unit: &Unit, id: Extern) -> Result<String, EmitError>;
    /// The name of a function of the C library.
    fn library(&mut self, name: &'static str) -> String;
}

/// The symbols of a unit, declared in a module.
pub(super) struct Declared {
    pub(super) convention: Convention,
    pub(super) arch: Arch,
    pub(super) reach: Reach,
    funcs: SecondaryMap<Func, Option<(u32, Signature)>>,
    externs: SecondaryMap<Extern, Option<(u32, Signature)>>,
    pub(super) places: SecondaryMap<Global, Option<Place>>,
    library: [Option<(u32, Signature)>; 3],
    /// One per entry of the unit.
    pub(super) wrappers: Vec<FuncId>,
    /// What they are called in messages and listings.
    wrapper_names: Vec<String>,
    /// One per entry of the unit: what hosts call in its place, if it has the stack as a hidden parameter.
    pub(super) unlimited: Vec<Option<(FuncId, Signature)>>,
    /// The record of a stack without limit, if there are wrappers that pass it.
    pub(super) no_limit: Option<u32>,
    /// The functions that check the stack, by number, and the number of each.
    checked: Arc<[ThrowPlace]>,
    check_numbers: SecondaryMap<Func, u32>,
    /// What waits for a group of one work-item: the addresses of its barrier and of its sub-group operations.
    pub(super) solo: Option<(u64, u64)>,
    pub(super) shared_bytes: u64,
    /// The words that are left to a linker or a loader.
    pub(super) relocations: Vec<Relocation>,
}

impl Declared {
    pub(super) fn declare<M: Module>(
        module: &mut M,
        legal: &Legal,
        arch: Arch,
        solo: Option<(u64, u64)>,
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
        let mut is_packed: SecondaryMap<Func, bool> = SecondaryMap::new();
        for (&func, abi) in unit.entries.iter().zip(legal.entries()) {
            is_packed[func] = packed(abi, func);
        }

        let (mut checked, mut check_numbers) = (Vec::new(), SecondaryMap::new());
        let mut locator = Locator::new(&unit.files);
        let mut funcs = SecondaryMap::new();
        for (func, function) in unit.funcs.iter() {
            let facts = reach.facts(func);
            let inner = is_entry[func] && (facts.stack || is_packed[func]);
            let platform = is_entry[func] && !is_packed[func] || facts.address;
            let signature = convention.signature(&function.signature, facts.hidden(), platform)?;
            let exported = is_entry[func] && !inner;
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
            let signature = convention.signature(&data.signature, 0, true)?;
            let name = spelling.import(unit, id)?;
            // Several declarations may share a link name; each call keeps its own idea of the signature.
            let known = match module.get_name(&name) {
                Some(cranelift_module::FuncOrDataId::Func(known)) => Ok(known),
                _ => module.declare_function(&name, Linkage::Import, &signature),
            };
            externs[id] = Some((known.map_err(module_error)?.as_u32(), signature));
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
        let mut wrappers = Vec::with_capacity(unit.entries.len());
        let mut wrapper_names = Vec::with_capacity(unit.entries.len());
        let mut unlimited = Vec::with_capacity(unit.entries.len());
        for &func in &unit.entries {
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
        let mut declared = Declared {
            convention,
            arch,
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
            unlimited,
        };
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
        let (known, colocated) = match callee {
            Callee::Func(func) => (&self.funcs[func], true),
            Callee::Extern(id) => (&self.externs[id], false),
            Callee::Copy => (&self.library[0], false),
            Callee::Set => (&self.library[1], false),
            Callee::Clock => (&self.library[2], false),
        };
        let (id, signature) = known.as_ref().ok_or_else(|| internal("a callee is missing"))?;
        let signature = out.import_signature(signature.clone());
        let name = out.declare_imported_user_function(UserExternalName { namespace: 0, index: *id });
        let data = ExtFuncData { name: ExternalName::user(name), signature, colocated, patchable: false };
        Ok(out.import_function(data))
    }
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

/// A compiled function, before its context is used for the next.
pub(super) struct Compiled<'a> {
    pub(super) id: FuncId,
    pub(super) name: &'a str,
    /// The function of the unit; none for what stands around entries.
    pub(super) func: Option<Func>,
    pub(super) notes: &'a Notes,
    pub(super) context: &'a mut Context,
    /// How much work it is worth.
    pub(super) effort: Effort,
}

/// Builds every function and every wrapper and hands each to `sink`, in the order of the unit.
pub(super) fn each_function(
    legal: &Legal,
    declared: &Declared,
    memory: &mut NativeContext,
    sink: &mut dyn FnMut(Compiled<'_>) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    let unit = legal.unit();
    let NativeContext { cranelift, tables } = memory;
    for (func, function) in unit.funcs.iter() {
        let (id, signature) = declared.function(func)?;
        cranelift.clear();
        cranelift.func.signature = signature.clone();
        cranelift.func.name = ir::UserFuncName::user(0, id.as_u32());
        tables.notes.start(legal.debug_level());
        let translated = select::translate(unit, func, declared, tables, &mut cranelift.func);
        let effort = translated.map_err(|error| match error {
            EmitError::Internal(message) => internal(format!("function '{}': {message}", function.name)),
            other => other.within(function),
        })?;
        let (name, notes) = (&*function.name, &tables.notes);
        let compiled = Compiled { id, name, func: Some(func), notes, context: cranelift, effort };
        sink(compiled).map_err(|error| error.within(function))?;
    }
    let wrappers = declared.wrappers.iter().zip(&declared.wrapper_names);
    let entries = unit.entries.iter().zip(legal.entries()).zip(wrappers);
    tables.notes.start(DebugLevel::None);
    for ((&func, abi), (&id, name)) in entries {
        cranelift.clear();
        cranelift.func.name = ir::UserFuncName::user(0, id.as_u32());
        match unit.funcs[func].kind {
            MethodKind::Function => wrap::packed(unit, func, abi, declared, &mut cranelift.func)?,
            MethodKind::Kernel => wrap::kernel(unit, func, declared, &mut cranelift.func)?,
        }
        sink(Compiled {
            id,
            name,
            func: None,
            notes: &tables.notes,
            context: cranelift,
            effort: Effort::Full,
        })?;
    }
    for (&func, unlimited) in unit.entries.iter().zip(&declared.unlimited) {
        let Some((id, signature)) = unlimited else { continue };
        cranelift.clear();
        cranelift.func.name = ir::UserFuncName::user(0, id.as_u32());
        cranelift.func.signature = signature.clone();
        wrap::unlimited(func, declared, &mut cranelift.func)?;
        sink(Compiled {
            id: *id,
            name: &unit.funcs[func].name,
            func: None,
            notes: &tables.notes,
            context: cranelift,
            effort: Effort::Full,
        })?;
    }
    Ok(())
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

/// Compiles what is in `context`. Gives the bytes of the function's frame, rather too many. Debuggers get to know the
/// function where `known` is a list.
pub(super) fn define<M: Module>(
    module: &mut M,
    isas: &Isas,
    compiled: Compiled<'_>,
    known: Option<&mut Vec<Known>>,
) -> Result<usize, EmitError> {
    let Compiled { id, name, func, notes, context, effort } = compiled;
    match isas.get(effort) {
        None => module.define_function(id, context).map_err(|error| match error {
            ModuleError::Compilation(error) => codegen_error(name, context, &error),
            other => module_error(other),
        })?,
        // A module has one set of settings: what is compiled with others is handed over as bytes.
        Some(isa) => {
            let compiled = context.compile(isa, &mut Default::default());
            compiled.map_err(|error| compile_error(name, &error))?;
            let code = context.compiled_code().ok_or_else(|| internal("nothing was compiled"))?;
            let buffer = &code.buffer;
            let relocs = buffer.relocs().iter();
            let relocs: Vec<_> =
                relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
            let defined =
                module.define_function_bytes(id, u64::from(buffer.alignment), buffer.data(), &relocs);
            defined.map_err(module_error)?;
        }
    }
    if let Some(known) = known {
        known.extend(Known::read(id, func, name, notes, context, module.isa()));
    }
    // From the stack pointer to the frame pointer; above that, what it and the way back take.
    let layout = context.compiled_code().and_then(|code| code.buffer.frame_layout());
    let slots = || context.func.sized_stack_slots.values().map(|slot| slot.size as usize + 16).sum::<usize>();
    Ok(layout.map_or_else(|| slots() + 4096, |layout| layout.frame_to_fp_offset as usize) + 64)
}

pub(super) fn compile_error(name: &str, error: &CompileError<'_>) -> EmitError {
    let mut context = Context::new();
    context.func.clone_from(error.func);
    codegen_error(name, &context, &error.inner)
}

fn codegen_error(name: &str, context: &Context, error: &CodegenError) -> EmitError {
    match error {
        CodegenError::Verifier(errors) => {
            let text =
                cranelift_codegen::print_errors::pretty_verifier_error(&context.func, None, errors.clone());
            internal(format!("function '{name}' is not valid for Cranelift:\n{text}"))
        }
        CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded => {
            EmitError::limit("blocks, values or bytes of code in one function", 1 << 24, 1 << 24)
        }
        other => internal(format!("function '{name}': {other}")),
    }
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
