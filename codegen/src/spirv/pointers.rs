//! What pointers of Vulkan shaders point to.
//!
//! Vulkan has addresses for buffers only. Shared memory, slots and constant globals are *objects*: arrays of one
//! element type, reached by index. A pointer to an object is, in registers and in memory, the 64-bit integer
//! `object number + 2^31` above a 32-bit byte offset, so pointers of all kinds can be computed, compared and stored; an
//! access needs to know the object, though, when the shader is made. This module finds the objects that each pointer
//! may point to, by following pointers from where they are made (through arithmetic, selections and block parameters).
//! Slots that other functions get at are variables of the module: without recursion, one of each is enough.
//! What was loaded from memory may point to any object of its space.
//!
//! The elements of an object are as wide as the narrowest access to it; wider accesses are split.

use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol, ValueDef};
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A number in [`Objects`].
pub(super) type Object = u32;

/// What the elements of an object are.
#[derive(Clone, Debug)]
pub(super) struct ObjectData {
    pub space: Space,
    /// Size in bytes.
    pub bytes: u64,
    /// Narrowest access so far, in bytes.
    pub element: u32,
    /// Whether there are atomic additions of floats, which need elements of that type.
    pub float_add: bool,
    /// For slots: whose, and whether other functions get at it.
    pub owner: Option<Func>,
    pub elsewhere: bool,
    /// For constants: which.
    pub global: Option<Global>,
    /// The variable, once there is one.
    pub variable: u32,
}

impl ObjectData {
    /// Elements, at least one.
    pub fn length(&self) -> u64 {
        self.bytes.div_ceil(u64::from(self.element)).max(1)
    }
}

/// What a pointer may point to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Set {
    /// Some place in a buffer.
    address: bool,
    /// Anything of its space.
    unknown: bool,
    /// Objects, ascending.
    list: SmallVec<[Object; 2]>,
}

/// What the pointers of a function may point to.
#[derive(Clone, Debug, Default)]
struct Sets {
    /// Per value the number of its set, plus one; 0 where there is none.
    numbers: SecondaryMap<Value, u32>,
    list: Vec<Set>,
}

impl Sets {
    /// Nothing is known yet.
    fn new(body: &Body) -> Sets {
        let mut sets = Sets::default();
        sets.numbers.resize(body.value_count());
        sets.list.reserve(USUAL_POINTERS);
        sets
    }

    fn get(&self, value: Value) -> Option<&Set> {
        self.list.get((self.numbers[value] as usize).checked_sub(1)?)
    }

    /// Adds to what a value may point to; whether anything was new.
    fn add(&mut self, value: Value, set: &Set) -> bool {
        let number = &mut self.numbers[value];
        if *number == 0 {
            self.list.push(Set::default());
            *number = self.list.len() as u32;
        }
        self.list[*number as usize - 1].unite(set)
    }
}

/// How many pointers a kernel has.
const USUAL_POINTERS: usize = 32;

/// More candidates than this are unknown.
const MAX_CANDIDATES: usize = 16;

impl Set {
    /// What a pointer of a space may point to if nothing is known about it.
    fn unknown(space: Option<Space>) -> Set {
        // The other spaces' objects are constants, and addresses of those are known or generic.
        let address = matches!(space, Some(Space::Global | Space::Constant | Space::Param));
        Set { address, unknown: !address, list: SmallVec::new() }
    }

    fn unite(&mut self, other: &Set) -> bool {
        let mut changed = other.unknown && !self.unknown || other.address && !self.address;
        self.unknown |= other.unknown;
        self.address |= other.address;
        for &object in &other.list {
            if let Err(at) = self.list.binary_search(&object) {
                self.list.insert(at, object);
                changed = true;
            }
        }
        if self.list.len() > MAX_CANDIDATES && !self.unknown {
            self.unknown = true;
            changed = true;
        }
        changed
    }
}

/// Where an access may go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// To an address in a buffer.
    pub address: bool,
    /// To one of these objects.
    pub objects: SmallVec<[Object; 2]>,
}

/// The objects of a unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub list: Vec<ObjectData>,
    globals: FxHashMap<Global, Object>,
    slots: FxHashMap<(Func, Inst), Object>,
    shared: SmallVec<[Object; 2]>,
    local: SmallVec<[Object; 2]>,
    /// Whether a pointer to an object was made generic.
    generic: bool,
    /// Of the accesses that may go to an object.
    targets: FxHashMap<(Func, Inst), Target>,
    /// Accesses to shared or local memory where the program has none.
    pub nowhere: Vec<(Func, Inst)>,
}

