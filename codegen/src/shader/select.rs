//! Selection of one function: values, statements, and which selection takes what.
//!
//! Every instruction's result is named, so that the writers, which nest what is used once, never nest deeply. Blocks
//! of statements are open on a stack; after `break`, `continue` or `return` nothing more is added to one.

use super::internal;
use super::module::{State, U32, held};
use super::objects::Object;
use crate::error::EmitError;
use marquetry_ir::body::{Body, Symbol, ValueDef};
use marquetry_ir::constant::ConstValue;
use marquetry_ir::entity::{Func, Inst, SymbolRef, Value};
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use marquetry_ir::unit::Function;
use naga::{BinaryOperator, Block, Expression, Handle, Literal, LocalVariable, Range, Span, Statement};
use rustc_hash::FxHashMap;

pub(super) type Expr = Handle<Expression>;

/// A block of statements that is open.
#[derive(Default)]
pub(super) struct Open {
    pub block: Block,
    /// Whether control has left it.
    pub left: bool,
}

/// One function under construction.
pub(super) struct Selector<'s, 'u> {
    pub state: &'s mut State<'u>,
    pub func: Func,
    pub source: &'u Function,
    pub body: &'u Body,
    pub function: naga::Function,
    /// What values are, where they were made in a block of statements that is open.
    pub values: Vec<Option<Expr>>,
    /// Variables of values.
    pub variables: Vec<Option<Handle<LocalVariable>>>,
    /// Values that are always loaded from their variable.
    pub loaded: Vec<bool>,
    pub open: Vec<Open>,
    /// Variables of slots that no other function gets at.
    pub slots: FxHashMap<Object, Handle<LocalVariable>>,
    literals: FxHashMap<(u8, u32), Expr>,
    /// The arguments that hold positions in the grid; kernels only.
    pub positions: [Option<Expr>; 3],
}

impl<'s, 'u> Selector<'s, 'u> {
    /// Starts a function.
    pub(super) fn new(state: &'s mut State<'u>, func: Func) -> Self {
        let source = &state.unit.funcs[func];
        let count = source.body.value_count();
        let function = naga::Function { name: Some(source.name.to_string()), ..Default::default() };
        Selector {
            state,
            func,
            source,
            body: &source.body,
            function,
            values: vec![None; count],
            variables: vec![None; count],
            loaded: vec![false; count],
            open: vec![Open::default()],
            slots: FxHashMap::default(),
            literals: FxHashMap::default(),
            positions: [None; 3],
        }
    }

    /// Adds a statement to the innermost open block.
    pub(super) fn push(&mut self, statement: Statement) {
        if let Some(open) = self.open.last_mut().filter(|open| !open.left) {
            open.left =
                matches!(statement, Statement::Break | Statement::Continue | Statement::Return { .. });
            open.block.push(statement, Span::UNDEFINED);
        }
    }

    /// An expression that is part of the function from its start.
    pub(super) fn fixed(&mut self, expression: Expression) -> Expr {
        self.function.expressions.append(expression, Span::UNDEFINED)
    }

    /// An expression that is computed here.
    pub(super) fn expr(&mut self, expression: Expression) -> Expr {
        let handle = self.fixed(expression);
        self.push(Statement::Emit(Range::new_from_bounds(handle, handle)));
        handle
    }

    /// Gives what an instruction computed a name.
    fn name(&mut self, value: Value, expr: Expr) {
        let name = match self.body.names.value(value) {
            Some(name) => name.to_string(),
            None => format!("v{}", value.as_u32()),
        };
        if !self.function.expressions[expr].needs_pre_emit() {
            self.function.named_expressions.entry(expr).or_insert(name);
        }
    }

    pub(super) fn word(&mut self, word: u32) -> Expr {
        self.literal(0, word, Literal::U32(word))
    }

    pub(super) fn truth(&mut self, truth: bool) -> Expr {
        self.literal(1, u32::from(truth), Literal::Bool(truth))
    }

    /// A float from its bits. Infinities and NaNs have no literals (WGSL 6.2.1): those are words in disguise.
    pub(super) fn float(&mut self, bits: u32) -> Expr {
        let float = f32::from_bits(bits);
        if float.is_finite() && !(float == 0.0 && float.is_sign_negative()) {
            return self.literal(2, bits, Literal::F32(float));
        }
        let word = self.word(bits);
        self.bitcast(word, naga::ScalarKind::Float)
    }

