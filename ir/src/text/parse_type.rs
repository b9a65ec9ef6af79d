//! Types and constants.

use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::Value;
use crate::limits::MAX_TYPE_DEPTH;
use crate::span::Span;
use crate::text::lexer::Kind;
use crate::text::literal::{canonical_nan, infinity, is_nan, parse_float, parse_hex, parse_int, sign_bit};
use crate::text::parser::{Parse, Parser, is_singleton_word, shortened};
use crate::types::{Scalar, Space, Type, TypeError, TypeKind};
use std::sync::Arc;

/// A length or a number of lanes.
#[derive(Copy, Clone)]
enum Count {
    Number(u64),
    Variable(Type),
}

/// The scalar type of this name.
pub(crate) fn scalar_named(name: &str) -> Option<Scalar> {
    // Every operand asks this; slice patterns compare the first byte first.
    Some(match name.as_bytes() {
        [b'i', width @ ..] => match width {
            b"1" => Scalar::I1,
            b"8" => Scalar::I8,
            b"16" => Scalar::I16,
            b"32" => Scalar::I32,
            b"64" => Scalar::I64,
            b"128" => Scalar::I128,
            _ => return None,
        },
        [b'f', width @ ..] => match width {
            b"16" => Scalar::F16,
            b"32" => Scalar::F32,
            b"64" => Scalar::F64,
            _ => return None,
        },
        b"bf16" => Scalar::BF16,
        _ => return None,
    })
}

