//! What host code gets where it mentions what only devices have.

use crate::dispatch::pattern::Rejection;
use crate::dispatch::view::View;
use crate::throw_at::throw_at;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Type, Types};

/// What becomes of functions that only devices have, in code for the host.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum HostPolicy {
    /// They do nothing and give a harmless value: 1 as a pointer, else 0.
    #[default]
    Sentinel,
    /// They throw DeviceOnlyError.
    Trap,
    /// A call is an error of compilation.
    Error,
}

impl HostPolicy {
    /// All policies.
    pub const ALL: [HostPolicy; 3] = [HostPolicy::Sentinel, HostPolicy::Trap, HostPolicy::Error];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            HostPolicy::Sentinel => "sentinel",
            HostPolicy::Trap => "trap",
            HostPolicy::Error => "error",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<HostPolicy> {
        HostPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The kind of exception that [`HostPolicy::Trap`] throws.
pub const DEVICE_ONLY: &str = "DeviceOnlyError";

/// Whether a body is a host body: the harmless half of a device function.
pub fn is_host_body(body: &Body) -> bool {
    first(body, Op::Sentinel).is_some()
}

/// Whether a function of the host takes arguments of these types: exactly what it declares, or newtypes of that, which
/// are what is behind them when the host is called.
///
/// # Errors
/// The first reason why not.
pub fn takes(types: &Types, params: &[Type], arguments: &[Type]) -> Result<(), Rejection> {
    if params.len() != arguments.len() {
        return Err(Rejection::Count { found: arguments.len(), wanted: params.len(), variadic: false });
    }
    let fits = |wanted: Type, found: Type| {
        let mut inner = Some(found);
        while inner.is_some_and(|ty| ty != wanted) {
            inner = inner.and_then(|ty| types.as_newtype(ty));
        }
        inner.is_some()
    };
    let mut pairs = params.iter().zip(arguments).enumerate();
    match pairs.find(|&(_, (&wanted, &found))| !fits(wanted, found)) {
        Some((index, (&wanted, &found))) => Err(Rejection::Argument { index, found, wanted, bound: None }),
        None => Ok(()),
    }
}

fn first(body: &Body, op: Op) -> Option<Inst> {
    body.blocks().flat_map(|block| body.block_insts(block)).find(|&inst| body.inst(inst).op == op)
}

/// Why an instruction cannot be in the function of a name, if code that a view is for cannot have it.
pub(crate) fn refused(op: Op, view: &View, name: &str) -> Option<String> {
    match op {
        Op::Sentinel if view.is_device() => {
            Some(format!("code for devices reaches the host body of '{name}': no table above overlays it"))
        }
        Op::Print if !view.is_device() && view.host_policy() == HostPolicy::Error => {
            Some("'print' runs on devices only, and this is code for the host".into())
        }
        _ => None,
    }
}

/// Applies a view's policy to the body of a function, as far as it refuses nothing.
pub(crate) fn apply(body: &mut Body, view: &View, name: &str) {
    let policy = view.host_policy();
    if view.is_device() || policy == HostPolicy::Error {
        return;
    }
    // Calls of the function are refused where they are; compiled by itself, it is what it is.
    if policy == HostPolicy::Trap
        && let Some(inst) = first(body, Op::Sentinel)
    {
        let reason = || Some(format!("'{name}' runs on devices only").into());
        throw_at(body, inst, DEVICE_ONLY, reason, body.span(inst));
    }
    if !body.may_have(Op::Print) {
        return;
    }
    let insts = body.blocks().flat_map(|block| body.block_insts(block));
    let prints: Vec<Inst> = insts.filter(|&inst| body.inst(inst).op == Op::Print).collect();
    for inst in prints {
        match policy {
            // One before it in its block may have taken it away.
            HostPolicy::Trap => {
                let reason = || Some("'print' runs on devices only".into());
                throw_at(body, inst, DEVICE_ONLY, reason, body.span(inst));
            }
            _ => body.remove_inst(inst),
        }
    }
}
