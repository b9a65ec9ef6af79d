//! Contents of buffers as expressions over `iota`, the element's number.
//!
//! Integers are computed in 128 bits and floats in binary64, an operation with a float operand in binary64; the
//! result is rounded once where the element type is a float, and must be one of its numbers, signed or unsigned, where it
//! is an integer. `random(seed)` is a 32-bit number that depends on the seed and the
//! element's number only. Operators: `+ - * / %` with the usual precedence, parentheses; functions of one argument:
//! `random`, `abs`, `sqrt`, `floor`.

use super::lexer::{Lexer, Token};
use marquetry_ir::semantics::convert::float_to_float;
use marquetry_ir::types::Scalar;

#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

#[derive(Copy, Clone, PartialEq, Debug)]
enum Step {
    Push(Number),
    Iota,
    Negate,
    Binary(char),
    Call(Function),
}

#[derive(Copy, Clone, PartialEq, Debug)]
enum Function {
    Random,
    Abs,
    Sqrt,
    Floor,
}

/// An expression, as steps of a stack machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    steps: Vec<Step>,
}

enum Pending {
    Open(Option<Function>),
    Operator(Step, u8),
}

impl Expression {
    /// The expression that is zero everywhere.
    pub fn zero() -> Self {
        Expression { steps: vec![Step::Push(Number::Int(0))] }
    }

    /// Reads an expression, as far as it goes.
    pub(super) fn parse(lexer: &mut Lexer<'_>) -> Result<Self, String> {
        // Operator precedence by two stacks: no recursion on the input's depth.
        let mut steps = Vec::new();
        let mut pending: Vec<Pending> = Vec::new();
        let mut depth = 0usize;
        let mut wants_operand = true;
        loop {
            let token = lexer.peek();
            if wants_operand {
                match token {
                    Token::Int(value) => steps.push(Step::Push(Number::Int(value))),
                    Token::Float(value) => steps.push(Step::Push(Number::Float(value))),
                    Token::Name("iota") => steps.push(Step::Iota),
                    Token::Name("inf") => steps.push(Step::Push(Number::Float(f64::INFINITY))),
                    Token::Name("nan") => steps.push(Step::Push(Number::Float(f64::NAN))),
                    Token::Name(name) => {
                        let function = match name {
                            "random" => Function::Random,
                            "abs" => Function::Abs,
                            "sqrt" => Function::Sqrt,
                            "floor" => Function::Floor,
                            _ => return Err(format!("'{name}' is not a number or function")),
                        };
                        lexer.advance();
                        if lexer.peek() != Token::Punct('(') {
                            return Err(format!("expected '(' after '{name}'"));
                        }
                        pending.push(Pending::Open(Some(function)));
                        depth += 1;
                        lexer.advance();
                        continue;
                    }
                    Token::Punct('(') => {
                        pending.push(Pending::Open(None));
                        depth += 1;
                        lexer.advance();
                        continue;
                    }
                    Token::Punct('-') => {
                        pending.push(Pending::Operator(Step::Negate, 3));
                        lexer.advance();
                        continue;
                    }
                    other => return Err(format!("expected a number, found {other}")),
                }
                lexer.advance();
                wants_operand = false;
                continue;
            }
            match token {
                Token::Punct(c @ ('+' | '-' | '*' | '/' | '%')) => {
                    let level = if matches!(c, '+' | '-') { 1 } else { 2 };
                    while let Some(Pending::Operator(step, l)) = pending.last() {
                        if *l < level {
                            break;
                        }
                        steps.push(*step);
                        pending.pop();
                    }
                    pending.push(Pending::Operator(Step::Binary(c), level));
                    wants_operand = true;
                }
                Token::Punct(')') if depth > 0 => {
                    depth -= 1;
                    while let Some(top) = pending.pop() {
                        match top {
                            Pending::Operator(step, _) => steps.push(step),
                            Pending::Open(function) => {
                                steps.extend(function.map(Step::Call));
                                break;
                            }
                        }
                    }
                }
                other if depth > 0 => return Err(format!("expected ')', found {other}")),
                _ => break,
            }
            lexer.advance();
        }
        steps.extend(pending.into_iter().rev().filter_map(|p| match p {
            Pending::Operator(step, _) => Some(step),
            Pending::Open(_) => None,
        }));
        Ok(Expression { steps })
    }

    /// Whether a buffer of this length can hold what it computes.
    ///
    /// # Errors
    /// The first element that has no value, or one that its type cannot hold.
    pub(super) fn check(&self, scalar: Scalar, length: u64) -> Result<(), String> {
        // All elements are alike where nothing tells them apart.
        let varies = |step: &Step| matches!(step, Step::Iota | Step::Call(Function::Random));
        let length = if self.steps.iter().any(varies) { length } else { length.min(1) };
        let mut stack = Vec::new();
        (0..length).try_for_each(|index| {
            let number = self.number(index, &mut stack);
            let fitting = number.and_then(|number| fit(whole(number, scalar), scalar));
            fitting.map_err(|problem| format!("element {index}: {problem}"))
        })
    }

