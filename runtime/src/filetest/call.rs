//! Calls and launches with what is expected of them.

use super::argument::{Argument, Part, argument, arguments, parts, value};
use super::directive::Action;
use super::lexer::{Lexer, Token};
use crate::value::HostValue;
use marquetry_lower::runtime::inputs::STATE;

/// A call with what is expected of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The function or kernel.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Argument>,
    /// What it gets besides: the kernels' state and hidden inputs.
    pub with: Vec<Binding>,
    /// What must come out.
    pub expected: Expected,
}

/// A hidden input, or the state, of a launch.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// The struct that it is, where that is said.
    pub ty: Option<String>,
    /// What it is.
    pub value: Argument,
}

/// What must come out of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Expected {
    /// It returns; with these results, if any are stated, and these buffer contents.
    Returns {
        /// The results; none if nothing is said.
        results: Option<Vec<HostValue>>,
        /// What buffers hold afterwards.
        buffers: Vec<BufferCheck>,
    },
    /// It throws this kind of exception.
    Throws {
        /// The kind.
        kind: String,
        /// The reason with its operands, if that is stated.
        reason: Option<String>,
        /// The functions on the way, from the one whose code throws outwards, if that is stated.
        functions: Vec<String>,
    },
    /// It ends with an error that contains this.
    Fails(String),
}

impl Expected {
    /// Whether this error is what must come out.
    pub fn is_failure(&self, error: &str) -> bool {
        matches!(self, Expected::Fails(text) if error.contains(text))
    }
}

/// What one argument's buffer holds afterwards.
#[derive(Clone, PartialEq, Debug)]
pub struct BufferCheck {
    /// Which argument, from 0.
    pub argument: usize,
    /// Relative error allowed; 0 for bit for bit.
    pub tolerance: f64,
    /// What it holds.
    pub contents: Contents,
}

/// The contents of a buffer.
#[derive(Clone, PartialEq, Debug)]
pub enum Contents {
    /// These parts, one after the other.
    Parts(Vec<Part>),
    /// What this method leaves there when called with the same arguments.
    Reference(String),
}

/// `@NAME(ARGUMENTS) OUTCOME`
pub(super) fn parse_call(
    text: &str,
    outcome: impl FnOnce(&mut Lexer<'_>) -> Result<Expected, String>,
) -> Result<Call, String> {
    let mut lexer = Lexer::new(text);
    let name = lexer.function()?;
    let args = arguments(&mut lexer)?;
    let expected = outcome(&mut lexer)?;
    lexer.end()?;
    Ok(Call { name, args, with: Vec::new(), expected })
}

/// `@NAME grid=X,Y,Z block=X,Y,Z [with BINDING, ...] (ARGUMENTS) EXPECTED`
pub(super) fn parse_launch(text: &str) -> Result<Action, String> {
    let mut lexer = Lexer::new(text);
    let name = lexer.function()?;
    lexer.word("grid")?;
    let grid = extent(&mut lexer)?;
    lexer.word("block")?;
    let block = extent(&mut lexer)?;
    let mut with = Vec::new();
    if lexer.peek() == Token::Name("with") {
        lexer.advance();
        with.push(binding(&mut lexer)?);
        while lexer.accept(',') {
            with.push(binding(&mut lexer)?);
        }
    }
    let args = arguments(&mut lexer)?;
    let expected = expected(&mut lexer)?;
    lexer.end()?;
    Ok(Action::Launch { call: Call { name, args, with, expected }, grid, block })
}

/// A hidden input as the command line spells it: `NAME=ARGUMENT`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_input(text: &str) -> Result<Binding, String> {
    let mut lexer = Lexer::new(text);
    let binding = binding(&mut lexer)?;
    lexer.end()?;
    Ok(binding)
}

/// The kernels' state as the command line spells it: `ARGUMENT`, or `STRUCT=bytes(...)`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_state(text: &str) -> Result<Binding, String> {
    let names = |start: &str| start.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_struct = text.split_once('=').is_some_and(|(start, _)| names(start));
    parse_input(&format!("{STATE}{} {text}", if is_struct { ":" } else { "=" }))
}

