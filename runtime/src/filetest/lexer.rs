//! Tokens of directives.

use marquetry_ir::text;
use marquetry_ir::types::Scalar;
use std::fmt;

/// A token of a directive.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Function(&'a str),
    /// `@"..."`: with the quotes, escapes as they are.
    QuotedFunction(&'a str),
    Int(i128),
    Float(f64),
    /// `0x...`: the bits themselves, also for floats.
    Bits(u128),
    Text(&'a str),
    Punct(char),
    Unknown(char),
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Name(name) => write!(f, "'{name}'"),
            Token::Function(name) | Token::QuotedFunction(name) => write!(f, "'@{name}'"),
            Token::Int(value) => write!(f, "{value}"),
            Token::Float(value) => write!(f, "{value}"),
            Token::Bits(bits) => write!(f, "{bits:#x}"),
            Token::Text(text) => write!(f, "\"{text}\""),
            Token::Punct(c) | Token::Unknown(c) => write!(f, "'{c}'"),
            Token::End => f.write_str("the end of the line"),
        }
    }
}

/// Splits a directive into tokens, one ahead.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    token: Token<'a>,
    /// The current token and all that follows.
    remaining: &'a str,
}

/// Bytes of a text in quotes at the start, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.strip_prefix('"')?.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    Some(end? + 2)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut lexer = Lexer { rest: text, token: Token::End, remaining: text };
        lexer.advance();
        lexer
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.token
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.token;
        self.advance();
        token
    }

    pub(super) fn advance(&mut self) {
        self.rest = self.rest.trim_start();
        self.remaining = self.rest;
        let Some(first) = self.rest.chars().next() else {
            self.token = Token::End;
            return;
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.token = match first {
            '@' => {
                self.rest = &self.rest[1..];
                match quoted_length(self.rest) {
                    Some(length) => {
                        let (name, tail) = self.rest.split_at(length);
                        self.rest = tail;
                        Token::QuotedFunction(name)
                    }
                    None => Token::Function(self.take(is_word)),
                }
            }
            '"' => {
                self.rest = &self.rest[1..];
                let text = self.take(|c| c != '"');
                self.rest = self.rest.strip_prefix('"').unwrap_or(self.rest);
                Token::Text(text)
            }
            c if c.is_ascii_digit() => self.number(),
            c if c.is_ascii_alphabetic() || c == '_' => Token::Name(self.take(is_word)),
            c if c.is_ascii_punctuation() => {
                self.rest = &self.rest[1..];
                Token::Punct(c)
            }
            c => {
                self.rest = &self.rest[c.len_utf8()..];
                Token::Unknown(c)
            }
        };
    }

    fn take(&mut self, accepts: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accepts(c)).unwrap_or(self.rest.len());
        let (head, tail) = self.rest.split_at(end);
        self.rest = tail;
        head
    }

    fn number(&mut self) -> Token<'a> {
        if let Some(hex) = self.rest.strip_prefix("0x") {
            self.rest = hex;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            return u128::from_str_radix(digits, 16).map_or(Token::Unknown('x'), Token::Bits);
        }
        let mut after_exponent = false;
        let text = self.rest;
        let end = text.find(|c: char| {
            let sign = matches!(c, '+' | '-') && std::mem::take(&mut after_exponent);
            after_exponent = matches!(c, 'e' | 'E');
            !(c.is_ascii_digit() || c == '.' || after_exponent || sign)
        });
        let (digits, tail) = text.split_at(end.unwrap_or(text.len()));
        self.rest = tail;
        match digits.parse::<i128>() {
            Ok(value) => Token::Int(value),
            Err(_) => digits.parse::<f64>().map_or(Token::Unknown('.'), Token::Float),
        }
    }

    pub(super) fn accept(&mut self, c: char) -> bool {
        let found = self.token == Token::Punct(c);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn accept_pair(&mut self, a: char, b: char) -> bool {
        let found = self.token == Token::Punct(a) && self.rest.starts_with(b);
        if found {
            self.advance();
            self.advance();
        }
        found
    }

    pub(super) fn punct(&mut self, c: char) -> Result<(), String> {
        if self.accept(c) { Ok(()) } else { Err(format!("expected '{c}', found {}", self.token)) }
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), String> {
        match self.next() {
            Token::Name(name) if name == word => Ok(()),
            other => Err(format!("expected '{word}', found {other}")),
        }
    }

    pub(super) fn name(&mut self, what: &str) -> Result<&'a str, String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => Err(format!("expected {what}, found {other}")),
        }
    }

    pub(super) fn function(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Function(name) if !name.is_empty() => Ok(name.into()),
            Token::QuotedFunction(name) => {
                text::unquote(name).ok_or_else(|| format!("{name} has an escape that is none"))
            }
            other => Err(format!("expected '@name', found {other}")),
        }
    }

    /// The current token and all that follows.
    pub(super) fn remaining(&self) -> &'a str {
        self.remaining
    }

    pub(super) fn int(&mut self) -> Result<i128, String> {
        match self.next() {
            Token::Int(value) => Ok(value),
            other => Err(format!("expected a whole number, found {other}")),
        }
    }

    pub(super) fn scalar(&mut self) -> Result<Scalar, String> {
        let name = self.name("a scalar type")?;
        let scalar = Scalar::ALL.into_iter().find(|scalar| scalar.name() == name);
        scalar.ok_or_else(|| format!("'{name}' is not a scalar type"))
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.token == Token::End { Ok(()) } else { Err(format!("unexpected {}", self.token)) }
    }
}
