//! A block that ends with an exception where something stood that cannot be.

use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use std::sync::Arc;

/// Ends a block with an exception instead of an instruction and all that follows it, which is gone. Whether the instruction
/// was in a block.
pub(crate) fn throw_at(
    body: &mut Body,
    inst: Inst,
    kind: &str,
    reason: impl FnOnce() -> Option<Arc<str>>,
    span: Span,
) -> bool {
    let Some(block) = body.inst_block(inst) else { return false };
    let mut next = Some(inst);
    while let Some(inst) = next {
        next = body.next_inst(inst);
        body.remove_inst(inst);
    }
    let symbol = body.make_symbol(Symbol::Exception(kind.into(), reason()));
    let throw = body.make_inst(Op::Throw, Type::UNKNOWN, &[], symbol.as_u32());
    body.set_span(throw, span);
    body.append_inst(throw, block);
    true
}
