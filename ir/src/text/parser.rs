//! What all parts of the parser share: the current token, errors, recovery.
//!
//! Recursive descent with one token of look-ahead and no recursion on input depth. A failed rule reports its error
//! and returns [`Failed`]; whoever can go on skips ahead: to the next line in a body, to the next item outside.

use crate::body::Body;
use crate::diag::{Code, Diagnostic};
use crate::limits::{MAX_DIAGNOSTICS, MAX_NAME_BYTES};
use crate::program::{Program, Variable};
use crate::span::Span;
use crate::text::definitions::{Definitions, Unknown, circle};
use crate::text::lexer::{Kind, Lexer, Token};
use crate::text::literal::unquote;
use crate::text::parse_device::DeviceFunction;
use crate::text::parse_type::scalar_named;
use crate::text::scope::Scope;
use crate::types::Type;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The rule did not match; the error is reported already.
#[derive(Debug)]
pub(crate) struct Failed;

/// What a rule gives.
pub(crate) type Parse<T> = Result<T, Failed>;

/// Words that start an item.
pub(crate) const ITEM_WORDS: [&str; 10] =
    ["abstract", "impl", "struct", "newtype", "global", "extern", "overlay", "method", "kernel", "device"];

/// Words that values cannot be named: types and literals.
pub(crate) fn is_reserved(name: &str) -> bool {
    is_type_word(name)
        || is_singleton_word(name)
        || matches!(name, "zero" | "null" | "true" | "false" | "nan" | "inf")
}

/// Words that start a type which is not a struct.
pub(crate) fn is_type_word(name: &str) -> bool {
    matches!(name, "vec" | "ptr" | "array") || scalar_named(name).is_some()
}

/// Words that start a singleton type, or its value.
pub(crate) fn is_singleton_word(name: &str) -> bool {
    matches!(name, "fn" | "type" | "const")
}

/// Whether a text can stand without quotes where a name stands.
pub(crate) fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.len() <= MAX_NAME_BYTES
}

/// The message for a name, in quotes or not, that is too long.
fn long_name(name: &str) -> String {
    format!("found a name of {} bytes, expected at most {MAX_NAME_BYTES}", name.len())
}

/// The state of reading one text.
pub(crate) struct Parser<'p, 't> {
    pub(crate) lexer: Lexer<'t>,
    /// The current token.
    pub(crate) token: Token,
    /// The end of the token before.
    pub(crate) last_end: u32,
    /// Whether the ends of lines are tokens.
    pub(crate) lines: bool,
    pub(crate) program: &'p mut Program,
    pub(crate) file: u32,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether a part of the text was not read, because an item was broken.
    pub(crate) skipped: bool,
    /// The body that is being read.
    pub(crate) body: Body,
    pub(crate) scope: Scope<'t>,
    /// Texts of names that go into the program, each made once.
    shared: FxHashMap<&'t str, Arc<str>>,
    /// Bytes of initial contents that may still be made.
    pub(crate) init_budget: u64,
    /// Type variables of the item that is being read.
    pub(crate) variables: Vec<(&'t str, Variable)>,
    /// Whether abstract types can stand where types do: in parameters.
    pub(crate) abstracts: bool,
    /// Where the text is part of the library: the device functions that it declares.
    pub(crate) library: Option<Vec<DeviceFunction>>,
    /// Whether methods take the place of those that take the same.
    pub(crate) redefining: bool,
    /// The types of the text, once there is a message about one.
    definitions: Option<Definitions<'t>>,
}

impl<'p, 't> Parser<'p, 't> {
    pub(crate) fn new(program: &'p mut Program, file: u32, text: &'t str) -> Self {
        let mut parser = Parser {
            lexer: Lexer::new(text),
            token: Token::end(0),
            last_end: 0,
            lines: false,
            program,
            file,
            diagnostics: Vec::new(),
            skipped: false,
            body: Body::new(),
            scope: Scope::default(),
            shared: FxHashMap::default(),
            init_budget: crate::limits::MAX_SOURCE_BYTES as u64,
            variables: Vec::new(),
            abstracts: false,
            library: None,
            redefining: false,
            definitions: None,
        };
        parser.scope.values.reserve(64);
        parser.bump();
        parser
    }

