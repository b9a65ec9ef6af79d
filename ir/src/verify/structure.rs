//! Structure: ids, program order, terminators, edges. What every other reader of a body takes for granted.

use crate::analysis::cfg::ControlFlow;
use crate::analysis::dominators::Dominators;
use crate::body::{Body, ValueDef};
use crate::diag::{Code, Diagnostic};
use crate::entity::{Block, Inst, Value};
use crate::limits;
use crate::op::{Op, Shape};
use crate::verify::Results;
use crate::verify::module::Module;
use crate::verify::report::{Checker, FunctionView, Report};
use cranelift_entity::{EntityRef, EntitySet};

/// What the checks of one function share; reused for the next one.
#[derive(Default)]
pub(super) struct Facts {
    /// Position of an instruction in program order, from 1; 0 if it is in no block.
    pub(super) position: Vec<u32>,
    /// Placed blocks.
    pub(super) placed: EntitySet<Block>,
    /// Values whose definition was reported.
    pub(super) failed: EntitySet<Value>,
    /// Constants that were looked at.
    pub(super) seen_consts: EntitySet<Value>,
    /// Reachable blocks in reverse post-order, then the other placed ones.
    pub(super) sequence: Vec<Block>,
    /// Whether the walk met a slot, and destinations of what is no terminator.
    pub(super) has_slots: bool,
    odd_targets: bool,
    pub(super) cfg: ControlFlow,
    pub(super) dominators: Dominators,
}

impl Facts {
    fn reset(&mut self, body: &Body) {
        let Self {
            position,
            placed,
            failed,
            seen_consts,
            sequence,
            has_slots,
            odd_targets,
            cfg: _,
            dominators: _,
        } = self;
        (*has_slots, *odd_targets) = (false, false);
        position.clear();
        position.resize(body.inst_count(), 0);
        placed.clear();
        failed.clear();
        seen_consts.clear();
        sequence.clear();
    }

    /// Computes what needs a sound structure.
    pub(super) fn analyse(&mut self, body: &Body) {
        self.cfg.compute(body);
        self.dominators.compute(&self.cfg);
        self.sequence.clear();
        self.sequence.extend_from_slice(self.cfg.reverse_post_order());
        self.sequence.extend(body.blocks().filter(|&block| !self.cfg.is_reachable(block)));
    }

    /// Whether an instruction is in a block.
    pub(super) fn is_placed(&self, inst: Inst) -> bool {
        self.position.get(inst.index()).is_some_and(|&at| at != 0)
    }
}

/// Whether ids and program order of a function are sound enough to print it.
pub(super) fn is_printable(module: Module<'_>, function: FunctionView<'_>) -> bool {
    let (mut facts, mut report) = (Facts::default(), Report::default());
    Checker::new(module, function, Results::Checked, &mut facts, &mut report).structure();
    let damaged = |d: &Diagnostic| matches!(d.code, Code::Order | Code::DanglingId);
    // With too many errors the walk stops, and nothing is known about the rest.
    !report.is_full() && !report.finish().iter().any(damaged)
}

