//! The bytes of an image, and how they are read and written one by one.
//!
//! All numbers are little-endian. What a number says is checked before it is used; nothing here trusts the bytes.

use super::ImageError;
use std::ops::Range;

/// How a file begins. The first byte is no text, the last ones show what transfers make of line ends.
pub(super) const MAGIC: [u8; 8] = *b"\x89MARQ\r\n\x1a";
/// The version of everything that is laid out in the file, and of what code in it shares with this crate: packed blocks,
/// `WorkGroup`, `WorkItem` and `StackLimit`. It grows when one of these changes.
pub(super) const VERSION: u32 = 4;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 256;
/// Where the checksum stands; it covers what comes after it.
pub(super) const CHECKSUM_AT: usize = 16;
/// The first byte that the checksum covers.
pub(super) const CHECKED_FROM: usize = 24;
/// Where the directory begins.
pub(super) const DIRECTORY_AT: usize = 48;
/// Most bytes of an image: everything in it is within reach of everything else.
pub(super) const MAX_BYTES: u64 = 1 << 31;

/// A part of the file. They lie in this order, and none overlaps another.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Strings,
    StringTable,
    Configs,
    Symbols,
    Words,
    Definitions,
    Entries,
    Index,
    Details,
    Text,
    Constants,
    Data,
}

impl Part {
    pub(super) const ALL: [Part; 12] = [
        Part::Strings,
        Part::StringTable,
        Part::Configs,
        Part::Symbols,
        Part::Words,
        Part::Definitions,
        Part::Entries,
        Part::Index,
        Part::Details,
        Part::Text,
        Part::Constants,
        Part::Data,
    ];

    /// What messages call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Part::Strings => "strings",
            Part::StringTable => "table of strings",
            Part::Configs => "configs",
            Part::Symbols => "symbols",
            Part::Words => "relocations",
            Part::Definitions => "definitions",
            Part::Entries => "entries",
            Part::Index => "index",
            Part::Details => "details",
            Part::Text => "text",
            Part::Constants => "constants",
            Part::Data => "data",
        }
    }

    /// Bytes of a row; 1 where it has none.
    pub(super) const fn row_bytes(self) -> usize {
        match self {
            Part::StringTable => 8,
            Part::Configs => 16,
            Part::Symbols => 12,
            Part::Words => 24,
            Part::Definitions => 32,
            Part::Entries => 64,
            Part::Index => 12,
            Part::Strings | Part::Details | Part::Text | Part::Constants | Part::Data => 1,
        }
    }

    /// Whether it is mapped with rights of its own.
    pub(super) const fn is_segment(self) -> bool {
        matches!(self, Part::Text | Part::Constants | Part::Data)
    }
}

const _: () = assert!(DIRECTORY_AT + 16 * Part::ALL.len() <= HEADER_BYTES);

/// Kinds of symbols.
pub(super) const SYMBOL_ROUTINE: u32 = 0;
pub(super) const SYMBOL_HOST: u32 = 1;
/// Of [`WordRow::target`]: not a symbol, but a segment of the image, by the number of its part.
pub(super) const SEGMENT: u32 = 1 << 31;
/// No string, no library.
pub(super) const NONE: u32 = u32::MAX;

/// Flags of entries.
pub(super) const FLAG_KERNEL: u32 = 1;
pub(super) const FLAG_VALIDATED: u32 = 2;

/// The number at a place.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number at a place.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What there is to know of an entry before it is asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct EntryRow {
    pub(super) hash: u64,
    /// Name and types of the arguments.
    pub(super) name: u32,
    pub(super) table: u32,
    pub(super) config: u32,
    pub(super) definition: u32,
    pub(super) flags: u32,
    pub(super) wrapper: u32,
    pub(super) direct: u32,
    pub(super) text: u32,
    pub(super) text_bytes: u32,
    pub(super) details: u32,
    pub(super) details_bytes: u32,
}

impl EntryRow {
    pub(super) fn read(row: &[u8; 64]) -> Self {
        let word = |n: usize| u32_at(row, 8 + 4 * n).unwrap_or(0);
        EntryRow {
            hash: u64_at(row, 0).unwrap_or(0),
            name: word(0),
            table: word(1),
            config: word(2),
            definition: word(3),
            flags: word(4),
            wrapper: word(5),
            direct: word(6),
            text: word(7),
            text_bytes: word(8),
            details: word(9),
            details_bytes: word(10),
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.hash);
        let words = [
            self.name,
            self.table,
            self.config,
            self.definition,
            self.flags,
            self.wrapper,
            self.direct,
            self.text,
            self.text_bytes,
            self.details,
            self.details_bytes,
            0,
            0,
            0,
        ];
        words.into_iter().for_each(|word| out.u32(word));
    }

    pub(super) fn details(&self) -> Option<Range<usize>> {
        let start = self.details as usize;
        Some(start..start.checked_add(self.details_bytes as usize)?)
    }
}

/// A relocation.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct WordRow {
    /// The number of the part that it is in.
    pub(super) part: u32,
    pub(super) offset: u32,
    /// A symbol, or a segment.
    pub(super) target: u32,
    /// Its kind: an address of eight bytes is the only one.
    pub(super) kind: u32,
    pub(super) addend: i64,
}

/// An address of eight bytes.
pub(super) const KIND_ADDRESS: u32 = 1;

impl WordRow {
    pub(super) fn read(row: &[u8; 24]) -> Self {
        let word = |n: usize| u32_at(row, 4 * n).unwrap_or(0);
        WordRow {
            part: word(0),
            offset: word(1),
            target: word(2),
            kind: word(3),
            addend: u64_at(row, 16).unwrap_or(0) as i64,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        [self.part, self.offset, self.target, self.kind].into_iter().for_each(|word| out.u32(word));
        out.u64(self.addend as u64);
    }
}

/// Bytes that grow.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// How many there are, and each.
    pub(super) fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        items.iter().for_each(|item| each(self, item));
    }
}

/// Reads details from their beginning.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Whose they are, for messages.
    item: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], item: &'a str) -> Self {
        Reader { rest: bytes, item }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> ImageError {
        ImageError::damaged(format!("entry '{}'", self.item), what)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        match self.rest.split_first_chunk() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(self.damaged("its details end too early")),
        }
    }

    pub(super) fn u8(&mut self) -> Result<u8, ImageError> {
        Ok(self.take::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(super) fn flag(&mut self) -> Result<bool, ImageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(format!("found {other}, expected a truth value"))),
        }
    }

    /// One of a list, by its number.
    pub(super) fn one_of<T: Copy>(&mut self, all: &[T], what: &str) -> Result<T, ImageError> {
        let number = self.u8()?;
        let known = all.get(usize::from(number)).copied();
        known.ok_or_else(|| self.damaged(format!("{what} {number} does not exist")))
    }

    /// As many as it says, each of at least `least` bytes: a count that cannot be is refused before anything is made
    /// for it.
    pub(super) fn list<T>(
        &mut self,
        least: usize,
        mut each: impl FnMut(&mut Self) -> Result<T, ImageError>,
    ) -> Result<Vec<T>, ImageError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least.max(1) {
            return Err(
                self.damaged(format!("a list of {count}, which {} bytes do not hold", self.rest.len()))
            );
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(each(self)?);
        }
        Ok(items)
    }

    pub(super) fn end(&self) -> Result<(), ImageError> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.damaged(format!("{more} bytes after its details"))),
        }
    }
}
