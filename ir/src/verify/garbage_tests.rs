//! Whatever the API built, the verifier answers with diagnostics.

use super::*;
use crate::body::{Body, Symbol};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{Block, BlockCall, Extern, Func, Global, Inst, Value};
use crate::op::Op;
use crate::program::{GlobalData, GlobalSlot, Inlining, MethodData, MethodKind, OpenTable, Reference};
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Scalar, Space, Type, Types};
use crate::unit::Function;
use std::sync::Arc;

/// Marsaglia's xorshift: the same bodies on every machine. The second number makes mistakes rarer.
struct Random(u64, usize);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in * self.1) == 0
    }

    /// An id that exists, mostly.
    fn id(&mut self, count: usize) -> u32 {
        if self.chance(60) { self.below(count * 2 + 9) as u32 } else { self.below(count) as u32 }
    }

    fn ty(&mut self, types: &[Type]) -> Type {
        types[self.below(types.len())]
    }

    fn values(&mut self, count: usize, most: usize) -> Vec<Value> {
        (0..self.below(most)).map(|_| Value::from_u32(self.id(count))).collect()
    }
}

fn all_types(types: &mut Types) -> Vec<Type> {
    let mut all: Vec<Type> = Scalar::ALL.iter().map(|&s| Type::scalar(s)).collect();
    all.extend(Space::ALL.iter().map(|&space| Type::pointer(space)));
    all.extend(Scalar::ALL.iter().filter_map(|&s| Type::vector(s, 4)));
    let array = types.array(Type::I32, 3).unwrap();
    all.push(array);
    all.push(types.structure("s", vec![("a".into(), Type::F32), ("b".into(), array)]).unwrap());
    all.push(types.array(Type::I8, 0).unwrap());
    let mut others = types.clone();
    all.push(others.array(Type::F64, 9).unwrap());
    all.push(Type::UNKNOWN);
    all.push(Type::ERROR);
    all
}

fn signature(random: &mut Random, types: &[Type]) -> Signature {
    let mut list = |most| (0..random.below(most)).map(|_| random.ty(types)).collect::<Vec<_>>();
    Signature::new(list(4), list(3))
}

fn symbol(random: &mut Random, types: &[Type]) -> Symbol {
    match random.below(6) {
        0 => Symbol::Func(Func::from_u32(random.id(2))),
        1 => Symbol::Extern(Extern::from_u32(random.id(1))),
        2 => Symbol::Global(Global::from_u32(random.id(2))),
        3 => Symbol::Overload("f".into(), vec![random.ty(types)].into()),
        4 => Symbol::Exception("E".into(), None),
        _ => Symbol::Name(["g", "m"][random.below(2)].into()),
    }
}

fn body(random: &mut Random, types: &[Type], signature: &Signature) -> Body {
    let mut body = Body::new();
    let blocks: Vec<Block> = (0..random.below(6)).map(|_| body.make_block()).collect();
    for &block in &blocks {
        if !random.chance(20) {
            body.append_block(block);
        }
        let count = if body.entry() == Some(block) { 0 } else { random.below(3) };
        (0..count).for_each(|_| {
            body.append_block_param(block, random.ty(types));
        });
    }
    if let Some(entry) = body.entry().filter(|_| !random.chance(20)) {
        signature.params.iter().for_each(|&ty| {
            body.append_block_param(entry, ty);
        });
    }
    for _ in 0..random.below(5) {
        let ty = random.ty(types);
        let lanes: Vec<u128> = (0..random.below(6)).map(|n| n as u128).collect();
        let value = match random.below(4) {
            0 => ConstValue::Zero,
            1 => ConstValue::Lanes(lanes.into()),
            _ => ConstValue::Scalar(random.below(1 << 20) as u128),
        };
        body.make_const(ConstData { ty, value });
        body.make_symbol(symbol(random, types));
        body.make_scalar(ty, random.below(300) as u128);
    }
    body.make_symbol(symbol(random, types));
    body.make_const(ConstData {
        ty: Type::vector(Scalar::I32, 2).unwrap(),
        value: ConstValue::Lanes([0, 1].into()),
    });
    body.make_signature(self::signature(random, types));
    body.make_switch(&[1, 2]);
    body.make_switch(&[5, 5 << 64]);
    for &block in &blocks {
        for _ in 0..random.below(8) {
            instruction(random, types, &mut body, &blocks, block, false);
        }
        if !random.chance(20) {
            instruction(random, types, &mut body, &blocks, block, true);
        }
    }
    if random.chance(30) && body.value_count() > 0 {
        let value = Value::from_u32(random.below(body.value_count()) as u32);
        body.set_value_type(value, random.ty(types));
    }
    if random.chance(30) && !blocks.is_empty() {
        let block = blocks[random.below(blocks.len())];
        body.retain_block_params(block, |n| n % 2 == 1);
    }
    body
}