    /// The bits of element `index`, which was checked. The stack is memory that is reused.
    pub(super) fn element(&self, scalar: Scalar, index: u64, stack: &mut Vec<Number>) -> u128 {
        self.number(index, stack).map_or(0, |number| to_bits(whole(number, scalar), scalar))
    }

    /// The bits of a single value.
    ///
    /// # Errors
    /// It does not fit its type, neither as a signed nor as an unsigned number.
    pub(super) fn value(&self, scalar: Scalar) -> Result<u128, String> {
        let number = self.number(0, &mut Vec::new())?;
        fit(number, scalar)?;
        Ok(to_bits(number, scalar))
    }

    fn number(&self, index: u64, stack: &mut Vec<Number>) -> Result<Number, String> {
        stack.clear();
        for &step in &self.steps {
            let top = match step {
                Step::Push(number) => number,
                Step::Iota => Number::Int(i128::from(index)),
                Step::Negate => match stack.pop() {
                    Some(Number::Int(x)) => Number::Int(x.checked_neg().ok_or_else(overflow)?),
                    Some(Number::Float(x)) => Number::Float(-x),
                    None => Number::Int(0),
                },
                Step::Binary(operator) => {
                    let b = stack.pop().unwrap_or(Number::Int(0));
                    let a = stack.pop().unwrap_or(Number::Int(0));
                    binary(operator, a, b)?
                }
                Step::Call(function) => call(function, stack.pop().unwrap_or(Number::Int(0)), index)?,
            };
            stack.push(top);
        }
        Ok(stack.pop().unwrap_or(Number::Int(0)))
    }
}

fn overflow() -> String {
    "the number has more than 128 bits".into()
}

/// An element of integers that was computed with floats, as an integer where it is one.
fn whole(number: Number, scalar: Scalar) -> Number {
    match number {
        Number::Float(x) if !scalar.is_float() && x.trunc() == x && x.abs() < i128::MAX as f64 => {
            Number::Int(x as i128)
        }
        other => other,
    }
}

/// Whether a type can hold a number, as a signed or as an unsigned one. Floats hold every number, rounded.
fn fit(number: Number, scalar: Scalar) -> Result<(), String> {
    let name = scalar.name();
    match number {
        Number::Float(x) if !scalar.is_float() => Err(format!("{x:?} does not fit into {name}")),
        Number::Int(x) if !scalar.is_float() && scalar != Scalar::I128 => {
            let greatest = scalar.mask() as i128;
            match (-(greatest / 2) - 1..=greatest).contains(&x) {
                true => Ok(()),
                false => Err(format!("{x} does not fit into {name}")),
            }
        }
        _ => Ok(()),
    }
}

fn as_float(number: Number) -> f64 {
    match number {
        Number::Int(x) => x as f64,
        Number::Float(x) => x,
    }
}

fn binary(operator: char, a: Number, b: Number) -> Result<Number, String> {
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        let exact = match operator {
            '+' => a.checked_add(b),
            '-' => a.checked_sub(b),
            '*' => a.checked_mul(b),
            _ if b == 0 => return Err("division by zero".into()),
            '/' => a.checked_div(b),
            // The least number by -1: the quotient is not needed.
            _ => Some(a.wrapping_rem(b)),
        };
        return exact.map(Number::Int).ok_or_else(overflow);
    }
    let (a, b) = (as_float(a), as_float(b));
    Ok(Number::Float(match operator {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        '/' => a / b,
        _ => a % b,
    }))
}

fn call(function: Function, argument: Number, index: u64) -> Result<Number, String> {
    Ok(match (function, argument) {
        (Function::Random, seed) => Number::Int(i128::from(random(as_float(seed) as u64, index))),
        (Function::Abs, Number::Int(x)) => Number::Int(x.checked_abs().ok_or_else(overflow)?),
        (Function::Abs, Number::Float(x)) => Number::Float(x.abs()),
        (Function::Sqrt, x) => Number::Float(as_float(x).sqrt()),
        (Function::Floor, x) => Number::Float(as_float(x).floor()),
    })
}

/// The upper half of a splitmix64 step: seed and index mixed well enough for test data.
fn random(seed: u64, index: u64) -> u32 {
    let mut z = seed
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}

/// The bits of a number as a scalar type that can hold it: floats round once.
fn to_bits(number: Number, scalar: Scalar) -> u128 {
    let bits = match (number, scalar.is_float()) {
        (Number::Int(x), false) => x as u128,
        (Number::Float(x), false) => x as i128 as u128,
        (number, true) => {
            let wide = u128::from(as_float(number).to_bits());
            if scalar == Scalar::F64 { wide } else { float_to_float(Scalar::F64, scalar, wide).unwrap_or(0) }
        }
    };
    bits & scalar.mask()
}
