//! Values of the language, held as the legal leaves of their types.

use super::Legaliser;
use super::shape::Split;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::Value;
use marquetry_ir::limits::MAX_VALUES;
use marquetry_ir::semantics::const_lanes;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use smallvec::SmallVec;

/// A value of the language: its type, and where its leaves stand in the function's list of parts.
#[derive(Copy, Clone, Debug)]
pub(super) struct Val {
    pub ty: Type,
    pub first: u32,
}

/// The results of one op.
pub(super) type Vals = SmallVec<[Val; 2]>;

/// Values and their parts.
impl Legaliser<'_> {
    /// The value made of these leaves.
    pub(super) fn hold(&mut self, ty: Type, leaves: &[Value]) -> Val {
        let first = self.f.parts.len() as u32;
        if self.f.parts.len() + leaves.len() > MAX_VALUES {
            let found = (self.f.parts.len() + leaves.len()) as u64;
            self.too_much("values of one function", MAX_VALUES as u64, found);
            return Val { ty, first: 0 };
        }
        self.f.parts.extend_from_slice(leaves);
        Val { ty, first }
    }

    /// The leaves of a value.
    pub(super) fn leaves(&mut self, val: Val) -> SmallVec<[Value; 4]> {
        let count = self.shape(val.ty).leaves.len();
        let first = val.first as usize;
        let mut leaves: SmallVec<[Value; 4]> = self.f.parts.get(first..first + count).unwrap_or(&[]).into();
        while leaves.len() < count {
            // Only after a failure was noted: something to go on with.
            leaves.push(self.f.body.make_scalar(Type::I32, 0));
        }
        leaves
    }

    /// The one leaf of a value of legal type.
    pub(super) fn leaf(&mut self, val: Val) -> Value {
        match self.f.parts.get(val.first as usize) {
            Some(&value) => value,
            None => self.f.body.make_scalar(val.ty, 0),
        }
    }

    /// Part `n` of a value that is split: a field, a lane, a half.
    pub(super) fn part(&mut self, val: Val, n: usize) -> Val {
        let shape = self.shape(val.ty);
        let ty = match shape.split {
            Split::Leaf => val.ty,
            Split::Fields => self.types.field_type(val.ty, n as u64).unwrap_or(Type::ERROR),
            Split::Lanes | Split::Halves => shape.part,
        };
        let offset = shape.starts.get(n).copied().unwrap_or(0);
        Val { ty, first: val.first + offset }
    }

    /// The value of a split type made of its parts.
    pub(super) fn join(&mut self, ty: Type, parts: &[Val]) -> Val {
        let mut leaves: SmallVec<[Value; 8]> = SmallVec::new();
        for &part in parts {
            leaves.extend(self.leaves(part));
        }
        self.hold(ty, &leaves)
    }

    pub(super) fn is_leaf(&mut self, ty: Type) -> bool {
        self.shape(ty).split == Split::Leaf
    }

    /// A zero of any type.
    pub(super) fn zero(&mut self, ty: Type) -> Val {
        let shape = self.shape(ty);
        let leaves: Vec<Value> =
            shape.leaves.iter().map(|&(leaf, _)| self.f.body.make_scalar(leaf, 0)).collect();
        self.hold(ty, &leaves)
    }

    /// A constant from the bits of its lanes.
    pub(super) fn lanes_const(&mut self, ty: Type, lanes: &[u128]) -> Val {
        let shape = self.shape(ty);
        match (shape.split, ty.kind()) {
            (Split::Leaf, TypeKind::Vector(..)) => {
                let value = ConstValue::Lanes(lanes.into());
                let value = self.f.body.make_const(ConstData { ty, value });
                self.hold(ty, &[value])
            }
            (Split::Leaf, _) => {
                let value = self.f.body.make_scalar(ty, lanes.first().copied().unwrap_or(0));
                self.hold(ty, &[value])
            }
            (Split::Fields, _) => self.zero(ty),
            (Split::Halves, TypeKind::Scalar(_)) => {
                let bits = lanes.first().copied().unwrap_or(0);
                let half = shape.part.bits().unwrap_or(64);
                let parts = [0, half].map(|shift| self.lanes_const(shape.part, &[bits >> shift]));
                self.join(ty, &parts)
            }
            (Split::Lanes | Split::Halves, _) => {
                let each = shape.part.lanes() as usize;
                let parts: Vec<Val> = lanes.chunks(each).map(|c| self.lanes_const(shape.part, c)).collect();
                self.join(ty, &parts)
            }
        }
    }

    /// A constant of the body that is being legalised.
    pub(super) fn constant(&mut self, data: &ConstData) -> Val {
        match const_lanes(data) {
            Some(lanes) if !data.ty.is_aggregate() => self.lanes_const(data.ty, &lanes),
            _ => self.zero(data.ty),
        }
    }

    /// An integer (or the bits of a float), in every lane.
    pub(super) fn int(&mut self, ty: Type, bits: u128) -> Val {
        let mask = ty.lane().map_or(u128::from(u64::MAX), Scalar::mask);
        self.lanes_const(ty, &SmallVec::<[u128; 4]>::from_elem(bits & mask, ty.lanes() as usize))
    }

    /// The bits of a scalar constant of any width.
    pub(super) fn const_bits(&mut self, val: Val) -> Option<u128> {
        if val.ty.is_vector() || val.ty.is_aggregate() {
            return None;
        }
        let shape = self.shape(val.ty);
        if shape.split == Split::Leaf {
            let leaf = self.leaf(val);
            return self.f.body.value_bits(leaf).filter(|_| val.ty.bits().is_some());
        }
        let mut bits = 0;
        let mut shift = 0;
        for (leaf, &(ty, _)) in self.leaves(val).iter().zip(&shape.leaves) {
            bits |= self.f.body.value_bits(*leaf)? << shift;
            shift += ty.bits()?;
        }
        Some(bits)
    }
}
