//! SSA for one variable that has several definitions.
//!
//! Needs control flow and loops. From the blocks that leave the variable with a value and the blocks that want it at
//! their start, finds the value at every start, with new block parameters where different values meet. Only blocks
//! in which the variable is wanted are looked at, so the cost is theirs and their edges', whatever the body's size.
//!
//! A join gets a parameter if its predecessors differ, a loop header if the variable is set inside the loop. What
//! the variable holds before any definition is up to this module: zero.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::loops::{Loop, Loops};
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::types::Type;

use super::PassContext;
use super::replace::Replacements;

/// A use of a value: the value, and the block and instruction that use it.
pub(super) type Use = (Value, Block, Inst);

/// Gives uses of values that now have several definitions the one that reaches each. `definitions` is given a value's block and
/// the value, and shows its other definitions. Control flow and loops are known.
pub(super) fn reroute(
    body: &mut Body,
    ctx: &mut PassContext,
    mut uses: Vec<Use>,
    mut definitions: impl FnMut(Block, Value, &mut dyn FnMut(Block, Value)),
) {
    uses.sort_by_key(|&(value, ..)| value);
    let PassContext { cfg, loops, replacements, ssa, .. } = ctx;
    replacements.clear();
    ssa.start();
    for uses in uses.chunk_by(|a, b| a.0 == b.0) {
        let old = uses[0].0;
        ssa.begin();
        let Some(home) = body.value_block(old) else { continue };
        ssa.define(loops, home, old);
        definitions(home, old, &mut |block, value| ssa.define(loops, block, value));
        uses.iter().for_each(|&(_, block, _)| ssa.want(block));
        ssa.solve(body, cfg, loops, replacements, body.value_type(old));
        for &(_, block, inst) in uses {
            if let Some(reaching) = ssa.at_start(block) {
                body.rewrite_operands(inst, |value| if value == old { reaching } else { value });
            }
        }
    }
}

#[derive(Copy, Clone, Default)]
struct State {
    /// The variable whose state this is; states of earlier ones are stale.
    stamp: u32,
    wanted: bool,
    at_start: PackedOption<Value>,
    at_end: PackedOption<Value>,
}

/// Tables for one variable after the other.
#[derive(Default)]
pub struct SsaUpdater {
    stamp: u32,
    states: SecondaryMap<Block, State>,
    set_in: SecondaryMap<Loop, u32>,
    scratch_wanted: Vec<Block>,
    scratch_joins: Vec<(Block, Value)>,
}

impl SsaUpdater {
    /// Prepares for the variables of a body.
    pub fn start(&mut self) {
        self.stamp = 0;
        self.states.clear();
        self.set_in.clear();
    }

    fn state(&mut self, block: Block) -> &mut State {
        let state = &mut self.states[block];
        if state.stamp != self.stamp {
            *state = State { stamp: self.stamp, ..State::default() };
        }
        state
    }

    /// Begins another variable.
    pub fn begin(&mut self) {
        self.stamp += 1;
        self.scratch_wanted.clear();
        self.scratch_joins.clear();
    }

    /// The variable has this value at the end of a block.
    pub fn define(&mut self, loops: &Loops, block: Block, value: Value) {
        self.state(block).at_end = value.into();
        let mut around = loops.innermost(block);
        while let Some(this) = around {
            if self.set_in[this] == self.stamp {
                break;
            }
            self.set_in[this] = self.stamp;
            around = loops.parent(this);
        }
    }

    /// The variable's value at the start of a block is wanted.
    pub fn want(&mut self, block: Block) {
        let state = self.state(block);
        if !state.wanted {
            state.wanted = true;
            self.scratch_wanted.push(block);
        }
    }

    /// Finds all wanted values; the variable has type `ty`.
    pub fn solve(
        &mut self,
        body: &mut Body,
        cfg: &ControlFlow,
        loops: &Loops,
        replacements: &mut Replacements,
        ty: Type,
    ) {
        let mut next = 0;
        while let Some(&block) = self.scratch_wanted.get(next) {
            next += 1;
            for &(from, _) in cfg.predecessors(block) {
                if self.state(from).at_end.is_none() {
                    self.want(from);
                }
            }
        }
        let mut wanted = std::mem::take(&mut self.scratch_wanted);
        wanted.sort_unstable_by_key(|&block| cfg.position(block));
        for &block in &wanted {
            let value = match self.agreed(cfg, loops, replacements, block) {
                Agreed::One(value) => value,
                Agreed::Nothing => body.make_scalar(ty, 0),
                Agreed::Several => {
                    let param = body.append_block_param(block, ty);
                    self.scratch_joins.push((block, param));
                    param
                }
            };
            self.state(block).at_start = value.into();
        }
        self.scratch_wanted = wanted;
        let joins = std::mem::take(&mut self.scratch_joins);
        for &(block, _) in &joins {
            for &(from, edge) in cfg.predecessors(block) {
                let value = match self.at_end(from) {
                    Some(value) => replacements.resolve(value),
                    None => body.make_scalar(ty, 0),
                };
                body.push_target_arg(edge, value);
            }
        }
        self.scratch_joins = joins;
    }

    /// The value at the end of a block, as far as it is known.
    fn at_end(&mut self, block: Block) -> Option<Value> {
        let state = self.state(block);
        state.at_end.expand().or(state.at_start.expand())
    }

    /// The wanted value at the start of a block.
    pub fn at_start(&mut self, block: Block) -> Option<Value> {
        self.state(block).at_start.expand()
    }

    fn agreed(
        &mut self,
        cfg: &ControlFlow,
        loops: &Loops,
        replacements: &mut Replacements,
        block: Block,
    ) -> Agreed {
        let here = cfg.position(block);
        let headed = loops.innermost(block).filter(|&this| loops.header(this) == block);
        let unset = headed.is_some_and(|this| self.set_in[this] != self.stamp);
        let mut agreed = Agreed::Nothing;
        for &(from, _) in cfg.predecessors(block) {
            let backwards = cfg.position(from) >= here;
            // What enters a loop that leaves the variable alone is what comes back.
            if backwards && unset && headed.is_some_and(|this| loops.contains(this, from)) {
                continue;
            }
            let Some(value) = self.at_end(from).filter(|_| !backwards) else { return Agreed::Several };
            let value = replacements.resolve(value);
            agreed = match agreed {
                Agreed::Nothing => Agreed::One(value),
                Agreed::One(other) if other == value => Agreed::One(value),
                Agreed::One(_) | Agreed::Several => return Agreed::Several,
            };
        }
        agreed
    }
}

enum Agreed {
    Nothing,
    One(Value),
    Several,
}
