//! A SPIR-V module under construction: its sections, in the order of the specification (2.4), as words.
//!
//! Words are written directly instead of through a tree of instructions: an emitter that runs for every job of a
//! host should cost microseconds. Types and constants are interned by their words, so that each exists once (as
//! 2.8 asks for non-aggregate types) and so that the same unit always gives the same ids.

use super::caps::Capabilities;
use super::{Api, Environment};
use rspirv::spirv as spv;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// The id of a result; 0 is none.
pub(super) type Id = u32;

/// Where types and constants are among the words of the module: a hash table with linear probing that compares them in
/// place.
#[derive(Debug, Default)]
struct Interned {
    /// The upper half of the hash, and the position plus one.
    slots: Vec<(u32, u32)>,
    taken: usize,
}

/// The most slots that outlive a module; a power of two.
const MAX_KEPT: usize = 4096;

impl Interned {
    fn clear(&mut self) {
        // A table that one large module needed would cost every later one.
        self.slots.truncate(MAX_KEPT);
        self.slots.fill((0, 0));
        self.taken = 0;
    }

    /// The hash of an instruction without its result: first word, result type (0 for none), operands.
    fn hash(first: u32, ty: Id, operands: &[u32]) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write_u64(u64::from(first) << 32 | u64::from(ty));
        operands.iter().for_each(|&word| hasher.write_u32(word));
        hasher.finish()
    }

    /// The position of an instruction with this hash for which `is` holds.
    fn find(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let (upper, position) = *self.slots.get(at)?;
            let position = position.checked_sub(1)? as usize;
            if upper == (hash >> 32) as u32 && is(position) {
                return Some(position);
            }
            at = (at + 1) & mask;
        }
    }

    /// Notes where an instruction of this hash is. `rehash` gives the hash of any that is noted.
    fn insert(&mut self, hash: u64, position: usize, rehash: impl Fn(usize) -> u64) {
        if (self.taken + 1) * 2 > self.slots.len() {
            let count = (self.slots.len() * 2).max(256);
            let old = std::mem::replace(&mut self.slots, vec![(0, 0); count]);
            for (upper, position) in old.into_iter().filter(|slot| slot.1 != 0) {
                self.put(rehash(position as usize - 1), (upper, position));
            }
        }
        self.taken += 1;
        self.put(hash, ((hash >> 32) as u32, position as u32 + 1));
    }

    fn put(&mut self, hash: u64, slot: (u32, u32)) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(other) = self.slots.get(at).filter(|other| other.1 != 0) {
            debug_assert!(*other != slot, "noted twice");
            at = (at + 1) & mask;
        }
        if let Some(free) = self.slots.get_mut(at) {
            *free = slot;
        }
    }
}

/// A stream of instructions.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(pub Vec<u32>);

impl Words {
    /// Adds an instruction.
    pub fn op(&mut self, op: spv::Op, operands: &[u32]) {
        self.begin(op, operands.len());
        self.0.extend_from_slice(operands);
    }

    /// Adds the first word of an instruction whose operands the caller adds.
    fn begin(&mut self, op: spv::Op, operands: usize) {
        self.0.push(first_word(op, operands));
    }

    /// Adds an instruction with a string in the middle of its operands: UTF-8, little-endian in words, with a final
    /// zero byte.
    fn op_string(&mut self, op: spv::Op, before: &[u32], text: &str, after: &[u32]) {
        let length = text.len() / 4 + 1;
        self.begin(op, before.len() + length + after.len());
        self.0.extend_from_slice(before);
        let (words, rest) = text.as_bytes().as_chunks::<4>();
        self.0.extend(words.iter().map(|&bytes| u32::from_le_bytes(bytes)));
        self.0.push(rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)));
        self.0.extend_from_slice(after);
    }
}

/// The first word of an instruction. 65535 words is the format's limit; long instructions are checked where they can
/// occur.
fn first_word(op: spv::Op, operands: usize) -> u32 {
    ((operands as u32 + 1) << 16) | op as u32
}

/// The words of the instruction at a position from its `skip`-th on.
fn operands_at(words: &[u32], at: usize, skip: usize) -> &[u32] {
    let length = words.get(at).map_or(0, |first| (first >> 16) as usize);
    words.get(at + skip..at + length).unwrap_or(&[])
}

/// The most words of one instruction (2.3: the count is 16 bits wide), less room for its fixed operands.
pub(super) const MAX_OPERANDS: usize = 65_000;

