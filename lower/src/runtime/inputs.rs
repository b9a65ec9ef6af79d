//! Hidden inputs: what `kernel_input` names becomes trailing parameters, only where it is used.
//!
//! A function needs what it names itself and what its callees need, so needs spread from callees to callers by a
//! worklist, recursion included. Function values: an indirect call may reach every function whose address is taken, so
//! these all take what any of them needs, and every function with an indirect call needs it too.
//!
//! Inputs are ordered by name, after the mailbox: the order depends on nothing but the set.
//!
//! The input of the name [`STATE`] is the kernel's state, which a job declares with its type. It is passed by value
//! before everything else: every kernel takes it, used or not, so that a launch looks the same for all kernels of a
//! back-end, and of functions those that use it. In a job without kernels nobody passes one, and it is all zeros.

use crate::call_graph;
use crate::exceptions::Lowered;
use crate::failure::{Failure, Limit};
use crate::passes::replace::Replacements;
use crate::report::{self, Place};
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst, SigRef, SymbolRef, Value};
use marquetry_ir::limits::MAX_PARAMS;
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::{Function, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value that the host passes besides the arguments.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Input {
    /// What `kernel_input` calls it.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
}

/// The hidden input that is the address of the launch's arena.
pub const ARENA: &str = "arena";

/// The input that is the kernel's state.
pub const STATE: &str = "state";

/// Bytes before the first unit of an arena: units that are used and units that there are, each an `i32`, and eight more.
pub const ARENA_HEADER_BYTES: usize = 16;
/// Bytes of a unit of an arena.
pub const ARENA_UNIT_BYTES: usize = 16;

/// Most hidden inputs of a unit.
const MAX_INPUTS: usize = 64;

/// The first bytes of an arena of this many bytes in all, as a launch starts with it.
pub fn arena_header(bytes: usize) -> [u8; ARENA_HEADER_BYTES] {
    let units = bytes.saturating_sub(ARENA_HEADER_BYTES) / ARENA_UNIT_BYTES;
    let mut header = [0; ARENA_HEADER_BYTES];
    header[4..8].copy_from_slice(&u32::try_from(units).unwrap_or(u32::MAX).to_le_bytes());
    header
}

/// Which inputs a function needs: a bit for each.
type Needs = u64;

/// Threads hidden inputs and the kernels' state through a unit, and notes them with its entries.
///
/// # Errors
/// A name with two types, a state that is not declared, or a limit.
pub fn run(lowered: &mut Lowered, state: Option<Type>) -> Result<(), Failure> {
    let unit = &mut lowered.unit;
    if state.is_none() && !unit.funcs.values().any(|function| function.body.may_have(Op::KernelInput)) {
        return Ok(());
    }
    let inputs = wanted(unit, state)?;
    if inputs.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(unit, inputs);
    for func in unit.funcs.keys().collect::<Vec<Func>>() {
        let function = &mut unit.funcs[func];
        plan.widen(func, function)?;
        if plan.pass_on(func, &mut function.body) && !lowered.rewritten.contains(&func) {
            lowered.rewritten.push(func);
        }
    }
    for (&entry, abi) in unit.entries.iter().zip(&mut lowered.entries) {
        let is_state = |input: &&Input| &*input.name == STATE;
        abi.inputs = plan.of(entry).filter(|input| !is_state(input)).cloned().collect();
        abi.state = plan.of(entry).find(is_state).map(|input| input.ty);
    }
    Ok(())
}

/// The inputs that the functions of a unit are to be given, the state of its kernels among them.
fn wanted(unit: &mut Unit, state: Option<Type>) -> Result<Vec<Input>, Failure> {
    let state = declared_state(unit, state)?;
    let Found { mut inputs, last } = find(unit)?;
    check_state(unit, state)?;
    let has_kernels = unit.funcs.values().any(|function| function.kind == MethodKind::Kernel);
    if !has_kernels && inputs.iter().any(|input| &*input.name == STATE) {
        zero_state(unit);
        inputs.retain(|input| &*input.name != STATE);
    }
    if let Some(ty) = state.filter(|_| has_kernels) {
        inputs.retain(|input| &*input.name != STATE);
        inputs.push(Input { name: STATE.into(), ty });
    }
    few(Found { inputs, last })
}

/// Which functions are given which inputs.
struct Plan {
    inputs: Vec<Input>,
    /// Per function.
    needs: Vec<Needs>,
    /// What every function takes whose address is taken, and every indirect call passes.
    indirect: Needs,
}

impl Plan {
    fn new(unit: &Unit, inputs: Vec<Input>) -> Plan {
        let mut needs = spread(unit, &inputs);
        if let Some(bit) = inputs.iter().position(|input| &*input.name == STATE) {
            let kernels = unit.funcs.iter().filter(|(_, function)| function.kind == MethodKind::Kernel);
            kernels.for_each(|(kernel, _)| needs[kernel.as_u32() as usize] |= 1 << bit);
        }
        let indirect = addressed(unit).into_iter().fold(0, |all, func| all | needs[func.as_u32() as usize]);
        Plan { inputs, needs, indirect }
    }

    fn chosen(&self, needs: Needs) -> impl Iterator<Item = &Input> {
        let numbered = self.inputs.iter().enumerate();
        numbered.filter(move |(n, _)| needs >> n & 1 != 0).map(|(_, input)| input)
    }

    /// What a function is given.
    fn of(&self, func: Func) -> impl Iterator<Item = &Input> {
        self.chosen(self.needs.get(func.as_u32() as usize).copied().unwrap_or(0))
    }

    /// Gives a function parameters for its inputs, as far as its signature goes.
    fn widen(&self, func: Func, function: &mut Function) -> Result<(), Failure> {
        insert_inputs(&mut function.signature.params, self.of(func).map(|input| (input, input.ty)), 0);
        let found = function.signature.params.len();
        if found > MAX_PARAMS {
            let limit = Limit::new("parameters", MAX_PARAMS as u64, found as u64);
            return Err(Failure::Limit(limit.at(&function.name, function.file, function.span)));
        }
        Ok(())
    }

    /// Gives a body values for its inputs and passes them on; whether there are any.
    fn pass_on(&self, func: Func, body: &mut Body) -> bool {
        let Some(entry) = body.entry().filter(|_| self.of(func).next().is_some()) else { return false };
        let params: BTreeMap<Arc<str>, Value> = self
            .of(func)
            .map(|input| (input.name.clone(), body.append_block_param(entry, input.ty)))
            .collect();
        if let Some(&state) = params.get(STATE) {
            let mut order: Vec<Value> = body.block_params(entry).to_vec();
            order.retain(|&param| param != state);
            order.insert(0, state);
            body.order_block_params(entry, &order);
        }
        for (name, &value) in &params {
            if body.names.value(value).is_none() {
                body.names.set_value(value, name);
            }
        }
        thread(body, &params, |callee| match callee {
            Some(callee) => self.of(callee).cloned().collect(),
            None => self.chosen(self.indirect).cloned().collect(),
        });
        true
    }
}

/// Adds what stands for inputs to a list: the state at `first`, the others at the end.
fn insert_inputs<'a, T>(list: &mut Vec<T>, inputs: impl Iterator<Item = (&'a Input, T)>, first: usize) {
    for (input, what) in inputs {
        match &*input.name == STATE {
            true => list.insert(first.min(list.len()), what),
            false => list.push(what),
        }
    }
}

