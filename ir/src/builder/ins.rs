//! One method per op: the simple ones from the op table, the others by hand.

use crate::body::Symbol;
use crate::builder::{FunctionBuilder, MistakeKind};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{Inst, Value};
use crate::infer::{ResultTypes, infer};
use crate::inst::{MemFlags, Order, Scope};
use crate::limits::MAX_OPERANDS;
use crate::op::Op;
use crate::types::{Scalar, Space, Type};

/// Adds one instruction to the builder's current block. See [`FunctionBuilder::ins`].
pub struct InstBuilder<'b, 'a> {
    pub(super) builder: &'b mut FunctionBuilder<'a>,
}

impl<'b, 'a> InstBuilder<'b, 'a> {
    pub(super) fn new(builder: &'b mut FunctionBuilder<'a>) -> Self {
        InstBuilder { builder }
    }

    /// Makes and places an instruction. If that is a mistake, the instruction exists, but in no block.
    pub(super) fn emit(self, op: Op, ty: Type, args: &[Value], imm: u32, results: Option<&[Type]>) -> Inst {
        let builder = self.builder;
        let fits = args.len() <= MAX_OPERANDS;
        if !fits {
            builder.mistake(MistakeKind::Limit("operands", MAX_OPERANDS));
        }
        let exist = fits && args.iter().all(|&arg| builder.check_value(arg));
        let inst = builder.body.make_inst(op, ty, if exist { args } else { &[] }, imm);
        let block = builder.current.filter(|&block| !builder.context.blocks[block].filled);
        match (builder.current, block) {
            (None, _) => builder.mistake(MistakeKind::NoBlock),
            (Some(block), None) => builder.mistake(MistakeKind::Filled(block)),
            _ => {}
        }
        let Some(block) = block.filter(|_| exist) else { return inst };
        match infer(builder.body, builder.types, inst) {
            Ok(computed) => {
                let types: ResultTypes = results.map_or(computed, ResultTypes::from_slice);
                builder.body.make_results(inst, &types);
                builder.body.append_inst(inst, block);
                builder.body.set_span(inst, builder.span);
                builder.context.blocks[block].filled = op.is_terminator();
            }
            Err(mismatch) => builder.mistake(MistakeKind::Operands { op, mismatch }),
        }
        inst
    }

    pub(super) fn single(mut self, op: Op, ty: Type, args: &[Value], imm: u32) -> Value {
        let inst = self.again().emit(op, ty, args, imm, None);
        self.result(inst, 0)
    }

    pub(super) fn pair(mut self, op: Op, args: &[Value], imm: u32) -> (Value, Value) {
        let inst = self.again().emit(op, Type::UNKNOWN, args, imm, None);
        (self.result(inst, 0), self.result(inst, 1))
    }

    pub(super) fn bare(self, op: Op, args: &[Value], imm: u32) {
        self.emit(op, Type::UNKNOWN, args, imm, None);
    }

    pub(super) fn again(&mut self) -> InstBuilder<'_, 'a> {
        InstBuilder { builder: self.builder }
    }

    /// A result; one of erroneous type if the instruction is a mistake.
    fn result(&mut self, inst: Inst, n: usize) -> Value {
        match self.builder.body.results(inst).nth(n) {
            Some(value) => value,
            None => self.builder.error_value(),
        }
    }

    pub(super) fn symbol(&mut self, symbol: Symbol) -> u32 {
        self.builder.body.make_symbol(symbol).as_u32()
    }
}

