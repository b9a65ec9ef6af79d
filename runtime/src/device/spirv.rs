//! A structural check of SPIR-V before a driver sees it.
//!
//! Drivers trust their input: some crash on a module that is cut short, others accept it and fail later with a bare
//! status code. One walk over the words (SPIR-V specification, section 2.3, "Physical Layout of a SPIR-V Module and
//! Instruction") finds what is cut, swapped or of the wrong flavour. It is no validator; the compiler's output is
//! validated where it is made.

use super::DeviceError;

/// `Kernel` of section 3.3, "Execution Model".
#[cfg(feature = "opencl")]
pub const KERNEL: u32 = 6;
/// `GLCompute` of section 3.3, "Execution Model".
#[cfg(feature = "vulkan")]
pub const GL_COMPUTE: u32 = 5;

const MAGIC: u32 = 0x0723_0203;
const HEADER_WORDS: usize = 5;
const OP_ENTRY_POINT: u32 = 15;
const OP_FUNCTION_END: u32 = 56;

/// The module's words, if it is whole and has the entry point in the execution model.
///
/// # Errors
/// It is not whole, or has no such entry point.
pub fn words(code: &[u8], entry: &str, model: u32) -> Result<Vec<u32>, DeviceError> {
    let refuse = |log: String| Err(DeviceError::Compile { entry: entry.to_owned(), log });
    let (chunks, rest) = code.as_chunks::<4>();
    if !rest.is_empty() {
        return refuse(format!("SPIR-V consists of words of 4 bytes, found {} bytes", code.len()));
    }
    let words: Vec<u32> = chunks.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
    let Some((&[magic, version, _, bound, schema], body)) = words.split_first_chunk::<HEADER_WORDS>() else {
        return refuse(format!("no SPIR-V header in {} bytes", code.len()));
    };
    if magic != MAGIC {
        return refuse(format!("SPIR-V starts with {MAGIC:#010x}, found {magic:#010x}"));
    }
    let (major, minor) = (version >> 16, version >> 8 & 0xff);
    if version & 0xff00_00ff != 0 || major != 1 || minor > 6 {
        return refuse(format!("SPIR-V version {major}.{minor} is not known, wanted 1.0 to 1.6"));
    }
    if bound == 0 || bound > 1 << 22 || schema != 0 {
        return refuse(format!("bad SPIR-V header: bound {bound}, schema {schema}"));
    }
    let mut models_found = Vec::new();
    let mut last = 0;
    let mut at = HEADER_WORDS;
    let mut rest = body;
    while let Some(&first) = rest.first() {
        let (count, opcode) = ((first >> 16) as usize, first & 0xffff);
        if count == 0 || count > rest.len() {
            return refuse(format!(
                "SPIR-V is cut: the instruction at word {at} has {count} words, found {}",
                rest.len()
            ));
        }
        let (instruction, tail) = rest.split_at(count);
        if let (OP_ENTRY_POINT, [_, found, _, name @ ..]) = (opcode, instruction)
            && starts_with_literal(name, entry)
        {
            models_found.push(*found);
        }
        last = opcode;
        at += count;
        rest = tail;
    }
    if last != OP_FUNCTION_END {
        return refuse("SPIR-V is cut: the module does not end with a function".to_owned());
    }
    match models_found.as_slice() {
        [] => refuse("no such entry point in the SPIR-V".to_owned()),
        found if found.contains(&model) => Ok(words),
        [first, ..] => refuse(format!("the entry point has execution model {first}, wanted {model}")),
    }
}

/// Whether a literal string (section 2.2.1: UTF-8, zero-terminated, packed from the low byte up) is `text`.
fn starts_with_literal(words: &[u32], text: &str) -> bool {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.take_while(|&byte| byte != 0).eq(text.bytes()) && text.len() / 4 < words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header, one entry point of model 5 called `k`, one function end.
    const MODULE: [u32; 10] = [MAGIC, 0x0001_0500, 0, 9, 0, 4 << 16 | 15, 5, 1, b'k' as u32, 1 << 16 | 56];

    fn check(words_in: &[u32], entry: &str, model: u32) -> Result<Vec<u32>, String> {
        let bytes: Vec<u8> = words_in.iter().flat_map(|word| word.to_le_bytes()).collect();
        words(&bytes, entry, model).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_module_passes() {
        assert_eq!(check(&MODULE, "k", 5).unwrap(), MODULE);
    }

    #[test]
    fn what_is_cut_or_wrong_is_told() {
        assert!(check(&MODULE, "k", 6).unwrap_err().contains("execution model 5, wanted 6"));
        assert!(check(&MODULE, "kk", 5).unwrap_err().contains("no such entry point"));
        assert!(check(&MODULE[..9], "k", 5).unwrap_err().contains("does not end with a function"));
        assert!(check(&MODULE[..8], "k", 5).unwrap_err().contains("at word 5 has 4 words, found 3"));
        assert!(check(&MODULE[..4], "k", 5).unwrap_err().contains("no SPIR-V header"));
        assert!(words(&[3, 2, 0x23], "k", 5).unwrap_err().to_string().contains("found 3 bytes"));
        for (at, word) in [(0, MAGIC.swap_bytes()), (1, 0x0002_0000), (3, 0), (4, 1), (5, 15)] {
            let mut bad = MODULE;
            bad[at] = word;
            assert!(check(&bad, "k", 5).is_err(), "word {at} = {word:#x}");
        }
    }
}
