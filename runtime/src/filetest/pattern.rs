//! Patterns that look for a text in the lines of another one.
//!
//! Runs of white space count as one space, and a pattern that starts or ends within a word matches whole words only:
//! `add` is neither in `fadd` nor in `add_1`. `...` stands for anything on the same line.

use std::fmt;

/// Lines as patterns see them.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(squeeze).collect()
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A place in lines.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Cursor {
    /// Which line, from 0.
    pub line: usize,
    /// Which byte of it.
    column: usize,
}

/// What to look for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    text: String,
    /// What stands between `...`, in order.
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    text: String,
    /// Whether a word starts with it.
    starts_word: bool,
    /// Whether a word ends with it.
    ends_word: bool,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Pattern {
    /// A pattern from its text; none if there is nothing to look for.
    pub(super) fn new(text: &str) -> Option<Pattern> {
        let text = squeeze(text);
        let parts: Vec<&str> = text.split("...").collect();
        let piece = |(n, part): (usize, &&str)| {
            let (first, last) = (n == 0, n + 1 == parts.len());
            let trimmed = part.trim();
            (!trimmed.is_empty()).then(|| Piece {
                text: trimmed.to_string(),
                starts_word: first && trimmed.starts_with(is_word),
                ends_word: last && trimmed.ends_with(is_word),
            })
        };
        let pieces: Vec<Piece> = parts.iter().enumerate().filter_map(piece).collect();
        (!pieces.is_empty()).then_some(Pattern { text, pieces })
    }

    /// Where the first match from a place on ends.
    pub(super) fn find(&self, lines: &[String], from: Cursor) -> Option<Cursor> {
        let places = lines.iter().enumerate().skip(from.line);
        places
            .map(|(line, text)| (line, text, if line == from.line { from.column } else { 0 }))
            .find_map(|(line, text, column)| Some(Cursor { line, column: self.end_in(text, column)? }))
    }

    /// How many matches there are, none overlapping another.
    pub(super) fn count(&self, lines: &[String]) -> usize {
        let mut cursor = Cursor::default();
        let mut count = 0;
        while let Some(after) = self.find(lines, cursor) {
            count += 1;
            cursor = after;
        }
        count
    }

    /// Where the first match in a line ends. The leftmost place for each piece leaves most room for the others.
    fn end_in(&self, line: &str, from: usize) -> Option<usize> {
        self.pieces.iter().try_fold(from, |from, piece| piece.end_in(line, from))
    }
}

impl Piece {
    fn end_in(&self, line: &str, from: usize) -> Option<usize> {
        let rest = line.get(from..)?;
        rest.match_indices(&self.text).find_map(|(at, found)| {
            let (before, after) = (line.get(..from + at)?, line.get(from + at + found.len()..)?);
            let torn = (self.starts_word && before.ends_with(is_word))
                || (self.ends_word && after.starts_with(is_word));
            (!torn).then_some(from + at + found.len())
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pattern: &str, text: &str) -> usize {
        Pattern::new(pattern).expect("a pattern").count(&lines(text))
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(count("add", "fadd add_1 add.s32 (add)"), 2);
        assert_eq!(count("add...", "fadd add_1 add.s32 (add)"), 3);
        assert_eq!(count("%r", "%r1 %r"), 1);
        assert_eq!(count(".entry f", ".visible .entry f("), 1);
    }

    #[test]
    fn white_space_is_one_space() {
        assert_eq!(count("add.s32  %r1, %r2", "\tadd.s32\t%r1,   %r2;\n"), 1);
        assert_eq!(count("a b", "a\nb"), 0);
    }

    #[test]
    fn dots_stand_for_anything_on_a_line() {
        assert_eq!(count("fma ... %f2", "fma.rn.f32 %f1, %f2\nfma %f2\nfma\n%f2"), 2);
        assert_eq!(count("a...b...c", "a1b2c a1c2b"), 1);
        assert_eq!(Pattern::new("..."), None);
        assert_eq!(Pattern::new("  "), None);
    }

    #[test]
    fn search_goes_on_after_a_match() {
        let lines = lines("one two one\nthree");
        let one = Pattern::new("one").expect("a pattern");
        let first = one.find(&lines, Cursor::default()).expect("a match");
        let second = one.find(&lines, first).expect("a match");
        assert!(second.column > first.column);
        assert_eq!(one.find(&lines, second), None);
    }
}
