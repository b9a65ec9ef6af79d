//! Reading modules back: for tests, for people, and for hosts that want to know before a driver crashes.

use crate::error::EmitError;
use rspirv::binary::Disassemble;
use rspirv::dr::load_words;
use rspirv::spirv::Op;
use std::collections::BTreeSet;

/// The words of a module's bytes.
fn words(code: &[u8]) -> Vec<u32> {
    code.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

/// A module in the assembler's notation.
///
/// # Errors
/// The bytes are no module.
pub fn disassemble(code: &[u8]) -> Result<String, EmitError> {
    let module =
        load_words(words(code)).map_err(|e| EmitError::Internal(format!("no SPIR-V module: {e}")))?;
    Ok(module.disassemble())
}

/// Checks what can be checked without the rules of an environment: that the grammar fits, that every id is
/// defined once and below the bound, that every used id is defined and every block ends once.
///
/// # Errors
/// What is wrong first.
pub fn check(code: &[u8]) -> Result<(), EmitError> {
    let wrong = |what: String| Err(EmitError::Internal(format!("no valid SPIR-V module: {what}")));
    let module = match load_words(words(code)) {
        Ok(module) => module,
        Err(error) => return wrong(error.to_string()),
    };
    let bound = module.header.as_ref().map_or(0, |h| h.bound);
    let mut defined = BTreeSet::new();
    for instruction in module.all_inst_iter() {
        if let Some(id) = instruction.result_id {
            if id == 0 || id >= bound {
                return wrong(format!("id {id} is not below the bound {bound}"));
            }
            if !defined.insert(id) {
                return wrong(format!("id {id} is defined twice"));
            }
        }
    }
    for instruction in module.all_inst_iter() {
        let operands = instruction.operands.iter().filter_map(|o| o.id_ref_any());
        for id in operands.chain(instruction.result_type) {
            if !defined.contains(&id) {
                return wrong(format!("id {id} is used and not defined"));
            }
        }
    }
    for block in module.functions.iter().flat_map(|f| &f.blocks) {
        let count = block.instructions.len();
        for (n, instruction) in block.instructions.iter().enumerate() {
            if is_terminator(instruction.class.opcode) != (n + 1 == count) {
                return wrong(format!("'{:?}' in the wrong place of a block", instruction.class.opcode));
            }
        }
    }
    Ok(())
}

fn is_terminator(op: Op) -> bool {
    let branches = matches!(op, Op::Branch | Op::BranchConditional | Op::Switch);
    branches || matches!(op, Op::Return | Op::ReturnValue | Op::Unreachable)
}
