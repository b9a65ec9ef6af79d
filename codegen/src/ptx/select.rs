//! Instruction selection, one function at a time: blocks in reverse post-order, instructions in order.
//!
//! This file holds the state of a function's selection and how operands are spelled; which instruction stands for
//! which op is in the `select_*` files and in `intrinsics`.

use super::debug::Debug;
use super::regs::{Address, Base, ParallelCopy, Place, Reg, Registers};
use super::types::{Class, bits_of, class_of};
use super::write::{Arg, Label, Writer};
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Layout, Type};
use marquetry_ir::unit::{Function, Unit};

/// Memory of a function's slots.
#[derive(Copy, Clone, Debug)]
pub(super) struct Frame {
    pub(super) size: u64,
    pub(super) align: u32,
}

impl Frame {
    pub(super) const EMPTY: Frame = Frame { size: 0, align: 1 };

    /// Room for one more slot: its offset.
    pub(super) fn add(&mut self, layout: Layout) -> u64 {
        let offset = self.size.next_multiple_of(u64::from(layout.align.max(1)));
        self.size = offset.saturating_add(layout.size.max(1));
        self.align = self.align.max(layout.align);
        offset
    }
}

/// The selection of a unit's functions. Tables are kept from one function to the next.
pub(super) struct Selector<'a> {
    pub(super) unit: &'a Unit,
    pub(super) sm: u16,
    pub(super) flow: ControlFlow,
    pub(super) out: Writer<'a>,
    pub(super) regs: Registers,
    pub(super) copies: ParallelCopy,
    pub(super) frame: Frame,
    /// Labels and prototypes handed out in this function.
    pub(super) labels: u32,
    pub(super) debug: Debug<'a>,
}

/// Where the current instruction stands.
pub(super) struct Here<'a> {
    pub(super) function: &'a Function,
    pub(super) body: &'a Body,
    pub(super) signature: &'a Signature,
    pub(super) kind: MethodKind,
}

impl<'a> Selector<'a> {
    pub(super) fn new(unit: &'a Unit, sm: u16, out: Writer<'a>, debug: Debug<'a>) -> Self {
        Selector {
            unit,
            sm,
            flow: ControlFlow::new(),
            out,
            regs: Registers::default(),
            copies: ParallelCopy::default(),
            frame: Frame::EMPTY,
            labels: 0,
            debug,
        }
    }

    /// Writes the code of a function, without its head and its declarations.
    pub(super) fn function(&mut self, function: &'a Function) -> Result<(), EmitError> {
        let body = &function.body;
        let here = Here { function, body, signature: &function.signature, kind: function.kind };
        self.regs.start(body.value_count());
        self.frame = Frame::EMPTY;
        self.labels = 0;
        let mut flow = std::mem::take(&mut self.flow);
        flow.compute(body);
        self.flow = flow;
        let Some(entry) = body.entry() else {
            return Err(internal("a function without blocks"));
        };
        self.debug.start(function, &mut self.out);
        self.load_params(&here, entry)?;
        for n in 0..self.flow.reverse_post_order().len() {
            let block = self.flow.reverse_post_order()[n];
            if block != entry && !self.is_merged(block) {
                for &param in body.block_params(block) {
                    self.define(&here, param)?;
                }
            }
        }
        for n in 0..self.flow.reverse_post_order().len() {
            self.block(&here, n)?;
        }
        Ok(())
    }