/// The pointer operand and the bytes of an access to memory.
fn access(unit: &Unit, body: &Body, inst: Inst) -> Option<(Value, u32, bool)> {
    let data = body.inst(inst);
    let args = body.args(inst);
    let (atomic, ty) = match data.op.info().shape {
        Shape::Load => (false, data.ty),
        Shape::Store => (false, body.value_type(*args.get(1)?)),
        Shape::AtomicLoad => (true, data.ty),
        Shape::Atomic => (true, body.value_type(*args.get(1)?)),
        _ => return None,
    };
    let layout = unit.types.layout(ty)?;
    let align = MemFlags::from_bits(data.imm).align().unwrap_or(layout.align);
    let bytes = (layout.size as u32).min(if atomic { u32::MAX } else { align });
    Some((*args.first()?, bytes, atomic))
}

impl Objects {
    /// The objects of a unit and what its functions do with them.
    pub fn new(unit: &Unit, cfgs: &[ControlFlow]) -> Objects {
        let mut objects = Objects::default();
        for (global, data) in &unit.globals {
            if matches!(data.space, Space::Shared | Space::Constant) {
                let object = objects.add(unit, data.ty, data.space, Some(global));
                objects.globals.insert(global, object);
                if data.space == Space::Shared {
                    objects.shared.push(object);
                }
            }
        }
        for ((func, function), cfg) in unit.funcs.iter().zip(cfgs) {
            if !function.body.may_have(Op::Slot) {
                continue;
            }
            objects.add_slots(unit, func, &function.body, cfg);
        }
        if objects.list.is_empty() {
            return objects;
        }
        let sets = unit.funcs.values().zip(cfgs).map(|(function, _)| Sets::new(&function.body));
        let mut sets: Vec<Sets> = sets.collect();
        let mut changed = true;
        while changed {
            changed = false;
            for ((func, function), cfg) in unit.funcs.iter().zip(cfgs) {
                changed |= objects.trace(unit, func, &function.body, cfg, &mut sets);
            }
        }
        for (((func, function), cfg), sets) in unit.funcs.iter().zip(cfgs).zip(&sets) {
            objects.record(unit, func, &function.body, cfg, sets);
        }
        objects
    }

    fn add(&mut self, unit: &Unit, ty: Type, space: Space, global: Option<Global>) -> Object {
        let layout = unit.types.layout(ty);
        let bytes = layout.map_or(0, |l| l.size);
        // Until an access says otherwise, elements are words, or what is aligned.
        let element = 8;
        self.list.push(ObjectData {
            space,
            bytes,
            element,
            float_add: false,
            owner: None,
            elsewhere: false,
            global,
            variable: 0,
        });
        self.list.len() as Object - 1
    }

    /// The object of a slot.
    pub fn slot(&self, func: Func, inst: Inst) -> Option<Object> {
        self.slots.get(&(func, inst)).copied()
    }

    /// The object of a global.
    pub fn global(&self, global: Global) -> Option<Object> {
        self.globals.get(&global).copied()
    }

    /// Where an access goes.
    pub fn target(&self, func: Func, inst: Inst) -> Target {
        let address = || Target { address: true, objects: SmallVec::new() };
        self.targets.get(&(func, inst)).cloned().unwrap_or_else(address)
    }

