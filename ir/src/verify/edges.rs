//! Terminators: edge arguments, conditions, cases, returned values.

use crate::diag::Code;
use crate::entity::{BlockCall, Inst, Switch};
use crate::op::Op;
use crate::types::{Scalar, Type};
use crate::verify::report::Checker;

impl Checker<'_> {
    /// Checks a terminator; nothing for other instructions.
    pub(super) fn edges(&mut self, inst: Inst) {
        let body = self.body;
        match body.inst(inst).op {
            Op::Branch => self.condition(inst),
            Op::Switch => self.cases(inst),
            Op::Return => self.returned(inst),
            _ => {}
        }
        for &call in body.targets(inst) {
            self.edge(inst, call);
        }
    }

    fn edge(&mut self, inst: Inst, call: BlockCall) {
        let body = self.body;
        let block = body.target_block(call);
        let (args, params) = (body.target_args(call), body.block_params(block));
        if args.len() != params.len() {
            let name = self.block_name(block);
            let message =
                format!("{} arguments for {name}, which has {} parameters", args.len(), params.len());
            return self.at_inst(Code::EdgeArguments, inst, message);
        }
        for (n, (&arg, &param)) in args.iter().zip(params).enumerate() {
            let (found, wanted) = (self.value_type(arg), self.value_type(param));
            if differ(found, wanted) {
                let (found, wanted) = (self.types.display(found), self.types.display(wanted));
                let name = self.block_name(block);
                let message = format!("argument {} for {name} has type {found}, expected {wanted}", n + 1);
                self.at_inst(Code::EdgeArguments, inst, message);
            }
        }
    }

    fn condition(&mut self, inst: Inst) {
        let found = self.body.args(inst).first().map_or(Type::ERROR, |&arg| self.value_type(arg));
        if differ(found, Type::I1) {
            let message = format!("condition has type {}, expected i1", self.types.display(found));
            self.at_inst(Code::Condition, inst, message);
        }
    }

    fn cases(&mut self, inst: Inst) {
        let found = self.body.args(inst).first().map_or(Type::ERROR, |&arg| self.value_type(arg));
        let scalar = found.as_scalar().filter(|scalar| scalar.is_int() && *scalar != Scalar::I1);
        if found.is_known() && scalar.is_none() {
            let found = self.types.display(found);
            let message = format!("selector has type {found}, expected an integer of 8 to 128 bits");
            return self.at_inst(Code::Selector, inst, message);
        }
        let mask = scalar.map_or(u128::MAX, Scalar::mask);
        let cases = self.body.switch_cases(Switch::from_u32(self.body.inst(inst).imm));
        if let Some(case) = cases.iter().find(|&case| case & !mask != 0) {
            let message = format!("case {case} is no value of type {}", self.types.display(found));
            self.at_inst(Code::Cases, inst, message);
        }
        let mut sorted = cases.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            self.at_inst(Code::Cases, inst, format!("two cases have the value {}", pair[0]));
        }
    }

    fn returned(&mut self, inst: Inst) {
        let body = self.body;
        let wanted = &self.function.signature.results;
        let args = body.args(inst);
        if args.len() != wanted.len() {
            let message = format!("found {} values after 'return', expected {}", args.len(), wanted.len());
            return self.at_inst(Code::ReturnValues, inst, message);
        }
        for (n, (&arg, &wanted)) in args.iter().zip(wanted).enumerate() {
            let found = self.value_type(arg);
            if differ(found, wanted) {
                let (found, wanted) = (self.types.display(found), self.types.display(wanted));
                let message = format!("returned value {} has type {found}, expected {wanted}", n + 1);
                self.at_inst(Code::ReturnValues, inst, message);
            }
        }
    }
}

/// Whether two types are known and not the same.
pub(super) fn differ(found: Type, wanted: Type) -> bool {
    found.is_known() && wanted.is_known() && found != wanted
}
