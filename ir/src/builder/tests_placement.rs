//! Many variables in many blocks: what they cost, and that passing blocks over makes functions that do the same.

use super::*;
use crate::entity::Func;
use crate::interp::{Ended, Interp, Val};
use crate::program::{Inlining, MethodKind};
use crate::unit::{Function, Unit};
use crate::verify::{explain, verify_unit};
use std::sync::Arc;

/// Builds a function of one integer; says what it cost.
fn build(few: Option<usize>, make: impl FnOnce(&mut FunctionBuilder<'_>, Value)) -> (Unit, usize) {
    let types = Types::new();
    let signature = Signature::new([Type::I64], [Type::I64]);
    let (mut body, mut context) = (Body::new(), BuilderContext::new());
    context.variables.few = few;
    let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let param = b.block_params(entry)[0];
    make(&mut b, param);
    b.seal_all_blocks();
    b.finalize().unwrap();
    let (name, kind, inlining) = ("f".into(), MethodKind::Function, Inlining::Auto);
    let (file, span) = (None, Span::NOWHERE);
    let mut unit = Unit { types: Arc::new(types), ..Unit::default() };
    unit.funcs.push(Function { name, kind, signature, body, inlining, file, span });
    let found = verify_unit(&unit);
    assert!(found.is_empty(), "{}", explain(&unit, &found));
    (unit, context.variables.steps)
}

fn params(unit: &Unit) -> Vec<usize> {
    let body = &unit.funcs[Func::from_u32(0)].body;
    body.blocks().map(|block| body.block_params(block).len()).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

/// Writes statements at random: assignments, conditions, loops that are left from anywhere, returns.
struct Writer<'b, 'a> {
    b: &'b mut FunctionBuilder<'a>,
    random: Random,
    variables: Vec<Variable>,
    exits: Vec<Block>,
    budget: usize,
}

impl Writer<'_, '_> {
    fn one_of(&mut self) -> Variable {
        self.variables[self.random.below(self.variables.len())]
    }

    /// A condition, which after some number of tests is always false.
    fn condition(&mut self) -> Value {
        let fuel = self.variables[0];
        let (now, one) = (self.b.use_var(fuel), self.b.ins().iconst(Type::I64, 1));
        let less = self.b.ins().sub(now, one);
        self.b.def_var(fuel, less);
        let zero = self.b.ins().iconst(Type::I64, 0);
        let lives = self.b.ins().gt_s(less, zero);
        let (x, three) = (self.one_of(), self.b.ins().iconst(Type::I64, 3));
        let x = self.b.use_var(x);
        let low = self.b.ins().and(x, three);
        let is_odd = self.b.ins().ne(low, zero);
        self.b.ins().and(lives, is_odd)
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            if self.budget == 0 {
                return;
            }
            self.budget -= 1;
            match self.random.below(if depth == 0 { 4 } else { 12 }) {
                0..4 => {
                    let (to, x, y) =
                        (1 + self.random.below(self.variables.len() - 1), self.one_of(), self.one_of());
                    let (x, y) = (self.b.use_var(x), self.b.use_var(y));
                    let value = if self.random.below(3) == 0 { x } else { self.b.ins().add(x, y) };
                    self.b.def_var(self.variables[to], value);
                }
                4..8 => self.conditional(depth),
                8..11 => self.repeat(depth),
                _ => {
                    let condition = self.condition();
                    let (leave, stay) = (self.b.create_block(), self.b.create_block());
                    let exit = self.random.below(self.exits.len() + 1);
                    let target = self.exits.get(exit).copied().unwrap_or(leave);
                    self.b.ins().branch(condition, target, &[], stay, &[]);
                    if target == leave {
                        self.b.switch_to_block(leave);
                        self.b.seal_block(leave);
                        let x = self.one_of();
                        let x = self.b.use_var(x);
                        self.b.ins().ret(&[x]);
                    }
                    self.b.switch_to_block(stay);
                    self.b.seal_block(stay);
                }
            }
        }
    }

    fn conditional(&mut self, depth: usize) {
        let condition = self.condition();
        let (then, other, join) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let has_other = self.random.below(2) == 0;
        self.b.ins().branch(condition, then, &[], if has_other { other } else { join }, &[]);
        for block in [then, other].into_iter().take(1 + usize::from(has_other)) {
            self.b.switch_to_block(block);
            self.b.seal_block(block);
            self.statements(depth - 1);
            self.b.ins().jump(join, &[]);
        }
        self.b.switch_to_block(join);
        self.b.seal_block(join);
    }

    fn repeat(&mut self, depth: usize) {
        let (header, inside, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.ins().jump(header, &[]);
        self.b.switch_to_block(header);
        if self.random.below(2) == 0 {
            self.statements(0);
        }
        let condition = self.condition();
        self.b.ins().branch(condition, inside, &[], done, &[]);
        self.b.switch_to_block(inside);
        self.exits.push(done);
        self.statements(depth - 1);
        self.exits.pop();
        self.b.ins().jump(header, &[]);
        self.b.seal_block(header);
        self.b.switch_to_block(done);
    }
}

fn write(few: usize, seed: u64) -> (Unit, usize) {
    build(Some(few), |b, param| {
        let variables: Vec<Variable> = (0..3 + seed as usize % 9).map(|_| b.declare_var(Type::I64)).collect();
        let fuel = b.ins().iconst(Type::I64, 60);
        for (n, &variable) in variables.iter().enumerate() {
            let k = b.ins().iconst(Type::I64, n as i64 * 77);
            let value = b.ins().xor(param, k);
            b.def_var(variable, if n == 0 { fuel } else { value });
        }
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut writer = Writer { b, random, variables, exits: Vec::new(), budget: 60 };
        writer.statements(5);
        writer.statements(5);
        let mut sum = param;
        for variable in writer.variables.clone() {
            let value = writer.b.use_var(variable);
            let twice = writer.b.ins().add(sum, sum);
            sum = writer.b.ins().xor(twice, value);
        }
        writer.b.ins().ret(&[sum]);
    })
}

/// Builds a function of a shape and size from a value.
type Build = fn(&mut FunctionBuilder<'_>, Value, usize);

#[test]
fn placement_makes_functions_that_do_the_same() {
    let mut most = 0;
    for seed in 1..400 {
        let (plain, placed) = (write(usize::MAX, seed).0, write(0, seed).0);
        let [many, few] = [&plain, &placed].map(|unit| params(unit).iter().sum::<usize>());
        assert!(few <= many, "seed {seed}: {few} parameters instead of {many}");
        most = most.max(few);
        for arg in [0, 1, 0x1234_5678_9abc_def7] {
            let run = |unit: &Unit| {
                let mut interp = Interp::new(unit, crate::interp::Config::default());
                match interp.call(Func::from_u32(0), &[Val::Bits(arg)]) {
                    Ok(Ended::Returned(values)) => values,
                    other => panic!("seed {seed}: {other:?}"),
                }
            };
            assert_eq!(run(&plain), run(&placed), "seed {seed} of {arg}");
        }
    }
    assert!(most > 20, "{most}");
}

/// Loops inside each other, the innermost of which uses all counters.
fn nest(b: &mut FunctionBuilder<'_>, bound: Value, count: usize) {
    let counters: Vec<Variable> = (0..count).map(|_| b.declare_var(Type::I64)).collect();
    let sum = b.declare_var(Type::I64);
    b.def_var(sum, bound);
    let mut loops = Vec::new();
    for &counter in &counters {
        let (header, inside, done) = (b.create_block(), b.create_block(), b.create_block());
        let zero = b.ins().iconst(Type::I64, 0);
        b.def_var(counter, zero);
        b.ins().jump(header, &[]);
        b.switch_to_block(header);
        let now = b.use_var(counter);
        let more = b.ins().lt_u(now, bound);
        b.ins().branch(more, inside, &[], done, &[]);
        b.switch_to_block(inside);
        b.seal_block(inside);
        loops.push((header, done));
    }
    for &counter in &counters {
        let (so_far, now) = (b.use_var(sum), b.use_var(counter));
        let so_far = b.ins().xor(so_far, now);
        b.def_var(sum, so_far);
    }
    for (&counter, (header, done)) in counters.iter().zip(loops).rev() {
        let (now, one) = (b.use_var(counter), b.ins().iconst(Type::I64, 1));
        let next = b.ins().add(now, one);
        b.def_var(counter, next);
        b.ins().jump(header, &[]);
        b.seal_block(header);
        b.switch_to_block(done);
        b.seal_block(done);
    }
    let last = b.use_var(sum);
    b.ins().ret(&[last]);
}

/// Branches that change one of many variables, all used at the end.
fn web(b: &mut FunctionBuilder<'_>, bound: Value, count: usize) {
    let variables: Vec<Variable> = (0..count / 10).map(|_| b.declare_var(Type::I64)).collect();
    variables.iter().for_each(|&variable| b.def_var(variable, bound));
    for k in 0..count {
        let (then, join) = (b.create_block(), b.create_block());
        let odd = b.ins().trunc(Type::I1, bound);
        b.ins().branch(odd, then, &[], join, &[]);
        b.switch_to_block(then);
        b.seal_block(then);
        let value = b.ins().iconst(Type::I64, k as i64);
        b.def_var(variables[k * 7 % variables.len()], value);
        b.ins().jump(join, &[]);
        b.switch_to_block(join);
        b.seal_block(join);
    }
    let mut sum = bound;
    for &variable in &variables {
        let value = b.use_var(variable);
        sum = b.ins().xor(sum, value);
    }
    b.ins().ret(&[sum]);
}

/// Tests that may leave, each in a block with one predecessor; all variables are used at the end.
fn exits(b: &mut FunctionBuilder<'_>, bound: Value, count: usize) {
    let variables: Vec<Variable> = (0..count / 10).map(|_| b.declare_var(Type::I64)).collect();
    variables.iter().for_each(|&variable| b.def_var(variable, bound));
    for _ in 0..count {
        let (leave, next) = (b.create_block(), b.create_block());
        let odd = b.ins().trunc(Type::I1, bound);
        b.ins().branch(odd, leave, &[], next, &[]);
        b.switch_to_block(leave);
        b.seal_block(leave);
        b.ins().ret(&[bound]);
        b.switch_to_block(next);
        b.seal_block(next);
    }
    let mut sum = bound;
    for &variable in &variables {
        let value = b.use_var(variable);
        sum = b.ins().xor(sum, value);
    }
    b.ins().ret(&[sum]);
}

#[test]
fn variables_times_blocks_is_not_the_cost() {
    let shapes: [(&str, Build); 3] = [("nest", nest), ("web", web), ("exits", exits)];
    for (name, shape) in shapes {
        let cost = |count| build(None, |b, param| shape(b, param, count));
        let ((_, few), (unit, many)) = (cost(300), cost(3000));
        assert!(many < few * 15, "{name}: {few} steps, then {many}");
        let total: usize = params(&unit).iter().sum();
        assert!(total < 3000 * 3, "{name}: {total} parameters");
    }
}
