//! Whether arguments are those that a method takes, for every engine alike: what compiled code is handed must have the
//! layout that it was compiled for.

use super::EngineError;
use crate::value::HostArg;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::types::{Type, Types};

/// Checks what a method is and the arguments that it is handed.
pub(super) fn check(
    program: &Program,
    method: Method,
    kind: MethodKind,
    args: &[HostArg],
) -> Result<(), EngineError> {
    if !program.method_exists(method) {
        return Err(EngineError::Failed("the method is not one of the program".into()));
    }
    let data = program.method(method);
    let name = &data.name;
    match (data.kind, kind) {
        (MethodKind::Kernel, MethodKind::Function) => {
            return Err(EngineError::Failed(format!("'{name}' is a kernel: it is launched, not called")));
        }
        (MethodKind::Function, MethodKind::Kernel) => {
            return Err(EngineError::Failed(format!("'{name}' is a function: it is called, not launched")));
        }
        _ => {}
    }
    // What such a method takes is known of its instances only; there is no code for itself.
    if data.is_generic() {
        return Ok(());
    }
    let params = &data.signature.params;
    if params.len() != args.len() {
        let (wanted, found) = (params.len(), args.len());
        return Err(EngineError::Failed(format!("found {found} arguments, but '{name}' takes {wanted}")));
    }
    for (n, (&ty, arg)) in params.iter().zip(args).enumerate() {
        if !takes(&program.types, ty, arg) {
            let (found, wanted) = (arg.description(), program.types.display(ty));
            return Err(EngineError::Failed(format!("argument {n} is {found}, but '{name}' takes {wanted}")));
        }
    }
    Ok(())
}

/// Whether a parameter of this type takes an argument. Address spaces of pointers are the callee's business.
fn takes(types: &Types, ty: Type, arg: &HostArg) -> bool {
    let ty = types.underlying(ty);
    match arg {
        HostArg::Value(value) => value.ty() == ty || value.ty().is_pointer() && ty.is_pointer(),
        HostArg::Aggregate(bytes) => {
            let size = types.layout(ty).map(|layout| layout.size);
            ty.is_aggregate() && size.is_none_or(|size| size == bytes.len() as u64)
        }
        HostArg::Buffer { .. } => ty.is_pointer(),
    }
}
