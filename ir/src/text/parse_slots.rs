//! Alignment and slots of globals.

use crate::diag::Code;
use crate::limits::{MAX_GLOBAL_ALIGN, MAX_PARAMS, MAX_SLOTS};
use crate::program::{GlobalSlot, Reference};
use crate::text::lexer::Kind;
use crate::text::parser::{Parse, Parser};

impl Parser<'_, '_> {
    /// The number after `align`.
    pub(super) fn alignment(&mut self) -> Parse<u32> {
        let span = self.token.span();
        let bytes = self.number("an alignment", MAX_GLOBAL_ALIGN)? as u32;
        if !bytes.is_power_of_two() {
            let message = format!("found an alignment of {bytes}, expected a power of two");
            return Err(self.error(Code::Literal, span, message));
        }
        Ok(bytes)
    }

    /// `[OFFSET: REFERENCE, ...]`, by ascending offset.
    pub(super) fn slots(&mut self) -> Parse<Vec<GlobalSlot>> {
        self.expect(Kind::LeftBracket)?;
        let mut slots = Vec::new();
        while !self.at(Kind::RightBracket) {
            if slots.len() == MAX_SLOTS {
                let message = format!("global has more than {MAX_SLOTS} slots");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            let offset = self.number("the offset of a slot or ']'", u64::MAX)?;
            self.expect(Kind::Colon)?;
            slots.push(GlobalSlot { offset, reference: self.reference()? });
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::RightBracket, "',' or ']'")?;
        slots.sort_by_key(|slot: &GlobalSlot| slot.offset);
        Ok(slots)
    }

    /// `value NAME`, `symbol NAME [from LIBRARY]`, `word NAME`, `address GLOBAL [at OFFSET]` or `function NAME(TYPES)`.
    fn reference(&mut self) -> Parse<Reference> {
        const WANTED: &str = "'value', 'symbol', 'word', 'address' or 'function'";
        if !self.at(Kind::Name) {
            return Err(self.expected(WANTED));
        }
        Ok(match self.text(self.token) {
            "value" => {
                self.bump();
                Reference::Value(self.symbol("the name of a value of the host")?.0)
            }
            "symbol" => {
                self.bump();
                let name = self.symbol("the name of a symbol of the host")?.0;
                let from = self.eat_word("from");
                let library = if from { Some(self.symbol("the name of a library")?.0) } else { None };
                Reference::Symbol { name, library }
            }
            "word" => {
                self.bump();
                Reference::Word(self.symbol("the name of a word of the runtime")?.0)
            }
            "address" => {
                self.bump();
                let name = self.symbol("the name of a global")?.0;
                let inside = self.eat_word("at");
                let offset = if inside { self.number("an offset in the global", u64::MAX)? } else { 0 };
                Reference::Global { name, offset }
            }
            "function" => {
                self.bump();
                let name = self.symbol("the name of a method")?.0;
                let params = self.type_list(MAX_PARAMS, "parameters")?;
                Reference::Method { name, params: params.into() }
            }
            _ => return Err(self.expected(WANTED)),
        })
    }
}
