//! Where pointers point: which object each is derived from, at which constant offset, and which slots escape.
//!
//! Needs control flow. One walk in reverse post-order: a pointer's operand is known before the pointer is.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::int::signed;
use marquetry_ir::types::{Scalar, Space, Type, Types};

/// A pointer: an object's address moved by an offset.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The pointer that it is derived from: a slot, a global, or anything else.
    pub root: Value,
    /// Bytes from there, if constant.
    pub offset: Option<i64>,
}

/// A part of memory that an access touches.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Where it starts.
    pub address: Address,
    /// Its size in bytes; none if unknown.
    pub size: Option<u64>,
}

#[derive(Copy, Clone, Default, Debug)]
struct Entry {
    root: PackedOption<Value>,
    offset: Option<i64>,
}

/// The address of every pointer of a body.
#[derive(Debug, Default)]
pub struct Addresses {
    table: SecondaryMap<Value, Entry>,
    escaped: SecondaryMap<Value, bool>,
}

/// The constant number of bytes by which an address op moves its first operand, if it is an address op at all.
pub fn constant_offset(body: &Body, types: &Types, inst: Inst) -> Option<Option<i64>> {
    let data = body.inst(inst);
    let second = || {
        let value = *body.args(inst).get(1)?;
        Some(signed(body.value_type(value).as_scalar()?, body.value_bits(value)?))
    };
    Some(match data.op {
        Op::PtrAdd => second().map(|bytes| bytes as i64),
        Op::Index => (|| {
            let size = types.layout(data.ty)?.size;
            Some((second()? as i64).wrapping_mul(size as i64))
        })(),
        Op::FieldAddress => types.field_offset(data.ty, u64::from(data.imm)).map(|bytes| bytes as i64),
        Op::SpaceCast => Some(0),
        _ => return None,
    })
}

impl Addresses {
    /// Computes the addresses of a body, in place of earlier ones.
    pub fn compute(&mut self, body: &Body, types: &Types, cfg: &ControlFlow) {
        self.table.clear();
        self.escaped.clear();
        // Slots come before their uses in reverse post-order: before the first, nothing can escape.
        let mut slots = false;
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block) {
                match body.inst(inst).op {
                    Op::PtrAdd | Op::Index | Op::FieldAddress | Op::SpaceCast => {
                        self.follow(body, types, inst)
                    }
                    Op::Slot => slots = true,
                    _ => {}
                }
                if slots {
                    self.find_escapes(body, inst);
                }
            }
        }
    }

    fn follow(&mut self, body: &Body, types: &Types, inst: Inst) {
        let Some(moved) = constant_offset(body, types, inst) else { return };
        let (Some(&base), Some(result)) = (body.args(inst).first(), body.first_result(inst)) else { return };
        let base = self.get(base);
        let offset = base.offset.zip(moved).and_then(|(a, b)| a.checked_add(b));
        self.table[result] = Entry { root: base.root.into(), offset };
    }

    fn find_escapes(&mut self, body: &Body, inst: Inst) {
        let kept = match body.inst(inst).op {
            // The first operand is only moved, or accessed; the same for both of a copy.
            Op::PtrAdd | Op::Index | Op::FieldAddress | Op::SpaceCast => 1,
            Op::Load | Op::Store | Op::MemSet | Op::AtomicLoad | Op::AtomicStore => 1,
            Op::RmwExchange | Op::RmwAdd | Op::RmwSub | Op::RmwAnd | Op::RmwOr | Op::RmwXor => 1,
            Op::RmwMinS | Op::RmwMinU | Op::RmwMaxS | Op::RmwMaxU | Op::RmwMin | Op::RmwMax => 1,
            Op::CompareExchange => 1,
            Op::MemCopy | Op::Eq | Op::Ne => 2,
            _ => 0,
        };
        let mut number = 0;
        body.visit_operands(inst, |value| {
            number += 1;
            if number > kept && body.value_type(value).is_pointer() {
                let root = self.get(value).root;
                if is_slot(body, root) {
                    self.escaped[root] = true;
                }
            }
        });
    }

    /// The address of a pointer.
    pub fn get(&self, pointer: Value) -> Address {
        let entry = self.table.get(pointer).copied().unwrap_or_default();
        match entry.root.expand() {
            Some(root) => Address { root, offset: entry.offset },
            None => Address { root: pointer, offset: Some(0) },
        }
    }

    /// The memory that an access of this type at a pointer touches.
    pub fn region(&self, types: &Types, pointer: Value, ty: Type) -> Region {
        Region { address: self.get(pointer), size: types.layout(ty).map(|layout| layout.size) }
    }

    /// Whether a slot is known only to the body's own address ops and accesses.
    pub fn is_private_slot(&self, body: &Body, root: Value) -> bool {
        is_slot(body, root) && !self.escaped.get(root).copied().unwrap_or(false)
    }

    /// Whether a write to `written` may change what `read` holds.
    pub fn may_alias(&self, body: &Body, written: Region, read: Region) -> bool {
        let (a, b) = (written.address, read.address);
        if a.root == b.root {
            let (Some(a), Some(b)) = (a.offset.zip(written.size), b.offset.zip(read.size)) else {
                return true;
            };
            let ends_before = |(at, size): (i64, u64), other: i64| {
                i64::try_from(size).is_ok_and(|size| at.checked_add(size).is_some_and(|end| end <= other))
            };
            return !ends_before(a, b.0) && !ends_before(b, a.0);
        }
        if self.is_private_slot(body, a.root) || self.is_private_slot(body, b.root) {
            return false;
        }
        if let (Some(a), Some(b)) = (object(body, a.root), object(body, b.root)) {
            return a == b;
        }
        match (body.value_type(a.root).space(), body.value_type(b.root).space()) {
            (_, Some(Space::Constant)) => false,
            (Some(a), Some(b)) => a == b || a == Space::Generic || b == Space::Generic,
            _ => true,
        }
    }

    /// Whether code that this body cannot see may change what a region holds.
    pub fn is_exposed(&self, body: &Body, region: Region) -> bool {
        let root = region.address.root;
        !self.is_private_slot(body, root) && body.value_type(root).space() != Some(Space::Constant)
    }
}

/// Whether a value is the address of a slot.
pub fn is_slot(body: &Body, value: Value) -> bool {
    body.value_inst(value).is_some_and(|inst| body.inst(inst).op == Op::Slot)
}

/// Which slot or global a root is; different ones do not overlap.
fn object(body: &Body, root: Value) -> Option<(Op, u32)> {
    let inst = body.value_inst(root)?;
    match body.inst(inst).op {
        Op::Slot => Some((Op::Slot, inst.as_u32())),
        Op::GlobalAddress => Some((Op::GlobalAddress, body.inst(inst).imm)),
        _ => None,
    }
}

/// An `i64` constant's bits.
pub fn offset_bits(offset: i64) -> u128 {
    offset as u128 & Scalar::I64.mask()
}