    /// An operand that is no literal: what is computed from literals alone is computed by compilers, which refuse what
    /// overflows, loses bits or is not finite (WGSL 8.7, 15.7.2). So one of them is loaded from a variable.
    pub(super) fn at_run_time(&mut self, expr: Expr) -> Expr {
        let literal = match self.function.expressions[expr] {
            Expression::Literal(literal) => literal,
            Expression::As { expr: inner, kind, convert } if self.is_literal(inner) => {
                let expr = self.at_run_time(inner);
                return self.expr(Expression::As { expr, kind, convert });
            }
            _ => return expr,
        };
        let scalar = match literal {
            Literal::U32(_) => U32,
            Literal::F32(_) => naga::Scalar::F32,
            Literal::Bool(_) => naga::Scalar::BOOL,
            _ => return expr,
        };
        let variable = self.local("known", Some(expr), scalar);
        self.load_local(variable)
    }

    /// Whether compilers know what an expression is.
    fn is_literal(&self, expr: Expr) -> bool {
        match self.function.expressions[expr] {
            Expression::Literal(_) => true,
            Expression::As { expr, .. } => matches!(self.function.expressions[expr], Expression::Literal(_)),
            _ => false,
        }
    }

    /// The word that an expression is, if that is known.
    pub(super) fn known_word(&self, expr: Expr) -> Option<u32> {
        match self.function.expressions[expr] {
            Expression::Literal(Literal::U32(word)) => Some(word),
            _ => None,
        }
    }

    fn literal(&mut self, kind: u8, bits: u32, literal: Literal) -> Expr {
        if let Some(&expr) = self.literals.get(&(kind, bits)) {
            return expr;
        }
        let expr = self.fixed(Expression::Literal(literal));
        self.literals.insert((kind, bits), expr);
        expr
    }

    /// A variable of the function.
    pub(super) fn local(
        &mut self,
        name: &str,
        init: Option<Expr>,
        scalar: naga::Scalar,
    ) -> Handle<LocalVariable> {
        let ty = self.state.scalar(scalar);
        let variable = LocalVariable { name: Some(name.to_owned()), ty, init };
        self.function.local_variables.append(variable, Span::UNDEFINED)
    }

    /// Ends the innermost open block.
    pub(super) fn close(&mut self) -> Result<Block, EmitError> {
        self.open.pop().map(|open| open.block).ok_or_else(|| internal("a block that is not open"))
    }

    pub(super) fn binary(&mut self, op: BinaryOperator, left: Expr, right: Expr) -> Expr {
        if let (Some(a), Some(b)) = (self.known_word(left), self.known_word(right))
            && let Some(word) = folded(op, a, b)
        {
            return self.word(word);
        }
        let left = if self.is_literal(right) { self.at_run_time(left) } else { left };
        self.expr(Expression::Binary { op, left, right })
    }

    pub(super) fn select(&mut self, condition: Expr, accept: Expr, reject: Expr) -> Expr {
        self.expr(Expression::Select { condition, accept, reject })
    }

    /// The same bits as another kind.
    pub(super) fn bitcast(&mut self, expr: Expr, kind: naga::ScalarKind) -> Expr {
        let finite = |word: u32| f32::from_bits(word).is_finite();
        let disguised = kind == naga::ScalarKind::Float && !self.known_word(expr).is_none_or(finite);
        let expr = if disguised { self.at_run_time(expr) } else { expr };
        self.expr(Expression::As { expr, kind, convert: None })
    }

    pub(super) fn store_local(&mut self, variable: Handle<LocalVariable>, value: Expr) {
        let pointer = self.fixed(Expression::LocalVariable(variable));
        self.push(Statement::Store { pointer, value });
    }

    pub(super) fn load_local(&mut self, variable: Handle<LocalVariable>) -> Expr {
        let pointer = self.fixed(Expression::LocalVariable(variable));
        self.expr(Expression::Load { pointer })
    }

    /// What a value is.
    pub(super) fn value(&mut self, value: Value) -> Result<Expr, EmitError> {
        if let ValueDef::Const(id) = self.body.value_def(value) {
            let constant = self.body.constant(id);
            let bits = match constant.value {
                ConstValue::Scalar(bits) => bits as u32,
                ConstValue::Zero => 0,
                _ => return Err(internal("a constant that is no scalar in a legal unit")),
            };
            return self.constant(constant.ty, bits);
        }
        let index = value.as_u32() as usize;
        if self.loaded.get(index) == Some(&true)
            && let Some(&Some(variable)) = self.variables.get(index)
        {
            return Ok(self.load_local(variable));
        }
        let found = self.values.get(index).copied().flatten();
        found.ok_or_else(|| internal(&format!("{value} is used before it is made")))
    }

