//! Bodies as a careless host might build them: valid ones with some things changed through the API.

use super::choices::Choices;
use super::types::bits;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::Program;
use marquetry_ir::types::{Scalar, Type};

/// Changes some things of a program's bodies.
pub fn spoil(choices: &mut Choices, program: &mut Program) {
    let methods: Vec<_> = program.methods().map(|(method, _)| method).collect();
    for _ in 0..choices.range(1..6) {
        if let Some(&method) = choices.pick(&methods)
            && let Some(body) = program.body_mut(method)
        {
            spoil_body(choices, body);
        }
    }
}

fn spoil_body(choices: &mut Choices, body: &mut Body) {
    let insts: Vec<Inst> = body.blocks().flat_map(|block| body.block_insts(block)).collect();
    let Some(&inst) = choices.pick(&insts) else { return };
    let blocks: Vec<Block> = body.blocks().collect();
    let count = body.value_count() + usize::from(choices.chance(1, 20));
    let value = Value::from_u32(choices.below(count) as u32);
    let args = body.args(inst).len();
    match choices.below(12) {
        0..4 if args > 0 => {
            let n = choices.below(args);
            body.args_mut(inst)[n] = value;
        }
        4 => body.set_op(inst, Op::ALL[choices.below(Op::ALL.len())]),
        5 => body.set_imm(inst, bits(choices, Scalar::I32) as u32),
        6 => body.set_ty(inst, super::types::plain(choices)),
        7 if !body.targets(inst).is_empty() => {
            let calls = body.targets(inst).to_vec();
            let call = calls[choices.below(calls.len())];
            let target = choices.pick(&blocks).copied().unwrap_or(Block::from_u32(0));
            let args = body.target_args(call).to_vec();
            body.set_block_call(call, target, &args);
        }
        8 if body.value_exists(value) => body.set_value_type(value, super::types::plain(choices)),
        9 => {
            let constant = body.make_scalar(Type::scalar(super::types::scalar(choices)), choices.bits());
            if args > 0 {
                let n = choices.below(args);
                body.args_mut(inst)[n] = constant;
            }
        }
        10 => {
            body.remove_inst(inst);
            if choices.chance(1, 2)
                && let Some(&before) = choices.pick(&insts)
                && before != inst
            {
                body.insert_inst_before(inst, before);
            }
        }
        11 => {
            let calls: Vec<BlockCall> = body.targets(inst).iter().rev().copied().collect();
            body.set_targets(inst, &calls);
        }
        _ => {}
    }
}
