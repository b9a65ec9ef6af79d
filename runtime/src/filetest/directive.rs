//! Directives: the comments of a filetest that say what must happen.

use super::call::{Call, expected, failure, parse_call, parse_launch, thrown};
use super::comment::{Comment, misspelt, split};
use super::compiled::{Check, Compile};
use super::lexer::{Lexer, Token};
use crate::engine::EngineKind;
use marquetry_ir::limits::MAX_DIRECTIVES;
use marquetry_ir::program::Reference;
use std::fmt;

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
    /// The lines that the launch must print, if anything is said about them; in any order if there are several work-items.
    pub prints: Option<Vec<String>>,
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
    /// What the host supplies for a reference, to everything that runs in the file.
    Resolve {
        /// The reference.
        reference: Reference,
        /// Its word.
        word: u64,
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
    /// Compiling, and what the code must look like.
    Compile(Compile),
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

/// Reads the directives of a file, [`MAX_DIRECTIVES`] of them. A comment that starts like a directive and cannot be read is an error, and so is
/// one that looks like a misspelt directive, so that no expectation is skipped in silence.
pub fn parse(text: &str) -> (Vec<Directive>, Vec<DirectiveError>) {
    let mut reader = Reader { directives: Vec::new(), below_compile: false };
    let mut errors = Vec::new();
    for (n, source) in text.lines().enumerate() {
        let line = n + 1;
        let read = match split(source) {
            Some(comment) => reader.comment(line, &comment),
            None => {
                reader.below_compile = false;
                Ok(())
            }
        };
        errors.extend(read.err().map(|message| DirectiveError { line, message }));
        if reader.directives.len().max(errors.len()) > MAX_DIRECTIVES {
            let message = format!("file has more than {MAX_DIRECTIVES} directives");
            return (Vec::new(), vec![DirectiveError { line, message }]);
        }
    }
    (reader.directives, errors)
}

struct Reader {
    directives: Vec<Directive>,
    /// Whether the comments belong to the last directive, one that compiles.
    below_compile: bool,
}

impl Reader {
    fn comment(&mut self, line: usize, comment: &Comment<'_>) -> Result<(), String> {
        if !comment.is_alone() {
            self.below_compile = false;
        }
        if let Some(text) = comment.text.strip_prefix('|') {
            let text = text.strip_prefix(' ').unwrap_or(text).trim_end();
            return self.compile()?.golden_line(line, comment.indent(), text);
        }
        let Some(head) = comment.head() else {
            let found = misspelt(comment.text, self.below_compile);
            return found.map_or(Ok(()), Err);
        };
        let rest = head.rest.trim();
        if let Some(check) = Check::parse(line, head.name, rest) {
            if !head.engines.is_empty() {
                return Err(format!("'{}' takes no engines", head.name));
            }
            self.compile()?.checks.push(check?);
            return Ok(());
        }
        let engines = engines(head.engines)?;
        if !engines.is_empty() && !matches!(head.name, "run" | "throws" | "fails" | "launch") {
            return Err(format!("'{}' takes no engines", head.name));
        }
        if head.name == "prints" {
            return self.prints(head.rest);
        }
        let action = match head.name {
            "run" => Action::Run(parse_call(rest, expected)?),
            "throws" => Action::Run(parse_call(rest, thrown)?),
            "fails" => Action::Run(parse_call(rest, failure)?),
            "launch" => parse_launch(rest)?,
            "resolve" => parse_resolve(rest)?,
            "which" => parse_which(rest)?,
            "compile" => Action::Compile(Compile::parse(rest)?),
            "refused" => parse_refused(rest)?,
            "error" => {
                let line = if comment.is_alone() { line - 1 } else { line };
                Action::Error { line, text: rest.into() }
            }
            _ => return Ok(()),
        };
        self.below_compile = matches!(action, Action::Compile(_));
        let text = comment.text.trim().into();
        self.directives.push(Directive { line, text, engines, action, prints: None });
        Ok(())
    }

    /// A line that the launch above prints; none is stated by a directive without text.
    fn prints(&mut self, rest: &str) -> Result<(), String> {
        let text = rest.strip_prefix(' ').unwrap_or(rest).trim_end();
        match self.directives.last_mut() {
            Some(Directive { action: Action::Launch { .. }, prints, .. }) => {
                let lines = prints.get_or_insert_default();
                lines.extend((!text.is_empty()).then(|| text.to_owned()));
                Ok(())
            }
            _ => Err("'prints' follows a 'launch'".into()),
        }
    }

    /// The directive that a line about code belongs to.
    fn compile(&mut self) -> Result<&mut Compile, String> {
        match self.directives.last_mut().map(|directive| &mut directive.action) {
            Some(Action::Compile(compile)) if self.below_compile => Ok(compile),
            _ => Err("expected this below a 'compile:' line, with nothing but comments between".into()),
        }
    }
}

/// Names of engines, which must be known: what no engine carries out would never fail.
fn engines(list: &str) -> Result<Vec<String>, String> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match EngineKind::from_name(name) {
            Some(_) => Ok(name.to_string()),
            None => Err(format!("'{name}' is not an engine")),
        })
        .collect()
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