    fn constant(&mut self, ty: Type, bits: u32) -> Result<Expr, EmitError> {
        Ok(match ty.kind() {
            TypeKind::Scalar(Scalar::I1) => self.truth(bits & 1 != 0),
            TypeKind::Scalar(Scalar::F32) => self.float(bits),
            _ => {
                held(ty)?;
                self.word(bits)
            }
        })
    }

    /// Sets what a value is, and stores it where it lives in a variable.
    pub(super) fn define(&mut self, value: Value, expr: Expr) {
        let index = value.as_u32() as usize;
        self.name(value, expr);
        if let Some(place) = self.values.get_mut(index) {
            *place = Some(expr);
        }
        if let Some(&Some(variable)) = self.variables.get(index) {
            self.store_local(variable, expr);
        }
    }

    /// The operands of an instruction.
    pub(super) fn operands(&mut self, inst: Inst) -> Result<Vec<Expr>, EmitError> {
        let body = self.body;
        body.args(inst).iter().map(|&arg| self.value(arg)).collect()
    }

    /// The type of an operand.
    pub(super) fn arg_type(&self, inst: Inst, index: usize) -> Type {
        self.body.args(inst).get(index).map_or(Type::ERROR, |&arg| self.body.value_type(arg))
    }

    /// Selects everything but terminators.
    pub(super) fn inst(&mut self, inst: Inst) -> Result<(), EmitError> {
        use IrOp::*;
        let op = self.body.inst(inst).op;
        let one = match op {
            Load | AtomicLoad => self.load(inst)?,
            Store | AtomicStore => return self.store(inst),
            RmwExchange | RmwAdd | RmwSub | RmwAnd | RmwOr | RmwXor | RmwMinS | RmwMinU | RmwMaxS
            | RmwMaxU => self.read_modify_write(inst, op)?,
            CompareExchange => return self.compare_exchange(inst),
            PtrAdd | Index | FieldAddress | SpaceCast | GlobalAddress | Slot => self.address(inst, op)?,
            LocalId | GroupId | GroupSize | GroupCount => self.position(inst, op)?,
            Barrier => {
                self.push(Statement::ControlBarrier(naga::Barrier::STORAGE | naga::Barrier::WORK_GROUP));
                return Ok(());
            }
            Call => return self.call(inst),
            Jump | Branch | Switch | Return | Throw | Unreachable => {
                return Err(internal(&format!("'{op}' in the middle of a block")));
            }
            _ => self.scalar_op(inst, op)?,
        };
        self.define_all(inst, &[one]);
        Ok(())
    }

    /// Sets what the results of an instruction are.
    pub(super) fn define_all(&mut self, inst: Inst, exprs: &[Expr]) {
        let body = self.body;
        for (value, &expr) in body.results(inst).zip(exprs) {
            self.define(value, expr);
        }
    }

    fn call(&mut self, inst: Inst) -> Result<(), EmitError> {
        let callee = match self.body.symbol(SymbolRef::from_u32(self.body.inst(inst).imm)) {
            Symbol::Func(func) => *func,
            other => return Err(internal(&format!("a call of {other:?} in a legal unit"))),
        };
        let function = self.state.functions.get(&callee).copied();
        let function = function.ok_or_else(|| internal("a call of a function that comes later"))?;
        let arguments = self.operands(inst)?;
        let count = self.state.unit.funcs[callee].signature.results.len();
        let result = (count > 0).then(|| self.fixed(Expression::CallResult(function)));
        self.push(Statement::Call { function, arguments, result });
        let Some(result) = result else { return Ok(()) };
        if count == 1 {
            self.define_all(inst, &[result]);
            return Ok(());
        }
        let parts: Vec<Expr> = (0..count as u32)
            .map(|index| self.expr(Expression::AccessIndex { base: result, index }))
            .collect();
        self.define_all(inst, &parts);
        Ok(())
    }
}

/// Words of which compilers would refuse some (WGSL 8.7, 8.9), and that are easier to read so.
fn folded(op: BinaryOperator, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        BinaryOperator::Add => a.wrapping_add(b),
        BinaryOperator::Subtract => a.wrapping_sub(b),
        BinaryOperator::Multiply => a.wrapping_mul(b),
        BinaryOperator::And => a & b,
        BinaryOperator::InclusiveOr => a | b,
        BinaryOperator::ExclusiveOr => a ^ b,
        BinaryOperator::ShiftLeft => a.wrapping_shl(b),
        BinaryOperator::ShiftRight => a.wrapping_shr(b),
        _ => return None,
    })
}
