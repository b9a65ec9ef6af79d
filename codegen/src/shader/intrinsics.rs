//! Selection of positions in the grid.

use super::internal;
use super::select::{Expr, Selector};
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op as IrOp;
use naga::{BuiltIn, Expression};

/// The positions that kernels are given, and the names of the variables that hold them for other functions.
pub(super) const POSITIONS: [(BuiltIn, &str); 3] = [
    (BuiltIn::LocalInvocationId, "local_id"),
    (BuiltIn::WorkGroupId, "group_id"),
    (BuiltIn::NumWorkGroups, "group_count"),
];

impl Selector<'_, '_> {
    /// Selects a position in the grid, or an extent of it.
    pub(super) fn position(&mut self, inst: Inst, op: IrOp) -> Result<Expr, EmitError> {
        let dimension = self.body.inst(inst).imm;
        let which = match op {
            IrOp::LocalId => 0,
            IrOp::GroupId => 1,
            IrOp::GroupCount => 2,
            _ => {
                let size = self.state.block.get(dimension as usize).copied();
                let size = size.ok_or_else(|| internal("a dimension past the third"))?;
                return Ok(self.word(size));
            }
        };
        let base = match self.positions.get(which) {
            Some(&Some(argument)) => argument,
            _ => {
                let (_, name) = POSITIONS.get(which).ok_or_else(|| internal("an unknown position"))?;
                let variable = self.state.position(which, name);
                let pointer = self.fixed(Expression::GlobalVariable(variable));
                self.expr(Expression::Load { pointer })
            }
        };
        Ok(self.expr(Expression::AccessIndex { base, index: dimension.min(2) }))
    }
}
