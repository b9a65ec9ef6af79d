//! How a type is held: as the legal leaves that it is made of, and where each stands in memory.

use super::Legaliser;
use crate::target::TypeAction;
use marquetry_ir::limits::MAX_LEAVES;
use marquetry_ir::types::{Aggregate, Scalar, Type, TypeKind, Types};
use std::rc::Rc;

/// The first level of a type's decomposition.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Split {
    /// One legal value.
    Leaf,
    /// The fields of a struct or the elements of an array.
    Fields,
    /// The lanes of a vector.
    Lanes,
    /// Two halves: of a vector, or of an integer, low first.
    Halves,
}

/// How a type is held.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The first level.
    pub split: Split,
    /// Legal types, and their byte offsets in memory.
    pub leaves: Vec<(Type, u64)>,
    /// Number of the first leaf of each field of a struct; empty for everything else, whose parts are alike.
    pub starts: Vec<u32>,
    /// Type of a part, where all are alike.
    pub part: Type,
    /// Whether the target has no such type.
    pub unsupported: Option<&'static str>,
}

impl Shape {
    fn leaf(ty: Type) -> Self {
        Shape { split: Split::Leaf, leaves: vec![(ty, 0)], starts: vec![], part: ty, unsupported: None }
    }
}

/// Half of a vector or an integer.
pub(super) fn half_type(ty: Type) -> Option<Type> {
    match ty.kind() {
        TypeKind::Vector(lane, 2) => Some(Type::scalar(lane)),
        TypeKind::Vector(lane, lanes) => Type::vector(lane, lanes / 2),
        TypeKind::Scalar(Scalar::I128) => Some(Type::I64),
        TypeKind::Scalar(Scalar::I64) => Some(Type::I32),
        TypeKind::Scalar(Scalar::I32) => Some(Type::I16),
        TypeKind::Scalar(Scalar::I16) => Some(Type::I8),
        _ => None,
    }
}

/// What a type is directly made of.
enum Parts {
    Leaf(Option<&'static str>),
    Alike(Split, Type, u64),
    Fields(Vec<Type>),
}

impl Legaliser<'_> {
    fn parts_of(&self, ty: Type) -> Parts {
        if let Some(aggregate) = self.types.aggregate(ty) {
            return match aggregate {
                Aggregate::Array { element, length } => Parts::Alike(Split::Fields, *element, *length),
                Aggregate::Struct { fields, .. } => Parts::Fields(fields.iter().map(|f| f.1).collect()),
                Aggregate::Singleton(_) => Parts::Fields(Vec::new()),
            };
        }
        if !ty.is_known() || ty.is_aggregate() {
            return Parts::Leaf(Some("it is not settled"));
        }
        match (self.target.type_action(ty), ty.kind()) {
            (TypeAction::Legal, _) => Parts::Leaf(None),
            (TypeAction::Lanes, TypeKind::Vector(lane, lanes)) => {
                Parts::Alike(Split::Lanes, Type::scalar(lane), u64::from(lanes))
            }
            (TypeAction::Halves, _) => match half_type(ty) {
                Some(half) => Parts::Alike(Split::Halves, half, 2),
                None => Parts::Leaf(Some("it has no halves")),
            },
            (TypeAction::Lanes, _) => Parts::Leaf(Some("it has no lanes")),
            (TypeAction::Unsupported(reason), _) => Parts::Leaf(Some(reason)),
        }
    }

    /// Whether values of a scalar or pointer type are held as they are.
    pub(super) fn is_plain_leaf(&self, ty: Type) -> bool {
        matches!(self.parts_of(ty), Parts::Leaf(None))
    }

    /// How a type is held. The parts of a type come before it: they are done with a stack.
    pub(super) fn shape(&mut self, ty: Type) -> Rc<Shape> {
        if let Some(shape) = self.shapes.get(&ty) {
            return shape.clone();
        }
        let mut stack = vec![ty];
        while let Some(&top) = stack.last() {
            if self.shapes.contains_key(&top) {
                stack.pop();
                continue;
            }
            let parts = self.parts_of(top);
            let before = stack.len();
            match &parts {
                Parts::Leaf(_) => {}
                Parts::Alike(_, part, _) => {
                    stack.extend([*part].iter().filter(|p| !self.shapes.contains_key(p)))
                }
                Parts::Fields(fields) => stack.extend(fields.iter().filter(|f| !self.shapes.contains_key(f))),
            }
            if stack.len() == before {
                stack.pop();
                let shape = Rc::new(self.make_shape(top, parts));
                self.shapes.insert(top, shape);
            }
        }
        match self.shapes.get(&ty) {
            Some(shape) => shape.clone(),
            None => Rc::new(Shape::leaf(ty)),
        }
    }

    /// The shape of a type whose parts have theirs.
    fn make_shape(&mut self, ty: Type, parts: Parts) -> Shape {
        let mut shape = Shape::leaf(ty);
        let (split, fields) = match parts {
            Parts::Leaf(unsupported) => {
                shape.unsupported = unsupported;
                return shape;
            }
            Parts::Alike(split, part, count) => {
                shape.part = part;
                let leaves = self.shapes.get(&part).map_or(0, |s| s.leaves.len() as u64);
                if leaves.saturating_mul(count) > MAX_LEAVES {
                    self.too_many_leaves(leaves.saturating_mul(count));
                    return shape;
                }
                // Parts without leaves vanish, however many there are.
                let count = if leaves == 0 { 0 } else { count };
                (split, vec![part; count as usize])
            }
            Parts::Fields(fields) => (Split::Fields, fields),
        };
        shape.split = split;
        shape.leaves.clear();
        let types = self.types.clone();
        for (n, &field) in fields.iter().enumerate() {
            let offset = field_offset(&types, ty, field, n as u64);
            shape.starts.push(shape.leaves.len() as u32);
            if let Some(inner) = self.shapes.get(&field) {
                shape.leaves.extend(inner.leaves.iter().map(|&(ty, at)| (ty, offset + at)));
                shape.unsupported = shape.unsupported.or(inner.unsupported);
            }
            if shape.leaves.len() as u64 > MAX_LEAVES {
                self.too_many_leaves(shape.leaves.len() as u64);
                return shape;
            }
        }
        shape
    }

    fn too_many_leaves(&mut self, found: u64) {
        self.too_much("scalars in one value", MAX_LEAVES, found);
    }
}

fn field_offset(types: &Types, ty: Type, part: Type, n: u64) -> u64 {
    match types.field_offset(ty, n) {
        Some(offset) => offset,
        None => types.layout(part).map_or(0, |layout| layout.size * n),
    }
}
