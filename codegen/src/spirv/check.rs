//! Reading modules back: for tests, for people, and for hosts that want to know before a driver crashes.
//!
//! The library's parser is used and not its loader, which refuses `OpExecutionModeId` outside functions.

use crate::error::EmitError;
use rspirv::binary::{Consumer, Disassemble, ParseAction, parse_bytes};
use rspirv::dr::{Instruction, ModuleHeader};
use rspirv::spirv::Op;
use std::collections::BTreeSet;

#[derive(Default)]
struct Reader {
    header: Option<ModuleHeader>,
    instructions: Vec<Instruction>,
}

impl Consumer for Reader {
    fn initialize(&mut self) -> ParseAction {
        ParseAction::Continue
    }

    fn finalize(&mut self) -> ParseAction {
        ParseAction::Continue
    }

    fn consume_header(&mut self, header: ModuleHeader) -> ParseAction {
        self.header = Some(header);
        ParseAction::Continue
    }

    fn consume_instruction(&mut self, instruction: Instruction) -> ParseAction {
        self.instructions.push(instruction);
        ParseAction::Continue
    }
}

fn read(code: &[u8]) -> Result<Reader, EmitError> {
    let mut reader = Reader::default();
    match parse_bytes(code, &mut reader) {
        Ok(()) => Ok(reader),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

fn wrong(what: &str) -> EmitError {
    EmitError::Internal(format!("no valid SPIR-V module: {what}"))
}

/// A module in the assembler's notation.
///
/// # Errors
/// The bytes are no module.
pub fn disassemble(code: &[u8]) -> Result<String, EmitError> {
    let reader = read(code)?;
    let mut text = reader.header.map_or_else(String::new, |header| header.disassemble());
    for instruction in &reader.instructions {
        text.push('\n');
        text.push_str(&instruction.disassemble());
    }
    text.push('\n');
    Ok(text)
}

/// Checks what can be checked without the rules of an environment: that the grammar fits, that every id is
/// defined once and below the bound, that every used id is defined, and that blocks and functions end.
///
/// # Errors
/// What is wrong first.
pub fn check(code: &[u8]) -> Result<(), EmitError> {
    let reader = read(code)?;
    let bound = reader.header.as_ref().map_or(0, |header| header.bound);
    let mut defined = BTreeSet::new();
    for id in reader.instructions.iter().filter_map(|instruction| instruction.result_id) {
        if id == 0 || id >= bound {
            return Err(wrong(&format!("id {id} is not below the bound {bound}")));
        }
        if !defined.insert(id) {
            return Err(wrong(&format!("id {id} is defined twice")));
        }
    }
    let (mut in_function, mut in_block) = (false, false);
    for instruction in &reader.instructions {
        let operands = instruction.operands.iter().filter_map(|operand| operand.id_ref_any());
        if let Some(id) = operands.chain(instruction.result_type).find(|id| !defined.contains(id)) {
            return Err(wrong(&format!("id {id} is used and not defined")));
        }
        let op = instruction.class.opcode;
        let fits = match op {
            Op::Function => !std::mem::replace(&mut in_function, true),
            Op::FunctionParameter => in_function && !in_block,
            Op::FunctionEnd => std::mem::take(&mut in_function) && !in_block,
            Op::Label => in_function && !std::mem::replace(&mut in_block, true),
            _ if is_terminator(op) => std::mem::take(&mut in_block),
            // What stands before the functions stands in no block.
            _ => in_function == in_block,
        };
        if !fits {
            return Err(wrong(&format!("'Op{op:?}' in the wrong place")));
        }
    }
    if in_function { Err(wrong("it ends inside a function")) } else { Ok(()) }
}

fn is_terminator(op: Op) -> bool {
    let branches = matches!(op, Op::Branch | Op::BranchConditional | Op::Switch);
    branches || matches!(op, Op::Return | Op::ReturnValue | Op::Unreachable)
}
