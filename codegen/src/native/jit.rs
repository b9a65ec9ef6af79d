//! Code in this process's memory.
//!
//! Code and data of one unit lie in one reservation of address space, so that everything is within reach of relative
//! addressing; it is freed when the [`JitCode`] is dropped. Functions of the host and of the C library are addresses
//! that are known before: nothing is looked up in the process.
#![allow(unsafe_code)] // runs the code that it made, and frees it

use super::context;
use super::data;
use super::emit::{Declared, NativeContext, Solo, Spelling, module_error};
use super::stack::{Frames, StackLimit, StackNeeds};
use super::{CodeMap, KernelFn, NativeKernel, NativeTarget, fence, task};
use crate::artifact::{Entry, Scheduling, argument_block, entries};
use crate::error::{EmitError, check_deferred, check_words};
use cranelift_codegen::ir::LibCall;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Extern, Global};
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_lower::exceptions::places::{self, ThrowPlace};
use marquetry_lower::job::{DebugLevel, EntryConvention};
use marquetry_lower::legal::Legal;
use std::any::Any;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Calls a function: arguments, results; gives the status.
type PackedFn = unsafe extern "C" fn(args: *const u8, results: *mut u8, stack: *const StackLimit) -> u32;

/// What can be called in a [`JitCode`].
#[derive(Clone, Debug)]
pub struct JitEntry {
    /// Name, signature and the way it reports exceptions.
    pub entry: Entry,
    /// Bytes of its arguments, laid out by [`argument_block`].
    pub argument_bytes: u32,
    /// Types of its results, without the status.
    pub results: Vec<Type>,
    /// Bytes of its results, laid out by [`argument_block`].
    pub result_bytes: u32,
    /// Whether work-items meet: each must be run on a stack of its own.
    pub waits: bool,
    address: usize,
    direct: usize,
}

impl JitEntry {
    fn new(entry: Entry, waits: bool, address: usize, direct: usize) -> Self {
        let results = entry.signature.results.get(usize::from(entry.abi.status)..).unwrap_or(&[]).to_vec();
        JitEntry {
            argument_bytes: argument_block(&entry.signature.params).1,
            result_bytes: argument_block(&results).1,
            results,
            waits,
            address,
            direct,
            entry,
        }
    }
}

/// An entry of code that somebody else brought into memory.
#[derive(Clone, Debug)]
pub struct MappedEntry {
    /// Name, signature and the way it reports exceptions.
    pub entry: Entry,
    /// Its wrapper.
    pub wrapper: *const u8,
    /// The function itself, or what C calls in its place.
    pub direct: *const u8,
}

/// Code that somebody else brought into memory, with what is to be known of it.
pub struct MappedCode {
    /// What can be called.
    pub entries: Vec<MappedEntry>,
    /// The places that throw, by number.
    pub places: Arc<[ThrowPlace]>,
    /// Bytes of shared memory that a group needs.
    pub shared_bytes: u64,
    /// What running it takes.
    pub scheduling: Scheduling,
    /// Keeps the code in memory.
    pub owner: Arc<dyn Any + Send + Sync>,
}

/// Machine code of one unit.
pub struct JitCode {
    // Never locked but to free it; a `JITModule` may be sent to other threads, not shared between them.
    module: Mutex<Option<JITModule>>,
    /// Keeps code in memory that was not made here.
    _owner: Option<Arc<dyn Any + Send + Sync>>,
    entries: Vec<JitEntry>,
    places: Arc<[ThrowPlace]>,
    shared_bytes: u64,
    stack: StackNeeds,
    checked: Arc<[ThrowPlace]>,
    map: CodeMap,
}

impl JitCode {
    /// Code that somebody else brought into memory.
    ///
    /// # Safety
    /// The addresses are those of the wrappers and functions that a [`Blob`](super::Blob) has for these entries. They, and
    /// everything that the code uses, are in memory, may be executed, read and written as it needs, and stay there until
    /// the owner is dropped.
    pub unsafe fn mapped(code: MappedCode) -> JitCode {
        let MappedCode { entries, places, shared_bytes, scheduling, owner } = code;
        let Scheduling { waits, stack, checked } = scheduling;
        let waits = waits.into_iter().chain(std::iter::repeat(true));
        let entries = entries.into_iter().zip(waits).map(|(mapped, waits)| {
            let MappedEntry { entry, wrapper, direct } = mapped;
            JitEntry::new(entry, waits, wrapper.expose_provenance(), direct.expose_provenance())
        });
        JitCode {
            module: Mutex::default(),
            _owner: Some(owner),
            entries: entries.collect(),
            places,
            shared_bytes,
            stack,
            checked,
            map: CodeMap::default(),
        }
    }

