//! Selection of addresses, loads and stores.

use super::regs::{Address, Base, Place, Reg};
use super::select::{Here, Selector, args, illegal, internal};
use super::types::{Class, bits_of, class_of, memory, space};
use super::write::{Arg, SLOTS};
use crate::error::EmitError;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Space, Type};

/// Addresses.
impl Selector<'_> {
    pub(super) fn pointer(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        match data.op {
            Op::PtrToInt | Op::IntToPtr => {
                let [a] = args(here, inst)?;
                let place = match self.place(here, a)? {
                    // The name of a variable says which space it is in; the number does not.
                    Place::Address(address) if !matches!(address.base, Base::Reg(_)) => {
                        Place::Reg(self.address_register(address))
                    }
                    place => place,
                };
                self.alias(here, inst, place)
            }
            Op::SpaceCast => self.space_cast(here, inst),
            Op::PtrAdd => {
                let [base, offset] = args(here, inst)?;
                let (offset, constant) = split_sum(here.body, offset);
                let base = self.displaced(here, base, constant)?;
                let place = match offset {
                    None => Place::Address(base),
                    Some(offset) => {
                        let offset = self.operand(here, offset)?;
                        Place::Address(self.sum(base, offset))
                    }
                };
                self.alias(here, inst, place)
            }
            Op::Index => self.index(here, inst),
            Op::FieldAddress => {
                let [base] = args(here, inst)?;
                let offset = self.unit.types.field_offset(data.ty, u64::from(data.imm));
                let offset = offset.ok_or_else(|| internal("a field that does not exist"))?;
                let address = self.displaced(here, base, offset as i64)?;
                self.alias(here, inst, Place::Address(address))
            }
            Op::GlobalAddress => self.global_address(here, inst),
            Op::Slot => {
                let layout = self.unit.types.layout(data.ty);
                let offset = self.frame.add(layout.ok_or_else(|| internal("a slot of no known type"))?);
                let offset = i32::try_from(offset)
                    .map_err(|_| EmitError::limit("bytes of local memory", i32::MAX as u64, offset))?;
                let base = self.regs.fresh(Class::B64);
                self.out.line(&["mov.b64"], &[Arg::Reg(base), Arg::Text(SLOTS)]);
                self.alias(here, inst, Place::Address(Address { base: Base::Slots(base), offset }))
            }
            _ => Err(illegal(here, inst)),
        }
    }

    /// A pointer moved by a constant.
    fn displaced(&mut self, here: &Here, pointer: Value, by: i64) -> Result<Address, EmitError> {
        let address = self.address(here, pointer)?;
        let offset = i32::try_from(by).ok().and_then(|by| address.offset.checked_add(by));
        if let Some(offset) = offset {
            return Ok(Address { offset, ..address });
        }
        let base = self.address_register(address);
        Ok(self.sum(Address { base: Base::Reg(base), offset: 0 }, Arg::Int(by)))
    }

    /// An address and a 64-bit number of bytes; the constant part stays apart.
    fn sum(&mut self, address: Address, bytes: Arg) -> Address {
        let base = self.address_register(Address { offset: 0, ..address });
        let sum = self.regs.fresh(Class::B64);
        self.out.line(&["add.s64"], &[Arg::Reg(sum), Arg::Reg(base), bytes]);
        Address { base: Base::Reg(sum), offset: address.offset }
    }

    fn index(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [base, index] = args(here, inst)?;
        let size = self.unit.types.layout(here.body.inst(inst).ty).map(|layout| layout.size as i64);
        let size = size.ok_or_else(|| internal("an index over elements of no known type"))?;
        let (variable, constant) = split_sum(here.body, index);
        let base = self.displaced(here, base, constant.wrapping_mul(size))?;
        let Some(variable) = variable.filter(|_| size != 0) else {
            return self.alias(here, inst, Place::Address(base));
        };
        let bytes = self.scaled(here, variable, size)?;
        let address = self.sum(base, Arg::Reg(bytes));
        self.alias(here, inst, Place::Address(address))
    }

    /// A signed index times a size, in 64 bits. An index that was widened from 32 bits is multiplied as it was.
    fn scaled(&mut self, here: &Here, index: Value, size: i64) -> Result<Reg, EmitError> {
        let (index, zero) = match here.body.value_inst(index) {
            Some(inst) if here.body.value_type(index) == Type::I64 => {
                let source = here.body.args(inst).first().copied();
                match (here.body.inst(inst).op, source) {
                    (Op::Sext, Some(source)) if here.body.value_type(source) != Type::I1 => (source, false),
                    (Op::Zext, Some(source)) if here.body.value_type(source) != Type::I1 => (source, true),
                    _ => (index, false),
                }
            }
            _ => (index, false),
        };
        let ty = here.body.value_type(index);
        let mut arg = if zero { self.operand(here, index)? } else { self.signed_operand(here, index)? };
        let product = self.regs.fresh(Class::B64);
        if bits_of(ty) <= 32 {
            if size <= i64::from(i32::MAX) && size > 1 {
                let name = if zero { "mul.wide.u32" } else { "mul.wide.s32" };
                self.out.line(&[name], &[Arg::Reg(product), arg, Arg::Int(size)]);
                return Ok(product);
            }
            let name = if zero { "cvt.u64.u32" } else { "cvt.s64.s32" };
            self.out.line(&[name], &[Arg::Reg(product), arg]);
            arg = Arg::Reg(product);
        }
        match (size, arg) {
            (1, Arg::Reg(reg)) => return Ok(reg),
            (size, _) if size.count_ones() == 1 => {
                let count = Arg::Int(i64::from(size.trailing_zeros()));
                self.out.line(&["shl.b64"], &[Arg::Reg(product), arg, count]);
            }
            _ => self.out.line(&["mul.lo.s64"], &[Arg::Reg(product), arg, Arg::Int(size)]),
        }
        Ok(product)
    }

    fn global_address(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        let Symbol::Global(global) = *here.body.symbol(SymbolRef::from_u32(data.imm)) else {
            return Err(internal("the address of something that is no global"));
        };
        let base = self.regs.fresh(Class::B64);
        self.out.line(&["mov.b64"], &[Arg::Reg(base), Arg::Global(global)]);
        if data.ty.space() == Some(Space::Generic) {
            let from = self.unit.globals.get(global).map_or(Space::Global, |global| global.space);
            let result = Arg::Reg(self.result(here, inst)?);
            self.out.line(&["cvta", space(from), ".u64"], &[result, Arg::Reg(base)]);
            return Ok(());
        }
        self.alias(here, inst, Place::Address(Address { base: Base::Global(global, base), offset: 0 }))
    }

    fn space_cast(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [a] = args(here, inst)?;
        let from = here.body.value_type(a).space().unwrap_or(Space::Generic);
        let to = here.body.inst(inst).ty.space().unwrap_or(Space::Generic);
        let a = Arg::Reg(self.register(here, a)?);
        let result = Arg::Reg(self.result(here, inst)?);
        if to == Space::Generic {
            self.out.line(&["cvta", space(from), ".u64"], &[result, a]);
        } else {
            self.out.line(&["cvta.to", space(to), ".u64"], &[result, a]);
        }
        Ok(())
    }
}

