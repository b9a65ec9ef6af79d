//! Loading: mapping a file, checking it, filling in addresses, and giving its text the right to run.
//!
//! The file is mapped privately and for reading. Only constants and data become writable, to fill in addresses, which copies
//! the pages that it touches and no others; then constants can only be read again. Text needs no relocation and is never
//! writable. The file must not be changed in place while it is mapped; writers replace it by another one, as
//! [`replace_file`](super::replace_file) does.
#![allow(unsafe_code)] // maps a file and changes the rights of its pages

use super::ImageError;
use super::details::{Details, Types};
use super::format::{FLAG_KERNEL, FLAG_VALIDATED, MAGIC, MAX_BYTES, Part, SEGMENT, SYMBOL_ROUTINE};
use super::read::{Layout, Tables, check};
use super::write::entry_hash;
use crate::compile::Compiled;
use marquetry_codegen::native::{JitCode, MappedCode, MappedEntry, NativeOptions, NativeTarget, routine};
use marquetry_ir::program::{MethodKind, Program, Reference};
use memmap2::{Mmap, MmapOptions};
use region::Protection;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A symbol of the host that an image needs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HostSymbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// The library that has it, if the image says so.
    pub library: Option<&'a str>,
}

impl HostSymbol<'_> {
    /// What it stands for: a value or a word of the host, or else a function or another symbol under its own name.
    pub fn reference(&self) -> Reference {
        match Reference::from_link_name(self.name) {
            Reference::Symbol { name, .. } => {
                Reference::Symbol { name, library: self.library.map(Arc::from) }
            }
            other => other,
        }
    }
}

/// Knows where symbols of the host are.
pub trait Resolver {
    /// The address of a symbol.
    ///
    /// # Errors
    /// Why it has none.
    fn resolve(&self, symbol: &HostSymbol<'_>) -> Result<*const u8, String>;
}

impl<F: Fn(&HostSymbol<'_>) -> Result<*const u8, String>> Resolver for F {
    fn resolve(&self, symbol: &HostSymbol<'_>) -> Result<*const u8, String> {
        self(symbol)
    }
}

/// What an image has for a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageEntry<'a> {
    /// The method, with the types of its arguments.
    pub name: &'a str,
    /// The table that the method lives in.
    pub table: &'a str,
    /// The identity of the config that it was compiled with.
    pub config: &'a str,
    /// The tables of that config, first asked first.
    pub tables: Vec<&'a str>,
    /// The tables of its runtime provider, first asked first.
    pub provider: Vec<&'a str>,
    /// Whether it sees the device table.
    pub device: bool,
    /// Function or kernel.
    pub kind: MethodKind,
    /// Whether static assertions and the target's rules were checked, and held: everything that was compiled with
    /// validation.
    pub validated: bool,
}

/// An image in memory whose tables were checked. Nothing of it can run yet.
#[derive(Debug)]
pub struct Image {
    map: Mmap,
    layout: Layout,
}

impl Image {
    /// What every image begins with.
    pub const MAGIC: [u8; 8] = MAGIC;

