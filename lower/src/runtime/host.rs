//! What host code gets where it mentions what only devices have.

use crate::dispatch::pattern::Rejection;
use crate::dispatch::view::View;
use marquetry_ir::body::{Body, Symbol};
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
        throw_at(body, inst, &format!("'{name}' runs on devices only"));
    }
    while let Some(inst) = first(body, Op::Print) {
        match policy {
            HostPolicy::Trap => throw_at(body, inst, "'print' runs on devices only"),
            _ => body.remove_inst(inst),
        }
    }
}

/// Ends a block with an exception instead of an instruction and all that follows.
fn throw_at(body: &mut Body, inst: Inst, reason: &str) {
    let Some(block) = body.inst_block(inst) else { return };
    let span = body.span(inst);
    let mut next = Some(inst);
    while let Some(inst) = next {
        next = body.next_inst(inst);
        body.remove_inst(inst);
    }
    let symbol = body.make_symbol(Symbol::Exception(DEVICE_ONLY.into(), Some(reason.into())));
    let throw = body.make_inst(Op::Throw, Type::I1, &[], symbol.as_u32());
    body.set_span(throw, span);
    body.append_inst(throw, block);
}