macro_rules! method {
    ($variant:ident $method:ident Unary $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, a: Value) -> Value {
            self.single(Op::$variant, Type::UNKNOWN, &[a], 0)
        }
    };
    ($variant:ident $method:ident Binary Overflow $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, a: Value, b: Value) -> (Value, Value) {
            self.pair(Op::$variant, &[a, b], 0)
        }
    };
    ($variant:ident $method:ident Binary $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, a: Value, b: Value) -> Value {
            self.single(Op::$variant, Type::UNKNOWN, &[a, b], 0)
        }
    };
    ($variant:ident $method:ident Ternary $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, a: Value, b: Value, c: Value) -> Value {
            self.single(Op::$variant, Type::UNKNOWN, &[a, b, c], 0)
        }
    };
    ($variant:ident $method:ident Convert $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, ty: Type, a: Value) -> Value {
            self.single(Op::$variant, ty, &[a], 0)
        }
    };
    ($variant:ident $method:ident Nullary Nothing $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self) {
            self.bare(Op::$variant, &[], 0);
        }
    };
    ($variant:ident $method:ident Nullary Terminator $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self) {
            self.bare(Op::$variant, &[], 0);
        }
    };
    ($variant:ident $method:ident Nullary $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self) -> Value {
            self.single(Op::$variant, Type::UNKNOWN, &[], 0)
        }
    };
    ($variant:ident $method:ident Dimension $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, dimension: u32) -> Value {
            self.single(Op::$variant, Type::UNKNOWN, &[], dimension)
        }
    };
    (AtomicStore $method:ident Atomic $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, pointer: Value, value: Value, order: Order, scope: Scope) {
            self.bare(Op::AtomicStore, &[pointer, value], MemFlags::atomic(order, scope).bits());
        }
    };
    ($variant:ident $method:ident Atomic CompareExchange $doc:literal) => {
        #[doc = $doc]
        pub fn $method(
            self,
            pointer: Value,
            expected: Value,
            new: Value,
            order: Order,
            scope: Scope,
        ) -> (Value, Value) {
            self.pair(Op::$variant, &[pointer, expected, new], MemFlags::atomic(order, scope).bits())
        }
    };
    ($variant:ident $method:ident Atomic $rule:ident $doc:literal) => {
        #[doc = $doc]
        pub fn $method(self, pointer: Value, value: Value, order: Order, scope: Scope) -> Value {
            let flags = MemFlags::atomic(order, scope);
            self.single(Op::$variant, Type::UNKNOWN, &[pointer, value], flags.bits())
        }
    };
    // Written by hand below; a new shape is a compile error here.
    ($variant:ident $method:ident Shuffle $($rest:tt)*) => {};
    ($variant:ident $method:ident Make $($rest:tt)*) => {};
    ($variant:ident $method:ident Field $($rest:tt)*) => {};
    ($variant:ident $method:ident Index $($rest:tt)*) => {};
    ($variant:ident $method:ident FieldAddress $($rest:tt)*) => {};
    ($variant:ident $method:ident GlobalAddress $($rest:tt)*) => {};
    ($variant:ident $method:ident Slot $($rest:tt)*) => {};
    ($variant:ident $method:ident Load $($rest:tt)*) => {};
    ($variant:ident $method:ident Store $($rest:tt)*) => {};
    ($variant:ident $method:ident Memory $($rest:tt)*) => {};
    ($variant:ident $method:ident AtomicLoad $($rest:tt)*) => {};
    ($variant:ident $method:ident Fence $($rest:tt)*) => {};
    ($variant:ident $method:ident Call $($rest:tt)*) => {};
    ($variant:ident $method:ident CallIndirect $($rest:tt)*) => {};
    ($variant:ident $method:ident FunctionAddress $($rest:tt)*) => {};
    ($variant:ident $method:ident Jump $($rest:tt)*) => {};
    ($variant:ident $method:ident Branch $($rest:tt)*) => {};
    ($variant:ident $method:ident Switch $($rest:tt)*) => {};
    ($variant:ident $method:ident Return $($rest:tt)*) => {};
    ($variant:ident $method:ident Throw $($rest:tt)*) => {};
    ($variant:ident $method:ident Assert $($rest:tt)*) => {};
    ($variant:ident $method:ident StaticAssert $($rest:tt)*) => {};
    ($variant:ident $method:ident Query $($rest:tt)*) => {};
    ($variant:ident $method:ident Scratch $($rest:tt)*) => {};
    ($variant:ident $method:ident Input $($rest:tt)*) => {};
    ($variant:ident $method:ident Print $($rest:tt)*) => {};
}

macro_rules! define_methods {
    ($($variant:ident $method:ident $mnemonic:literal $shape:ident $rule:ident [$($effect:ident)*] $doc:literal;)*) => {
        /// Ops whose operands are values, types and orders only.
        impl InstBuilder<'_, '_> {
            $(method!($variant $method $shape $rule $doc);)*
        }
    };
}

crate::op_table!(define_methods);

/// Constants. They are values of no block.
impl InstBuilder<'_, '_> {
    /// An integer, wrapped to the type; in every lane of a vector; an address for a pointer.
    pub fn iconst(self, ty: Type, value: i64) -> Value {
        self.bits(ty, i128::from(value) as u128)
    }

    /// A scalar by its bits; bits above the type's width are dropped.
    pub fn bits(self, ty: Type, bits: u128) -> Value {
        self.builder.body.make_scalar(ty, bits)
    }

    /// A truth value.
    pub fn bconst(self, value: bool) -> Value {
        self.bits(Type::I1, u128::from(value))
    }

    /// An `f32`.
    pub fn f32const(self, value: f32) -> Value {
        self.bits(Type::F32, u128::from(value.to_bits()))
    }

