//! What the columns of the op table hold: how an op is spelled, what its types are, what it may do.

/// How an instruction is spelled and which fields of [`InstData`](crate::inst::InstData) it uses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// `op a`
    Unary,
    /// `op a, b`
    Binary,
    /// `op a, b, c`
    Ternary,
    /// `op.TYPE a`: one operand, the result type in the suffix
    Convert,
    /// `op`: no operand, fixed result
    Nullary,
    /// `op D`: a dimension 0, 1 or 2
    Dimension,
    /// `shuffle a, b, [0, 5, 2, 7]`
    Shuffle,
    /// `op.TYPE a, b, ...`: builds an aggregate from its fields
    Make,
    /// `op a, 3` and `op a, x, 3`: a constant field index last
    Field,
    /// `index p, i, TYPE`
    Index,
    /// `field_address p, TYPE, 3`
    FieldAddress,
    /// `op.SPACE name`: the address of a global
    GlobalAddress,
    /// `slot.TYPE`
    Slot,
    /// `load.TYPE p [align N] [volatile]`
    Load,
    /// `store p, x [align N] [volatile]`
    Store,
    /// `memcpy d, s, n [align N] [volatile]`
    Memory,
    /// `atomic_load.TYPE p ORDER SCOPE`
    AtomicLoad,
    /// `op p, x, ... ORDER SCOPE`
    Atomic,
    /// `fence ORDER SCOPE`
    Fence,
    /// `call name(a, b)`
    Call,
    /// `call_indirect p(a, b) -> (TYPE, ...)`
    CallIndirect,
    /// `function_address name(TYPE, ...)`
    FunctionAddress,
    /// `jump block(a)`
    Jump,
    /// `branch c, yes(a), no(b)`
    Branch,
    /// `switch x, otherwise(a), [0: b(c), 7: d]`
    Switch,
    /// `return a, b`
    Return,
    /// `throw Kind`, `throw Kind, "reason"` and `throw Kind, "format", a, b`
    Throw,
    /// `static_assert c, "message"`
    StaticAssert,
    /// `assert c, "message"` and `assert c, "format", a, b`
    Assert,
    /// `target_query.TYPE "key"`
    Query,
    /// `scratch.SPACE TYPE`
    Scratch,
    /// `op.TYPE name`: what the host passes under a name
    Input,
    /// `print "format", a, b`
    Print,
}

