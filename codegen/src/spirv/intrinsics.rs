//! Selection of positions in the grid, sub-group operations and the clock.
//!
//! A shuffle from a lane that does not exist or is not active is undefined in SPIR-V (3.42.24) and gives the own value in
//! the language: the lane is checked against the sub-group's size and against a ballot of the active lanes.

use super::internal;
use super::module::Id;
use super::select::Selector;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op as IrOp;
use rspirv::spirv::{BuiltIn, Capability, Decoration, GroupOperation, Op, Scope};

impl Selector<'_, '_> {
    /// Selects an op with one result.
    pub(super) fn work_item_op(&mut self, inst: Inst, op: IrOp) -> Result<Id, EmitError> {
        use IrOp::*;
        let dimension = self.body.inst(inst).imm;
        match op {
            LocalId => Ok(self.position(BuiltIn::LocalInvocationId, dimension)),
            GroupId => Ok(self.position(BuiltIn::WorkgroupId, dimension)),
            GroupCount => Ok(self.position(BuiltIn::NumWorkgroups, dimension)),
            GroupSize if self.is_vulkan() => {
                let sizes = self.group_size();
                sizes.get(dimension as usize).copied().ok_or_else(|| internal("a dimension past the third"))
            }
            GroupSize => Ok(self.position(BuiltIn::WorkgroupSize, dimension)),
            SubgroupSize => Ok(self.lane_number(BuiltIn::SubgroupSize)),
            SubgroupLane => Ok(self.lane_number(BuiltIn::SubgroupLocalInvocationId)),
            Clock => {
                self.module().caps.add(Capability::ShaderClockKHR);
                let (long, scope) = (self.module().int(64), self.subgroup());
                Ok(self.emit(Op::ReadClockKHR, long, &[scope]))
            }
            _ => self.subgroup_op(inst, op),
        }
    }

    /// One component of a vector that the device fills in: 32-bit in Vulkan, 64-bit in OpenCL.
    fn position(&mut self, builtin: BuiltIn, dimension: u32) -> Id {
        let bits = if self.is_vulkan() { 32 } else { 64 };
        let vector = self.module().int_vector(bits, 3);
        let variable = self.builtin(builtin, vector);
        let loaded = self.emit(Op::Load, vector, &[variable]);
        let lane = self.module().int(bits);
        let value = self.emit(Op::CompositeExtract, lane, &[loaded, dimension]);
        if bits == 32 {
            return value;
        }
        let short = self.module().int(32);
        self.emit(Op::UConvert, short, &[value])
    }

    fn lane_number(&mut self, builtin: BuiltIn) -> Id {
        self.module().caps.add(Capability::GroupNonUniform);
        let short = self.module().int(32);
        let variable = self.builtin(builtin, short);
        self.emit(Op::Load, short, &[variable])
    }

    /// The three specialisation constants of the group size: ids 0, 1 and 2.
    pub(super) fn group_size(&mut self) -> [Id; 3] {
        if let Some(sizes) = self.state.group_size {
            return sizes;
        }
        let sizes = self.module().group_size();
        self.state.group_size = Some(sizes);
        sizes
    }

    fn subgroup(&mut self) -> Id {
        self.module().u32(Scope::Subgroup as u32)
    }

    fn ballot(&mut self, truth: Id) -> Id {
        self.module().caps.add(Capability::GroupNonUniformBallot);
        let (vector, scope) = (self.module().int_vector(32, 4), self.subgroup());
        self.emit(Op::GroupNonUniformBallot, vector, &[scope, truth])
    }