    /// What can be called, in the order of the unit's entries.
    pub fn entries(&self) -> &[JitEntry] {
        &self.entries
    }

    /// The number of the entry of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| &*entry.entry.symbol == name)
    }

    /// The places that throw, by number.
    pub fn places(&self) -> &Arc<[ThrowPlace]> {
        &self.places
    }

    /// What addresses in the code stand for; empty unless the job asked for debug information.
    pub fn map(&self) -> &CodeMap {
        &self.map
    }

    /// Bytes of shared memory that a group needs.
    pub fn shared_bytes(&self) -> u64 {
        self.shared_bytes
    }

    /// The stack that calls and work-items need.
    pub fn stack(&self) -> StackNeeds {
        self.stack
    }

    /// The functions that check the limit of the stack, by number.
    pub fn checked(&self) -> &[ThrowPlace] {
        &self.checked
    }

    /// Calls a function, on a stack with this limit. The status is 0, or the number of the throwing site plus one; the
    /// results are undefined then. Without a limit, recursion that uses up the stack ends the process.
    ///
    /// # Errors
    /// There is no such function, or the sizes of the blocks are not those of its entry.
    ///
    /// # Safety
    /// Addresses among the arguments are valid for what the function does with them, and functions of the host are
    /// what the program declared them to be. The stack has what [`stack`](Self::stack) asks for, and the limit is its.
    pub unsafe fn call_packed(
        &self,
        entry: usize,
        args: &[u8],
        results: &mut [u8],
        stack: Option<&StackLimit>,
    ) -> Result<u32, EmitError> {
        let known = self.entries.get(entry).filter(|e| e.entry.kind == MethodKind::Function);
        let known = known.ok_or_else(|| EmitError::Unsupported(format!("no function is entry {entry}")))?;
        if args.len() != known.argument_bytes as usize || results.len() != known.result_bytes as usize {
            return Err(EmitError::Unsupported(format!(
                "blocks of {} and {} bytes, expected {} and {}",
                args.len(),
                results.len(),
                known.argument_bytes,
                known.result_bytes
            )));
        }
        // SAFETY: the address is that of a wrapper with this signature, which is not freed while `self` lives; it
        // stays inside blocks of the sizes that were just checked. The rest is the caller's promise.
        Ok(unsafe {
            let function =
                std::mem::transmute::<*const u8, PackedFn>(std::ptr::with_exposed_provenance(known.address));
            function(args.as_ptr(), results.as_mut_ptr(), stack.map_or(std::ptr::null(), std::ptr::from_ref))
        })
    }

    /// A kernel, which keeps this code alive.
    pub fn kernel(self: &Arc<Self>, entry: usize) -> Option<NativeKernel> {
        let known = self.entries.get(entry).filter(|e| e.entry.kind == MethodKind::Kernel)?;
        // SAFETY: the address is that of a wrapper with this signature.
        let function = unsafe {
            std::mem::transmute::<*const u8, KernelFn>(std::ptr::with_exposed_provenance(known.address))
        };
        Some(NativeKernel {
            name: known.entry.symbol.clone(),
            function,
            argument_bytes: known.argument_bytes,
            waits: known.waits,
            shared_bytes: self.shared_bytes,
            stack: self.stack,
            checked: self.checked.clone(),
            _code: self.clone(),
        })
    }

    /// The address of an entry itself, called by the platform's C convention, or of its wrapper, if the job's entry ABI is
    /// packed; valid while this code lives. Entries that ask for their work-item have a hidden last parameter. Recursion has no limit but the end of the stack.
    pub fn address(&self, entry: usize) -> Option<*const u8> {
        Some(std::ptr::with_exposed_provenance(self.entries.get(entry)?.direct))
    }
}