/// Which operand types an op takes and which result types follow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// All operands have one type, integer (not `i1`), float, or a vector of these; so has the result.
    SameNumber,
    /// As [`Rule::SameNumber`], integers only.
    SameInt,
    /// As [`Rule::SameInt`], `i1` included.
    SameBits,
    /// As [`Rule::SameNumber`], floats only.
    SameFloat,
    /// Two integers (not `i1`) of one type; the result and an `i1` per lane.
    Overflow,
    /// Two integers, floats, truth values or pointers of one type; an `i1` per lane.
    CompareAny,
    /// Two integers (not `i1`) of one type; an `i1` per lane.
    CompareInt,
    /// Two floats of one type; an `i1` per lane.
    CompareFloat,
    /// `i1` and two values of any one type; or a vector of `i1` and two vectors of as many lanes.
    Select,
    /// Integer to a narrower integer of as many lanes.
    Truncate,
    /// Integer to a wider integer of as many lanes.
    Extend,
    /// Float to another float of as many lanes.
    FloatConvert,
    /// Float to integer of as many lanes.
    FloatToInt,
    /// Integer to float of as many lanes.
    IntToFloat,
    /// Integers, floats and vectors of these, with as many bits; no `i1`, no pointer.
    Bitcast,
    /// Pointer to `i64`.
    PointerToInt,
    /// `i64` to pointer.
    IntToPointer,
    /// Pointer to pointer in another space; one of the two is generic.
    SpaceCast,
    /// Lane to vector.
    Splat,
    /// Vector and integer index; a lane.
    Extract,
    /// Vector, lane and integer index; the vector.
    Insert,
    /// Two vectors of one type; a vector with as many lanes as the mask has.
    Shuffle,
    /// Vector of numbers; a lane.
    ReduceNumber,
    /// Vector of integers (not `i1`); a lane.
    ReduceInt,
    /// Vector of integers, `i1` included; a lane.
    ReduceBits,
    /// Vector of floats; a lane.
    ReduceFloat,
    /// The fields of the aggregate, in order; the aggregate.
    Make,
    /// Aggregate; its field.
    GetField,
    /// Aggregate and a value for its field; the aggregate.
    SetField,
    /// Pointer and `i64`; the pointer type.
    PointerAdd,
    /// Pointer and integer; the pointer type.
    Index,
    /// Pointer; the pointer type.
    FieldAddress,
    /// Nothing; a pointer to the named global.
    GlobalAddress,
    /// Nothing; a `ptr<local>`.
    Slot,
    /// Two integers of one type; the first.
    BoundsCheck,
    /// Pointer; what it points to.
    Load,
    /// Pointer and any value; nothing.
    Store,
    /// Pointer, pointer, `i64`; nothing.
    MemoryCopy,
    /// Pointer, `i8`, `i64`; nothing.
    MemorySet,
    /// Pointer and an `i32`, `i64`, `f32` or `f64`; as much for loads and exchanges.
    AtomicAny,
    /// Pointer and an `i32` or `i64`.
    AtomicInt,
    /// Pointer and an `i32`, `i64`, `f32` or `f64`.
    AtomicNumber,
    /// Pointer and an `f32` or `f64`.
    AtomicFloat,
    /// Pointer and two values, `i32` or `i64`; the old value and whether it was exchanged.
    CompareExchange,
    /// Nothing; nothing.
    Nothing,
    /// Nothing; an `i32`.
    WorkItem,
    /// Nothing; an `i64`.
    Clock,
    /// A value of 32 or 64 bits and a lane number `i32`; the value's type.
    SubgroupShuffle,
    /// `i1`; `i1`.
    SubgroupVote,
    /// `i1`; an `i64` of one bit per lane.
    SubgroupBallot,
    /// `i32` or `i64`; the same.
    SubgroupInt,
    /// What the callee takes and returns.
    Call,
    /// A pointer and what the signature takes.
    CallIndirect,
    /// Nothing; a `ptr<generic>`.
    FunctionAddress,
    /// Terminators: checked against the destinations and the signature.
    Terminator,
    /// What the reason converts, if there is anything; nothing.
    Throw,
    /// An `i1`; nothing.
    StaticAssert,
    /// An `i1` and what the message converts, if there is anything; nothing.
    Assert,
    /// Nothing; the suffix: `i1` or an integer.
    Query,
    /// Nothing; a pointer in the named space.
    Scratch,
    /// Nothing; the suffix's type, one that memory can hold.
    Input,
    /// Nothing; a value of the suffix's type: a scalar, vector or pointer.
    Sentinel,
    /// What the format converts; nothing.
    Print,
}

/// What running an op may do besides computing its results.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects(u8);

impl Effects {
    /// Reads memory.
    pub const READ: Effects = Effects(1);
    /// Writes memory, or orders what others write.
    pub const WRITE: Effects = Effects(2);
    /// May throw instead of computing.
    pub const THROW: Effects = Effects(4);
    /// Ends its block.
    pub const TERMINATOR: Effects = Effects(8);
    /// Work-items of a group meet here: must not move into or out of divergent control flow.
    pub const CONVERGENT: Effects = Effects(16);
    /// Runs a function that may do anything.
    pub const CALL: Effects = Effects(32);

    /// No effect at all.
    pub const fn none() -> Effects {
        Effects(0)
    }

    /// The effects of both.
    #[inline]
    pub const fn and(self, other: Effects) -> Effects {
        Effects(self.0 | other.0)
    }

    /// Whether any effect of `other` is among these.
    #[inline]
    pub const fn has(self, other: Effects) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no effect: the op may be removed when unused, and computed twice or earlier.
    pub const fn is_pure(self) -> bool {
        self.0 == 0
    }
}
