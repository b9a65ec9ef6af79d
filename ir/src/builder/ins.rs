//! One method per op: the simple ones from the op table, the others by hand.

use crate::body::Symbol;
use crate::builder::{FunctionBuilder, MistakeKind};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{Block, BlockCall, Inst, Value};
use crate::infer::{ResultTypes, infer};
use crate::inst::{MemFlags, Order, Scope};
use crate::limits::{MAX_OPERANDS, MAX_PARAMS, MAX_RESULTS};
use crate::op::Op;
use crate::signature::Signature;
use crate::types::{Scalar, Space, Type};
use smallvec::SmallVec;
use std::sync::Arc;

/// Adds one instruction to the builder's current block. See [`FunctionBuilder::ins`].
pub struct InstBuilder<'b, 'a> {
    builder: &'b mut FunctionBuilder<'a>,
}

impl<'b, 'a> InstBuilder<'b, 'a> {
    pub(super) fn new(builder: &'b mut FunctionBuilder<'a>) -> Self {
        InstBuilder { builder }
    }

    /// Makes and places an instruction. If that is a mistake, the instruction exists, but in no block.
    fn emit(self, op: Op, ty: Type, args: &[Value], imm: u32, results: Option<&[Type]>) -> Inst {
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

    fn single(mut self, op: Op, ty: Type, args: &[Value], imm: u32) -> Value {
        let inst = self.again().emit(op, ty, args, imm, None);
        self.result(inst, 0)
    }

    fn pair(mut self, op: Op, args: &[Value], imm: u32) -> (Value, Value) {
        let inst = self.again().emit(op, Type::UNKNOWN, args, imm, None);
        (self.result(inst, 0), self.result(inst, 1))
    }

    fn bare(self, op: Op, args: &[Value], imm: u32) {
        self.emit(op, Type::UNKNOWN, args, imm, None);
    }

    fn again(&mut self) -> InstBuilder<'_, 'a> {
        InstBuilder { builder: self.builder }
    }

    /// A result; one of erroneous type if the instruction is a mistake.
    fn result(&mut self, inst: Inst, n: usize) -> Value {
        match self.builder.body.results(inst).nth(n) {
            Some(value) => value,
            None => self.builder.error_value(),
        }
    }

    fn symbol(&mut self, symbol: Symbol) -> u32 {
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

/// Calls.
impl InstBuilder<'_, '_> {
    /// Calls the method that dispatch finds for the name and the argument types. The results are those that the
    /// host expects; [`Type::UNKNOWN`] where it does not. See [`FunctionBuilder::inst_results`].
    pub fn call(self, name: &str, args: &[Value], results: &[Type]) -> Inst {
        self.call_symbol(Symbol::Name(name.into()), args, results)
    }

    /// As [`Self::call`], for a function or extern of a unit.
    pub fn call_symbol(mut self, callee: Symbol, args: &[Value], results: &[Type]) -> Inst {
        let symbol = self.symbol(callee);
        self.limit(results.len(), "results", MAX_RESULTS);
        self.emit(Op::Call, Type::UNKNOWN, args, symbol, Some(results))
    }

    /// A call that is known to fit no method; see [`Self::call`] for the results.
    pub fn unresolved(mut self, name: &str, args: &[Value], results: &[Type]) -> Inst {
        let symbol = self.symbol(Symbol::Name(name.into()));
        self.limit(results.len(), "results", MAX_RESULTS);
        self.emit(Op::Unresolved, Type::UNKNOWN, args, symbol, Some(results))
    }

    /// Calls the function at an address.
    pub fn call_indirect(mut self, signature: Signature, pointer: Value, args: &[Value]) -> Inst {
        self.limit(signature.results.len(), "results", MAX_RESULTS);
        self.limit(signature.params.len(), "parameters", MAX_PARAMS);
        let id = self.builder.body.make_signature(signature).as_u32();
        let operands: SmallVec<[Value; 8]> = std::iter::once(pointer).chain(args.iter().copied()).collect();
        self.emit(Op::CallIndirect, Type::UNKNOWN, &operands, id, None)
    }

    /// The address of the method that dispatch finds for a name and parameter types.
    pub fn function_address(self, name: &str, params: &[Type]) -> Value {
        self.function_address_of(Symbol::Overload(name.into(), params.into()))
    }

    /// As [`Self::function_address`], for a function or extern of a unit.
    pub fn function_address_of(mut self, function: Symbol) -> Value {
        let symbol = self.symbol(function);
        self.single(Op::FunctionAddress, Type::UNKNOWN, &[], symbol)
    }

    fn limit(&mut self, found: usize, what: &'static str, limit: usize) {
        if found > limit {
            self.builder.mistake(MistakeKind::Limit(what, limit));
        }
    }
}

/// Control.
impl InstBuilder<'_, '_> {
    /// Goes to a block.
    pub fn jump(self, block: Block, args: &[Value]) {
        self.leave(Op::Jump, &[], 0, &[(block, args)]);
    }

    /// Goes to the first block if the condition is true, else to the second.
    pub fn branch(self, condition: Value, yes: Block, yes_args: &[Value], no: Block, no_args: &[Value]) {
        let ty = self.builder.value_type(condition);
        if ty.is_known() && ty != Type::I1 {
            let mismatch = crate::infer::TypeMismatch::Differs { index: 0, found: ty, wanted: Type::I1 };
            self.builder.mistake(MistakeKind::Operands { op: Op::Branch, mismatch });
        }
        self.leave(Op::Branch, &[condition], 0, &[(yes, yes_args), (no, no_args)]);
    }

    /// Goes to the block of the equal case, else to `otherwise`.
    pub fn switch(
        self,
        selector: Value,
        (otherwise, otherwise_args): (Block, &[Value]),
        cases: &[(i128, Block, &[Value])],
    ) {
        let ty = self.builder.value_type(selector);
        let scalar = ty.as_scalar().filter(|scalar| scalar.is_int() && *scalar != Scalar::I1);
        if ty.is_known() && scalar.is_none() {
            let wanted = "an integer of 8 to 128 bits";
            let mismatch = crate::infer::TypeMismatch::Operand { index: 0, found: ty, wanted };
            self.builder.mistake(MistakeKind::Operands { op: Op::Switch, mismatch });
        }
        let scalar = scalar.unwrap_or(Scalar::I128);
        let mut values = Vec::with_capacity(cases.len());
        for &(case, ..) in cases {
            let unused = 128 - scalar.bits();
            let signed = ((case << unused) >> unused) == case;
            if !signed && case as u128 & !scalar.mask() != 0 {
                self.builder.mistake(MistakeKind::Case(case));
            }
            values.push(case as u128 & scalar.mask());
        }
        let id = self.builder.body.make_switch(&values).as_u32();
        let first = std::iter::once((otherwise, otherwise_args));
        let edges: Vec<_> = first.chain(cases.iter().map(|&(_, block, args)| (block, args))).collect();
        self.leave(Op::Switch, &[selector], id, &edges);
    }

    /// Leaves the function with its results.
    pub fn ret(self, values: &[Value]) {
        let wanted = &self.builder.signature.results;
        if values.len() != wanted.len() {
            let kind = MistakeKind::ReturnCount { found: values.len(), wanted: wanted.len() };
            self.builder.mistake(kind);
        } else {
            let found = values.iter().map(|&value| self.builder.value_type(value));
            let mut pairs = found.zip(wanted.iter().copied()).enumerate();
            if let Some((index, (found, wanted))) = pairs.find(|(_, (f, w))| f.is_known() && f != w) {
                self.builder.mistake(MistakeKind::Argument { index, found, wanted });
            }
        }
        self.bare(Op::Return, values, 0);
    }

    /// Leaves the function and its callers with an exception.
    pub fn throw(mut self, kind: &str, reason: Option<&str>) {
        let symbol = self.symbol(Symbol::Exception(kind.into(), reason.map(Arc::from)));
        self.bare(Op::Throw, &[], symbol);
    }

    /// What the target says about itself, as a constant of this type.
    pub fn target_query(mut self, ty: Type, key: &str) -> Value {
        let symbol = self.symbol(Symbol::Message(key.into()));
        self.single(Op::TargetQuery, ty, &[], symbol)
    }

    /// The address of uninitialised memory for one value of a type, in space local, generic or shared.
    pub fn scratch(self, space: Space, ty: Type) -> Value {
        self.single(Op::Scratch, ty, &[], space.number())
    }

    /// Compilation fails with the message unless the condition is known to be true after constants are folded.
    pub fn static_assert(mut self, condition: Value, message: &str) {
        let symbol = self.symbol(Symbol::Message(message.into()));
        self.bare(Op::StaticAssert, &[condition], symbol);
    }

    /// Throws AssertionFailed with the message unless the operand is true.
    pub fn assert(mut self, condition: Value, message: &str) {
        let symbol = self.symbol(Symbol::Message(message.into()));
        self.bare(Op::Assert, &[condition], symbol);
    }

    /// What the host passes under this name at launch.
    pub fn kernel_input(mut self, ty: Type, name: &str) -> Value {
        let symbol = self.symbol(Symbol::Name(name.into()));
        self.single(Op::KernelInput, ty, &[], symbol)
    }

    /// The harmless value that a function which only devices have gives on the host.
    pub fn sentinel(self, ty: Type) -> Value {
        self.single(Op::Sentinel, ty, &[], 0)
    }

    /// Writes the operands through a format, on the host.
    pub fn print(mut self, format: &str, args: &[Value]) {
        let symbol = self.symbol(Symbol::Message(format.into()));
        self.bare(Op::Print, args, symbol);
    }

    /// A terminator with edges.
    fn leave(mut self, op: Op, args: &[Value], imm: u32, edges: &[(Block, &[Value])]) {
        let sound = edges.iter().fold(true, |sound, &(block, args)| self.edge(block, args) && sound);
        let inst = self.again().emit(op, Type::UNKNOWN, args, imm, None);
        let builder = self.builder;
        let Some(source) = builder.body.inst_block(inst).filter(|_| sound) else { return };
        let make = |&(block, args): &(Block, &[Value])| builder.body.make_block_call(block, args);
        let calls: SmallVec<[BlockCall; 4]> = edges.iter().map(make).collect();
        builder.body.set_targets(inst, &calls);
        for (&(block, _), call) in edges.iter().zip(calls) {
            let context = &mut *builder.context;
            context.sources[call] = source.into();
            context.blocks[block].edges.push(call, &mut context.edges);
        }
    }

    /// Whether an edge can be made.
    fn edge(&mut self, block: Block, args: &[Value]) -> bool {
        let builder = &mut *self.builder;
        if !builder.check_block(block) || !args.iter().all(|&arg| builder.check_value(arg)) {
            return false;
        }
        if builder.body.entry() == Some(block) {
            builder.mistake(MistakeKind::EntryTarget);
            return false;
        }
        if builder.context.blocks[block].sealed {
            builder.mistake(MistakeKind::Sealed(block));
        }
        true
    }
}
