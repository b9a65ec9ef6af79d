//! The functions to compile: a list of [`Task`]s that are independent of each other once the symbols are declared. Their
//! order is the unit's, whoever compiles them.

use super::debug::{Known, Notes};
use super::effort::Effort;
use super::emit::{Declared, NativeContext, Solo, module_error};
use super::export::ExportKind;
use super::select::{self, internal};
use super::{Isas, wrap};
use crate::error::EmitError;
use cranelift_codegen::ir;
use cranelift_codegen::{CodegenError, CompileError, Context};
use cranelift_module::{FuncId, Module, ModuleError, ModuleReloc};
use marquetry_ir::entity::Func;
use marquetry_ir::program::MethodKind;
use marquetry_lower::job::DebugLevel;
use marquetry_lower::legal::Legal;

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

/// One function to compile.
#[derive(Copy, Clone, Debug)]
pub(super) enum Task {
    /// A function of the unit.
    Function(Func),
    /// The wrapper of the entry of this number.
    Wrapper(usize),
    /// What hosts call in place of that entry.
    Unlimited(usize),
    /// What stands in front of the export of this number.
    Front(usize),
    /// What waits for a group of one work-item.
    Solo(usize),
}

/// All there is to compile, in the order in which it is defined.
pub(super) fn tasks(legal: &Legal, declared: &Declared) -> Vec<Task> {
    let mut tasks: Vec<Task> = legal.unit().funcs.keys().map(Task::Function).collect();
    tasks.extend((0..declared.wrappers.len()).map(Task::Wrapper));
    let unlimited = declared.unlimited.iter().enumerate().filter(|(_, known)| known.is_some());
    tasks.extend(unlimited.map(|(n, _)| Task::Unlimited(n)));
    let fronts = declared.fronts.iter().enumerate().filter(|(_, front)| front.id.is_some());
    tasks.extend(fronts.map(|(n, _)| Task::Front(n)));
    if let Some(Solo::Functions(_)) = declared.solo {
        tasks.extend([Task::Solo(0), Task::Solo(1)]);
    }
    tasks
}

/// Builds one function.
pub(super) fn build<'a>(
    task: Task,
    legal: &'a Legal,
    declared: &'a Declared,
    memory: &'a mut NativeContext,
) -> Result<Compiled<'a>, EmitError> {
    let unit = legal.unit();
    let NativeContext { cranelift, tables } = memory;
    cranelift.clear();
    let own = |func: Option<Func>| func.ok_or_else(|| internal("an entry is missing"));
    let (id, name, func, effort) = match task {
        Task::Function(func) => {
            let function = unit.funcs.get(func).ok_or_else(|| internal("a function is missing"))?;
            let (id, signature) = declared.function(func)?;
            cranelift.func.signature = signature.clone();
            tables.notes.start(legal.debug_level());
            let translated = select::translate(unit, func, declared, tables, &mut cranelift.func);
            let effort = translated.map_err(|error| match error {
                EmitError::Internal(message) => internal(format!("function '{}': {message}", function.name)),
                other => other.within(function),
            })?;
            (Some(id), &*function.name, Some(func), effort)
        }
        Task::Wrapper(n) => {
            let func = own(unit.entries.get(n).copied())?;
            match (unit.funcs[func].kind, legal.entries().get(n)) {
                (MethodKind::Function, Some(abi)) => {
                    wrap::packed(unit, func, abi, declared, &mut cranelift.func)?;
                }
                (MethodKind::Kernel, _) => {
                    wrap::kernel(unit, func, None, declared, &mut cranelift.func)?;
                }
                _ => return Err(internal("an entry is missing")),
            }
            let name = declared.wrapper_names.get(n).map_or("", String::as_str);
            (declared.wrappers.get(n).copied(), name, None, Effort::Full)
        }
        Task::Unlimited(n) => {
            let func = own(unit.entries.get(n).copied())?;
            let known = declared.unlimited.get(n).and_then(Option::as_ref);
            let (id, signature) = known.ok_or_else(|| internal("an entry was not declared"))?;
            cranelift.func.signature = signature.clone();
            wrap::unlimited(unit, func, declared, &mut cranelift.func)?;
            (Some(*id), &*unit.funcs[func].name, None, Effort::Full)
        }
        Task::Front(n) => {
            let front = declared.fronts.get(n).ok_or_else(|| internal("an export is missing"))?;
            let func = own(unit.entries.get(front.entry).copied())?;
            let abi = legal.entries().get(front.entry).ok_or_else(|| internal("an entry is missing"))?;
            match &front.kind {
                ExportKind::Function(signature) => {
                    wrap::c_function(unit, func, abi, signature, declared, &mut cranelift.func)?;
                }
                ExportKind::Packed => wrap::packed(unit, func, abi, declared, &mut cranelift.func)?,
                ExportKind::Kernel { .. } => {
                    wrap::kernel(unit, func, Some(&abi.arguments), declared, &mut cranelift.func)?;
                }
            }
            (front.id, front.symbol.as_str(), None, Effort::Full)
        }
        Task::Solo(n) => {
            let id = match declared.solo {
                Some(Solo::Functions(ids)) => ids.get(n).copied(),
                _ => None,
            };
            wrap::solo(n, declared, &mut cranelift.func);
            (id, ["solo barrier", "solo subgroup"][n % 2], None, Effort::Full)
        }
    };
    if func.is_none() {
        tables.notes.start(DebugLevel::None);
    }
    let id = id.ok_or_else(|| internal("a function was not declared"))?;
    cranelift.func.name = ir::UserFuncName::user(0, id.as_u32());
    Ok(Compiled { id, name, func, notes: &tables.notes, context: cranelift, effort })
}