    fn add_slots(&mut self, unit: &Unit, func: Func, body: &Body, cfg: &ControlFlow) {
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block).filter(|&inst| body.inst(inst).op == Op::Slot) {
                let object = self.add(unit, body.inst(inst).ty, Space::Local, None);
                self.list[object as usize].owner = Some(func);
                self.slots.insert((func, inst), object);
                self.local.push(object);
            }
        }
    }

    /// Follows the pointers of a function once; whether that found anything that earlier parts may depend on: what loops
    /// pass back, and what calls pass to other functions.
    fn trace(&self, unit: &Unit, func: Func, body: &Body, cfg: &ControlFlow, all: &mut [Sets]) -> bool {
        let number = func.as_u32() as usize;
        let mut sets = std::mem::take(&mut all[number]);
        let (mut changed, mut goes_round) = (false, false);
        for &block in cfg.reverse_post_order() {
            let is_entry = Some(block) == body.entry();
            for (n, &param) in body.block_params(block).iter().enumerate() {
                if !body.value_type(param).is_pointer() {
                    continue;
                }
                let mut set = sets.get(param).cloned().unwrap_or_default();
                // What calls pass to functions is followed; hosts pass buffers to kernels.
                if is_entry && unit.funcs[func].kind == MethodKind::Kernel {
                    set.unite(&Set::unknown(body.value_type(param).space()));
                }
                for &(from, call) in cfg.predecessors(block) {
                    goes_round |= cfg.position(from) >= cfg.position(block);
                    if let Some(&arg) = body.target_args(call).get(n) {
                        set.unite(&source(&sets, body, arg));
                    }
                }
                changed |= sets.add(param, &set);
            }
            for inst in body.block_insts(block) {
                for result in body.results(inst).filter(|&r| body.value_type(r).is_pointer()) {
                    let set = self.made_by(func, body, inst, &sets);
                    changed |= sets.add(result, &set);
                }
                if body.inst(inst).op == Op::Call
                    && let Symbol::Func(callee) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm))
                    && let Some(entry) = unit.funcs[*callee].body.entry()
                    && *callee != func
                    && let Some(of_callee) = all.get_mut(callee.as_u32() as usize)
                {
                    let params = unit.funcs[*callee].body.block_params(entry);
                    for (&arg, &param) in body.args(inst).iter().zip(params) {
                        if body.value_type(arg).is_pointer() {
                            goes_round = true;
                            changed |= of_callee.add(param, &source(&sets, body, arg));
                        }
                    }
                }
            }
        }
        all[number] = sets;
        changed && goes_round
    }

    fn made_by(&self, func: Func, body: &Body, inst: Inst, sets: &Sets) -> Set {
        let args = body.args(inst);
        let data = body.inst(inst);
        let space = body.first_result(inst).and_then(|result| body.value_type(result).space());
        let one = |object: Option<Object>| match object {
            Some(object) => Set { list: SmallVec::from_slice(&[object]), ..Set::default() },
            None => Set::unknown(space),
        };
        match data.op {
            Op::Slot => one(self.slot(func, inst)),
            Op::GlobalAddress => match body.symbol(SymbolRef::from_u32(data.imm)) {
                Symbol::Global(global) => one(self.global(*global)),
                _ => Set::unknown(space),
            },
            Op::SpaceCast if space == Some(Space::Global) => Set::unknown(space),
            Op::PtrAdd | Op::Index | Op::FieldAddress | Op::SpaceCast => {
                args.first().map_or_else(|| Set::unknown(space), |&arg| source(sets, body, arg))
            }
            Op::Select => {
                let mut set = Set::default();
                for &arg in args.iter().skip(1) {
                    set.unite(&source(sets, body, arg));
                }
                set
            }
            _ => Set::unknown(space),
        }
    }

    /// Notes where the accesses of a function go and how wide they are.
    fn record(&mut self, unit: &Unit, func: Func, body: &Body, cfg: &ControlFlow, sets: &Sets) {
        let insts = || cfg.reverse_post_order().iter().flat_map(|&block| body.block_insts(block));
        for inst in insts().filter(|&inst| body.inst(inst).op == Op::SpaceCast) {
            let made = body.first_result(inst).and_then(|result| sets.get(result));
            self.generic |= made.is_some_and(|set| !set.list.is_empty());
        }
        for inst in insts() {
            let Some((pointer, bytes, atomic)) = access(unit, body, inst) else { continue };
            let space = body.value_type(pointer).space().unwrap_or(Space::Generic);
            let Some(target) = self.resolve(space, &source(sets, body, pointer)) else {
                self.nowhere.push((func, inst));
                continue;
            };
            for &object in &target.objects {
                let data = &mut self.list[object as usize];
                data.element = data.element.min(bytes.max(1));
                data.elsewhere |= data.owner.is_some_and(|owner| owner != func);
                data.float_add |= atomic
                    && body.inst(inst).op == Op::RmwAdd
                    && body.args(inst).get(1).is_some_and(|&v| body.value_type(v).is_float());
            }
            // All others go to an address.
            if !target.objects.is_empty() {
                self.targets.insert((func, inst), target);
            }
        }
    }

    /// Where an access goes; none if that is nowhere.
    fn resolve(&self, space: Space, set: &Set) -> Option<Target> {
        let mut target = Target { address: set.address, objects: set.list.clone() };
        if set.unknown {
            match space {
                Space::Shared => target.objects = self.shared.clone(),
                Space::Local => target.objects = self.local.clone(),
                _ => {
                    target.address = true;
                    if self.generic {
                        target.objects = (0..self.list.len() as Object).collect();
                    }
                }
            }
        }
        match space {
            Space::Shared | Space::Local if target.objects.is_empty() && set.unknown => None,
            _ => {
                target.address |= target.objects.is_empty();
                Some(target)
            }
        }
    }
}

fn source(sets: &Sets, body: &Body, value: Value) -> Set {
    match body.value_def(value) {
        ValueDef::Const(id) if body.constant(id).is_zero() => Set::default(),
        ValueDef::Const(_) => Set::unknown(body.value_type(value).space()),
        _ => sets.get(value).cloned().unwrap_or_default(),
    }
}
