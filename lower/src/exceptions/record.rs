//! What a launch leaves for the host when it threw: the mailbox, and the code that writes to it.
//!
//! A mailbox is eight `i32` and four `i64`, all 0 at launch. The first work-item that throws claims it by writing its
//! status, and only that one writes the rest, so that records are never mixed: the kernel's number plus one, its group and
//! its place in that, and the operands of the exception, if there are any. Nothing of it is text. What was thrown and where is looked up by status in the table of places that
//! comes with the code, whatever the debug level; a reason has no number of its own, since the place tells it. Nobody
//! reads a mailbox before the launch has ended, so that claiming it orders nothing.
//!
//! Where control flow may have any shape, the places of a kernel that throw jump with their status to one block at its end.
//! That costs a place two instructions of machine code, and takes neither registers nor a frame: PTX's assembler gives a
//! kernel that calls a function the frame and the registers of the calling convention, whether the call is ever reached or
//! not. Where control flow must be structured, one block that is entered from everywhere would bend all of it. There the
//! places call a function and return.

use super::MAILBOX;
use super::rewrite::WORD;
use crate::fresh::fresh_name;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Func, Inst, Value};
use marquetry_ir::inst::{MemFlags, Order, Scope};
use marquetry_ir::limits::MAX_THROW_OPERANDS;
use marquetry_ir::op::Op;
use marquetry_ir::program::{Inlining, MethodKind};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::{Function, Unit};

/// A work-item of a launch.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct WorkItem {
    /// Its group's place in the grid.
    pub group: [u32; 3],
    /// Its place in that group.
    pub local: [u32; 3],
}

/// What is in a mailbox.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The number of the place that threw, plus one.
    pub status: u32,
    /// The kernel: a number of an entry.
    pub kernel: Option<u32>,
    /// The work-item that threw first.
    pub item: WorkItem,
    /// The operands; 0 for those that there are not.
    pub operands: [u64; MAX_THROW_OPERANDS],
}

impl Record {
    /// Bytes of a mailbox.
    pub const BYTES: usize = OPERANDS + 8 * MAX_THROW_OPERANDS;

    /// Reads a mailbox; none if nothing was thrown. Bytes that are missing count as 0.
    pub fn read(mailbox: &[u8]) -> Option<Record> {
        let (head, rest) = mailbox.split_at(mailbox.len().min(OPERANDS));
        let mut words = [0; OPERANDS / 4];
        for (word, bytes) in words.iter_mut().zip(head.chunks_exact(4)) {
            *word = little_endian(bytes) as u32;
        }
        let mut operands = [0; MAX_THROW_OPERANDS];
        for (operand, bytes) in operands.iter_mut().zip(rest.chunks_exact(8)) {
            *operand = little_endian(bytes);
        }
        let [status, kernel, group @ .., x, y, z] = words;
        let item = WorkItem { group, local: [x, y, z] };
        (status != 0).then_some(Record { status, kernel: kernel.checked_sub(1), item, operands })
    }
}

/// Bytes of a mailbox before the operands.
const OPERANDS: usize = 32;

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Where a unit's kernels leave with an exception, as they are when the unit was just lowered.
#[derive(Clone, Default, Debug)]
pub(crate) struct Exits {
    /// What only the first work-item runs.
    pub claims: Vec<Claim>,
    /// The instructions with which kernels leave: a return, or the trap before it.
    pub leaves: Vec<(Func, Inst)>,
}

/// Code that only the work-item runs that claimed its mailbox.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Claim {
    /// The function that it is in.
    pub func: Func,
    /// What it ends with.
    pub end: Inst,
    /// The status that is recorded.
    pub status: Value,
}

