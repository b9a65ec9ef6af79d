//! Which ops PTX has, per type and architecture: the answers to legalisation.
//!
//! An op is legal only where one instruction, or a short sequence, computes exactly what the op table says.

use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::target::Action;

/// Legal if `condition`, else rewritten.
fn legal_if(condition: bool) -> Action {
    if condition { Action::Legal } else { Action::Expand }
}

/// Legal for the types of full registers; the small floats are computed in `f32`.
fn full_floats(lane: Option<Scalar>) -> Action {
    match lane {
        Some(Scalar::F16 | Scalar::BF16) => Action::Promote(Scalar::F32),
        _ => Action::Legal,
    }
}

/// Legal for all but `bf16`, which has no such instruction that all architectures know.
fn all_but_bf16(lane: Option<Scalar>) -> Action {
    if lane == Some(Scalar::BF16) { Action::Promote(Scalar::F32) } else { Action::Legal }
}

/// How an op from values of type `from` to values of type `to` becomes legal on `sm_`*sm*.
pub(super) fn action(sm: u16, op: Op, from: Type, to: Type) -> Action {
    use Op::*;
    let lane = from.as_scalar();
    match op {
        // One rounding in f32 and one back give the same as one rounding in f16 and bf16: 24 >= 2 * 11 + 2.
        Add | Sub | Mul => all_but_bf16(lane),
        Div | Sqrt => full_floats(lane),
        // A sum of a product rounds twice through f32, so that there bf16 is no promotion.
        Fma => legal_if(lane != Some(Scalar::BF16) || sm >= 80),
        Neg | Abs | CopySign => Action::Legal,
        Rem | RoundAway => match lane {
            Some(Scalar::F16 | Scalar::BF16) => Action::Promote(Scalar::F32),
            _ => Action::Expand,
        },
        // PTX ISA 9.7.3 "min": +0.0 > -0.0; NaN goes through only with `.NaN`, which f64 does not have.
        Min | Max => match lane {
            Some(Scalar::F16 | Scalar::BF16) => Action::Promote(Scalar::F32),
            _ => legal_if(lane == Some(Scalar::F32) && sm >= 80),
        },
        MinNumber | MaxNumber => full_floats(lane),
        Ceil | Floor | RoundZero | RoundEven => all_but_bf16(lane),
        AddSatS | SubSatS => legal_if(lane == Some(Scalar::I32)),
        AddSatU | SubSatU => Action::Expand,
        AddOverflowS | AddOverflowU | SubOverflowS | SubOverflowU | MulOverflowS | MulOverflowU => {
            Action::Expand
        }
        DivS | DivU | RemS | RemU | MulHighS | MulHighU | MinS | MinU | MaxS | MaxU => Action::Legal,
        And | Or | Xor | Not | Shl | ShrS | ShrU | RotL | RotR => Action::Legal,
        Clz | Ctz | PopCount | BitReverse | ByteSwap => Action::Legal,
        Eq | Ne | Lt | Le | Gt | Ge | One | Ueq | Ult | Ule | Ugt | Uge | Ord | Uno => all_but_bf16(lane),
        LtS | LeS | GtS | GeS | LtU | LeU | GtU | GeU => Action::Legal,
        Select | Trunc | Zext | Sext | Bitcast | PtrToInt | IntToPtr | SpaceCast => Action::Legal,
        FConvert => match (lane, to.as_scalar()) {
            (Some(Scalar::F64), Some(Scalar::BF16)) => legal_if(sm >= 90),
            (_, Some(Scalar::BF16)) => legal_if(sm >= 80),
            _ => Action::Legal,
        },
        FToS | FToU => all_but_bf16(lane),
        SToF | UToF => match (lane, to.as_scalar()) {
            (_, Some(Scalar::BF16)) if sm >= 90 => Action::Legal,
            // These are exact in f32; wider ones would round twice.
            (Some(Scalar::I8 | Scalar::I16), Some(Scalar::BF16)) => Action::Promote(Scalar::F32),
            (_, Some(Scalar::BF16)) => Action::Expand,
            _ => Action::Legal,
        },
        Splat | Extract | Insert | Shuffle => Action::Expand,
        ReduceAdd | ReduceMul | ReduceAnd | ReduceOr | ReduceXor | ReduceMin | ReduceMax => Action::Expand,
        ReduceMinS | ReduceMinU | ReduceMaxS | ReduceMaxU => Action::Expand,
        Make | GetField | SetField | BoundsCheck | MemCopy | MemSet => Action::Expand,
        PtrAdd | Index | FieldAddress | GlobalAddress | Slot | Load | Store => Action::Legal,
        AtomicLoad | AtomicStore | RmwExchange | RmwAdd | RmwSub | RmwAnd | RmwOr | RmwXor => Action::Legal,
        RmwMinS | RmwMinU | RmwMaxS | RmwMaxU | CompareExchange | Fence => Action::Legal,
        RmwMin | RmwMax => Action::Expand,
        LocalId | GroupId | GroupSize | GroupCount | SubgroupSize | SubgroupLane | Clock => Action::Legal,
        Barrier | SubgroupBarrier | Trap | SubgroupAny | SubgroupAll | SubgroupBallot => Action::Legal,
        SubgroupShuffle | SubgroupShuffleXor | SubgroupShuffleUp | SubgroupShuffleDown => Action::Legal,
        SubgroupReduceAdd | SubgroupReduceAnd | SubgroupReduceOr | SubgroupReduceXor => Action::Legal,
        SubgroupReduceMinS | SubgroupReduceMinU | SubgroupReduceMaxS | SubgroupReduceMaxU => Action::Legal,
        Call | CallIndirect | FunctionAddress | Jump | Branch | Switch | Return => Action::Legal,
        Unresolved | Throw | Unreachable | StaticAssert | TargetQuery | Scratch => Action::Expand,
        Assert | Sentinel | Print | KernelInput => Action::Expand,
    }
}
