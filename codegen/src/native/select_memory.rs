//! Addresses, loads, stores, block copies and atomics.
//!
//! All address spaces are one: the process's memory. Cranelift merges and forwards plain loads; a volatile load is an
//! atomic one where the machine has that, else it stands behind a fence, which Cranelift does not look across. Plain
//! stores are never removed or reordered with each other, so a volatile store is a store. Every atomic access and
//! fence is sequentially consistent, the only order that Cranelift has.

use super::Arch;
use super::emit::Place;
use super::select::{Selector, internal};
use super::tables::Callee;
use super::types::{as_int, held};
use crate::error::EmitError;
use cranelift_codegen::ir::{
    self, AtomicRmwOp, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, types,
};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::limits::MAX_FRAME_BYTES;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Layout, Type};

/// Copies and fills of at most so many bytes are spelled out.
const INLINE_BYTES: u64 = 64;

impl Selector<'_> {
    fn layout(&self, ty: Type) -> Result<Layout, EmitError> {
        self.unit.types.layout(ty).ok_or_else(|| internal(format!("type {ty} has no layout")))
    }

    /// The flags of an access to a value of some alignment, and whether it is aligned to its size.
    fn flags(&self, flags: MemFlags, natural: u32) -> (MemFlagsData, bool) {
        let aligned = flags.align().is_none_or(|align| align >= natural);
        let data = MemFlagsData::new().with_notrap();
        (if aligned { data.with_aligned() } else { data }, aligned)
    }

    pub(super) fn memory(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let data = self.body.inst(inst);
        let (ty, imm) = (data.ty, data.imm);
        let value = match op {
            Op::PtrAdd => {
                let (base, offset) = (self.arg(inst, 0)?, self.arg(inst, 1)?);
                self.cursor.ins().iadd(base, offset)
            }
            Op::Index => self.index(inst, ty)?,
            Op::FieldAddress => {
                let base = self.arg(inst, 0)?;
                let offset = self.unit.types.field_offset(ty, u64::from(imm));
                match offset.ok_or_else(|| internal("a field does not exist"))? {
                    0 => base,
                    offset => {
                        let offset = self.constant(types::I64, u128::from(offset));
                        self.cursor.ins().iadd(base, offset)
                    }
                }
            }
            Op::GlobalAddress => self.global_address(imm)?,
            Op::Slot => self.slot(ty)?,
            Op::Load => self.load(inst, ty, MemFlags::from_bits(imm))?,
            Op::Store => {
                let (address, value) = (self.arg(inst, 0)?, self.arg(inst, 1)?);
                let natural = self.layout(self.arg_type(inst, 1))?.align;
                let (flags, _) = self.flags(MemFlags::from_bits(imm), natural);
                self.cursor.ins().store(flags, value, address, 0);
                return Ok(());
            }
            Op::MemCopy => return self.copy(inst, MemFlags::from_bits(imm)),
            Op::MemSet => return self.set(inst, MemFlags::from_bits(imm)),
            _ => return Err(self.unexpected(inst)),
        };
        self.define(inst, value)
    }

    fn index(&mut self, inst: Inst, element: Type) -> Result<ir::Value, EmitError> {
        let base = self.arg(inst, 0)?;
        let size = self.layout(element)?.size;
        let index_type = self.arg_type(inst, 1);
        let constant = self.body.args(inst).get(1).and_then(|&index| self.body.value_bits(index));
        let offset = match constant {
            Some(bits) => {
                let unused = 128 - index_type.bits().unwrap_or(128);
                let index = ((bits << unused) as i128 >> unused) as i64;
                self.constant(types::I64, u128::from((index as u64).wrapping_mul(size)))
            }
            None => {
                let index = self.arg(inst, 1)?;
                let index = match self.type_of(index) {
                    types::I64 => index,
                    types::I128 => self.cursor.ins().ireduce(types::I64, index),
                    _ => self.cursor.ins().sextend(types::I64, index),
                };
                if size == 1 {
                    index
                } else if size.is_power_of_two() {
                    let count = self.constant(types::I64, u128::from(size.trailing_zeros()));
                    self.cursor.ins().ishl(index, count)
                } else {
                    let size = self.constant(types::I64, u128::from(size));
                    self.cursor.ins().imul(index, size)
                }
            }
        };
        Ok(self.cursor.ins().iadd(base, offset))
    }

    fn global_address(&mut self, imm: u32) -> Result<ir::Value, EmitError> {
        let Symbol::Global(global) = *self.body.symbol(SymbolRef::from_u32(imm)) else {
            return Err(internal("a global was not linked"));
        };
        match self.declared.place(global)? {
            Place::Data(data) => {
                let symbol = self.global(global, data);
                Ok(self.cursor.ins().symbol_value(types::I64, symbol))
            }
            Place::Shared(offset) => {
                let base = self.shared_memory()?;
                let offset = self.constant(types::I64, u128::from(offset));
                Ok(self.cursor.ins().iadd(base, offset))
            }
        }
    }

    fn slot(&mut self, ty: Type) -> Result<ir::Value, EmitError> {
        let layout = self.layout(ty)?;
        self.frame_bytes = self.frame_bytes.saturating_add(layout.size);
        let limit =
            EmitError::limit("bytes of stack slots in one function", MAX_FRAME_BYTES, self.frame_bytes);
        let size = u32::try_from(layout.size).ok().filter(|_| self.frame_bytes <= MAX_FRAME_BYTES);
        let size = size.ok_or(limit)?;
        let shift = layout.align.trailing_zeros() as u8;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size.max(1), shift);
        let slot = self.cursor.func.create_sized_stack_slot(data);
        Ok(self.cursor.ins().stack_addr(types::I64, slot, 0))
    }

    fn load(&mut self, inst: Inst, ty: Type, flags: MemFlags) -> Result<ir::Value, EmitError> {
        let address = self.arg(inst, 0)?;
        let clif = held(ty)?;
        let (data, aligned) = self.flags(flags, self.layout(ty)?.align);
        if !flags.is_volatile() {
            return Ok(self.cursor.ins().load(clif, data, address, 0));
        }
        if aligned && clif.bits() <= 64 {
            let int = as_int(clif);
            let loaded = self.cursor.ins().atomic_load(int, data, address);
            return Ok(self.reinterpret(clif, loaded));
        }
        // Without `notrap`, Cranelift keeps the load although nothing may use it; no load is known behind a fence.
        self.cursor.ins().fence();
        let kept = if aligned { MemFlagsData::new().with_aligned() } else { MemFlagsData::new() };
        Ok(self.cursor.ins().load(clif, kept, address, 0))
    }

    fn reinterpret(&mut self, ty: ir::Type, value: ir::Value) -> ir::Value {
        if self.type_of(value) == ty {
            return value;
        }
        self.cursor.ins().bitcast(ty, MemFlagsData::new(), value)
    }

    /// The number of bytes that an operand says, if it is a small constant.
    fn small(&self, bytes: Option<&Value>) -> Option<u64> {
        let bytes = self.body.value_bits(*bytes?)?;
        u64::try_from(bytes).ok().filter(|&bytes| bytes <= INLINE_BYTES)
    }

    /// Offsets and types of the pieces that `bytes` bytes are moved in.
    fn pieces(&self, bytes: u64, align: u32) -> Vec<(i32, ir::Type)> {
        // RISC-V machines may emulate misaligned accesses, slowly.
        let widest = if self.declared.arch == Arch::Riscv64 { align.min(8) } else { 8 };
        let mut at = 0;
        let mut pieces = Vec::new();
        for (size, ty) in [(8, types::I64), (4, types::I32), (2, types::I16), (1, types::I8)] {
            while size <= widest && bytes - at >= u64::from(size) {
                pieces.push((at as i32, ty));
                at += u64::from(size);
            }
        }
        pieces
    }

    fn copy(&mut self, inst: Inst, flags: MemFlags) -> Result<(), EmitError> {
        let (to, from) = (self.arg(inst, 0)?, self.arg(inst, 1)?);
        if let Some(bytes) = self.small(self.body.args(inst).get(2)).filter(|_| !flags.is_volatile()) {
            let data = MemFlagsData::new().with_notrap();
            let pieces = self.pieces(bytes, flags.align().unwrap_or(1));
            let mut loaded = Vec::with_capacity(pieces.len());
            for &(at, ty) in &pieces {
                loaded.push(self.cursor.ins().load(ty, data, from, at));
            }
            for (&(at, _), value) in pieces.iter().zip(loaded) {
                self.cursor.ins().store(data, value, to, at);
            }
            return Ok(());
        }
        let bytes = self.arg(inst, 2)?;
        let callee = self.callee(Callee::Copy)?;
        self.cursor.ins().call(callee, &[to, from, bytes]);
        Ok(())
    }

    fn set(&mut self, inst: Inst, flags: MemFlags) -> Result<(), EmitError> {
        let (to, value) = (self.arg(inst, 0)?, self.arg(inst, 1)?);
        if let Some(bytes) = self.small(self.body.args(inst).get(2)).filter(|_| !flags.is_volatile()) {
            let wide = self.cursor.ins().uextend(types::I64, value);
            let ones = self.constant(types::I64, 0x0101_0101_0101_0101);
            let pattern = self.cursor.ins().imul(wide, ones);
            for (at, ty) in self.pieces(bytes, flags.align().unwrap_or(1)) {
                let part = if ty == types::I64 { pattern } else { self.cursor.ins().ireduce(ty, pattern) };
                self.cursor.ins().store(MemFlagsData::new().with_notrap(), part, to, at);
            }
            return Ok(());
        }
        let value = self.cursor.ins().uextend(types::I64, value);
        let bytes = self.arg(inst, 2)?;
        let callee = self.callee(Callee::Set)?;
        self.cursor.ins().call(callee, &[to, value, bytes]);
        Ok(())
    }

    pub(super) fn atomic(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        if op == Op::Fence {
            self.cursor.ins().fence();
            return Ok(());
        }
        let address = self.arg(inst, 0)?;
        let flags = MemFlagsData::new().with_notrap().with_aligned();
        if op == Op::AtomicLoad {
            let clif = held(self.body.inst(inst).ty)?;
            let loaded = self.cursor.ins().atomic_load(as_int(clif), flags, address);
            let value = self.reinterpret(clif, loaded);
            return self.define(inst, value);
        }
        let operand = self.arg(inst, 1)?;
        let clif = self.type_of(operand);
        let int = as_int(clif);
        let operand = self.reinterpret(int, operand);
        let rmw = match op {
            Op::AtomicStore => {
                self.cursor.ins().atomic_store(flags, operand, address);
                return Ok(());
            }
            Op::CompareExchange => {
                let new = self.arg(inst, 2)?;
                let old = self.cursor.ins().atomic_cas(flags, address, operand, new);
                let done = self.cursor.ins().icmp(ir::condcodes::IntCC::Equal, old, operand);
                return self.define_all(inst, &[old, done]);
            }
            Op::RmwExchange => AtomicRmwOp::Xchg,
            Op::RmwAdd if clif == int => AtomicRmwOp::Add,
            Op::RmwSub => AtomicRmwOp::Sub,
            Op::RmwAnd => AtomicRmwOp::And,
            Op::RmwOr => AtomicRmwOp::Or,
            Op::RmwXor => AtomicRmwOp::Xor,
            Op::RmwMinS => AtomicRmwOp::Smin,
            Op::RmwMinU => AtomicRmwOp::Umin,
            Op::RmwMaxS => AtomicRmwOp::Smax,
            Op::RmwMaxU => AtomicRmwOp::Umax,
            _ => return Err(self.unexpected(inst)),
        };
        let old = self.cursor.ins().atomic_rmw(int, flags, rmw, address, operand);
        let old = self.reinterpret(clif, old);
        self.define(inst, old)
    }
}
