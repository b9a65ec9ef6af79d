//! Artifacts: what a job produces.

use crate::error::EmitError;
use crate::native::StackNeeds;
use cranelift_entity::SecondaryMap;
use marquetry_ir::entity::Global;
use marquetry_ir::program::{MethodKind, Reference, Resolve};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Layout, Space, Type};
use marquetry_ir::unit::{PrintFormat, Unit};
use marquetry_lower::exceptions::places::{self, ThrowPlace};
use marquetry_lower::legal::{Argument, EntryAbi, Legal, Passing};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the bytes of an artifact are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// PTX, as text.
    Ptx,
    /// SPIR-V, as little-endian words.
    Spirv,
    /// WGSL, as text.
    Wgsl,
    /// The Metal shading language, as text.
    Msl,
    /// HLSL, as text.
    Hlsl,
    /// A relocatable object file of the target's own format.
    Object,
}

/// A kernel or function that hosts call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its symbol in the code.
    pub symbol: Arc<str>,
    /// Function or kernel.
    pub kind: MethodKind,
    /// Its signature after lowering: the status is the first result; after the arguments come the mailbox and the hidden
    /// inputs, which `abi` lists.
    pub signature: Signature,
    /// What each parameter is for.
    pub abi: EntryAbi,
}

impl Entry {
    /// What a host passes, in order, with what became of it: state, arguments, mailbox, hidden inputs.
    pub fn arguments(&self) -> &[Argument] {
        &self.abi.arguments
    }

    /// Where its parameters stand in an argument block, and how large that is.
    pub fn block(&self) -> (Vec<Slot>, u32) {
        parameter_block(&self.signature.params, &self.abi.arguments)
    }
}

/// Code for one target, with what a host must know to run it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    /// The target's full spelling.
    pub target: String,
    /// What `code` is.
    pub format: Format,
    /// The code.
    pub code: Vec<u8>,
    /// What can be called, in the order of the unit's entries.
    pub entries: Vec<Entry>,
    /// The places that throw, by number: all that a host must know to tell what was thrown.
    pub places: Arc<[ThrowPlace]>,
    /// The formats of what is printed, by number.
    pub formats: Vec<PrintFormat>,
    /// Bytes of shared memory that a group needs.
    pub shared_bytes: u64,
    /// The words that are left to the linker, or to whoever loads the code.
    pub relocations: Vec<Relocation>,
    /// What the words stand for that the host supplied when the code was made, each once: they mean something in that
    /// session only.
    pub session_values: Vec<Reference>,
    /// What running it takes. Only objects state it: of the other formats, drivers find it out.
    pub scheduling: Option<Scheduling>,
}

/// What whoever runs native code must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// By entry, whether work-items meet: each must be run on a stack of its own then.
    pub waits: Vec<bool>,
    /// The stack that calls and work-items need.
    pub stack: StackNeeds,
    /// The functions that check the limit of the stack, by number.
    pub checked: Arc<[ThrowPlace]>,
}

impl Artifact {
    /// An artifact of a legal unit.
    pub fn new(target: String, format: Format, code: Vec<u8>, legal: &Legal) -> Self {
        Artifact {
            target,
            format,
            code,
            entries: entries(legal),
            places: places::table(legal.sites(), &legal.unit().files),
            formats: legal.unit().formats.clone(),
            shared_bytes: shared_bytes(legal.unit()),
            relocations: Vec::new(),
            session_values: legal.baked().to_vec(),
            scheduling: None,
        }
    }

    /// Whether the code means the same in another process: no word of this session's is written into it. What is not
    /// portable must not be kept beyond the session; [`session_values`](Self::session_values) says why.
    pub fn is_portable(&self) -> bool {
        self.session_values.is_empty()
    }
}

/// Who sees to a word.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum RelocationKind {
    /// The linker: the word is the address of the undefined symbol [`Reference::link_name`].
    Link,
    /// Whoever loads the code: the word is written into the memory of the symbol, at the offset, in the machine's byte
    /// order, before anything runs.
    Write,
    /// Whoever loads the code: the word is the value of specialisation constants, each of `bytes` bytes, with numbers from
    /// `first` on, low end first.
    Specialise {
        /// The `SpecId` of the first.
        first: u32,
        /// Bytes of each.
        bytes: u32,
    },
}

/// A word of a global that the artifact leaves open.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Relocation {
    /// The global's symbol in the code; its name, where it has none that is seen from outside.
    pub symbol: Arc<str>,
    /// Where in the global, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub size: u32,
    /// What the word stands for.
    pub reference: Reference,
    /// Who sees to it.
    pub kind: RelocationKind,
}

/// Something that a loader has to do: the word of a relocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Filling {
    /// The symbol.
    pub symbol: Arc<str>,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What to write there.
    pub word: u64,
}

