//! Reading an image: everything of a fixed size is checked in one pass, before anything of it is used.

use super::ImageError;
use super::format::{
    CHECKED_FROM, CHECKSUM_AT, DIRECTORY_AT, EntryRow, HEADER_BYTES, KIND_ADDRESS, MAGIC, MAX_BYTES, NONE,
    Part, SEGMENT, SYMBOL_HOST, VERSION, WordRow, u32_at, u64_at,
};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Where the parts of an image are. Made by [`check`] only, so that what they say holds.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    parts: [Range<usize>; Part::ALL.len()],
    pub(super) page: usize,
    machine: u32,
    features: u32,
}

impl Layout {
    /// How far what describes the image reaches: up to its text. Nobody writes any of that, while constants and data are
    /// written when the image is linked, and data by its code.
    pub(super) fn described(&self) -> usize {
        self.start(Part::Text as u32)
    }

    /// Where a part is.
    pub(super) fn range(&self, part: Part) -> Range<usize> {
        self.parts.get(part as usize).cloned().unwrap_or(0..0)
    }

    /// Where the part of a number begins.
    pub(super) fn start(&self, part: u32) -> usize {
        self.parts.get(part as usize).map_or(0, |range| range.start)
    }
}

/// The checksum of an image's bytes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes.get(CHECKED_FROM..).unwrap_or_default())
}

fn header(what: impl Into<String>) -> ImageError {
    ImageError::damaged("header", what)
}

fn at_u32(bytes: &[u8], at: usize) -> Result<u32, ImageError> {
    u32_at(bytes, at).ok_or_else(|| header("it ends too early"))
}

fn at_u64(bytes: &[u8], at: usize) -> Result<u64, ImageError> {
    u64_at(bytes, at).ok_or_else(|| header("it ends too early"))
}

/// Checks everything but the details of entries.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn check(bytes: &[u8]) -> Result<Layout, ImageError> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err(ImageError::NotAnImage);
    }
    let found = at_u32(bytes, 8)?;
    if found != VERSION {
        return Err(ImageError::Version { found, expected: VERSION });
    }
    if bytes.len() < HEADER_BYTES || at_u32(bytes, 12)? as usize != HEADER_BYTES {
        return Err(header(format!("expected {HEADER_BYTES} bytes")));
    }
    let stated = at_u64(bytes, 24)?;
    if stated != bytes.len() as u64 || stated > MAX_BYTES {
        return Err(header(format!("the file has {} bytes, expected {stated}", bytes.len())));
    }
    let (found, expected) = (checksum(bytes), at_u64(bytes, CHECKSUM_AT)?);
    if found != expected {
        return Err(ImageError::Checksum { found, expected });
    }
    let page = at_u32(bytes, 32)? as usize;
    if !page.is_power_of_two() || !(4 << 10..=64 << 10).contains(&page) {
        return Err(header(format!("pages of {page} bytes")));
    }
    let layout = Layout {
        parts: directory(bytes, page)?,
        page,
        machine: at_u32(bytes, 36)?,
        features: at_u32(bytes, 40)?,
    };
    let tables = Tables { bytes: bytes.get(..layout.described()).unwrap_or_default(), layout: &layout };
    tables.check_strings()?;
    for (what, id) in
        [("machine", layout.machine), ("features", layout.features), ("writer", at_u32(bytes, 44)?)]
    {
        tables.check_string(id, || format!("the header's {what}"))?;
    }
    tables.check_names()?;
    tables.check_words()?;
    tables.check_entries()?;
    tables.check_index()?;
    Ok(layout)
}

