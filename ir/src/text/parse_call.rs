//! Calls: what is called, and with what.

use crate::body::Symbol;
use crate::diag::Code;
use crate::entity::Value;
use crate::limits::MAX_OPERANDS;
use crate::signature::Signature;
use crate::text::lexer::Kind;
use crate::text::parse_inst::Parts;
use crate::text::parser::{Parse, Parser};
use crate::text::print_inst::is_callable;
use crate::text::scope::is_forward;
use crate::types::Type;

impl Parser<'_, '_> {
    /// What is called: a method by name, or a value of a function's singleton type. A bare name means a parameter of
    /// the method where that is of open type; `value` before a name makes any value the callee, quotes a method.
    pub(super) fn callee(&mut self, parts: &mut Parts) -> Parse<()> {
        let token = self.token;
        let explicit = self.at_word("value") && self.lexer.clone().next().kind() == Kind::Name;
        if explicit {
            self.bump();
            self.push_operand(parts)?;
        } else if token.kind() == Kind::Name && self.names_callable(self.text(token)) {
            self.push_operand(parts)?;
        } else {
            let (name, _) = self.symbol("the name of a method")?;
            parts.imm = self.body.make_symbol(Symbol::Name(name)).as_u32();
            return Ok(());
        }
        parts.imm = self.body.make_symbol(Symbol::Operand).as_u32();
        Ok(())
    }

    fn names_callable(&self, name: &str) -> bool {
        let Some(named) = self.scope.values.get(name).filter(|named| !is_forward(named.value)) else {
            return false;
        };
        let params = self.body.entry().map_or(&[][..], |entry| self.body.block_params(entry));
        let callable = is_callable(&self.program.types, self.body.value_type(named.value));
        callable && params.contains(&named.value)
    }

    /// An operand, after which `...` stands if it is a pack.
    fn argument(&mut self, parts: &mut Parts) -> Parse<()> {
        let span = self.token.span();
        if parts.args.len() >= MAX_OPERANDS {
            let message = format!("there are more than {MAX_OPERANDS} operands");
            return Err(self.error(Code::Limit, span, message));
        }
        let value = self.operand()?;
        parts.args.push(value);
        let pack = self.pack(value);
        if self.eat(Kind::Ellipsis) == pack {
            return Ok(());
        }
        let message = match pack {
            true => "found a pack, expected '...' after it",
            false => "found '...', expected it after a pack",
        };
        Err(self.error(Code::Placement, span, message))
    }

    /// Arguments of a call in parentheses.
    pub(super) fn arguments(&mut self, parts: &mut Parts) -> Parse<()> {
        self.expect(Kind::LeftParen)?;
        if !self.at(Kind::RightParen) {
            self.argument(parts)?;
            while self.eat(Kind::Comma) {
                self.argument(parts)?;
            }
        }
        self.expect_as(Kind::RightParen, "',' or ')'")?;
        Ok(())
    }

    pub(super) fn call_indirect(&mut self, parts: &mut Parts) -> Parse<()> {
        self.push_operand(parts)?;
        self.operands_in_parentheses(parts)?;
        let results = self.results()?;
        let type_of = |&arg: &Value| if is_forward(arg) { Type::UNKNOWN } else { self.body.value_type(arg) };
        let params = parts.args.iter().skip(1).map(type_of).collect();
        parts.imm = self.body.make_signature(Signature { params, results }).as_u32();
        Ok(())
    }
}
