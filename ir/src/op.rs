//! The op table: the single source of mnemonics, operand shapes, type rules, effects and documentation.
//!
//! Every op computes something or throws; nothing but memory access, and calling an address, can be undefined: where the
//! place is invalid. Rows of memory ops say what is.
//!
//! One row is `Variant method "mnemonic" shape Rule [effects] "meaning";`. From the rows come the [`Op`] enum and
//! its [`OpInfo`], the builder's methods, the generated language reference and the coverage matrix; the parser, the
//! printer, the verifier and the passes read [`Op::info`]. What an op *computes* is in [`crate::semantics`]; matches
//! over ops are exhaustive there and in every emitter, so that a new row is a list of compile errors.

mod columns;
mod set;

use std::fmt;

pub use columns::{Effects, Rule, Shape};
pub use set::OpSet;

/// One row of the table.
#[derive(Copy, Clone, Debug)]
pub struct OpInfo {
    /// The spelling in text, without type suffix.
    pub mnemonic: &'static str,
    /// Spelling of operands.
    pub shape: Shape,
    /// Type rule.
    pub rule: Rule,
    /// Effects.
    pub effects: Effects,
    /// What it means, one paragraph.
    pub doc: &'static str,
}

/// Hands all rows of the op table to the macro `$callback`.
///
/// A row is `Variant method "mnemonic" shape Rule [effects] "doc";`.
#[macro_export]
macro_rules! op_table {
    ($callback:ident) => {
        $callback! {
        // Arithmetic
        Add add "add" Binary SameNumber [] "Sum. Integers wrap; floats round to nearest, ties to even.";
        Sub sub "sub" Binary SameNumber [] "Difference. Integers wrap; floats round to nearest, ties to even.";
        Mul mul "mul" Binary SameNumber [] "Product. Integers wrap; floats round to nearest, ties to even.";
        Neg neg "neg" Unary SameNumber [] "Negation. Integers wrap; floats flip the sign bit, NaN included.";
        Abs abs "abs" Unary SameNumber [] "Absolute value. The least integer stays itself; floats clear the sign bit, NaN included.";
        Div div "div" Binary SameFloat [] "Quotient of floats, IEEE 754 division.";
        DivS div_s "div.s" Binary SameInt [THROW] "Signed quotient, rounded towards zero. Throws DivideError for a zero divisor and OverflowError for the least value divided by -1, in any lane.";
        DivU div_u "div.u" Binary SameInt [THROW] "Unsigned quotient. Throws DivideError for a zero divisor in any lane.";
        Rem rem "rem" Binary SameFloat [] "Remainder of the truncated quotient (C's fmod): exact, with the sign of the dividend.";
        RemS rem_s "rem.s" Binary SameInt [THROW] "Signed remainder with the sign of the dividend; the least value by -1 gives 0. Throws DivideError for a zero divisor in any lane.";
        RemU rem_u "rem.u" Binary SameInt [THROW] "Unsigned remainder. Throws DivideError for a zero divisor in any lane.";
        MulHighS mul_high_s "mul_high.s" Binary SameInt [] "Upper half of the signed double-width product.";
        MulHighU mul_high_u "mul_high.u" Binary SameInt [] "Upper half of the unsigned double-width product.";
        AddSatS add_sat_s "add_sat.s" Binary SameInt [] "Sum, clamped to the signed range.";
        AddSatU add_sat_u "add_sat.u" Binary SameInt [] "Sum, clamped to the unsigned range.";
        SubSatS sub_sat_s "sub_sat.s" Binary SameInt [] "Difference, clamped to the signed range.";
        SubSatU sub_sat_u "sub_sat.u" Binary SameInt [] "Difference, clamped to the unsigned range.";
        AddOverflowS add_overflow_s "add_overflow.s" Binary Overflow [] "Wrapped sum, and whether the signed sum did not fit.";
        AddOverflowU add_overflow_u "add_overflow.u" Binary Overflow [] "Wrapped sum, and whether the unsigned sum did not fit.";
        SubOverflowS sub_overflow_s "sub_overflow.s" Binary Overflow [] "Wrapped difference, and whether the signed difference did not fit.";
        SubOverflowU sub_overflow_u "sub_overflow.u" Binary Overflow [] "Wrapped difference, and whether the unsigned difference was negative.";
        MulOverflowS mul_overflow_s "mul_overflow.s" Binary Overflow [] "Wrapped product, and whether the signed product did not fit.";
        MulOverflowU mul_overflow_u "mul_overflow.u" Binary Overflow [] "Wrapped product, and whether the unsigned product did not fit.";
        MinS min_s "min.s" Binary SameInt [] "The smaller of two signed integers.";
        MinU min_u "min.u" Binary SameInt [] "The smaller of two unsigned integers.";
        MaxS max_s "max.s" Binary SameInt [] "The larger of two signed integers.";
        MaxU max_u "max.u" Binary SameInt [] "The larger of two unsigned integers.";
        Min min "min" Binary SameFloat [] "IEEE 754-2019 minimum: NaN if an operand is NaN; -0 is smaller than +0.";
        Max max "max" Binary SameFloat [] "IEEE 754-2019 maximum: NaN if an operand is NaN; +0 is larger than -0.";
        MinNumber min_number "min_number" Binary SameFloat [] "IEEE 754-2019 minimumNumber: the other operand if one is NaN; -0 is smaller than +0.";
        MaxNumber max_number "max_number" Binary SameFloat [] "IEEE 754-2019 maximumNumber: the other operand if one is NaN; +0 is larger than -0.";
        Fma fma "fma" Ternary SameFloat [] "a * b + c, rounded once.";
        Sqrt sqrt "sqrt" Unary SameFloat [] "Square root, correctly rounded; NaN below -0.";
        Ceil ceil "ceil" Unary SameFloat [] "Round to an integral value, upwards.";
        Floor floor "floor" Unary SameFloat [] "Round to an integral value, downwards.";
        RoundZero round_zero "round_zero" Unary SameFloat [] "Round to an integral value, towards zero.";
        RoundEven round_even "round_even" Unary SameFloat [] "Round to the nearest integral value, ties to even.";
        RoundAway round_away "round_away" Unary SameFloat [] "Round to the nearest integral value, ties away from zero.";
        CopySign copy_sign "copy_sign" Binary SameFloat [] "The first operand with the sign bit of the second.";
        // Bits
        And and "and" Binary SameBits [] "Bitwise and.";
        Or or "or" Binary SameBits [] "Bitwise or.";
        Xor xor "xor" Binary SameBits [] "Bitwise exclusive or.";
        Not not "not" Unary SameBits [] "Bitwise complement.";
        Shl shl "shl" Binary SameInt [] "Shift left by the second operand modulo the width.";
        ShrS shr_s "shr.s" Binary SameInt [] "Shift right by the second operand modulo the width, copying the sign bit.";
        ShrU shr_u "shr.u" Binary SameInt [] "Shift right by the second operand modulo the width, filling with zeros.";
        RotL rot_l "rotl" Binary SameInt [] "Rotate left by the second operand modulo the width.";
        RotR rot_r "rotr" Binary SameInt [] "Rotate right by the second operand modulo the width.";
        Clz clz "clz" Unary SameInt [] "Number of leading zero bits; the width for zero.";
        Ctz ctz "ctz" Unary SameInt [] "Number of trailing zero bits; the width for zero.";
        PopCount pop_count "popcnt" Unary SameInt [] "Number of one bits.";
        BitReverse bit_reverse "bitreverse" Unary SameInt [] "The bits in opposite order.";
        ByteSwap byte_swap "byteswap" Unary SameInt [] "The bytes in opposite order.";
        // Comparisons
        Eq eq "eq" Binary CompareAny [] "Equal. Floats: false if an operand is NaN.";
        Ne ne "ne" Binary CompareAny [] "Not equal. Floats: true if an operand is NaN.";
        LtS lt_s "lt.s" Binary CompareInt [] "Signed less.";
        LeS le_s "le.s" Binary CompareInt [] "Signed less or equal.";
        GtS gt_s "gt.s" Binary CompareInt [] "Signed greater.";
        GeS ge_s "ge.s" Binary CompareInt [] "Signed greater or equal.";
        LtU lt_u "lt.u" Binary CompareInt [] "Unsigned less.";
        LeU le_u "le.u" Binary CompareInt [] "Unsigned less or equal.";
        GtU gt_u "gt.u" Binary CompareInt [] "Unsigned greater.";
        GeU ge_u "ge.u" Binary CompareInt [] "Unsigned greater or equal.";
        Lt lt "lt" Binary CompareFloat [] "Less; false if an operand is NaN.";
        Le le "le" Binary CompareFloat [] "Less or equal; false if an operand is NaN.";
        Gt gt "gt" Binary CompareFloat [] "Greater; false if an operand is NaN.";
        Ge ge "ge" Binary CompareFloat [] "Greater or equal; false if an operand is NaN.";
        One one "one" Binary CompareFloat [] "Less or greater; false if an operand is NaN.";
        Ueq ueq "ueq" Binary CompareFloat [] "Equal, or an operand is NaN.";
        Ult ult "ult" Binary CompareFloat [] "Less, or an operand is NaN.";
        Ule ule "ule" Binary CompareFloat [] "Less or equal, or an operand is NaN.";
        Ugt ugt "ugt" Binary CompareFloat [] "Greater, or an operand is NaN.";
        Uge uge "uge" Binary CompareFloat [] "Greater or equal, or an operand is NaN.";
        Ord ord "ord" Binary CompareFloat [] "Neither operand is NaN.";
        Uno uno "uno" Binary CompareFloat [] "An operand is NaN.";
        Select select "select" Ternary Select [] "The second operand where the first is true, else the third.";
        // Conversions
        Trunc trunc "trunc" Convert Truncate [] "The low bits.";
        Zext zext "zext" Convert Extend [] "Widened with zeros; true becomes 1.";
        Sext sext "sext" Convert Extend [] "Widened with the sign bit; true becomes -1.";
        FConvert fconvert "fconvert" Convert FloatConvert [] "Another float type, rounded to nearest, ties to even; NaN stays NaN.";
        FToS f_to_s "ftos" Convert FloatToInt [] "Signed integer, rounded towards zero and clamped to its range; NaN gives 0.";
        FToU f_to_u "ftou" Convert FloatToInt [] "Unsigned integer, rounded towards zero and clamped to its range; NaN gives 0.";
        SToF s_to_f "stof" Convert IntToFloat [] "Float from a signed integer, rounded to nearest, ties to even; overflow gives infinity.";
        UToF u_to_f "utof" Convert IntToFloat [] "Float from an unsigned integer, rounded to nearest, ties to even; overflow gives infinity.";
        Bitcast bitcast "bitcast" Convert Bitcast [] "The same bits as another type; lane 0 is lowest.";
        PtrToInt ptr_to_int "ptrtoint" Convert PointerToInt [] "The address.";
        IntToPtr int_to_ptr "inttoptr" Convert IntToPointer [] "A pointer from an address that such a pointer had.";
        SpaceCast space_cast "spacecast" Convert SpaceCast [] "The same place seen through another address space. Into a specific space: undefined when used, if the place is elsewhere.";
        // Vectors
        Splat splat "splat" Convert Splat [] "Every lane is the operand.";
        Extract extract "extract" Binary Extract [] "The lane at an index, taken modulo the number of lanes.";
        Insert insert "insert" Ternary Insert [] "The vector (first) with the lane at an index (third), modulo the number of lanes, replaced by the second operand.";
        Shuffle shuffle "shuffle" Shuffle Shuffle [] "Lanes picked from the two vectors laid end to end.";
        ReduceAdd reduce_add "reduce_add" Unary ReduceNumber [] "Sum of the lanes, lane 0 first, one addition after the other.";
        ReduceMul reduce_mul "reduce_mul" Unary ReduceNumber [] "Product of the lanes, lane 0 first, one multiplication after the other.";
        ReduceAnd reduce_and "reduce_and" Unary ReduceBits [] "Bitwise and of the lanes.";
        ReduceOr reduce_or "reduce_or" Unary ReduceBits [] "Bitwise or of the lanes.";
        ReduceXor reduce_xor "reduce_xor" Unary ReduceBits [] "Bitwise exclusive or of the lanes.";
        ReduceMinS reduce_min_s "reduce_min.s" Unary ReduceInt [] "Smallest signed lane.";
        ReduceMinU reduce_min_u "reduce_min.u" Unary ReduceInt [] "Smallest unsigned lane.";
        ReduceMaxS reduce_max_s "reduce_max.s" Unary ReduceInt [] "Largest signed lane.";
        ReduceMaxU reduce_max_u "reduce_max.u" Unary ReduceInt [] "Largest unsigned lane.";
        ReduceMin reduce_min "reduce_min" Unary ReduceFloat [] "Smallest lane by `min`.";
        ReduceMax reduce_max "reduce_max" Unary ReduceFloat [] "Largest lane by `max`.";
        // Aggregates
        Make make "make" Make Make [] "An array or struct from its elements or fields.";
        GetField get_field "get" Field GetField [] "Field or element of an aggregate, by constant index.";
        SetField set_field "set" Field SetField [] "The aggregate with one field or element replaced.";
        // Addresses
        PtrAdd ptr_add "ptr_add" Binary PointerAdd [] "The pointer moved by a number of bytes; wraps.";
        Index index "index" Index Index [] "The pointer moved by a signed number of elements of a type; wraps.";
        FieldAddress field_address "field_address" FieldAddress FieldAddress [] "The address of a field or element of the aggregate that the operand points to.";
        GlobalAddress global_address "address" GlobalAddress GlobalAddress [] "The address of a global.";
        Slot slot "slot" Slot Slot [] "The address of memory for one value of a type, private to this activation of the function: one per instruction, however often it runs. Its contents are uninitialised when the function starts.";
        BoundsCheck bounds_check "bounds_check" Binary BoundsCheck [THROW] "The first operand, if it is less than the second, unsigned; else throws BoundsError.";
        // Memory
        Load load "load" Load Load [READ] "The value at an address. Undefined for an invalid, misaligned or uninitialised place.";
        Store store "store" Store Store [WRITE] "Writes a value to an address (first operand). Undefined for an invalid or misaligned place.";
        MemCopy mem_copy "memcpy" Memory MemoryCopy [READ WRITE] "Copies bytes from the second address to the first; the ranges are equal or do not overlap. Undefined for invalid or misaligned places and other overlaps, unless it is 0 bytes.";
        MemSet mem_set "memset" Memory MemorySet [WRITE] "Fills bytes with a value. Undefined for an invalid or misaligned place, unless it is 0 bytes.";
        // Atomics
        AtomicLoad atomic_load "atomic_load" AtomicLoad AtomicAny [READ WRITE] "Atomic load.";
        AtomicStore atomic_store "atomic_store" Atomic AtomicAny [READ WRITE] "Atomic store.";
        RmwExchange rmw_exchange "rmw_exchange" Atomic AtomicAny [READ WRITE] "Replaces; gives the old value.";
        RmwAdd rmw_add "rmw_add" Atomic AtomicNumber [READ WRITE] "Adds; gives the old value.";
        RmwSub rmw_sub "rmw_sub" Atomic AtomicInt [READ WRITE] "Subtracts; gives the old value.";
        RmwAnd rmw_and "rmw_and" Atomic AtomicInt [READ WRITE] "Bitwise and; gives the old value.";
        RmwOr rmw_or "rmw_or" Atomic AtomicInt [READ WRITE] "Bitwise or; gives the old value.";
        RmwXor rmw_xor "rmw_xor" Atomic AtomicInt [READ WRITE] "Bitwise exclusive or; gives the old value.";
        RmwMinS rmw_min_s "rmw_min.s" Atomic AtomicInt [READ WRITE] "Signed minimum; gives the old value.";
        RmwMinU rmw_min_u "rmw_min.u" Atomic AtomicInt [READ WRITE] "Unsigned minimum; gives the old value.";
        RmwMaxS rmw_max_s "rmw_max.s" Atomic AtomicInt [READ WRITE] "Signed maximum; gives the old value.";
        RmwMaxU rmw_max_u "rmw_max.u" Atomic AtomicInt [READ WRITE] "Unsigned maximum; gives the old value.";
        RmwMin rmw_min "rmw_min" Atomic AtomicFloat [READ WRITE] "Minimum by `min_number`; gives the old value.";
        RmwMax rmw_max "rmw_max" Atomic AtomicFloat [READ WRITE] "Maximum by `max_number`; gives the old value.";
        CompareExchange compare_exchange "cmpxchg" Atomic CompareExchange [READ WRITE] "Replaces by the third operand if the second was there; gives the old value, and whether it was replaced. Never fails by chance.";
        Fence fence "fence" Fence Nothing [READ WRITE] "Orders memory accesses around it.";
        // Work-items
        LocalId local_id "local_id" Dimension WorkItem [] "Position of this work-item in its group.";
        GroupId group_id "group_id" Dimension WorkItem [] "Position of this work-item's group in the grid.";
        GroupSize group_size "group_size" Dimension WorkItem [] "Work-items per group.";
        GroupCount group_count "group_count" Dimension WorkItem [] "Groups in the grid.";
        SubgroupSize subgroup_size "subgroup_size" Nullary WorkItem [] "Lanes of a full sub-group.";
        SubgroupLane subgroup_lane "subgroup_lane" Nullary WorkItem [] "Lane of this work-item in its sub-group.";
        Barrier barrier "barrier" Nullary Nothing [READ WRITE CONVERGENT] "Every work-item of the group waits for the others; memory accesses to shared and global memory before it happen before those after it. All work-items that have not returned must reach the same barrier.";
        SubgroupBarrier subgroup_barrier "subgroup_barrier" Nullary Nothing [READ WRITE CONVERGENT] "As `barrier`, for the sub-group.";
        SubgroupShuffle subgroup_shuffle "subgroup_shuffle" Binary SubgroupShuffle [CONVERGENT] "The first operand of the lane that the second names; of this lane, if that one is not active or does not exist.";
        SubgroupShuffleXor subgroup_shuffle_xor "subgroup_shuffle_xor" Binary SubgroupShuffle [CONVERGENT] "As `subgroup_shuffle`, from this lane's number exclusive-or the second operand.";
        SubgroupShuffleUp subgroup_shuffle_up "subgroup_shuffle_up" Binary SubgroupShuffle [CONVERGENT] "As `subgroup_shuffle`, from this lane's number less the second operand.";
        SubgroupShuffleDown subgroup_shuffle_down "subgroup_shuffle_down" Binary SubgroupShuffle [CONVERGENT] "As `subgroup_shuffle`, from this lane's number plus the second operand.";
        SubgroupAny subgroup_any "subgroup_any" Unary SubgroupVote [CONVERGENT] "Whether the operand is true in any active lane.";
        SubgroupAll subgroup_all "subgroup_all" Unary SubgroupVote [CONVERGENT] "Whether the operand is true in all active lanes.";
        SubgroupBallot subgroup_ballot "subgroup_ballot" Unary SubgroupBallot [CONVERGENT] "Bit n is the operand of lane n, 0 for inactive lanes and for those from 64 on.";
        SubgroupReduceAdd subgroup_reduce_add "subgroup_reduce_add" Unary SubgroupInt [CONVERGENT] "Wrapping sum over the active lanes.";
        SubgroupReduceAnd subgroup_reduce_and "subgroup_reduce_and" Unary SubgroupInt [CONVERGENT] "Bitwise and over the active lanes.";
        SubgroupReduceOr subgroup_reduce_or "subgroup_reduce_or" Unary SubgroupInt [CONVERGENT] "Bitwise or over the active lanes.";
        SubgroupReduceXor subgroup_reduce_xor "subgroup_reduce_xor" Unary SubgroupInt [CONVERGENT] "Bitwise exclusive or over the active lanes.";
        SubgroupReduceMinS subgroup_reduce_min_s "subgroup_reduce_min.s" Unary SubgroupInt [CONVERGENT] "Signed minimum over the active lanes.";
        SubgroupReduceMinU subgroup_reduce_min_u "subgroup_reduce_min.u" Unary SubgroupInt [CONVERGENT] "Unsigned minimum over the active lanes.";
        SubgroupReduceMaxS subgroup_reduce_max_s "subgroup_reduce_max.s" Unary SubgroupInt [CONVERGENT] "Signed maximum over the active lanes.";
        SubgroupReduceMaxU subgroup_reduce_max_u "subgroup_reduce_max.u" Unary SubgroupInt [CONVERGENT] "Unsigned maximum over the active lanes.";
        Clock clock "clock" Nullary Clock [READ WRITE] "A counter that grows while the program runs; its unit is the target's.";
        KernelInput kernel_input "kernel_input" Input Input [] "What the host passes under this name at launch besides the arguments: a hidden last parameter of the kernel, and of every function on the way to the op. The name `state` is the kernels' state, whose type the job declares: the first parameter of every kernel, used or not, and of the functions on the way; all zeros in code that no kernel calls.";
        Sentinel sentinel "sentinel" Slot Sentinel [READ WRITE] "The harmless value that a function which only devices have gives on the host: 1 for pointers, else 0. It is never taken for a constant. A job may ask for an exception or an error instead, and code for devices cannot contain it.";
        Print print "print" Print Print [WRITE] "Writes a line: the operands through a format as in C's printf, on the host, when the kernel has finished. Conversions: `%d %i %u %x %X %o %b %c` for integers, `%f %F %e %E %g %G` for floats, `%p` for pointers, `%%`; with flags, width and precision. Lines are whole and in the order in which they were written; those that do not fit into the launch's buffer are dropped and counted.";
        // Calls
        Call call "call" Call Call [CALL READ WRITE THROW CONVERGENT] "Calls the method that dispatch finds for the name and the argument types.";
        Unresolved unresolved "unresolved" Call Call [CALL READ WRITE THROW CONVERGENT] "A call that no method fits: refused unless control cannot get there; where the job says so, it throws UnresolvedError, or the host answers, when control does.";
        CallIndirect call_indirect "call_indirect" CallIndirect CallIndirect [CALL READ WRITE THROW CONVERGENT] "Calls the function at an address; undefined unless it has that signature.";
        FunctionAddress function_address "function_address" FunctionAddress FunctionAddress [] "The address of the method that dispatch finds for a name and parameter types.";
        // Control
        Jump jump "jump" Jump Terminator [TERMINATOR] "Goes to a block.";
        Branch branch "branch" Branch Terminator [TERMINATOR] "Goes to the first block if the condition is true, else to the second.";
        Switch switch "switch" Switch Terminator [TERMINATOR] "Goes to the block of the equal case, else to the first.";
        Return ret "return" Return Terminator [TERMINATOR] "Leaves the function with its results.";
        Throw throw "throw" Throw Throw [TERMINATOR THROW] "Leaves the function and its callers with an exception of a kind, up to the host. If there are operands, the reason is a format as that of `print`, and the host gets them with it.";
        Unreachable unreachable "unreachable" Nullary Terminator [TERMINATOR THROW] "Claims that control does not get here; throws UnreachableError if it does.";
        Assert assert "assert" Assert Assert [THROW] "Throws AssertionFailed with the message unless the first operand is true. If there are more, the message is a format as that of `print`, and the host gets them with it.";
        StaticAssert static_assert "static_assert" StaticAssert StaticAssert [WRITE] "Compilation fails with the message unless the condition is known to be true after constants are folded.";
        TargetQuery target_query "target_query" Query Query [] "What the target says about itself, a constant before anything is optimised: branches on it are decided, and what they do not reach is not compiled. A key that nobody answers is an error.";
        Scratch scratch "scratch" Scratch Scratch [WRITE] "The address of memory for one value of a type, whose size may depend on type variables: private to this activation in `local` and `generic`, one per work-group in `shared`. Its contents are uninitialised. Null for a type of no size.";
        Trap trap "trap" Nullary Nothing [READ WRITE] "Ends the launch, or the process if it is native code, without a word to the host, where the target can; elsewhere it does nothing. What `throw` becomes where the job asks for traps.";
        }
    };
}