/// `NAME=ARGUMENT` or `NAME: STRUCT=ARGUMENT`
fn binding(lexer: &mut Lexer<'_>) -> Result<Binding, String> {
    let name = lexer.name("a hidden input")?.to_string();
    let ty = match lexer.accept(':') {
        true => Some(lexer.name("a struct")?.to_string()),
        false => None,
    };
    lexer.punct('=')?;
    Ok(Binding { name, ty, value: argument(lexer)? })
}

/// `=X`, `=X,Y` or `=X,Y,Z`.
fn extent(lexer: &mut Lexer<'_>) -> Result<[u32; 3], String> {
    lexer.punct('=')?;
    let mut extent = [1; 3];
    for (n, size) in extent.iter_mut().enumerate() {
        if n > 0 && !lexer.accept(',') {
            break;
        }
        *size = u32::try_from(lexer.int()?).map_err(|_| "size out of range".to_string())?;
    }
    Ok(extent)
}

/// `KIND ["REASON"] [in FUNCTION, CALLER, ...]`
pub(super) fn thrown(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
    let kind = lexer.name("an exception")?.into();
    let mut reason = None;
    if let Token::Text(text) = lexer.peek() {
        lexer.advance();
        reason = Some(text.to_string());
    }
    let mut functions = Vec::new();
    if lexer.peek() == Token::Name("in") {
        lexer.advance();
        functions.push(lexer.name("a function")?.to_string());
        while lexer.accept(',') {
            functions.push(lexer.name("a function")?.to_string());
        }
    }
    Ok(Expected::Throws { kind, reason, functions })
}

/// `"TEXT"`
pub(super) fn failure(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
    match lexer.next() {
        Token::Text(text) => Ok(Expected::Fails(text.into())),
        other => Err(format!("expected text of the error in quotes, found {other}")),
    }
}

/// Results and what buffers hold, `throws KIND` or `fails "TEXT"`.
pub(super) fn expected(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
    for (word, outcome) in [("throws", thrown as fn(&mut Lexer<'_>) -> _), ("fails", failure)] {
        if lexer.peek() == Token::Name(word) {
            lexer.advance();
            return outcome(lexer);
        }
    }
    let mut results = None;
    if lexer.accept_pair('=', '=') {
        results = Some(values(lexer)?);
    }
    let mut buffers = Vec::new();
    if lexer.accept_pair('=', '>') {
        buffers.push(check(lexer)?);
        while lexer.peek() == Token::Name("and") {
            lexer.advance();
            buffers.push(check(lexer)?);
        }
    }
    Ok(Expected::Returns { results, buffers })
}

fn values(lexer: &mut Lexer<'_>) -> Result<Vec<HostValue>, String> {
    if !lexer.accept('(') {
        return Ok(vec![value(lexer)?]);
    }
    let mut values = Vec::new();
    while !lexer.accept(')') {
        if !values.is_empty() {
            lexer.punct(',')?;
        }
        values.push(value(lexer)?);
    }
    Ok(values)
}

fn check(lexer: &mut Lexer<'_>) -> Result<BufferCheck, String> {
    lexer.punct('[')?;
    let argument = usize::try_from(lexer.int()?).map_err(|_| "argument number out of range".to_string())?;
    lexer.punct(']')?;
    let mut tolerance = 0.0;
    if lexer.accept('~') {
        tolerance = match lexer.next() {
            Token::Float(x) => x,
            Token::Int(x) => x as f64,
            other => return Err(format!("expected a relative error, found {other}")),
        };
    }
    if !lexer.accept_pair('=', '=') {
        return Err(format!("expected '==', found {}", lexer.peek()));
    }
    let contents = match lexer.peek() {
        Token::Function(_) | Token::QuotedFunction(_) => Contents::Reference(lexer.function()?),
        _ => {
            let mut list = parts(lexer)?;
            while lexer.accept(',') {
                list.extend(parts(lexer)?);
            }
            Contents::Parts(list)
        }
    };
    Ok(BufferCheck { argument, tolerance, contents })
}
