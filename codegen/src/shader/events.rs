//! A structuring plan as nested constructs.
//!
//! [`Plan`](crate::spirv::structure::Plan) speaks of labels and branches, as SPIR-V does. Here each branch becomes what it means in a
//! language with nested statements: the end of an arm (nothing), `break` or `continue`. The list of events is walked
//! twice: to find out which values are used outside the block of statements in which they are made, and to emit.

use super::internal;
use crate::error::EmitError;
use crate::spirv::structure::graph::Node;
use crate::spirv::structure::{Label, Plan, Step};

/// What happens next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The instructions of a node.
    Code(Node),
    /// Its return.
    Leave(Node),
    /// What an edge of it passes.
    Edge(Node, u32),
    /// Store the destination in the variable.
    SetExit(Node),
    /// The terminator of a node with several edges; an arm for each follows, begun by `Arm`.
    Select(Node),
    /// If the variable holds this; one arm.
    Guard(Node),
    /// An arm of the innermost `Select` or `Guard` begins.
    Arm,
    /// The innermost `Select` or `Guard` ends.
    Close,
    /// A loop begins.
    Loop,
    /// The innermost loop's body ends, and goes on from its start.
    CloseLoop,
    /// Out of the innermost loop unless the variable holds this.
    Unless(Node),
    Continue,
    Break,
    Unreachable,
}

/// A construct that is open, by the label that ends it.
enum Frame {
    Selection { merge: Label },
    Loop { next: Label, merge: Label },
}

/// The plan as events.
///
/// # Errors
/// A plan that contradicts itself.
pub(super) fn events(plan: &Plan) -> Result<Vec<Event>, EmitError> {
    let mut list = Vec::with_capacity(plan.steps.len());
    let mut frames: Vec<Frame> = Vec::new();
    for step in &plan.steps {
        match *step {
            Step::Code(node) => list.push(Event::Code(node)),
            Step::Leave(node) => list.push(Event::Leave(node)),
            Step::Edge(node, edge) => list.push(Event::Edge(node, edge)),
            Step::SetExit(node) => list.push(Event::SetExit(node)),
            Step::Select { node, merge, .. } => {
                frames.push(Frame::Selection { merge });
                list.push(Event::Select(node));
            }
            Step::Guard { exit, merge, .. } => {
                frames.push(Frame::Selection { merge });
                list.push(Event::Guard(exit));
            }
            Step::Loop { next, merge, .. } => {
                frames.push(Frame::Loop { next, merge });
                list.push(Event::Loop);
            }
            Step::Label(label) => match frames.last() {
                Some(&Frame::Selection { merge }) if merge == label => {
                    frames.pop();
                    list.push(Event::Close);
                }
                Some(Frame::Selection { .. }) => list.push(Event::Arm),
                Some(&Frame::Loop { merge, .. }) if merge == label => {
                    frames.pop();
                    list.push(Event::CloseLoop);
                }
                _ => return Err(internal("a label outside of its construct")),
            },
            Step::Next { .. } => {}
            Step::Goto(label) => list.extend(branch(label, &frames)?),
            Step::Again { exit, .. } => list.push(Event::Unless(exit)),
            Step::Unreachable => list.push(Event::Unreachable),
        }
    }
    if frames.is_empty() { Ok(list) } else { Err(internal("a construct that does not end")) }
}

/// What a branch means: nothing at the end of an arm.
fn branch(label: Label, frames: &[Frame]) -> Result<Option<Event>, EmitError> {
    if let Some(&Frame::Selection { merge }) = frames.last()
        && merge == label
    {
        return Ok(None);
    }
    for frame in frames.iter().rev() {
        if let Frame::Loop { next, merge } = *frame {
            return match label {
                _ if label == next => Ok(Some(Event::Continue)),
                _ if label == merge => Ok(Some(Event::Break)),
                _ => Err(internal("a branch out of several constructs")),
            };
        }
    }
    Err(internal("a branch to nowhere"))
}