impl Drop for JitCode {
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(module) = module {
            // SAFETY: calls borrow `self` and kernels own a share of it, so none is running; other addresses were
            // handed out for its lifetime only.
            unsafe { module.free_memory() };
        }
    }
}

impl std::fmt::Debug for JitCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JitCode").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// Code of a legal unit in this process's memory. `externs` gives the addresses of the host's functions, by link name. The
/// host's words are [baked](Legal::baked_by) into the unit before: what is in memory is this session's anyway.
///
/// # Errors
/// Words of the host are missing, a function of the host is missing, a limit is passed, or the target is another machine.
pub fn emit_jit(
    legal: &Legal,
    target: &NativeTarget,
    externs: &dyn Fn(&str) -> Option<*const u8>,
) -> Result<JitCode, EmitError> {
    emit_jit_with(legal, target, externs, &mut NativeContext::new())
}

/// As [`emit_jit`], with memory to reuse.
///
/// # Errors
/// As there.
pub fn emit_jit_with(
    legal: &Legal,
    target: &NativeTarget,
    externs: &dyn Fn(&str) -> Option<*const u8>,
    memory: &mut NativeContext,
) -> Result<JitCode, EmitError> {
    let isas = target.jit_isas.as_ref();
    let isas =
        isas.ok_or_else(|| EmitError::Target(format!("target '{}' is not this machine", target.name)))?;
    let isa = isas.full.clone();
    let unit = legal.unit();
    let mut builder = JITBuilder::with_isa(isa, Box::new(|call| format!("$libcall {call:?}")));
    for call in LibCall::all_libcalls() {
        if let Some(address) = libcall(*call) {
            builder.symbol(format!("$libcall {call:?}"), address);
        }
    }
    let library: [(&str, *const u8); 3] = [
        ("$memmove", memmove as *const u8),
        ("$memset", memset as *const u8),
        ("$clock", clock as *const u8),
    ];
    builder.symbols(library);
    let mut missing = Vec::new();
    for (id, data) in unit.externs.iter() {
        match externs(&data.link_name) {
            Some(address) => drop(builder.symbol(extern_symbol(id), address)),
            None => missing.push(&*data.link_name),
        }
    }
    if !missing.is_empty() {
        missing.sort_unstable();
        missing.dedup();
        return Err(EmitError::Unresolved(missing.into_iter().map(str::to_owned).collect()));
    }
    check_deferred(legal)?;
    check_words(unit)?;
    // Address space only: pages are made accessible as they are filled.
    let size: usize = unit.funcs.values().map(|function| moves(&function.body)).sum();
    let reserve = size.saturating_mul(256).saturating_add(1 << 20);
    let reserve = reserve.saturating_add(data::data_bytes(unit)? as usize);
    fence(move || {
        let arena = ArenaMemoryProvider::new_with_size(reserve);
        let arena = arena.map_err(|e| EmitError::Internal(format!("no address space for code: {e}")))?;
        builder.memory_provider(Box::new(arena));
        let mut guard = Guard(Some(JITModule::new(builder)));
        let module = guard.0.as_mut().ok_or_else(|| EmitError::Internal("no module".to_owned()))?;
        let solo = [context::solo_barrier as *const () as u64, context::solo_subgroup as *const () as u64];
        let solo = Solo::Addresses(solo);
        let declared = Declared::declare(module, legal, target.arch, Some(solo), &mut Anonymous)?;
        let mut frames = Frames::default();
        let debug = legal.debug_level() > DebugLevel::None;
        let mut noted = Vec::new();
        task::each_function(legal, &declared, memory, &mut |compiled| {
            let func = compiled.func;
            frames.add(func, task::define(module, isas, compiled, debug.then_some(&mut noted))?);
            Ok(())
        })?;
        module.finalize_definitions().map_err(module_error)?;
        let Scheduling { waits, stack, checked } = declared.scheduling(unit, &frames)?;
        let mut known = Vec::new();
        let wrapped = entries(legal).into_iter().zip(&declared.wrappers).zip(&declared.unlimited);
        for ((((entry, &id), unlimited), &func), waits) in wrapped.zip(&unit.entries).zip(waits) {
            let direct = match unlimited {
                Some((direct, _)) => *direct,
                None if entry.abi.convention == EntryConvention::Packed => id,
                None => declared.function(func)?.0,
            };
            let address = |id| module.get_finalized_function(id).expose_provenance();
            known.push(JitEntry::new(entry, waits, address(id), address(direct)));
        }
        let address = |id| module.get_finalized_function(id).expose_provenance();
        let map = CodeMap::new(unit, &noted, address);
        Ok(JitCode {
            map,
            module: Mutex::new(guard.0.take()),
            _owner: None,
            entries: known,
            places: places::table(legal.sites(), &unit.files),
            shared_bytes: declared.shared_bytes,
            stack,
            checked,
        })
    })
}

