//! Selection of addresses and accesses: objects are arrays of words, pointers byte offsets into them.
//!
//! An access that is narrower than a word, or not aligned to words, is put together from parts of words. Work-items may write
//! neighbouring parts at the same time, so in memory that they share such a store is two atomics: one clears the bits, one
//! sets them.

use super::internal;
use super::module::U32;
use super::objects::{Kind, Object};
use super::select::{Expr, Open, Selector};
use super::select_scalar::mask;
use crate::error::EmitError;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type};
use naga::{
    AtomicFunction, BinaryOperator as Binary, Block, Expression, LocalVariable, MathFunction, ScalarKind,
    Span, Statement,
};

/// An access to memory.
#[derive(Copy, Clone)]
struct Access {
    object: Object,
    offset: Expr,
    ty: Type,
    /// Bytes of the value, and of the parts that lie within a word.
    bytes: u32,
    part: u32,
}

impl Selector<'_, '_> {
    /// Selects an address: a byte offset.
    pub(super) fn address(&mut self, inst: Inst, op: IrOp) -> Result<Expr, EmitError> {
        let data = self.body.inst(inst);
        let types = &self.state.unit.types;
        let size = types.layout(data.ty).map_or(0, |layout| layout.size);
        let field = types.field_offset(data.ty, u64::from(data.imm)).unwrap_or(0);
        match op {
            IrOp::Slot | IrOp::GlobalAddress => Ok(self.word(0)),
            IrOp::FieldAddress => {
                let args = self.operands(inst)?;
                let offset = self.word(field as u32);
                self.offset(&args, offset)
            }
            IrOp::Index => {
                let args = self.operands(inst)?;
                let index = *args.get(1).ok_or_else(|| internal("an index without number"))?;
                let index = match self.arg_type(inst, 1) {
                    Type::I32 => index,
                    other => return Err(internal(&format!("an index of type {other}"))),
                };
                let size = self.word(size as u32);
                let offset = self.binary(Binary::Multiply, index, size);
                self.offset(&args, offset)
            }
            _ => self.operands(inst)?.first().copied().ok_or_else(|| internal("an address of nothing")),
        }
    }

    fn offset(&mut self, args: &[Expr], offset: Expr) -> Result<Expr, EmitError> {
        let base = *args.first().ok_or_else(|| internal("an offset of nothing"))?;
        let zero = self.word(0);
        if offset == zero {
            return Ok(base);
        }
        Ok(if base == zero { offset } else { self.binary(Binary::Add, base, offset) })
    }

    fn access(&mut self, inst: Inst, ty: Type) -> Result<Access, EmitError> {
        let flags = MemFlags::from_bits(self.body.inst(inst).imm);
        let pointer = *self.body.args(inst).first().ok_or_else(|| internal("an access without address"))?;
        let object = self.state.objects.of(self.func, self.body, pointer)?;
        let offset = self.value(pointer)?;
        let bytes = ty.as_scalar().map_or(4, Scalar::bytes) as u32;
        let part = flags.align().unwrap_or(bytes).min(bytes).min(4);
        Ok(Access { object, offset, ty, bytes, part })
    }

    /// A pointer to a word of an object.
    fn word_pointer(&mut self, object: Object, offset: Expr) -> Result<Expr, EmitError> {
        let data =
            self.state.objects.list.get(object as usize).ok_or_else(|| internal("a dangling object"))?;
        let words = (!matches!(data.kind, Kind::Buffer { .. })).then(|| data.bytes.div_ceil(4).max(1));
        let local = matches!(data.kind, Kind::Slot { owner } if owner == self.func) && !data.foreign;
        let base = if local {
            let variable = match self.slots.get(&object) {
                Some(&variable) => variable,
                None => {
                    let ty = self.state.object_type(object)?;
                    let variable = LocalVariable { name: Some(format!("slot{object}")), ty, init: None };
                    let variable = self.function.local_variables.append(variable, Span::UNDEFINED);
                    self.slots.insert(object, variable);
                    variable
                }
            };
            self.fixed(Expression::LocalVariable(variable))
        } else {
            let variable = self.state.variable(object)?;
            self.fixed(Expression::GlobalVariable(variable))
        };
        let two = self.word(2);
        let index = self.binary(Binary::ShiftRight, offset, two);
        // Past the end of a variable is undefined, and not to be refused.
        let past = matches!((words, self.known_word(index)), (Some(words), Some(index)) if u64::from(index) >= words);
        let index = if past { self.at_run_time(index) } else { index };
        Ok(self.expr(Expression::Access { base, index }))
    }

