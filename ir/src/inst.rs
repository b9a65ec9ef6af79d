//! Instructions: one shape of 28 bytes for all ops.
//!
//! Operands are a slice of values, up to two of them in the instruction itself, destinations a slice of edges, results a range of value ids. What else an op
//! needs is in `ty` (a type suffix) and in `imm`, whose meaning follows from the op's [`Shape`](crate::op::Shape):
//!
//! | shape | `ty` | `imm` |
//! |---|---|---|
//! | `Convert`, `Make` | result type | 0 |
//! | `Dimension` | – | 0, 1 or 2 |
//! | `Shuffle` | – | a vector constant of `i32` lanes: the mask ([`Const`](crate::entity::Const)) |
//! | `Field` | – | field index |
//! | `Index` | element type | 0 |
//! | `FieldAddress` | aggregate type | field index |
//! | `GlobalAddress` | pointer type | [`SymbolRef`](crate::entity::SymbolRef) |
//! | `Slot` | type in memory, of a sentinel: result type | 0 |
//! | `Input` | result type | [`SymbolRef`](crate::entity::SymbolRef) |
//! | `Load`, `AtomicLoad` | result type | [`MemFlags`] |
//! | `Store`, `Memory`, `Atomic`, `Fence` | – | [`MemFlags`] |
//! | `Call`, `Throw`, `Assert`, `Print` | – | [`SymbolRef`](crate::entity::SymbolRef) |
//! | `FunctionAddress` | – | [`SymbolRef`](crate::entity::SymbolRef) |
//! | `CallIndirect` | – | [`SigRef`](crate::entity::SigRef) |
//! | `Switch` | – | [`Switch`](crate::entity::Switch) |

use crate::entity::{Block, BlockCall, Value};
use crate::op::Op;
use crate::types::Type;
use cranelift_entity::EntityList;
use cranelift_entity::packed_option::PackedOption;

/// A list of values in the body's pool.
pub type ValueList = EntityList<Value>;
/// A list of edges in the body's pool.
pub type BlockCallList = EntityList<BlockCall>;

/// One instruction. Made by [`Body::make_inst`](crate::body::Body::make_inst).
#[derive(Clone, Debug)]
pub struct InstData {
    /// What it does; [`Body::set_op`](crate::body::Body::set_op) changes it.
    pub op: Op,
    /// How many results it has.
    pub(crate) result_count: u8,
    /// Whether an earlier guard already excludes what the op would throw for.
    pub guarded: bool,
    /// How many operands there are in `args`, or [`InstData::LONG`].
    pub(crate) arg_count: u8,
    /// Type suffix.
    pub ty: Type,
    /// Operands, as most ops have two at most; else where the body keeps them, and how many there are.
    pub(crate) args: [Value; 2],
    /// Destinations of a terminator.
    pub(crate) targets: BlockCallList,
    /// See the table above.
    pub imm: u32,
    /// The first result; the others follow it.
    pub(crate) first_result: PackedOption<Value>,
}

const _: () = assert!(size_of::<InstData>() == 28);
const _: () = assert!(size_of::<BlockCallData>() == 8);

impl InstData {
    /// The count of operands that stand for more than two, which the body keeps elsewhere.
    pub(crate) const LONG: u8 = 3;

    /// Where the operands are in the body's table, if they are not here.
    #[inline]
    pub(crate) fn long_args(&self) -> std::ops::Range<usize> {
        let start = self.args[0].as_u32() as usize;
        start..start + self.args[1].as_u32() as usize
    }
}

/// A destination and the values for its parameters.
#[derive(Clone, Debug)]
pub struct BlockCallData {
    /// Where to.
    pub block: Block,
    /// One value per parameter of the block.
    pub(crate) args: ValueList,
}

/// Memory orders, weakest first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Order {
    /// Atomic, no ordering of other accesses.
    Relaxed,
    /// Later accesses stay later.
    Acquire,
    /// Earlier accesses stay earlier.
    Release,
    /// Both.
    AcqRel,
    /// Both, and one total order of all such operations.
    SeqCst,
}

impl Order {
    /// All orders.
    pub const ALL: [Order; 5] =
        [Order::Relaxed, Order::Acquire, Order::Release, Order::AcqRel, Order::SeqCst];

    /// The spelling in text.
    #[inline]
    pub const fn name(self) -> &'static str {
        match self {
            Order::Relaxed => "relaxed",
            Order::Acquire => "acquire",
            Order::Release => "release",
            Order::AcqRel => "acq_rel",
            Order::SeqCst => "seq_cst",
        }
    }
}

/// Who takes part in an atomic access or a fence.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Scope {
    /// The lanes of one sub-group.
    Subgroup,
    /// The work-items of one group.
    Group,
    /// Everything on this device.
    Device,
    /// The host and other devices as well.
    System,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 4] = [Scope::Subgroup, Scope::Group, Scope::Device, Scope::System];

    /// The spelling in text.
    #[inline]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Subgroup => "subgroup",
            Scope::Group => "group",
            Scope::Device => "device",
            Scope::System => "system",
        }
    }
}

/// Alignment, volatility, order and scope of a memory access, in one word.
///
/// Bits 0-5: log2 of the alignment plus one, 0 for the type's own; bit 6: volatile; bits 8-10: order; bits 12-13:
/// scope. An API-built word with other bits set decodes to something valid.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct MemFlags(u32);

impl MemFlags {
    /// The type's own alignment, not volatile.
    #[inline]
    pub const fn plain() -> Self {
        MemFlags(0)
    }

    /// An atomic access.
    #[inline]
    pub const fn atomic(order: Order, scope: Scope) -> Self {
        MemFlags(((order as u32) << 8) | ((scope as u32) << 12))
    }

    /// With an alignment in bytes; none unless it is a power of two up to 2^30.
    #[inline]
    pub const fn with_align(self, align: u32) -> Option<Self> {
        if !align.is_power_of_two() || align > 1 << 30 {
            return None;
        }
        Some(MemFlags((self.0 & !63) | (align.trailing_zeros() + 1)))
    }

    /// With volatility: happens exactly as often as written, in order with the other volatile accesses.
    #[inline]
    pub const fn with_volatile(self) -> Self {
        MemFlags(self.0 | 64)
    }

    /// The stated alignment in bytes; none for the type's own.
    #[inline]
    pub const fn align(self) -> Option<u32> {
        match self.0 & 63 {
            0 => None,
            log2 => Some(1 << ((log2 - 1) % 31)),
        }
    }

    /// Whether the access is volatile.
    #[inline]
    pub const fn is_volatile(self) -> bool {
        self.0 & 64 != 0
    }

    /// The order of an atomic access.
    #[inline]
    pub const fn order(self) -> Order {
        Order::ALL[((self.0 >> 8 & 7) % 5) as usize]
    }

    /// The scope of an atomic access.
    #[inline]
    pub const fn scope(self) -> Scope {
        Scope::ALL[(self.0 >> 12 & 3) as usize]
    }

    /// As the word that [`InstData::imm`] holds.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From such a word.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        MemFlags(bits)
    }
}
