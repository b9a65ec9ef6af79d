//! Telling the provider of exceptions, where it wants to know.
//!
//! The mailbox and the table of places tell the host what was thrown and where. A provider that supplies
//! `gpu_report_exception` is called besides with the kind, at every place that throws in code for devices; one that supplies
//! `gpu_signal_exception` is called last before a kernel is left with an exception. They must not throw: exceptions are
//! lowered when they are linked.

use super::link::Linker;
use super::provider::supplies;
use crate::exceptions::Lowered;
use crate::failure::Failure;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Global, Inst};
use marquetry_ir::library::intrinsic;
use marquetry_ir::op::Op;
use marquetry_ir::program::{GlobalData, MethodKind};
use marquetry_ir::types::{Space, Type};
use rustc_hash::FxHashMap;
use std::sync::Arc;

const REPORT: &str = "gpu_report_exception";
const SIGNAL: &str = "gpu_signal_exception";

/// What the provider may supply, and the code depends on where it throws.
pub(crate) const LINK_NAMES: [&str; 2] = [REPORT, SIGNAL];

/// Adds the calls; whether there are any to link.
///
/// # Errors
/// The text of a kind cannot be made.
pub fn run(lowered: &mut Lowered, linker: &Linker<'_>) -> Result<bool, Failure> {
    if lowered.sites.is_empty() {
        return Ok(false);
    }
    let wants = |name: &str| {
        intrinsic(name).is_some_and(|intrinsic| supplies(linker.program(), linker.view(), intrinsic))
    };
    let (report, signal) = (wants(REPORT), wants(SIGNAL));
    if !(report || signal) {
        return Ok(false);
    }
    let mut texts: FxHashMap<Arc<str>, Global> = FxHashMap::default();
    for func in lowered.unit.funcs.keys().collect::<Vec<Func>>() {
        let kernel = lowered.unit.funcs[func].kind == MethodKind::Kernel;
        let body = &lowered.unit.funcs[func].body;
        let blocks: Vec<_> = body.blocks().collect();
        for block in blocks {
            let body = &lowered.unit.funcs[func].body;
            let Some(leave) = body.last_inst(block).filter(|&inst| body.inst(inst).op == Op::Return) else {
                continue;
            };
            let exchange = body.prev_inst(leave).filter(|&inst| kernel && is_mailbox(body, inst));
            // The status with which the function is left, where it is a place of its own.
            let status = match exchange {
                Some(inst) => body.args(inst).get(2).copied(),
                None => body.args(leave).first().copied().filter(|_| !kernel),
            };
            let number = status.and_then(|status| body.value_const(status)).and_then(|c| c.scalar());
            let site = number.and_then(|n| lowered.sites.get(usize::try_from(n).ok()?.checked_sub(1)?));
            let throws = exchange.is_some() || gives_status(lowered, func);
            if let Some(site) = site.filter(|_| report && throws) {
                let kind = site.kind.clone();
                let text = match texts.get(&kind) {
                    Some(&text) => text,
                    None => text_of(lowered, &kind)?,
                };
                texts.insert(kind, text);
                let body = &mut lowered.unit.funcs[func].body;
                let symbol = body.make_symbol(Symbol::Global(text));
                let pointer = Type::pointer(Space::Constant);
                let address = body.make_inst(Op::GlobalAddress, pointer, &[], symbol.as_u32());
                body.make_results(address, &[pointer]);
                let before = exchange.unwrap_or(leave);
                body.insert_inst_before(address, before);
                let args: Vec<_> = body.results(address).collect();
                call(body, REPORT, &args, before);
            }
            if signal && exchange.is_some() {
                call(&mut lowered.unit.funcs[func].body, SIGNAL, &[], leave);
            }
        }
    }
    Ok(true)
}

/// Whether an instruction writes a status to the mailbox.
fn is_mailbox(body: &Body, inst: Inst) -> bool {
    let params = body.entry().map_or(&[][..], |entry| body.block_params(entry));
    body.inst(inst).op == Op::CompareExchange && body.args(inst).first() == params.last()
}

/// Whether a function that is no kernel has a status: its bodies' places were numbered under its name.
fn gives_status(lowered: &Lowered, func: Func) -> bool {
    let function = &lowered.unit.funcs[func];
    lowered.throwing.contains(&func) && function.kind == MethodKind::Function
}

fn call(body: &mut Body, name: &str, args: &[marquetry_ir::entity::Value], before: Inst) {
    let callee = body.make_symbol(Symbol::Name(name.into()));
    let inst = body.make_inst(Op::Call, Type::I1, args, callee.as_u32());
    body.set_origin(inst, body.origin(before));
    body.insert_inst_before(inst, before);
}

/// A global that holds a text and a zero byte.
fn text_of(lowered: &mut Lowered, text: &str) -> Result<Global, Failure> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    let types = Arc::make_mut(&mut lowered.unit.types);
    let ty = types
        .array(Type::I8, bytes.len() as u64)
        .map_err(|error| Failure::Internal(format!("the text of '{text}': {error}")))?;
    let name = crate::fresh::fresh_name(&lowered.unit, &format!("kind_{text}"));
    Ok(lowered.unit.globals.push(GlobalData::new(&name, ty, Space::Constant).with_init(&bytes)))
}