/// Where the parts are: in their order, inside the file, apart from each other, segments on pages.
fn directory(bytes: &[u8], page: usize) -> Result<[Range<usize>; Part::ALL.len()], ImageError> {
    let mut parts = [const { 0..0 }; Part::ALL.len()];
    let mut end = HEADER_BYTES as u64;
    for (n, (part, range)) in Part::ALL.into_iter().zip(&mut parts).enumerate() {
        let start = at_u64(bytes, DIRECTORY_AT + 16 * n)?;
        let length = at_u64(bytes, DIRECTORY_AT + 16 * n + 8)?;
        let wrong = |why: String| ImageError::damaged(part.name(), why);
        let stop = start.checked_add(length).filter(|&stop| stop <= bytes.len() as u64);
        let stop = stop.ok_or_else(|| {
            wrong(format!("{length} bytes from {start} on, but the file has {}", bytes.len()))
        })?;
        if start < end {
            return Err(wrong(format!("begins at {start}, inside of what ends at {end}")));
        }
        let row = part.row_bytes() as u64;
        if length % row != 0 {
            return Err(wrong(format!("{length} bytes, expected rows of {row}")));
        }
        if part.is_segment() && start % page as u64 != 0 {
            return Err(wrong(format!("begins at {start}, expected a page of {page} bytes")));
        }
        end = stop;
        *range = start as usize..stop as usize;
    }
    Ok(parts)
}

/// The tables of an image.
#[derive(Copy, Clone)]
pub(super) struct Tables<'a> {
    /// Of the file, those before its text: what else is in it may be written while this lives.
    pub(super) bytes: &'a [u8],
    pub(super) layout: &'a Layout,
}

impl<'a> Tables<'a> {
    pub(super) fn range(&self, part: Part) -> Range<usize> {
        self.layout.range(part)
    }

