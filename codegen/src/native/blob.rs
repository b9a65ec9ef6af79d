//! Position-independent code of one unit, for files that hold many: bytes, and what is to be known before they run.
//!
//! Three sections: text, constants and data. Everything in text reaches its targets relative to its own place, so text is the
//! same wherever it is loaded. Functions of the host and routines of this crate are symbols; their addresses are words among
//! the constants, which whoever loads the code fills in ([`join`](super::join)).

use super::emit::{Declared, NativeContext, Spelling};
use super::select::internal;
use super::stack::{Frames, StackNeeds};
use super::{NativeTarget, Relocation, fence, task};
use crate::artifact::{self, Entry, Scheduling, entries};
use crate::error::EmitError;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::{CodegenError, Context};
use cranelift_entity::SecondaryMap;
use cranelift_module::{
    DataDescription, DataId, FuncId, FuncOrDataId, Init, Linkage, Module, ModuleDeclarations, ModuleError,
    ModuleReloc, ModuleRelocTarget, ModuleResult,
};
use marquetry_ir::entity::{Extern, Global};
use marquetry_ir::program::Reference;
use marquetry_ir::unit::{PrintFormat, Unit};
use marquetry_lower::exceptions::places::{self, ThrowPlace};
use marquetry_lower::job::EntryConvention;
use marquetry_lower::legal::Legal;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Most bytes of a section: what a relative address reaches, and room for the others.
pub(super) const MAX_SECTION_BYTES: u64 = 1 << 29;

/// A part of position-independent code that is loaded with rights of its own.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Section {
    /// Instructions.
    Text,
    /// What nobody writes once it is loaded.
    Constants,
    /// What code writes.
    Data,
}

impl Section {
    /// All, in the order in which they lie in memory.
    pub const ALL: [Section; 3] = [Section::Text, Section::Constants, Section::Data];
}

/// What has an address that only whoever loads the code knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Symbol {
    /// A routine of this crate, by the name that [`routine`](super::routine) knows.
    Routine(Arc<str>),
    /// A function or a word of the host, by its link name.
    Host {
        /// The link name.
        name: Arc<str>,
        /// The library that has it, if a slot says which.
        library: Option<Arc<str>>,
    },
}

/// Something that can be called in a [`Blob`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobEntry {
    /// Name, signature and the way it reports exceptions.
    pub entry: Entry,
    /// Where its wrapper begins, in the text.
    pub wrapper: u32,
    /// Where the function itself begins, or what C calls in its place.
    pub direct: u32,
}

/// Where a relocation leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// A byte of the blob.
    Place(Section, u32),
    /// A symbol, by number.
    Symbol(u32),
}

/// A place that depends on where something is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Fixup {
    pub(super) section: Section,
    pub(super) offset: u32,
    pub(super) kind: Reloc,
    pub(super) target: Target,
    pub(super) addend: i64,
}

/// Position-independent code of one unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob {
    /// What can be called, in the order of the unit's entries.
    pub entries: Vec<BlobEntry>,
    /// The places that throw, by number.
    pub places: Arc<[ThrowPlace]>,
    /// The formats of what is printed, by number.
    pub formats: Vec<PrintFormat>,
    /// Bytes of shared memory that a group needs.
    pub shared_bytes: u64,
    /// What running it takes.
    pub scheduling: Scheduling,
    /// What it needs from outside.
    pub symbols: Vec<Symbol>,
    pub(super) sections: [Vec<u8>; 3],
    /// The alignment of each section.
    pub(super) aligns: [u64; 3],
    pub(super) fixups: Vec<Fixup>,
}

impl Blob {
    /// No code.
    pub fn empty() -> Self {
        Blob {
            entries: Vec::new(),
            places: [].into(),
            formats: Vec::new(),
            shared_bytes: 0,
            scheduling: Scheduling { waits: Vec::new(), stack: StackNeeds::default(), checked: [].into() },
            symbols: Vec::new(),
            sections: Default::default(),
            aligns: [1; 3],
            fixups: Vec::new(),
        }
    }

    /// The bytes of a section, before anything is relocated.
    pub fn section(&self, section: Section) -> &[u8] {
        &self.sections[section as usize]
    }
}

/// Whether position-independent code is made for a target.
///
/// # Errors
/// What is missing.
pub fn check_blob_target(target: &NativeTarget) -> Result<(), EmitError> {
    if target.options.relocation != Relocation::Pic {
        let message =
            format!("images for target '{}' with static relocation: they are loaded anywhere", target.name);
        return Err(EmitError::Unsupported(message));
    }
    Ok(())
}

