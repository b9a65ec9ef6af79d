//! What native code can do: one table for all four architectures.
//!
//! Vectors of 128 bits are held as they are, except on RISC-V, whose vector extension is not among the G extensions;
//! longer ones in halves, shorter ones, those of `i1` and those of small floats in lanes. On them code has what all
//! three architectures have for all lanes; the rest is done lane by lane. `i128` is held as it is; Cranelift adds, multiplies, shifts and compares it on
//! all four, but divides, converts and multiplies it to double width on none.

use super::Arch;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use marquetry_lower::target::{Action, TypeAction};

pub(super) fn type_action(arch: Arch, ty: Type) -> TypeAction {
    match ty.kind() {
        TypeKind::Vector(lane, lanes) if has_vectors_of(arch, lane) => match lane.bits() * lanes {
            128 => TypeAction::Legal,
            bits if bits > 128 => TypeAction::Halves,
            _ => TypeAction::Lanes,
        },
        TypeKind::Scalar(_) | TypeKind::Pointer(_) => TypeAction::Legal,
        TypeKind::Vector(..) => TypeAction::Lanes,
        TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => {
            TypeAction::Unsupported("native code has no values of this type")
        }
    }
}

fn has_vectors_of(arch: Arch, lane: Scalar) -> bool {
    use Scalar::{F32, F64, I8, I16, I32, I64};
    arch != Arch::Riscv64 && matches!(lane, I8 | I16 | I32 | I64 | F32 | F64)
}

/// Ops on vectors of 128 bits.
fn vector_action(byte_shuffles: bool, op: Op, from: Type, to: Type) -> Action {
    let (lane, bits) = (from.lane(), from.lane().map_or(0, Scalar::bits));
    let is_float = from.is_float();
    let legal = match op {
        Op::Add | Op::Sub | Op::Neg | Op::Abs => true,
        Op::Mul => is_float || bits != 8,
        Op::Div | Op::Min | Op::Max | Op::Sqrt => true,
        Op::Ceil | Op::Floor | Op::RoundZero | Op::RoundEven => true,
        Op::And | Op::Or | Op::Xor | Op::Not => true,
        Op::MinS | Op::MinU | Op::MaxS | Op::MaxU => bits <= 32,
        Op::AddSatS | Op::AddSatU | Op::SubSatS | Op::SubSatU => bits <= 16,
        Op::Select | Op::Load | Op::Store => true,
        Op::Shuffle => byte_shuffles,
        // From scalar to vector.
        Op::Splat => lane == to.lane() && (byte_shuffles || to.lane() != Some(Scalar::I8)),
        Op::Bitcast => from.is_vector() && to.is_vector(),
        _ => false,
    };
    if legal { Action::Legal } else { Action::Expand }
}

/// `f16` and `bf16`.
fn is_small(ty: Type) -> bool {
    matches!(ty, Type::F16 | Type::BF16)
}