impl Artifact {
    /// Asks the host for the words that whoever loads the code has to see to. Those of specialisation constants are
    /// written into the code, as their defaults, which makes it this session's; the others are given, to be written into the loaded code.
    ///
    /// # Errors
    /// Words that the host does not supply: all of them; nothing was changed then. Or the code is not what its
    /// relocations say.
    pub fn fill(&mut self, host: &dyn Resolve) -> Result<Vec<Filling>, EmitError> {
        let (mut missing, mut words) = (Vec::new(), Vec::new());
        let open = self.relocations.iter().filter(|relocation| relocation.kind != RelocationKind::Link);
        for relocation in open {
            let Relocation { symbol, offset, reference, .. } = relocation;
            match host.resolve(reference) {
                Ok(word) => words.push((relocation.clone(), word)),
                Err(reason) => {
                    missing.push(format!("{reference} at {offset} in global '{symbol}' ({reason})"));
                }
            }
        }
        if !missing.is_empty() {
            return Err(EmitError::Words(missing));
        }
        let (mut fillings, mut baked) = (Vec::new(), Vec::new());
        let mut constants: BTreeMap<u32, u64> = BTreeMap::new();
        for (relocation, word) in words {
            let Relocation { symbol, offset, kind, reference, .. } = relocation;
            match kind {
                RelocationKind::Specialise { first, bytes } => {
                    baked.push(reference);
                    let parts = word.to_le_bytes();
                    for (n, part) in parts.chunks(bytes.clamp(1, 8) as usize).enumerate() {
                        let value = part.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
                        constants.insert(first.saturating_add(n as u32), value);
                    }
                }
                RelocationKind::Write => fillings.push(Filling { symbol, offset, word }),
                RelocationKind::Link => {}
            }
        }
        if !constants.is_empty() {
            crate::spirv::specialise(&mut self.code, &constants)?;
        }
        self.session_values.extend(baked);
        self.session_values.sort_unstable();
        self.session_values.dedup();
        Ok(fillings)
    }
}

/// How many bytes of shared memory a group needs for the globals of a unit.
fn shared_bytes(unit: &Unit) -> u64 {
    match unit.globals.values().any(|global| global.space == Space::Shared) {
        true => shared_memory(unit).1,
        false => 0,
    }
}

/// Where each global of a unit stands in the shared memory of a group, if it is there, and how many bytes that takes.
pub fn shared_memory(unit: &Unit) -> (SecondaryMap<Global, Option<u64>>, u64) {
    let mut offsets = SecondaryMap::new();
    let mut end = 0u64;
    for (id, global) in unit.globals.iter().filter(|(_, global)| global.space == Space::Shared) {
        let Some(layout) = global.layout(&unit.types) else { continue };
        let offset = end.next_multiple_of(u64::from(layout.align));
        offsets[id] = Some(offset);
        end = offset.saturating_add(layout.size);
    }
    (offsets, end)
}

/// The entries of a legal unit.
pub fn entries(legal: &Legal) -> Vec<Entry> {
    let unit = legal.unit();
    let abis = legal.entries().iter();
    let entries = unit.entries.iter().zip(abis);
    entries
        .map(|(&func, abi)| {
            let function = &unit.funcs[func];
            Entry {
                symbol: function.name.clone(),
                kind: function.kind,
                signature: function.signature.clone(),
                abi: abi.clone(),
            }
        })
        .collect()
}

/// One argument in an argument block.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Byte offset.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
    /// Whether it is an address.
    pub is_pointer: bool,
}

/// Where scalars, vectors and pointers stand in a block of memory, one after the other in C layout, and the block's
/// size, a multiple of 8. Hosts and emitters lay argument blocks out by this one function.
pub fn argument_block(types: &[Type]) -> (Vec<Slot>, u32) {
    let mut end = 0u32;
    let mut slots = Vec::with_capacity(types.len());
    for &ty in types {
        let layout = Layout::of(ty).unwrap_or(Layout { size: 0, align: 1 });
        let (size, align) = (layout.size as u32, layout.align);
        let offset = end.next_multiple_of(align);
        end = offset + size;
        slots.push(Slot { offset, size, align, is_pointer: ty.is_pointer() });
    }
    (slots, end.next_multiple_of(8))
}

/// As [`argument_block`], of the parameters of an entry: what it takes by value in one block has that block's size.
pub fn parameter_block(params: &[Type], arguments: &[Argument]) -> (Vec<Slot>, u32) {
    let blocks: Vec<&Argument> = arguments.iter().filter(|a| a.passing == Passing::Block).collect();
    let (mut slots, size) = argument_block(params);
    if blocks.is_empty() {
        return (slots, size);
    }
    let mut end = 0u32;
    for (n, slot) in slots.iter_mut().enumerate() {
        // There are few: an argument is a block because it is large.
        if let Some(block) = blocks.iter().find(|block| block.first as usize == n) {
            *slot = Slot { offset: 0, size: block.size as u32, align: block.align, is_pointer: false };
        }
        slot.offset = end.next_multiple_of(slot.align);
        end = slot.offset.saturating_add(slot.size);
    }
    (slots, end.next_multiple_of(8))
}
