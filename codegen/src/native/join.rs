//! Many blobs as one: their sections one after the other, everything relative settled, and one word for each symbol.
//!
//! The sections lie in memory in their order, each on a page of its own. So distances are known here, text needs no
//! relocation, and what is left for whoever loads it is a list of words: addresses of symbols among the constants, and
//! addresses of places of the image itself.

use super::blob::{Blob, Fixup, MAX_SECTION_BYTES, Section, Symbol, Target};
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

/// Bytes of the largest page that machines of an architecture use.
fn page(arch: Arch) -> u32 {
    match arch {
        Arch::X64 => 4 << 10,
        Arch::Aarch64 | Arch::Riscv64 | Arch::S390x => 64 << 10,
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
        for fixup in blob.fixups.iter().filter(|fixup| is_indirect(fixup.kind)) {
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
                _ => relocate(&mut sections, &bases, fixup, offset, target, word)?,
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

/// Whether code takes the address from a word in memory.
fn is_indirect(kind: Reloc) -> bool {
    matches!(kind, Reloc::X86GOTPCRel4 | Reloc::Aarch64AdrGotPage21 | Reloc::Aarch64Ld64GotLo12Nc)
}

/// Settles a place in the text. `word` is the number of the word that holds the target's address, if there is one.
fn relocate(
    sections: &mut [Vec<u8>; 3],
    bases: &[i64; 3],
    fixup: &Fixup,
    offset: u32,
    target: WordTarget,
    word: Option<u32>,
) -> Result<(), EmitError> {
    let place = bases[fixup.section as usize] + i64::from(offset);
    let direct = match target {
        WordTarget::Place(section, at) => Some(bases[section as usize] + i64::from(at) + fixup.addend),
        WordTarget::Symbol(_) => None,
    };
    let word_at =
        |word: u32| bases[Section::Constants as usize] + i64::from(word * WORD_BYTES) + fixup.addend;
    let indirect = word.map(word_at);
    let unknown = || internal(format!("a relocation {:?} to {target:?}", fixup.kind));
    let bytes = &mut sections[fixup.section as usize];
    let bytes = bytes.get_mut(offset as usize..offset as usize + 4);
    let bytes: &mut [u8; 4] = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| internal("a relocation outside of the code"))?;
    let old = u32::from_le_bytes(*bytes);
    let far = || EmitError::limit("bytes between code and what it reaches", i32::MAX as u64, u64::MAX);
    let new = match fixup.kind {
        // A signed 32-bit distance from the place itself; the addend makes up for what follows.
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => {
            i32::try_from(direct.ok_or_else(unknown)? - place).map_err(|_| far())? as u32
        }
        Reloc::X86GOTPCRel4 => {
            i32::try_from(indirect.ok_or_else(unknown)? - place).map_err(|_| far())? as u32
        }
        // R_AARCH64_CALL26 and R_AARCH64_JUMP26: words in the low 26 bits (ELF for the Arm 64-bit architecture, 5.7).
        Reloc::Arm64Call => {
            let words = (direct.ok_or_else(unknown)? - place) >> 2;
            if !(-(1 << 25)..1 << 25).contains(&words) {
                return Err(far());
            }
            old & !0x03ff_ffff | words as u32 & 0x03ff_ffff
        }
        Reloc::Aarch64AdrPrelPgHi21 => adrp(old, place, direct.ok_or_else(unknown)?),
        Reloc::Aarch64AdrGotPage21 => adrp(old, place, indirect.ok_or_else(unknown)?),
        // R_AARCH64_ADD_ABS_LO12_NC: the low twelve bits, unscaled, at bit 10.
        Reloc::Aarch64AddAbsLo12Nc => low(old, direct.ok_or_else(unknown)?, 0),
        // R_AARCH64_LD64_GOT_LO12_NC: the low twelve bits in units of eight, at bit 10.
        Reloc::Aarch64Ld64GotLo12Nc => low(old, indirect.ok_or_else(unknown)?, 3),
        _ => return Err(unknown()),
    };
    *bytes = new.to_le_bytes();
    Ok(())
}

/// `adrp`, R_AARCH64_ADR_PREL_PG_HI21: pages of 4 KiB, the low two bits at bit 29, the other nineteen at bit 5. Sections
/// begin on pages, so the distance does not depend on where they are loaded.
fn adrp(old: u32, place: i64, target: i64) -> u32 {
    let pages = ((target >> 12) - (place >> 12)) as u32;
    old & 0x9f00_001f | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5
}

fn low(old: u32, target: i64, scale: u32) -> u32 {
    old & !(0xfff << 10) | ((target as u32 & 0xfff) >> scale) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_what_is_below_them() {
        // adrp x0, #0x12344000; adrp x3, #-0x4000; adrp x0, #0x3000
        assert_eq!(adrp(0x9000_0000, 0x1000, 0x1234_5678), 0x9009_1a20);
        assert_eq!(adrp(0x9000_0003, 0x5ffc, 0x1000), 0x90ff_ffe3);
        assert_eq!(adrp(0x9000_0000, 0x2ffc, 0x5000), 0xf000_0000);
        // add x1, x1, #0x678; ldr x1, [x1, #0x678]
        assert_eq!(low(0x9100_0021, 0x1234_5678, 0), 0x9119_e021);
        assert_eq!(low(0xf940_0021, 0x1234_5678, 3), 0xf943_3c21);
    }
}
