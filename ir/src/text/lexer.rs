//! Bytes to tokens, by hand: a token is a kind and a byte range, nothing is copied.

use crate::limits::{MAX_NAME_BYTES, MAX_SOURCE_BYTES};
use crate::span::Span;

/// What a token is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    End,
    Newline,
    /// A comment, from `;` up to the end of the line; only seen by the formatter.
    Comment,
    Name,
    /// Digits with what belongs to them: sign, base, fraction, exponent.
    Number,
    /// A text in double quotes, quotes included.
    Quoted,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    Less,
    Greater,
    Comma,
    Colon,
    Dot,
    Equals,
    Arrow,
    Minus,
    /// `...`
    Ellipsis,
    /// A character that no token starts with.
    Stray,
    /// A text whose closing quote is missing.
    Unclosed,
    /// A name of more than [`MAX_NAME_BYTES`].
    LongName,
}

impl Kind {
    const ALL: [Kind; 24] = {
        use Kind::*;
        [
            End,
            Newline,
            Comment,
            Name,
            Number,
            Quoted,
            LeftParen,
            RightParen,
            LeftBracket,
            RightBracket,
            LeftBrace,
            RightBrace,
            Less,
            Greater,
            Comma,
            Colon,
            Dot,
            Equals,
            Arrow,
            Minus,
            Ellipsis,
            Stray,
            Unclosed,
            LongName,
        ]
    };

    /// How messages call it.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Kind::End => "the end of the text",
            Kind::Newline => "the end of the line",
            Kind::Comment => "a comment",
            Kind::Name => "a name",
            Kind::Number => "a number",
            Kind::Quoted => "a quoted text",
            Kind::LeftParen => "'('",
            Kind::RightParen => "')'",
            Kind::LeftBracket => "'['",
            Kind::RightBracket => "']'",
            Kind::LeftBrace => "'{'",
            Kind::RightBrace => "'}'",
            Kind::Less => "'<'",
            Kind::Greater => "'>'",
            Kind::Comma => "','",
            Kind::Colon => "':'",
            Kind::Dot => "'.'",
            Kind::Equals => "'='",
            Kind::Arrow => "'->'",
            Kind::Minus => "'-'",
            Kind::Ellipsis => "'...'",
            Kind::Stray => "a stray character",
            Kind::Unclosed => "a text without closing quote",
            Kind::LongName => "a name that is too long",
        }
    }
}

/// One token in one register: kind, start and end. Parsing copies tokens all the time, and a copy of three fields
/// that were just written one by one stalls on most processors.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token(u64);

/// Bits of an offset in a token.
const OFFSET_BITS: u32 = 29;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

const _: () =
    assert!(MAX_SOURCE_BYTES as u64 <= OFFSET_MASK && Kind::ALL.len() <= 1 << (64 - 2 * OFFSET_BITS));

impl Token {
    fn new(kind: Kind, start: usize, end: usize) -> Token {
        let offset = |at: usize| at as u64 & OFFSET_MASK;
        Token((kind as u64) << (2 * OFFSET_BITS) | offset(end) << OFFSET_BITS | offset(start))
    }

    /// The end of a text that is not read on.
    pub(crate) fn end(at: u32) -> Token {
        Token::new(Kind::End, at as usize, at as usize)
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        let number = (self.0 >> (2 * OFFSET_BITS)) as usize;
        Kind::ALL.get(number).copied().unwrap_or(Kind::End)
    }

    /// Where it stands.
    pub(crate) fn span(self) -> Span {
        Span { start: (self.0 & OFFSET_MASK) as u32, end: (self.0 >> OFFSET_BITS & OFFSET_MASK) as u32 }
    }
}

/// Reads tokens from a text. Texts are at most [`MAX_SOURCE_BYTES`](crate::limits::MAX_SOURCE_BYTES) long, so that
/// offsets fit 32 bits.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    comments: bool,
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_name_byte(byte as u8);
        byte += 1;
    }
    table
};

/// The length of the byte order mark that some editors put in front of UTF-8.
fn mark(text: &str) -> usize {
    let mark = '\u{feff}';
    if text.starts_with(mark) { mark.len_utf8() } else { 0 }
}

impl<'t> Lexer<'t> {
    /// Reads code.
    pub(crate) fn new(text: &'t str) -> Self {
        Lexer { text, at: mark(text), comments: false }
    }

    /// Reads code and comments.
    pub(crate) fn with_comments(text: &'t str) -> Self {
        Lexer { text, at: mark(text), comments: true }
    }

    /// The text of a span.
    pub(crate) fn text(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Skips everything.
    pub(crate) fn finish(&mut self) {
        self.at = self.text.len();
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn name_end(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|byte| NAME_BYTES[byte as usize]) {
            at += 1;
        }
        at
    }

    /// The text from `start` over a dot at the current place and the name after it: `div.s`.
    pub(crate) fn dotted(&self, start: u32) -> &'t str {
        self.text.get(start as usize..self.name_end(self.at)).unwrap_or("")
    }