fn instruction(
    random: &mut Random,
    types: &[Type],
    body: &mut Body,
    blocks: &[Block],
    block: Block,
    last: bool,
) {
    let terminators = [Op::Jump, Op::Branch, Op::Switch, Op::Return, Op::Throw, Op::Unreachable];
    let op = match last && !random.chance(30) {
        true => terminators[random.below(terminators.len())],
        false => loop {
            let op = Op::ALL[random.below(Op::ALL.len())];
            if !op.is_terminator() || random.chance(30) {
                break op;
            }
        },
    };
    let args = random.values(body.value_count(), 4);
    let imm = if random.chance(40) { random.below(1 << 31) as u32 } else { 0 };
    let inst = body.make_inst(op, random.ty(types), &args, imm);
    let results: Vec<Type> = (0..random.below(3)).map(|_| random.ty(types)).collect();
    // Half of them as the op computes, so that later phases are reached.
    let sound = body.args(inst).iter().all(|&arg| body.value_exists(arg)) && !args.is_empty();
    let wanted = op.info().shape == crate::op::Shape::Binary && args.len() == 2 && sound;
    let computed = wanted.then(|| crate::infer::infer(body, &Types::new(), inst).ok()).flatten();
    body.make_results(inst, computed.as_deref().unwrap_or(&results));
    if op.is_terminator() || random.chance(60) {
        let usual = match op {
            Op::Jump => 1,
            Op::Branch => 2,
            Op::Switch => 3,
            _ => 0,
        };
        let count = if random.chance(20) || blocks.len() < 2 { random.below(4) } else { usual };
        let calls: Vec<BlockCall> = (0..count)
            .map(|_| {
                let target = match random.chance(20) || blocks.len() < 2 {
                    true => Block::from_u32(random.id(blocks.len())),
                    false => blocks[1 + random.below(blocks.len() - 1)],
                };
                let args = random.values(body.value_count(), 3);
                let call = body.make_block_call(target, &args);
                if random.chance(60) { BlockCall::from_u32(random.id(9)) } else { call }
            })
            .collect();
        body.set_targets(inst, &calls);
    }
    let placed = if random.chance(150) { Inst::from_u32(random.id(body.inst_count())) } else { inst };
    body.append_inst(placed, block);
}

#[test]
fn garbage_is_diagnosed() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15, 1);
    let mut types = Types::new();
    let all = all_types(&mut types);
    let (mut rejected, mut deep) = (0, 0);
    for round in 0..10_000 {
        random.1 = [1, 10, 100][round % 3];
        let signature = signature(&mut random, &all);
        let body = body(&mut random, &all, &signature);
        let kind = if random.below(3) == 0 { MethodKind::Kernel } else { MethodKind::Function };
        let global = GlobalData {
            align: [None, Some(0), Some(16), Some(u32::MAX)][random.below(4)],
            init: (random.below(3) == 0).then(|| Arc::from([0u8; 4])),
            slots: (0..random.below(3))
                .map(|_| GlobalSlot {
                    offset: [0, 4, 8, u64::MAX - 4][random.below(4)],
                    reference: match random.below(5) {
                        0 => Reference::value("v"),
                        1 => Reference::global("g"),
                        2 => Reference::global("h"),
                        3 => Reference::method("f", &[random.ty(&all)]),
                        _ => Reference::Func(Func::from_u32(random.id(1))),
                    },
                })
                .collect(),
            ..GlobalData::new("g", random.ty(&all), Space::ALL[random.below(6)])
        };
        let (name, file, span): (Arc<str>, _, _) = ("f".into(), None, Span::NOWHERE);
        let inlining = Inlining::Auto;
        let found = if round % 2 == 0 {
            let mut unit = Unit { types: Arc::new(types.clone()), ..Unit::default() };
            unit.globals.push(global);
            unit.entries.push(Func::from_u32(random.id(1)));
            unit.funcs.push(Function { name, kind, signature, body, inlining, file, span });
            let found = verify_unit(&unit);
            assert_eq!(explain(&unit, &found).is_empty(), found.is_empty());
            found
        } else {
            let mut program = Program::new();
            program.types = types.clone();
            program.add_global(global).unwrap();
            let data = MethodData { kind, ..MethodData::function(&name, signature, body) };
            program.add_method(OpenTable::BASE, data).unwrap();
            let found = verify_program(&program);
            assert_eq!(explain(&program, &found).is_empty(), found.is_empty());
            found
        };
        rejected += usize::from(!found.is_empty());
        let structural = |d: &Diagnostic| d.code.name() < "V0100";
        deep += usize::from(!found.iter().any(structural));
    }
    // Not all of it stops at the first phase, else the test says nothing about the others.
    assert!(rejected > 5_000 && deep > 300, "{rejected} rejected, {deep} with sound structure");
}
