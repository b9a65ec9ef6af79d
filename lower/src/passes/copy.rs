//! Copies of instructions inside one body.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::types::Type;
use smallvec::SmallVec;

/// What stands for which value in a copy; unmapped values stand for themselves.
#[derive(Default)]
pub struct ValueMap {
    map: SecondaryMap<Value, PackedOption<Value>>,
    mapped: Vec<Value>,
}

impl ValueMap {
    /// From now on `old` is copied as `new`.
    pub fn set(&mut self, old: Value, new: Value) {
        self.map[old] = new.into();
        self.mapped.push(old);
    }

    /// What stands for a value.
    pub fn get(&self, value: Value) -> Value {
        self.map.get(value).and_then(|mapped| mapped.expand()).unwrap_or(value)
    }

    /// Forgets everything, after showing it. Costs what there is.
    pub fn drain(&mut self, mut f: impl FnMut(Value, Value)) {
        for old in self.mapped.drain(..) {
            if let Some(new) = self.map[old].take() {
                f(old, new);
            }
        }
    }
}

/// Appends a copy of an instruction to a block; its edges lead where the original's do.
pub fn copy_inst(body: &mut Body, map: &mut ValueMap, inst: Inst, to: Block) -> Inst {
    let data = body.inst(inst).clone();
    let args: SmallVec<[Value; 8]> = body.args(inst).iter().map(|&arg| map.get(arg)).collect();
    let new = body.make_inst(data.op, data.ty, &args, data.imm);
    body.set_guarded(new, data.guarded);
    let types: SmallVec<[Type; 4]> = body.results(inst).map(|value| body.value_type(value)).collect();
    body.make_results(new, &types);
    for (old, copied) in body.results(inst).zip(body.results(new)) {
        map.set(old, copied);
    }
    let edges: SmallVec<[_; 4]> = body.targets(inst).iter().copied().collect();
    let mut copied = SmallVec::<[_; 4]>::new();
    for edge in edges {
        let target = body.target_block(edge);
        let args: SmallVec<[Value; 8]> = body.target_args(edge).iter().map(|&arg| map.get(arg)).collect();
        copied.push(body.make_block_call(target, &args));
    }
    body.set_targets(new, &copied);
    body.append_inst(new, to);
    body.set_origin(new, body.origin(inst));
    new
}

/// Gives `to` copies of the parameters of `from`.
pub fn copy_params(body: &mut Body, map: &mut ValueMap, from: Block, to: Block) {
    let params: SmallVec<[Value; 8]> = body.block_params(from).iter().copied().collect();
    for param in params {
        let copied = body.append_block_param(to, body.value_type(param));
        map.set(param, copied);
    }
}

/// Gives `to` copies of all instructions of `from`.
pub fn copy_insts(body: &mut Body, map: &mut ValueMap, from: Block, to: Block) {
    let mut next = body.first_inst(from);
    while let Some(inst) = next {
        next = body.next_inst(inst);
        copy_inst(body, map, inst, to);
    }
}

/// Gives `to` copies of the parameters and all instructions of `from`.
pub fn copy_block(body: &mut Body, map: &mut ValueMap, from: Block, to: Block) {
    copy_params(body, map, from, to);
    copy_insts(body, map, from, to);
}
