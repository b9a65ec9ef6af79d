//! What instructions hold of distances: the relocations of position-independent text, per architecture.
//!
//! Instructions are little-endian but for s390x, which is big-endian throughout. Everything here is a distance inside of one
//! image, of less than 2 GiB, so that nothing depends on where it is loaded. Code reaches symbols through words among the
//! constants, which hold their addresses: by an instruction that loads the word, or, where Cranelift calls them as if they were
//! near, through a [stub](STUB_BYTES) in the text that does.

use super::select::internal;
use crate::error::EmitError;
use cranelift_codegen::binemit::Reloc;
use rustc_hash::FxHashMap;

/// Bytes of what stands in the text for a symbol that is called as if it were near.
pub(super) const STUB_BYTES: u32 = 8;

/// Where a relocation leads to, counted from the beginning of the text.
#[derive(Copy, Clone, Debug)]
pub(super) enum Destination {
    /// Something of the image.
    Place(i64),
    /// The stub of a symbol, if it has one.
    Symbol(Option<i64>),
}

/// A place in the text that depends on where something is.
#[derive(Copy, Clone, Debug)]
pub(super) struct Site {
    pub(super) kind: Reloc,
    /// Counted from the beginning of the text, which begins on a page.
    pub(super) place: i64,
    pub(super) destination: Destination,
    /// The word that holds the destination's address, if there is one, counted from there too.
    pub(super) word: Option<i64>,
    pub(super) addend: i64,
}

/// Whether code takes the address from a word in memory.
pub(super) fn is_indirect(kind: Reloc) -> bool {
    matches!(
        kind,
        Reloc::X86GOTPCRel4 | Reloc::Aarch64AdrGotPage21 | Reloc::Aarch64Ld64GotLo12Nc | Reloc::RiscvGotHi20
    )
}

/// Whether code jumps there, so that what it finds may lead on to the destination.
pub(super) fn is_through_stub(kind: Reloc) -> bool {
    kind == Reloc::S390xPLTRel32Dbl
}

/// The code that leads on to a symbol, at `place`, by the word that holds the symbol's address.
///
/// For s390x, as its procedure linkage tables do with `%r1`, which calls may change (ELF ABI s390x Supplement 1.6,
/// 1.2.2 and 3.4): `lgrl %r1, word`, whose operand is counted in halfwords and lies on eight bytes, and `br %r1`.
pub(super) fn stub(place: i64, word: i64) -> Result<[u8; STUB_BYTES as usize], EmitError> {
    let [a, b, c, d] = halfwords(word - place)?.to_be_bytes();
    Ok([0xc4, 0x18, a, b, c, d, 0x07, 0xf1])
}

/// Settles places, in their order.
#[derive(Default)]
pub(super) struct Relocator {
    /// Of riscv64: distances from instructions that add their upper part, by the place of these. The lower part is
    /// another instruction's, which names the first one (RISC-V ELF psABI, "PC-Relative Symbol Addresses").
    uppers: FxHashMap<i64, i64>,
}

