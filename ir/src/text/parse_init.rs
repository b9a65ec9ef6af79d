//! Initial contents of globals: literals laid out as bytes.

use crate::constant::ConstValue;
use crate::diag::Code;
use crate::limits::MAX_TYPE_DEPTH;
use crate::text::lexer::Kind;
use crate::text::parser::{Parse, Parser};
use crate::types::{Aggregate, Type, TypeKind};
use std::sync::Arc;

/// A list that is open: what it fills, and how far it got.
struct Open {
    ty: Type,
    offset: u64,
    next: u64,
    count: u64,
}

impl Parser<'_, '_> {
    /// The contents after `=`; none for zero.
    pub(crate) fn init(&mut self, ty: Type) -> Parse<Option<Arc<[u8]>>> {
        let start = self.token.span();
        if self.eat_word("zero") {
            return Ok(None);
        }
        let size = self.program.types.layout(ty).map_or(0, |layout| layout.size);
        let Some(left) = self.init_budget.checked_sub(size) else {
            let most = crate::limits::MAX_SOURCE_BYTES;
            let message = format!("initial contents of one text are more than {most} bytes");
            return Err(self.error(Code::Limit, start, message));
        };
        self.init_budget = left;
        let mut bytes = vec![0u8; size as usize];
        let mut open: Vec<Open> = Vec::new();
        let mut place = Some((self.program.types.underlying(ty), 0u64));
        loop {
            match place.take() {
                Some((ty, offset)) if self.at(Kind::LeftBracket) => {
                    let count = self.element_count(ty);
                    let Some(count) = count else { return Err(self.expected("a constant")) };
                    if open.len() == MAX_TYPE_DEPTH {
                        let message = format!("lists are nested more than {MAX_TYPE_DEPTH} deep");
                        return Err(self.error(Code::Limit, self.token.span(), message));
                    }
                    self.bump();
                    open.push(Open { ty, offset, next: 0, count });
                }
                Some((ty, offset)) => self.init_leaf(ty, offset, &mut bytes)?,
                None => {}
            }
            let Some(list) = open.last_mut() else { break };
            if list.next == list.count {
                open.pop();
                self.expect(Kind::RightBracket)?;
                continue;
            }
            let (ty, offset, index, left) = (list.ty, list.offset, list.next, list.count - list.next);
            list.next += 1;
            if index > 0 {
                self.expect_as(Kind::Comma, &format!("',' and {left} more elements"))?;
            }
            let (element, offset) = self.element(ty, offset, index);
            place = Some((self.program.types.underlying(element), offset));
        }
        Ok(Some(bytes.into()))
    }

    fn element_count(&self, ty: Type) -> Option<u64> {
        match ty.kind() {
            TypeKind::Vector(_, lanes) => Some(u64::from(lanes)),
            _ => self.program.types.field_count(ty),
        }
    }

    /// Type and place of an element that exists.
    fn element(&self, ty: Type, offset: u64, index: u64) -> (Type, u64) {
        let types = &self.program.types;
        if let TypeKind::Vector(lane, _) = ty.kind() {
            return (Type::scalar(lane), offset + index * lane.bytes());
        }
        let element = types.field_type(ty, index).unwrap_or(Type::ERROR);
        (element, offset + types.field_offset(ty, index).unwrap_or(0))
    }

    /// A constant, `zero` or bytes.
    fn init_leaf(&mut self, ty: Type, offset: u64, bytes: &mut [u8]) -> Parse<()> {
        if self.eat_word("zero") {
            return Ok(());
        }
        if self.eat_word("bytes") {
            return self.init_bytes(ty, offset, bytes);
        }
        let start = self.token.span();
        if !self.at_symbol() {
            return Err(self.expected("a constant, 'zero', 'bytes' or '['"));
        }
        let found = self.ty()?;
        if found != ty {
            let types = &self.program.types;
            let message = format!(
                "found a constant of type {}, expected one of type {}",
                types.display(found),
                types.display(ty)
            );
            let span = self.span_from(start);
            return Err(self.error(Code::Literal, span, message));
        }
        let data = self.literal(ty)?;
        let mut put = |at: u64, size: u64, bits: u128| {
            let range = at as usize..(at + size) as usize;
            if let Some(place) = bytes.get_mut(range) {
                place.copy_from_slice(&bits.to_le_bytes()[..size as usize]);
            }
        };
        match (&data.value, ty.kind()) {
            (ConstValue::Scalar(bits), TypeKind::Scalar(scalar)) => put(offset, scalar.bytes(), *bits),
            (ConstValue::Scalar(bits), _) => put(offset, 8, *bits),
            (ConstValue::Lanes(lanes), TypeKind::Vector(lane, _)) => {
                let places = lanes.iter().zip(0u64..);
                places.for_each(|(&bits, n)| put(offset + n * lane.bytes(), lane.bytes(), bits));
            }
            _ => {}
        }
        Ok(())
    }

    fn init_bytes(&mut self, ty: Type, offset: u64, bytes: &mut [u8]) -> Parse<()> {
        let span = self.token.span();
        let length = match self.program.types.aggregate(ty) {
            Some(&Aggregate::Array { element: Type::I8, length }) => length,
            _ => {
                let ty = self.program.types.display(ty).to_string();
                let message = format!("found bytes for type {ty}, expected a constant");
                return Err(self.error(Code::Literal, span, message));
            }
        };
        let found = self.quoted_bytes()?;
        let start = offset as usize;
        match bytes.get_mut(start..start + found.len()) {
            Some(place) if found.len() as u64 == length => place.copy_from_slice(&found),
            _ => {
                let message = format!("found {} bytes, expected {length}", found.len());
                return Err(self.error(Code::Literal, span, message));
            }
        }
        Ok(())
    }
}
