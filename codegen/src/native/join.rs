//! Many blobs as one: their sections one after the other, everything relative settled, and one word for each symbol.
//!
//! The sections lie in memory in their order, each on a page of its own. So distances are known here, text needs no
//! relocation, and what is left for whoever loads it is a list of words: addresses of symbols among the constants, and
//! addresses of places of the image itself.

use super::blob::{Blob, MAX_SECTION_BYTES, Section, Symbol, Target};
use super::relocate::{self, Destination, Relocator, STUB_BYTES, Site};
use super::select::internal;
use super::{Arch, NativeTarget};
use crate::error::EmitError;
use cranelift_codegen::binemit::Reloc;
use rustc_hash::FxHashMap;

/// Bytes of an address.
pub const WORD_BYTES: u32 = 8;

/// What a [`Word`] is the address of.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WordTarget {
    /// A symbol, by number.
    Symbol(u32),
    /// A byte of a section.
    Place(Section, u32),
}

/// Eight bytes that hold an address once the code is loaded.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Where: among the constants, or in the data.
    pub section: Section,
    /// The first byte.
    pub offset: u32,
    /// Of what.
    pub target: WordTarget,
    /// What is added to the address.
    pub addend: i64,
}

/// Where a blob went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Joint {
    /// Where its text begins.
    pub text: u32,
    /// Bytes of its text.
    pub text_bytes: u32,
}

/// The code of many blobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Bytes of the sections. Each begins on a page; the next one on the first page that is free.
    pub sections: [Vec<u8>; 3],
    /// What is needed from outside, each once.
    pub symbols: Vec<Symbol>,
    /// What is filled in when it is loaded, in the order of the places.
    pub words: Vec<Word>,
    /// One per blob.
    pub joints: Vec<Joint>,
    /// Bytes of a page.
    pub page: u32,
}

/// Bytes of the largest page that machines of an architecture use. On riscv64 and s390x there is one size (RISC-V privileged
/// ISA, "Sv39: Page-Based 39-bit Virtual-Memory System"; z/Architecture Principles of Operation, "Dynamic Address Translation").
fn page(arch: Arch) -> u32 {
    match arch {
        Arch::X64 | Arch::Riscv64 | Arch::S390x => 4 << 10,
        Arch::Aarch64 => 64 << 10,
    }
}

