//! Selection of what only GPUs have: work-item numbers, barriers, and operations across the lanes of a warp.
//!
//! The lanes that take part are those that `activemask` names where the operation stands. Naming all lanes would
//! be undefined in divergent code, where the language defines what happens.

use super::regs::{Place, Reg};
use super::select::{Here, Selector, args, illegal};
use super::select_scalar::result_type;
use super::types::{Class, bits_of};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;

/// Lanes of a warp, on every architecture so far.
const WARP_LANES: u64 = 32;

fn dimension(names: [&'static str; 3], number: u32) -> &'static str {
    names[(number % 3) as usize]
}

impl Selector<'_> {
    pub(super) fn special(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        let (op, name) = match data.op {
            Op::Barrier => {
                // Not the aligned form: lanes of a warp may come from different places.
                self.out.line(&["barrier.sync"], &[Arg::Int(0)]);
                return Ok(());
            }
            Op::SubgroupBarrier => {
                // All lanes: those that returned do not count.
                self.out.line(&["bar.warp.sync"], &[Arg::Int(-1)]);
                return Ok(());
            }
            Op::Trap => {
                self.out.line(&["trap"], &[]);
                return Ok(());
            }
            Op::SubgroupSize => return self.alias(here, inst, Place::Const(WARP_LANES)),
            Op::LocalId => ("mov.u32", dimension(["%tid.x", "%tid.y", "%tid.z"], data.imm)),
            Op::GroupId => ("mov.u32", dimension(["%ctaid.x", "%ctaid.y", "%ctaid.z"], data.imm)),
            Op::GroupSize => ("mov.u32", dimension(["%ntid.x", "%ntid.y", "%ntid.z"], data.imm)),
            Op::GroupCount => ("mov.u32", dimension(["%nctaid.x", "%nctaid.y", "%nctaid.z"], data.imm)),
            Op::SubgroupLane => ("mov.u32", "%laneid"),
            Op::Clock => ("mov.u64", "%clock64"),
            _ => return Err(illegal(here, inst)),
        };
        let result = Arg::Reg(self.result(here, inst)?);
        self.out.line(&[op], &[result, Arg::Text(name)]);
        Ok(())
    }

    fn word(&mut self) -> Arg {
        Arg::Reg(self.regs.fresh(Class::B32))
    }

    fn active_lanes(&mut self) -> Arg {
        let mask = self.word();
        self.out.line(&["activemask.b32"], &[mask]);
        mask
    }

    /// Reads `value` in another lane.
    fn read_lane(&mut self, to: Reg, value: Reg, lane: Arg, mask: Arg) {
        let mut read = |to: Reg, from: Reg| {
            let line = [Arg::Reg(to), Arg::Reg(from), lane, Arg::Int(31), mask];
            self.out.line(&["shfl.sync.idx.b32"], &line);
        };
        if to.class() != Class::B64 {
            return read(to, value);
        }
        let (low, high) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
        let (from_low, from_high) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
        self.out.line(&["mov.b64"], &[Arg::Pair(from_low, from_high), Arg::Reg(value)]);
        for (to, from) in [(low, from_low), (high, from_high)] {
            let line = [Arg::Reg(to), Arg::Reg(from), lane, Arg::Int(31), mask];
            self.out.line(&["shfl.sync.idx.b32"], &line);
        }
        self.out.line(&["mov.b64"], &[Arg::Reg(to), Arg::Pair(low, high)]);
    }

    /// The source lane is computed here, because reading an inactive lane is undefined (PTX ISA 9.7.9 "shfl.sync").
    pub(super) fn lane_shuffle(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [value, operand] = args(here, inst)?;
        let value = self.register(here, value)?;
        let operand = self.operand(here, operand)?;
        let (own, bit, source) = (self.word(), self.word(), self.word());
        self.out.line(&["mov.u32"], &[own, Arg::Text("%laneid")]);
        let name = match here.body.inst(inst).op {
            Op::SubgroupShuffle => None,
            Op::SubgroupShuffleXor => Some("xor.b32"),
            Op::SubgroupShuffleUp => Some("sub.s32"),
            Op::SubgroupShuffleDown => Some("add.s32"),
            _ => return Err(illegal(here, inst)),
        };
        let lane = match name {
            None => operand,
            Some(name) => {
                let lane = self.word();
                self.out.line(&[name], &[lane, own, operand]);
                lane
            }
        };
        let mask = self.active_lanes();
        let active = Arg::Reg(self.regs.fresh(Class::Pred));
        // Counts above 31 shift everything out, so that lanes that do not exist count as inactive.
        self.out.line(&["shr.u32"], &[bit, mask, lane]);
        self.out.line(&["and.b32"], &[bit, bit, Arg::Int(1)]);
        self.out.line(&["setp.ne.b32"], &[active, bit, Arg::Int(0)]);
        self.out.line(&["selp.b32"], &[source, lane, own, active]);
        let result = self.result(here, inst)?;
        self.read_lane(result, value, source, mask);
        Ok(())
    }

    pub(super) fn vote(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [condition] = args(here, inst)?;
        let condition = self.operand(here, condition)?;
        let mask = self.active_lanes();
        match here.body.inst(inst).op {
            Op::SubgroupBallot => {
                let word = self.word();
                self.out.line(&["vote.sync.ballot.b32"], &[word, condition, mask]);
                let result = Arg::Reg(self.result(here, inst)?);
                self.out.line(&["cvt.u64.u32"], &[result, word]);
            }
            op => {
                let name = if op == Op::SubgroupAny { "vote.sync.any.pred" } else { "vote.sync.all.pred" };
                let result = Arg::Reg(self.result(here, inst)?);
                self.out.line(&[name], &[result, condition, mask]);
            }
        }
        Ok(())
    }

    pub(super) fn lane_reduce(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [value] = args(here, inst)?;
        let value = self.register(here, value)?;
        let bits = bits_of(result_type(here, inst)?);
        let least = 1i64 << (bits - 1);
        let least = if bits == 32 { -least } else { least };
        // (instruction on 32 bits, on 64 bits, the value that changes nothing)
        let (short, wide, neutral) = match here.body.inst(inst).op {
            Op::SubgroupReduceAdd => (["add", ".s32"], ["add", ".s64"], 0),
            Op::SubgroupReduceAnd => (["and", ".b32"], ["and", ".b64"], -1),
            Op::SubgroupReduceOr => (["or", ".b32"], ["or", ".b64"], 0),
            Op::SubgroupReduceXor => (["xor", ".b32"], ["xor", ".b64"], 0),
            Op::SubgroupReduceMinS => (["min", ".s32"], ["min", ".s64"], !least),
            Op::SubgroupReduceMinU => (["min", ".u32"], ["min", ".u64"], -1),
            Op::SubgroupReduceMaxS => (["max", ".s32"], ["max", ".s64"], least),
            Op::SubgroupReduceMaxU => (["max", ".u32"], ["max", ".u64"], 0),
            _ => return Err(illegal(here, inst)),
        };
        let mask = self.active_lanes();
        let result = self.result(here, inst)?;
        if bits == 32 && self.sm >= 80 {
            let line = [Arg::Reg(result), Arg::Reg(value), mask];
            self.out.line(&["redux.sync.", short[0], short[1]], &line);
            return Ok(());
        }
        self.reduce_loop(result, value, mask, if bits == 32 { short } else { wide }, neutral);
        Ok(())
    }

    /// Takes the active lanes one by one: right for every mask, and the same in all lanes.
    fn reduce_loop(&mut self, sum: Reg, value: Reg, mask: Arg, op: [&str; 2], neutral: i64) {
        let (waiting, lane, bit) = (self.word(), self.word(), self.word());
        let read = self.regs.fresh(sum.class());
        let more = self.regs.fresh(Class::Pred);
        let next = self.fresh_label();
        self.out.line(&["mov", sum.class().suffix()], &[Arg::Reg(sum), Arg::Int(neutral)]);
        self.out.line(&["mov.b32"], &[waiting, mask]);
        self.out.label(next);
        self.out.line(&["bfind.u32"], &[lane, waiting]);
        self.read_lane(read, value, lane, mask);
        self.out.line(&op, &[Arg::Reg(sum), Arg::Reg(sum), Arg::Reg(read)]);
        self.out.line(&["shl.b32"], &[bit, Arg::Int(1), lane]);
        self.out.line(&["xor.b32"], &[waiting, waiting, bit]);
        self.out.line(&["setp.ne.b32"], &[Arg::Reg(more), waiting, Arg::Int(0)]);
        self.out.line_if(more, true, &["bra"], &[Arg::Label(next)]);
    }
}
