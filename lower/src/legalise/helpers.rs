//! Functions that legalisation adds to the unit, and control flow inside expansions.

use super::emit::Ask;
use super::held::Val;
use super::{Building, Legaliser};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::Func;
use marquetry_ir::op::Op;
use marquetry_ir::program::{Inlining, MethodKind};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Function;

impl Legaliser<'_> {
    /// Calls the helper of this name, which `build` makes from its parameters the first time. The name must tell
    /// the types apart.
    pub(super) fn call_helper(
        &mut self,
        name: &str,
        args: &[Val],
        results: &[Type],
        build: impl FnOnce(&mut Self, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let func = match self.helpers.get(name) {
            Some(&func) => func,
            None => self.make_helper(name, args, results, build),
        };
        let symbol = self.f.body.make_symbol(Symbol::Func(func));
        self.call(Ask::with_imm(Op::Call, symbol.as_u32()), args, results)
    }

    fn make_helper(
        &mut self,
        name: &str,
        args: &[Val],
        results: &[Type],
        build: impl FnOnce(&mut Self, &[Val]) -> Vec<Val>,
    ) -> Func {
        // Diagnostics of a helper belong to the place that first needs it.
        let at = self.f.body.frames(&self.f.name, self.f.file, self.f.origin).next();
        let (of, file, span) = at.unwrap_or((&self.f.name, None, Span::NOWHERE));
        let mut building = Building::new(of.clone(), file);
        building.origin.span = span;
        let caller = std::mem::replace(&mut self.f, building);
        let entry = self.f.block;
        let params: Vec<Val> = args.iter().map(|arg| self.block_param(entry, arg.ty)).collect();
        let outcome = build(self, &params);
        let leaves = self.flatten(&outcome);
        self.terminate(Op::Return, 0, &leaves, &[]);
        super::tidy::remove_unused(&mut self.f.body);
        let helper = std::mem::replace(&mut self.f, caller);
        let signature = Signature::new(args.iter().map(|arg| arg.ty).collect::<Vec<_>>(), results);
        let signature = self.flat_signature(&signature);
        let func = Func::from_u32(self.first_made + self.made.len() as u32);
        self.made.push(Function {
            name: format!("mq_{name}").into(),
            kind: MethodKind::Function,
            signature,
            body: helper.body,
            inlining: Inlining::Never,
            file: None,
            span: Span::NOWHERE,
        });
        self.helpers.insert(name.to_owned(), func);
        func
    }

    /// A loop over some values: while `condition` holds, `step` makes the next ones. Control is behind the loop
    /// afterwards; the last values come back.
    pub(super) fn loop_while(
        &mut self,
        start: &[Val],
        condition: impl FnOnce(&mut Self, &[Val]) -> Val,
        step: impl FnOnce(&mut Self, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let header = self.new_block();
        self.jump(header, start);
        self.f.block = header;
        let state: Vec<Val> = start.iter().map(|val| self.block_param(header, val.ty)).collect();
        let go_on = condition(self, &state);
        let go_on = self.leaf(go_on);
        let exit = self.new_block();
        let body = self.new_block();
        let edges = [body, exit].map(|block| self.f.body.make_block_call(block, &[]));
        self.terminate(Op::Branch, 0, &[go_on], &edges);
        self.f.block = body;
        let next = step(self, &state);
        self.jump(header, &next);
        self.f.block = exit;
        state
    }

    /// One of two computations, by a condition.
    pub(super) fn either(
        &mut self,
        condition: Val,
        yes: impl FnOnce(&mut Self) -> Vec<Val>,
        no: impl FnOnce(&mut Self) -> Vec<Val>,
    ) -> Vec<Val> {
        let condition = self.leaf(condition);
        let join = self.new_block();
        let (if_no, if_yes) = (self.new_block(), self.new_block());
        let edges = [if_yes, if_no].map(|block| self.f.body.make_block_call(block, &[]));
        self.terminate(Op::Branch, 0, &[condition], &edges);
        self.f.block = if_yes;
        let outcome = yes(self);
        self.jump(join, &outcome);
        let types: Vec<Type> = outcome.iter().map(|val| val.ty).collect();
        self.f.block = if_no;
        let outcome = no(self);
        self.jump(join, &outcome);
        self.f.block = join;
        types.into_iter().map(|ty| self.block_param(join, ty)).collect()
    }

    fn jump(&mut self, block: marquetry_ir::entity::Block, vals: &[Val]) {
        let leaves = self.flatten(vals);
        let edge = self.f.body.make_block_call(block, &leaves);
        self.terminate(Op::Jump, 0, &[], &[edge]);
    }
}