/// `value "NAME" = WORD`, and so on for the other kinds of references to the host.
fn parse_resolve(text: &str) -> Result<Action, String> {
    parse_word(text).map(|(reference, word)| Action::Resolve { reference, word })
}

/// What the host supplies for a reference: `value "NAME" = WORD`, and so on for the other kinds.
///
/// # Errors
/// The text is something else: what was expected.
pub fn parse_word(text: &str) -> Result<(Reference, u64), String> {
    const WANTED: &str = "expected 'value', 'symbol' or 'word', a name in double quotes, '=' and a number";
    let mut lexer = Lexer::new(text);
    let kind = lexer.next();
    let Token::Text(name) = lexer.next() else { return Err(WANTED.into()) };
    let reference = match kind {
        Token::Name("value") => Reference::value(name),
        Token::Name("word") => Reference::word(name),
        Token::Name("symbol") if lexer.peek() == Token::Name("from") => {
            lexer.advance();
            let Token::Text(library) = lexer.next() else { return Err(WANTED.into()) };
            Reference::symbol_of(name, library)
        }
        Token::Name("symbol") => Reference::symbol(name),
        _ => return Err(WANTED.into()),
    };
    if lexer.next() != Token::Punct('=') {
        return Err(WANTED.into());
    }
    let word = match lexer.next() {
        Token::Int(word) => u64::try_from(word).ok(),
        Token::Bits(word) => u64::try_from(word).ok(),
        _ => None,
    };
    match word {
        Some(word) if lexer.next() == Token::End => Ok((reference, word)),
        _ => Err(WANTED.into()),
    }
}

/// `@NAME TEXT`
fn parse_refused(text: &str) -> Result<Action, String> {
    let mut lexer = Lexer::new(text);
    let name = lexer.function()?;
    let text = lexer.remaining().trim();
    match text.is_empty() {
        true => Err("expected text of the diagnostic after the name".into()),
        false => Ok(Action::Refused { name, text: text.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::argument::{Argument, bytes_of};
    use super::super::call::{Contents, Expected};
    use super::*;
    use crate::value::HostArg;

    fn only(text: &str) -> Directive {
        let (mut directives, errors) = parse(text);
        assert_eq!(errors, []);
        assert_eq!(directives.len(), 1, "{directives:?}");
        directives.remove(0)
    }

    #[test]
    fn directives_are_limited() {
        let text = |count: usize, line: &str| format!("{line}\n").repeat(count);
        let good = "; run: @f() == i32 1";
        assert_eq!(parse(&text(MAX_DIRECTIVES, good)).0.len(), MAX_DIRECTIVES);
        for line in [good, "; run: f", "; rnu: @f() == i32 1"] {
            let (directives, errors) = parse(&text(MAX_DIRECTIVES + 1, line));
            assert!(directives.is_empty());
            let shown: Vec<String> = errors.iter().map(DirectiveError::to_string).collect();
            assert_eq!(shown, ["line 131073: file has more than 131072 directives"], "{line}");
        }
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
        for text in [
            "; run: f()",
            "; launch[cpuu]: @k grid=1 block=1 ()",
            "; run @f()",
            "; count: 1 text",
            ";| golden",
            "; compile: @f ptx -O9",
            "; compile: @f vax",
            "; resolve: value config = 1",
            "; resolve: address \"config\" = 1",
            "; resolve: value \"config\" = -1",
            "; resolve: value \"config\" = 1 2",
            "; resolve[cpu]: value \"config\" = 1",
            "; refused: @f",
            "; run: @f(i33 1)",
            "; launch: @k (i32 1)",
            "; run: @f(buf i32[999999999999])",
        ] {
            assert_eq!(parse(text).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn lines_about_code_belong_to_the_directive_above() {
        let text = "; compile: @f @\"odd \\x41\" ptx:sm_80 -O1 stage=legal table=fast\n\
                    ; why it matters\n; contains: ret\n  ;| one\n  ;|\n  ;|   three\n";
        let Action::Compile(compile) = only(text).action else { panic!("expected a compile") };
        assert_eq!(
            (compile.names, compile.tables),
            (vec!["f".into(), "odd A".to_string()], vec!["fast".into()])
        );
        assert_eq!((compile.target.as_str(), compile.stage.name()), ("ptx:sm_80", "legal"));
        assert_eq!(compile.checks.len(), 1);
        let golden = compile.golden.expect("golden lines");
        assert_eq!((golden.line, golden.indent.as_str()), (4, "  "));
        assert_eq!(golden.lines, ["one", "", "  three"]);
        for apart in ["; compile: @f ptx\n\n; contains: ret", "; compile: @f ptx\n;| a\n; b\n;| c"] {
            assert_eq!(parse(apart).1.len(), 1, "{apart}");
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
