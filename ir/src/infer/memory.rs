//! Rules of the ops on addresses, atomics and indirect callees.

use super::{Fits, ResultTypes, Rules, TypeMismatch, is_atomic_int, is_scalar_int, is_shuffled};
use crate::body::Symbol;
use crate::entity::{SigRef, SymbolRef};
use crate::op::Op;
use crate::types::{Space, Type};
use smallvec::smallvec;

impl Rules<'_> {
    pub(super) fn pointer_add(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.pointer(0)?;
        self.exactly(1, Type::I64)?;
        Ok(smallvec![self.args[0]])
    }

    pub(super) fn index(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.pointer(0)?;
        self.operand(1, "an integer index", is_scalar_int)?;
        self.storable()?;
        Ok(smallvec![self.args[0]])
    }

    pub(super) fn field_address(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.pointer(0)?;
        if self.is_open() {
            return Ok(smallvec![self.args[0]]);
        }
        if !self.suffix.is_aggregate() {
            return Err(TypeMismatch::Suffix { found: self.suffix, wanted: "an array or struct" });
        }
        self.field(self.suffix)?;
        Ok(smallvec![self.args[0]])
    }

    pub(super) fn global_address(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(0)?;
        self.name()?;
        let named =
            matches!(self.body.symbol(SymbolRef::from_u32(self.imm)), Symbol::Name(_) | Symbol::Global(_));
        if !named {
            return Err(TypeMismatch::Dangling);
        }
        self.suffix_is("a pointer", Type::is_pointer)
    }

    pub(super) fn scratch(&self) -> Result<ResultTypes, TypeMismatch> {
        let limit = Space::ALL.len() as u64;
        match Space::ALL.get(self.imm as usize) {
            Some(&space) if space.has_scratch() => Ok(smallvec![Type::pointer(space)]),
            _ => Err(TypeMismatch::Immediate { found: self.imm.into(), limit }),
        }
    }

    pub(super) fn atomic_any(&self) -> Result<ResultTypes, TypeMismatch> {
        if self.op == Op::AtomicLoad {
            self.count(1)?;
            self.pointer(0)?;
            return self.suffix_is("i32, i64, f32 or f64", is_shuffled);
        }
        let results = self.atomic("an i32, i64, f32 or f64", is_shuffled)?;
        if self.op == Op::AtomicStore { self.nothing() } else { Ok(results) }
    }

    pub(super) fn atomic(&self, wanted: &'static str, fits: Fits) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.pointer(0)?;
        self.operand(1, wanted, fits)?;
        Ok(smallvec![self.args[1]])
    }

    pub(super) fn compare_exchange(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(3)?;
        self.pointer(0)?;
        self.operand(1, "an i32 or i64", is_atomic_int)?;
        self.exactly(2, self.args[1])?;
        Ok(smallvec![self.args[1], Type::I1])
    }

    pub(super) fn call_indirect(&self) -> Result<ResultTypes, TypeMismatch> {
        if !self.body.signature_exists(self.imm) {
            return Err(TypeMismatch::Dangling);
        }
        let signature = self.body.signature(SigRef::from_u32(self.imm));
        self.count(signature.params.len() + 1)?;
        self.pointer(0)?;
        for (index, &param) in signature.params.iter().enumerate() {
            self.exactly(index + 1, param)?;
        }
        Ok(signature.results.iter().copied().collect())
    }
}
