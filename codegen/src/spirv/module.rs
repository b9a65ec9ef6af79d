//! A SPIR-V module under construction: its sections, in the order of the specification (2.4), as words.
//!
//! Words are written directly instead of through a tree of instructions: an emitter that runs for every job of a
//! host should cost microseconds. Types and constants are interned by their words, so that each exists once (as
//! 2.8 asks for non-aggregate types) and so that the same unit always gives the same ids.

use super::caps::Capabilities;
use super::{Api, Environment};
use rspirv::spirv as spv;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The id of a result; 0 is none.
pub(super) type Id = u32;

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
        // 65535 words is the format's limit; long instructions are checked where they can occur.
        self.0.push(((operands as u32 + 1) << 16) | op as u32);
    }

    /// Adds an instruction with a string in the middle of its operands.
    fn op_string(&mut self, op: spv::Op, before: &[u32], text: &str, after: &[u32]) {
        let string = string_words(text);
        self.begin(op, before.len() + string.len() + after.len());
        self.0.extend_from_slice(before);
        self.0.extend_from_slice(&string);
        self.0.extend_from_slice(after);
    }
}

/// A literal string: UTF-8, little-endian in words, with a final zero byte.
fn string_words(text: &str) -> Vec<u32> {
    let mut words = vec![0u32; text.len() / 4 + 1];
    for (n, byte) in text.bytes().enumerate() {
        if let Some(word) = words.get_mut(n / 4) {
            *word |= u32::from(byte) << (n % 4 * 8);
        }
    }
    words
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
    interned: FxHashMap<SmallVec<[u32; 6]>, Id>,
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
            interned: FxHashMap::with_capacity_and_hasher(96, Default::default()),
            ints: [0; 8],
            floats: [0; 8],
        }
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
        let mut key: SmallVec<[u32; 6]> = SmallVec::with_capacity(operands.len() + 1);
        key.push(op as u32);
        key.extend_from_slice(operands);
        if let Some(&id) = self.interned.get(&key) {
            return id;
        }
        let id = self.id();
        self.globals.begin(op, operands.len() + 1);
        self.globals.0.push(id);
        self.globals.0.extend_from_slice(operands);
        self.interned.insert(key, id);
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
    pub fn float_widths(&self) -> Vec<u32> {
        let has = |bits: u32| {
            let key: SmallVec<[u32; 6]> = SmallVec::from_slice(&[spv::Op::TypeFloat as u32, bits]);
            self.interned.contains_key(&key)
        };
        [16, 32, 64].into_iter().filter(|&bits| has(bits)).collect()
    }

    /// The constant of this type and these words, made if it does not exist yet.
    pub fn intern_const(&mut self, op: spv::Op, ty: Id, operands: &[u32]) -> Id {
        let mut key: SmallVec<[u32; 6]> = SmallVec::with_capacity(operands.len() + 2);
        key.extend([op as u32, ty]);
        key.extend_from_slice(operands);
        if let Some(&id) = self.interned.get(&key) {
            return id;
        }
        let id = self.global(op, ty, operands);
        self.interned.insert(key, id);
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

    /// The whole module.
    pub fn finish(self) -> Vec<u32> {
        let (addressing, memory) = match self.env.api {
            Api::Vulkan => (spv::AddressingModel::PhysicalStorageBuffer64, spv::MemoryModel::Vulkan),
            Api::OpenCl => (spv::AddressingModel::Physical64, spv::MemoryModel::OpenCL),
        };
        let words = [
            &self.entries,
            &self.modes,
            &self.sources,
            &self.names,
            &self.annotations,
            &self.globals,
            &self.functions,
        ];
        let count: usize = words.iter().map(|section| section.0.len()).sum();
        let mut out = Words(Vec::with_capacity(count + 64));
        let version = self.caps.version();
        out.0.extend([spv::MAGIC_NUMBER, version, 0, self.next, 0]);
        for &capability in self.caps.capabilities() {
            out.op(spv::Op::Capability, &[capability]);
        }
        for extension in self.caps.extensions() {
            out.op_string(spv::Op::Extension, &[], extension, &[]);
        }
        out.0.extend(self.imports.0);
        out.op(spv::Op::MemoryModel, &[addressing as u32, memory as u32]);
        for section in [
            self.entries,
            self.modes,
            self.sources,
            self.names,
            self.annotations,
            self.globals,
            self.functions,
        ] {
            out.0.extend(section.0);
        }
        out.0
    }
}
