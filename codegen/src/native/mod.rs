//! Native code through Cranelift: objects for four architectures in three formats, and code in this process's memory.
//!
//! Decisions:
//! - One function of the unit becomes one function of CLIF, block parameters one to one, without an intermediate form.
//! - Every function uses the platform's C convention, so that function addresses and host functions are called alike.
//!   Values of `i1` are 0 or 1 in a byte; `f16` and `bf16` travel as 16-bit integers, their arithmetic is promoted.
//! - Memory has the byte order of the machine; first contents of globals, which are stated little-endian, are swapped
//!   on big-endian machines. Argument and result blocks are little-endian everywhere.
//! - Functions that ask which work-item they run for get a hidden last parameter ([`context`]); others do not pay.
//! - Recursion ends at a limit of the stack that whoever runs the code sets ([`StackLimit`]); code without recursion
//!   knows nothing of it, and says how much stack it needs ([`StackNeeds`]).
//! - How addresses in an object are resolved ([`Relocation`]) and how it gets at functions of the host ([`ExternPolicy`])
//!   are independent of each other. Both are part of a target's name where they are not the usual ones.
//! - The triple says the format (ELF, Mach-O, COFF) and the calling convention.
//! - At `-g1` and `-g2` objects carry DWARF and unwind tables, and code in memory a [`CodeMap`]; the code is the same.
//! - Nothing that Cranelift says or does leaves as a panic: every call into it is fenced.

mod c_macros;
mod c_names;
pub mod context;
mod abi;
mod blob;
mod debug;
mod dwarf;
mod effort;
mod data;
mod emit;
mod export;
mod homes;
mod intrinsics;
mod jit;
mod join;
mod kernel;
mod legal;
mod map;
mod object;
mod parallel;
mod places;
mod reach;
mod relocate;
mod select;
mod select_control;
mod select_memory;
mod select_scalar;
mod select_vector;
mod stack;
mod tables;
mod task;
mod types;
mod unwind;
mod wrap;

#[cfg(test)]
mod tests;

pub use blob::{Blob, BlobEntry, Section, Symbol, check_blob_target, emit_blob};
pub use c_names::{c_name, c_symbol, is_c_symbol};
pub use emit::NativeContext;
pub use export::{CParam, CReturn, CSignature, Export, ExportKind};
pub use jit::{JitCode, JitEntry, MappedCode, MappedEntry, emit_jit, emit_jit_with, routine};
pub use join::{Joined, Joint, WORD_BYTES, Word, WordTarget, join};
pub use kernel::{KernelFn, NativeKernel};
pub use map::{CodeMap, MappedFunction};
pub use object::{ObjectPlan, emit_object, emit_object_with, emit_planned, emit_text};
pub use stack::{ExhaustedFn, MAX_STACK_BYTES, StackLimit, StackNeeds, may_recurse};

use crate::error::EmitError;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use effort::Effort;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;
use marquetry_lower::query::Answer;
use marquetry_lower::target::{Action, Caps, Target, TypeAction};
use target_lexicon::{
    Aarch64Architecture, Architecture, Environment, OperatingSystem, Riscv64Architecture, Triple,
};

/// How the addresses in an object are resolved.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Relocation {
    /// Within one executable, position-independent or not: the distance to everything in it is known to the linker.
    Static,
    /// Anywhere: for shared libraries and position-independent executables.
    #[default]
    Pic,
}

impl Relocation {
    /// All of them.
    pub const ALL: [Relocation; 2] = [Relocation::Static, Relocation::Pic];

    /// As the command line and names of targets spell it.
    pub fn name(self) -> &'static str {
        match self {
            Relocation::Static => "static",
            Relocation::Pic => "pic",
        }
    }

    /// The model of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Relocation::ALL.into_iter().find(|relocation| relocation.name() == name)
    }
}

/// How an object gets at the functions of the host that it calls. Routines of the C library that code needs of its own
/// accord (`memmove`, `fma`) are symbols in any case.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum ExternPolicy {
    /// Undefined symbols of their link names, for linkers and loaders to resolve; in position-independent code through the
    /// global offset table.
    #[default]
    Symbols,
    /// Absolute addresses that the host states when the object is made, good for one process. None without address.
    Addresses,
}

