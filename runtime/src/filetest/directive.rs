//! Directives: the comments of a filetest that say what must happen.

use super::expression::Expression;
use super::lexer::{Lexer, Token};
use crate::value::{HostArg, HostValue};
use marquetry_ir::types::{Scalar, Type};
use std::fmt;

/// Largest buffer that a directive may ask for, in bytes.
const MAX_BUFFER_BYTES: u64 = 1 << 28;

/// A directive with the line that it stands on, from 1.
#[derive(Clone, PartialEq, Debug)]
pub struct Directive {
    /// Line, from 1.
    pub line: usize,
    /// The text, for messages.
    pub text: String,
    /// Names of the engines to use; empty for all.
    pub engines: Vec<String>,
    /// What must happen.
    pub action: Action,
}

/// What must happen.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Calling a function.
    Run(Call),
    /// Launching a kernel.
    Launch {
        /// Kernel and arguments.
        call: Call,
        /// Groups along each dimension.
        grid: [u32; 3],
        /// Work-items of a group along each dimension.
        block: [u32; 3],
    },
    /// Looking up a call.
    Which {
        /// Name and types of the arguments.
        call: String,
        /// The target.
        target: String,
        /// The job's own tables.
        tables: Vec<String>,
        /// Table of the method, `ambiguous` or `nothing`.
        answer: String,
    },
    /// Compiling a function, which must give a diagnostic that contains this.
    Refused {
        /// The function.
        name: String,
        /// What the diagnostic says.
        text: String,
    },
    /// A diagnostic whose message contains this, on this line, counted from 1.
    Error {
        /// Where.
        line: usize,
        /// What.
        text: String,
    },
}

/// A call with what is expected of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The function or kernel.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Argument>,
    /// What must come out.
    pub expected: Expected,
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
    Throws(String),
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

/// An argument as described.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    /// A value.
    Value(HostValue),
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
        for index in 0..self.length {
            let bits = match &self.values {
                Values::Expression(expression) => expression.element(self.element, index),
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
    /// The argument with its contents computed.
    pub fn materialise(&self) -> HostArg {
        match self {
            Argument::Value(value) => HostArg::Value(value.clone()),
            Argument::Buffer(parts) => {
                let element = parts.first().map_or(Scalar::I8, |part| part.element);
                HostArg::Buffer { element, bytes: bytes_of(parts) }
            }
        }
    }
}

/// A directive that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectiveError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for DirectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads the directives of a file. A comment that starts like a directive and cannot be read is an error, so that
/// no expectation is skipped in silence.
pub fn parse(text: &str) -> (Vec<Directive>, Vec<DirectiveError>) {
    let mut directives = Vec::new();
    let mut errors = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let Some((code, comment)) = line.split_once(';') else { continue };
        let Some((kind, rest)) = comment.trim_start().split_once(':') else { continue };
        let (kind, engines) = match kind.split_once('[') {
            Some((kind, list)) => (kind, list.trim_end_matches(']')),
            None => (kind, ""),
        };
        let engines = engines.split(',').map(str::trim).filter(|e| !e.is_empty()).map(String::from).collect();
        let line = n + 1;
        let action = match kind {
            "run" => parse_call(rest, expected).map(Action::Run),
            "throws" => parse_call(rest, thrown).map(Action::Run),
            "fails" => parse_call(rest, failure).map(Action::Run),
            "launch" => parse_launch(rest),
            "which" => parse_which(rest),
            "refused" => parse_refused(rest),
            "error" => {
                let line = if code.trim().is_empty() { n } else { n + 1 };
                Ok(Action::Error { line, text: rest.trim().into() })
            }
            _ => continue,
        };
        match action {
            Ok(action) => directives.push(Directive { line, text: comment.trim().into(), engines, action }),
            Err(message) => errors.push(DirectiveError { line, message }),
        }
    }
    (directives, errors)
}

/// `CALL on TARGET [with TABLE, ...] -> ANSWER`
fn parse_which(text: &str) -> Result<Action, String> {
    const WANTED: &str = "expected 'f(TYPE, ...) on TARGET [with TABLE, ...] -> TABLE'";
    let (call, rest) = text.rsplit_once(" on ").ok_or(WANTED)?;
    let (place, answer) = rest.split_once("->").ok_or(WANTED)?;
    let (target, tables) = place.split_once(" with ").unwrap_or((place, ""));
    let tables = tables.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from);
    let own = |text: &str| text.trim().to_string();
    Ok(Action::Which { call: own(call), target: own(target), tables: tables.collect(), answer: own(answer) })
}

/// `@NAME TEXT`
fn parse_refused(text: &str) -> Result<Action, String> {
    let function = text.trim().strip_prefix('@').and_then(|rest| rest.split_once(' '));
    let (name, text) = function.ok_or("expected '@f text of the diagnostic'")?;
    Ok(Action::Refused { name: name.trim().into(), text: text.trim().into() })
}

