//! `print` becomes a record in the launch's print buffer.
//!
//! A record is the number of the format in [`Unit::formats`], and a word of 64 bits per operand: integers and the bits of
//! floats, zero-extended; addresses. The types of the operands are kept with the format, so that whoever reads the buffer
//! needs nothing else. The two intrinsics that write records are linked afterwards.

use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst, SymbolRef, Value};
use marquetry_ir::op::Op;
use marquetry_ir::print_format::Printed;
use marquetry_ir::types::{Scalar, Space, Type};
use marquetry_ir::unit::{PrintFormat, Unit};
use rustc_hash::FxHashMap;

/// The hidden input that is the buffer's address.
pub const INPUT: &str = "print";

/// Bytes before the first word of a print buffer: words that are used, words that there are, records that were dropped, each
/// an `i32`, and four more bytes.
pub const HEADER_BYTES: usize = 16;

const PLACE: Type = Type::pointer(Space::Global);

/// Lowers all `print` of a unit; whether there were any.
pub fn lower(unit: &mut Unit) -> bool {
    if !unit.funcs.values().any(|function| function.body.may_have(Op::Print)) {
        return false;
    }
    let mut numbers: FxHashMap<PrintFormat, u32> =
        unit.formats.iter().enumerate().map(|(n, format)| (format.clone(), n as u32)).collect();
    let mut any = false;
    for func in unit.funcs.keys().collect::<Vec<Func>>() {
        let body = &mut unit.funcs[func].body;
        let insts = body.blocks().flat_map(|block| body.block_insts(block));
        let prints: Vec<Inst> = insts.filter(|&inst| body.inst(inst).op == Op::Print).collect();
        for inst in prints {
            any = true;
            let text = match body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) {
                Symbol::Message(text) => text.clone(),
                _ => "".into(),
            };
            let types: Box<[Type]> = body.args(inst).iter().map(|&arg| body.value_type(arg)).collect();
            let format = PrintFormat { text, types };
            let number = *numbers.entry(format.clone()).or_insert_with(|| {
                unit.formats.push(format);
                unit.formats.len() as u32 - 1
            });
            record(body, inst, number);
        }
    }
    any
}

fn record(body: &mut Body, print: Inst, number: u32) {
    let args: Vec<Value> = body.args(print).to_vec();
    let format = body.make_scalar(Type::I32, number.into());
    let count = body.make_scalar(Type::I32, args.len() as u128);
    let mut place = call(body, print, "gpu_print_begin", &[format, count]);
    for arg in args {
        let word = word(body, print, arg);
        place = call(body, print, "gpu_print_word", &[place, word]);
    }
    body.remove_inst(print);
}

/// Puts an instruction with one result before another one.
fn before(body: &mut Body, inst: Inst, op: Op, args: &[Value], ty: Type, imm: u32) -> Value {
    let new = body.make_inst(op, ty, args, imm);
    body.make_results(new, &[ty]);
    body.set_origin(new, body.origin(inst));
    body.insert_inst_before(new, inst);
    body.first_result(new).unwrap_or(args[0])
}

fn call(body: &mut Body, print: Inst, link_name: &str, args: &[Value]) -> Value {
    let callee = body.make_symbol(Symbol::Name(link_name.into()));
    before(body, print, Op::Call, args, PLACE, callee.as_u32())
}

/// An operand as a word, computed before the instruction that it is an operand of.
pub(crate) fn word(body: &mut Body, print: Inst, arg: Value) -> Value {
    let ty = body.value_type(arg);
    if ty.is_pointer() {
        return before(body, print, Op::PtrToInt, &[arg], Type::I64, 0);
    }
    let bits = match ty.as_scalar() {
        Some(Scalar::F16 | Scalar::BF16) => before(body, print, Op::Bitcast, &[arg], Type::I16, 0),
        Some(Scalar::F32) => before(body, print, Op::Bitcast, &[arg], Type::I32, 0),
        Some(Scalar::F64) => before(body, print, Op::Bitcast, &[arg], Type::I64, 0),
        _ => arg,
    };
    match body.value_type(bits) {
        Type::I64 => bits,
        _ => before(body, print, Op::Zext, &[bits], Type::I64, 0),
    }
}

/// A print buffer of this many bytes, as a launch starts with it.
pub fn empty_buffer(bytes: usize) -> Vec<u8> {
    let words = bytes.saturating_sub(HEADER_BYTES) / 8;
    let mut buffer = vec![0; HEADER_BYTES + 8 * words];
    let words = u32::try_from(words).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(limit) = buffer.get_mut(4..8) {
        limit.copy_from_slice(&words);
    }
    buffer
}

/// What a launch left in its print buffer: the records in their order, and how many were dropped. A buffer that was damaged
/// ends where it makes no sense any more.
pub fn records(formats: &[PrintFormat], buffer: &[u8]) -> (Vec<Printed>, u32) {
    let word = |n: usize| -> Option<u64> {
        let start = HEADER_BYTES.checked_add(n.checked_mul(8)?)?;
        Some(u64::from_le_bytes(buffer.get(start..start.checked_add(8)?)?.try_into().ok()?))
    };
    let head = |n: usize| -> u32 {
        let bytes = buffer.get(4 * n..4 * n + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let (used, dropped) = (head(0) as usize, head(2));
    let mut records = Vec::new();
    let mut next = 0;
    while next < used {
        let Some(header) = word(next) else { break };
        let (number, count) = (header as u32, (header >> 32) as usize);
        let Some(format) = formats.get(number as usize).filter(|format| format.types.len() == count) else {
            break;
        };
        let values = format.types.iter().enumerate().map_while(|(n, &ty)| Some((ty, word(next + 1 + n)?)));
        records.push(Printed { format: format.text.clone(), values: values.collect() });
        next += 1 + count;
    }
    (records, dropped)
}
