//! Types and constants.

use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::Value;
use crate::limits::MAX_TYPE_DEPTH;
use crate::span::Span;
use crate::text::lexer::Kind;
use crate::text::literal::{canonical_nan, infinity, is_nan, parse_float, parse_hex, parse_int, sign_bit};
use crate::text::parser::{Parse, Parser, shortened};
use crate::types::{Scalar, Space, Type, TypeKind};

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

impl Parser<'_, '_> {
    /// Any type.
    pub(crate) fn ty(&mut self) -> Parse<Type> {
        // `array<array<T, 2>, 3>`: walk inwards, then close what was opened.
        let start = self.token.span();
        let mut depth = 0usize;
        while self.at_word("array") {
            depth += 1;
            if depth > MAX_TYPE_DEPTH {
                let message = format!("type is nested more than {MAX_TYPE_DEPTH} deep");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            self.bump();
            self.expect(Kind::Less)?;
        }
        let mut ty = self.plain_type()?;
        for _ in 0..depth {
            self.expect(Kind::Comma)?;
            let length = self.number("an array length", u64::MAX)?;
            self.expect(Kind::Greater)?;
            let span = self.span_from(start);
            ty = match self.program.types.array(ty, length) {
                Ok(ty) => ty,
                Err(error) => return Err(self.error(Code::InvalidType, span, error.to_string())),
            };
        }
        Ok(ty)
    }

    /// A type that is no array.
    fn plain_type(&mut self) -> Parse<Type> {
        let token = self.token;
        if token.kind() == Kind::Name {
            let name = self.text(token);
            if let Some(scalar) = scalar_named(name) {
                self.bump();
                return Ok(Type::scalar(scalar));
            }
            match name {
                "ptr" => {
                    self.bump();
                    self.expect(Kind::Less)?;
                    let space = self.space()?;
                    self.expect(Kind::Greater)?;
                    return Ok(Type::pointer(space));
                }
                "vec" => return self.vector(),
                _ => {}
            }
        }
        let (name, span) = self.symbol("a type")?;
        self.struct_named(&name, span)
    }

    /// The struct of this name.
    pub(crate) fn struct_named(&mut self, name: &str, span: Span) -> Parse<Type> {
        match self.program.types.find_struct(name) {
            Some(ty) => Ok(ty),
            None => {
                let message = format!("found '{}', expected a type", shortened(name));
                Err(self.error(Code::UnknownType, span, message))
            }
        }
    }

    fn vector(&mut self) -> Parse<Type> {
        let start = self.token.span();
        self.bump();
        self.expect(Kind::Less)?;
        let lane_token = self.expect_as(Kind::Name, "a scalar type")?;
        let Some(lane) = scalar_named(self.text(lane_token)) else {
            let message = format!("found '{}', expected a scalar type", shortened(self.text(lane_token)));
            return Err(self.error(Code::InvalidType, lane_token.span(), message));
        };
        self.expect(Kind::Comma)?;
        let lanes = self.number("a number of lanes", u64::from(u32::MAX))?;
        self.expect(Kind::Greater)?;
        match Type::vector(lane, lanes as u32) {
            Some(ty) => Ok(ty),
            None => {
                let most = crate::limits::MAX_LANES;
                let message = format!("vector has {lanes} lanes, expected a power of two from 2 to {most}");
                Err(self.error(Code::InvalidType, self.span_from(start), message))
            }
        }
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
