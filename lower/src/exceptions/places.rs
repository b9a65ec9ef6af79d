//! The table that comes with code that throws: what every status means, in words.
//!
//! A [`Site`] points into the program's source files. What hosts keep for as long as the code must not need these: a
//! [`ThrowPlace`] holds names, files, lines and the calls on the way, and nothing else.

use crate::legal::Site;
use marquetry_ir::body::Frame;
use marquetry_ir::span::{LineIndex, Location, SourceFile, Span};
use marquetry_ir::types::Type;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThrowFrame {
    /// The function.
    pub function: Arc<str>,
    /// Where in the source, if a text spelled it. The column is 0 far to the right.
    pub location: Option<Location>,
}

/// A place that throws. Its number plus one is the status that leaves the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThrowPlace {
    /// The kind of exception.
    pub kind: Arc<str>,
    /// The reason that the author gave: a format if there are operands.
    pub reason: Option<Arc<str>>,
    /// The types of the operands.
    pub operands: Box<[Type]>,
    /// What throws.
    pub at: ThrowFrame,
    /// Who called it, as in [`Site::callers`].
    pub callers: Box<[ThrowFrame]>,
    /// Who may have called the last of these, as in [`Site::candidates`].
    pub candidates: Arc<[ThrowFrame]>,
    /// Whether there are more than these lists name, as in [`Site::more`].
    pub more: bool,
}

/// Finds lines in source files, whose starts it looks up once.
#[derive(Debug)]
pub struct Locator<'a> {
    files: &'a [SourceFile],
    indices: BTreeMap<u32, LineIndex<'a>>,
}

impl<'a> Locator<'a> {
    /// For the files of a program.
    pub fn new(files: &'a [SourceFile]) -> Self {
        Locator { files, indices: BTreeMap::new() }
    }

    /// Where a span starts, if a text spelled it.
    pub fn location(&mut self, file: Option<u32>, span: Span) -> Option<Location> {
        let number = file.filter(|_| span.is_somewhere())?;
        let file = self.files.get(number as usize)?;
        let index = self.indices.entry(number).or_insert_with(|| LineIndex::new(file));
        let (line, column) = index.near_line_column(span.start);
        Some(Location { file: file.name.clone(), line, column })
    }

    fn frame(&mut self, frame: &Frame) -> ThrowFrame {
        let location = self.location(frame.file, frame.span);
        ThrowFrame { function: frame.function.clone(), location }
    }

    /// A place, in words.
    pub fn place(&mut self, site: &Site) -> ThrowPlace {
        let location = self.location(site.file, site.span);
        ThrowPlace {
            kind: site.kind.clone(),
            reason: site.reason.clone(),
            operands: site.operands.clone(),
            at: ThrowFrame { function: site.function.clone(), location },
            callers: site.callers.iter().map(|frame| self.frame(frame)).collect(),
            candidates: site.candidates.iter().map(|frame| self.frame(frame)).collect(),
            more: site.more,
        }
    }
}

/// The table of a unit, by number.
pub fn table(sites: &[Site], files: &[SourceFile]) -> Arc<[ThrowPlace]> {
    let mut locator = Locator::new(files);
    sites.iter().map(|site| locator.place(site)).collect()
}