/// The declared type of the state, as the unit has it.
fn declared_state(unit: &mut Unit, state: Option<Type>) -> Result<Option<Type>, Failure> {
    let Some(ty) = state else { return Ok(None) };
    let bad = |message: &str| {
        let place = Place { function: "", file: None, span: Span::NOWHERE };
        Failure::Program(vec![report::dispatch(&place, format!("the type of the kernel state {message}"))])
    };
    if unit.types.layout(ty).is_none() {
        return Err(bad("is not known or has no layout"));
    }
    Arc::make_mut(&mut unit.types).erased(ty).map(Some).map_err(|error| bad(&error.to_string()))
}

/// Checks that what is read as the state is what the job declares. Without kernels any type will do.
fn check_state(unit: &Unit, state: Option<Type>) -> Result<(), Failure> {
    if !unit.funcs.values().any(|function| function.kind == MethodKind::Kernel) {
        return Ok(());
    }
    let mut problems = Vec::new();
    for function in unit.funcs.values() {
        let body = &function.body;
        for inst in insts(body).filter(|&inst| is_state(body, inst)) {
            let found = body.inst(inst).ty;
            let message = match state {
                Some(state) if state == found => continue,
                Some(state) => {
                    let (found, state) = (unit.types.display(found), unit.types.display(state));
                    format!("the kernel state is read as {found}, and the back-end's is {state}")
                }
                None => "the kernel state is read, and the back-end declares none".into(),
            };
            let place = Place { function: &function.name, file: function.file, span: body.span(inst) };
            problems.push(report::dispatch(&place, message));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Program(problems)) }
}

