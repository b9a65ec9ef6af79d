//! What pointers point to.
//!
//! A pointer is a byte offset, so every access must know its object while the shader is made. Pointers are followed from
//! where they are made, through arithmetic, selections, block parameters and calls; one that may point into two objects
//! is refused.
//!
//! Objects are arrays of 32-bit words. Those that work-items share and that are accessed by atomics, or written in parts of
//! words (which takes two atomics), have atomic words.

use super::internal;
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol, ValueDef};
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;

/// A number in [`Objects`].
pub(super) type Object = u32;

/// What an object is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The buffer of a kernel's parameter.
    Buffer { kernel: Func, param: u32 },
    /// A shared or constant global.
    Global(Global),
    /// A slot.
    Slot { owner: Func },
}

/// An object and how it is accessed.
#[derive(Clone, Debug)]
pub(super) struct ObjectData {
    pub kind: Kind,
    /// Size in bytes; 0 for buffers.
    pub bytes: u64,
    pub atomic: bool,
    pub written: bool,
    /// Whether other functions than the owner get at a slot.
    pub foreign: bool,
}

/// What is known about a pointer.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Root {
    /// Nothing points here so far.
    #[default]
    None,
    One(Object),
    Many,
}

/// Where a pointer points.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Points {
    /// Into no object.
    Nowhere,
    /// Into this one.
    One(Object),
    /// Into one of several, or there is no telling.
    Several,
}

impl Root {
    fn unite(self, other: Root) -> Root {
        match (self, other) {
            (Root::None, root) | (root, Root::None) => root,
            (Root::One(a), Root::One(b)) if a == b => self,
            _ => Root::Many,
        }
    }
}

/// The objects of a unit.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub list: Vec<ObjectData>,
    globals: FxHashMap<Global, Object>,
    slots: FxHashMap<(Func, Inst), Object>,
    buffers: FxHashMap<(Func, u32), Object>,
    /// By function and value.
    roots: Vec<Vec<Root>>,
}