/// How many instructions a function has, with what its edges pass, and some for its frame.
fn moves(body: &Body) -> usize {
    let edges = body.blocks().flat_map(|block| body.successors(block));
    let passed: usize = edges.map(|&edge| body.target_args(edge).len()).sum();
    body.inst_count().saturating_add(passed).saturating_add(64)
}

/// Frees the memory of code that was not finished.
struct Guard(Option<JITModule>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(module) = self.0.take() {
            // SAFETY: no address in it was handed out.
            unsafe { module.free_memory() };
        }
    }
}

/// Code in memory needs no names but those of what it imports.
struct Anonymous;

fn extern_symbol(id: Extern) -> String {
    format!("${id}")
}

impl Spelling for Anonymous {
    fn visible(&mut self, _: &Unit, global: Global) -> Result<String, EmitError> {
        Ok(format!("${global}"))
    }

    fn import(&mut self, _: &Unit, id: Extern) -> Result<String, EmitError> {
        Ok(extern_symbol(id))
    }

    fn library(&mut self, name: &'static str) -> String {
        format!("${name}")
    }
}

/// The address of a routine that position-independent code calls, by its name: what Cranelift calls where the machine has
/// no instruction, by Cranelift's name, and what is used in place of the C library.
pub fn routine(name: &str) -> Option<*const u8> {
    Some(match name {
        "memmove" => memmove as *const u8,
        "memset" => memset as *const u8,
        "clock" => clock as *const u8,
        _ => return libcall(name.parse().ok()?),
    })
}

/// What Cranelift calls where the machine has no instruction.
fn libcall(call: LibCall) -> Option<*const u8> {
    Some(match call {
        LibCall::CeilF32 => ceil_f32 as *const u8,
        LibCall::CeilF64 => ceil_f64 as *const u8,
        LibCall::FloorF32 => floor_f32 as *const u8,
        LibCall::FloorF64 => floor_f64 as *const u8,
        LibCall::TruncF32 => trunc_f32 as *const u8,
        LibCall::TruncF64 => trunc_f64 as *const u8,
        LibCall::NearestF32 => nearest_f32 as *const u8,
        LibCall::NearestF64 => nearest_f64 as *const u8,
        LibCall::FmaF32 => fma_f32 as *const u8,
        LibCall::FmaF64 => fma_f64 as *const u8,
        LibCall::Memcpy | LibCall::Memmove => memmove as *const u8,
        LibCall::Memset => memset as *const u8,
        _ => return None,
    })
}

macro_rules! library {
    ($($name:ident($($arg:ident),+: $ty:ty) $body:expr;)*) => {
        $(extern "C" fn $name($($arg: $ty),+) -> $ty { $body })*
    };
}

library! {
    ceil_f32(x: f32) x.ceil();
    ceil_f64(x: f64) x.ceil();
    floor_f32(x: f32) x.floor();
    floor_f64(x: f64) x.floor();
    trunc_f32(x: f32) x.trunc();
    trunc_f64(x: f64) x.trunc();
    nearest_f32(x: f32) x.round_ties_even();
    nearest_f64(x: f64) x.round_ties_even();
    fma_f32(a, b, c: f32) a.mul_add(b, c);
    fma_f64(a, b, c: f64) a.mul_add(b, c);
}

unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
    // SAFETY: the program's copy is valid, by its own promise.
    unsafe { std::ptr::copy(from, to, bytes) };
    to
}

unsafe extern "C" fn memset(to: *mut u8, value: i32, bytes: usize) -> *mut u8 {
    // SAFETY: the program's fill is valid, by its own promise.
    unsafe { std::ptr::write_bytes(to, value as u8, bytes) };
    to
}

/// Nanoseconds since the first call.
extern "C" fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
