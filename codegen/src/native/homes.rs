//! Values that live across blocks, in memory: for functions in which too many do ([`Effort::Least`]).
//!
//! Every value that is used in another block than its own, and every block parameter, has a home in the frame. It is
//! stored where it is computed and loaded once per block that uses it, so that nothing is live between blocks. What an
//! edge passes is stored to the homes of the parameters, in a block of the edge's own where the edge is not the only
//! one that leaves; all arguments are loaded before any is stored. That block may come far behind the one that it
//! leaves, so what it passes has a home too.

use super::effort::Effort;
use super::select::Selector;
use super::types::held;
use crate::error::EmitError;
use cranelift_codegen::cursor::Cursor;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, StackSlotData, StackSlotKind, types};
use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Value};
use marquetry_ir::limits::MAX_FRAME_BYTES;

/// Bytes that a home's place is a multiple of; vectors and `i128` take two.
const UNIT: u32 = 8;

/// The homes of a function's values.
pub(super) struct Homes {
    slot: ir::StackSlot,
    /// Places in the slot, plus one.
    places: SecondaryMap<Value, u32>,
    /// The values with homes that are at hand in the block under way.
    at_hand: Vec<Value>,
    detours: Vec<Detour>,
}

/// The block of an edge, which stores what the edge passes.
struct Detour {
    block: ir::Block,
    edge: BlockCall,
}

impl Homes {
    /// Gives values homes, if there is room in the frame.
    pub(super) fn build(body: &Body, flow: &ControlFlow, out: &mut ir::Function) -> Option<Homes> {
        let mut places = SecondaryMap::<Value, u32>::with_capacity(body.value_count());
        let mut count = 0u32;
        let mut give = |value: Value| {
            if places[value] == 0 {
                let is_wide = held(body.value_type(value)).is_ok_and(|ty| ty.bytes() > UNIT);
                // An even place is aligned to both.
                count += if is_wide { count % 2 } else { 0 };
                places[value] = count + 1;
                count += if is_wide { 2 } else { 1 };
            }
        };
        for &block in flow.reverse_post_order() {
            body.block_params(block).iter().for_each(|&param| give(param));
            for inst in body.block_insts(block) {
                body.visit_operands(inst, |value| {
                    if body.value_const_id(value).is_none() && body.value_block(value) != Some(block) {
                        give(value);
                    }
                });
                if let edges @ [_, _, ..] = body.targets(inst) {
                    let passed = edges.iter().flat_map(|&edge| body.target_args(edge));
                    passed.filter(|&&arg| body.value_const_id(arg).is_none()).for_each(|&arg| give(arg));
                }
            }
        }
        let bytes = u64::from(count) * u64::from(UNIT);
        let size = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_FRAME_BYTES)?;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size.max(1), 4);
        let slot = out.create_sized_stack_slot(data);
        Some(Homes { slot, places, at_hand: Vec::new(), detours: Vec::new() })
    }

    fn offset(&self, value: Value) -> Option<i32> {
        let place = self.places.get(value)?.checked_sub(1)?;
        i32::try_from(place * UNIT).ok()
    }
}

/// Whether values of a function have homes.
pub(super) fn are_needed(effort: Effort) -> bool {
    effort == Effort::Least
}

impl Selector<'_> {
    /// Another block begins: nothing is at hand.
    pub(super) fn leave_homes(&mut self) {
        if let Some(homes) = &mut self.homes {
            for value in homes.at_hand.drain(..) {
                self.tables.values[value] = None.into();
            }
        }
    }

    /// A value has been computed: it goes home.
    pub(super) fn store_home(&mut self, value: Value, known: ir::Value) {
        if let Some(homes) = &mut self.homes
            && let Some(offset) = homes.offset(value)
        {
            homes.at_hand.push(value);
            self.cursor.ins().stack_store(types::I64, known, homes.slot, offset);
        }
    }

    /// A value from its home.
    pub(super) fn load_home(&mut self, value: Value) -> Result<Option<ir::Value>, EmitError> {
        let Some(homes) = &mut self.homes else { return Ok(None) };
        let Some(offset) = homes.offset(value) else { return Ok(None) };
        let ty = held(self.body.value_type(value))?;
        let loaded = self.cursor.ins().stack_load(types::I64, ty, homes.slot, offset);
        homes.at_hand.push(value);
        self.tables.values[value] = loaded.into();
        Ok(Some(loaded))
    }

    /// Stores what an edge passes to a block.
    pub(super) fn pass(&mut self, to: Block, args: &[BlockArg]) {
        let Some(homes) = &self.homes else { return };
        for (&param, arg) in self.body.block_params(to).iter().zip(args) {
            if let (Some(offset), BlockArg::Value(value)) = (homes.offset(param), arg) {
                self.cursor.ins().stack_store(types::I64, *value, homes.slot, offset);
            }
        }
    }

    /// A block for what an edge passes that is not the only one, if there are homes to pass it to.
    pub(super) fn detour(&mut self, edge: BlockCall) -> Option<ir::Block> {
        let homes = self.homes.as_mut().filter(|_| !self.body.target_args(edge).is_empty())?;
        let block = self.cursor.func.dfg.make_block();
        homes.detours.push(Detour { block, edge });
        Some(block)
    }

    /// Writes the blocks of the edges that have left a block.
    pub(super) fn finish_detours(&mut self) -> Result<(), EmitError> {
        let Some(homes) = &mut self.homes else { return Ok(()) };
        let mut args = Vec::new();
        for Detour { block, edge } in std::mem::take(&mut homes.detours) {
            self.leave_homes();
            self.cursor.func.layout.append_block(block);
            self.cursor.goto_bottom(block);
            let target = self.only_edge(edge, &mut args)?;
            self.pass(self.body.target_block(edge), &args);
            self.cursor.ins().jump(target, &[]);
        }
        Ok(())
    }
}
