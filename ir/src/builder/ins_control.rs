//! Calls, control, and what passes messages on.

use super::ins::InstBuilder;
use crate::body::Symbol;
use crate::builder::MistakeKind;
use crate::entity::{Block, BlockCall, Inst, Value};
use crate::limits::{MAX_PARAMS, MAX_RESULTS};
use crate::op::Op;
use crate::signature::Signature;
use crate::types::{Scalar, Space, Type};
use smallvec::SmallVec;
use std::sync::Arc;

/// Calls.
impl InstBuilder<'_, '_> {
    /// Calls the method that dispatch finds for the name and the argument types. The results are those that the
    /// host expects; [`Type::UNKNOWN`] where it does not. See
    /// [`FunctionBuilder::inst_results`](crate::builder::FunctionBuilder::inst_results).
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

    /// As [`throw`](Self::throw), with operands that the host puts into the reason, which is a format as that of `print`.
    pub fn throw_with(mut self, kind: &str, reason: &str, args: &[Value]) {
        let symbol = self.symbol(Symbol::Exception(kind.into(), Some(reason.into())));
        self.bare(Op::Throw, args, symbol);
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

    /// As [`assert`](Self::assert), with operands that the host puts into the message, which is a format as that of `print`.
    pub fn assert_with(mut self, condition: Value, message: &str, args: &[Value]) {
        let symbol = self.symbol(Symbol::Message(message.into()));
        let operands: Vec<Value> = std::iter::once(condition).chain(args.iter().copied()).collect();
        self.bare(Op::Assert, &operands, symbol);
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