impl<'t> Parser<'_, 't> {
    /// Any type.
    pub(crate) fn ty(&mut self) -> Parse<Type> {
        self.nested_type(0)
    }

    /// A type inside of `depth` others; the recursion ends with the limit.
    pub(crate) fn nested_type(&mut self, depth: usize) -> Parse<Type> {
        if depth > MAX_TYPE_DEPTH {
            let message = format!("type is nested more than {MAX_TYPE_DEPTH} deep");
            return Err(self.error(Code::Limit, self.token.span(), message));
        }
        let token = self.token;
        if token.kind() == Kind::Name {
            let name = self.text(token);
            if let Some(scalar) = scalar_named(name) {
                self.bump();
                return Ok(Type::scalar(scalar));
            }
            match name {
                "array" => return self.array(depth),
                "ptr" => return self.pointer(),
                "vec" => return self.vector(),
                _ => {}
            }
            if is_singleton_word(name)
                && matches!(self.lexer.clone().next().kind(), Kind::Name | Kind::Quoted)
            {
                return self.singleton_type(depth);
            }
            if let Some(variable) = self.variable(name) {
                self.bump();
                return Ok(variable);
            }
        }
        let (name, span) = self.symbol("a type")?;
        self.named_type(&name, span, depth)
    }

    fn array(&mut self, depth: usize) -> Parse<Type> {
        let start = self.token.span();
        self.bump();
        self.expect(Kind::Less)?;
        let element = self.nested_type(depth + 1)?;
        self.expect(Kind::Comma)?;
        let length = self.count("an array length", u64::MAX)?;
        self.expect(Kind::Greater)?;
        let made = match length {
            Count::Number(length) if !element.is_generic() => self.program.types.array(element, length),
            length => self.count_type(length).and_then(|length| self.program.types.array_of(element, length)),
        };
        self.made(made, start)
    }

    fn pointer(&mut self) -> Parse<Type> {
        let start = self.token.span();
        self.bump();
        self.expect(Kind::Less)?;
        let variable = if self.at(Kind::Name) { self.variable(self.text(self.token)) } else { None };
        let made = match variable {
            Some(variable) => {
                self.bump();
                self.program.types.pointer_to(variable)
            }
            None => Ok(Type::pointer(self.space()?)),
        };
        self.expect(Kind::Greater)?;
        self.made(made, start)
    }

    /// The type that was made, or why it was not.
    pub(crate) fn made(&mut self, made: Result<Type, TypeError>, start: Span) -> Parse<Type> {
        let span = self.span_from(start);
        made.map_err(|error| self.error(Code::InvalidType, span, error.to_string()))
    }

    /// A number, or a variable that stands for one.
    fn count(&mut self, wanted: &str, limit: u64) -> Parse<Count> {
        if self.at(Kind::Name)
            && let Some(variable) = self.variable(self.text(self.token))
        {
            self.bump();
            return Ok(Count::Variable(variable));
        }
        Ok(Count::Number(self.number(wanted, limit)?))
    }

    fn count_type(&mut self, count: Count) -> Result<Type, TypeError> {
        match count {
            Count::Number(number) => self.program.types.length(number),
            Count::Variable(variable) => Ok(variable),
        }
    }

    /// The struct of this name.
    pub(crate) fn struct_named(&mut self, name: &str, span: Span) -> Parse<Type> {
        match self.program.types.find_struct(name) {
            Some(ty) => Ok(ty),
            None => Err(self.unknown_type(name, span, "a type")),
        }
    }

    fn vector(&mut self) -> Parse<Type> {
        let start = self.token.span();
        self.bump();
        self.expect(Kind::Less)?;
        let lane_token = self.expect_as(Kind::Name, "a scalar type")?;
        let name = self.text(lane_token);
        let Some(lane) = scalar_named(name).map(Type::scalar).or_else(|| self.variable(name)) else {
            let message = format!("found '{}', expected a scalar type", shortened(name));
            return Err(self.error(Code::InvalidType, lane_token.span(), message));
        };
        self.expect(Kind::Comma)?;
        let lanes = self.count("a number of lanes", u64::from(u32::MAX))?;
        self.expect(Kind::Greater)?;
        if let (Count::Number(lanes), Some(lane)) = (lanes, lane.as_scalar()) {
            let Some(ty) = Type::vector(lane, lanes as u32) else {
                let most = crate::limits::MAX_LANES;
                let message = format!("vector has {lanes} lanes, expected a power of two from 2 to {most}");
                return Err(self.error(Code::InvalidType, self.span_from(start), message));
            };
            return Ok(ty);
        }
        let made = self.count_type(lanes).and_then(|lanes| self.program.types.vector_of(lane, lanes));
        self.made(made, start)
    }

    /// An address space.
    pub(crate) fn space(&mut self) -> Parse<Space> {
        const WANTED: &str = "an address space: generic, global, shared, constant, local or param";
        let found = Space::ALL.into_iter().find(|space| self.at_word(space.name()));
        match found {
            Some(space) => {
                self.bump();
                Ok(space)
            }
            None => Err(self.expected(WANTED)),
        }
    }

    /// The literal after the type `ty`.
    pub(crate) fn literal(&mut self, ty: Type) -> Parse<ConstData> {
        if self.at_word("zero") {
            self.bump();
            return Ok(zero_of(ty));
        }
        if self.at(Kind::Name)
            && let Some(variable) = self.variable(self.text(self.token))
        {
            self.bump();
            return Ok(ConstData { ty, value: ConstValue::Variable(variable) });
        }
        if ty.is_generic() {
            return Ok(ConstData { ty, value: ConstValue::Literal(self.open_literal()?) });
        }
        let value = match ty.kind() {
            TypeKind::Scalar(scalar) => ConstValue::Scalar(self.scalar_literal(scalar)?),
            TypeKind::Pointer(_) => ConstValue::Scalar(self.address_literal()?),
            TypeKind::Vector(lane, lanes) => ConstValue::Lanes(self.lane_literals(lane, lanes)?),
            TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => {
                return Err(self.expected("'zero', the only constant of arrays and structs"));
            }
        };
        Ok(ConstData { ty, value })
    }

    /// The text of a number of a type that is not known yet.
    fn open_literal(&mut self) -> Parse<Arc<str>> {
        let minus = self.eat(Kind::Minus);
        let token = self.token;
        let text = self.text(token);
        let word = token.kind() == Kind::Name && matches!(text, "inf" | "nan" | "true" | "false");
        if (minus && text != "inf") || !(word || token.kind() == Kind::Number) {
            return Err(self.expected("a number, 'inf', 'nan', 'true', 'false', 'zero' or a type variable"));
        }
        self.bump();
        Ok(if minus { "-inf".into() } else { self.share(text) })
    }

    fn lane_literals(&mut self, lane: Scalar, lanes: u32) -> Parse<Box<[u128]>> {
        self.expect_as(Kind::LeftBracket, "'[' and the lanes, or 'zero'")?;
        let mut bits = Vec::with_capacity(lanes as usize);
        for number in 0..lanes {
            if number > 0 {
                self.expect_as(Kind::Comma, &format!("',' and {} more lanes", lanes - number))?;
            }
            bits.push(self.scalar_literal(lane)?);
        }
        self.expect(Kind::RightBracket)?;
        Ok(bits.into())
    }

    /// A scalar without its type.
    fn scalar_literal(&mut self, scalar: Scalar) -> Parse<u128> {
        if scalar == Scalar::I1 {
            return match () {
                () if self.eat_word("true") => Ok(1),
                () if self.eat_word("false") => Ok(0),
                () => Err(self.expected("'true' or 'false'")),
            };
        }
        let token = self.token;
        if token.kind() == Kind::Number {
            self.bump();
            let text = self.text(token);
            let bits = if scalar.is_int() { parse_int(scalar, text) } else { parse_float(scalar, text) };
            return bits.ok_or_else(|| {
                let kind = if scalar.is_int() { "an integer" } else { "a number" };
                let message =
                    format!("found '{}', expected {kind} that {} can hold", shortened(text), scalar.name());
                self.error(Code::Literal, token.span(), message)
            });
        }
        if scalar.is_int() {
            return Err(self.expected("an integer"));
        }
        let sign = if self.eat(Kind::Minus) { sign_bit(scalar) } else { 0 };
        if self.eat_word("inf") {
            return Ok(infinity(scalar) | sign);
        }
        if sign != 0 || !self.eat_word("nan") {
            return Err(self.expected(if sign != 0 {
                "'inf' or a number"
            } else {
                "a number, 'inf' or 'nan'"
            }));
        }
        if !self.eat(Kind::Colon) {
            return Ok(canonical_nan(scalar));
        }
        let token = self.expect_as(Kind::Number, "the bits of a nan, as in nan:0x7fc00001")?;
        let bits = parse_hex(self.text(token));
        match bits.filter(|&bits| bits <= scalar.mask() && is_nan(scalar, bits)) {
            Some(bits) => Ok(bits),
            None => {
                let text = shortened(self.text(token));
                let message = format!("found '{text}', expected the bits of a nan of type {}", scalar.name());
                Err(self.error(Code::Literal, token.span(), message))
            }
        }
    }

    fn address_literal(&mut self) -> Parse<u128> {
        if self.eat_word("null") {
            return Ok(0);
        }
        let token = self.expect_as(Kind::Number, "'null' or an address, as in 0x10")?;
        let text = self.text(token);
        match parse_hex(text).filter(|&bits| bits <= Scalar::I64.mask()) {
            Some(bits) => Ok(bits),
            None => {
                let message =
                    format!("found '{}', expected 'null' or an address, as in 0x10", shortened(text));
                Err(self.error(Code::Literal, token.span(), message))
            }
        }
    }

    /// A constant with its type, whose first word is a type.
    pub(crate) fn constant(&mut self) -> Parse<Value> {
        let ty = self.ty()?;
        self.constant_of(ty)
    }

    /// A constant whose type was just read.
    pub(crate) fn constant_of(&mut self, ty: Type) -> Parse<Value> {
        let data = self.literal(ty)?;
        Ok(self.body.make_const(data))
    }
}

/// The zero of a type, in its one form.
pub(crate) fn zero_of(ty: Type) -> ConstData {
    let value = match ty.kind() {
        TypeKind::Scalar(_) | TypeKind::Pointer(_) => ConstValue::Scalar(0),
        TypeKind::Vector(_, lanes) => ConstValue::Lanes(vec![0; lanes as usize].into()),
        TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => ConstValue::Zero,
    };
    ConstData { ty, value }
}