/// Adds to a block what records a status and its operands. Gives the block where all go on, without a terminator, and
/// what the first one does last.
pub(super) fn append_record(
    body: &mut Body,
    block: Block,
    mailbox: Value,
    status: Value,
    kernel: Value,
    operands: &[Value],
) -> (Block, Inst) {
    let [first, done] = [(); 2].map(|()| {
        let block = body.make_block();
        body.append_block(block);
        block
    });
    let empty = body.make_scalar(Type::I32, 0);
    let claim = append(body, block, Op::CompareExchange, &[mailbox, empty, status], &[Type::I32, Type::I1]);
    body.set_imm(claim, MemFlags::atomic(Order::Relaxed, Scope::Device).bits());
    let won = body.results(claim).last().unwrap_or(status);
    let edges = [first, done].map(|block| body.make_block_call(block, &[]));
    let branch = append(body, block, Op::Branch, &[won], &[]);
    body.set_targets(branch, &edges);
    store(body, first, mailbox, 1, kernel);
    for (op, word) in [(Op::GroupId, 2), (Op::LocalId, 5)] {
        for dimension in 0..3 {
            let inst = append(body, first, op, &[], &[Type::I32]);
            body.set_imm(inst, dimension);
            if let Some(place) = body.first_result(inst) {
                store(body, first, mailbox, word + dimension, place);
            }
        }
    }
    for (&operand, n) in operands.iter().zip(0..) {
        store(body, first, mailbox, OPERANDS as u32 / 4 + 2 * n, operand);
    }
    let edge = body.make_block_call(done, &[]);
    let end = append(body, first, Op::Jump, &[], &[]);
    body.set_targets(end, &[edge]);
    (done, end)
}

/// Adds a function to a unit that records: a kernel calls it with its mailbox, a status and its number plus one. Gives with
/// it what the first work-item runs. Each kernel has its own, since mailboxes are different memory.
pub(super) fn add_thrower(unit: &mut Unit, number: usize, operands: usize) -> (Func, Claim) {
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let [mailbox, status, kernel] =
        [MAILBOX, Type::I32, Type::I32].map(|ty| body.append_block_param(entry, ty));
    for (value, name) in [(mailbox, "mailbox"), (status, "status"), (kernel, "kernel")] {
        body.names.set_value(value, name);
    }
    let operands: Vec<Value> = (0..operands).map(|_| body.append_block_param(entry, WORD)).collect();
    let (done, end) = append_record(&mut body, entry, mailbox, status, kernel, &operands);
    append(&mut body, done, Op::Return, &[], &[]);
    let params = [MAILBOX, Type::I32, Type::I32].into_iter().chain(operands.iter().map(|_| WORD));
    let params: Vec<Type> = params.collect();
    let name = match number {
        0 => fresh_name(unit, "mq_throw"),
        _ => fresh_name(unit, &format!("mq_throw_{number}")),
    };
    let func = unit.funcs.push(Function {
        name,
        kind: MethodKind::Function,
        signature: Signature::new(params, []),
        body,
        inlining: Inlining::Never,
        file: None,
        span: Span::NOWHERE,
    });
    (func, Claim { func, end, status })
}

/// Stores a value in a word of the mailbox.
fn store(body: &mut Body, block: Block, mailbox: Value, word: u32, value: Value) {
    let offset = body.make_scalar(Type::I64, u128::from(4 * word));
    let place = append(body, block, Op::PtrAdd, &[mailbox, offset], &[MAILBOX]);
    if let Some(place) = body.first_result(place) {
        let store = append(body, block, Op::Store, &[place, value], &[]);
        body.set_imm(store, MemFlags::plain().bits());
    }
}

fn append(body: &mut Body, block: Block, op: Op, args: &[Value], results: &[Type]) -> Inst {
    let inst = body.make_inst(op, Type::UNKNOWN, args, 0);
    body.make_results(inst, results);
    body.append_inst(inst, block);
    inst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_read() {
        assert_eq!(Record::read(&[0; Record::BYTES]), None);
        let words = [7_u32, 2, 1, 0, 3, 4, 5, 6, 1, 2];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let item = WorkItem { group: [1, 0, 3], local: [4, 5, 6] };
        let record = Record { status: 7, kernel: Some(1), item, operands: [1 | 2 << 32, 0, 0, 0] };
        assert_eq!(Record::read(&bytes), Some(record));
        bytes.resize(Record::BYTES, 0);
        assert_eq!(Record::read(&bytes), Some(record));
        let none = WorkItem { group: [0; 3], local: [0; 3] };
        assert_eq!(
            Record::read(&bytes[..4]),
            Some(Record { status: 7, kernel: None, item: none, operands: [0; 4] })
        );
        assert_eq!(Record::read(&[]), None);
    }
}
