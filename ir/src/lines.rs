//! Lines and columns of many places in texts: for formats that debuggers read, and for dumps.

use crate::span::{LineIndex, SourceFile, Span};

/// A place in a text.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The file, an index into the files.
    pub file: u32,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1; 0 where that is far to the right.
    pub column: u32,
}

/// Where the lines of files start, for those files that were asked about.
#[derive(Debug)]
pub struct Lines<'u> {
    files: &'u [SourceFile],
    indices: Vec<Option<LineIndex<'u>>>,
}

impl<'u> Lines<'u> {
    /// Of the files of a program or unit.
    pub fn new(files: &'u [SourceFile]) -> Self {
        Lines { files, indices: Vec::new() }
    }

    /// Line and column of a span; none if no text spelled it.
    pub fn place(&mut self, file: Option<u32>, span: Span) -> Option<Place> {
        let file = file.filter(|_| span.is_somewhere())?;
        let source = self.files.get(file as usize)?;
        if self.indices.is_empty() {
            self.indices.resize(self.files.len(), None);
        }
        let index = self.indices.get_mut(file as usize)?.get_or_insert_with(|| LineIndex::new(source));
        let (line, column) = index.near_line_column(span.start);
        Some(Place { file, line: line as u32, column: column as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_messages() {
        let text = "one\n\ntwo ü x\nthree";
        let file = SourceFile { name: "t.mq".into(), text: text.into() };
        let files = [file.clone()];
        let mut lines = Lines::new(&files);
        for (at, _) in text.char_indices().skip(1) {
            let place = lines.place(Some(0), Span::new(at, at + 1)).unwrap();
            assert_eq!((place.line as usize, place.column as usize), file.line_column(at as u32), "{at}");
        }
        assert_eq!(lines.place(Some(0), Span::NOWHERE), None);
        assert_eq!(lines.place(Some(1), Span::new(1, 2)), None);
        assert_eq!(lines.place(None, Span::new(1, 2)), None);
    }
}