impl Checker<'_> {
    /// Checks the structure; whether it is sound.
    pub(super) fn structure(&mut self) -> bool {
        let before = self.report.errors();
        self.facts.reset(self.body);
        self.sizes();
        match self.body.entry() {
            None => self.at_function(Code::NoBlocks, "function has no blocks".into()),
            Some(entry) => {
                self.walk();
                // Program order may be a circle if the walk met damage.
                if self.report.errors() == before {
                    self.entry_params(entry);
                    self.destinations(entry);
                    self.params();
                }
            }
        }
        self.report.errors() == before
    }

    fn sizes(&mut self) {
        let body = self.body;
        let sizes = [
            ("instructions", body.inst_count(), limits::MAX_INSTS),
            ("values", body.value_count(), limits::MAX_VALUES),
            ("blocks", body.block_count(), limits::MAX_BLOCKS),
            ("parameters", self.function.signature.params.len(), limits::MAX_PARAMS),
            ("results", self.function.signature.results.len(), limits::MAX_RESULTS),
        ];
        for (what, found, limit) in sizes {
            if found > limit {
                self.at_function(Code::Limit, format!("function has {found} {what}, the most is {limit}"));
            }
        }
    }

    /// Visits program order once, marking what it sees.
    fn walk(&mut self) {
        let mut count = 0;
        let mut next = self.body.entry();
        while let Some(block) = next.filter(|_| !self.report.is_full()) {
            if !self.body.block_exists(block) || !self.facts.placed.insert(block) {
                self.at_function(Code::Order, format!("{block} stands in two places"));
                return;
            }
            self.walk_block(block, &mut count);
            next = self.body.next_block(block);
        }
    }

    fn walk_block(&mut self, block: Block, count: &mut u32) {
        let body = self.body;
        let params = body.block_params(block).len();
        // The first block has the parameters of the function.
        if params > limits::MAX_BLOCK_PARAMS {
            let message = format!(
                "{} has {params} parameters, the most is {}",
                self.block_name(block),
                limits::MAX_BLOCK_PARAMS
            );
            self.at_block(Code::Limit, block, message);
        }
        let mut last = None;
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            if !body.inst_exists(inst) {
                return self.at_block(Code::DanglingId, block, format!("{inst} does not exist"));
            }
            let linked = body.inst_block(inst) == Some(block) && body.prev_inst(inst) == last;
            if self.facts.is_placed(inst) || !linked {
                return self.at_inst(Code::Order, inst, format!("{inst} stands in two places"));
            }
            *count += 1;
            self.facts.position[inst.index()] = *count;
            self.ids(inst);
            next = body.next_inst(inst);
            let op = body.inst(inst).op;
            self.facts.has_slots |= op == Op::Slot;
            self.facts.odd_targets |= !op.is_terminator() && !body.targets(inst).is_empty();
            if op.is_terminator() && next.is_some() {
                let message = format!("'{op}' must be the last instruction of its block");
                self.at_inst(Code::MisplacedTerminator, inst, message);
            }
            last = Some(inst);
        }
        if body.last_inst(block) != last {
            return self.at_block(Code::Order, block, "program order is damaged".into());
        }
        if !last.is_some_and(|inst| body.inst(inst).op.is_terminator()) {
            let message = format!("{} does not end with a terminator", self.block_name(block));
            self.at_block(Code::MissingTerminator, block, message);
        }
    }

    /// Whether everything that an instruction mentions exists.
    fn ids(&mut self, inst: Inst) {
        let body = self.body;
        let missing = |value: &&Value| !body.value_exists(**value);
        if let Some(value) = body.args(inst).iter().find(missing) {
            self.at_inst(Code::DanglingId, inst, format!("operand {value} does not exist"));
        }
        for &call in body.targets(inst) {
            if !body.block_call_exists(call) {
                self.at_inst(Code::DanglingId, inst, format!("{call} does not exist"));
                continue;
            }
            let block = body.target_block(call);
            if !body.block_exists(block) {
                self.at_inst(Code::DanglingId, inst, format!("destination {block} does not exist"));
            }
            if let Some(value) = body.target_args(call).iter().find(missing) {
                self.at_inst(Code::DanglingId, inst, format!("argument {value} does not exist"));
            }
        }
        self.immediate(inst);
        let own = |(n, value)| {
            body.value_exists(value) && body.value_def(value) == ValueDef::Result(inst, n as u16)
        };
        if !body.results(inst).enumerate().all(own) {
            self.at_inst(Code::DanglingId, inst, "results do not exist or belong to something else".into());
        }
        let operands = body.args(inst).len();
        if operands > limits::MAX_OPERANDS {
            let message = format!("{operands} operands, the most is {}", limits::MAX_OPERANDS);
            self.at_inst(Code::Limit, inst, message);
        }
    }

    fn immediate(&mut self, inst: Inst) {
        let data = self.body.inst(inst);
        let (what, exists) = match data.op.info().shape {
            Shape::GlobalAddress
            | Shape::Call
            | Shape::FunctionAddress
            | Shape::Throw
            | Shape::Assert
            | Shape::StaticAssert
            | Shape::Query
            | Shape::Input
            | Shape::Print => ("symbol", self.body.symbol_exists(data.imm)),
            Shape::CallIndirect => ("signature", self.body.signature_exists(data.imm)),
            Shape::Switch => ("list of case values", self.body.switch_exists(data.imm)),
            Shape::Shuffle => ("mask", self.body.const_exists(data.imm)),
            _ => return,
        };
        if !exists {
            self.at_inst(Code::DanglingId, inst, format!("{what} {} does not exist", data.imm));
        }
    }

    fn entry_params(&mut self, entry: Block) {
        let wanted = &self.function.signature.params;
        let params = self.body.block_params(entry);
        if params.len() != wanted.len() {
            let message =
                format!("entry block has {} parameters, the function has {}", params.len(), wanted.len());
            return self.at_block(Code::EntryParameters, entry, message);
        }
        for (&param, &ty) in params.iter().zip(wanted) {
            let found = self.body.value_type(param);
            if found != ty {
                let (found, ty) = (self.types.display(found), self.types.display(ty));
                let name = self.value_name(param);
                let message = format!("parameter {name} of the entry block has type {found}, expected {ty}");
                self.at_param(Code::EntryParameters, param, message);
            }
        }
    }

    fn destinations(&mut self, entry: Block) {
        let body = self.body;
        for block in body.blocks() {
            // All others have none, as they should, unless the walk saw some.
            let last = body.last_inst(block).filter(|_| !self.facts.odd_targets);
            let insts = body.block_insts(block).filter(|_| last.is_none());
            for inst in insts.chain(last) {
                let targets = body.targets(inst);
                let op = body.inst(inst).op;
                let wanted = match op {
                    Op::Jump => 1,
                    Op::Branch => 2,
                    Op::Switch => {
                        let id = crate::entity::Switch::from_u32(body.inst(inst).imm);
                        body.switch_cases(id).len() + 1
                    }
                    _ => 0,
                };
                if targets.len() != wanted {
                    let message = format!("'{op}' has {} destinations, expected {wanted}", targets.len());
                    self.at_inst(Code::Destinations, inst, message);
                }
                for &call in targets {
                    let target = body.target_block(call);
                    if target == entry {
                        let message = "the entry block cannot be a destination".into();
                        self.at_inst(Code::EntryTarget, inst, message);
                    } else if !self.facts.placed.contains(target) {
                        let message =
                            format!("destination {} is not part of the function", self.block_name(target));
                        self.at_inst(Code::UnplacedTarget, inst, message);
                    }
                }
            }
        }
    }

    /// Whether parameters of blocks are their own. They are numbered in 16 bits.
    fn params(&mut self) {
        let body = self.body;
        for block in body.blocks() {
            let params = body.block_params(block);
            let own =
                |(n, &value): (usize, &Value)| body.value_def(value) == ValueDef::Param(block, n as u32);
            if params.len() > usize::from(u16::MAX) {
                let message = format!("block has {} parameters, the most is {}", params.len(), u16::MAX);
                self.at_block(Code::Limit, block, message);
            } else if !params.iter().enumerate().all(own) {
                self.at_block(Code::DanglingId, block, "parameters belong to something else".into());
            }
        }
    }
}
