//! Byte spans in source text.

use std::sync::Arc;

/// A half-open range of bytes in one source file; `0..0` means "nowhere" (built by a host).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of things that no text spelled.
    pub const NOWHERE: Span = Span { start: 0, end: 0 };

    /// A span from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end) }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.end) }
    }

    /// Whether any text spelled this.
    pub fn is_somewhere(self) -> bool {
        self != Self::NOWHERE
    }
}

/// A source text with the name to show for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// What to call it in messages: usually the path as the user gave it.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl SourceFile {
    /// Line and column, both from 1, of a byte offset; columns count characters.
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        let upto = (offset as usize).min(self.text.len());
        let head = self.text.get(..upto).unwrap_or(&self.text);
        let line = head.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = head.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}
