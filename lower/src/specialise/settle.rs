//! From the body of a method with variables to that of one instance: types, constants and parameters get settled.

use marquetry_ir::body::{Body, Symbol, ValueDef};
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Block, Inst, SigRef, SymbolRef, Value};
use marquetry_ir::op::Shape;
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::text;
use marquetry_ir::types::{Type, TypeError, Types};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// The values that took the place of a pack.
pub(super) type Packs = FxHashMap<Value, SmallVec<[Value; 4]>>;

/// Settles one body.
pub(super) struct Settler<'a> {
    pub(super) types: &'a mut Arc<Types>,
    /// What variables stand for.
    pub(super) bindings: &'a [(Type, Type)],
    /// What is wrong, and where.
    pub(super) problems: Vec<(Span, String)>,
    /// A type that grew too large to be made.
    pub(super) grown: Option<TypeError>,
    /// Values that are replaced by others.
    replaced: FxHashMap<Value, Value>,
}

impl<'a> Settler<'a> {
    pub(super) fn new(types: &'a mut Arc<Types>, bindings: &'a [(Type, Type)]) -> Self {
        Settler { types, bindings, problems: Vec::new(), grown: None, replaced: FxHashMap::default() }
    }

    /// Settles a body for arguments of these types.
    pub(super) fn run(&mut self, body: &mut Body, arguments: &[Type], generic: bool, packs: &mut Packs) {
        if let Some(entry) = body.entry() {
            self.parameters(body, entry, arguments, packs);
        }
        if generic {
            self.value_types(body);
            let insts: Vec<Inst> =
                body.blocks().flat_map(|block| body.block_insts(block).collect::<Vec<_>>()).collect();
            for inst in insts {
                self.instruction(body, inst);
            }
        }
        if self.replaced.is_empty() {
            return;
        }
        let blocks: Vec<Block> = body.blocks().collect();
        for block in blocks {
            let mut next = body.first_inst(block);
            while let Some(inst) = next {
                next = body.next_inst(inst);
                body.rewrite_operands(inst, |value| self.replaced.get(&value).copied().unwrap_or(value));
            }
        }
    }

    fn settled(&mut self, ty: Type, span: Span) -> Type {
        if !ty.is_generic() {
            return ty;
        }
        let bindings = self.bindings;
        let bind = |variable: Type| bindings.iter().find(|(other, _)| *other == variable).map(|(_, ty)| *ty);
        match Arc::make_mut(self.types).substitute(ty, &bind) {
            Ok(settled) if !settled.is_generic() => settled,
            Ok(_) => Type::UNKNOWN,
            Err(error @ (TypeError::TooDeep | TypeError::TooLong | TypeError::TooLarge)) => {
                self.grown = Some(error);
                Type::ERROR
            }
            Err(error) => {
                let message = format!("type {} cannot be made here: {error}", self.types.display(ty));
                self.problems.push((span, message));
                Type::ERROR
            }
        }
    }

    /// Parameters have the arguments' types; a pack becomes as many as there are, and those of no size vanish.
    fn parameters(&mut self, body: &mut Body, entry: Block, arguments: &[Type], packs: &mut Packs) {
        let old: SmallVec<[Value; 8]> = SmallVec::from_slice(body.block_params(entry));
        let mut params: SmallVec<[Value; 8]> = SmallVec::with_capacity(arguments.len());
        for (n, &value) in old.iter().enumerate() {
            if self.types.as_pack(body.value_type(value)).is_none() {
                if let Some(&ty) = arguments.get(n) {
                    body.set_value_type(value, ty);
                }
                params.push(value);
                continue;
            }
            let rest = arguments.get(n..).unwrap_or(&[]);
            let values: SmallVec<[Value; 4]> =
                rest.iter().map(|&ty| body.append_block_param(entry, ty)).collect();
            params.extend_from_slice(&values);
            packs.insert(value, values);
        }
        let mut kept: SmallVec<[Value; 8]> = SmallVec::with_capacity(params.len());
        for value in params {
            let ty = body.value_type(value);
            if has_size(self.types, ty) {
                kept.push(value);
                continue;
            }
            let zero = body.make_const(ConstData { ty, value: ConstValue::Zero });
            self.replaced.insert(value, zero);
            for values in packs.values_mut() {
                values.iter_mut().filter(|other| **other == value).for_each(|other| *other = zero);
            }
        }
        if kept != old {
            body.order_block_params(entry, &kept);
        }
    }