/// Position-independent code of a legal unit.
///
/// # Errors
/// A limit is passed, or the target is one that such code is not made for.
pub fn emit_blob(
    legal: &Legal,
    target: &NativeTarget,
    memory: &mut NativeContext,
) -> Result<Blob, EmitError> {
    check_blob_target(target)?;
    fence(|| {
        let unit = legal.unit();
        let mut module = BlobModule::new(target.object_isas.full.clone());
        let declared = Declared::declare(&mut module, legal, target.arch, None, &mut Imports)?;
        let mut frames = Frames::default();
        task::each_function(legal, &declared, memory, &mut |compiled| {
            let func = compiled.func;
            frames.add(func, task::define(&mut module, &target.object_isas, compiled, None)?);
            Ok(())
        })?;
        let mut known = Vec::new();
        let wrapped = entries(legal).into_iter().zip(&declared.wrappers).zip(&declared.unlimited);
        for (((entry, &id), unlimited), &func) in wrapped.zip(&unit.entries) {
            let direct = match unlimited {
                Some((direct, _)) => *direct,
                None if entry.abi.convention == EntryConvention::Packed => id,
                None => declared.function(func)?.0,
            };
            known.push(BlobEntry { entry, wrapper: module.start(id)?, direct: module.start(direct)? });
        }
        let scheduling = declared.scheduling(unit, &frames)?;
        let (mut symbols, fixups) = module.resolve()?;
        name_libraries(&mut symbols, &declared.relocations);
        Ok(Blob {
            entries: known,
            places: places::table(legal.sites(), &unit.files),
            formats: unit.formats.clone(),
            shared_bytes: declared.shared_bytes,
            scheduling,
            symbols,
            sections: module.sections,
            aligns: module.aligns,
            fixups,
        })
    })
}

/// Says of symbols which library has them, where slots do.
fn name_libraries(symbols: &mut [Symbol], relocations: &[artifact::Relocation]) {
    let known: FxHashMap<&str, &Arc<str>> = relocations
        .iter()
        .filter_map(|relocation| match &relocation.reference {
            Reference::Symbol { name, library: Some(library) } => Some((&**name, library)),
            _ => None,
        })
        .collect();
    for symbol in symbols {
        if let Symbol::Host { name, library } = symbol {
            *library = known.get(&**name).map(|&library| library.clone());
        }
    }
}

/// What the names of routines begin with in a module: names of the host do not.
const ROUTINE: char = '\0';

/// Imports have names, nothing else has.
struct Imports;

impl Imports {
    /// What the name of an import stands for.
    fn symbol(name: &str) -> Symbol {
        match name.strip_prefix(ROUTINE) {
            Some(routine) => Symbol::Routine(routine.into()),
            None => Symbol::Host { name: name.into(), library: None },
        }
    }
}

impl Spelling for Imports {
    fn visible(&mut self, _: &Unit, _: Global) -> Result<String, EmitError> {
        Err(internal("words in a blob are imports"))
    }

    fn import(&mut self, unit: &Unit, id: Extern) -> Result<String, EmitError> {
        let link_name = &unit.externs[id].link_name;
        if link_name.starts_with(ROUTINE) {
            let message =
                format!("a function of the host whose link name begins with a zero byte: {link_name:?}");
            return Err(EmitError::Unsupported(message));
        }
        Ok(link_name.to_string())
    }

    fn library(&mut self, routine: &'static str) -> String {
        format!("{ROUTINE}{routine}")
    }
}

/// The symbol that a declaration without a definition stands for.
fn import(linkage: Linkage, name: Option<&str>) -> Result<Symbol, EmitError> {
    match (linkage, name) {
        (Linkage::Import, Some(name)) => Ok(Imports::symbol(name)),
        _ => Err(internal("a function or a global was not defined")),
    }
}

/// A module that keeps the bytes.
struct BlobModule {
    isa: OwnedTargetIsa,
    declarations: ModuleDeclarations,
    functions: SecondaryMap<FuncId, Option<u32>>,
    data: SecondaryMap<DataId, Option<(Section, u32)>>,
    sections: [Vec<u8>; 3],
    aligns: [u64; 3],
    relocs: Vec<(Section, ModuleReloc)>,
}

/// A definition that no section has room for.
fn too_large() -> ModuleError {
    ModuleError::Compilation(CodegenError::CodeTooLarge)
}

impl BlobModule {
    fn new(isa: OwnedTargetIsa) -> Self {
        BlobModule {
            isa,
            declarations: ModuleDeclarations::default(),
            functions: SecondaryMap::new(),
            data: SecondaryMap::new(),
            sections: Default::default(),
            aligns: [1; 3],
            relocs: Vec::new(),
        }
    }

    /// Room at the end of a section.
    fn allocate(&mut self, section: Section, align: u64, bytes: u64) -> Option<u32> {
        let align = align.max(1);
        let (buffer, known) = (&mut self.sections[section as usize], &mut self.aligns[section as usize]);
        let start = (buffer.len() as u64).next_multiple_of(align);
        let end = start.checked_add(bytes).filter(|&end| end <= MAX_SECTION_BYTES)?;
        *known = (*known).max(align);
        buffer.resize(end as usize, 0);
        Some(start as u32)
    }

    fn place(&mut self, section: Section, align: u64, bytes: &[u8], relocs: &[ModuleReloc]) -> Option<u32> {
        let start = self.allocate(section, align, bytes.len() as u64)?;
        self.sections[section as usize][start as usize..][..bytes.len()].copy_from_slice(bytes);
        for reloc in relocs {
            let offset = start.checked_add(reloc.offset)?;
            self.relocs.push((section, ModuleReloc { offset, ..reloc.clone() }));
        }
        Some(start)
    }