    /// Goes to the next token.
    pub(crate) fn bump(&mut self) {
        self.last_end = self.token.span().end;
        self.token = self.lexer.next();
        while self.token.kind() == Kind::Newline && !self.lines {
            self.token = self.lexer.next();
        }
    }

    /// Text of a token.
    pub(crate) fn text(&self, token: Token) -> &'t str {
        self.lexer.text(token.span())
    }

    /// Whether the current token is of a kind.
    pub(crate) fn at(&self, kind: Kind) -> bool {
        self.token.kind() == kind
    }

    /// Whether the current token is this word.
    pub(crate) fn at_word(&self, word: &str) -> bool {
        self.at(Kind::Name) && self.text(self.token) == word
    }

    /// Goes on if the current token is of a kind.
    pub(crate) fn eat(&mut self, kind: Kind) -> bool {
        let there = self.at(kind);
        if there {
            self.bump();
        }
        there
    }

    /// Goes on if the current token is this word.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let there = self.at_word(word);
        if there {
            self.bump();
        }
        there
    }

    /// From `start` to the end of the token before the current one.
    pub(crate) fn span_from(&self, start: Span) -> Span {
        Span { start: start.start, end: self.last_end.max(start.end) }
    }

    /// Adds a diagnostic; the last one that fits ends the reading.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            self.skipped = true;
            self.lexer.finish();
            self.token = Token::end(self.token.span().start);
        }
    }

    /// An error in this file.
    pub(crate) fn diagnose(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, Some(self.file), span, message)
    }

    /// Adds an error.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> Failed {
        let diagnostic = self.diagnose(code, span, message);
        self.report(diagnostic);
        Failed
    }

    /// Adds the error that something else was wanted than the current token.
    pub(crate) fn expected(&mut self, wanted: &str) -> Failed {
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            return Failed;
        }
        let token = self.token;
        let text = self.text(token);
        let (code, message) = match token.kind() {
            Kind::Stray => {
                (Code::Token, format!("found character {:?}, expected {wanted}", first_char(text)))
            }
            Kind::Unclosed => (Code::Token, "text has no closing quote on its line".into()),
            Kind::LongName => (Code::Limit, long_name(text)),
            Kind::Name | Kind::Number => {
                (Code::Syntax, format!("found '{}', expected {wanted}", shortened(text)))
            }
            kind => (Code::Syntax, format!("found {}, expected {wanted}", kind.describe())),
        };
        self.error(code, token.span(), message)
    }

    /// Adds the error that there is no type of a name, and why: each is defined before its use.
    pub(crate) fn unknown_type(&mut self, name: &str, span: Span, wanted: &str) -> Failed {
        let message = format!("found '{}', expected {wanted}", shortened(name));
        let text = self.lexer.source();
        let error = match self.definitions.get_or_insert_with(|| Definitions::of(text)).why(name, span) {
            Unknown::Undefined => self.diagnose(Code::UnknownType, span, message),
            Unknown::Broken(at) => self
                .diagnose(Code::UnknownType, span, format!("{message}; its definition has a mistake"))
                .with_label(at, "defined here"),
            Unknown::Below(at) => self
                .diagnose(Code::UnknownType, span, format!("{message}; types are defined before their use"))
                .with_label(at, "defined here"),
            Unknown::Circle(at, names) => self
                .diagnose(
                    Code::UnknownType,
                    span,
                    format!("{message}; types cannot define each other: {}", circle(&names)),
                )
                .with_label(at, "defined here"),
        };
        self.report(error);
        Failed
    }

    /// The current token, which must be of this kind.
    pub(crate) fn expect(&mut self, kind: Kind) -> Parse<Token> {
        self.expect_as(kind, kind.describe())
    }

    /// As [`Parser::expect`], with other words for what is wanted.
    pub(crate) fn expect_as(&mut self, kind: Kind, wanted: &str) -> Parse<Token> {
        let token = self.token;
        if token.kind() != kind {
            return Err(self.expected(wanted));
        }
        self.bump();
        Ok(token)
    }

    /// One allocation for equal names.
    pub(crate) fn share(&mut self, name: &'t str) -> Arc<str> {
        if let Some(shared) = self.shared.get(name) {
            return shared.clone();
        }
        let shared: Arc<str> = name.into();
        self.shared.insert(name, shared.clone());
        shared
    }

    /// The type variable of this name.
    pub(crate) fn variable(&self, name: &str) -> Option<Type> {
        self.variables.iter().find(|(other, _)| *other == name).map(|(_, variable)| variable.ty)
    }

    /// Whether a name or a quoted name is next.
    pub(crate) fn at_symbol(&self) -> bool {
        self.at(Kind::Name) || self.at(Kind::Quoted)
    }

    /// A name, or any text in quotes, and where it stands.
    pub(crate) fn symbol(&mut self, wanted: &str) -> Parse<(Arc<str>, Span)> {
        let token = self.token;
        if token.kind() == Kind::Name {
            self.bump();
            let text = self.text(token);
            return Ok((self.share(text), token.span()));
        }
        if token.kind() != Kind::Quoted {
            return Err(self.expected(wanted));
        }
        Ok((self.quoted_name()?.into(), token.span()))
    }

    /// A name in quotes: of any characters but zero bytes.
    pub(crate) fn quoted_name(&mut self) -> Parse<String> {
        let token = self.token;
        let text = self.quoted_text()?;
        if text.len() > MAX_NAME_BYTES {
            return Err(self.error(Code::Limit, token.span(), long_name(&text)));
        }
        // Symbols of objects and strings of SPIR-V end at such a byte.
        if text.contains('\0') {
            return Err(self.error(
                Code::Literal,
                token.span(),
                "found a name with a zero byte, expected one without",
            ));
        }
        Ok(text)
    }

    /// The bytes that a quoted text stands for.
    pub(crate) fn quoted_bytes(&mut self) -> Parse<Vec<u8>> {
        let token = self.expect(Kind::Quoted)?;
        unquote(self.text(token)).map_err(|bad| {
            let at = token.span().start as usize + bad.at;
            let message = "unknown escape, expected \\n, \\t, \\r, \\\", \\\\ or \\x and two digits";
            self.error(Code::Literal, Span::new(at, at + 1), message)
        })
    }

    /// The text that a quoted text stands for.
    pub(crate) fn quoted_text(&mut self) -> Parse<String> {
        let span = self.token.span();
        let bytes = self.quoted_bytes()?;
        String::from_utf8(bytes)
            .map_err(|_| self.error(Code::Encoding, span, "escapes do not make up UTF-8, expected text"))
    }

    /// A number of at most `limit`.
    pub(crate) fn number(&mut self, wanted: &str, limit: u64) -> Parse<u64> {
        let token = self.expect_as(Kind::Number, wanted)?;
        let text = self.text(token);
        let value = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        match value {
            Some(value) if value <= limit => Ok(value),
            _ => {
                let message = format!("found '{}', expected {wanted}, at most {limit}", shortened(text));
                Err(self.error(Code::Literal, token.span(), message))
            }
        }
    }

    /// Whether the current token is a word that starts an item, at the very start of a line. A label or a result of
    /// that name is no item: a name follows the word in all of them.
    pub(crate) fn at_item_line(&self) -> bool {
        let start = self.token.span().start;
        let line_start = start == 0 || self.lexer.text(Span { start: start - 1, end: start }) == "\n";
        let is_word = line_start && self.at(Kind::Name) && ITEM_WORDS.contains(&self.text(self.token));
        is_word && matches!(self.lexer.clone().next().kind(), Kind::Name | Kind::Quoted)
    }

    /// Skips the rest of a broken item: up to a line that starts one, or past the brace that closes it.
    pub(crate) fn skip_item(&mut self) {
        self.lines = false;
        self.skipped = true;
        let mut depth = 0u32;
        loop {
            match self.token.kind() {
                Kind::End => return,
                Kind::Name if self.at_item_line() => return,
                Kind::LeftBrace => depth += 1,
                Kind::RightBrace => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return self.bump();
                    }
                }
                _ => {}
            }
            self.bump();
        }
    }

    /// Skips the rest of a broken line in a body.
    pub(crate) fn skip_line(&mut self) {
        while !matches!(self.token.kind(), Kind::End | Kind::Newline | Kind::RightBrace) {
            self.bump();
        }
    }
}

fn first_char(text: &str) -> char {
    text.chars().next().unwrap_or(' ')
}

/// A piece of source that is fit for a message.
pub(crate) fn shortened(text: &str) -> &str {
    match text.char_indices().nth(60) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
