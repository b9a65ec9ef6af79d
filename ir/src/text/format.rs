//! The formatter: one layout for a text, comments kept, tokens untouched.
//!
//! It works on tokens, not on the program, because reading drops comments. Labels stand at the margin, instructions
//! four spaces in, one per line; blank lines are kept, one at a time; inside brackets of items the author's line
//! breaks stay. A comment on a line of its own is indented like the code below it.

use crate::diag::{Code, Diagnostic};
use crate::limits::MAX_SOURCE_BYTES;
use crate::program::Program;
use crate::span::Span;
use crate::text::lexer::{Kind, Lexer, Token};

/// The text in its one layout; formatting that again changes nothing.
///
/// # Errors
/// The text is too large, or cannot be read as items, labels and lines. Mistakes inside of lines (unknown names, wrong
/// types) are no obstacle.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let mut program = Program::new();
    let (diagnostics, skipped) = super::read(&mut program, "", text, false);
    if skipped || diagnostics.iter().any(|diagnostic| diagnostic.code.is_syntax()) {
        return Err(diagnostics);
    }
    let mut formatter = Formatter {
        lexer: Lexer::with_comments(text),
        out: String::with_capacity(text.len()),
        last: [None; 3],
        comments: Vec::new(),
        nesting: 0,
        in_body: false,
        supertype: false,
        label: None,
        line_empty: true,
        comment_line: false,
        blank: false,
        just_opened: true,
        break_next: false,
    };
    formatter.run();
    // What it gave must be readable again.
    if formatter.out.len() > MAX_SOURCE_BYTES {
        let message = format!("formatted text has more than {MAX_SOURCE_BYTES} bytes");
        return Err(vec![Diagnostic::error(Code::Limit, None, Span::NOWHERE, message)]);
    }
    Ok(formatter.out)
}

const INDENT: &str = "    ";

struct Formatter<'t> {
    lexer: Lexer<'t>,
    out: String,
    /// The tokens before the current one, the nearest first.
    last: [Option<Token>; 3],
    /// Comments on lines of their own that wait for the code below, each with whether a blank line precedes it.
    comments: Vec<(Span, bool)>,
    /// Open brackets of an item, braces of structs included.
    nesting: usize,
    in_body: bool,
    /// Whether the item is one whose colon stands before a supertype, up to its brace.
    supertype: bool,
    /// In a label: how many parentheses are open.
    label: Option<usize>,
    /// Whether nothing of the current line is written yet.
    line_empty: bool,
    /// Whether the current line of the source is a comment alone.
    comment_line: bool,
    /// Whether the source has a blank line here.
    blank: bool,
    /// Whether nothing was written since the start of the text or of the body.
    just_opened: bool,
    /// Whether the next token goes on another line.
    break_next: bool,
}