/// Builds every function and hands each to `sink`, in order.
pub(super) fn each_function(
    legal: &Legal,
    declared: &Declared,
    memory: &mut NativeContext,
    sink: &mut dyn FnMut(Compiled<'_>) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    for task in tasks(legal, declared) {
        let compiled = build(task, legal, declared, memory)?;
        let function = compiled.func.and_then(|func| legal.unit().funcs.get(func));
        sink(compiled).map_err(|error| match function {
            Some(function) => error.within(function),
            None => error,
        })?;
    }
    Ok(())
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
    Ok(frame_bytes(context))
}

/// Bytes of the frame of what was compiled.
fn frame_bytes(context: &Context) -> usize {
    // From the stack pointer to the frame pointer; above that, what it and the way back take.
    let layout = context.compiled_code().and_then(|code| code.buffer.frame_layout());
    let slots = || context.func.sized_stack_slots.values().map(|slot| slot.size as usize + 16).sum::<usize>();
    layout.map_or_else(|| slots() + 4096, |layout| layout.frame_to_fp_offset as usize) + 64
}

/// A compiled function, taken out of its context.
pub(super) struct Finished {
    pub(super) id: FuncId,
    pub(super) func: Option<Func>,
    align: u64,
    bytes: Vec<u8>,
    relocs: Vec<ModuleReloc>,
    /// Of its frame, rather too many.
    pub(super) frame: usize,
    pub(super) known: Option<Known>,
}

/// Compiles what is in `context`, without a module: the same bytes as [`define`]. `known`: for debuggers, too.
pub(super) fn finish(isas: &Isas, compiled: Compiled<'_>, known: bool) -> Result<Finished, EmitError> {
    let Compiled { id, name, func, notes, context, effort } = compiled;
    let isa = isas.get(effort).unwrap_or(&*isas.full);
    context.compile(isa, &mut Default::default()).map_err(|error| compile_error(name, &error))?;
    let code = context.compiled_code().ok_or_else(|| internal("nothing was compiled"))?;
    let relocs = code.buffer.relocs().iter();
    let relocs = relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
    let known = if known { Known::read(id, func, name, notes, context, &*isas.full) } else { None };
    let (align, bytes) = (u64::from(code.buffer.alignment), code.buffer.data().to_vec());
    Ok(Finished { id, func, align, bytes, relocs, frame: frame_bytes(context), known })
}

impl Finished {
    /// Makes it part of a module.
    pub(super) fn define<M: Module>(&self, module: &mut M) -> Result<(), EmitError> {
        module.define_function_bytes(self.id, self.align, &self.bytes, &self.relocs).map_err(module_error)
    }
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