impl ExternPolicy {
    /// All of them.
    pub const ALL: [ExternPolicy; 2] = [ExternPolicy::Symbols, ExternPolicy::Addresses];

    /// As the command line and names of targets spell it.
    pub fn name(self) -> &'static str {
        match self {
            ExternPolicy::Symbols => "symbols",
            ExternPolicy::Addresses => "addresses",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ExternPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// Architectures that code is made for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// x86-64.
    X64,
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit RISC-V with the G extensions.
    Riscv64,
    /// IBM Z; big-endian.
    S390x,
}

/// What can be chosen besides the triple.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct NativeOptions {
    /// 0: fastest to compile; 1 to 3: with Cranelift's optimiser.
    pub opt_level: u8,
    /// Of objects; code in memory is always at a fixed place.
    pub relocation: Relocation,
    /// Of objects; code in memory is given addresses.
    pub externs: ExternPolicy,
    /// Whether Cranelift's verifier checks what it is given.
    pub verify: bool,
}

impl Default for NativeOptions {
    fn default() -> Self {
        NativeOptions {
            opt_level: 2,
            relocation: Relocation::default(),
            externs: ExternPolicy::default(),
            verify: cfg!(test),
        }
    }
}

/// The instruction set that a target's code is in.
#[derive(Clone)]
pub struct NativeTarget {
    name: String,
    arch: Arch,
    /// Whether bytes of vectors are shuffled by an instruction. x86-64 got it with SSSE3; without it Cranelift calls a
    /// function that nobody links.
    byte_shuffles: bool,
    options: NativeOptions,
    caps: Caps,
    /// For objects.
    object_isas: Isas,
    /// For code in this process; none unless the target is this machine.
    jit_isas: Option<Isas>,
}

/// Cranelift's settings, by how much work a function is worth.
#[derive(Clone)]
struct Isas {
    full: OwnedTargetIsa,
    plain: OwnedTargetIsa,
    quick: OwnedTargetIsa,
}

impl Isas {
    fn new(
        options: &NativeOptions,
        triple: &Triple,
        jit: bool,
        builder: impl Fn() -> Result<isa::Builder, EmitError>,
    ) -> Result<Isas, EmitError> {
        let isa = |effort| {
            let flags = settings::Flags::new(flags(options, effort, triple, jit)?);
            builder()?.finish(flags).map_err(|error| EmitError::Target(error.to_string()))
        };
        Ok(Isas { full: isa(Effort::Full)?, plain: isa(Effort::Plain)?, quick: isa(Effort::Quick)? })
    }

    /// The settings for a function, if they are not those for most.
    fn get(&self, effort: Effort) -> Option<&dyn TargetIsa> {
        match effort {
            Effort::Full => None,
            Effort::Plain => Some(&*self.plain),
            Effort::Quick | Effort::Least => Some(&*self.quick),
        }
    }
}

const KNOWN: &str = "expected native, or native:TRIPLE with x86_64, aarch64, riscv64gc or s390x on linux, x86_64 or \
                     aarch64 on darwin, or x86_64 on windows; then, for objects, +static, +addresses or both";