fn parse_call(
    text: &str,
    outcome: impl FnOnce(&mut Lexer<'_>) -> Result<Expected, String>,
) -> Result<Call, String> {
    let mut lexer = Lexer::new(text);
    let name = lexer.function()?;
    let args = arguments(&mut lexer)?;
    let expected = outcome(&mut lexer)?;
    lexer.end()?;
    Ok(Call { name, args, expected })
}

fn parse_launch(text: &str) -> Result<Action, String> {
    let mut lexer = Lexer::new(text);
    let name = lexer.function()?;
    lexer.word("grid")?;
    let grid = extent(&mut lexer)?;
    lexer.word("block")?;
    let block = extent(&mut lexer)?;
    let args = arguments(&mut lexer)?;
    let expected = expected(&mut lexer)?;
    lexer.end()?;
    Ok(Action::Launch { call: Call { name, args, expected }, grid, block })
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

/// Reads the arguments `(...)` of a call, as on the command line.
pub fn parse_arguments(text: &str) -> Result<Vec<Argument>, String> {
    let text = format!("({text})");
    let mut lexer = Lexer::new(&text);
    let args = arguments(&mut lexer)?;
    lexer.end()?;
    Ok(args)
}

fn arguments(lexer: &mut Lexer<'_>) -> Result<Vec<Argument>, String> {
    lexer.punct('(')?;
    let mut args = Vec::new();
    while !lexer.accept(')') {
        if !args.is_empty() {
            lexer.punct(',')?;
        }
        if lexer.peek() == Token::Name("buf") {
            lexer.advance();
            args.push(Argument::Buffer(parts(lexer)?));
        } else {
            args.push(Argument::Value(value(lexer)?));
        }
    }
    Ok(args)
}

/// `KIND`
fn thrown(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
    Ok(Expected::Throws(lexer.name("an exception")?.into()))
}

/// `"TEXT"`
fn failure(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
    match lexer.next() {
        Token::Text(text) => Ok(Expected::Fails(text.into())),
        other => Err(format!("expected text of the error in quotes, found {other}")),
    }
}

fn expected(lexer: &mut Lexer<'_>) -> Result<Expected, String> {
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
        Token::Function(name) => {
            lexer.advance();
            Contents::Reference(name.into())
        }
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

/// `TYPE[N]`, `TYPE[N]=EXPRESSION`, `TYPE=[a, b]` or `TYPE="text"`.
fn parts(lexer: &mut Lexer<'_>) -> Result<Vec<Part>, String> {
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

fn value(lexer: &mut Lexer<'_>) -> Result<HostValue, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Directive {
        let (mut directives, errors) = parse(text);
        assert_eq!(errors, []);
        assert_eq!(directives.len(), 1, "{directives:?}");
        directives.remove(0)
    }

    #[test]
    fn run_lines_hold_values() {
        let directive = only("; run: @f(i32 -1, f32 1.5, i8 0xff) == (i64 7, i1 true)");
        let Action::Run(call) = directive.action else { panic!("expected a run") };
        assert_eq!(call.args.len(), 3);
        let Argument::Value(first) = &call.args[0] else { panic!("expected a value") };
        assert_eq!(first.lanes(), [0xffff_ffff]);
        let Expected::Returns { results: Some(results), .. } = call.expected else {
            panic!("expected results")
        };
        assert_eq!(results[0].to_string(), "i64 7");
        assert_eq!(results[1].to_string(), "i1 true");
    }

    #[test]
    fn launch_lines_hold_buffers() {
        let text = "; launch[cpu, vulkan]: @k grid=4,2 block=64 (buf f32[4]=1.0+2*iota) => [0] ~1e-6 == f32[2]=iota, f32[2]=7.0";
        let directive = only(text);
        assert_eq!(directive.engines, ["cpu", "vulkan"]);
        let Action::Launch { call, grid, block } = directive.action else { panic!("expected a launch") };
        assert_eq!((grid, block), ([4, 2, 1], [64, 1, 1]));
        let HostArg::Buffer { bytes, .. } = call.args[0].materialise() else { panic!("expected a buffer") };
        let floats: Vec<f32> =
            bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(floats, [1.0, 3.0, 5.0, 7.0]);
        let Expected::Returns { buffers, .. } = call.expected else { panic!("expected buffers") };
        let Contents::Parts(parts) = &buffers[0].contents else { panic!("expected parts") };
        assert_eq!(bytes_of(parts).len(), 16);
        assert_eq!(buffers[0].tolerance, 1e-6);
    }

    #[test]
    fn failures_are_stated_in_quotes() {
        for text in
            ["; fails: @f(i32 1) \"too deep\"", "; launch: @f grid=1 block=1 (i32 1) fails \"too deep\""]
        {
            let (Action::Run(call) | Action::Launch { call, .. }) = only(text).action else {
                panic!("expected a call")
            };
            assert_eq!(call.expected, Expected::Fails("too deep".into()));
            assert!(call.expected.is_failure("it is too deep here") && !call.expected.is_failure("deep"));
        }
        assert_eq!(parse("; fails: @f(i32 1) deep").1.len(), 1);
    }

    #[test]
    fn errors_belong_to_lines() {
        let (directives, _) = parse("a\nb ; error: here\n; error: above");
        let lines: Vec<_> = directives.iter().map(|d| d.action.clone()).collect();
        assert_eq!(lines[0], Action::Error { line: 2, text: "here".into() });
        assert_eq!(lines[1], Action::Error { line: 2, text: "above".into() });
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in
            ["; run: f()", "; run: @f(i33 1)", "; launch: @k (i32 1)", "; run: @f(buf i32[999999999999])"]
        {
            assert_eq!(parse(text).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn values_must_fit_their_types() {
        for fine in
            ["i8 -128", "i8 255", "i8 0xff", "i1 1", "i128 -1", "f16 100000", "i64 18446744073709551615"]
        {
            assert_eq!(parse(&format!("; run: @f({fine})")).1, [], "{fine}");
        }
        for bad in ["i8 -129", "i8 256", "i8 0x100", "i1 2", "i32 1.5", "i32 1e3", "vec<i8, 2> [1, 256]"] {
            let text = format!("; run: @f({bad})");
            assert_eq!(parse(&text).1.len(), 1, "{text}");
        }
    }
}