    fn skip_line(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        self.at += rest.iter().position(|&byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Token {
        loop {
            match self.byte(self.at) {
                Some(b' ' | b'\t') => self.at += 1,
                // Alone it would end a line for some readers, and hide the next one in a comment for others.
                Some(b'\r') if matches!(self.byte(self.at + 1), Some(b'\n') | None) => self.at += 1,
                Some(b';') => {
                    let start = self.at;
                    self.skip_line();
                    if self.comments {
                        return Token::new(Kind::Comment, start, self.at);
                    }
                }
                _ => break,
            }
        }
        let start = self.at;
        let kind = match self.byte(start) {
            None => Kind::End,
            Some(byte) => self.scan(byte),
        };
        Token::new(kind, start, self.at)
    }

    fn scan(&mut self, byte: u8) -> Kind {
        let start = self.at;
        self.at += 1;
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                self.at = self.name_end(self.at);
                if self.at - start > MAX_NAME_BYTES { Kind::LongName } else { Kind::Name }
            }
            b'0'..=b'9' => self.number(),
            b'-' => match self.byte(self.at) {
                Some(b'0'..=b'9') => self.number(),
                Some(b'>') => {
                    self.at += 1;
                    Kind::Arrow
                }
                _ => Kind::Minus,
            },
            b'\n' => Kind::Newline,
            b'(' => Kind::LeftParen,
            b')' => Kind::RightParen,
            b'[' => Kind::LeftBracket,
            b']' => Kind::RightBracket,
            b'{' => Kind::LeftBrace,
            b'}' => Kind::RightBrace,
            b'<' => Kind::Less,
            b'>' => Kind::Greater,
            b',' => Kind::Comma,
            b':' => Kind::Colon,
            b'.' if self.byte(self.at) == Some(b'.') && self.byte(self.at + 1) == Some(b'.') => {
                self.at += 2;
                Kind::Ellipsis
            }
            b'.' => Kind::Dot,
            b'=' => Kind::Equals,
            b'"' => self.quoted(),
            _ => {
                while !self.text.is_char_boundary(self.at) {
                    self.at += 1;
                }
                Kind::Stray
            }
        }
    }

    fn number(&mut self) -> Kind {
        let start = self.at;
        let hex = matches!(self.byte(start), Some(b'x' | b'X'));
        let mut last = b'0';
        while let Some(byte) = self.byte(self.at) {
            let fraction = byte == b'.' && self.byte(self.at + 1).is_some_and(|next| next.is_ascii_digit());
            let exponent = matches!(byte, b'+' | b'-') && matches!(last, b'e' | b'E') && !hex;
            if !NAME_BYTES[byte as usize] && !fraction && !exponent {
                break;
            }
            last = byte;
            self.at += 1;
        }
        Kind::Number
    }

    fn quoted(&mut self) -> Kind {
        loop {
            match self.byte(self.at) {
                None | Some(b'\n') => return Kind::Unclosed,
                Some(b'"') => {
                    self.at += 1;
                    return Kind::Quoted;
                }
                Some(b'\\') if self.byte(self.at + 1).is_some_and(|next| next != b'\n') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_every_kind_and_offset() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            let token = Token::new(kind, MAX_SOURCE_BYTES - number, MAX_SOURCE_BYTES);
            assert_eq!(
                (token.kind(), token.span()),
                (kind, Span::new(MAX_SOURCE_BYTES - number, MAX_SOURCE_BYTES))
            );
        }
    }

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let mut lexer = Lexer::with_comments(text);
        let mut list = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind() == Kind::End {
                return list;
            }
            list.push((token.kind(), lexer.text(token.span())));
        }
    }

    #[test]
    fn numbers_take_what_belongs_to_them() {
        for number in ["0", "-5", "1.5", "1e-7", "-1.25E+10", "0x7fc00001", "12"] {
            assert_eq!(kinds(number), [(Kind::Number, number)]);
        }
        let want = [(Kind::Number, "0x1e"), (Kind::Minus, "-"), (Kind::Name, "inf")];
        assert_eq!(kinds("0x1e -inf"), want);
        assert_eq!(kinds("1."), [(Kind::Number, "1"), (Kind::Dot, ".")]);
    }

    #[test]
    fn texts_and_comments() {
        assert_eq!(kinds(r#""a\"b;" ; c"#), [(Kind::Quoted, r#""a\"b;""#), (Kind::Comment, "; c")]);
        assert_eq!(kinds("\"a\n"), [(Kind::Unclosed, "\"a"), (Kind::Newline, "\n")]);
        assert_eq!(kinds("\"a\\"), [(Kind::Unclosed, "\"a\\")]);
        assert_eq!(kinds("\"a\\é\""), [(Kind::Quoted, "\"a\\é\"")]);
        assert_eq!(kinds("; c\r\nx\r"), [(Kind::Comment, "; c"), (Kind::Newline, "\n"), (Kind::Name, "x")]);
        assert_eq!(kinds("; c\rx"), [(Kind::Comment, "; c"), (Kind::Stray, "\r"), (Kind::Name, "x")]);
        assert_eq!(kinds("\u{feff}x\u{feff}"), [(Kind::Name, "x"), (Kind::Stray, "\u{feff}")]);
        assert_eq!(kinds("é->"), [(Kind::Stray, "é"), (Kind::Arrow, "->")]);
    }
}