    /// Maps a file and checks it.
    ///
    /// # Errors
    /// It cannot be read, or is no image that this process can use: what is wrong with it.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let failed = |error: std::io::Error| ImageError::file(path, error);
        // A pipe would be waited for.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "it is not a regular file",
            )));
        }
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        check_size(bytes)?;
        // SAFETY: the mapping is private. That nobody changes the file in place is what the module asks of its users, as
        // those who load shared libraries do.
        let map = unsafe { MmapOptions::new().populate().map_copy_read_only(&file) }.map_err(failed)?;
        Self::checked(map)
    }

    /// Copies and checks the bytes of an image.
    ///
    /// # Errors
    /// It is no image that this process can use: what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Image, ImageError> {
        check_size(bytes.len() as u64)?;
        let failed = |error: std::io::Error| ImageError::Memory(error.to_string());
        let mut map = MmapOptions::new().len(bytes.len()).map_anon().map_err(failed)?;
        map.copy_from_slice(bytes);
        Self::checked(map.make_read_only().map_err(failed)?)
    }

    fn checked(map: Mmap) -> Result<Image, ImageError> {
        let layout = check(&map)?;
        let image = Image { map, layout };
        let host = host()?;
        let tables = image.tables();
        if tables.machine() != host.machine {
            let (found, expected) = (tables.machine().to_owned(), host.machine.clone());
            return Err(ImageError::Machine { found, expected });
        }
        let missing: Vec<String> =
            tables.features().filter(|name| !host.features.contains(name)).map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(ImageError::Features(missing));
        }
        let page = region::page::size();
        if page > image.layout.page {
            let why = format!(
                "its segments are on pages of {} bytes, this machine's have {page}",
                image.layout.page
            );
            return Err(ImageError::Memory(why));
        }
        Ok(image)
    }

    pub(super) fn tables(&self) -> Tables<'_> {
        // SAFETY: the bytes are the first ones of the mapping, and stay as long as it does. They end before the first
        // segment: pages that are written, by `link` or by code of the image, are others.
        let bytes = unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.layout.described()) };
        Tables { bytes, layout: &self.layout }
    }

    /// What it has.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = ImageEntry<'_>> {
        entries(self.tables())
    }

    /// The symbols of the host that it needs.
    pub fn symbols(&self) -> impl Iterator<Item = HostSymbol<'_>> {
        let tables = self.tables();
        let symbols = (0..tables.count(Part::Symbols) as u32).filter_map(move |n| tables.symbol(n));
        let of_host = symbols.filter(|(kind, ..)| *kind != SYMBOL_ROUTINE);
        of_host.map(|(_, name, library)| HostSymbol { name, library })
    }

    /// Fills in addresses, and makes text executable. Nothing is executed. Where a symbol has no address, the entries that
    /// need it are not there for anybody; [`LoadedImage::missing`] says which symbols these are.
    ///
    /// # Errors
    /// The rights of its pages cannot be changed.
    pub fn link(self, resolver: &dyn Resolver) -> Result<LoadedImage, ImageError> {
        let base = self.map.as_ptr().expose_provenance() as u64;
        let tables = self.tables();
        let count = tables.count(Part::Symbols) as u32;
        let mut addresses = vec![0; count as usize];
        let mut missing = BTreeMap::new();
        for (n, slot) in (0..count).zip(&mut addresses) {
            let Some((kind, name, library)) = tables.symbol(n) else { continue };
            match address(kind, name, library, resolver) {
                Ok(address) => *slot = address,
                Err(error) => drop(missing.insert(n, error)),
            }
        }
        let start = |part: u32| tables.layout.start(part);
        let (text, constants, data) =
            (tables.range(Part::Text), tables.range(Part::Constants), tables.range(Part::Data));
        self.protect(constants.clone(), Protection::READ_WRITE)?;
        self.protect(data, Protection::READ_WRITE)?;
        for word in tables.words() {
            let place = start(word.part) + word.offset as usize;
            let target = match word.target & SEGMENT {
                0 => addresses.get(word.target as usize).copied().unwrap_or(0),
                _ => base + start(word.target & !SEGMENT) as u64,
            };
            let bytes = target.wrapping_add_signed(word.addend).to_ne_bytes();
            // SAFETY: the eight bytes are inside of constants or data, which was checked when the image was opened, and
            // these may be written now. Nobody has a reference to them: those that tables give are to bytes before the
            // text, and the mapping is asked for its address only.
            unsafe {
                let place = self.map.as_ptr().cast_mut().add(place);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
            }
        }
        self.protect(constants, Protection::READ)?;
        let at = |offset: usize| self.map.as_ptr().wrapping_add(offset);
        flush(at(text.start)..at(text.end));
        self.protect(text, Protection::READ_EXECUTE)?;
        Ok(LoadedImage { image: self, missing })
    }

    /// Gives a segment the rights that it needs, and no others.
    fn protect(&self, range: Range<usize>, rights: Protection) -> Result<(), ImageError> {
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: the range is inside of this mapping and begins on a page; the next segment begins on another one. There
        // are no references to bytes of segments, whose rights change: tables end before the first one.
        let done = unsafe { region::protect(self.map.as_ptr().add(range.start), range.len(), rights) };
        done.map_err(|error| ImageError::Memory(error.to_string()))
    }
}