    /// The bytes of a table; none of segments, of which only sizes are known here.
    pub(super) fn part(&self, part: Part) -> &'a [u8] {
        self.bytes.get(self.range(part)).unwrap_or_default()
    }

    fn rows<const N: usize>(&self, part: Part) -> &'a [[u8; N]] {
        self.part(part).as_chunks().0
    }

    pub(super) fn count(&self, part: Part) -> usize {
        self.range(part).len() / part.row_bytes()
    }

    /// A string. Costs no check of the bytes: only those of this one are looked at.
    pub(super) fn string(&self, id: u32) -> &'a str {
        let row = self.rows::<8>(Part::StringTable).get(id as usize);
        let Some(row) = row else { return "" };
        let start = u32_at(row, 0).unwrap_or(0) as usize;
        let bytes = u32_at(row, 4).unwrap_or(0) as usize;
        let text = start.checked_add(bytes).and_then(|end| self.part(Part::Strings).get(start..end));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    pub(super) fn machine(&self) -> &'a str {
        self.string(self.layout.machine)
    }

    pub(super) fn features(&self) -> impl Iterator<Item = &'a str> {
        self.string(self.layout.features).split(',').filter(|name| !name.is_empty())
    }

    /// A config: its identity, its tables, those of its provider, and whether it sees the device table.
    pub(super) fn config(&self, n: u32) -> (&'a str, Vec<&'a str>, Vec<&'a str>, bool) {
        let row = self.rows::<16>(Part::Configs).get(n as usize);
        let word = |n: usize| row.and_then(|row| u32_at(row, 4 * n)).unwrap_or(NONE);
        let list = |n: usize| self.string(word(n)).split('\0').filter(|name| !name.is_empty()).collect();
        (self.string(word(0)), list(1), list(2), word(3) != 0)
    }

    pub(super) fn symbol(&self, n: u32) -> Option<(u32, &'a str, Option<&'a str>)> {
        let row = self.rows::<12>(Part::Symbols).get(n as usize)?;
        let library = u32_at(row, 8).filter(|&id| id != NONE).map(|id| self.string(id));
        Some((u32_at(row, 0)?, self.string(u32_at(row, 4)?), library))
    }

    pub(super) fn words(&self) -> impl Iterator<Item = WordRow> + 'a {
        self.rows::<24>(Part::Words).iter().map(WordRow::read)
    }

    /// A definition: name, table, signature, and the hash of its text.
    pub(super) fn definition(&self, n: u32) -> Option<(&'a str, &'a str, &'a str, u128)> {
        let row = self.rows::<32>(Part::Definitions).get(n as usize)?;
        let text = |n: usize| u32_at(row, 4 * n).map(|id| self.string(id));
        let hash = u128::from_le_bytes(*row.get(16..)?.first_chunk()?);
        Some((text(0)?, text(1)?, text(2)?, hash))
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = EntryRow> + use<'a> {
        self.rows::<64>(Part::Entries).iter().map(EntryRow::read)
    }

    pub(super) fn entry(&self, n: u32) -> Option<EntryRow> {
        self.rows::<64>(Part::Entries).get(n as usize).map(EntryRow::read)
    }

    /// The numbers of the entries with a hash.
    pub(super) fn with_hash(&self, hash: u64) -> impl Iterator<Item = u32> + use<'a> {
        let rows = self.rows::<12>(Part::Index);
        let of = |row: &[u8; 12]| u64_at(row, 0).unwrap_or(0);
        let first = rows.partition_point(|row| of(row) < hash);
        let from = rows.get(first..).unwrap_or_default().iter();
        from.take_while(move |row| of(row) == hash).filter_map(|row| u32_at(row, 8))
    }

    fn check_strings(&self) -> Result<(), ImageError> {
        let bytes = self.part(Part::Strings);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            ImageError::damaged("strings", format!("no UTF-8 at byte {}", error.valid_up_to()))
        })?;
        for (n, row) in self.rows::<8>(Part::StringTable).iter().enumerate() {
            let (start, bytes) = (u32_at(row, 0).unwrap_or(0) as usize, u32_at(row, 4).unwrap_or(0) as usize);
            if start.checked_add(bytes).is_none_or(|end| text.get(start..end).is_none()) {
                let why = format!("{bytes} bytes from {start} on, of {}", text.len());
                return Err(ImageError::damaged(format!("string {n}"), why));
            }
        }
        Ok(())
    }

    fn check_string(&self, id: u32, item: impl FnOnce() -> String) -> Result<(), ImageError> {
        self.check_number(id, Part::StringTable, "string", item)
    }

    fn check_number(
        &self,
        number: u32,
        part: Part,
        what: &str,
        item: impl FnOnce() -> String,
    ) -> Result<(), ImageError> {
        let count = self.count(part);
        if (number as usize) < count {
            return Ok(());
        }
        Err(ImageError::damaged(item(), format!("{what} {number} of {count}")))
    }

    fn check_names(&self) -> Result<(), ImageError> {
        for (n, row) in self.rows::<16>(Part::Configs).iter().enumerate() {
            for at in [0, 4, 8] {
                self.check_string(u32_at(row, at).unwrap_or(0), || format!("config {n}"))?;
            }
        }
        for (n, row) in self.rows::<12>(Part::Symbols).iter().enumerate() {
            let word = |at: usize| u32_at(row, at).unwrap_or(0);
            if word(0) > SYMBOL_HOST {
                return Err(ImageError::damaged(format!("symbol {n}"), format!("kind {}", word(0))));
            }
            self.check_string(word(4), || format!("symbol {n}"))?;
            if word(8) != NONE {
                self.check_string(word(8), || format!("library of symbol {n}"))?;
            }
        }
        for (n, row) in self.rows::<32>(Part::Definitions).iter().enumerate() {
            for at in [0, 4, 8] {
                self.check_string(u32_at(row, at).unwrap_or(0), || format!("definition {n}"))?;
            }
        }
        Ok(())
    }

    /// Each inside of constants or data, after the one before it.
    fn check_words(&self) -> Result<(), ImageError> {
        let (mut part, mut end) = (0, 0u64);
        for (n, word) in self.words().enumerate() {
            let wrong = |why: String| ImageError::damaged(format!("relocation {n}"), why);
            let known = [Part::Constants, Part::Data].into_iter().find(|known| *known as u32 == word.part);
            let known =
                known.ok_or_else(|| wrong(format!("part {}, expected constants or data", word.part)))?;
            if word.kind != KIND_ADDRESS {
                return Err(wrong(format!("kind {}", word.kind)));
            }
            if word.part < part || word.part == part && u64::from(word.offset) < end {
                return Err(wrong(format!(
                    "at byte {} of {}, inside of the one before",
                    word.offset,
                    known.name()
                )));
            }
            (part, end) = (word.part, u64::from(word.offset) + 8);
            let room = self.range(known).len();
            if end > room as u64 {
                return Err(wrong(format!("at byte {} of {}, which has {room}", word.offset, known.name())));
            }
            if word.target & SEGMENT == 0 {
                self.check_number(word.target, Part::Symbols, "symbol", || format!("relocation {n}"))?;
            } else {
                let segment = Part::ALL.into_iter().find(|part| *part as u32 == word.target & !SEGMENT);
                let segment = segment.filter(|part| part.is_segment());
                let segment = segment.ok_or_else(|| wrong(format!("target {:#x}", word.target)))?;
                let room = self.range(segment).len();
                if usize::try_from(word.addend).is_ok_and(|addend| addend <= room) {
                    continue;
                }
                return Err(wrong(format!(
                    "to byte {} of {}, which has {room}",
                    word.addend,
                    segment.name()
                )));
            }
        }
        Ok(())
    }

    /// Each with text and details of its own, after those of the one before it.
    fn check_entries(&self) -> Result<(), ImageError> {
        let (room, details_room) = (self.range(Part::Text).len(), self.range(Part::Details).len());
        let (mut text_end, mut details_end) = (0, 0);
        for (n, row) in self.entries().enumerate() {
            let item = || format!("entry {n}");
            for id in [row.name, row.table] {
                self.check_string(id, item)?;
            }
            self.check_number(row.config, Part::Configs, "config", item)?;
            self.check_number(row.definition, Part::Definitions, "definition", item)?;
            let wrong = |why: String| ImageError::damaged(item(), why);
            let start = row.text as usize;
            let end = start.saturating_add(row.text_bytes as usize);
            if start < text_end || end > room {
                return Err(wrong(format!("text from {start} to {end}, expected from {text_end} to {room}")));
            }
            for at in [row.wrapper, row.direct] {
                if !(start..end).contains(&(at as usize)) {
                    return Err(wrong(format!("code at byte {at}, but its text is from {start} to {end}")));
                }
            }
            text_end = end;
            let details = row.details().unwrap_or(usize::MAX..usize::MAX);
            if details.start < details_end || details.end > details_room {
                let why = format!("details {details:?}, expected from {details_end} to {details_room}");
                return Err(wrong(why));
            }
            details_end = details.end;
        }
        Ok(())
    }

    fn check_index(&self) -> Result<(), ImageError> {
        let (found, wanted) = (self.count(Part::Index), self.count(Part::Entries));
        if found != wanted {
            return Err(ImageError::damaged("index", format!("{found} rows for {wanted} entries")));
        }
        let mut last = (0, 0);
        for (n, row) in self.rows::<12>(Part::Index).iter().enumerate() {
            let (hash, number) = (u64_at(row, 0).unwrap_or(0), u32_at(row, 8).unwrap_or(0));
            let item = || format!("row {n} of the index");
            self.check_number(number, Part::Entries, "entry", item)?;
            // Each entry once: its rows ascend.
            if n > 0 && (hash, number) <= last {
                return Err(ImageError::damaged(item(), "not after the one before it"));
            }
            if self.entry(number).is_none_or(|entry| entry.hash != hash) {
                return Err(ImageError::damaged(item(), format!("another hash than that of entry {number}")));
            }
            last = (hash, number);
        }
        Ok(())
    }
}