pub(super) fn action(arch: Arch, byte_shuffles: bool, op: Op, from: Type, to: Type) -> Action {
    if from.is_vector() || to.is_vector() {
        let held = |ty: Type| !ty.is_vector() || type_action(arch, ty) == TypeAction::Legal;
        return if held(from) && held(to) {
            vector_action(byte_shuffles, op, from, to)
        } else {
            Action::Expand
        };
    }
    let legal_unless = |expand: bool| if expand { Action::Expand } else { Action::Legal };
    let arithmetic = || if is_small(from) { Action::Promote(Scalar::F32) } else { Action::Legal };
    match op {
        // In binary32, results of binary16 and bfloat16 operands round once: 24 >= 2 * 11 + 2.
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Min | Op::Max => arithmetic(),
        Op::Sqrt | Op::Ceil | Op::Floor | Op::RoundZero | Op::RoundEven => arithmetic(),
        Op::Rem | Op::MinNumber | Op::MaxNumber | Op::RoundAway => {
            if is_small(from) {
                Action::Promote(Scalar::F32)
            } else {
                Action::Expand
            }
        }
        // The exact sum of a product and an addend that both matter has fewer than 53 bits for binary16. For bfloat16
        // the addend may lie far below the product and still decide a tie.
        Op::Fma => match from {
            Type::F16 => Action::Promote(Scalar::F64),
            Type::BF16 => Action::Expand,
            _ => Action::Legal,
        },
        // Sign bits are flipped in the 16-bit integers that hold small floats.
        Op::Neg | Op::Abs | Op::CopySign => Action::Legal,
        Op::DivS | Op::DivU | Op::RemS | Op::RemU => legal_unless(from == Type::I128),
        Op::MulHighS | Op::MulHighU | Op::MulOverflowS | Op::MulOverflowU => legal_unless(from == Type::I128),
        Op::AddSatS | Op::AddSatU | Op::SubSatS | Op::SubSatU => Action::Legal,
        Op::AddOverflowS | Op::AddOverflowU | Op::SubOverflowS | Op::SubOverflowU => Action::Legal,
        Op::MinS | Op::MinU | Op::MaxS | Op::MaxU => Action::Legal,
        Op::And | Op::Or | Op::Xor | Op::Not => Action::Legal,
        Op::Shl | Op::ShrS | Op::ShrU | Op::RotL | Op::RotR => Action::Legal,
        Op::Clz | Op::Ctz | Op::PopCount | Op::BitReverse | Op::ByteSwap => Action::Legal,
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::One | Op::Ueq => arithmetic(),
        Op::Ult | Op::Ule | Op::Ugt | Op::Uge | Op::Ord | Op::Uno => arithmetic(),
        Op::LtS | Op::LeS | Op::GtS | Op::GeS | Op::LtU | Op::LeU | Op::GtU | Op::GeU => Action::Legal,
        Op::Select | Op::Trunc | Op::Zext | Op::Sext => Action::Legal,
        Op::FConvert => legal_unless(is_small(from) || is_small(to)),
        Op::FToS | Op::FToU => {
            if is_small(from) {
                Action::Promote(Scalar::F32)
            } else {
                legal_unless(to == Type::I128)
            }
        }
        Op::SToF | Op::UToF => match (from, to) {
            // Integers that binary32 has to round are infinite in binary16.
            (_, Type::F16) => Action::Promote(Scalar::F32),
            (Type::I8 | Type::I16, Type::BF16) => Action::Promote(Scalar::F32),
            (Type::I32, Type::BF16) => Action::Promote(Scalar::F64),
            (_, Type::BF16) | (Type::I128, _) => Action::Expand,
            _ => Action::Legal,
        },
        Op::Bitcast | Op::PtrToInt | Op::IntToPtr | Op::SpaceCast => Action::Legal,
        Op::Splat | Op::Extract | Op::Insert | Op::Shuffle => Action::Expand,
        Op::ReduceAdd | Op::ReduceMul | Op::ReduceAnd | Op::ReduceOr | Op::ReduceXor => Action::Expand,
        Op::ReduceMinS | Op::ReduceMinU | Op::ReduceMaxS | Op::ReduceMaxU => Action::Expand,
        Op::ReduceMin | Op::ReduceMax | Op::Make | Op::GetField | Op::SetField => Action::Expand,
        Op::PtrAdd | Op::Index | Op::FieldAddress | Op::GlobalAddress | Op::Slot => Action::Legal,
        Op::Load | Op::Store | Op::MemCopy | Op::MemSet => Action::Legal,
        Op::AtomicLoad | Op::AtomicStore | Op::RmwExchange => Action::Legal,
        Op::RmwAdd => legal_unless(from.is_float()),
        Op::RmwSub | Op::RmwAnd | Op::RmwOr | Op::RmwXor => Action::Legal,
        Op::RmwMinS | Op::RmwMinU | Op::RmwMaxS | Op::RmwMaxU => Action::Legal,
        Op::RmwMin | Op::RmwMax => Action::Expand,
        Op::CompareExchange | Op::Fence => Action::Legal,
        Op::LocalId | Op::GroupId | Op::GroupSize | Op::GroupCount => Action::Legal,
        Op::SubgroupSize | Op::SubgroupLane | Op::Barrier | Op::SubgroupBarrier | Op::Trap => Action::Legal,
        Op::SubgroupShuffle | Op::SubgroupShuffleXor => Action::Legal,
        Op::SubgroupShuffleUp | Op::SubgroupShuffleDown => Action::Legal,
        Op::SubgroupAny | Op::SubgroupAll | Op::SubgroupBallot => Action::Legal,
        Op::SubgroupReduceAdd | Op::SubgroupReduceAnd | Op::SubgroupReduceOr => Action::Legal,
        Op::SubgroupReduceXor | Op::SubgroupReduceMinS | Op::SubgroupReduceMinU => Action::Legal,
        Op::SubgroupReduceMaxS | Op::SubgroupReduceMaxU | Op::Clock => Action::Legal,
        Op::Call | Op::CallIndirect | Op::FunctionAddress => Action::Legal,
        Op::Jump | Op::Branch | Op::Switch | Op::Return => Action::Legal,
        Op::BoundsCheck | Op::Unresolved | Op::Throw | Op::Unreachable | Op::StaticAssert => Action::Expand,
        Op::TargetQuery | Op::Scratch => Action::Expand,
        Op::Assert | Op::Sentinel | Op::Print | Op::KernelInput => Action::Expand,
    }
}