fn check_size(bytes: u64) -> Result<(), ImageError> {
    match bytes {
        // Nothing cannot be mapped.
        0 => Err(ImageError::NotAnImage),
        bytes if bytes > MAX_BYTES => {
            Err(ImageError::damaged("file", format!("{bytes} bytes, the most is {MAX_BYTES}")))
        }
        _ => Ok(()),
    }
}

fn address(kind: u32, name: &str, library: Option<&str>, resolver: &dyn Resolver) -> Result<u64, ImageError> {
    let found = match kind {
        SYMBOL_ROUTINE => routine(name).ok_or_else(|| "this version has no such routine".to_owned()),
        _ => resolver.resolve(&HostSymbol { name, library }),
    };
    // Values and words of the host are what they are; functions and symbols are somewhere.
    let somewhere =
        kind == SYMBOL_ROUTINE || matches!(Reference::from_link_name(name), Reference::Symbol { .. });
    let found = found.and_then(|address| match address.is_null() && somewhere {
        true => Err("the resolver gave a null address".to_owned()),
        false => Ok(address.expose_provenance() as u64),
    });
    found.map_err(|why| ImageError::Symbol {
        name: name.to_owned(),
        library: library.map(str::to_owned),
        why,
    })
}

/// Makes instructions that were written as data visible to the processor as instructions.
fn flush(range: Range<*const u8>) {
    #[cfg(target_arch = "aarch64")]
    {
        // The smallest line that any implementation has; going through one twice does no harm.
        const LINE: usize = 16;
        let lines = (range.start.addr() & !(LINE - 1)..range.end.addr()).step_by(LINE);
        // SAFETY: these instructions may be used by programs (Linux sets SCTLR_EL1.UCI), and change no memory.
        unsafe {
            for line in lines.clone() {
                std::arch::asm!("dc cvau, {}", in(reg) line);
            }
            std::arch::asm!("dsb ish");
            for line in lines {
                std::arch::asm!("ic ivau, {}", in(reg) line);
            }
            std::arch::asm!("dsb ish", "isb");
        }
    }
    #[cfg(all(target_arch = "riscv64", target_os = "linux"))]
    {
        // `fence.i` is about this hart only, and threads move. What Linux does for all of them is riscv_flush_icache (259),
        // of a range, with no flags for a process, which has no failure but flags that it does not know.
        const RISCV_FLUSH_ICACHE: usize = 259;
        // SAFETY: the call changes no memory of the process; it changes a0 alone.
        unsafe {
            std::arch::asm!(
                "ecall",
                in("a7") RISCV_FLUSH_ICACHE,
                inlateout("a0") range.start => _,
                in("a1") range.end,
                in("a2") 0_usize,
                options(nostack)
            );
        }
    }
    // The other processors see to it themselves.
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    let _ = range;
}

/// What code in this process may be for.
struct Host {
    machine: String,
    features: Vec<&'static str>,
}

fn host() -> Result<&'static Host, ImageError> {
    static HOST: OnceLock<Result<Host, ImageError>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let target = NativeTarget::host(NativeOptions::default())?;
        Ok(Host { machine: target.machine(), features: target.features() })
    });
    host.as_ref().map_err(Clone::clone)
}