impl NativeTarget {
    /// From its spelling: `native` is this machine with all its features, `native:TRIPLE` a machine with the features
    /// that the triple's name promises. `+static`, `+pic`, `+symbols` and `+addresses` behind it say what the options say
    /// else ([`Relocation`], [`ExternPolicy`]).
    ///
    /// # Errors
    /// The spelling is not one of a known target.
    pub fn parse(spelling: &str, options: NativeOptions) -> Result<NativeTarget, EmitError> {
        let bad = |why: &str| EmitError::Target(format!("target '{spelling}': {why}; {KNOWN}"));
        let mut options = options;
        let mut parts = spelling.split('+');
        let machine = parts.next().unwrap_or("");
        for part in parts {
            match (Relocation::from_name(part), ExternPolicy::from_name(part)) {
                (Some(relocation), _) => options.relocation = relocation,
                (_, Some(externs)) => options.externs = externs,
                _ => return Err(bad(&format!("'+{part}' is not a setting"))),
            }
        }
        let triple = match machine.split_once(':') {
            None if machine == "native" => None,
            Some(("native", triple)) => Some(triple),
            _ => return Err(bad("not a native target")),
        };
        match triple {
            None => Self::host(options),
            Some(text) => {
                // The bare names are the usual abbreviations for Linux.
                let full = match text {
                    "x86_64" | "aarch64" | "s390x" => format!("{text}-unknown-linux-gnu"),
                    "riscv64" | "riscv64gc" => "riscv64gc-unknown-linux-gnu".to_owned(),
                    _ => text.to_owned(),
                };
                let triple: Triple = full.parse().map_err(|e| bad(&format!("{e}")))?;
                let arch = architecture(&triple).ok_or_else(|| bad("unknown architecture"))?;
                use Environment as On;
                if let On::Gnux32 | On::GnuIlp32 | On::Softfloat = triple.environment {
                    return Err(bad("code has addresses of 64 bits, and passes floats in registers"));
                }
                match (triple.operating_system, arch) {
                    (OperatingSystem::Linux, _) => {}
                    (OperatingSystem::Darwin(_) | OperatingSystem::MacOSX(_), Arch::X64 | Arch::Aarch64) => {}
                    (OperatingSystem::Windows, Arch::X64) => {}
                    (
                        OperatingSystem::Darwin(_) | OperatingSystem::MacOSX(_) | OperatingSystem::Windows,
                        _,
                    ) => {
                        return Err(bad("the operating system is not known on this architecture"));
                    }
                    _ => return Err(bad("unknown operating system")),
                }
                fence(|| {
                    let builder = || isa::lookup(triple.clone()).map_err(|e| bad(&e.to_string()));
                    let isas = Isas::new(&options, &triple, false, builder)?;
                    Ok(Self::new(format!("native:{triple}"), arch, options, isas, None))
                })
            }
        }
    }

    /// This machine, with all features that it has.
    ///
    /// # Errors
    /// Cranelift does not know this machine.
    pub fn host(options: NativeOptions) -> Result<NativeTarget, EmitError> {
        let arch = architecture(&Triple::host());
        let arch =
            arch.ok_or_else(|| EmitError::Target(format!("this machine, {}: {KNOWN}", Triple::host())))?;
        fence(|| {
            let builder = || cranelift_native::builder().map_err(|e| EmitError::Target(e.to_owned()));
            let triple = Triple::host();
            let isas = |jit| Isas::new(&options, &triple, jit, builder);
            Ok(Self::new("native".to_owned(), arch, options, isas(false)?, Some(isas(true)?)))
        })
    }

    fn new(
        name: String,
        arch: Arch,
        options: NativeOptions,
        object_isas: Isas,
        jit_isas: Option<Isas>,
    ) -> NativeTarget {
        let caps = Caps {
            calls: true,
            recursion: true,
            indirect_calls: true,
            structured: false,
            functions: true,
            kernels: true,
            externs: true,
            global_variables: true,
            sequential_consistency: true,
            volatile_accesses: true,
            memory_ops: true,
            early_returns: true,
            max_shared_bytes: context::MAX_SHARED_BYTES,
            argument_blocks: false,
            max_argument_bytes: 1 << 16,
        };
        let has = |name: &str| {
            object_isas.full.isa_flags().iter().any(|f| f.name == name && f.as_bool() == Some(true))
        };
        let byte_shuffles = arch != Arch::X64 || has("has_ssse3");
        let mut name = name;
        if options.relocation != Relocation::default() {
            name = format!("{name}+{}", options.relocation.name());
        }
        if options.externs != ExternPolicy::default() {
            name = format!("{name}+{}", options.externs.name());
        }
        NativeTarget { name, arch, byte_shuffles, options, caps, object_isas, jit_isas }
    }