    fn start(&self, function: FuncId) -> Result<u32, EmitError> {
        self.functions[function].ok_or_else(|| internal("a function was not defined"))
    }

    /// Where the relocations lead to, and what they need from outside.
    fn resolve(&mut self) -> Result<(Vec<Symbol>, Vec<Fixup>), EmitError> {
        let mut symbols = Vec::new();
        let mut numbers: FxHashMap<Symbol, u32> = FxHashMap::default();
        let mut number = |symbol: Symbol| {
            *numbers.entry(symbol).or_insert_with_key(|symbol| {
                symbols.push(symbol.clone());
                symbols.len() as u32 - 1
            })
        };
        let mut fixups = Vec::with_capacity(self.relocs.len());
        for (section, reloc) in std::mem::take(&mut self.relocs) {
            let target = match reloc.name {
                ModuleRelocTarget::User { namespace: 0, index } => {
                    let id = FuncId::from_u32(index);
                    match self.functions[id] {
                        Some(start) => Target::Place(Section::Text, start),
                        None => {
                            let known = self.declarations.get_function_decl(id);
                            Target::Symbol(number(import(known.linkage, known.name.as_deref())?))
                        }
                    }
                }
                ModuleRelocTarget::User { index, .. } => {
                    let id = DataId::from_u32(index);
                    match self.data[id] {
                        Some((section, start)) => Target::Place(section, start),
                        None => {
                            let known = self.declarations.get_data_decl(id);
                            Target::Symbol(number(import(known.linkage, known.name.as_deref())?))
                        }
                    }
                }
                ModuleRelocTarget::LibCall(call) => {
                    Target::Symbol(number(Symbol::Routine(call.to_string().into())))
                }
                ModuleRelocTarget::FunctionOffset(id, offset) => {
                    Target::Place(Section::Text, self.start(id)?.saturating_add(offset))
                }
                ModuleRelocTarget::KnownSymbol(symbol) => {
                    return Err(internal(format!("a relocation to {symbol}")));
                }
            };
            let ModuleReloc { offset, kind, addend, .. } = reloc;
            fixups.push(Fixup { section, offset, kind, target, addend });
        }
        Ok((symbols, fixups))
    }
}

impl Module for BlobModule {
    fn isa(&self) -> &dyn TargetIsa {
        &*self.isa
    }

    fn declarations(&self) -> &ModuleDeclarations {
        &self.declarations
    }

    fn get_name(&self, name: &str) -> Option<FuncOrDataId> {
        self.declarations.get_name(name)
    }

    fn declare_function(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: &ir::Signature,
    ) -> ModuleResult<FuncId> {
        Ok(self.declarations.declare_function(name, linkage, signature)?.0)
    }

    fn declare_anonymous_function(&mut self, signature: &ir::Signature) -> ModuleResult<FuncId> {
        self.declarations.declare_anonymous_function(signature)
    }

    fn declare_data(
        &mut self,
        name: &str,
        linkage: Linkage,
        writable: bool,
        tls: bool,
    ) -> ModuleResult<DataId> {
        Ok(self.declarations.declare_data(name, linkage, writable, tls)?.0)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.declarations.declare_anonymous_data(writable, tls)
    }

    fn define_function_with_control_plane(
        &mut self,
        func: FuncId,
        context: &mut Context,
        control: &mut ControlPlane,
    ) -> ModuleResult<()> {
        let compiled = context.compile(&*self.isa, control)?;
        let alignment = u64::from(compiled.buffer.alignment);
        let code = context.compiled_code().ok_or_else(too_large)?;
        let relocs = code.buffer.relocs().iter();
        let relocs: Vec<_> =
            relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, func)).collect();
        self.define_function_bytes(func, alignment, code.buffer.data(), &relocs)
    }

    fn define_function_bytes(
        &mut self,
        func: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocs: &[ModuleReloc],
    ) -> ModuleResult<()> {
        let align = alignment.max(self.isa.symbol_alignment());
        let start = self.place(Section::Text, align, bytes, relocs).ok_or_else(too_large)?;
        self.functions[func] = Some(start);
        Ok(())
    }

    fn define_data(&mut self, id: DataId, data: &DataDescription) -> ModuleResult<()> {
        let writable = self.declarations.get_data_decl(id).writable;
        let section = if writable { Section::Data } else { Section::Constants };
        let relocs: Vec<ModuleReloc> = data.all_relocs(Reloc::Abs8).collect();
        // On s390x, instructions reach even addresses only.
        let align = data.align.unwrap_or(16).max(self.isa.symbol_alignment());
        let start = match &data.init {
            Init::Bytes { contents } => self.place(section, align, contents, &relocs),
            other => self.allocate(section, align, other.size() as u64),
        };
        self.data[id] = Some((section, start.ok_or_else(too_large)?));
        Ok(())
    }
}