    pub(super) fn inst(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        use Op::*;
        match here.body.inst(inst).op {
            Add | Sub | Mul | Div | Neg | Abs | Fma | Sqrt | Ceil | Floor | RoundZero | RoundEven
            | CopySign | Min | Max | MinNumber | MaxNumber => self.arithmetic(here, inst),
            DivS | DivU | RemS | RemU | MulHighS | MulHighU | AddSatS | SubSatS | MinS | MinU | MaxS
            | MaxU => self.integer(here, inst),
            And | Or | Xor | Not | Shl | ShrS | ShrU | RotL | RotR | Clz | Ctz | PopCount | BitReverse
            | ByteSwap => self.bitwise(here, inst),
            Eq | Ne | LtS | LeS | GtS | GeS | LtU | LeU | GtU | GeU | Lt | Le | Gt | Ge | One | Ueq | Ult
            | Ule | Ugt | Uge | Ord | Uno => self.compare(here, inst),
            Select => self.select(here, inst),
            Trunc | Zext | Sext | FConvert | FToS | FToU | SToF | UToF | Bitcast => self.convert(here, inst),
            PtrToInt | IntToPtr | SpaceCast | PtrAdd | Index | FieldAddress | GlobalAddress | Slot => {
                self.pointer(here, inst)
            }
            Load => self.load(here, inst),
            Store => self.store(here, inst),
            AtomicLoad | AtomicStore => self.atomic_access(here, inst),
            RmwExchange | RmwAdd | RmwSub | RmwAnd | RmwOr | RmwXor | RmwMinS | RmwMinU | RmwMaxS
            | RmwMaxU | CompareExchange => self.atomic_update(here, inst),
            Fence => self.fence(here, inst),
            LocalId | GroupId | GroupSize | GroupCount | SubgroupSize | SubgroupLane | Clock | Barrier
            | Trap | SubgroupBarrier => self.special(here, inst),
            SubgroupShuffle | SubgroupShuffleXor | SubgroupShuffleUp | SubgroupShuffleDown => {
                self.lane_shuffle(here, inst)
            }
            SubgroupAny | SubgroupAll | SubgroupBallot => self.vote(here, inst),
            SubgroupReduceAdd | SubgroupReduceAnd | SubgroupReduceOr | SubgroupReduceXor
            | SubgroupReduceMinS | SubgroupReduceMinU | SubgroupReduceMaxS | SubgroupReduceMaxU => {
                self.lane_reduce(here, inst)
            }
            Call | CallIndirect | FunctionAddress => self.call(here, inst),
            Jump | Branch | Switch | Return => Err(internal("a terminator inside a block")),
            Rem | RoundAway | AddSatU | SubSatU | AddOverflowS | AddOverflowU | SubOverflowS
            | SubOverflowU | MulOverflowS | MulOverflowU | Splat | Extract | Insert | Shuffle | ReduceAdd
            | ReduceMul | ReduceAnd | ReduceOr | ReduceXor | ReduceMinS | ReduceMinU | ReduceMaxS
            | ReduceMaxU | ReduceMin | ReduceMax | Make | GetField | SetField | BoundsCheck | MemCopy
            | MemSet | RmwMin | RmwMax | Unresolved | Throw | Unreachable | StaticAssert | Assert
            | Sentinel | Print | KernelInput | TargetQuery | Scratch => Err(illegal(here, inst)),
        }
    }

    /// A label that nothing else has.
    pub(super) fn fresh_label(&mut self) -> Label {
        self.labels += 1;
        Label('T', self.labels)
    }

    /// A register for the value, which is defined by what follows.
    pub(super) fn define(&mut self, here: &Here, value: Value) -> Result<Reg, EmitError> {
        let reg = self.regs.fresh(class_of(here.body.value_type(value))?);
        self.regs.set_place(value, Place::Reg(reg));
        Ok(reg)
    }

    /// The result of an instruction, and a register for it.
    pub(super) fn result(&mut self, here: &Here, inst: Inst) -> Result<Reg, EmitError> {
        let value = here.body.first_result(inst).ok_or_else(|| illegal(here, inst))?;
        self.define(here, value)
    }

    /// Lets the result of an instruction be where something else is.
    pub(super) fn alias(&mut self, here: &Here, inst: Inst, place: Place) -> Result<(), EmitError> {
        let value = here.body.first_result(inst).ok_or_else(|| illegal(here, inst))?;
        self.regs.set_place(value, place);
        Ok(())
    }

    /// Where a value is.
    pub(super) fn place(&self, here: &Here, value: Value) -> Result<Place, EmitError> {
        match self.regs.place(value) {
            Place::Unset => {
                let bits = here.body.value_bits(value);
                let bits = bits.ok_or_else(|| internal("a value is used before it is computed"))?;
                Ok(Place::Const(bits as u64))
            }
            place => Ok(place),
        }
    }

    /// A value as an operand of an untyped or integer instruction: narrow integers with zeros above.
    pub(super) fn operand(&mut self, here: &Here, value: Value) -> Result<Arg, EmitError> {
        let ty = here.body.value_type(value);
        Ok(match self.place(here, value)? {
            Place::Const(bits) if ty == Type::I1 => Arg::Reg(self.constant(Class::Pred, bits & 1)),
            Place::Const(bits) => Arg::Int(match bits_of(ty) {
                32 => i64::from(bits as u32 as i32),
                _ => bits as i64,
            }),
            Place::Reg(reg) => Arg::Reg(reg),
            Place::Address(address) => Arg::Reg(self.address_register(address)),
            Place::Unset => return Err(internal("a value is used before it is computed")),
        })
    }