    /// The triple that objects are for.
    pub fn triple(&self) -> &Triple {
        self.object_isas.full.triple()
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The options it was made with.
    pub fn options(&self) -> NativeOptions {
        self.options
    }

    /// The architecture and the operating system: `x86_64-linux`.
    pub fn machine(&self) -> String {
        let triple = self.object_isas.full.triple();
        format!("{}-{}", triple.architecture, triple.operating_system)
    }

    /// The optional features of the processor that code may use, sorted.
    pub fn features(&self) -> Vec<&'static str> {
        let flags = self.object_isas.full.isa_flags();
        let mut names: Vec<_> =
            flags.iter().filter(|flag| flag.as_bool() == Some(true)).map(|flag| flag.name).collect();
        names.sort_unstable();
        names
    }

    /// Whether code for it can run in this process.
    pub fn is_host(&self) -> bool {
        self.jit_isas.is_some()
    }
}

/// What code depends on: the spelling and the options. Everything else follows from these, on one machine.
impl PartialEq for NativeTarget {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.options) == (&other.name, other.options)
    }
}

impl Eq for NativeTarget {}

impl std::hash::Hash for NativeTarget {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.options).hash(state);
    }
}

impl std::fmt::Debug for NativeTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeTarget").field("name", &self.name).field("options", &self.options).finish()
    }
}

impl Target for NativeTarget {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        legal::type_action(self.arch, ty)
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        legal::action(self.arch, self.byte_shuffles, op, from, to)
    }

    fn answer(&self, key: &str) -> Option<Answer> {
        (key == "is_native").then_some(Answer::Truth(true))
    }
}

fn architecture(triple: &Triple) -> Option<Arch> {
    Some(match triple.architecture {
        Architecture::X86_64 => Arch::X64,
        Architecture::Aarch64(Aarch64Architecture::Aarch64) => Arch::Aarch64,
        // Code has floats in registers, and takes all of "gc" for granted.
        Architecture::Riscv64(Riscv64Architecture::Riscv64gc) => Arch::Riscv64,
        Architecture::S390x => Arch::S390x,
        _ => return None,
    })
}

fn flags(
    options: &NativeOptions,
    effort: Effort,
    triple: &Triple,
    jit: bool,
) -> Result<settings::Builder, EmitError> {
    let mut builder = settings::builder();
    let mut set = |name: &str, value: &str| {
        builder.set(name, value).map_err(|e| EmitError::Internal(format!("setting {name}: {e}")))
    };
    let truth = |value: bool| if value { "true" } else { "false" };
    let optimised = options.opt_level > 0;
    set("opt_level", if optimised && effort == Effort::Full { "speed" } else { "none" })?;
    let allocator = if optimised && effort <= Effort::Plain { "backtracking" } else { "single_pass" };
    set("regalloc_algorithm", allocator)?;
    let is_pic = !jit && options.relocation == Relocation::Pic;
    set("is_pic", truth(is_pic))?;
    // Library functions may be farther away than a call reaches, but where linkers see to that ([`emit::through_linker`]).
    let through_linker = !jit && (!is_pic || triple.architecture == Architecture::S390x);
    set("use_colocated_libcalls", truth(through_linker))?;
    set("enable_verifier", truth(options.verify))?;
    // `i128` in signatures, and more results than there are registers.
    set("enable_llvm_abi_extensions", "true")?;
    set("enable_multi_ret_implicit_sret", "true")?;
    // A frame larger than the guard page touches each of its pages in order, so that an overflow always faults.
    // On s390x Cranelift has no inline probes.
    set("enable_probestack", truth(triple.architecture != Architecture::S390x))?;
    set("probestack_strategy", "inline")?;
    // Unwind tables belong to objects; nothing unwinds through code in memory.
    set("unwind_info", truth(!jit))?;
    Ok(builder)
}

/// Runs code of a library; its panics become errors.
pub(crate) fn fence<T>(f: impl FnOnce() -> Result<T, EmitError>) -> Result<T, EmitError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(EmitError::Internal(text.unwrap_or_else(|| "a library panicked".to_owned())))
    })
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<NativeTarget>();
    shared::<JitCode>();
    shared::<NativeKernel>();
};