macro_rules! define_ops {
    ($($variant:ident $method:ident $mnemonic:literal $shape:ident $rule:ident [$($effect:ident)*] $doc:literal;)*) => {
        /// What an instruction does; one variant per row of the op table.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = $doc] $variant,)*
        }

        impl Op {
            /// All ops in the order of the table.
            pub const ALL: &'static [Op] = &[$(Op::$variant),*];

            /// The op's row.
            #[inline]
            pub const fn info(self) -> &'static OpInfo {
                &INFOS[self as usize]
            }
        }

        static INFOS: &[OpInfo] = &[$(OpInfo {
            mnemonic: $mnemonic,
            shape: Shape::$shape,
            rule: Rule::$rule,
            effects: Effects::none()$(.and(Effects::$effect))*,
            doc: $doc,
        }),*];
    };
}

op_table!(define_ops);

impl Op {
    /// The spelling in text, without type suffix.
    #[inline]
    pub const fn mnemonic(self) -> &'static str {
        self.info().mnemonic
    }

    /// The op's effects.
    #[inline]
    pub const fn effects(self) -> Effects {
        self.info().effects
    }

    /// Whether the op ends its block.
    #[inline]
    pub const fn is_terminator(self) -> bool {
        self.effects().has(Effects::TERMINATOR)
    }

    /// The op with this mnemonic.
    pub fn from_mnemonic(mnemonic: &str) -> Option<Op> {
        use std::sync::OnceLock;
        static BY_NAME: OnceLock<rustc_hash::FxHashMap<&'static str, Op>> = OnceLock::new();
        let by_name = BY_NAME.get_or_init(|| Op::ALL.iter().map(|&op| (op.mnemonic(), op)).collect());
        by_name.get(mnemonic).copied()
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mnemonic())
    }
}

const _: () = assert!(size_of::<Op>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_are_unique_and_found() {
        for &op in Op::ALL {
            assert_eq!(Op::from_mnemonic(op.mnemonic()), Some(op));
        }
    }

    #[test]
    fn info_belongs_to_its_op() {
        assert_eq!(Op::CompareExchange.mnemonic(), "cmpxchg");
        assert_eq!(Op::ALL[Op::StaticAssert as usize], Op::StaticAssert);
    }
}
