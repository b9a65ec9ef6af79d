//! Every limit as a value. Passing one is an error that names it, never a panic.

/// Largest source text accepted, in bytes.
pub const MAX_SOURCE_BYTES: usize = 256 << 20;
/// Most diagnostics that one run collects before it stops looking.
pub const MAX_DIAGNOSTICS: usize = 50;
/// Most instructions of one body.
pub const MAX_INSTS: usize = 16 << 20;
/// Most values of one body.
pub const MAX_VALUES: usize = 64 << 20;
/// Most blocks of one body.
pub const MAX_BLOCKS: usize = 8 << 20;
/// Most results of one instruction, and of one signature.
pub const MAX_RESULTS: usize = 255;
/// Most parameters of one signature.
pub const MAX_PARAMS: usize = 4096;
/// Most operands of one instruction.
pub const MAX_OPERANDS: usize = 1 << 20;
/// Most lanes of a vector type.
pub const MAX_LANES: u32 = 64;
/// Deepest nesting of a type.
pub const MAX_TYPE_DEPTH: usize = 64;
/// Most fields of one struct.
pub const MAX_FIELDS: usize = 4096;
/// Largest type, in bytes.
pub const MAX_TYPE_BYTES: u64 = 1 << 40;
/// Largest array or struct that is handled as a value (in memory it may be larger), in bytes.
pub const MAX_VALUE_BYTES: u64 = 1 << 20;
/// Most stack-slot bytes of one function.
pub const MAX_FRAME_BYTES: u64 = 1 << 20;
/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 1 << 12;
/// Most instances in one unit.
pub const MAX_INSTANCES: usize = 1 << 16;
/// Most instances of methods with type variables that lead to one another.
pub const MAX_SPECIALISATION_DEPTH: usize = 256;
/// Most instructions that inlining may leave in one function.
pub const MAX_INLINED_INSTS: usize = 1 << 16;
/// How many inlined calls deep a location tells where code is from. Deeper code counts as part of the last call, so that
/// a chain of small functions does not make tables that are quadratic in its length.
pub const MAX_INLINE_CHAIN: u32 = 32;
/// Most work-items of one group that the interpreter launches.
pub const MAX_GROUP_ITEMS: u64 = 1 << 16;
/// Most values in all stack frames of the interpreter together.
pub const MAX_STACK_VALUES: usize = 1 << 24;
/// Deepest call stack of the interpreter.
pub const MAX_CALL_DEPTH: usize = 10_000;