    fn advanced(&mut self, offset: Expr, bytes: u32) -> Expr {
        if bytes == 0 {
            return offset;
        }
        let bytes = self.word(bytes);
        self.binary(Binary::Add, offset, bytes)
    }

    /// How far the bits of a byte offset stand in their word.
    fn bit_offset(&mut self, offset: Expr) -> Expr {
        let (three, low) = (self.word(3), self.word(3));
        let byte = self.binary(Binary::And, offset, low);
        self.binary(Binary::ShiftLeft, byte, three)
    }

    /// A part of a word, with zeros above.
    fn load_part(&mut self, object: Object, offset: Expr, bytes: u32) -> Result<Expr, EmitError> {
        let pointer = self.word_pointer(object, offset)?;
        let word = self.expr(Expression::Load { pointer });
        if bytes == 4 {
            return Ok(word);
        }
        let (shift, ones) = (self.bit_offset(offset), self.word((1 << (bytes * 8)) - 1));
        let moved = self.binary(Binary::ShiftRight, word, shift);
        Ok(self.binary(Binary::And, moved, ones))
    }

    fn store_part(&mut self, object: Object, offset: Expr, bits: Expr, bytes: u32) -> Result<(), EmitError> {
        let pointer = self.word_pointer(object, offset)?;
        if bytes == 4 {
            self.push(Statement::Store { pointer, value: bits });
            return Ok(());
        }
        let (shift, ones) = (self.bit_offset(offset), self.word((1 << (bytes * 8)) - 1));
        let hole = self.binary(Binary::ShiftLeft, ones, shift);
        let keep = self.expr(Expression::Unary { op: naga::UnaryOperator::BitwiseNot, expr: hole });
        let bits = self.binary(Binary::And, bits, ones);
        let bits = self.binary(Binary::ShiftLeft, bits, shift);
        if self.state.objects.list.get(object as usize).is_some_and(|data| data.atomic) {
            self.push(Statement::Atomic { pointer, fun: AtomicFunction::And, value: keep, result: None });
            self.push(Statement::Atomic {
                pointer,
                fun: AtomicFunction::InclusiveOr,
                value: bits,
                result: None,
            });
            return Ok(());
        }
        let word = self.expr(Expression::Load { pointer });
        let kept = self.binary(Binary::And, word, keep);
        let value = self.binary(Binary::InclusiveOr, kept, bits);
        self.push(Statement::Store { pointer, value });
        Ok(())
    }

    /// The value of a type that some bits are.
    pub(super) fn value_of(&mut self, bits: Expr, ty: Type) -> Expr {
        if ty == Type::F32 { self.bitcast(bits, ScalarKind::Float) } else { bits }
    }

    fn bits_of(&mut self, value: Expr, ty: Type) -> Expr {
        if ty == Type::F32 { self.unsigned(value) } else { value }
    }

    /// Selects a load.
    pub(super) fn load(&mut self, inst: Inst) -> Result<Expr, EmitError> {
        let access = self.access(inst, self.body.inst(inst).ty)?;
        let mut bits = None;
        for n in (0..access.bytes).step_by(access.part as usize) {
            let offset = self.advanced(access.offset, n);
            let part = self.load_part(access.object, offset, access.part)?;
            bits = Some(match bits {
                None => part,
                Some(bits) => {
                    let up = self.word(n * 8);
                    let part = self.binary(Binary::ShiftLeft, part, up);
                    self.binary(Binary::InclusiveOr, bits, part)
                }
            });
        }
        let bits = bits.ok_or_else(|| internal("a load of nothing"))?;
        Ok(self.value_of(bits, access.ty))
    }

    fn stored(&mut self, inst: Inst, index: usize) -> Result<(Expr, Type), EmitError> {
        let value: Value = *self.body.args(inst).get(index).ok_or_else(|| internal("a store of nothing"))?;
        let ty = self.body.value_type(value);
        let value = self.value(value)?;
        Ok((self.bits_of(value, ty), ty))
    }

    /// Selects a store.
    pub(super) fn store(&mut self, inst: Inst) -> Result<(), EmitError> {
        let (bits, ty) = self.stored(inst, 1)?;
        let access = self.access(inst, ty)?;
        for n in (0..access.bytes).step_by(access.part as usize) {
            let offset = self.advanced(access.offset, n);
            let part = if n == 0 {
                bits
            } else {
                let down = self.word(n * 8);
                self.binary(Binary::ShiftRight, bits, down)
            };
            self.store_part(access.object, offset, part, access.part)?;
        }
        Ok(())
    }