/// What is shown of a name: an instruction has no room for any length, and strings end at a zero byte.
fn shown(name: &str) -> &str {
    let name = name.split('\0').next().unwrap_or("");
    let mut end = name.len().min(4096);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or("")
}

/// A module.
#[derive(Debug)]
pub(super) struct Module {
    /// What it is for.
    pub env: Environment,
    /// What it asks of the device.
    pub caps: Capabilities,
    next: Id,
    imports: Words,
    std: Id,
    entries: Words,
    modes: Words,
    sources: Words,
    names: Words,
    annotations: Words,
    /// Types, constants and module-scope variables.
    pub globals: Words,
    /// Finished functions.
    pub functions: Words,
    types: Interned,
    consts: Interned,
    /// Integer and float types by the binary logarithm of their width: what is asked for most. 0 is none yet.
    pub ints: [Id; 8],
    pub floats: [Id; 8],
}

impl Module {
    /// An empty module.
    pub fn new(env: Environment) -> Self {
        Module {
            env,
            caps: Capabilities::new(env),
            next: 1,
            imports: Words::default(),
            std: 0,
            entries: Words::default(),
            modes: Words::default(),
            sources: Words::default(),
            names: Words::default(),
            annotations: Words::default(),
            // What a small kernel needs, so that tables grow for large ones only.
            globals: Words(Vec::with_capacity(512)),
            functions: Words::default(),
            types: Interned::default(),
            consts: Interned::default(),
            ints: [0; 8],
            floats: [0; 8],
        }
    }

    /// Starts another module in the memory of this one.
    pub fn restart(&mut self, env: Environment) {
        let Module {
            env: old,
            caps,
            next,
            imports,
            std,
            entries,
            modes,
            sources,
            names,
            annotations,
            globals,
            functions,
            types,
            consts,
            ints,
            floats,
        } = self;
        *old = env;
        *caps = Capabilities::new(env);
        (*next, *std) = (1, 0);
        for section in [imports, entries, modes, sources, names, annotations, globals, functions] {
            section.0.clear();
        }
        types.clear();
        consts.clear();
        (*ints, *floats) = ([0; 8], [0; 8]);
    }

