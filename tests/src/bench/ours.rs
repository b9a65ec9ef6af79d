//! The shapes through this project's builder.

use super::shapes::{self, Build, BuildVariables, Description, Operation};
use marquetry_ir::body::Body;
use marquetry_ir::builder::{BuilderContext, FunctionBuilder, Variable};
use marquetry_ir::entity::{Block, Method, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::program::{MethodData, OpenTable, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Space, Type, Types};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};

/// What every shape takes and returns.
pub(super) fn signature() -> Signature {
    Signature::new([Type::pointer(Space::Global)], [Type::I64])
}

struct Ours<'a> {
    b: FunctionBuilder<'a>,
    pointer: Value,
    variables: Vec<Variable>,
}

impl Build for Ours<'_> {
    type Value = Value;
    type Block = Block;

    fn block(&mut self) -> Block {
        self.b.create_block()
    }

    fn param(&mut self, block: Block) -> Value {
        self.b.append_block_param(block, Type::I64)
    }

    fn switch_to(&mut self, block: Block) {
        self.b.switch_to_block(block);
    }

    fn constant(&mut self, value: i64) -> Value {
        self.b.ins().iconst(Type::I64, value)
    }

    fn binary(&mut self, operation: Operation, x: Value, y: Value) -> Value {
        let ins = self.b.ins();
        match operation {
            Operation::Add => ins.add(x, y),
            Operation::Sub => ins.sub(x, y),
            Operation::Xor => ins.xor(x, y),
            Operation::Mul => ins.mul(x, y),
            Operation::Or => ins.or(x, y),
            Operation::And => ins.and(x, y),
            Operation::Shl => ins.shl(x, y),
            Operation::Shr => ins.shr_u(x, y),
        }
    }

    fn less(&mut self, x: Value, y: Value) -> Value {
        self.b.ins().lt_u(x, y)
    }

    fn load(&mut self, n: Value) -> Value {
        let address = self.b.ins().index(self.pointer, n, Type::I64);
        self.b.ins().load(Type::I64, MemFlags::default(), address)
    }

    fn jump(&mut self, block: Block, args: &[Value]) {
        self.b.ins().jump(block, args);
    }

    fn branch(&mut self, condition: Value, yes: (Block, &[Value]), no: (Block, &[Value])) {
        self.b.ins().branch(condition, yes.0, yes.1, no.0, no.1);
    }

    fn ret(&mut self, value: Value) {
        self.b.ins().ret(&[value]);
    }
}

impl BuildVariables for Ours<'_> {
    fn declare(&mut self, count: usize) {
        self.variables = (0..count).map(|_| self.b.declare_var(Type::I64)).collect();
    }

    fn define(&mut self, variable: usize, value: Value) {
        self.b.def_var(self.variables[variable], value);
    }

    fn get(&mut self, variable: usize) -> Value {
        self.b.use_var(self.variables[variable])
    }

    fn seal(&mut self, block: Block) {
        self.b.seal_block(block);
    }
}

/// Builds a shape into a body.
pub(super) fn build(
    description: &Description,
    variables: bool,
    body: &mut Body,
    types: &Types,
    context: &mut BuilderContext,
) -> Result<(), String> {
    let signature = signature();
    let mut b = FunctionBuilder::new(body, types, &signature, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let pointer = b.block_params(entry)[0];
    let mut ours = Ours { b, pointer, variables: Vec::new() };
    match variables {
        true => shapes::build_variables(description, &mut ours),
        false => shapes::build(description, &mut ours),
    }
    if !variables {
        ours.b.seal_all_blocks();
    }
    ours.b.finalize().map_err(|error| format!("{error:?}"))
}

/// A program that holds one body.
pub(super) fn program(body: Body) -> Result<(Program, Method), String> {
    let mut program = Program::new();
    let method = program
        .add_method(OpenTable::BASE, MethodData::function("f", signature(), body))
        .map_err(|_| "the method exists".to_owned())?;
    Ok((program, method))
}

/// A shape as a program.
pub(super) fn shape(description: &Description) -> Result<(Program, Method, usize), String> {
    let mut body = Body::new();
    build(description, false, &mut body, &Types::new(), &mut BuilderContext::new())?;
    let insts = body.inst_count();
    let (program, method) = program(body)?;
    Ok((program, method, insts))
}

/// A native job.
pub(super) fn job(entry: Method, opt_level: OptLevel) -> Job {
    Job::new(vec![entry], View::native(&[]), opt_level)
}
