//! Rules of the ops on values: comparisons, conversions, vectors and aggregates.

use super::{
    Fits, ResultTypes, Rules, TypeMismatch, is_lane_vector, is_number, is_scalar_int, lane_of, mask_of,
};
use crate::constant::ConstValue;
use crate::entity::Const;
use crate::types::{Scalar, Space, Type};
use smallvec::smallvec;

impl Rules<'_> {
    pub(super) fn compare(&self, class: (&'static str, Fits)) -> Result<ResultTypes, TypeMismatch> {
        Ok(smallvec![mask_of(self.same(2, class)?)])
    }

    pub(super) fn select(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(3)?;
        self.exactly(2, self.args[1])?;
        let ty = if self.args[1].is_known() { self.args[1] } else { self.args[2] };
        let lanes = ty.lanes();
        let fits = |c: Type| {
            c == Type::I1 || (c.lane() == Some(Scalar::I1) && (!ty.is_known() || c.lanes() == lanes))
        };
        self.operand(0, "an i1, or one per lane", fits)?;
        Ok(smallvec![ty])
    }

    pub(super) fn convert(
        &self,
        (wanted_from, fits): (&'static str, Fits),
        wanted_to: &'static str,
        allowed: fn(Scalar, Scalar) -> bool,
    ) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.operand(0, wanted_from, fits)?;
        let (from, to) = (self.args[0], self.suffix);
        let ok = match (from.lane(), to.lane()) {
            _ if self.is_open() => true,
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(a), Some(b)) => allowed(a, b) && from.lanes() == to.lanes(),
        };
        if ok { Ok(smallvec![to]) } else { Err(TypeMismatch::Suffix { found: to, wanted: wanted_to }) }
    }

    pub(super) fn bitcast(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.operand(0, "an integer or float, or a vector of these", is_number)?;
        let (from, to) = (self.args[0], self.suffix);
        let same_size = !from.is_known() || from.bits() == to.bits();
        if self.is_open() || (is_number(to) && same_size) {
            return Ok(smallvec![to]);
        }
        Err(TypeMismatch::Suffix { found: to, wanted: "a number or vector of numbers of as many bits" })
    }

    pub(super) fn pointer_to_int(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.pointer(0)?;
        self.suffix_is("i64", |ty| ty == Type::I64)
    }

    pub(super) fn int_to_pointer(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.exactly(0, Type::I64)?;
        self.suffix_is("a pointer", Type::is_pointer)
    }

    pub(super) fn space_cast(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.pointer(0)?;
        let from = self.args[0].space();
        let wanted = "a pointer to another space, one of the two generic";
        self.suffix_is(wanted, |ty| match (from, ty.space()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(a), Some(b)) => a != b && (a == Space::Generic || b == Space::Generic),
        })
    }

    pub(super) fn splat(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        let from = self.args[0];
        self.operand(0, "a scalar", |ty| ty.as_scalar().is_some())?;
        self.suffix_is("a vector of the operand's type", |ty| {
            ty.is_vector() && (!from.is_known() || ty.lane() == from.as_scalar())
        })
    }

    pub(super) fn vector(&self, index: usize) -> Result<(), TypeMismatch> {
        self.operand(index, "a vector", Type::is_vector)
    }

    pub(super) fn extract(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.vector(0)?;
        self.operand(1, "an integer index", is_scalar_int)?;
        Ok(smallvec![lane_of(self.args[0])])
    }

    pub(super) fn insert(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(3)?;
        self.vector(0)?;
        self.exactly(1, lane_of(self.args[0]))?;
        self.operand(2, "an integer index", is_scalar_int)?;
        Ok(smallvec![self.args[0]])
    }

    pub(super) fn shuffle(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.vector(0)?;
        self.vector(1)?;
        self.exactly(1, self.args[0])?;
        if !self.body.const_exists(self.imm) {
            return Err(TypeMismatch::Dangling);
        }
        let mask = self.body.constant(Const::from_u32(self.imm));
        let ConstValue::Lanes(lanes) = &mask.value else { return Err(TypeMismatch::Dangling) };
        let Some(lane) = self.args[0].lane() else { return Ok(smallvec![Type::UNKNOWN]) };
        let limit = u64::from(self.args[0].lanes()) * 2;
        if let Some(&found) = lanes.iter().find(|&&lane| lane >= u128::from(limit)) {
            return Err(TypeMismatch::Immediate { found: found as u64, limit });
        }
        let ty = Type::vector(lane, lanes.len() as u32).ok_or(TypeMismatch::Dangling)?;
        Ok(smallvec![ty])
    }

    pub(super) fn reduce(&self, wanted: &'static str, fits: Fits) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.operand(0, wanted, |ty| is_lane_vector(ty, fits))?;
        Ok(smallvec![lane_of(self.args[0])])
    }

    pub(super) fn make(&self) -> Result<ResultTypes, TypeMismatch> {
        if self.is_open() {
            return Ok(smallvec![self.suffix]);
        }
        let Some(count) = self.types.field_count(self.suffix) else {
            return Err(TypeMismatch::Suffix { found: self.suffix, wanted: "an array or struct" });
        };
        if count != self.args.len() as u64 {
            let wanted = usize::try_from(count).unwrap_or(usize::MAX);
            return Err(TypeMismatch::Count { found: self.args.len(), wanted });
        }
        for index in 0..self.args.len() {
            let field = self.types.field_type(self.suffix, index as u64).unwrap_or(Type::ERROR);
            self.exactly(index, field)?;
        }
        Ok(smallvec![self.suffix])
    }

    pub(super) fn get_field(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(1)?;
        self.operand(0, "an array or struct", Type::is_aggregate)?;
        Ok(smallvec![self.field(self.args[0])?])
    }

    pub(super) fn set_field(&self) -> Result<ResultTypes, TypeMismatch> {
        self.count(2)?;
        self.operand(0, "an array or struct", Type::is_aggregate)?;
        self.exactly(1, self.field(self.args[0])?)?;
        Ok(smallvec![self.args[0]])
    }
}