fn is_state(body: &Body, inst: Inst) -> bool {
    body.inst(inst).op == Op::KernelInput && &*name_of(body, inst) == STATE
}

/// Makes the state of code that no kernel calls all zeros.
fn zero_state(unit: &mut Unit) {
    for function in unit.funcs.values_mut() {
        let body = &mut function.body;
        let mut zeros = Replacements::default();
        for inst in insts(body).filter(|&inst| is_state(body, inst)).collect::<Vec<Inst>>() {
            let zero = body.make_scalar(body.inst(inst).ty, 0);
            if let Some(result) = body.first_result(inst) {
                zeros.set(result, zero);
            }
            body.remove_inst(inst);
        }
        zeros.apply(body);
    }
}

/// The instructions of a body.
fn insts(body: &Body) -> impl Iterator<Item = Inst> + '_ {
    body.blocks().flat_map(|block| body.block_insts(block))
}

fn name_of(body: &Body, inst: Inst) -> Arc<str> {
    match body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) {
        Symbol::Name(name) => name.clone(),
        _ => "".into(),
    }
}

/// What a unit names.
struct Found {
    /// The inputs, by name.
    inputs: Vec<Input>,
    /// Where the last of them is named first: the function, its file, and where in it.
    last: Option<(Arc<str>, Option<u32>, Span)>,
}

/// All inputs that a unit names, in order.
///
/// # Errors
/// A name with two types, or too many.
pub fn collect(unit: &Unit) -> Result<Vec<Input>, Failure> {
    few(find(unit)?)
}

/// The inputs, unless they are more than a function can be given.
fn few(Found { inputs, last }: Found) -> Result<Vec<Input>, Failure> {
    if inputs.len() <= MAX_INPUTS {
        return Ok(inputs);
    }
    let limit = Limit::new("hidden inputs", MAX_INPUTS as u64, inputs.len() as u64);
    Err(Failure::Limit(match last {
        Some((function, file, span)) => limit.at(&function, file, span),
        None => limit,
    }))
}

fn find(unit: &Unit) -> Result<Found, Failure> {
    let mut found: BTreeMap<Arc<str>, Type> = BTreeMap::new();
    let mut last = None;
    for function in unit.funcs.values() {
        let body = &function.body;
        for inst in insts(body).filter(|&inst| body.inst(inst).op == Op::KernelInput) {
            let (name, ty) = (name_of(body, inst), body.inst(inst).ty);
            let own = function.frames(body.origin(inst)).next();
            let (of, file, span) = own.unwrap_or((&function.name, function.file, function.span));
            match found.get(&name) {
                Some(&known) if known == ty => {}
                Some(known) => {
                    let place = Place { function: of, file, span };
                    let message = format!("hidden input '{name}' has type {ty} here, and {known} elsewhere");
                    return Err(Failure::Program(vec![report::dispatch(&place, message)]));
                }
                None => {
                    found.insert(name, ty);
                    last = Some((of.clone(), file, span));
                }
            }
        }
    }
    Ok(Found { inputs: found.into_iter().map(|(name, ty)| Input { name, ty }).collect(), last })
}