/// Follows sums of 64-bit integers with constants, which wrap like addresses do: what varies, and the constant.
fn split_sum(body: &Body, value: Value) -> (Option<Value>, i64) {
    /// Sums are normalised before, so that more than one is rare.
    const MAX_SUMS: u32 = 8;
    let (mut value, mut constant) = (value, 0i64);
    for _ in 0..MAX_SUMS {
        if let Some(bits) = body.value_bits(value) {
            let unused = 64 - bits_of(body.value_type(value)).min(64);
            return (None, constant.wrapping_add((bits as i64) << unused >> unused));
        }
        let Some(inst) = body.value_inst(value) else { break };
        if body.inst(inst).op != Op::Add || body.value_type(value) != Type::I64 {
            break;
        }
        let &[a, b] = body.args(inst) else { break };
        match (body.value_bits(a), body.value_bits(b)) {
            (_, Some(bits)) => (value, constant) = (a, constant.wrapping_add(bits as i64)),
            (Some(bits), _) => (value, constant) = (b, constant.wrapping_add(bits as i64)),
            _ => break,
        }
    }
    (Some(value), constant)
}

/// Accesses.
impl Selector<'_> {
    pub(super) fn pointer_space(&self, here: &Here, pointer: Value) -> Space {
        here.body.value_type(pointer).space().unwrap_or(Space::Generic)
    }

    /// An address some bytes further.
    fn further(&mut self, address: Address, bytes: i32) -> Address {
        match address.offset.checked_add(bytes) {
            Some(offset) => Address { offset, ..address },
            None => Address { base: Base::Reg(self.address_register(address)), offset: bytes },
        }
    }

    pub(super) fn load(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [pointer] = args(here, inst)?;
        let data = here.body.inst(inst);
        let flags = MemFlags::from_bits(data.imm);
        let from = self.pointer_space(here, pointer);
        let address = self.address(here, pointer)?;
        // Constant memory does not change while a kernel runs, which is what `.nc` asks for (PTX ISA 9.7.9 "ld.nc").
        let (head, tail) = match (is_volatile(flags, from), from) {
            (true, _) => ("ld.volatile", ""),
            (false, Space::Constant) => ("ld", ".nc"),
            (false, _) => ("ld", ""),
        };
        let op = [head, space(from), tail];
        let size = bits_of(data.ty).div_ceil(8) as i32;
        let align = flags.align().map_or(size, |align| align.min(size as u32) as i32);
        if align < size {
            return self.load_in_parts(here, inst, address, op, size, align);
        }
        let result = self.result(here, inst)?;
        self.load_to(result, data.ty, op, Arg::Memory(address))
    }

    /// Loads a value of type `ty`; `op` is the instruction but for its type.
    pub(super) fn load_to(&mut self, to: Reg, ty: Type, op: [&str; 3], from: Arg) -> Result<(), EmitError> {
        let [a, b, c] = op;
        if to.class() == Class::Pred {
            let byte = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(&[a, b, c, memory(ty)?], &[byte, from]);
            self.out.line(&["setp.ne.b32"], &[Arg::Reg(to), byte, Arg::Int(0)]);
        } else {
            self.out.line(&[a, b, c, memory(ty)?], &[Arg::Reg(to), from]);
        }
        Ok(())
    }

    /// Addresses must be multiples of the size of the access (PTX ISA 9.7.9 "ld"), so others are done in parts.
    fn load_in_parts(
        &mut self,
        here: &Here,
        inst: Inst,
        address: Address,
        [a, b, c]: [&str; 3],
        size: i32,
        align: i32,
    ) -> Result<(), EmitError> {
        let mut words = [None; 2];
        for (word, at) in words.iter_mut().zip((0..size).step_by(4)) {
            let mut sum: Option<Reg> = None;
            for offset in (0..size.min(4)).step_by(align as usize) {
                let part = self.regs.fresh(Class::B32);
                let from = self.further(address, at + offset);
                self.out.line(&[a, b, c, part_type(align)], &[Arg::Reg(part), Arg::Memory(from)]);
                sum = Some(match sum {
                    None => part,
                    Some(low) => {
                        let (p, sum) = (Arg::Reg(part), self.regs.fresh(Class::B32));
                        self.out.line(&["shl.b32"], &[p, p, Arg::Int(i64::from(offset) * 8)]);
                        self.out.line(&["or.b32"], &[Arg::Reg(sum), Arg::Reg(low), p]);
                        sum
                    }
                });
            }
            *word = sum;
        }
        let result = self.result(here, inst)?;
        match (words, result.class()) {
            ([Some(low), Some(high)], _) => {
                self.out.line(&["mov.b64"], &[Arg::Reg(result), Arg::Pair(low, high)]);
            }
            ([Some(word), None], Class::B16) => {
                self.out.line(&["cvt.u16.u32"], &[Arg::Reg(result), Arg::Reg(word)]);
            }
            ([Some(word), None], _) => self.out.line(&["mov.b32"], &[Arg::Reg(result), Arg::Reg(word)]),
            _ => return Err(illegal(here, inst)),
        }
        Ok(())
    }

    /// A value as memory holds it: truth values as 0 or 1.
    pub(super) fn stored(&mut self, here: &Here, value: Value) -> Result<Arg, EmitError> {
        match self.place(here, value)? {
            Place::Const(bits) if here.body.value_type(value) == Type::I1 => Ok(Arg::Int((bits & 1) as i64)),
            Place::Reg(reg) if reg.class() == Class::Pred => {
                let byte = Arg::Reg(self.regs.fresh(Class::B32));
                self.out.line(&["selp.b32"], &[byte, Arg::Int(1), Arg::Int(0), Arg::Reg(reg)]);
                Ok(byte)
            }
            _ => self.operand(here, value),
        }
    }

    pub(super) fn store(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [pointer, value] = args(here, inst)?;
        let flags = MemFlags::from_bits(here.body.inst(inst).imm);
        let ty = here.body.value_type(value);
        let to = self.pointer_space(here, pointer);
        let address = self.address(here, pointer)?;
        let head = if is_volatile(flags, to) { "st.volatile" } else { "st" };
        let size = bits_of(ty).div_ceil(8) as i32;
        let align = flags.align().map_or(size, |align| align.min(size as u32) as i32);
        if align >= size {
            let value = self.stored(here, value)?;
            self.out.line(&[head, space(to), memory(ty)?], &[Arg::Memory(address), value]);
            return Ok(());
        }
        let value = self.register(here, value)?;
        let words = match class_of(ty)? {
            Class::B64 => {
                let (low, high) = self.halves(Arg::Reg(value));
                [Some(low), Some(high)]
            }
            Class::B16 => {
                let word = self.regs.fresh(Class::B32);
                self.out.line(&["cvt.u32.u16"], &[Arg::Reg(word), Arg::Reg(value)]);
                [Some(word), None]
            }
            _ => [Some(value), None],
        };
        for (word, at) in words.into_iter().flatten().zip([0, 4]) {
            for offset in (0..size.min(4)).step_by(align as usize) {
                let mut part = Arg::Reg(word);
                if offset > 0 {
                    part = Arg::Reg(self.regs.fresh(Class::B32));
                    self.out.line(&["shr.u32"], &[part, Arg::Reg(word), Arg::Int(i64::from(offset) * 8)]);
                }
                let place = Arg::Memory(self.further(address, at + offset));
                self.out.line(&[head, space(to), part_type(align)], &[place, part]);
            }
        }
        Ok(())
    }
}

/// Nobody but the thread itself sees local memory, and before PTX ISA 9.1 it knows no `.volatile`.
fn is_volatile(flags: MemFlags, at: Space) -> bool {
    flags.is_volatile() && at != Space::Local
}

fn part_type(bytes: i32) -> &'static str {
    match bytes {
        1 => ".u8",
        2 => ".u16",
        _ => ".b32",
    }
}
