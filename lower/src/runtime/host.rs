//! What host code gets where it mentions what only devices have.

use crate::dispatch::view::View;
use crate::throw_at::throw_at;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::span::Span;

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

fn first(body: &Body, op: Op) -> Option<Inst> {
    body.blocks().flat_map(|block| body.block_insts(block)).find(|&inst| body.inst(inst).op == op)
}

/// Applies a view's policy to the body of a function; what cannot stay is reported, with its place.
pub(crate) fn apply(body: &mut Body, view: &View, name: &str) -> Option<(Span, String)> {
    if view.is_device() {
        let inst = first(body, Op::Sentinel)?;
        let message =
            format!("code for devices reaches the host body of '{name}': no table above overlays it");
        return Some((body.span(inst), message));
    }
    let policy = view.host_policy();
    // Calls of the function are refused where they are; compiled by itself, it is what it is.
    if policy == HostPolicy::Trap
        && let Some(inst) = first(body, Op::Sentinel)
    {
        throw_at(body, inst, DEVICE_ONLY, &format!("'{name}' runs on devices only"), body.span(inst));
    }
    if !body.may_have(Op::Print) {
        return None;
    }
    let insts = body.blocks().flat_map(|block| body.block_insts(block));
    let prints: Vec<Inst> = insts.filter(|&inst| body.inst(inst).op == Op::Print).collect();
    for inst in prints {
        match policy {
            HostPolicy::Sentinel => body.remove_inst(inst),
            // One before it in its block may have taken it away.
            HostPolicy::Trap => {
                throw_at(body, inst, DEVICE_ONLY, "'print' runs on devices only", body.span(inst));
            }
            HostPolicy::Error => {
                let message = "'print' runs on devices only, and this is code for the host";
                return Some((body.span(inst), message.into()));
            }
        }
    }
    None
}