fn entries(tables: Tables<'_>) -> impl ExactSizeIterator<Item = ImageEntry<'_>> {
    tables.entries().map(move |row| {
        let (config, own, provider, device) = tables.config(row.config);
        ImageEntry {
            name: tables.string(row.name),
            table: tables.string(row.table),
            config,
            tables: own,
            provider,
            device,
            kind: if row.flags & FLAG_KERNEL == 0 { MethodKind::Function } else { MethodKind::Kernel },
            validated: row.flags & FLAG_VALIDATED != 0,
        }
    })
}

/// An image whose code can run. It stays in memory for as long as somebody holds code of it.
#[derive(Debug)]
pub struct LoadedImage {
    image: Image,
    /// The symbols without an address, by number, and why they have none.
    missing: BTreeMap<u32, ImageError>,
}

impl LoadedImage {
    pub(super) fn tables(&self) -> Tables<'_> {
        self.image.tables()
    }

    /// What it has.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = ImageEntry<'_>> {
        entries(self.tables())
    }

    /// The symbols without an address: an [`ImageError::Symbol`] for each. Entries that need one are compiled afresh by
    /// sessions, and have no [`Self::code`].
    pub fn missing(&self) -> impl Iterator<Item = &ImageError> {
        self.missing.values()
    }

    /// Whether everything that an entry needs has an address.
    pub(super) fn check_symbols(&self, details: &Details) -> Result<(), ImageError> {
        let missing = details.symbols.iter().find_map(|symbol| self.missing.get(symbol));
        missing.map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The number of the entry for a method with arguments of these types, in a table, through a config.
    pub(crate) fn find(&self, table: &str, name: &str, config: &str) -> Option<u32> {
        let tables = self.tables();
        let mut numbers = tables.with_hash(entry_hash(table, name, config));
        numbers.find(|&number| {
            tables.entry(number).is_some_and(|row| {
                tables.string(row.table) == table
                    && tables.string(row.name) == name
                    && tables.config(row.config).0 == config
            })
        })
    }

    /// The code of an entry by its number among [`Self::entries`], for whoever has no program to compare it with: it is what
    /// was compiled, whatever a program says now. Structs among what it takes are known by their size only.
    ///
    /// # Errors
    /// There is no such entry, a symbol that it needs has no address, or what the file says about it is damaged.
    pub fn code(self: &Arc<Self>, number: u32) -> Result<Compiled, ImageError> {
        let nothing = Program::new();
        let (details, _) = Details::read(self.tables(), number, &mut Types::lenient(&nothing))?;
        self.check_symbols(&details)?;
        Ok(self.code_of(details))
    }

    /// The code of an entry of this image.
    pub(crate) fn code_of(self: &Arc<Self>, details: Details) -> Compiled {
        let Details { entry, results, formats, shared_bytes, scheduling, places, wrapper, direct, .. } =
            details;
        let text = self.tables().range(Part::Text);
        // Checked when the image was opened: both are in the text.
        let address = |at: u32| self.image.map.as_ptr().wrapping_add(text.start + at as usize);
        let mapped = MappedEntry { entry: entry.clone(), wrapper: address(wrapper), direct: address(direct) };
        let code = MappedCode {
            entries: vec![mapped],
            places: places.clone(),
            shared_bytes,
            scheduling,
            owner: self.clone(),
        };
        // SAFETY: whoever gave the image to a session vouched for its code. It was linked, is mapped with the rights that it
        // needs, and stays so while the owner lives.
        let code = Arc::new(unsafe { JitCode::mapped(code) });
        Compiled::stored(code, entry, results, formats, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Backend;
    use crate::{compile::Target, image};
    use marquetry_ir::text::parse;

    /// Segments are written while tables are in use.
    #[test]
    fn tables_end_before_the_segments() {
        let text = "global n: i64 in global = i64 1\nmethod f() -> i64 {\nentry:\n    p = address.global n\n    v = load.i64 p\n    \
                    return v\n}\n";
        let mut program = Program::new();
        assert_eq!(parse(&mut program, "f.mq", text), []);
        let target = Target::parse("native", Default::default()).expect("a target");
        let entry = program.methods_of("f")[0].into();
        let bytes = image::write(&program, Backend::new("native", target), &[entry]).expect("an image");
        let image = Image::from_bytes(&bytes).expect("its tables");
        let segments = [Part::Text, Part::Constants, Part::Data].map(|part| image.layout.range(part));
        let tables = image.tables().bytes.len();
        assert!(segments.iter().any(|segment| !segment.is_empty()));
        assert!(segments.iter().all(|segment| segment.start >= tables), "{tables} bytes, {segments:?}");
    }
}