/// Joins blobs of one target, in their order.
///
/// # Errors
/// Together they are too large.
pub fn join(blobs: &[Blob], target: &NativeTarget) -> Result<Joined, EmitError> {
    let page = page(target.arch);
    let mut symbols: Vec<Symbol> = blobs.iter().flat_map(|blob| blob.symbols.iter().cloned()).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let numbers: FxHashMap<&Symbol, u32> = symbols.iter().zip(0..).collect();
    let mut sections: [Vec<u8>; 3] = Default::default();
    // What code takes from memory comes first: the addresses of symbols, then those of places of its own.
    let mut taken: FxHashMap<(usize, Section, u32), u32> = FxHashMap::default();
    let mut takes: Vec<(usize, Section, u32)> = Vec::new();
    for (n, blob) in blobs.iter().enumerate() {
        for fixup in blob.fixups.iter().filter(|fixup| relocate::is_indirect(fixup.kind)) {
            if let Target::Place(section, at) = fixup.target {
                taken.entry((n, section, at)).or_insert_with(|| {
                    takes.push((n, section, at));
                    (symbols.len() + takes.len() - 1) as u32
                });
            }
        }
    }
    sections[Section::Constants as usize].resize((symbols.len() + takes.len()) * WORD_BYTES as usize, 0);
    let mut starts = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let mut start = [0u32; 3];
        for section in Section::ALL {
            let (out, bytes) = (&mut sections[section as usize], blob.section(section));
            let align = blob.aligns[section as usize];
            if align > u64::from(page) {
                return Err(EmitError::limit(
                    "bytes of alignment of a global in an image",
                    u64::from(page),
                    align,
                ));
            }
            if bytes.is_empty() {
                start[section as usize] = out.len() as u32;
                continue;
            }
            let at = (out.len() as u64).next_multiple_of(align.max(1));
            let end = at + bytes.len() as u64;
            if end > MAX_SECTION_BYTES {
                return Err(EmitError::limit("bytes of code or of data in an image", MAX_SECTION_BYTES, end));
            }
            out.resize(at as usize, 0);
            out.extend_from_slice(bytes);
            start[section as usize] = at as u32;
        }
        starts.push(start);
    }
    let stubs = stubs(blobs, &numbers, symbols.len(), &mut sections[Section::Text as usize])?;
    // Distances between the sections.
    let mut bases = [0i64; 3];
    for n in 1..bases.len() {
        bases[n] = bases[n - 1] + sections[n - 1].len().next_multiple_of(page as usize) as i64;
    }
    let mut words: Vec<Word> = (0..symbols.len() as u32)
        .map(|symbol| Word {
            section: Section::Constants,
            offset: symbol * WORD_BYTES,
            target: WordTarget::Symbol(symbol),
            addend: 0,
        })
        .collect();
    let place = |n: usize, section: Section, at: u32| {
        WordTarget::Place(section, starts.get(n).map_or(0, |start| start[section as usize]) + at)
    };
    words.extend(takes.iter().zip(symbols.len() as u32..).map(|(&(n, section, at), word)| Word {
        section: Section::Constants,
        offset: word * WORD_BYTES,
        target: place(n, section, at),
        addend: 0,
    }));
    let from_text = |section: Section, at: u32| bases[section as usize] + i64::from(at);
    let word_at = |word: u32| from_text(Section::Constants, word * WORD_BYTES);
    let text = &mut sections[Section::Text as usize];
    for (&stub, word) in stubs.iter().zip(0..) {
        let Some(at) = stub else { continue };
        let place = text.get_mut(at as usize..).and_then(<[u8]>::first_chunk_mut);
        *place.ok_or_else(|| internal("a stub outside of the code"))? =
            relocate::stub(from_text(Section::Text, at), word_at(word))?;
    }
    let mut relocator = Relocator::default();
    for (n, (blob, start)) in blobs.iter().zip(&starts).enumerate() {
        for fixup in &blob.fixups {
            let offset = start[fixup.section as usize] + fixup.offset;
            let (target, word) = match fixup.target {
                Target::Place(section, at) => (place(n, section, at), taken.get(&(n, section, at)).copied()),
                Target::Symbol(symbol) => {
                    let symbol = blob.symbols.get(symbol as usize).and_then(|symbol| numbers.get(symbol));
                    let symbol = *symbol.ok_or_else(|| internal("a symbol is missing"))?;
                    (WordTarget::Symbol(symbol), Some(symbol))
                }
            };
            match (fixup.section, fixup.kind) {
                (Section::Constants | Section::Data, Reloc::Abs8) => {
                    words.push(Word { section: fixup.section, offset, target, addend: fixup.addend });
                }
                (Section::Text, kind) => {
                    let destination = match target {
                        WordTarget::Place(section, at) => Destination::Place(from_text(section, at)),
                        WordTarget::Symbol(symbol) => {
                            let stub = stubs.get(symbol as usize).copied().flatten();
                            Destination::Symbol(stub.map(|at| from_text(Section::Text, at)))
                        }
                    };
                    let place = from_text(Section::Text, offset);
                    let (word, addend) = (word.map(word_at), fixup.addend);
                    let bytes = text.get_mut(offset as usize..).unwrap_or(&mut []);
                    relocator.settle(bytes, &Site { kind, place, destination, word, addend })?;
                }
                (section, kind) => return Err(internal(format!("a relocation {kind:?} in {section:?}"))),
            }
        }
    }
    words.sort_unstable_by_key(|word| (word.section, word.offset));
    let joints = blobs
        .iter()
        .zip(&starts)
        .map(|(blob, start)| Joint {
            text: start[Section::Text as usize],
            text_bytes: blob.section(Section::Text).len() as u32,
        })
        .collect();
    Ok(Joined { sections, symbols, words, joints, page })
}

/// Makes room at the end of the text for the stubs of symbols. Gives where each begins, by number, for those that have one.
fn stubs(
    blobs: &[Blob],
    numbers: &FxHashMap<&Symbol, u32>,
    count: usize,
    text: &mut Vec<u8>,
) -> Result<Vec<Option<u32>>, EmitError> {
    let mut stubs = vec![None; count];
    for blob in blobs {
        for fixup in blob.fixups.iter().filter(|fixup| relocate::is_through_stub(fixup.kind)) {
            let Target::Symbol(symbol) = fixup.target else { continue };
            let number = blob.symbols.get(symbol as usize).and_then(|symbol| numbers.get(symbol));
            let stub = number.and_then(|&number| stubs.get_mut(number as usize));
            *stub.ok_or_else(|| internal("a symbol is missing"))? = Some(0);
        }
    }
    let mut at = (text.len() as u64).next_multiple_of(u64::from(STUB_BYTES));
    for stub in stubs.iter_mut().flatten() {
        *stub = at as u32;
        at += u64::from(STUB_BYTES);
        text.resize(at.min(MAX_SECTION_BYTES) as usize, 0);
    }
    if at > MAX_SECTION_BYTES {
        return Err(EmitError::limit("bytes of code or of data in an image", MAX_SECTION_BYTES, at));
    }
    Ok(stubs)
}
