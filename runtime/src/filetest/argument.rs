//! Arguments as directives and the command line spell them: values, and buffers with what is in them.

use super::expression::Expression;
use super::lexer::{Lexer, Token};
use crate::value::{HostArg, HostValue, buffer_description};
use marquetry_ir::limits::MAX_BUFFER_BYTES;
use marquetry_ir::types::{Scalar, Type};

/// An argument as described.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    /// A value.
    Value(HostValue),
    /// A struct or array by value: its bytes, padding included.
    Aggregate(Vec<Part>),
    /// A buffer.
    Buffer(Vec<Part>),
}

/// A run of elements in a buffer.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// Type of the elements.
    pub element: Scalar,
    /// How many.
    pub length: u64,
    /// What they are.
    pub values: Values,
}

/// The elements of a part.
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
    /// Computed from the element's number in its part.
    Expression(Expression),
    /// Given one by one, as bits.
    List(Vec<u128>),
}

impl Part {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        let size = self.element.bytes() as usize;
        let mut stack = Vec::new();
        for index in 0..self.length {
            let bits = match &self.values {
                Values::Expression(expression) => expression.element(self.element, index, &mut stack),
                Values::List(list) => list.get(index as usize).copied().unwrap_or(0),
            };
            bytes.extend_from_slice(bits.to_le_bytes().get(..size).unwrap_or(&[]));
        }
    }
}

/// The bytes that parts describe.
pub fn bytes_of(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    parts.iter().for_each(|part| part.append_to(&mut bytes));
    bytes
}

impl Argument {
    /// What it is, for messages.
    pub fn description(&self) -> String {
        let size =
            |parts: &[Part]| -> u64 { parts.iter().map(|part| part.length * part.element.bytes()).sum() };
        match self {
            Argument::Value(value) => value.ty().to_string(),
            Argument::Aggregate(parts) => format!("a struct or array of {} bytes", size(parts)),
            Argument::Buffer(parts) => {
                let element = parts.first().map_or(Scalar::I8, |part| part.element);
                buffer_description(element, size(parts))
            }
        }
    }

    /// The argument with its contents computed.
    pub fn materialise(&self) -> HostArg {
        match self {
            Argument::Value(value) => HostArg::Value(value.clone()),
            Argument::Aggregate(parts) => HostArg::Aggregate(bytes_of(parts)),
            Argument::Buffer(parts) => {
                let element = parts.first().map_or(Scalar::I8, |part| part.element);
                HostArg::Buffer { element, bytes: bytes_of(parts) }
            }
        }
    }
}

/// Reads the arguments `(...)` of a call, as on the command line.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_arguments(text: &str) -> Result<Vec<Argument>, String> {
    let text = format!("({text})");
    let mut lexer = Lexer::new(&text);
    let args = arguments(&mut lexer)?;
    lexer.end()?;
    Ok(args)
}

pub(super) fn arguments(lexer: &mut Lexer<'_>) -> Result<Vec<Argument>, String> {
    lexer.punct('(')?;
    let mut args = Vec::new();
    while !lexer.accept(')') {
        if !args.is_empty() {
            lexer.punct(',')?;
        }
        args.push(argument(lexer)?);
    }
    Ok(args)
}

/// `buf PART`, `bytes(PART, ...)` or a value.
pub(super) fn argument(lexer: &mut Lexer<'_>) -> Result<Argument, String> {
    match lexer.peek() {
        Token::Name("buf") => {
            lexer.advance();
            Ok(Argument::Buffer(parts(lexer)?))
        }
        Token::Name("bytes") => {
            lexer.advance();
            lexer.punct('(')?;
            let mut list = Vec::new();
            while !lexer.accept(')') {
                if !list.is_empty() {
                    lexer.punct(',')?;
                }
                list.extend(parts(lexer)?);
            }
            Ok(Argument::Aggregate(list))
        }
        _ => value(lexer).map(Argument::Value),
    }
}

/// `TYPE[N]`, `TYPE[N]=EXPRESSION`, `TYPE=[a, b]` or `TYPE="text"`.
pub(super) fn parts(lexer: &mut Lexer<'_>) -> Result<Vec<Part>, String> {
    let element = lexer.scalar()?;
    let mut length = None;
    if lexer.accept('[') {
        length = Some(u64::try_from(lexer.int()?).map_err(|_| "length out of range".to_string())?);
        lexer.punct(']')?;
    }
    let values = if !lexer.accept('=') {
        Values::Expression(Expression::zero())
    } else if let Token::Text(text) = lexer.peek() {
        lexer.advance();
        Values::List(text.bytes().map(u128::from).collect())
    } else if lexer.peek() == Token::Punct('[') {
        Values::List(list(lexer, element)?)
    } else {
        Values::Expression(Expression::parse(lexer)?)
    };
    let length = match (&values, length) {
        (Values::List(list), None) => list.len() as u64,
        (Values::List(list), Some(n)) if n != list.len() as u64 => {
            return Err(format!("{} elements are given, {n} are wanted", list.len()));
        }
        (_, Some(n)) => n,
        (Values::Expression(_), None) => return Err("a buffer needs a length: TYPE[N]=...".into()),
    };
    if length.saturating_mul(element.bytes()) > MAX_BUFFER_BYTES {
        return Err(format!("buffer has {length} elements, the most is {MAX_BUFFER_BYTES} bytes"));
    }
    if let Values::Expression(expression) = &values {
        expression.check(element, length)?;
    }
    Ok(vec![Part { element, length, values }])
}

fn list(lexer: &mut Lexer<'_>, element: Scalar) -> Result<Vec<u128>, String> {
    lexer.punct('[')?;
    let mut list = Vec::new();
    while !lexer.accept(']') {
        if !list.is_empty() {
            lexer.punct(',')?;
        }
        list.push(literal(lexer, element)?);
    }
    Ok(list)
}

fn literal(lexer: &mut Lexer<'_>, scalar: Scalar) -> Result<u128, String> {
    match lexer.peek() {
        Token::Name("true") => {
            lexer.advance();
            Ok(1)
        }
        Token::Name("false") => {
            lexer.advance();
            Ok(0)
        }
        Token::Bits(bits) => {
            lexer.advance();
            if bits > scalar.mask() {
                return Err(format!("{bits:#x} has more bits than {}", scalar.name()));
            }
            Ok(bits)
        }
        _ => Expression::parse(lexer)?.value(scalar),
    }
}

pub(super) fn value(lexer: &mut Lexer<'_>) -> Result<HostValue, String> {
    let unfit = || "value does not fit its type".to_string();
    match lexer.peek() {
        Token::Name("vec") => {
            lexer.advance();
            lexer.punct('<')?;
            let lane = lexer.scalar()?;
            lexer.punct(',')?;
            let lanes =
                u32::try_from(lexer.int()?).map_err(|_| "number of lanes out of range".to_string())?;
            lexer.punct('>')?;
            let ty = Type::vector(lane, lanes).ok_or("lanes should be a power of two from 2 to 64")?;
            HostValue::vector(ty, &list(lexer, lane)?).ok_or_else(unfit)
        }
        Token::Name("null") => {
            lexer.advance();
            HostValue::scalar(Type::pointer(marquetry_ir::types::Space::Generic), 0).ok_or_else(unfit)
        }
        _ => {
            let scalar = lexer.scalar()?;
            let bits = literal(lexer, scalar)?;
            HostValue::scalar(Type::scalar(scalar), bits).ok_or_else(unfit)
        }
    }
}
