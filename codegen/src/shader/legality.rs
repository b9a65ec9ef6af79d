//! What the shading languages can do, as lowering asks.
//!
//! Integers have 32 bits: narrower ones are held in as many with zeros above, wider ones in halves. `f32` is the only
//! float with arithmetic; the two small ones are 16 bits, computed in `f32`.

use super::ShaderTarget;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::types::{Scalar, Space, Type, TypeKind};
use marquetry_lower::target::{Action, Caps, Target, TypeAction};

/// What shaders are able to do.
pub(super) fn caps() -> Caps {
    Caps {
        calls: true,
        recursion: false,
        indirect_calls: false,
        structured: true,
        functions: false,
        kernels: true,
        externs: false,
        memory_ops: false,
        global_variables: false,
        sequential_consistency: false,
        volatile_accesses: false,
        // Barriers are met by all of a group (WGSL 15.2, "Uniformity").
        early_returns: false,
        // WebGPU 3.6.2: maxComputeWorkgroupStorageSize.
        max_shared_bytes: 16 << 10,
        argument_blocks: false,
        max_argument_bytes: 4096,
    }
}

const NO_POINTERS: &str = "shading languages have no pointers in memory";
const NO_ADDRESSES: &str = "shading languages have no addresses, only offsets into one buffer or variable";

impl Target for ShaderTarget {
    fn name(&self) -> String {
        self.to_string()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I64 | Scalar::I128) => TypeAction::Halves,
            TypeKind::Scalar(Scalar::F64) => TypeAction::Unsupported("shading languages have no f64"),
            TypeKind::Vector(..) => TypeAction::Lanes,
            TypeKind::Pointer(Space::Param) => {
                TypeAction::Unsupported("shading languages have no parameter memory")
            }
            _ => TypeAction::Legal,
        }
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        use Op::*;
        if from.is_pointer() || to.is_pointer() {
            return pointer_action(op, to);
        }
        match op {
            CallIndirect | FunctionAddress => {
                Action::Unsupported("shading languages have no function addresses")
            }
            Clock => Action::Unsupported("shading languages have no clock"),
            Fence => Action::Unsupported("shading languages order memory by barriers only"),
            MemCopy | MemSet | Make | GetField | SetField | BoundsCheck | Trap => Action::Expand,
            Select | Call | Return => Action::Legal,
            Load | Store => {
                if from == Type::I1 || to == Type::I1 {
                    Action::Expand
                } else {
                    Action::Legal
                }
            }
            RmwAdd | RmwMin | RmwMax if from.is_float() => Action::Expand,
            // Words are unsigned.
            RmwMinS | RmwMaxS => Action::Expand,
            _ if matches!(op.info().shape, Shape::Atomic | Shape::AtomicLoad) => atomic_action(op, from, to),
            Bitcast => Action::Legal,
            FConvert | FToS | FToU => Action::Expand,
            SToF | UToF => match (from, to) {
                (Type::I32, Type::F32) => Action::Legal,
                (Type::I8 | Type::I16, Type::F32) => Action::Promote(Scalar::I32),
                _ => Action::Expand,
            },
            _ if from.is_float() => float_action(op, from),
            _ => int_action(op, from),
        }
    }
}

fn pointer_action(op: Op, to: Type) -> Action {
    use Op::*;
    match op {
        Load if to.is_pointer() => Action::Unsupported(NO_POINTERS),
        // Asked about the type of the value.
        Store => Action::Unsupported(NO_POINTERS),
        Load if to == Type::I1 => Action::Expand,
        Index | FieldAddress | PtrAdd | GlobalAddress | SpaceCast | Select | Load | Slot | Eq | Ne => {
            Action::Legal
        }
        MemCopy | MemSet => Action::Expand,
        AtomicLoad => atomic_action(op, to, to),
        _ => Action::Unsupported(NO_ADDRESSES),
    }
}

fn atomic_action(op: Op, from: Type, to: Type) -> Action {
    let ty = if op == Op::AtomicLoad { to } else { from };
    match ty {
        Type::I32 | Type::F32 => Action::Legal,
        Type::I8 | Type::I16 => Action::Expand,
        _ => Action::Unsupported("shading languages have 32-bit atomics only"),
    }
}

fn float_action(op: Op, ty: Type) -> Action {
    use Op::*;
    match op {
        // Bits.
        Neg | Abs | CopySign => Action::Legal,
        // Two roundings of a sum are not one.
        Fma | Min | Max | MinNumber | MaxNumber | Rem if ty == Type::F32 => Action::Expand,
        Fma => Action::Expand,
        _ if ty == Type::F32 => Action::Legal,
        _ => Action::Promote(Scalar::F32),
    }
}

fn int_action(op: Op, ty: Type) -> Action {
    use Op::*;
    match op {
        Trunc | Zext | Sext => Action::Legal,
        LocalId | GroupId | GroupSize | GroupCount | Barrier => Action::Legal,
        SubgroupSize | SubgroupLane | SubgroupShuffle | SubgroupShuffleXor | SubgroupShuffleUp
        | SubgroupShuffleDown | SubgroupAny | SubgroupAll | SubgroupBallot | SubgroupReduceAdd
        | SubgroupReduceAnd | SubgroupReduceOr | SubgroupReduceXor | SubgroupReduceMinS
        | SubgroupReduceMinU | SubgroupReduceMaxS | SubgroupReduceMaxU | SubgroupBarrier => {
            Action::Unsupported("sub-groups are an extension of WGSL that is not used")
        }
        And | Or | Xor | Not | Eq | Ne if ty == Type::I1 => Action::Legal,
        _ if ty == Type::I1 => Action::Expand,
        Add | Sub | Mul | Neg | DivS | DivU | RemS | RemU | MinS | MinU | MaxS | MaxU | And | Or | Xor
        | Not | Shl | ShrS | ShrU | Clz | Ctz | PopCount | BitReverse | Eq | Ne | LtS | LeS | GtS | GeS
        | LtU | LeU | GtU | GeU => {
            if ty == Type::I32 {
                Action::Legal
            } else {
                Action::Promote(Scalar::I32)
            }
        }
        MulHighS | MulHighU if ty == Type::I32 => Action::Legal,
        _ => Action::Expand,
    }
}
