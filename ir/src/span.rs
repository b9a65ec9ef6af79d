//! Byte spans in source text.

use std::fmt;
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

/// Where something stands in a source text, as people look it up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The file's name.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

impl Location {
    /// Where a span starts; none if no text spelled it.
    pub fn of(files: &[SourceFile], file: Option<u32>, span: Span) -> Option<Location> {
        let file = files.get(file? as usize).filter(|_| span.is_somewhere())?;
        let (line, column) = file.line_column(span.start);
        Some(Location { file: file.name.clone(), line, column })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The starts of a text's lines, for whoever asks for many places in it.
#[derive(Clone, Debug)]
pub struct LineIndex<'t> {
    text: &'t str,
    starts: Vec<u32>,
}

impl<'t> LineIndex<'t> {
    /// Finds the lines of a file.
    pub fn new(file: &'t SourceFile) -> Self {
        let ends = file.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let starts = ends.filter_map(|(at, _)| u32::try_from(at + 1).ok());
        LineIndex { text: &file.text, starts: std::iter::once(0).chain(starts).collect() }
    }

    /// As [`SourceFile::line_column`].
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        self.line_column_within(offset, usize::MAX)
    }

    /// The same, but column 0 where that is far to the right: asking about everything in a text of one line does not
    /// cost its square.
    pub fn near_line_column(&self, offset: u32) -> (usize, usize) {
        self.line_column_within(offset, 4096)
    }

    fn line_column_within(&self, offset: u32, most: usize) -> (usize, usize) {
        let upto = (offset as usize).min(self.text.len());
        let line = self.starts.partition_point(|&start| start as usize <= upto);
        let start = self.starts.get(line.wrapping_sub(1)).map_or(0, |&start| start as usize);
        if upto - start > most {
            return (line, 0);
        }
        (line, self.text.get(start..upto).map_or(0, |text| text.chars().count()) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_agrees_with_counting() {
        for text in ["", "a", "\n", "one\ntwo é three\n\nfour", "\n\n"] {
            let file = SourceFile { name: "a".into(), text: text.into() };
            let index = LineIndex::new(&file);
            for offset in (0..=text.len() + 2).filter(|&at| text.is_char_boundary(at.min(text.len()))) {
                let offset = offset as u32;
                assert_eq!(index.line_column(offset), file.line_column(offset), "{text:?} at {offset}");
            }
        }
    }
}