    /// A value as an operand of a float instruction.
    pub(super) fn float_operand(&mut self, here: &Here, value: Value) -> Result<Arg, EmitError> {
        let ty = here.body.value_type(value);
        match self.place(here, value)? {
            Place::Const(bits) if ty == Type::F32 => Ok(Arg::F32(bits as u32)),
            Place::Const(bits) if ty == Type::F64 => Ok(Arg::F64(bits)),
            // There are no immediates of 16-bit float types.
            Place::Const(bits) => Ok(Arg::Reg(self.constant(Class::B16, bits))),
            _ => self.operand(here, value),
        }
    }

    /// A value as an operand of a signed instruction: narrow integers with copies of the sign above.
    pub(super) fn signed_operand(&mut self, here: &Here, value: Value) -> Result<Arg, EmitError> {
        let bits = bits_of(here.body.value_type(value));
        let arg = self.operand(here, value)?;
        Ok(match (arg, bits) {
            (_, 32..) => arg,
            (Arg::Int(value), _) => Arg::Int(value << (64 - bits) >> (64 - bits)),
            (_, _) => {
                let wide = self.regs.fresh(Class::B32);
                let op = if bits == 8 { "cvt.s32.s8" } else { "cvt.s32.s16" };
                self.out.line(&[op], &[Arg::Reg(wide), arg]);
                Arg::Reg(wide)
            }
        })
    }

    /// A value in a register.
    pub(super) fn register(&mut self, here: &Here, value: Value) -> Result<Reg, EmitError> {
        match self.operand(here, value)? {
            Arg::Reg(reg) => Ok(reg),
            Arg::Int(bits) => Ok(self.constant(class_of(here.body.value_type(value))?, bits as u64)),
            _ => Err(internal("an operand that is neither register nor integer")),
        }
    }

    /// The low 32 bits of an integer of any width, as an operand.
    pub(super) fn low_word(&mut self, here: &Here, value: Value) -> Result<Arg, EmitError> {
        let arg = self.operand(here, value)?;
        Ok(match arg {
            Arg::Int(bits) => Arg::Int(i64::from(bits as i32)),
            Arg::Reg(reg) if reg.class() == Class::B64 => {
                let low = self.regs.fresh(Class::B32);
                self.out.line(&["cvt.u32.u64"], &[Arg::Reg(low), arg]);
                Arg::Reg(low)
            }
            _ => arg,
        })
    }

    /// A register that holds a constant.
    pub(super) fn constant(&mut self, class: Class, bits: u64) -> Reg {
        let reg = self.regs.fresh(class);
        self.out.line(&["mov", class.suffix()], &[Arg::Reg(reg), Arg::Int(bits as i64)]);
        reg
    }

    /// The address that a pointer holds, for a memory operand.
    pub(super) fn address(&mut self, here: &Here, value: Value) -> Result<Address, EmitError> {
        match self.place(here, value)? {
            Place::Address(address) => Ok(address),
            _ => Ok(Address { base: Base::Reg(self.register(here, value)?), offset: 0 }),
        }
    }

    /// A register that holds an address.
    pub(super) fn address_register(&mut self, address: Address) -> Reg {
        let base = address.base.register();
        if address.offset == 0 {
            return base;
        }
        let sum = self.regs.fresh(Class::B64);
        let offset = Arg::Int(i64::from(address.offset));
        self.out.line(&["add.s64"], &[Arg::Reg(sum), Arg::Reg(base), offset]);
        sum
    }

    /// Clears what an operation on a narrow integer left above its width.
    pub(super) fn wrap(&mut self, reg: Reg, bits: u32) {
        if bits < 32 {
            let mask = Arg::Int((1 << bits) - 1);
            self.out.line(&["and.b32"], &[Arg::Reg(reg), Arg::Reg(reg), mask]);
        }
    }

    /// The low and high word of a 64-bit value.
    pub(super) fn halves(&mut self, arg: Arg) -> (Reg, Reg) {
        let (low, high) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
        self.out.line(&["mov.b64"], &[Arg::Pair(low, high), arg]);
        (low, high)
    }
}

pub(super) fn internal(message: &str) -> EmitError {
    EmitError::Internal(format!("PTX: {message}"))
}

/// The error for an op that legalisation should not have left.
pub(super) fn illegal(here: &Here, inst: Inst) -> EmitError {
    let op = here.body.inst(inst).op;
    EmitError::Internal(format!("PTX: {inst}: {op} is not legal, expected it to be rewritten"))
}

/// As many operands as an instruction should have.
pub(super) fn args<const N: usize>(here: &Here, inst: Inst) -> Result<[Value; N], EmitError> {
    here.body.args(inst).try_into().map_err(|_| illegal(here, inst))
}