impl Formatter<'_> {
    fn run(&mut self) {
        loop {
            let token = self.lexer.next();
            match token.kind() {
                Kind::End => break,
                // Indentation can make a text many times larger.
                _ if self.out.len() > MAX_SOURCE_BYTES => return,
                Kind::Newline => self.newline(),
                Kind::Comment if self.line_empty => {
                    self.comments.push((token.span(), std::mem::take(&mut self.blank)));
                    self.comment_line = true;
                }
                Kind::Comment => {
                    self.out.push(' ');
                    self.push_comment(token.span());
                }
                _ => self.token(token),
            }
        }
        self.flush_comments(0);
        if !self.line_empty {
            self.out.push('\n');
        }
    }

    fn newline(&mut self) {
        if !self.line_empty {
            return self.end_line();
        }
        // The end of a comment's own line is no blank line.
        if !std::mem::take(&mut self.comment_line) {
            self.blank = true;
        }
    }

    fn end_line(&mut self) {
        self.out.push('\n');
        self.line_empty = true;
        self.comment_line = false;
        self.blank = false;
        self.break_next = false;
        self.label = None;
    }

    fn push_comment(&mut self, span: Span) {
        let text = self.lexer.text(span).trim_end_matches([' ', '\t', '\r']);
        self.out.push_str(text);
    }

    fn push_blank(&mut self, wanted: bool) {
        if wanted && !std::mem::take(&mut self.just_opened) {
            self.out.push('\n');
        }
        self.just_opened = false;
    }

    fn flush_comments(&mut self, indent: usize) {
        for (span, blank) in std::mem::take(&mut self.comments) {
            self.push_blank(blank);
            self.out.push_str(&INDENT.repeat(indent));
            self.push_comment(span);
            self.out.push('\n');
        }
    }

    /// Starts a line with a token.
    fn start_line(&mut self, token: Token) {
        let closes = matches!(token.kind(), Kind::RightBrace | Kind::RightBracket | Kind::RightParen);
        let (indent, comment_indent) = if self.in_body {
            let is_label = token.kind() == Kind::Name
                && matches!(self.lexer.clone().next().kind(), Kind::Colon | Kind::LeftParen);
            self.label = is_label.then_some(0);
            (usize::from(!closes && !is_label), usize::from(!is_label))
        } else {
            (self.nesting - usize::from(closes && self.nesting > 0), self.nesting)
        };
        self.flush_comments(comment_indent);
        let blank = std::mem::take(&mut self.blank);
        self.push_blank(blank && !closes);
        self.out.push_str(&INDENT.repeat(indent));
        self.line_empty = false;
        self.comment_line = false;
    }

    fn token(&mut self, token: Token) {
        let closes_body = self.in_body && token.kind() == Kind::RightBrace;
        if !self.line_empty && (self.break_next || closes_body) {
            self.end_line();
        }
        if self.line_empty {
            self.start_line(token);
        } else if self.space_before(token) || (self.supertype && token.kind() == Kind::Colon) {
            self.out.push(' ');
        }
        self.out.push_str(self.lexer.text(token.span()));
        self.advance(token);
        self.last = [Some(token), self.last[0], self.last[1]];
    }

    /// What the token changes for those after it.
    fn advance(&mut self, token: Token) {
        let after_item_word =
            ["struct", "newtype", "abstract"].iter().any(|word| self.is_word(self.last[0], word));
        if token.kind() == Kind::Name && !self.in_body && self.nesting == 0 && !after_item_word {
            match self.lexer.text(token.span()) {
                "struct" | "newtype" | "abstract" | "impl" => self.supertype = true,
                "method" | "kernel" | "overlay" | "global" | "extern" => self.supertype = false,
                _ => {}
            }
        }
        match token.kind() {
            Kind::LeftBrace if self.supertype && !self.in_body => {
                self.nesting += 1;
                self.supertype = false;
            }
            // An unknown instruction may have anything on its line.
            Kind::LeftBrace if self.in_body => {}
            Kind::LeftBrace => {
                self.in_body = true;
                self.nesting = 0;
                self.just_opened = true;
                self.break_next = true;
            }
            Kind::RightBrace if self.in_body => {
                self.in_body = false;
                self.just_opened = false;
                self.break_next = true;
            }
            Kind::RightBrace => {
                self.nesting = self.nesting.saturating_sub(1);
                self.break_next = self.nesting == 0;
            }
            Kind::LeftParen | Kind::LeftBracket if self.in_body => {
                self.label = self.label.map(|open| open + 1);
            }
            Kind::RightParen | Kind::RightBracket if self.in_body => {
                self.label = self.label.map(|open| open.saturating_sub(1));
            }
            Kind::LeftParen | Kind::LeftBracket => self.nesting += 1,
            Kind::RightParen | Kind::RightBracket => self.nesting = self.nesting.saturating_sub(1),
            // Types of parameters have colons as well, inside the parentheses.
            Kind::Colon if self.label == Some(0) => self.break_next = true,
            _ => {}
        }
    }

    fn is_word(&self, token: Option<Token>, word: &str) -> bool {
        token.is_some_and(|token| token.kind() == Kind::Name && self.lexer.text(token.span()) == word)
    }

    fn space_before(&self, token: Token) -> bool {
        let Some(last) = self.last[0] else { return false };
        match (last.kind(), token.kind()) {
            (Kind::LeftBrace, Kind::RightBrace) => false,
            (Kind::LeftParen | Kind::LeftBracket | Kind::Less | Kind::Dot | Kind::Minus, _) => false,
            (_, Kind::Comma | Kind::Colon | Kind::Dot | Kind::Less | Kind::Greater) => false,
            (_, Kind::RightParen | Kind::RightBracket | Kind::Ellipsis) => false,
            (Kind::Greater, Kind::LeftParen) => false,
            (Kind::Name | Kind::Quoted, Kind::LeftParen) => false,
            // `nan:0x7fc00001` is one literal.
            (Kind::Colon, Kind::Number) => !self.is_word(self.last[1], "nan"),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Kind, &str)> {
        let mut lexer = Lexer::with_comments(text);
        let mut list = Vec::new();
        loop {
            let token = lexer.next();
            match token.kind() {
                Kind::End => return list,
                Kind::Newline => {}
                Kind::Comment => list.push((token.kind(), lexer.text(token.span()).trim_end())),
                kind => list.push((kind, lexer.text(token.span()))),
            }
        }
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        let once = format(text).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(once, want);
        assert_eq!(tokens(&once), tokens(text));
        assert_eq!(format(&once).as_deref(), Ok(want), "not idempotent");
    }

    #[test]
    fn layout() {
        check(
            "\n\n; head  \n\n\n; more\n method  f ( a:i32,b : i32 )->( i32,i1 )inline{ ; trailing\n\n\nentry :  x=add a ,b;c\n\n\n\
             ; about x\n  ; still\n\n jump loop (x)\n; before the label\nloop( k:i32 ) : return k , i1 true}\n\n\n; end\n\n",
            "; head\n\n; more\nmethod f(a: i32, b: i32) -> (i32, i1) inline { ; trailing\nentry:\n    x = add a, b ;c\n\n    \
             ; about x\n    ; still\n\n    jump loop(x)\n; before the label\nloop(k: i32):\n    return k, i1 true\n}\n\n; end\n",
        );
    }

    #[test]
    fn literals_and_suffixes() {
        check(
            "method f(p:ptr< global >){entry:\nx = load . vec<f32,2> p align 4  volatile\ny=add x,vec<f32,2>[nan:0x7fc00001,-inf]\n\
             z=reduce_min.s vec<i32 , 2> zero\nswitch z,a,[0:a,-5 : b( x )]\na:\nreturn\nb(q:vec<f32,2>):\nunreachable\n; last\n\n}",
            "method f(p: ptr<global>) {\nentry:\n    x = load.vec<f32, 2> p align 4 volatile\n    \
             y = add x, vec<f32, 2> [nan:0x7fc00001, -inf]\n    z = reduce_min.s vec<i32, 2> zero\n    \
             switch z, a, [0: a, -5: b(x)]\na:\n    return\nb(q: vec<f32, 2>):\n    unreachable\n    ; last\n}\n",
        );
    }

    #[test]
    fn items_keep_their_line_breaks() {
        check(
            "struct e{} struct p{x:f32,y:f32}\nstruct q {\n; first\nx: f32, ; one\n\n\ny: f32\n}\nglobal t:array<i32,4> in constant=[\ni32 1,i32 2,\n\
             i32 3,i32 4\n]\nextern  func sin( f64 )->f64 as\"sin\"\nmethod \"f(i32)\"(\na: i32,\nb: i32\n) {\nentry:\nreturn\n}\nmethod g(){method:\nreturn}",
            "struct e {}\nstruct p { x: f32, y: f32 }\nstruct q {\n    ; first\n    x: f32, ; one\n\n    y: f32\n}\n\
             global t: array<i32, 4> in constant = [\n    i32 1, i32 2,\n    i32 3, i32 4\n]\n\
             extern func sin(f64) -> f64 as \"sin\"\nmethod \"f(i32)\"(\n    a: i32,\n    b: i32\n) {\nentry:\n    return\n}\n\
             method g() {\nmethod:\n    return\n}\n",
        );
    }

    #[test]
    fn only_comments_and_nothing() {
        check("", "");
        check("\n\n", "");
        check("  ; a\r\n\r\n\r\n;b", "; a\n\n;b\n");
    }

    #[test]
    fn refuses_what_does_not_read() {
        for text in ["method", "method f() {", "method f() {\nentry:\n    x = add\n}\n", "global \"a", "é"] {
            let errors = format(text).expect_err(text);
            assert!(!errors.is_empty(), "{text}");
        }
        // Wrong types are no matter of layout.
        check(
            "method f() -> i32 {\nentry:\nx = add i32 1, f32 1.0\nreturn x\n}\n",
            "method f() -> i32 {\nentry:\n    x = add i32 1, f32 1.0\n    return x\n}\n",
        );
    }
}
