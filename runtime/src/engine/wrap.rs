//! Wrapping a function into a kernel, so that engines which only launch kernels can call it.

use super::{EngineError, parts};
use crate::inputs::KernelState;
use marquetry_codegen::artifact::argument_block;
use marquetry_ir::body::Symbol;
use marquetry_ir::diag::has_errors;
use marquetry_ir::entity::{Method, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::program::{OpenTable, Program};
use marquetry_ir::text;
use marquetry_ir::types::{Space, Type, Types};
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::{View, overlays_present};
use marquetry_lower::runtime::inputs::STATE;
use std::fmt::Write;

/// The name of the kernel, which is no part of what hosts asked for.
pub(super) const KERNEL: &str = "marq_call";

/// The name of what the kernel calls where the method's own means an overlay.
const CALLEE: &str = "marq_called";

/// A program with a kernel that calls one method and stores its results.
pub(super) struct Wrapped {
    pub program: Program,
    pub kernel: Method,
    /// Types of the results, which the kernel stores as an argument block in its last parameter.
    pub results: Vec<Type>,
    /// The state of the program's kernels, all zeros: this one has none of its own. None if no code asks for it.
    pub state: Option<KernelState>,
}

/// Wraps a method into a kernel, whose code sees these tables.
pub(super) fn wrap(program: &Program, method: Method, tables: &[String]) -> Result<Wrapped, EngineError> {
    let mut program = program.clone();
    let callee = callee(&mut program, method, tables)?;
    let data = program.method(callee);
    let types = &program.types;
    let results = parts::held(types, &data.signature.results);
    if let Some(&ty) = results.iter().find(|ty| ty.is_aggregate()) {
        let ty = types.display(ty);
        return Err(EngineError::Unsupported(format!(
            "aggregates ({ty}) do not pass from kernels to the host"
        )));
    }
    let mut params = String::new();
    let mut body = String::new();
    let mut arguments = Vec::new();
    for (n, &param) in data.signature.params.iter().enumerate() {
        // What the host passes is in global memory.
        let held = types.underlying(param);
        match held.space() {
            Some(Space::Generic) => {
                let _ = write!(params, "a{n}: ptr<global>, ");
                let _ = writeln!(body, "    g{n} = spacecast.ptr<generic> a{n}");
                arguments.push(wrapped(types, &mut body, param, format!("g{n}")));
            }
            _ => {
                let _ = write!(params, "a{n}: {}, ", types.display(held));
                arguments.push(wrapped(types, &mut body, param, format!("a{n}")));
            }
        }
    }
    let names: Vec<String> = (0..results.len()).map(|n| format!("r{n}")).collect();
    let assigned = if names.is_empty() { String::new() } else { format!("{} = ", names.join(", ")) };
    let _ = writeln!(body, "    {assigned}call {}({})", data.name, arguments.join(", "));
    let stored: Vec<String> = names
        .iter()
        .zip(&data.signature.results)
        .map(|(name, &ty)| unwrapped(types, &mut body, ty, name.clone()))
        .collect();
    for ((n, slot), value) in argument_block(&results).0.iter().enumerate().zip(&stored) {
        let _ = writeln!(body, "    p{n} = ptr_add out, i64 {}", slot.offset);
        let _ = writeln!(body, "    store p{n}, {value}");
    }
    let source = format!("kernel {KERNEL}({params}out: ptr<global>) {{\nentry:\n{body}    return\n}}\n");
    let diagnostics = text::parse(&mut program, "call", &source);
    if has_errors(&diagnostics) {
        return Err(EngineError::Program(diagnostics));
    }
    let state = state(&program);
    match program.methods_of(KERNEL).last() {
        Some(&kernel) => Ok(Wrapped { program, kernel, results, state }),
        None => Err(EngineError::Failed("the wrapping kernel is missing".into())),
    }
}

/// A method that calls by its name mean: a copy of it, where they mean an overlay. What is called is no matter of tables,
/// as little as the function of a job is.
fn callee(program: &mut Program, method: Method, tables: &[String]) -> Result<Method, EngineError> {
    let data = program.method(method);
    let view = View::device(&overlays_present(program, tables));
    let found = look_up(program, &view, &data.name, &data.signature.params).answer;
    let overlaid = |found: Method| {
        OpenTable::try_from(program.method(found).table()).is_ok_and(|t| t != OpenTable::BASE)
    };
    if !matches!(found, Answer::Method(found) if found != method && overlaid(found)) {
        return Ok(method);
    }
    let mut copy = data.clone();
    copy.name = CALLEE.into();
    let added = program.add_method(OpenTable::BASE, copy);
    added.map_err(|error| EngineError::Failed(format!("'{CALLEE}': {error}")))
}

/// What functions on the host have for the kernels' state: zeros.
fn state(program: &Program) -> Option<KernelState> {
    let mut methods = program.methods();
    let ty = methods.find_map(|(_, data)| {
        let body = &data.body;
        let mut insts = body.blocks().flat_map(|block| body.block_insts(block));
        let read = insts.find(|&inst| {
            let data = body.inst(inst);
            let names = |imm| {
                body.symbol_exists(imm)
                    && *body.symbol(SymbolRef::from_u32(imm)) == Symbol::Name(STATE.into())
            };
            data.op == Op::KernelInput && names(data.imm)
        })?;
        Some(body.inst(read).ty)
    })?;
    let size = program.types.layout(ty)?.size;
    Some(KernelState { ty, bytes: vec![0; size as usize] })
}

/// Writes what makes a value of a newtype, and gives its name.
fn wrapped(types: &Types, body: &mut String, ty: Type, value: String) -> String {
    let mut layers = Vec::new();
    let mut at = ty;
    while let Some(inner) = types.as_newtype(at) {
        layers.push(at);
        at = inner;
    }
    layers.iter().rev().fold(value, |value, &layer| {
        let _ = writeln!(body, "    {value}w = make.{} {value}", types.display(layer));
        format!("{value}w")
    })
}

/// Writes what takes the newtypes off a value, and gives its name.
fn unwrapped(types: &Types, body: &mut String, ty: Type, value: String) -> String {
    let (mut at, mut value) = (ty, value);
    while let Some(inner) = types.as_newtype(at) {
        let _ = writeln!(body, "    {value}u = get {value}, 0");
        value.push('u');
        at = inner;
    }
    value
}
