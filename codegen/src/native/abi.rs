//! Signatures: the platform's C convention for every function.
//!
//! What C does not settle is settled here. Integers narrower than a register are sign-extended where the platform asks
//! for extension, `i1` is zero-extended; `f16` and `bf16` travel as 16-bit integers; more results than the platform
//! has registers for travel through memory that the caller supplies, which no C declaration expresses. Hosts call
//! through packed wrappers, which have one signature for all entries.
//!
//! Where Cranelift places parameters elsewhere than C does, it is told of others ([`super::places`]). That holds for all
//! functions, so that nobody has to know who calls whom.

use super::Arch;
use super::export::{CReturn, CSignature};
use super::types::held;
use crate::error::EmitError;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use marquetry_ir::signature::Signature as IrSignature;
use marquetry_ir::types::{Scalar, Type, Types};

/// How functions of one target are called.
#[derive(Copy, Clone, Debug)]
pub(super) struct Convention {
    pub(super) call_conv: CallConv,
    pub(super) arch: Arch,
    /// Whether 32-bit integers are extended too (RISC-V and IBM Z ELF ABI supplements).
    extend_words: bool,
}

impl Convention {
    pub(super) fn new(isa: &dyn TargetIsa, arch: Arch) -> Self {
        Convention {
            call_conv: CallConv::triple_default(isa.triple()),
            arch,
            extend_words: matches!(arch, Arch::Riscv64 | Arch::S390x),
        }
    }

    fn param(&self, ty: Type, platform: bool) -> Result<AbiParam, EmitError> {
        let param = AbiParam::new(held(ty)?);
        Ok(match ty.as_scalar() {
            // Of the bits of a short float, C sees an unsigned integer.
            Some(Scalar::I1 | Scalar::F16 | Scalar::BF16) if platform => param.uext(),
            Some(Scalar::I8 | Scalar::I16) if platform => param.sext(),
            Some(Scalar::I32) if platform && self.extend_words => param.sext(),
            _ => param,
        })
    }

    /// The signature of a function with so many hidden parameters. `platform`: others than this unit's direct calls may
    /// be at the other end.
    pub(super) fn signature(
        &self,
        signature: &IrSignature,
        hidden: usize,
        platform: bool,
    ) -> Result<Signature, EmitError> {
        let mut out = Signature::new(self.call_conv);
        for &ty in &signature.params {
            out.params.push(self.param(ty, platform)?);
        }
        out.params.extend(std::iter::repeat_n(AbiParam::new(types::I64), hidden));
        self.place(&mut out.params);
        for &ty in &signature.results {
            out.returns.push(self.param(ty, platform)?);
        }
        Ok(out)
    }

    /// The signature by which C calls a function.
    pub(super) fn seen_from_c(&self, table: &Types, signature: &CSignature) -> Result<Signature, EmitError> {
        let mut out = Signature::new(self.call_conv);
        for param in &signature.params {
            out.params.push(match param.by_address {
                true => AbiParam::new(types::I64),
                false => self.param(table.underlying(param.ty), true)?,
            });
        }
        out.params.extend(signature.outs.iter().map(|_| AbiParam::new(types::I64)));
        self.place(&mut out.params);
        match signature.returns {
            CReturn::Nothing => {}
            CReturn::Value(ty) => out.returns.push(self.param(table.underlying(ty), true)?),
            CReturn::Status => out.returns.push(AbiParam::new(types::I32).uext()),
        }
        Ok(out)
    }

    /// A signature of registers: addresses and 64-bit integers.
    pub(super) fn registers(&self, params: usize, results: usize) -> Signature {
        let mut out = Signature::new(self.call_conv);
        out.params = vec![AbiParam::new(types::I64); params];
        out.returns = vec![AbiParam::new(types::I64); results];
        out
    }

    /// Arguments and results in memory, the stack; a status.
    pub(super) fn packed(&self) -> Signature {
        let mut out = self.registers(3, 0);
        out.returns.push(AbiParam::new(types::I32).uext());
        out
    }

    /// Arguments in memory, the group, the first work-item and the one after the last, the stack.
    pub(super) fn kernel(&self) -> Signature {
        let mut out = self.registers(2, 0);
        out.params.extend([AbiParam::new(types::I32).uext(); 2]);
        out.params.push(AbiParam::new(types::I64));
        out
    }
}