    fn subgroup_op(&mut self, inst: Inst, op: IrOp) -> Result<Id, EmitError> {
        use IrOp::*;
        self.module().caps.add(Capability::GroupNonUniform);
        let args = self.operands(inst)?;
        let ty = self.arg_type(inst, 0);
        let held = self.type_id(ty)?;
        let scope = self.subgroup();
        let reduction = match op {
            SubgroupReduceAdd => Op::GroupNonUniformIAdd,
            SubgroupReduceAnd => Op::GroupNonUniformBitwiseAnd,
            SubgroupReduceOr => Op::GroupNonUniformBitwiseOr,
            SubgroupReduceXor => Op::GroupNonUniformBitwiseXor,
            SubgroupReduceMinS => Op::GroupNonUniformSMin,
            SubgroupReduceMinU => Op::GroupNonUniformUMin,
            SubgroupReduceMaxS => Op::GroupNonUniformSMax,
            SubgroupReduceMaxU => Op::GroupNonUniformUMax,
            _ => Op::Nop,
        };
        if reduction != Op::Nop {
            self.module().caps.add(Capability::GroupNonUniformArithmetic);
            return Ok(self.emit(reduction, held, &[scope, GroupOperation::Reduce as u32, args[0]]));
        }
        match op {
            SubgroupAny | SubgroupAll => {
                self.module().caps.add(Capability::GroupNonUniformVote);
                let vote = if op == SubgroupAny { Op::GroupNonUniformAny } else { Op::GroupNonUniformAll };
                Ok(self.emit(vote, held, &[scope, args[0]]))
            }
            SubgroupBallot => {
                let words = self.ballot(args[0]);
                let (short, long) = (self.module().int(32), self.module().int(64));
                let [low, high] = [0, 1].map(|n| {
                    let word = self.emit(Op::CompositeExtract, short, &[words, n]);
                    self.emit(Op::UConvert, long, &[word])
                });
                let count = self.module().const_int(64, 32);
                let high = self.emit(Op::ShiftLeftLogical, long, &[high, count]);
                Ok(self.emit(Op::BitwiseOr, long, &[low, high]))
            }
            SubgroupShuffle | SubgroupShuffleXor | SubgroupShuffleUp | SubgroupShuffleDown => {
                self.shuffle(op, held, args[0], args[1])
            }
            _ => Err(internal(&format!("'{op}' is no sub-group operation"))),
        }
    }

    fn shuffle(&mut self, op: IrOp, held: Id, value: Id, lane: Id) -> Result<Id, EmitError> {
        self.module().caps.add(Capability::GroupNonUniformShuffle);
        let (short, truth) = (self.module().int(32), self.module().bool());
        let own = self.lane_number(BuiltIn::SubgroupLocalInvocationId);
        let size = self.lane_number(BuiltIn::SubgroupSize);
        let from = match op {
            IrOp::SubgroupShuffleXor => self.emit(Op::BitwiseXor, short, &[own, lane]),
            IrOp::SubgroupShuffleUp => self.emit(Op::ISub, short, &[own, lane]),
            IrOp::SubgroupShuffleDown => self.emit(Op::IAdd, short, &[own, lane]),
            _ => lane,
        };
        // Unsigned, so that lanes before the first are out of range as well.
        let exists = self.emit(Op::ULessThan, truth, &[from, size]);
        let from = self.emit(Op::Select, short, &[exists, from, own]);
        let yes = self.module().const_bool(true);
        let active = self.ballot(yes);
        let scope = self.subgroup();
        let active = self.emit(Op::GroupNonUniformBallotBitExtract, truth, &[scope, active, from]);
        let shuffled = self.emit(Op::GroupNonUniformShuffle, held, &[scope, value, from]);
        Ok(self.emit(Op::Select, held, &[active, shuffled, value]))
    }
}

impl super::module::Module {
    /// The constants that set the group size when a pipeline is made.
    pub(super) fn group_size(&mut self) -> [Id; 3] {
        let short = self.int(32);
        [(0, 64), (1, 1), (2, 1)].map(|(number, default)| {
            let id = self.global(Op::SpecConstant, short, &[default]);
            self.decorate(id, Decoration::SpecId, &[number]);
            id
        })
    }
}
