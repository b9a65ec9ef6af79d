//! Dominance: a value is defined before it is used, on every path from the entry.

use crate::body::ValueDef;
use crate::diag::Code;
use crate::entity::{Block, Inst, Value};
use crate::verify::report::Checker;
use cranelift_entity::EntityRef;

/// Where a value comes into being.
enum Definition {
    /// Everywhere: a constant.
    Anywhere,
    /// At the start of a block.
    Start(Block),
    /// At an instruction of a block.
    At(Block, Inst),
    /// Nowhere in the function.
    Nowhere,
}

impl Checker<'_> {
    /// Checks all uses in reachable blocks; in other placed blocks, only that something defines the value.
    pub(super) fn dominance(&mut self) {
        let body = self.body;
        let sequence = std::mem::take(&mut self.facts.sequence);
        for &block in &sequence {
            if self.report.is_full() {
                break;
            }
            for inst in body.block_insts(block) {
                let edges = body.targets(inst).iter().map(|&call| body.target_args(call));
                for args in std::iter::once(body.args(inst)).chain(edges) {
                    let mut previous = None;
                    for &value in args {
                        if previous.replace(value) != Some(value) {
                            self.operand(block, inst, value);
                        }
                    }
                }
            }
        }
        self.facts.sequence = sequence;
    }

    fn operand(&mut self, block: Block, inst: Inst, value: Value) {
        let facts = &*self.facts;
        let reachable = facts.cfg.is_reachable(block);
        let dominates = |from: Block| facts.dominators.dominates(&facts.cfg, from, block);
        let defined = match self.definition(value) {
            Definition::Anywhere => true,
            Definition::Nowhere => {
                let message = format!("nothing in the function defines {}", self.value_name(value));
                return self.at_inst(Code::Undefined, inst, message);
            }
            _ if !reachable => true,
            Definition::Start(from) => dominates(from),
            Definition::At(from, def) if from == block => {
                facts.position[def.index()] < facts.position[inst.index()]
            }
            Definition::At(from, _) => dominates(from),
        };
        if !defined {
            let message = format!("{} is not defined on every path to its use", self.value_name(value));
            self.at_inst(Code::Dominance, inst, message);
        }
    }

    fn definition(&self, value: Value) -> Definition {
        let body = self.body;
        match body.value_def(value) {
            ValueDef::Const(_) => Definition::Anywhere,
            ValueDef::Param(block, n) => {
                let own = self.facts.placed.contains(block)
                    && body.block_params(block).get(n as usize) == Some(&value);
                if own { Definition::Start(block) } else { Definition::Nowhere }
            }
            ValueDef::Result(inst, n) => {
                let own = self.facts.is_placed(inst) && body.results(inst).nth(usize::from(n)) == Some(value);
                match body.inst_block(inst) {
                    Some(block) if own => Definition::At(block, inst),
                    _ => Definition::Nowhere,
                }
            }
        }
    }
}
