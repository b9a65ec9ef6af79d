//! Kernels whose size lies in one thing only: depth of loops, edges, parameters, calls, constants and so on.
//!
//! Each grows with `n`, and a compiler that is linear takes the same time per instruction for all `n`. They are what
//! generated code looks like at its worst: parsers and state machines, unrolled circuits, queries over wide tables.

use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::builder::{BuilderContext, FunctionBuilder};
use marquetry_ir::entity::{Block, Switch, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::program::{Inlining, MethodData, MethodKind, OpenTable, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Space, Type};

/// A family of kernels.
pub(super) struct Extreme {
    pub(super) name: &'static str,
    build: fn(&mut Program, usize) -> Result<(), String>,
}

/// All families.
pub(super) const ALL: [Extreme; 27] = [
    of("nest", |p, n| kernel(p, n / 9, nest)),
    of("variables", |p, n| kernel(p, n / 9, variables)),
    of("whiles", |p, n| kernel(p, n / 9, whiles)),
    of("invariants", |p, n| kernel(p, n, invariants)),
    of("crossing", |p, n| kernel(p, n / 4, crossing)),
    of("irreducible", |p, n| kernel(p, n / 4, irreducible)),
    of("exits", |p, n| kernel(p, n / 4, exits)),
    of("ladder", |p, n| kernel(p, n / 4, ladder)),
    of("ifs", |p, n| kernel(p, n / 5, ifs)),
    of("ranges", |p, n| kernel(p, n / 4, ranges)),
    of("dense_switch", |p, n| kernel(p, n / 4, |b, p, n| switch(b, p, n, 1))),
    of("sparse_switch", |p, n| kernel(p, n / 4, |b, p, n| switch(b, p, n, 0x9e37_79b1))),
    of("machine", |p, n| kernel(p, n / 6, machine)),
    of("params", |p, n| kernel(p, n / 128, params)),
    of("web", |p, n| kernel(p, n / 6, web)),
    of("wide", |p, n| kernel(p, n / 3, wide)),
    of("selects", |p, n| kernel(p, n / 4, selects)),
    of("doubling", |p, n| kernel(p, n, doubling)),
    of("constants", |p, n| kernel(p, n, constants)),
    of("memory", |p, n| kernel(p, n / 5, memory)),
    of("slots", |p, n| kernel(p, n / 3, slots)),
    of("arrays", arrays),
    of("divisions", |p, n| kernel(p, n / 3, divisions)),
    of("wide_ints", |p, n| kernel(p, n, wide_ints)),
    of("calls", calls),
    of("inlined", inlined),
    of("functions", functions),
];

const fn of(name: &'static str, build: fn(&mut Program, usize) -> Result<(), String>) -> Extreme {
    Extreme { name, build }
}

impl Extreme {
    /// A program with a kernel named `k`, and its size: instructions, arguments of edges and cases.
    pub(super) fn program(&self, n: usize) -> Result<(Program, usize), String> {
        let mut program = Program::new();
        (self.build)(&mut program, n)?;
        let size = program.methods().map(|(_, method)| size(&method.body)).sum();
        Ok((program, size))
    }
}

fn size(body: &Body) -> usize {
    let insts = body.blocks().flat_map(|block| body.block_insts(block));
    let of_inst = |inst| {
        let args: usize = body.targets(inst).iter().map(|&edge| body.target_args(edge).len()).sum();
        let data = body.inst(inst);
        let is_switch = data.op == Op::Switch;
        1 + args + if is_switch { body.switch_cases(Switch::from_u32(data.imm)).len() } else { 0 }
    };
    insts.map(of_inst).sum()
}

type Builder<'a> = FunctionBuilder<'a>;

/// Adds a function; its entry block is made, sealed, and where the builder stands.
fn function(
    program: &mut Program,
    name: &str,
    (kind, inlining): (MethodKind, Inlining),
    signature: Signature,
    write: impl FnOnce(&mut Builder<'_>, &[Value]),
) -> Result<(), String> {
    let (mut body, mut context) = (Body::new(), BuilderContext::new());
    let mut b = FunctionBuilder::new(&mut body, &program.types, &signature, &mut context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    write(&mut b, &params);
    b.seal_all_blocks();
    b.finalize().map_err(|error| format!("{name}: {error:?}"))?;
    let mut data = MethodData::function(name, signature, body);
    (data.kind, data.inlining) = (kind, inlining);
    program.add_method(OpenTable::BASE, data).map(drop).map_err(|_| format!("{name} exists"))
}

/// Adds a kernel that works on one buffer of 64-bit integers.
fn kernel(
    program: &mut Program,
    n: usize,
    write: impl FnOnce(&mut Builder<'_>, Value, usize),
) -> Result<(), String> {
    let signature = Signature::new([Type::pointer(Space::Global)], []);
    let kind = (MethodKind::Kernel, Inlining::Auto);
    function(program, "k", kind, signature, |b, params| write(b, params[0], n.max(2)))
}

fn int(b: &mut Builder<'_>, value: usize) -> Value {
    b.ins().iconst(Type::I64, value as i64)
}

fn element(b: &mut Builder<'_>, pointer: Value, n: usize) -> Value {
    let n = int(b, n);
    b.ins().index(pointer, n, Type::I64)
}

fn load(b: &mut Builder<'_>, pointer: Value, n: usize) -> Value {
    let address = element(b, pointer, n);
    b.ins().load(Type::I64, MemFlags::default(), address)
}

fn store(b: &mut Builder<'_>, pointer: Value, n: usize, value: Value) {
    let address = element(b, pointer, n);
    b.ins().store(MemFlags::default(), address, value);
}

/// Whether an element is less than another value.
fn test(b: &mut Builder<'_>, pointer: Value, n: usize, than: Value) -> Value {
    let loaded = load(b, pointer, n);
    b.ins().lt_u(loaded, than)
}

/// The end of a kernel that has computed something.
fn finish(b: &mut Builder<'_>, pointer: Value, value: Value) {
    store(b, pointer, 0, value);
    b.ins().ret(&[]);
}

fn blocks(b: &mut Builder<'_>, count: usize) -> Vec<Block> {
    (0..count).map(|_| b.create_block()).collect()
}

/// `n` loops inside each other, tested at their ends.
fn nest(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let (zero, one) = (int(b, 0), int(b, 1));
    let (headers, after) = (blocks(b, n), blocks(b, n));
    let mut sum = bound;
    let mut counters = Vec::new();
    for &header in &headers {
        b.ins().jump(header, &[zero, sum]);
        b.switch_to_block(header);
        let i = b.append_block_param(header, Type::I64);
        let inside = b.append_block_param(header, Type::I64);
        sum = b.ins().xor(inside, i);
        counters.push(i);
    }
    for n in (0..n).rev() {
        let next = b.ins().add(counters[n], one);
        let more = b.ins().lt_u(next, bound);
        sum = b.ins().add(sum, next);
        b.ins().branch(more, headers[n], &[next, sum], after[n], &[]);
        b.switch_to_block(after[n]);
    }
    finish(b, pointer, sum);
}

/// The same through variables, all of which the innermost loop uses.
fn variables(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let (zero, one) = (int(b, 0), int(b, 1));
    let (headers, after) = (blocks(b, n), blocks(b, n));
    let counters: Vec<_> = (0..n).map(|_| b.declare_var(Type::I64)).collect();
    let sum = b.declare_var(Type::I64);
    b.def_var(sum, bound);
    for (&header, &counter) in headers.iter().zip(&counters) {
        b.def_var(counter, zero);
        b.ins().jump(header, &[]);
        b.switch_to_block(header);
    }
    for &counter in &counters {
        let (so_far, i) = (b.use_var(sum), b.use_var(counter));
        let now = b.ins().xor(so_far, i);
        b.def_var(sum, now);
    }
    for n in (0..n).rev() {
        let i = b.use_var(counters[n]);
        let next = b.ins().add(i, one);
        b.def_var(counters[n], next);
        let more = b.ins().lt_u(next, bound);
        b.ins().branch(more, headers[n], &[], after[n], &[]);
        b.seal_block(headers[n]);
        b.switch_to_block(after[n]);
        b.seal_block(after[n]);
    }
    let last = b.use_var(sum);
    finish(b, pointer, last);
}

/// `n` loops inside each other, tested at their starts; the innermost uses all counters, which are variables.
fn whiles(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let (zero, one) = (int(b, 0), int(b, 1));
    let (headers, inside, after) = (blocks(b, n), blocks(b, n), blocks(b, n));
    let counters: Vec<_> = (0..n).map(|_| b.declare_var(Type::I64)).collect();
    let sum = b.declare_var(Type::I64);
    b.def_var(sum, bound);
    for n in 0..n {
        b.def_var(counters[n], zero);
        b.ins().jump(headers[n], &[]);
        b.switch_to_block(headers[n]);
        let i = b.use_var(counters[n]);
        let more = b.ins().lt_u(i, bound);
        b.ins().branch(more, inside[n], &[], after[n], &[]);
        b.switch_to_block(inside[n]);
        b.seal_block(inside[n]);
    }
    for &counter in &counters {
        let (so_far, i) = (b.use_var(sum), b.use_var(counter));
        let now = b.ins().xor(so_far, i);
        b.def_var(sum, now);
    }
    for n in (0..n).rev() {
        let i = b.use_var(counters[n]);
        let next = b.ins().add(i, one);
        b.def_var(counters[n], next);
        b.ins().jump(headers[n], &[]);
        b.seal_block(headers[n]);
        b.switch_to_block(after[n]);
        b.seal_block(after[n]);
    }
    let last = b.use_var(sum);
    finish(b, pointer, last);
}

/// A nest of loops whose innermost holds `n` instructions that belong in front of it.
fn invariants(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let depth = (n as f64).sqrt() as usize / 2;
    let bound = load(b, pointer, 0);
    let (zero, one) = (int(b, 0), int(b, 1));
    let (headers, after) = (blocks(b, depth), blocks(b, depth));
    let mut counters = Vec::new();
    for &header in &headers {
        b.ins().jump(header, &[zero]);
        b.switch_to_block(header);
        counters.push(b.append_block_param(header, Type::I64));
    }
    let mut value = bound;
    for n in 0..n {
        let k = int(b, n + 3);
        value = if n % 2 == 0 { b.ins().mul(value, k) } else { b.ins().xor(value, k) };
    }
    store(b, pointer, 1, value);
    for n in (0..depth).rev() {
        let next = b.ins().add(counters[n], one);
        let more = b.ins().lt_u(next, bound);
        b.ins().branch(more, headers[n], &[next], after[n], &[]);
        b.switch_to_block(after[n]);
    }
    finish(b, pointer, value);
}

/// `n` blocks, each with two edges to others and a store, so that none is empty.
fn graph(b: &mut Builder<'_>, pointer: Value, n: usize, mut edges: impl FnMut(usize) -> (usize, usize)) {
    let bound = load(b, pointer, 0);
    let all = blocks(b, n + 1);
    b.ins().jump(all[0], &[]);
    for k in 0..n {
        b.switch_to_block(all[k]);
        let condition = test(b, pointer, k, bound);
        let (yes, no) = edges(k);
        b.ins().branch(condition, all[yes], &[], all[no], &[]);
    }
    b.switch_to_block(all[n]);
    finish(b, pointer, bound);
}

/// Each block goes on, or back to the one of half its number.
fn crossing(b: &mut Builder<'_>, pointer: Value, n: usize) {
    graph(b, pointer, n, |k| (k + 1, k / 2));
}

/// Edges to anywhere.
fn irreducible(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    graph(b, pointer, n, |k| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (k + 1, (state >> 33) as usize % (n + 1))
    });
}

/// Each block goes to the next or to the one after it.
fn ladder(b: &mut Builder<'_>, pointer: Value, n: usize) {
    graph(b, pointer, n, |k| (k + 1, (k + 2).min(n)));
}

/// `n` tests, each of which may leave for one block with a parameter.
fn exits(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let exit = b.create_block();
    for k in 0..n {
        let condition = test(b, pointer, k, bound);
        let next = b.create_block();
        let number = int(b, k);
        b.ins().branch(condition, exit, &[number], next, &[]);
        b.switch_to_block(next);
    }
    b.ins().jump(exit, &[bound]);
    b.switch_to_block(exit);
    let number = b.append_block_param(exit, Type::I64);
    finish(b, pointer, number);
}

/// `n` conditions inside each other.
fn ifs(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let sum = b.declare_var(Type::I64);
    b.def_var(sum, bound);
    let (then, join) = (blocks(b, n), blocks(b, n));
    for k in 0..n {
        let condition = test(b, pointer, k, bound);
        b.ins().branch(condition, then[k], &[], join[k], &[]);
        b.switch_to_block(then[k]);
        b.seal_block(then[k]);
        store(b, pointer, k, bound);
    }
    for k in (0..n).rev() {
        let (so_far, number) = (b.use_var(sum), int(b, k + 1));
        let now = b.ins().mul(so_far, number);
        b.def_var(sum, now);
        b.ins().jump(join[k], &[]);
        b.switch_to_block(join[k]);
        b.seal_block(join[k]);
    }
    let last = b.use_var(sum);
    finish(b, pointer, last);
}

/// `n` comparisons of one value behind each other.
fn ranges(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let value = load(b, pointer, 0);
    for k in 0..n {
        let (number, next, other) = (int(b, k), b.create_block(), b.create_block());
        let condition = b.ins().eq(value, number);
        b.ins().branch(condition, other, &[], next, &[]);
        b.switch_to_block(other);
        store(b, pointer, k, number);
        b.ins().ret(&[]);
        b.switch_to_block(next);
    }
    finish(b, pointer, value);
}

/// One switch with `n` cases, each a block of its own; all meet.
fn switch(b: &mut Builder<'_>, pointer: Value, n: usize, step: usize) {
    let selector = load(b, pointer, 0);
    let (join, targets) = (b.create_block(), blocks(b, n));
    let cases: Vec<(i128, Block, &[Value])> = targets
        .iter()
        .enumerate()
        .map(|(k, &block)| (i128::from((k.wrapping_mul(step)) as i64), block, &[][..]))
        .collect();
    b.ins().switch(selector, (join, &[selector]), &cases);
    for (k, &block) in targets.iter().enumerate() {
        b.switch_to_block(block);
        let value = load(b, pointer, k + 1);
        b.ins().jump(join, &[value]);
    }
    b.switch_to_block(join);
    let value = b.append_block_param(join, Type::I64);
    finish(b, pointer, value);
}

/// A state machine: a switch in a loop, whose `n` states set the next state.
fn machine(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let start = load(b, pointer, 0);
    let (state, sum) = (b.declare_var(Type::I64), b.declare_var(Type::I64));
    b.def_var(state, start);
    b.def_var(sum, start);
    let (head, done, targets) = (b.create_block(), b.create_block(), blocks(b, n));
    b.ins().jump(head, &[]);
    b.switch_to_block(head);
    let cases: Vec<(i128, Block, &[Value])> =
        targets.iter().enumerate().map(|(k, &block)| (k as i128, block, &[][..])).collect();
    let now = b.use_var(state);
    b.ins().switch(now, (done, &[]), &cases);
    for (k, &block) in targets.iter().enumerate() {
        b.switch_to_block(block);
        b.seal_block(block);
        let (loaded, so_far) = (load(b, pointer, k), b.use_var(sum));
        let value = b.ins().add(so_far, loaded);
        b.def_var(sum, value);
        b.def_var(state, loaded);
        b.ins().jump(head, &[]);
    }
    b.seal_block(head);
    b.switch_to_block(done);
    b.seal_block(done);
    let last = b.use_var(sum);
    finish(b, pointer, last);
}

/// `n` blocks with 64 parameters, two edges between each and the next.
fn params(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut values: Vec<Value> = (0..64).map(|k| load(b, pointer, k)).collect();
    for _ in 0..n {
        let next = b.create_block();
        let condition = b.ins().lt_u(values[0], values[1]);
        let mut turned = values.clone();
        turned.rotate_left(1);
        b.ins().branch(condition, next, &values, next, &turned);
        b.switch_to_block(next);
        values = (0..64).map(|_| b.append_block_param(next, Type::I64)).collect();
    }
    let last = values.iter().copied().reduce(|a, x| b.ins().xor(a, x)).unwrap_or(pointer);
    finish(b, pointer, last);
}

/// `n` branches that change one of many variables, all used at the end.
fn web(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let bound = load(b, pointer, 0);
    let count = 4 + (n as f64).sqrt() as usize;
    let variables: Vec<_> = (0..count).map(|_| b.declare_var(Type::I64)).collect();
    for &variable in &variables {
        b.def_var(variable, bound);
    }
    for k in 0..n {
        let (then, join) = (b.create_block(), b.create_block());
        let condition = test(b, pointer, k, bound);
        b.ins().branch(condition, then, &[], join, &[]);
        b.switch_to_block(then);
        b.seal_block(then);
        let loaded = load(b, pointer, k + 7);
        b.def_var(variables[k * 7 % count], loaded);
        b.ins().jump(join, &[]);
        b.switch_to_block(join);
        b.seal_block(join);
    }
    let mut sum = bound;
    for &variable in &variables {
        let value = b.use_var(variable);
        sum = b.ins().xor(sum, value);
    }
    finish(b, pointer, sum);
}

/// `n` values that live at the same time.
fn wide(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let values: Vec<Value> = (0..n).map(|k| load(b, pointer, k)).collect();
    let sum = values.iter().rev().copied().reduce(|sum, value| b.ins().mul(sum, value));
    finish(b, pointer, sum.unwrap_or(pointer));
}

/// A chain of `n` choices.
fn selects(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for k in 0..n {
        let other = load(b, pointer, k % 64);
        let condition = b.ins().lt_u(value, other);
        let changed = b.ins().add(value, other);
        value = b.ins().select(condition, changed, value);
    }
    finish(b, pointer, value);
}

/// Expressions of few instructions that are trees of 2^n leaves.
fn doubling(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for k in 0..n {
        value = if k % 2 == 0 { b.ins().mul(value, value) } else { b.ins().add(value, value) };
    }
    finish(b, pointer, value);
}

/// `n` operations with constants that are all different and need all their bits.
fn constants(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for k in 1..=n {
        let constant = int(b, k.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        value = if k % 2 == 0 { b.ins().xor(value, constant) } else { b.ins().add(value, constant) };
    }
    finish(b, pointer, value);
}

/// `n` stores, each followed by a load of another element.
fn memory(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for k in 0..n {
        store(b, pointer, k, value);
        let loaded = load(b, pointer, k * 31 % n + 1);
        value = b.ins().add(value, loaded);
    }
    finish(b, pointer, value);
}

/// `n` slots of their own.
fn slots(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let first = load(b, pointer, 0);
    let slots: Vec<Value> = (0..n).map(|_| b.ins().slot(Type::I64)).collect();
    for &slot in &slots {
        b.ins().store(MemFlags::default(), slot, first);
    }
    let mut sum = first;
    for &slot in &slots {
        let loaded = b.ins().load(Type::I64, MemFlags::default(), slot);
        sum = b.ins().add(sum, loaded);
    }
    finish(b, pointer, sum);
}

/// `n` accesses of eight elements each of slots that are indexed by what is loaded, so that they stay in memory.
fn arrays(program: &mut Program, n: usize) -> Result<(), String> {
    let array = program.types.array(Type::I64, 8).map_err(|error| format!("{error:?}"))?;
    kernel(program, n / 6, |b, pointer, n| {
        let mut sum = load(b, pointer, 0);
        let seven = int(b, 7);
        let slots: Vec<Value> = (0..n / 16 + 1).map(|_| b.ins().slot(array)).collect();
        for k in 0..n {
            let inside = b.ins().and(sum, seven);
            let address = b.ins().index(slots[k * 7 % slots.len()], inside, Type::I64);
            if k % 2 == 0 {
                b.ins().store(MemFlags::default(), address, sum);
            } else {
                let loaded = b.ins().load(Type::I64, MemFlags::default(), address);
                sum = b.ins().add(sum, loaded);
            }
        }
        finish(b, pointer, sum);
    })
}

/// `n` operations that may throw.
fn divisions(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for k in 0..n {
        let divisor = load(b, pointer, k);
        value = b.ins().div_s(value, divisor);
    }
    finish(b, pointer, value);
}

/// `n` operations on 128 bits.
fn wide_ints(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let first = load(b, pointer, 0);
    let mut value = b.ins().zext(Type::I128, first);
    for k in 0..n {
        let other = b.ins().iconst(Type::I128, k as i64 * 3 + 1);
        value = match k % 3 {
            0 => b.ins().mul(value, other),
            1 => b.ins().add(value, other),
            _ => b.ins().xor(value, other),
        };
    }
    let low = b.ins().trunc(Type::I64, value);
    finish(b, pointer, low);
}

/// Calls `name` and gives its only result.
fn call(b: &mut Builder<'_>, name: &str, arg: Value) -> Value {
    let inst = b.ins().call_symbol(Symbol::Name(name.into()), &[arg], &[Type::I64]);
    b.inst_results(inst).first().copied().unwrap_or(arg)
}

fn leaf(program: &mut Program, inlining: Inlining) -> Result<(), String> {
    let signature = Signature::new([Type::I64], [Type::I64]);
    function(program, "leaf", (MethodKind::Function, inlining), signature, |b, params| {
        let three = int(b, 3);
        let product = b.ins().mul(params[0], three);
        let sum = b.ins().xor(product, params[0]);
        b.ins().ret(&[sum]);
    })
}

fn call_leaf(b: &mut Builder<'_>, pointer: Value, n: usize) {
    let mut value = load(b, pointer, 0);
    for _ in 0..n {
        value = call(b, "leaf", value);
    }
    finish(b, pointer, value);
}

/// `n` calls of one function that is not inlined.
fn calls(program: &mut Program, n: usize) -> Result<(), String> {
    leaf(program, Inlining::Never)?;
    kernel(program, n, call_leaf)
}

/// `n` calls of one function that is inlined.
fn inlined(program: &mut Program, n: usize) -> Result<(), String> {
    leaf(program, Inlining::Always)?;
    kernel(program, n, call_leaf)
}

/// A function for every eight instructions, each of which calls the next and the last.
fn functions(program: &mut Program, n: usize) -> Result<(), String> {
    leaf(program, Inlining::Never)?;
    let count = n / 8 + 1;
    for k in 0..count {
        let signature = Signature::new([Type::I64], [Type::I64]);
        let next = if k + 1 == count { "leaf".to_owned() } else { format!("f{}", k + 1) };
        let kind = (MethodKind::Function, Inlining::Never);
        function(program, &format!("f{k}"), kind, signature, |b, params| {
            let mut value = params[0];
            for n in 0..4 {
                let constant = int(b, n * 5 + k);
                value = if n % 2 == 0 { b.ins().mul(value, constant) } else { b.ins().add(value, constant) };
            }
            value = call(b, &next, value);
            value = call(b, "leaf", value);
            b.ins().ret(&[value]);
        })?;
    }
    kernel(program, 0, |b, pointer, _| {
        let value = load(b, pointer, 0);
        let value = call(b, "f0", value);
        finish(b, pointer, value);
    })
}