impl Relocator {
    /// Settles a place, which `bytes` begin with.
    ///
    /// # Errors
    /// The distance is too large for the instruction, or the relocation is one that code of this crate does not have.
    pub(super) fn settle(&mut self, bytes: &mut [u8], site: &Site) -> Result<(), EmitError> {
        let &Site { kind, place, destination, word, addend } = site;
        let unknown = || internal(format!("a relocation {kind:?} to {destination:?}"));
        let direct = || match destination {
            Destination::Place(at) => Ok(at + addend),
            Destination::Symbol(_) => Err(unknown()),
        };
        let indirect = || Ok(word.ok_or_else(unknown)? + addend);
        let callee = || match destination {
            Destination::Place(at) | Destination::Symbol(Some(at)) => Ok(at + addend),
            Destination::Symbol(None) => Err(unknown()),
        };
        match kind {
            // A signed 32-bit distance from the place itself; the addend makes up for what follows.
            Reloc::X86PCRel4 | Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => {
                let distance = direct()? - place;
                patch(bytes, |_: [u8; 4]| Ok(i32::try_from(distance).map_err(|_| far())?.to_le_bytes()))
            }
            Reloc::X86GOTPCRel4 => {
                let distance = indirect()? - place;
                patch(bytes, |_: [u8; 4]| Ok(i32::try_from(distance).map_err(|_| far())?.to_le_bytes()))
            }
            // R_AARCH64_CALL26 and R_AARCH64_JUMP26: words in the low 26 bits (ELF for the Arm 64-bit architecture, 5.7).
            Reloc::Arm64Call => {
                let words = (direct()? - place) >> 2;
                if !(-(1 << 25)..1 << 25).contains(&words) {
                    return Err(far());
                }
                instruction(bytes, |old| old & !0x03ff_ffff | words as u32 & 0x03ff_ffff)
            }
            Reloc::Aarch64AdrPrelPgHi21 => {
                let target = direct()?;
                instruction(bytes, |old| adrp(old, place, target))
            }
            Reloc::Aarch64AdrGotPage21 => {
                let target = indirect()?;
                instruction(bytes, |old| adrp(old, place, target))
            }
            // R_AARCH64_ADD_ABS_LO12_NC: the low twelve bits, unscaled, at bit 10.
            Reloc::Aarch64AddAbsLo12Nc => {
                let target = direct()?;
                instruction(bytes, |old| low(old, target, 0))
            }
            // R_AARCH64_LD64_GOT_LO12_NC: the low twelve bits in units of eight, at bit 10.
            Reloc::Aarch64Ld64GotLo12Nc => {
                let target = indirect()?;
                instruction(bytes, |old| low(old, target, 3))
            }
            // R_RISCV_CALL_PLT: `auipc` and `jalr`, one after the other (RISC-V ELF psABI, "Procedure Calls").
            Reloc::RiscvCallPlt => {
                let (upper, lower) = upper_and_lower(direct()? - place)?;
                instruction(bytes, |old| u_type(old, upper))?;
                instruction(bytes.get_mut(4..).unwrap_or(&mut []), |old| i_type(old, lower))
            }
            // R_RISCV_PCREL_HI20 and R_RISCV_GOT_HI20: the upper part of a distance from `auipc`.
            Reloc::RiscvPCRelHi20 | Reloc::RiscvGotHi20 => {
                let target = if kind == Reloc::RiscvGotHi20 { indirect()? } else { direct()? };
                self.uppers.insert(place, target - place);
                let (upper, _) = upper_and_lower(target - place)?;
                instruction(bytes, |old| u_type(old, upper))
            }
            // R_RISCV_PCREL_LO12_I: the lower part of the distance whose upper part is added at the target.
            Reloc::RiscvPCRelLo12I => {
                let distance = *self.uppers.get(&direct()?).ok_or_else(unknown)?;
                let (_, lower) = upper_and_lower(distance)?;
                instruction(bytes, |old| i_type(old, lower))
            }
            // R_390_PC32DBL and R_390_PLT32DBL: halfwords, from the place; the addend makes up for the two bytes of the
            // instruction before it (ELF ABI s390x Supplement 1.6, 3.4.2).
            Reloc::S390xPCRel32Dbl | Reloc::S390xPLTRel32Dbl => {
                let target = if is_through_stub(kind) { callee()? } else { direct()? };
                let distance = halfwords(target - place)?;
                patch(bytes, |_: [u8; 4]| Ok(distance.to_be_bytes()))
            }
            _ => Err(unknown()),
        }
    }
}

fn far() -> EmitError {
    EmitError::limit("bytes between code and what it reaches", i32::MAX as u64, u64::MAX)
}

/// Changes the bytes that others begin with.
fn patch<const N: usize>(
    bytes: &mut [u8],
    new: impl FnOnce([u8; N]) -> Result<[u8; N], EmitError>,
) -> Result<(), EmitError> {
    let bytes = bytes.first_chunk_mut().ok_or_else(|| internal("a relocation outside of the code"))?;
    *bytes = new(*bytes)?;
    Ok(())
}