    fn value_types(&mut self, body: &mut Body) {
        for value in (0..body.value_count()).map(|n| Value::from_u32(n as u32)) {
            match body.value_def(value) {
                ValueDef::Const(_) => self.constant(body, value),
                ValueDef::Param(..) | ValueDef::Result(..) => {
                    let ty = body.value_type(value);
                    if ty.is_generic() && self.types.as_pack(ty).is_none() {
                        let span = body.value_inst(value).map_or(Span::NOWHERE, |inst| body.span(inst));
                        let ty = self.settled(ty, span);
                        body.set_value_type(value, ty);
                    }
                }
            }
        }
    }

    fn constant(&mut self, body: &mut Body, value: Value) {
        let Some(data) = body.value_const(value).cloned() else { return };
        let open = matches!(data.value, ConstValue::Literal(_) | ConstValue::Variable(_));
        if !open && !data.ty.is_generic() {
            return;
        }
        let ty = self.settled(data.ty, Span::NOWHERE);
        let settled = match &data.value {
            _ if !ty.is_known() => None,
            ConstValue::Literal(number) => text::settle(ty, number),
            ConstValue::Variable(_) if self.types.as_singleton(ty).is_some() => Some(ConstValue::Zero),
            ConstValue::Variable(variable) => self.number(ty, *variable),
            _ => None,
        };
        let zero = matches!(data.value, ConstValue::Zero);
        let fresh = match settled {
            Some(value) => body.make_const(ConstData { ty, value }),
            None if zero && ty.is_known() => body.make_scalar(ty, 0),
            None => {
                if ty != Type::ERROR {
                    let what = match &data.value {
                        ConstValue::Literal(number) => number.to_string(),
                        ConstValue::Variable(variable) => self.types.display(*variable).to_string(),
                        _ => "constant".into(),
                    };
                    let message = format!("{what} is no value of type {}", self.types.display(ty));
                    self.problems.push((Span::NOWHERE, message));
                }
                body.make_const(ConstData { ty: Type::ERROR, value: ConstValue::Zero })
            }
        };
        self.replaced.insert(value, fresh);
    }

    /// The number that a variable is bound to, in a type that can hold it.
    fn number(&mut self, ty: Type, variable: Type) -> Option<ConstValue> {
        let bound = self.settled(variable, Span::NOWHERE);
        let (scalar, bits) = self.types.as_constant(bound)?;
        if ty == Type::scalar(scalar) {
            return Some(ConstValue::Scalar(bits));
        }
        let unused = 128 - scalar.bits();
        let number = ((bits << unused) as i128) >> unused;
        text::settle(ty, &number.to_string())
    }

    fn instruction(&mut self, body: &mut Body, inst: Inst) {
        let span = body.span(inst);
        let (shape, ty, imm) = {
            let data = body.inst(inst);
            (data.op.info().shape, data.ty, data.imm)
        };
        if ty.is_generic() {
            body.set_ty(inst, self.settled(ty, span));
        }
        match shape {
            Shape::CallIndirect if body.signature_exists(imm) => {
                let signature = body.signature(SigRef::from_u32(imm)).clone();
                let mut settle =
                    |list: &[Type]| -> Vec<Type> { list.iter().map(|&ty| self.settled(ty, span)).collect() };
                let fresh = Signature::new(settle(&signature.params), settle(&signature.results));
                if fresh != signature {
                    let imm = body.make_signature(fresh).as_u32();
                    body.set_imm(inst, imm);
                }
            }
            Shape::FunctionAddress if body.symbol_exists(imm) => {
                let Symbol::Overload(name, params) = body.symbol(SymbolRef::from_u32(imm)).clone() else {
                    return;
                };
                let params: Vec<Type> = params.iter().map(|&ty| self.settled(ty, span)).collect();
                let fresh = body.make_symbol(Symbol::Overload(name, params.into()));
                body.set_imm(inst, fresh.as_u32());
            }
            _ => {}
        }
    }
}

/// Whether values of a type take any room; those that take none are not passed.
pub(super) fn has_size(types: &Types, ty: Type) -> bool {
    types.layout(ty).is_none_or(|layout| layout.size > 0)
}