    fn atomic(&mut self, inst: Inst, fun: AtomicFunction, bits: Expr, ty: Type) -> Result<Expr, EmitError> {
        let access = self.access(inst, ty)?;
        if access.part != 4 || mask(ty) != u32::MAX {
            return Err(internal(&format!("an atomic on {ty}")));
        }
        let data = self.state.objects.list.get(access.object as usize);
        if !data.is_some_and(|data| data.atomic) {
            return self.private_atomic(access, fun, bits);
        }
        let pointer = self.word_pointer(access.object, access.offset)?;
        if let AtomicFunction::Exchange { compare: Some(expected) } = fun {
            return self.strong_exchange(pointer, expected, bits);
        }
        let ty = self.state.scalar(U32);
        let result = self.fixed(Expression::AtomicResult { ty, comparison: false });
        self.push(Statement::Atomic { pointer, fun, value: bits, result: Some(result) });
        Ok(result)
    }

    /// An exchange may fail though the word is the expected one (WGSL 17.8.3): again, until it has not.
    fn strong_exchange(&mut self, pointer: Expr, expected: Expr, new: Expr) -> Result<Expr, EmitError> {
        let seen = self.local("seen", None, U32);
        self.open.push(Open::default());
        let ty = self.state.compare_exchange_result();
        let result = self.fixed(Expression::AtomicResult { ty, comparison: true });
        let fun = AtomicFunction::Exchange { compare: Some(expected) };
        self.push(Statement::Atomic { pointer, fun, value: new, result: Some(result) });
        let old = self.expr(Expression::AccessIndex { base: result, index: 0 });
        let exchanged = self.expr(Expression::AccessIndex { base: result, index: 1 });
        self.store_local(seen, old);
        let other = self.binary(Binary::NotEqual, old, expected);
        let done = self.binary(Binary::LogicalOr, exchanged, other);
        let accept = Block::from_vec(vec![Statement::Break]);
        self.push(Statement::If { condition: done, accept, reject: Block::new() });
        let body = self.close()?;
        self.push(Statement::Loop { body, continuing: Block::new(), break_if: None });
        Ok(self.load_local(seen))
    }

    /// In a slot, which no other work-item sees, an atomic is a load and a store.
    fn private_atomic(&mut self, access: Access, fun: AtomicFunction, bits: Expr) -> Result<Expr, EmitError> {
        let pointer = self.word_pointer(access.object, access.offset)?;
        let old = self.expr(Expression::Load { pointer });
        let value = match fun {
            AtomicFunction::Add => self.binary(Binary::Add, old, bits),
            AtomicFunction::Subtract => self.binary(Binary::Subtract, old, bits),
            AtomicFunction::And => self.binary(Binary::And, old, bits),
            AtomicFunction::InclusiveOr => self.binary(Binary::InclusiveOr, old, bits),
            AtomicFunction::ExclusiveOr => self.binary(Binary::ExclusiveOr, old, bits),
            AtomicFunction::Exchange { compare: None } => bits,
            AtomicFunction::Exchange { compare: Some(expected) } => {
                let same = self.binary(Binary::Equal, old, expected);
                self.select(same, bits, old)
            }
            AtomicFunction::Min => self.math(MathFunction::Min, old, Some(bits)),
            AtomicFunction::Max => self.math(MathFunction::Max, old, Some(bits)),
        };
        self.push(Statement::Store { pointer, value });
        Ok(old)
    }

    /// Selects a read-modify-write atomic.
    pub(super) fn read_modify_write(&mut self, inst: Inst, op: IrOp) -> Result<Expr, EmitError> {
        use IrOp::*;
        let (bits, ty) = self.stored(inst, 1)?;
        let fun = match op {
            RmwExchange => AtomicFunction::Exchange { compare: None },
            RmwAdd => AtomicFunction::Add,
            RmwSub => AtomicFunction::Subtract,
            RmwAnd => AtomicFunction::And,
            RmwOr => AtomicFunction::InclusiveOr,
            RmwXor => AtomicFunction::ExclusiveOr,
            RmwMinU => AtomicFunction::Min,
            RmwMaxU => AtomicFunction::Max,
            _ => return Err(internal(&format!("'{op}' in a legal unit"))),
        };
        let old = self.atomic(inst, fun, bits, ty)?;
        Ok(self.value_of(old, ty))
    }

    /// Selects a compare-and-exchange.
    pub(super) fn compare_exchange(&mut self, inst: Inst) -> Result<(), EmitError> {
        let (expected, ty) = self.stored(inst, 1)?;
        let (new, _) = self.stored(inst, 2)?;
        let fun = AtomicFunction::Exchange { compare: Some(expected) };
        let old = self.atomic(inst, fun, new, ty)?;
        let exchanged = self.binary(Binary::Equal, old, expected);
        let old = self.value_of(old, ty);
        self.define_all(inst, &[old, exchanged]);
        Ok(())
    }
}