/// Changes a little-endian instruction.
fn instruction(bytes: &mut [u8], new: impl FnOnce(u32) -> u32) -> Result<(), EmitError> {
    patch(bytes, |old| Ok(new(u32::from_le_bytes(old)).to_le_bytes()))
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

/// A distance as `upper * 4096 + lower`, where the lower part, of twelve bits, is signed.
fn upper_and_lower(distance: i64) -> Result<(u32, u32), EmitError> {
    let upper = i32::try_from(distance + 0x800).map_err(|_| far())? >> 12;
    Ok((upper as u32, distance as u32 & 0xfff))
}

/// The immediate of `auipc`: bits 31 to 12 (RISC-V unprivileged ISA, 2.3, "Immediate Encoding Variants").
fn u_type(old: u32, upper: u32) -> u32 {
    old & 0xfff | upper << 12
}

/// The immediate of `jalr`, `addi` and `ld`: bits 31 to 20.
fn i_type(old: u32, lower: u32) -> u32 {
    old & 0xf_ffff | lower << 20
}

/// A distance in units of two bytes: places of instructions, and of what `larl` and its like reach, are even.
fn halfwords(distance: i64) -> Result<i32, EmitError> {
    if distance & 1 != 0 {
        return Err(internal("code reaches for an odd address"));
    }
    i32::try_from(distance >> 1).map_err(|_| far())
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

    /// Settles one place after the other in the same bytes.
    fn settled(bytes: &mut [u8], sites: &[Site]) -> Result<(), EmitError> {
        let mut relocator = Relocator::default();
        sites.iter().try_for_each(|site| relocator.settle(&mut bytes[site.place as usize..], site))
    }

    fn words(words: [u32; 2]) -> Vec<u8> {
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    fn site(kind: Reloc, place: i64, destination: i64) -> Site {
        Site { kind, place, destination: Destination::Place(destination), word: None, addend: 0 }
    }

    #[test]
    fn a_lower_part_is_signed() {
        assert_eq!(upper_and_lower(0x1234_5678).unwrap(), (0x12345, 0x678));
        assert_eq!(upper_and_lower(0x1234_5fff).unwrap(), (0x12346, 0xfff));
        assert_eq!(upper_and_lower(0x7ff).unwrap(), (0, 0x7ff));
        assert_eq!(upper_and_lower(0x800).unwrap(), (1, 0x800));
        assert_eq!(upper_and_lower(-0x800).unwrap(), (0, 0x800));
        assert_eq!(upper_and_lower(-0x801).unwrap(), (u32::MAX, 0x7ff));
        assert!(upper_and_lower(0x7fff_f7ff).is_ok());
        assert!(upper_and_lower(0x7fff_f800).is_err());
        // auipc ra, 0x12346; jalr ra, -1(ra)
        let mut call = words([0x0000_0097, 0x0000_80e7]);
        settled(&mut call, &[site(Reloc::RiscvCallPlt, 0, 0x1234_5fff)]).unwrap();
        assert_eq!(call, words([0x1234_6097, 0xfff0_80e7]));
    }

    #[test]
    fn a_lower_part_is_that_of_the_instruction_it_names() {
        // auipc a0, 0x1; ld a0, -0x7f8(a0): the word is 0x808 bytes behind the first.
        let mut load = words([0x0000_0517, 0x0005_3503]);
        let upper = Site { word: Some(0x808), ..site(Reloc::RiscvGotHi20, 0, 0x5000) };
        let lower = site(Reloc::RiscvPCRelLo12I, 4, 0);
        settled(&mut load, &[upper, lower]).unwrap();
        assert_eq!(load, words([0x0000_1517, 0x8085_3503]));
        // auipc a0, 0; addi a0, a0, 0x10
        let mut near = words([0x0000_0517, 0x0005_0513]);
        settled(&mut near, &[site(Reloc::RiscvPCRelHi20, 0, 0x10), lower]).unwrap();
        assert_eq!(near, words([0x0000_0517, 0x0105_0513]));
        // Nobody adds an upper part there.
        assert!(settled(&mut near, &[lower]).is_err());
    }

    #[test]
    fn halfwords_of_big_endian_instructions() {
        // brasl %r14, .+0x100
        let mut call = [0xc0, 0xe5, 0, 0, 0, 0];
        let near = Site { addend: 2, ..site(Reloc::S390xPLTRel32Dbl, 2, 0x100) };
        settled(&mut call, &[near]).unwrap();
        assert_eq!(call, [0xc0, 0xe5, 0, 0, 0, 0x80]);
        let stub_of = |stub| Site { destination: Destination::Symbol(stub), ..near };
        settled(&mut call, &[stub_of(Some(-0x100))]).unwrap();
        assert_eq!(call, [0xc0, 0xe5, 0xff, 0xff, 0xff, 0x80]);
        assert!(settled(&mut call, &[stub_of(None)]).is_err());
        // The address of a symbol is not that of its stub.
        let address = Site { kind: Reloc::S390xPCRel32Dbl, ..stub_of(Some(0x100)) };
        assert!(settled(&mut call, &[address]).is_err());
        assert!(settled(&mut call, &[site(Reloc::S390xPCRel32Dbl, 2, 0x101)]).is_err());
        assert_eq!(stub(0x18, 0x1_0020).unwrap(), [0xc4, 0x18, 0, 0, 0x80, 0x04, 0x07, 0xf1]);
    }
}