    /// An `f64`.
    pub fn f64const(self, value: f64) -> Value {
        self.bits(Type::F64, u128::from(value.to_bits()))
    }

    /// The null pointer of a space.
    pub fn null(self, space: Space) -> Value {
        self.bits(Type::pointer(space), 0)
    }

    /// All bytes zero, of any type.
    pub fn zero(self, ty: Type) -> Value {
        self.bits(ty, 0)
    }
}

/// Vectors and aggregates.
impl InstBuilder<'_, '_> {
    /// Lanes picked from the two vectors laid end to end.
    pub fn shuffle(self, a: Value, b: Value, lanes: &[u32]) -> Value {
        let count = u32::try_from(lanes.len()).unwrap_or(u32::MAX);
        let Some(ty) = Type::vector(Scalar::I32, count) else {
            let message = format!("a mask of {count} lanes makes no vector");
            self.builder.mistake(MistakeKind::Malformed(message));
            return self.builder.error_value();
        };
        let lanes: Box<[u128]> = lanes.iter().map(|&lane| u128::from(lane)).collect();
        let mask = self.builder.body.make_const(ConstData { ty, value: ConstValue::Lanes(lanes) });
        let imm = match self.builder.body.value_def(mask) {
            crate::body::ValueDef::Const(id) => id.as_u32(),
            _ => u32::MAX,
        };
        self.single(Op::Shuffle, Type::UNKNOWN, &[a, b], imm)
    }

    /// An array or struct from its elements or fields.
    pub fn make(self, ty: Type, fields: &[Value]) -> Value {
        self.single(Op::Make, ty, fields, 0)
    }

    /// Field or element of an aggregate.
    pub fn get_field(self, aggregate: Value, field: u32) -> Value {
        self.single(Op::GetField, Type::UNKNOWN, &[aggregate], field)
    }

    /// The aggregate with one field or element replaced.
    pub fn set_field(self, aggregate: Value, value: Value, field: u32) -> Value {
        self.single(Op::SetField, Type::UNKNOWN, &[aggregate, value], field)
    }
}

/// Addresses and memory.
impl InstBuilder<'_, '_> {
    /// The pointer moved by a signed number of elements of a type.
    pub fn index(self, pointer: Value, index: Value, element: Type) -> Value {
        self.single(Op::Index, element, &[pointer, index], 0)
    }

    /// The address of a field or element of the aggregate that the pointer points to.
    pub fn field_address(self, pointer: Value, aggregate: Type, field: u32) -> Value {
        self.single(Op::FieldAddress, aggregate, &[pointer], field)
    }

    /// The address of a global, which lives in this space.
    pub fn global_address(self, space: Space, name: &str) -> Value {
        self.global_address_of(space, Symbol::Name(name.into()))
    }

    /// As [`Self::global_address`], for a global of a unit.
    pub fn global_address_of(mut self, space: Space, global: Symbol) -> Value {
        let symbol = self.symbol(global);
        self.single(Op::GlobalAddress, Type::pointer(space), &[], symbol)
    }

    /// The address of memory for one value of a type, private to this activation of the function.
    pub fn slot(self, ty: Type) -> Value {
        self.single(Op::Slot, ty, &[], 0)
    }

    /// The value of a type at an address.
    pub fn load(self, ty: Type, flags: MemFlags, pointer: Value) -> Value {
        self.single(Op::Load, ty, &[pointer], flags.bits())
    }

    /// Writes a value to an address.
    pub fn store(self, flags: MemFlags, pointer: Value, value: Value) {
        self.bare(Op::Store, &[pointer, value], flags.bits());
    }

    /// Copies bytes; the ranges are equal or do not overlap.
    pub fn mem_copy(self, flags: MemFlags, to: Value, from: Value, bytes: Value) {
        self.bare(Op::MemCopy, &[to, from, bytes], flags.bits());
    }

    /// Fills bytes with an `i8`.
    pub fn mem_set(self, flags: MemFlags, to: Value, byte: Value, bytes: Value) {
        self.bare(Op::MemSet, &[to, byte, bytes], flags.bits());
    }

    /// Atomic load.
    pub fn atomic_load(self, ty: Type, pointer: Value, order: Order, scope: Scope) -> Value {
        self.single(Op::AtomicLoad, ty, &[pointer], MemFlags::atomic(order, scope).bits())
    }

    /// Orders memory accesses around it.
    pub fn fence(self, order: Order, scope: Scope) {
        self.bare(Op::Fence, &[], MemFlags::atomic(order, scope).bits());
    }
}