impl Objects {
    /// The objects of a unit, and what its functions do with them.
    ///
    /// # Errors
    /// A unit that is not well-formed.
    pub fn new(unit: &Unit, cfgs: &[ControlFlow]) -> Result<Objects, EmitError> {
        let mut objects = Objects::default();
        for (global, data) in &unit.globals {
            let object = objects.add(unit, Kind::Global(global), data.ty);
            objects.globals.insert(global, object);
        }
        for ((func, function), cfg) in unit.funcs.iter().zip(cfgs) {
            let body = &function.body;
            objects.roots.push(vec![Root::None; body.value_count()]);
            if function.kind == MethodKind::Kernel {
                objects.add_buffers(unit, func);
            }
            for &block in cfg.reverse_post_order() {
                for inst in body.block_insts(block).filter(|&inst| body.inst(inst).op == Op::Slot) {
                    let object = objects.add(unit, Kind::Slot { owner: func }, body.inst(inst).ty);
                    objects.slots.insert((func, inst), object);
                }
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (func, cfg) in unit.funcs.keys().zip(cfgs) {
                changed |= objects.trace(unit, func, cfg);
            }
        }
        for (func, cfg) in unit.funcs.keys().zip(cfgs) {
            objects.record(unit, func, cfg)?;
        }
        Ok(objects)
    }

    fn add(&mut self, unit: &Unit, kind: Kind, ty: Type) -> Object {
        let bytes = unit.types.layout(ty).map_or(0, |layout| layout.size);
        self.push(ObjectData { kind, bytes, atomic: false, written: false, foreign: false })
    }

    fn push(&mut self, data: ObjectData) -> Object {
        self.list.push(data);
        self.list.len() as Object - 1
    }

    fn add_buffers(&mut self, unit: &Unit, kernel: Func) {
        for (param, ty) in unit.funcs[kernel].signature.params.iter().enumerate() {
            if ty.is_pointer() {
                let param = param as u32;
                let kind = Kind::Buffer { kernel, param };
                let object =
                    self.push(ObjectData { kind, bytes: 0, atomic: false, written: false, foreign: false });
                self.buffers.insert((kernel, param), object);
            }
        }
    }

    /// The object of a slot.
    pub fn slot(&self, func: Func, inst: Inst) -> Option<Object> {
        self.slots.get(&(func, inst)).copied()
    }

    /// The object of a kernel's parameter.
    pub fn buffer(&self, kernel: Func, param: u32) -> Option<Object> {
        self.buffers.get(&(kernel, param)).copied()
    }

    /// The object of a global.
    pub fn global(&self, global: Global) -> Option<Object> {
        self.globals.get(&global).copied()
    }

    fn root(&self, func: Func, body: &Body, value: Value) -> Root {
        match body.value_def(value) {
            // An address that the program made up.
            ValueDef::Const(_) => Root::None,
            _ => self.get(func, value),
        }
    }

    fn get(&self, func: Func, value: Value) -> Root {
        let of = self.roots.get(func.as_u32() as usize);
        of.and_then(|roots| roots.get(value.as_u32() as usize)).copied().unwrap_or_default()
    }

    fn unite(&mut self, func: Func, value: Value, root: Root) -> bool {
        let of = self.roots.get_mut(func.as_u32() as usize);
        let Some(place) = of.and_then(|roots| roots.get_mut(value.as_u32() as usize)) else { return false };
        let new = place.unite(root);
        std::mem::replace(place, new) != new
    }

    /// Follows the pointers of a function once; whether that found anything.
    fn trace(&mut self, unit: &Unit, func: Func, cfg: &ControlFlow) -> bool {
        let function = &unit.funcs[func];
        let body = &function.body;
        let mut changed = false;
        for &block in cfg.reverse_post_order() {
            let is_entry = Some(block) == body.entry();
            for (n, &param) in body.block_params(block).iter().enumerate() {
                if !body.value_type(param).is_pointer() {
                    continue;
                }
                if is_entry && let Some(object) = self.buffer(func, n as u32) {
                    changed |= self.unite(func, param, Root::One(object));
                }
                for &(_, call) in cfg.predecessors(block) {
                    if let Some(&arg) = body.target_args(call).get(n) {
                        changed |= self.unite(func, param, self.root(func, body, arg));
                    }
                }
            }
            for inst in body.block_insts(block) {
                for result in body.results(inst).filter(|&r| body.value_type(r).is_pointer()) {
                    let root = self.made_by(func, body, inst);
                    changed |= self.unite(func, result, root);
                }
                if body.inst(inst).op == Op::Call
                    && let Symbol::Func(callee) = *body.symbol(SymbolRef::from_u32(body.inst(inst).imm))
                    && let Some(entry) = unit.funcs[callee].body.entry()
                {
                    let params = unit.funcs[callee].body.block_params(entry);
                    for (&arg, &param) in body.args(inst).iter().zip(params) {
                        if body.value_type(arg).is_pointer() {
                            changed |= self.unite(callee, param, self.root(func, body, arg));
                        }
                    }
                }
            }
        }
        changed
    }

    fn made_by(&self, func: Func, body: &Body, inst: Inst) -> Root {
        let data = body.inst(inst);
        let args = body.args(inst);
        let one = |object: Option<Object>| object.map_or(Root::Many, Root::One);
        match data.op {
            Op::Slot => one(self.slot(func, inst)),
            Op::GlobalAddress => match body.symbol(SymbolRef::from_u32(data.imm)) {
                Symbol::Global(global) => one(self.global(*global)),
                _ => Root::Many,
            },
            Op::PtrAdd | Op::Index | Op::FieldAddress | Op::SpaceCast => {
                args.first().map_or(Root::Many, |&arg| self.root(func, body, arg))
            }
            Op::Select => {
                let roots = args.iter().skip(1).map(|&arg| self.root(func, body, arg));
                roots.fold(Root::None, Root::unite)
            }
            // Functions could return a pointer to anything.
            _ => Root::Many,
        }
    }

    /// The object that a pointer points into.
    ///
    /// # Errors
    /// There is none, or more than one, which is refused before.
    pub fn of(&self, func: Func, body: &Body, value: Value) -> Result<Object, EmitError> {
        match self.points(func, body, value) {
            Points::One(object) => Ok(object),
            _ => Err(internal("an access to no object")),
        }
    }

    /// Where a pointer points.
    pub fn points(&self, func: Func, body: &Body, value: Value) -> Points {
        match self.root(func, body, value) {
            Root::One(object) => Points::One(object),
            Root::None => Points::Nowhere,
            Root::Many => Points::Several,
        }
    }

    /// Whether two pointers are offsets into one object.
    pub fn same(&self, func: Func, body: &Body, a: Value, b: Value) -> bool {
        let (a, b) = (self.root(func, body, a), self.root(func, body, b));
        a == b && matches!(a, Root::One(_))
    }

    /// Notes how a function accesses objects.
    fn record(&mut self, unit: &Unit, func: Func, cfg: &ControlFlow) -> Result<(), EmitError> {
        let body = &unit.funcs[func].body;
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block) {
                let data = body.inst(inst);
                let args = body.args(inst);
                let shape = data.op.info().shape;
                if !matches!(shape, Shape::Load | Shape::Store | Shape::AtomicLoad | Shape::Atomic) {
                    continue;
                }
                let &pointer = args.first().ok_or_else(|| internal("an access without address"))?;
                let Points::One(object) = self.points(func, body, pointer) else { continue };
                let stored = args.get(1).map(|&value| body.value_type(value));
                let natural = unit.types.layout(stored.unwrap_or(data.ty)).map_or(4, |l| l.size);
                let align = MemFlags::from_bits(data.imm).align().map_or(natural, u64::from);
                let Some(entry) = self.list.get_mut(object as usize) else { continue };
                let partial = natural.min(align) < 4;
                let shared = !matches!(entry.kind, Kind::Slot { .. });
                entry.written |= !matches!(shape, Shape::Load | Shape::AtomicLoad);
                entry.atomic |= shared
                    && (matches!(shape, Shape::AtomicLoad | Shape::Atomic)
                        || shape == Shape::Store && partial);
                if let Kind::Slot { owner } = entry.kind {
                    entry.foreign |= owner != func;
                }
            }
        }
        Ok(())
    }
}
