//! Selection of what computes with floats, converts to or from them, or only moves their bits.

use super::internal;
use super::module::Id;
use super::select::{Operands, Selector};
use crate::error::EmitError;
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type};
use rspirv::spirv::Op;

/// Numbers in GLSL.std.450.
mod gl {
    pub const ROUND_EVEN: u32 = 2;
    pub const TRUNC: u32 = 3;
    pub const FLOOR: u32 = 8;
    pub const CEIL: u32 = 9;
    pub const SQRT: u32 = 31;
}

/// Numbers in the OpenCL extended instruction set.
mod cl {
    pub const CEIL: u32 = 12;
    pub const FLOOR: u32 = 25;
    pub const FMA: u32 = 26;
    pub const RINT: u32 = 53;
    pub const ROUND: u32 = 55;
    pub const SQRT: u32 = 61;
    pub const TRUNC: u32 = 66;
}

impl Selector<'_, '_> {
    fn float_truth(&mut self, op: Op, operands: &[Id]) -> Id {
        let ty = self.module().bool();
        self.emit_float(op, ty, operands)
    }

    /// Negation, absolute value and copying of the sign by bits: exact for NaN and zero on every driver.
    pub(super) fn sign_bits(&mut self, op: IrOp, scalar: Scalar, args: &[Id]) -> Result<Id, EmitError> {
        let bits = scalar.bits();
        let float = Type::scalar(scalar);
        let int = match bits {
            16 => Type::I16,
            32 => Type::I32,
            _ => Type::I64,
        };
        let sign = self.int(bits, 1 << (bits - 1));
        let rest = self.int(bits, (1 << (bits - 1)) - 1);
        let a = self.bitcast(args[0], float, int)?;
        let result = match op {
            IrOp::Neg => self.integer(Op::BitwiseXor, bits, &[a, sign]),
            IrOp::Abs => self.integer(Op::BitwiseAnd, bits, &[a, rest]),
            _ => {
                let b = self.bitcast(args[1], float, int)?;
                let magnitude = self.integer(Op::BitwiseAnd, bits, &[a, rest]);
                let signed = self.integer(Op::BitwiseAnd, bits, &[b, sign]);
                self.integer(Op::BitwiseOr, bits, &[magnitude, signed])
            }
        };
        self.bitcast(result, int, float)
    }

    /// Selects an op on floats, or one that makes floats of integers.
    pub(super) fn float_op(
        &mut self,
        op: IrOp,
        scalar: Scalar,
        result: Type,
        args: &[Id],
    ) -> Result<Id, EmitError> {
        use IrOp::*;
        let arithmetic = match op {
            Add => Op::FAdd,
            Sub => Op::FSub,
            Mul => Op::FMul,
            Div => Op::FDiv,
            _ => Op::Nop,
        };
        if arithmetic != Op::Nop {
            let ty = self.type_id(result)?;
            return Ok(self.emit_float(arithmetic, ty, args));
        }
        let compare = match op {
            Eq => Op::FOrdEqual,
            Ne => Op::FUnordNotEqual,
            Lt => Op::FOrdLessThan,
            Le => Op::FOrdLessThanEqual,
            Gt => Op::FOrdGreaterThan,
            Ge => Op::FOrdGreaterThanEqual,
            One => Op::FOrdNotEqual,
            Ueq => Op::FUnordEqual,
            Ult => Op::FUnordLessThan,
            Ule => Op::FUnordLessThanEqual,
            Ugt => Op::FUnordGreaterThan,
            Uge => Op::FUnordGreaterThanEqual,
            _ => Op::Nop,
        };
        if compare != Op::Nop {
            return Ok(self.float_truth(compare, args));
        }
        let vulkan = self.is_vulkan();
        let function = match op {
            Ceil if vulkan => gl::CEIL,
            Ceil => cl::CEIL,
            Floor if vulkan => gl::FLOOR,
            Floor => cl::FLOOR,
            RoundZero if vulkan => gl::TRUNC,
            RoundZero => cl::TRUNC,
            RoundEven if vulkan => gl::ROUND_EVEN,
            RoundEven => cl::RINT,
            RoundAway if !vulkan => cl::ROUND,
            Sqrt if vulkan => gl::SQRT,
            Sqrt => cl::SQRT,
            Fma if !vulkan => cl::FMA,
            _ => 0,
        };
        if function != 0 {
            let ty = self.type_id(result)?;
            let set = self.module().std();
            let mut operands = Operands::from_slice(&[set, function]);
            operands.extend_from_slice(args);
            return Ok(self.emit_float(Op::ExtInst, ty, &operands));
        }
        match op {
            Neg | Abs | CopySign => self.sign_bits(op, scalar, args),
            Ord | Uno => {
                let (same, both) = if op == Ord {
                    (Op::FOrdEqual, Op::LogicalAnd)
                } else {
                    (Op::FUnordNotEqual, Op::LogicalOr)
                };
                let a = self.float_truth(same, &[args[0], args[0]]);
                let b = self.float_truth(same, &[args[1], args[1]]);
                Ok(self.truth(both, &[a, b]))
            }
            Bitcast => self.bitcast(args[0], Type::scalar(scalar), result),
            FConvert => {
                let ty = self.type_id(result)?;
                Ok(self.emit_float(Op::FConvert, ty, args))
            }
            FToS | FToU => self.float_to_int(op == FToS, scalar, result, args[0]),
            SToF | UToF => self.int_to_float(op == SToF, scalar, result, args[0]),
            _ => Err(internal(&format!("'{op}' on {} in a unit for SPIR-V", scalar.name()))),
        }
    }

