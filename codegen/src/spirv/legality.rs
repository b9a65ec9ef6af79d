//! What SPIR-V can do, as lowering asks.
//!
//! Two rules beyond what the format has: an op is legal only if drivers compute exactly what the language says, and
//! what is not exact in some driver is expanded. Fused multiply-add and float remainders are wrong in software Vulkan, minima of
//! floats are loose about zeros and NaN everywhere.

use super::{Api, Environment, SpirvTarget};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::types::{Scalar, Space, Type, TypeKind};
use marquetry_lower::query::Answer;
use marquetry_lower::target::{Action, Caps, Target, TypeAction};

/// What modules for an environment are able to do.
pub(super) fn caps(api: Api) -> Caps {
    Caps {
        calls: true,
        recursion: false,
        indirect_calls: false,
        structured: api == Api::Vulkan,
        functions: false,
        kernels: true,
        externs: false,
        memory_ops: false,
        // Vulkan has addresses of buffers only.
        global_variables: api == Api::OpenCl,
        // Vulkan's memory model has none (SPIR-V 2.18.1 forbids the semantics); acq_rel is its strongest order.
        sequential_consistency: api == Api::OpenCl,
        volatile_accesses: true,
        early_returns: api == Api::Vulkan,
        max_shared_bytes: 32 << 10,
        // OpenCL: CL_DEVICE_MAX_PARAMETER_SIZE is at least this.
        argument_blocks: false,
        max_argument_bytes: if api == Api::OpenCl { 1024 } else { 4096 },
    }
}

impl Target for SpirvTarget {
    fn name(&self) -> String {
        ["spirv:", self.version()].concat()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn answer(&self, key: &str) -> Option<Answer> {
        let Environment { api, major, minor } = self.env;
        // OpenCL 3.0 is known by the 2.x whose SPIR-V it takes.
        let version = if major == 3 { 30 } else { u64::from(major * 10 + minor) };
        match (key, api) {
            ("is_gpu" | "is_spirv", _) => Some(Answer::Truth(true)),
            ("vulkan", Api::Vulkan) | ("opencl", Api::OpenCl) => Some(Answer::Number(version)),
            _ => None,
        }
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I128) => TypeAction::Halves,
            TypeKind::Vector(..) => TypeAction::Lanes,
            TypeKind::Pointer(Space::Param) => TypeAction::Unsupported("SPIR-V has no parameter memory"),
            _ => TypeAction::Legal,
        }
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        let vulkan = self.env.api == Api::Vulkan;
        match op {
            Op::CallIndirect | Op::FunctionAddress => Action::Unsupported("SPIR-V has no function addresses"),
            Op::Clock if !vulkan => {
                Action::Unsupported("OpenCL devices have no clock that modules can rely on")
            }
            Op::MemCopy | Op::MemSet | Op::Make | Op::GetField | Op::SetField | Op::BoundsCheck => {
                Action::Expand
            }
            // There is no trap.
            Op::RmwMin | Op::RmwMax | Op::Trap => Action::Expand,
            // Float addition is atomic in hardware for f32 where the extension is; the others loop.
            Op::RmwAdd if from.is_float() && !(vulkan && from == Type::F32) => Action::Expand,
            // Where the mention of a float is only about bits.
            Op::Select | Op::Bitcast | Op::Call | Op::Return | Op::Store | Op::Load => Action::Legal,
            _ if matches!(op.info().shape, Shape::Atomic | Shape::AtomicLoad) => Action::Legal,
            Op::FConvert => convert(from, to),
            Op::FToS | Op::FToU if from == Type::BF16 => Action::Promote(Scalar::F32),
            Op::SToF | Op::UToF if to == Type::BF16 => Action::Expand,
            Op::FToS | Op::FToU | Op::SToF | Op::UToF => Action::Legal,
            _ if from.is_float() => float_action(op, from, vulkan),
            _ => Action::Legal,
        }
    }
}

/// Conversions between floats. From f64 to f16, drivers go by way of f32 and round twice.
fn convert(from: Type, to: Type) -> Action {
    if from == Type::BF16 || to == Type::BF16 || (from == Type::F64 && to == Type::F16) {
        return Action::Expand;
    }
    Action::Legal
}

fn float_action(op: Op, ty: Type, vulkan: bool) -> Action {
    let half = ty == Type::F16;
    match op {
        Op::Neg | Op::Abs | Op::CopySign => Action::Legal,
        Op::Min | Op::Max | Op::MinNumber | Op::MaxNumber if !matches!(ty, Type::BF16 | Type::F16) => {
            Action::Expand
        }
        Op::Rem if !matches!(ty, Type::BF16 | Type::F16) => Action::Expand,
        // Two roundings of a sum are not one: never by way of f32.
        Op::Fma if ty == Type::BF16 || vulkan => Action::Expand,
        Op::Fma => Action::Legal,
        _ if ty == Type::BF16 => Action::Promote(Scalar::F32),
        Op::Add | Op::Sub | Op::Mul => Action::Legal,
        Op::Eq
        | Op::Ne
        | Op::Lt
        | Op::Le
        | Op::Gt
        | Op::Ge
        | Op::One
        | Op::Ueq
        | Op::Ult
        | Op::Ule
        | Op::Ugt
        | Op::Uge
        | Op::Ord
        | Op::Uno => Action::Legal,
        // f32 holds every quotient, root and integral value of f16 closely enough to round once more.
        _ if half => Action::Promote(Scalar::F32),
        Op::RoundAway if vulkan => Action::Expand,
        _ => Action::Legal,
    }
}