    /// A new id.
    pub fn id(&mut self) -> Id {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Whether the environment is Vulkan.
    pub fn is_vulkan(&self) -> bool {
        self.env.api == Api::Vulkan
    }

    /// Several new ids in a row; the first.
    pub fn ids(&mut self, count: u32) -> Id {
        let first = self.next;
        self.next += count;
        first
    }

    /// The extended instruction set of the environment.
    pub fn std(&mut self) -> Id {
        if self.std == 0 {
            self.std = self.id();
            let name = if self.is_vulkan() { "GLSL.std.450" } else { "OpenCL.std" };
            self.imports.op_string(spv::Op::ExtInstImport, &[self.std], name, &[]);
        }
        self.std
    }

    /// The type of these words, made if it does not exist yet.
    pub fn intern_type(&mut self, op: spv::Op, operands: &[u32]) -> Id {
        let first = first_word(op, operands.len() + 1);
        let hash = Interned::hash(first, 0, operands);
        let words = &self.globals.0;
        let is = |at: usize| words[at] == first && words[at + 2..].starts_with(operands);
        if let Some(at) = self.types.find(hash, is) {
            return words[at + 1];
        }
        let id = self.id();
        let at = self.globals.0.len();
        self.globals.0.extend([first, id]);
        self.globals.0.extend_from_slice(operands);
        let words = &self.globals.0;
        self.types.insert(hash, at, |at| Interned::hash(words[at], 0, operands_at(words, at, 2)));
        id
    }

    /// A new struct type, never shared.
    pub fn new_struct(&mut self, members: &[Id]) -> Id {
        let id = self.id();
        self.globals.begin(spv::Op::TypeStruct, members.len() + 1);
        self.globals.0.push(id);
        self.globals.0.extend_from_slice(members);
        id
    }

    /// Widths of the float types in use.
    pub fn float_widths(&self) -> impl Iterator<Item = u32> + use<> {
        let floats = self.floats;
        [16u32, 32, 64].into_iter().filter(move |bits| floats[(bits.trailing_zeros() & 7) as usize] != 0)
    }

    /// The constant of this type and these words, made if it does not exist yet.
    pub fn intern_const(&mut self, op: spv::Op, ty: Id, operands: &[u32]) -> Id {
        let first = first_word(op, operands.len() + 2);
        let hash = Interned::hash(first, ty, operands);
        let words = &self.globals.0;
        let is =
            |at: usize| words[at] == first && words[at + 1] == ty && words[at + 3..].starts_with(operands);
        if let Some(at) = self.consts.find(hash, is) {
            return words[at + 2];
        }
        let at = self.globals.0.len();
        let id = self.global(op, ty, operands);
        let words = &self.globals.0;
        self.consts
            .insert(hash, at, |at| Interned::hash(words[at], words[at + 1], operands_at(words, at, 3)));
        id
    }

    /// A new type, constant or variable with a result type, never shared.
    pub fn global(&mut self, op: spv::Op, ty: Id, operands: &[u32]) -> Id {
        let id = self.id();
        self.globals.begin(op, operands.len() + 2);
        self.globals.0.extend([ty, id]);
        self.globals.0.extend_from_slice(operands);
        id
    }

    /// Decorates an id.
    pub fn decorate(&mut self, id: Id, decoration: spv::Decoration, operands: &[u32]) {
        self.annotations.begin(spv::Op::Decorate, operands.len() + 2);
        self.annotations.0.extend([id, decoration as u32]);
        self.annotations.0.extend_from_slice(operands);
    }

    /// Decorates a member of a struct.
    pub fn decorate_member(&mut self, ty: Id, member: u32, decoration: spv::Decoration, operand: u32) {
        self.annotations.op(spv::Op::MemberDecorate, &[ty, member, decoration as u32, operand]);
    }

    /// Names an id, for people who read the module.
    pub fn name(&mut self, id: Id, name: &str) {
        self.names.op_string(spv::Op::Name, &[id], shown(name), &[]);
    }

    /// The id of a source file's name.
    pub fn source(&mut self, name: &str) -> Id {
        let id = self.id();
        self.sources.op_string(spv::Op::String, &[id], shown(name), &[]);
        // No language with a number, no version.
        self.sources.op(spv::Op::Source, &[spv::SourceLanguage::Unknown as u32, 0, id]);
        id
    }

    /// Declares an entry point and the module-scope variables that it uses.
    pub fn entry_point(&mut self, model: spv::ExecutionModel, function: Id, name: &str, interface: &[Id]) {
        self.entries.op_string(spv::Op::EntryPoint, &[model as u32, function], name, interface);
    }

    /// Gives an entry point an execution mode.
    pub fn mode(&mut self, function: Id, mode: spv::ExecutionMode, operands: &[u32]) {
        self.modes.begin(spv::Op::ExecutionMode, operands.len() + 2);
        self.modes.0.extend([function, mode as u32]);
        self.modes.0.extend_from_slice(operands);
    }

    /// Gives an entry point an execution mode whose operands are ids.
    pub fn mode_ids(&mut self, function: Id, mode: spv::ExecutionMode, operands: &[Id]) {
        self.modes.begin(spv::Op::ExecutionModeId, operands.len() + 2);
        self.modes.0.extend([function, mode as u32]);
        self.modes.0.extend_from_slice(operands);
    }

    /// Appends the whole module.
    pub fn finish(&self, out: &mut Vec<u32>) {
        let (addressing, memory) = match self.env.api {
            Api::Vulkan => (spv::AddressingModel::PhysicalStorageBuffer64, spv::MemoryModel::Vulkan),
            Api::OpenCl => (spv::AddressingModel::Physical64, spv::MemoryModel::OpenCL),
        };
        let sections = [
            &self.entries,
            &self.modes,
            &self.sources,
            &self.names,
            &self.annotations,
            &self.globals,
            &self.functions,
        ];
        let count: usize = sections.iter().map(|section| section.0.len()).sum();
        out.reserve(count + 64);
        let mut all = Words(std::mem::take(out));
        let version = self.caps.version();
        all.0.extend([spv::MAGIC_NUMBER, version, 0, self.next, 0]);
        for &capability in self.caps.capabilities() {
            all.op(spv::Op::Capability, &[capability]);
        }
        for extension in self.caps.extensions() {
            all.op_string(spv::Op::Extension, &[], extension, &[]);
        }
        all.0.extend_from_slice(&self.imports.0);
        all.op(spv::Op::MemoryModel, &[addressing as u32, memory as u32]);
        for section in sections {
            all.0.extend_from_slice(&section.0);
        }
        *out = all.0;
    }
}