    /// Clamped conversion: the plain one is undefined out of range, so its result is used only inside.
    fn float_to_int(
        &mut self,
        signed: bool,
        scalar: Scalar,
        result: Type,
        value: Id,
    ) -> Result<Id, EmitError> {
        let (mut value, mut scalar) = (value, scalar);
        if scalar == Scalar::F16 {
            let ty = self.module().float(32);
            value = self.emit_float(Op::FConvert, ty, &[value]);
            scalar = Scalar::F32;
        }
        let bits = result.bits().unwrap_or(32);
        // Powers of two are exact in either float type.
        let power = |exponent: u32, negative: bool| -> u64 {
            let magnitude = (exponent as f64).exp2();
            let number = if negative { -magnitude } else { magnitude };
            if scalar == Scalar::F32 { u64::from((number as f32).to_bits()) } else { number.to_bits() }
        };
        let upper = self.module().const_scalar(scalar, power(if signed { bits - 1 } else { bits }, false));
        let zero = self.int(bits, 0);
        let wide = bits.max(32);
        let ty = self.module().int(wide);
        let mut inside =
            self.emit_float(if signed { Op::ConvertFToS } else { Op::ConvertFToU }, ty, &[value]);
        if wide != bits {
            inside = self.integer(Op::UConvert, bits, &[inside]);
        }
        let too_large = self.float_truth(Op::FOrdGreaterThanEqual, &[value, upper]);
        if signed {
            let lower = self.module().const_scalar(scalar, power(bits - 1, true));
            let (least, greatest) = (self.int(bits, 1 << (bits - 1)), self.int(bits, (1 << (bits - 1)) - 1));
            let too_small = self.float_truth(Op::FOrdLessThan, &[value, lower]);
            let is_nan = self.float_truth(Op::FUnordNotEqual, &[value, value]);
            let clamped = self.integer(Op::Select, bits, &[too_large, greatest, inside]);
            let clamped = self.integer(Op::Select, bits, &[too_small, least, clamped]);
            return Ok(self.integer(Op::Select, bits, &[is_nan, zero, clamped]));
        }
        let none = self.module().const_scalar(scalar, 0);
        let greatest = self.int(bits, u64::MAX);
        let positive = self.float_truth(Op::FOrdGreaterThan, &[value, none]);
        let clamped = self.integer(Op::Select, bits, &[too_large, greatest, inside]);
        Ok(self.integer(Op::Select, bits, &[positive, clamped, zero]))
    }

    fn int_to_float(&mut self, signed: bool, from: Scalar, result: Type, value: Id) -> Result<Id, EmitError> {
        let mut value = value;
        if from.bits() < 32 {
            value = self.integer(if signed { Op::SConvert } else { Op::UConvert }, 32, &[value]);
        }
        let op = if signed { Op::ConvertSToF } else { Op::ConvertUToF };
        // To f16 by way of f32: integers that f32 rounds are far beyond f16's range, so only one step rounds.
        let via = if result == Type::F16 { Type::F32 } else { result };
        let ty = self.type_id(via)?;
        let converted = self.emit_float(op, ty, &[value]);
        if via == result {
            return Ok(converted);
        }
        let ty = self.type_id(result)?;
        Ok(self.emit_float(Op::FConvert, ty, &[converted]))
    }
}
