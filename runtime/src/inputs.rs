//! What a launch gets besides its arguments: the arena and the print buffer, where a kernel needs them.
//!
//! An artifact's entry lists its hidden inputs by name. Whoever launches it makes a buffer for each, passes their addresses
//! behind the mailbox, and reads the print buffer when the kernel has finished.

use crate::value::HostArg;
use marquetry_ir::types::Type;
use marquetry_ir::unit::PrintFormat;
use marquetry_lower::runtime::inputs::{ARENA, arena_header};
use marquetry_lower::runtime::print;

/// How much memory a launch gets for what kernels allocate and print. A kernel that does neither gets none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LaunchMemory {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of the print buffer.
    pub print_bytes: usize,
}

impl Default for LaunchMemory {
    fn default() -> Self {
        LaunchMemory { arena_bytes: 1 << 20, print_bytes: 1 << 18 }
    }
}

/// The kernels' state that a launch passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelState {
    /// Its type, one of the program.
    pub ty: Type,
    /// Its bytes as they stand in memory, padding included.
    pub bytes: Vec<u8>,
}

/// What launches get besides the arguments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaunchOptions {
    /// The state that every kernel takes first; none if kernels have none.
    pub state: Option<KernelState>,
    /// Hidden inputs by name. Buffers hold afterwards what the kernel left in them. The arena and the print buffer need
    /// not be among them.
    pub inputs: Vec<(String, HostArg)>,
    /// How much memory there is for what kernels allocate and print.
    pub memory: LaunchMemory,
}

impl LaunchOptions {
    /// The type of the state, for the job.
    pub fn state_type(&self) -> Option<Type> {
        self.state.as_ref().map(|state| state.ty)
    }
}

/// The first contents of the buffer behind a hidden input; none if the library does not know it.
pub fn buffer(name: &str, memory: LaunchMemory) -> Option<Vec<u8>> {
    match name {
        ARENA => {
            let mut bytes = arena_header(memory.arena_bytes).to_vec();
            bytes.resize(memory.arena_bytes.max(bytes.len()), 0);
            Some(bytes)
        }
        print::INPUT => Some(print::empty_buffer(memory.print_bytes)),
        _ => None,
    }
}

/// The lines that a launch printed, in the order in which they were written; then how many did not fit, if any.
pub fn printed(formats: &[PrintFormat], buffer: &[u8]) -> Vec<String> {
    let (records, dropped) = print::records(formats, buffer);
    let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    if dropped > 0 {
        lines.push(format!("({dropped} more did not fit into the print buffer)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_make_no_sense_end_the_output() {
        let format = PrintFormat { text: "%d".into(), types: [Type::I32].into() };
        let mut bytes = print::empty_buffer(100);
        assert_eq!(bytes.len(), 16 + 80);
        assert_eq!(printed(std::slice::from_ref(&format), &bytes), Vec::<String>::new());
        bytes[0] = 4;
        bytes[16 + 4] = 1;
        bytes[24] = 7;
        bytes[32] = 9;
        assert_eq!(printed(std::slice::from_ref(&format), &bytes), ["7"]);
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes[8] = 3;
        assert_eq!(printed(&[format], &bytes), ["7", "(3 more did not fit into the print buffer)"]);
        assert_eq!(printed(&[], &[1, 2, 3]), Vec::<String>::new());
    }
}