fn callee(body: &Body, inst: Inst) -> Option<Func> {
    match body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) {
        Symbol::Func(func) => Some(*func),
        _ => None,
    }
}

/// The functions whose address is taken.
fn addressed(unit: &Unit) -> Vec<Func> {
    let bodies = unit.funcs.values().map(|function| &function.body);
    let found = bodies.flat_map(|body| {
        insts(body).filter(|&inst| body.inst(inst).op == Op::FunctionAddress).filter_map(|i| callee(body, i))
    });
    let mut found: Vec<Func> = found.chain(call_graph::held(unit)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What each function needs, by its number.
fn spread(unit: &Unit, inputs: &[Input]) -> Vec<Needs> {
    let count = unit.funcs.len();
    // One more node than functions: every indirect call calls it, and it calls every addressed function.
    let pseudo = count;
    let mut needs: Vec<Needs> = vec![0; count + 1];
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); count + 1];
    for (func, function) in &unit.funcs {
        let (number, body) = (func.as_u32() as usize, &function.body);
        for inst in insts(body) {
            match body.inst(inst).op {
                Op::KernelInput => {
                    let name = name_of(body, inst);
                    let bit = inputs.iter().position(|input| input.name == name);
                    needs[number] |= bit.map_or(0, |bit| 1 << bit);
                }
                Op::Call => {
                    if let Some(list) = callee(body, inst).and_then(|f| callers.get_mut(f.as_u32() as usize))
                    {
                        list.push(number);
                    }
                }
                Op::CallIndirect => callers[pseudo].push(number),
                _ => {}
            }
        }
    }
    let addressed = addressed(unit);
    for func in &addressed {
        callers[func.as_u32() as usize].push(pseudo);
    }
    let mut work: Vec<usize> = (0..count).filter(|&n| needs[n] != 0).collect();
    while let Some(number) = work.pop() {
        let own = needs[number];
        // What the pseudo-function needs, every addressed function takes: they have one convention.
        let taking = addressed.iter().map(|func| func.as_u32() as usize).filter(|_| number == pseudo);
        for other in callers[number].iter().copied().chain(taking) {
            if needs[other] | own != needs[other] {
                needs[other] |= own;
                work.push(other);
            }
        }
    }
    needs
}

/// Replaces the inputs of a body by its parameters and passes them on.
fn thread(body: &mut Body, params: &BTreeMap<Arc<str>, Value>, wanted: impl Fn(Option<Func>) -> Vec<Input>) {
    let mut replaced = Replacements::default();
    for inst in insts(body).collect::<Vec<Inst>>() {
        let data = body.inst(inst);
        let (op, ty, imm) = (data.op, data.ty, data.imm);
        let more = match op {
            Op::KernelInput => {
                if let (Some(old), Some(&new)) = (body.first_result(inst), params.get(&name_of(body, inst))) {
                    replaced.set(old, new);
                }
                body.remove_inst(inst);
                continue;
            }
            Op::Call => match callee(body, inst) {
                Some(callee) => wanted(Some(callee)),
                None => continue,
            },
            Op::CallIndirect => wanted(None),
            _ => continue,
        };
        if more.is_empty() {
            continue;
        }
        let mut args: Vec<Value> = body.args(inst).to_vec();
        // The first operand of an indirect call is the callee.
        let first = usize::from(op == Op::CallIndirect);
        let passed = more.iter().filter_map(|input| Some((input, *params.get(&input.name)?)));
        insert_inputs(&mut args, passed, first);
        let imm = match op {
            Op::CallIndirect => {
                let mut signature = body.signature(SigRef::from_u32(imm)).clone();
                insert_inputs(&mut signature.params, more.iter().map(|input| (input, input.ty)), 0);
                body.make_signature(signature).as_u32()
            }
            _ => imm,
        };
        body.replace_inst(inst, op, ty, &args, imm);
    }
    replaced.apply(body);
}
