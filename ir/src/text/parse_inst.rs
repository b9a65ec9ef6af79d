//! Instructions: one rule per shape of the op table.

use crate::body::Symbol;
use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::{BlockCall, Value};
use crate::inst::{MemFlags, Order, Scope};
use crate::limits::{MAX_LANES, MAX_OPERANDS, MAX_PARAMS};
use crate::near::near;
use crate::op::{Op, Shape};
use crate::span::Span;
use crate::text::lexer::{Kind, Token};
use crate::text::literal::parse_int;
use crate::text::parse_type::zero_of;
use crate::text::parser::{Parse, Parser, is_singleton_word, is_type_word, shortened};
use crate::text::scope::is_forward;
use crate::types::{Scalar, Type};
use smallvec::SmallVec;

/// The parts of an instruction while it is read.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) args: SmallVec<[Value; 8]>,
    pub(super) targets: SmallVec<[BlockCall; 2]>,
    pub(super) ty: Option<Type>,
    pub(super) imm: u32,
}

impl<'t> Parser<'_, 't> {
    /// An instruction whose mnemonic was just passed, up to the end of its line.
    pub(crate) fn instruction(&mut self, lhs: &[Token], start: Span, mnemonic: Token) -> Parse<()> {
        let op = self.op(mnemonic)?;
        self.scope.forward_used = false;
        let mut parts = Parts::default();
        self.operands(op, &mut parts)?;
        let span = self.span_from(start);
        if !matches!(self.token.kind(), Kind::Newline | Kind::RightBrace | Kind::End) {
            return Err(self.expected("the end of the line"));
        }
        if self.scope.block.is_none() {
            return Err(self.error(Code::Placement, span, format!("found {op}, expected a label before it")));
        }
        let Parts { args, targets, ty, imm } = parts;
        // Ops without suffix have no use for the field; a fixed type keeps equal instructions equal.
        let inst = self.body.make_inst(op, ty.unwrap_or(Type::I1), &args, imm);
        if !targets.is_empty() {
            self.body.set_targets(inst, &targets);
        }
        self.place(inst, lhs, span);
        Ok(())
    }

    fn op(&mut self, mnemonic: Token) -> Parse<Op> {
        if self.at(Kind::Dot) && self.token.span().start == mnemonic.span().end {
            // `div.s` is a mnemonic, `load.f32` one with a suffix.
            if let Some(op) = Op::from_mnemonic(self.lexer.dotted(mnemonic.span().start)) {
                self.bump();
                self.bump();
                return Ok(op);
            }
        }
        let name = self.text(mnemonic);
        Op::from_mnemonic(name).ok_or_else(|| {
            let mut message = format!("found '{}', expected an instruction", shortened(name));
            match self.program.methods_of(name).is_empty() {
                true => message.push_str(&near(name, Op::ALL.iter().map(|op| op.mnemonic()))),
                false => {
                    message.push_str(&format!("; the method of this name is called by 'call {name}(...)'"))
                }
            }
            self.error(Code::UnknownOp, mnemonic.span(), message)
        })
    }

    fn operands(&mut self, op: Op, parts: &mut Parts) -> Parse<()> {
        match op.info().shape {
            Shape::Unary => self.values(parts, 1),
            Shape::Binary => self.values(parts, 2),
            Shape::Ternary => self.values(parts, 3),
            Shape::Convert => {
                parts.ty = Some(self.suffix()?);
                self.values(parts, 1)
            }
            Shape::Nullary => Ok(()),
            Shape::Dimension => {
                parts.imm = self.number("a dimension", 2)? as u32;
                Ok(())
            }
            Shape::Shuffle => self.shuffle(parts),
            Shape::Make => {
                parts.ty = Some(self.suffix()?);
                self.value_list(parts)
            }
            Shape::Field => {
                self.values(parts, if op == Op::SetField { 2 } else { 1 })?;
                self.expect(Kind::Comma)?;
                parts.imm = self.field_number()?;
                Ok(())
            }
            Shape::Index => {
                self.values(parts, 2)?;
                self.expect(Kind::Comma)?;
                parts.ty = Some(self.ty()?);
                Ok(())
            }
            Shape::FieldAddress => {
                self.values(parts, 1)?;
                self.expect(Kind::Comma)?;
                parts.ty = Some(self.ty()?);
                self.expect(Kind::Comma)?;
                parts.imm = self.field_number()?;
                Ok(())
            }
            Shape::GlobalAddress => {
                self.expect_as(Kind::Dot, "'.' and an address space")?;
                parts.ty = Some(Type::pointer(self.space()?));
                let (name, _) = self.symbol("the name of a global")?;
                parts.imm = self.body.make_symbol(Symbol::Name(name)).as_u32();
                Ok(())
            }
            Shape::Slot => {
                parts.ty = Some(self.suffix()?);
                Ok(())
            }
            Shape::Load => {
                parts.ty = Some(self.suffix()?);
                self.values(parts, 1)?;
                self.access(parts, MemFlags::plain())
            }
            Shape::Store => {
                self.values(parts, 2)?;
                self.access(parts, MemFlags::plain())
            }
            Shape::Memory => {
                self.values(parts, 3)?;
                self.access(parts, MemFlags::plain())
            }
            Shape::AtomicLoad => {
                parts.ty = Some(self.suffix()?);
                self.values(parts, 1)?;
                self.atomic(parts)
            }
            Shape::Atomic => {
                self.values(parts, if op == Op::CompareExchange { 3 } else { 2 })?;
                self.atomic(parts)
            }
            Shape::Fence => self.atomic(parts),
            Shape::Call => {
                self.callee(parts)?;
                self.arguments(parts)
            }
            Shape::CallIndirect => self.call_indirect(parts),
            Shape::FunctionAddress => {
                let (name, _) = self.symbol("the name of a method")?;
                let types = self.type_list(MAX_PARAMS, "parameters")?;
                parts.imm = self.body.make_symbol(Symbol::Overload(name, types.into())).as_u32();
                Ok(())
            }
            Shape::Jump => self.target(parts),
            Shape::Branch => {
                self.values(parts, 1)?;
                self.expect(Kind::Comma)?;
                self.target(parts)?;
                self.expect(Kind::Comma)?;
                self.target(parts)
            }
            Shape::Switch => self.switch(parts),
            Shape::Return => self.value_list(parts),
            Shape::Throw => {
                let (kind, _) = self.symbol("the name of an exception")?;
                let reason = if self.eat(Kind::Comma) { Some(self.quoted_text()?.into()) } else { None };
                let has_reason = reason.is_some();
                parts.imm = self.body.make_symbol(Symbol::Exception(kind, reason)).as_u32();
                while has_reason && self.eat(Kind::Comma) {
                    self.push_operand(parts)?;
                }
                Ok(())
            }
            Shape::Input => {
                parts.ty = Some(self.suffix()?);
                let (name, _) = self.symbol("the name of an input")?;
                parts.imm = self.body.make_symbol(Symbol::Name(name)).as_u32();
                Ok(())
            }
            Shape::Print => {
                let format = self.quoted_text()?;
                parts.imm = self.body.make_symbol(Symbol::Message(format.into())).as_u32();
                while self.eat(Kind::Comma) {
                    self.push_operand(parts)?;
                }
                Ok(())
            }
            Shape::Assert => {
                self.values(parts, 1)?;
                self.expect(Kind::Comma)?;
                let message = self.quoted_text()?;
                parts.imm = self.body.make_symbol(Symbol::Message(message.into())).as_u32();
                Ok(())
            }
            Shape::Query => {
                parts.ty = Some(self.suffix()?);
                let key = self.quoted_text()?;
                parts.imm = self.body.make_symbol(Symbol::Message(key.into())).as_u32();
                Ok(())
            }
            Shape::Scratch => {
                self.expect_as(Kind::Dot, "'.' and an address space")?;
                let at = self.token.span();
                let space = self.space()?;
                if !space.has_scratch() {
                    let message = format!("found space {}, expected local, generic or shared", space.name());
                    return Err(self.error(Code::InvalidType, at, message));
                }
                parts.imm = space.number();
                parts.ty = Some(self.ty()?);
                Ok(())
            }
        }
    }

    fn suffix(&mut self) -> Parse<Type> {
        self.expect_as(Kind::Dot, "'.' and a type")?;
        self.ty()
    }

    fn field_number(&mut self) -> Parse<u32> {
        Ok(self.number("the number of a field", u64::from(u32::MAX))? as u32)
    }

    /// A value by name, or a constant.
    pub(super) fn operand(&mut self) -> Parse<Value> {
        let token = self.token;
        match token.kind() {
            Kind::Name => {
                let name = self.text(token);
                if is_type_word(name) || self.variable(name).is_some() {
                    return self.constant();
                }
                if is_singleton_word(name) {
                    return self.singleton_value();
                }
                self.bump();
                if self.at(Kind::Less) {
                    let ty = self.named_type(name, token.span(), 0)?;
                    return self.constant_of(ty);
                }
                if self.eat_word("zero") {
                    return self.struct_zero(name, token.span());
                }
                Ok(self.scope.use_value(name, token.span()))
            }
            Kind::Quoted => {
                let (name, span) = self.symbol("an operand")?;
                if self.at(Kind::Less) {
                    let ty = self.named_type(&name, span, 0)?;
                    return self.constant_of(ty);
                }
                if !self.eat_word("zero") {
                    return Err(self.expected("'zero', the only constant of arrays and structs"));
                }
                self.struct_zero(&name, span)
            }
            Kind::Number => Err(self.expected("a value: a constant starts with its type, as in 'i32 1'")),
            _ => Err(self.expected("a value")),
        }
    }

    fn struct_zero(&mut self, name: &str, span: Span) -> Parse<Value> {
        let ty = self.struct_named(name, span)?;
        Ok(self.body.make_const(zero_of(ty)))
    }

    pub(super) fn push_operand(&mut self, parts: &mut Parts) -> Parse<()> {
        if parts.args.len() >= MAX_OPERANDS {
            let message = format!("there are more than {MAX_OPERANDS} operands");
            return Err(self.error(Code::Limit, self.token.span(), message));
        }
        let span = self.token.span();
        let value = self.operand()?;
        if self.pack(value) {
            let message = "found a pack, which can only be an argument of a call";
            return Err(self.error(Code::Placement, span, message));
        }
        parts.args.push(value);
        Ok(())
    }

    /// Whether a value is a pack. Only parameters of the method are, so it is defined already.
    pub(super) fn pack(&self, value: Value) -> bool {
        !is_forward(value) && self.program.types.as_pack(self.body.value_type(value)).is_some()
    }

    /// As many operands as the shape has.
    fn values(&mut self, parts: &mut Parts, count: usize) -> Parse<()> {
        for number in 0..count {
            if number > 0 {
                self.expect_as(Kind::Comma, "',' and another operand")?;
            }
            self.push_operand(parts)?;
        }
        Ok(())
    }

    /// Any number of operands, up to the end of the line.
    fn value_list(&mut self, parts: &mut Parts) -> Parse<()> {
        if matches!(self.token.kind(), Kind::Newline | Kind::RightBrace | Kind::End) {
            return Ok(());
        }
        self.push_operand(parts)?;
        while self.eat(Kind::Comma) {
            self.push_operand(parts)?;
        }
        Ok(())
    }

    /// Operands in parentheses, which are no arguments of a call.
    pub(super) fn operands_in_parentheses(&mut self, parts: &mut Parts) -> Parse<()> {
        self.expect(Kind::LeftParen)?;
        if !self.at(Kind::RightParen) {
            self.push_operand(parts)?;
            while self.eat(Kind::Comma) {
                self.push_operand(parts)?;
            }
        }
        self.expect_as(Kind::RightParen, "',' or ')'")?;
        Ok(())
    }

    /// `[align N] [volatile]`
    fn access(&mut self, parts: &mut Parts, mut flags: MemFlags) -> Parse<()> {
        if self.eat_word("align") {
            let token = self.token;
            let align = self.number("an alignment", 1 << 30)?;
            flags = match flags.with_align(align as u32) {
                Some(flags) => flags,
                None => {
                    let message = format!("alignment is {align}, expected a power of two");
                    return Err(self.error(Code::Literal, token.span(), message));
                }
            };
        }
        if self.eat_word("volatile") {
            flags = flags.with_volatile();
        }
        parts.imm = flags.bits();
        Ok(())
    }

    /// `ORDER SCOPE [align N] [volatile]`
    fn atomic(&mut self, parts: &mut Parts) -> Parse<()> {
        let order = Order::ALL.into_iter().find(|order| self.at_word(order.name()));
        let Some(order) = order else {
            return Err(self.expected("an order: relaxed, acquire, release, acq_rel or seq_cst"));
        };
        self.bump();
        let scope = Scope::ALL.into_iter().find(|scope| self.at_word(scope.name()));
        let Some(scope) = scope else {
            return Err(self.expected("a scope: subgroup, group, device or system"));
        };
        self.bump();
        self.access(parts, MemFlags::atomic(order, scope))
    }

    fn shuffle(&mut self, parts: &mut Parts) -> Parse<()> {
        self.values(parts, 2)?;
        self.expect_as(Kind::Comma, "',' and a mask")?;
        let start = self.token.span();
        self.expect(Kind::LeftBracket)?;
        let mut lanes = vec![u128::from(self.number("the number of a lane", u64::from(u32::MAX))?)];
        while self.eat(Kind::Comma) && lanes.len() <= MAX_LANES as usize {
            lanes.push(u128::from(self.number("the number of a lane", u64::from(u32::MAX))?));
        }
        self.expect_as(Kind::RightBracket, "',' or ']'")?;
        let Some(ty) = Type::vector(Scalar::I32, lanes.len() as u32) else {
            let message =
                format!("mask has {} lanes, expected a power of two from 2 to {MAX_LANES}", lanes.len());
            return Err(self.error(Code::InvalidType, self.span_from(start), message));
        };
        let mask = self.body.make_const(ConstData { ty, value: ConstValue::Lanes(lanes.into()) });
        if let crate::body::ValueDef::Const(id) = self.body.value_def(mask) {
            parts.imm = id.as_u32();
        }
        Ok(())
    }

    /// `block` or `block(a, b)`
    fn target(&mut self, parts: &mut Parts) -> Parse<()> {
        let token = self.expect_as(Kind::Name, "a block")?;
        let block = self.use_block(token);
        let mut arguments = Parts::default();
        if self.at(Kind::LeftParen) {
            self.operands_in_parentheses(&mut arguments)?;
        }
        let call = self.body.make_block_call(block, &arguments.args);
        parts.targets.push(call);
        Ok(())
    }

    fn switch(&mut self, parts: &mut Parts) -> Parse<()> {
        self.values(parts, 1)?;
        self.expect(Kind::Comma)?;
        self.target(parts)?;
        self.expect(Kind::Comma)?;
        self.expect(Kind::LeftBracket)?;
        // The selector's type tells the range; where it is not known yet, any integer will do.
        let selector = parts.args.first().copied().filter(|&value| !is_forward(value));
        let selector = selector.and_then(|value| self.body.value_type(value).as_scalar());
        let scalar = selector.filter(|scalar| scalar.is_int()).unwrap_or(Scalar::I128);
        let mut cases = Vec::new();
        while !self.at(Kind::RightBracket) {
            if cases.len() >= MAX_OPERANDS {
                let message = format!("there are more than {MAX_OPERANDS} cases");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            let token = self.expect_as(Kind::Number, "an integer or ']'")?;
            let text = self.text(token);
            let Some(bits) = parse_int(scalar, text) else {
                let message = format!(
                    "found '{}', expected an integer that {} can hold",
                    shortened(text),
                    scalar.name()
                );
                return Err(self.error(Code::Literal, token.span(), message));
            };
            cases.push(bits);
            self.expect(Kind::Colon)?;
            self.target(parts)?;
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::RightBracket, "',' or ']'")?;
        parts.imm = self.body.make_switch(&cases).as_u32();
        Ok(())
    }
}
