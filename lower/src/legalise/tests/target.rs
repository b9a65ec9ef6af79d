//! Targets that lack nearly everything.

use crate::target::{Action, Caps, Target, TypeAction};
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::types::{Scalar, Type, TypeKind};

/// A target for tests.
#[derive(Clone, Debug)]
pub(in crate::legalise) struct Harsh {
    caps: Caps,
    /// Widest vector, in bits; 0 for none.
    vectors: u32,
    /// Whether `i64` is held in halves, too.
    halves: bool,
    /// Whether narrow types are promoted, as opposed to having the basic ops.
    promotes: bool,
}

impl Harsh {
    pub(in crate::legalise) fn new(vectors: u32, halves: bool, promotes: bool) -> Self {
        let caps = Caps {
            calls: true,
            recursion: true,
            indirect_calls: true,
            structured: false,
            functions: true,
            kernels: true,
            externs: true,
            global_variables: true,
            sequential_consistency: true,
            volatile_accesses: true,
            memory_ops: false,
            early_returns: true,
            max_shared_bytes: 1 << 20,
            argument_blocks: false,
            max_argument_bytes: 1 << 20,
        };
        Harsh { caps, vectors, halves, promotes }
    }

    pub(in crate::legalise) fn caps_mut(&mut self) -> &mut Caps {
        &mut self.caps
    }
}

impl Target for Harsh {
    fn name(&self) -> String {
        "harsh".into()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        match ty.kind() {
            TypeKind::Vector(lane, lanes) => match lane.bits() * lanes {
                _ if self.vectors == 0 || lane == Scalar::I1 || lane == Scalar::I128 => TypeAction::Lanes,
                bits if bits > self.vectors => TypeAction::Halves,
                bits if bits < self.vectors => TypeAction::Lanes,
                _ => TypeAction::Legal,
            },
            TypeKind::Scalar(Scalar::I128) => TypeAction::Halves,
            TypeKind::Scalar(Scalar::I64) if self.halves => TypeAction::Halves,
            _ => TypeAction::Legal,
        }
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        let memory = matches!(
            op.info().rule,
            Rule::Load
                | Rule::Store
                | Rule::PointerAdd
                | Rule::Index
                | Rule::FieldAddress
                | Rule::GlobalAddress
        );
        if memory {
            let held = if op == Op::Store { from } else { to };
            let expands = held == Type::I1 || held.is_float() || held.is_vector();
            return if expands { Action::Expand } else { Action::Legal };
        }
        if from.is_vector() || to.is_vector() {
            return match op {
                Op::Add | Op::And | Op::Bitcast if from.lane() != Some(Scalar::F16) => Action::Legal,
                _ => Action::Expand,
            };
        }
        let narrow = matches!(from, Type::I8 | Type::I16);
        match op {
            Op::CompareExchange | Op::LocalId | Op::GroupId => Action::Legal,
            Op::AtomicLoad if !to.is_float() => Action::Legal,
            Op::Bitcast | Op::PtrToInt | Op::IntToPtr | Op::Trunc if to != Type::I1 => Action::Legal,
            Op::And | Op::Or | Op::Xor if from == Type::I1 => Action::Legal,
            Op::Zext | Op::Sext if from == Type::I1 => {
                if self.promotes {
                    Action::Expand
                } else {
                    Action::Legal
                }
            }
            Op::Zext | Op::Sext if from.bits().unwrap_or(0) * 2 == to.bits().unwrap_or(0) => Action::Legal,
            _ if from == Type::I1 && op != Op::Select => Action::Expand,
            Op::Select if from == Type::I32 || from == Type::I64 => Action::Legal,
            Op::FConvert if !narrow && from.bits() >= Some(32) && to.bits() >= Some(32) => {
                if self.promotes {
                    Action::Legal
                } else {
                    Action::Expand
                }
            }
            _ if matches!(from, Type::F16 | Type::BF16) && self.promotes => Action::Promote(Scalar::F32),
            Op::Fma if from == Type::F32 && self.promotes => Action::Promote(Scalar::F64),
            Op::FToS | Op::FToU | Op::SToF | Op::UToF => Action::Expand,
            Op::Add | Op::Mul | Op::Lt | Op::Eq if matches!(from, Type::F32 | Type::F64) => Action::Legal,
            _ if narrow && self.promotes => Action::Promote(Scalar::I32),
            Op::Add | Op::Sub | Op::Mul | Op::And | Op::Or | Op::Xor | Op::Shl | Op::ShrU | Op::ShrS
                if from.is_int() =>
            {
                Action::Legal
            }
            Op::Eq | Op::LtS | Op::LtU if from.is_int() => Action::Legal,
            _ => Action::Expand,
        }
    }
}

/// A target that has nothing at all, and wants everything expanded.
#[derive(Debug)]
pub(in crate::legalise) struct Circular(pub Harsh);

impl Target for Circular {
    fn name(&self) -> String {
        "circular".into()
    }

    fn caps(&self) -> &Caps {
        self.0.caps()
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        self.0.type_action(ty)
    }

    fn action(&self, _: Op, from: Type, _: Type) -> Action {
        // Narrow integers are to become wider ones and back, without end.
        if from == Type::I8 { Action::Promote(Scalar::I32) } else { Action::Expand }
    }
}
