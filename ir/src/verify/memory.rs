//! Memory: flags, orders and frames.

use crate::diag::Code;
use crate::entity::Inst;
use crate::inst::{MemFlags, Order};
use crate::limits::MAX_FRAME_BYTES;
use crate::op::{Op, Shape};
use crate::verify::report::Checker;

/// Bits that say alignment and volatility; see [`MemFlags`].
const ACCESS_BITS: u32 = 0x7f;
/// Bits that say order and scope.
const ATOMIC_BITS: u32 = 0x3700;

impl Checker<'_> {
    /// Whether the flags say what such an access can have: what the text can spell, in one way only.
    pub(super) fn memory_flags(&mut self, inst: Inst) -> bool {
        let data = self.body.inst(inst);
        let shape = data.op.info().shape;
        let flags = MemFlags::from_bits(data.imm);
        let problem = match shape {
            Shape::Load | Shape::Store | Shape::Memory => {
                let canonical = MemFlags::plain().with_align(flags.align().unwrap_or(1));
                let spelled = data.imm & 63 == 0 || canonical.is_some_and(|c| c.bits() == data.imm & 63);
                let fits = data.imm & !ACCESS_BITS == 0 && spelled;
                (!fits).then_some("a plain access has an alignment up to 2^30 and volatility, nothing else")
            }
            Shape::AtomicLoad | Shape::Atomic | Shape::Fence => {
                let spelled = MemFlags::atomic(flags.order(), flags.scope()).bits() == data.imm;
                let fits = data.imm & !ATOMIC_BITS == 0 && spelled;
                (!fits).then_some("an atomic access has an order and a scope, nothing else")
            }
            _ => return true,
        };
        if let Some(problem) = problem {
            self.at_inst(Code::MemoryFlags, inst, format!("{}: {problem}", data.op));
            return false;
        }
        let order = flags.order();
        let allowed = match data.op {
            Op::AtomicLoad => !matches!(order, Order::Release | Order::AcqRel),
            Op::AtomicStore => !matches!(order, Order::Acquire | Order::AcqRel),
            Op::Fence => order != Order::Relaxed,
            _ => true,
        };
        if !allowed {
            self.at_inst(Code::MemoryOrder, inst, format!("{} cannot be {}", data.op, order.name()));
        }
        // A wrong order says nothing about types.
        true
    }

    /// Whether the function's slots fit in a frame.
    pub(super) fn frame(&mut self) {
        let body = self.body;
        let mut bytes = 0u64;
        for block in body.blocks() {
            for inst in body.block_insts(block).filter(|&inst| body.inst(inst).op == Op::Slot) {
                let Some(layout) = self.types.layout(body.inst(inst).ty) else { continue };
                bytes = bytes.next_multiple_of(u64::from(layout.align)).saturating_add(layout.size);
                if bytes > MAX_FRAME_BYTES {
                    let message = format!(
                        "the slots so far need {bytes} bytes of the frame, the most is {MAX_FRAME_BYTES}"
                    );
                    return self.at_inst(Code::FrameSize, inst, message);
                }
            }
        }
    }
}
