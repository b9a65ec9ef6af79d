//! Bodies: labels, lines, names, and what is left to mend at the end.

use crate::analysis::cfg::ControlFlow;
use crate::body::Body;
use crate::constant::{ConstData, ConstValue};
use crate::diag::{Code, Diagnostic};
use crate::entity::{Block, Inst, Switch, Value};
use crate::infer::{TypeMismatch, infer};
use crate::limits::{MAX_BLOCK_PARAMS, MAX_BLOCKS, MAX_INSTS, MAX_RESULTS, MAX_VALUES};
use crate::op::{Op, Shape};
use crate::span::Span;
use crate::text::lexer::{Kind, Token};
use crate::text::literal::signed;
use crate::text::parser::{Parse, Parser, shortened};
use crate::text::scope::{NamedBlock, is_default_name};
use crate::types::{Type, Types};
use smallvec::SmallVec;
use std::mem::take;

/// Names before `=`.
pub(crate) type Lhs = SmallVec<[Token; 2]>;

impl<'t> Parser<'_, 't> {
    /// The body of a method, braces included. Fails only where the rest of the item cannot be told apart.
    pub(crate) fn method_body(&mut self, params: &[(Token, &'t str, Type)]) -> Parse<Body> {
        self.scope.clear();
        self.body = Body::new();
        self.body.reserve(16);
        self.lines = true;
        self.expect(Kind::LeftBrace)?;
        loop {
            match self.token.kind() {
                Kind::Newline => self.bump(),
                Kind::RightBrace => break,
                Kind::End => {
                    self.expected("'}'");
                    break;
                }
                _ if self.at_item_line() => {
                    self.expected("'}' before the next item");
                    break;
                }
                _ => {
                    if self.line(params).is_err() {
                        self.skip_line();
                    }
                }
            }
        }
        if self.body.entry().is_none() {
            let span = self.token.span();
            self.error(Code::Syntax, span, "body is empty, expected at least one block");
        }
        self.finish_body();
        self.lines = false;
        self.eat(Kind::RightBrace);
        Ok(take(&mut self.body))
    }

    /// A label or an instruction.
    fn line(&mut self, params: &[(Token, &'t str, Type)]) -> Parse<()> {
        let first = self.expect_as(Kind::Name, "an instruction, a label or '}'")?;
        match self.token.kind() {
            Kind::Colon | Kind::LeftParen => self.label(first, params),
            Kind::Equals | Kind::Comma => {
                let mut lhs = Lhs::new();
                lhs.push(first);
                let read = self.assignment(&mut lhs);
                if read.is_err() {
                    self.open_entry(params);
                    lhs.iter().for_each(|&name| self.define_broken(name));
                }
                read
            }
            _ => self.instruction(&[], first.span(), first).inspect_err(|_| self.open_entry(params)),
        }
    }

    /// The rest of an instruction whose first result was just passed.
    fn assignment(&mut self, lhs: &mut Lhs) -> Parse<()> {
        while self.eat(Kind::Comma) {
            if lhs.len() == MAX_RESULTS {
                let message = format!("there are more than {MAX_RESULTS} names before '='");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            lhs.push(self.expect_as(Kind::Name, "the name of a result")?);
        }
        self.expect(Kind::Equals)?;
        let mnemonic = self.expect_as(Kind::Name, "an instruction")?;
        let start = lhs.first().map_or(mnemonic.span(), |first| first.span());
        self.instruction(lhs, start, mnemonic)
    }

    /// Where a first instruction was refused, most likely for want of a label, makes the block that was meant, so that no
    /// mistakes are reported that follow from this one.
    fn open_entry(&mut self, params: &[(Token, &'t str, Type)]) {
        if self.scope.block.is_none() {
            let block = self.body.make_block();
            self.append_entry(block, params);
        }
    }

    fn append_entry(&mut self, block: Block, params: &[(Token, &'t str, Type)]) {
        self.body.append_block(block);
        self.scope.block = Some(block);
        for &(token, name, ty) in params {
            let value = self.body.append_block_param(block, ty);
            self.define_value(token, name, value);
        }
    }

    /// Names what was not understood: a value that fits everywhere.
    fn define_broken(&mut self, token: Token) {
        let value = self.body.make_scalar(Type::ERROR, 0);
        let _ = self.scope.define_value(self.text(token), value, token.span());
    }

    fn label(&mut self, token: Token, params: &[(Token, &'t str, Type)]) -> Parse<()> {
        let name = self.text(token);
        let is_entry = self.body.entry().is_none();
        let block = self.define_block(token, name);
        if is_entry {
            self.append_entry(block, params);
        } else {
            self.body.append_block(block);
            self.scope.block = Some(block);
        }
        if self.eat(Kind::LeftParen) {
            if is_entry {
                let message = "the first block takes the method's parameters, expected none of its own";
                return Err(self.error(Code::Placement, token.span(), message));
            }
            while !self.at(Kind::RightParen) {
                if self.body.block_params(block).len() == MAX_BLOCK_PARAMS {
                    let message = format!("block has more than {MAX_BLOCK_PARAMS} parameters");
                    return Err(self.error(Code::Limit, self.token.span(), message));
                }
                let token = self.expect_as(Kind::Name, "a parameter or ')'")?;
                let ty = self.expect(Kind::Colon).and_then(|_| self.ty());
                let ty = ty.inspect_err(|_| self.define_broken(token))?;
                let value = self.body.append_block_param(block, ty);
                self.define_value(token, self.text(token), value);
                if !self.eat(Kind::Comma) {
                    break;
                }
            }
            self.expect_as(Kind::RightParen, "',' or ')'")?;
        }
        self.expect(Kind::Colon)?;
        Ok(())
    }

    fn define_block(&mut self, token: Token, name: &'t str) -> Block {
        let span = token.span();
        if let Some(named) = self.scope.blocks.get_mut(name) {
            if !named.defined {
                *named = NamedBlock { block: named.block, defined: true, span };
                return named.block;
            }
            let old = named.span;
            let error = self.diagnose(Code::Redefined, span, format!("block '{name}' is defined already"));
            self.report(error.with_label(old, "first defined here"));
            return self.body.make_block();
        }
        self.new_block(name, true, span)
    }

    fn new_block(&mut self, name: &'t str, defined: bool, span: Span) -> Block {
        if self.body.block_count() >= MAX_BLOCKS {
            self.error(Code::Limit, span, format!("body has more than {MAX_BLOCKS} blocks"));
            self.stop();
        }
        let block = self.body.make_block();
        if !is_default_name(name, "block", block.as_u32()) {
            self.body.names.set_block(block, name);
        }
        self.scope.blocks.insert(name, NamedBlock { block, defined, span });
        block
    }

    /// The block of a destination, which may be defined later.
    pub(crate) fn use_block(&mut self, token: Token) -> Block {
        let name = self.text(token);
        match self.scope.blocks.get(name) {
            Some(named) => named.block,
            None => self.new_block(name, false, token.span()),
        }
    }

    /// Gives up on the text: a limit was passed.
    pub(crate) fn stop(&mut self) {
        self.lexer.finish();
        self.token = Token::end(self.token.span().start);
    }

    /// Names a value.
    pub(crate) fn define_value(&mut self, token: Token, name: &'t str, value: Value) {
        if self.check_name(token, name).is_err() {
            return;
        }
        if let Err(old) = self.scope.define_value(name, value, token.span()) {
            let error =
                self.diagnose(Code::Redefined, token.span(), format!("value '{name}' is defined already"));
            return self.report(error.with_label(old, "first defined here"));
        }
        if !is_default_name(name, "v", value.as_u32()) {
            self.body.names.set_value(value, name);
        }
    }

    /// Types and names the results of an instruction that was just made, and puts it in its block.
    pub(crate) fn place(&mut self, inst: Inst, lhs: &[Token], span: Span) {
        self.body.set_span(inst, span);
        if self.body.inst_count() > MAX_INSTS || self.body.value_count() + lhs.len() > MAX_VALUES {
            let message = format!("body has more than {MAX_INSTS} instructions or {MAX_VALUES} values");
            self.error(Code::Limit, span, message);
            return self.stop();
        }
        let op = self.body.inst(inst).op;
        let mut types: SmallVec<[Type; 2]> = SmallVec::new();
        if take(&mut self.scope.forward_used) {
            self.scope.pending.push(inst);
            types.resize(lhs.len(), Type::UNKNOWN);
        } else if op.info().shape == Shape::Call {
            types.resize(lhs.len(), Type::UNKNOWN);
        } else {
            match infer(&self.body, &self.program.types, inst) {
                Ok(found) => {
                    types = found;
                    if types.len() != lhs.len() {
                        self.wrong_count(inst, types.len(), lhs.len());
                        types.resize(lhs.len(), Type::ERROR);
                    }
                }
                Err(mismatch) => {
                    self.mismatch(inst, &mismatch);
                    types.resize(lhs.len(), Type::ERROR);
                }
            }
        }
        self.body.make_results(inst, &types);
        if let Some(first) = self.body.first_result(inst) {
            for (&token, number) in lhs.iter().zip(first.as_u32()..) {
                self.define_value(token, self.text(token), Value::from_u32(number));
            }
        }
        if let Some(block) = self.scope.block {
            self.body.append_inst(inst, block);
        }
    }

    fn wrong_count(&mut self, inst: Inst, found: usize, names: usize) {
        let op = self.body.inst(inst).op;
        let plural = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let message =
            format!("{op} has {}, found {} before it", plural(found, "result"), plural(names, "name"));
        self.scope.failed.insert(inst);
        let span = self.body.span(inst);
        self.error(Code::ResultCount, span, message);
    }

    fn mismatch(&mut self, inst: Inst, mismatch: &TypeMismatch) {
        let op = self.body.inst(inst).op;
        let message = mismatch_message(&self.program.types, op, mismatch);
        self.scope.failed.insert(inst);
        let span = self.body.span(inst);
        self.error(Code::OperandType, span, message);
    }

    /// Resolves forward values, reports what is undefined, infers what could not be inferred before.
    fn finish_body(&mut self) {
        let undefined_blocks = self.scope.blocks.iter().filter(|(_, named)| !named.defined);
        let mut errors: Vec<Diagnostic> = undefined_blocks
            .map(|(name, named)| {
                let message = format!("block '{}' is not defined", shortened(name));
                self.diagnose(Code::UndefinedBlock, named.span, message)
            })
            .collect();
        let undefined = self.scope.forwards.iter().filter(|forward| forward.value.is_none());
        errors.extend(undefined.map(|forward| {
            let message = format!("value '{}' is not defined", shortened(forward.name));
            self.diagnose(Code::UndefinedValue, forward.span, message)
        }));
        // The maps' order is not the text's.
        errors.sort_by_key(|error| error.span);
        errors.into_iter().for_each(|error| self.report(error));
        if self.scope.pending.is_empty() {
            return;
        }
        let nothing = self.body.make_const(ConstData { ty: Type::ERROR, value: ConstValue::Zero });
        let pending = take(&mut self.scope.pending);
        for &inst in &pending {
            self.body.rewrite_operands(inst, |value| self.scope.resolve(value, nothing));
        }
        self.infer_again();
    }

    /// Infers types in an order in which definitions come before their uses: blocks in reverse post-order, then
    /// those that control does not reach, in order.
    fn infer_again(&mut self) {
        let mut flow = ControlFlow::new();
        flow.compute(&self.body);
        let mut order: Vec<Block> = flow.reverse_post_order().to_vec();
        order.extend(self.body.blocks().filter(|&block| !flow.is_reachable(block)));
        for block in order {
            let mut next = self.body.first_inst(block);
            while let Some(inst) = next {
                next = self.body.next_inst(inst);
                let op = self.body.inst(inst).op;
                if op.info().shape == Shape::Call || self.scope.failed.contains(&inst) {
                    continue;
                }
                match op {
                    Op::CallIndirect => self.refresh_signature(inst),
                    Op::Switch => self.refresh_cases(inst),
                    _ => {}
                }
                self.infer_late(inst);
            }
        }
    }

    fn infer_late(&mut self, inst: Inst) {
        let results = self.body.results(inst);
        match infer(&self.body, &self.program.types, inst) {
            Ok(types) if types.len() == results.len() => {
                results.zip(types).for_each(|(result, ty)| self.body.set_value_type(result, ty));
            }
            Ok(types) => {
                self.wrong_count(inst, types.len(), results.len());
                results.for_each(|result| self.body.set_value_type(result, Type::ERROR));
            }
            Err(mismatch) => {
                self.mismatch(inst, &mismatch);
                results.for_each(|result| self.body.set_value_type(result, Type::ERROR));
            }
        }
    }

    /// The cases of a `switch` have the bits of the selector's type, which was not known.
    fn refresh_cases(&mut self, inst: Inst) {
        let selector = self.body.args(inst).first().map(|&value| self.body.value_type(value));
        let Some(scalar) = selector.and_then(Type::as_scalar).filter(|scalar| scalar.is_int()) else {
            return;
        };
        let id = Switch::from_u32(self.body.inst(inst).imm);
        let old = self.body.switch_cases(id);
        if old.iter().all(|&bits| bits <= scalar.mask()) {
            return;
        }
        let cases: Vec<u128> = old.iter().map(|bits| bits & scalar.mask()).collect();
        let wide =
            old.iter().zip(&cases).find(|&(&old, &bits)| old != bits && old as i128 != signed(scalar, bits));
        if let Some((&value, _)) = wide {
            let message =
                format!("found '{}', expected an integer that {} can hold", value as i128, scalar.name());
            let span = self.body.span(inst);
            self.error(Code::Literal, span, message);
        }
        let fresh = self.body.make_switch(&cases);
        self.body.set_imm(inst, fresh.as_u32());
    }

    /// The parameters of an indirect call's signature are the types of its arguments, which were not known.
    fn refresh_signature(&mut self, inst: Inst) {
        let id = crate::entity::SigRef::from_u32(self.body.inst(inst).imm);
        if self.body.signature(id).params.iter().all(|ty| ty.is_known()) {
            return;
        }
        let args = self.body.args(inst).get(1..).unwrap_or(&[]);
        let params = args.iter().map(|&arg| self.body.value_type(arg)).collect();
        let results = self.body.signature(id).results.clone();
        let fresh = self.body.make_signature(crate::signature::Signature { params, results });
        self.body.set_imm(inst, fresh.as_u32());
    }
}

/// A type mismatch in words, with the names of the program's types.
pub fn mismatch_message(types: &Types, op: Op, mismatch: &TypeMismatch) -> String {
    match *mismatch {
        TypeMismatch::Format(ref problem) => format!("{op}: {problem}"),
        TypeMismatch::Count { found, wanted } => {
            let plural = if wanted == 1 { "" } else { "s" };
            format!("{op} has {found} operands, expected {wanted} operand{plural}")
        }
        TypeMismatch::Operand { index, found, wanted } => {
            let hint = other_spelling(op, found);
            format!(
                "operand {} of {op} has type {}, expected {wanted}{hint}",
                index + 1,
                types.display(found)
            )
        }
        TypeMismatch::Differs { index, found, wanted } => {
            let (found, wanted) = (types.display(found), types.display(wanted));
            format!("operand {} of {op} has type {found}, expected {wanted}", index + 1)
        }
        TypeMismatch::Suffix { found, wanted } => {
            format!("type of {op} is {}, expected {wanted}", types.display(found))
        }
        TypeMismatch::Immediate { found, limit } => {
            format!("index of {op} is {found}, expected less than {limit}")
        }
        TypeMismatch::Dangling => format!("{op} refers to something that does not exist in this body"),
    }
}

/// Where integers and floats have ops of different names, those for operands of this type.
fn other_spelling(op: Op, found: Type) -> String {
    let Some(lane) = found.lane() else { return String::new() };
    let exists = |name: &str| Op::from_mnemonic(name).is_some();
    let plain = op.mnemonic().strip_suffix(".s").or(op.mnemonic().strip_suffix(".u"));
    match plain {
        Some(plain) if lane.is_float() && exists(plain) => format!("; for floats there is {plain}"),
        None if lane.is_int() && exists(&format!("{op}.s")) => {
            format!("; for integers there are {op}.s and {op}.u")
        }
        _ => String::new(),
    }
}
