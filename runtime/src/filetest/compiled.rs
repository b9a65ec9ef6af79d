//! Directives about code: what compiling gives, as patterns and as golden text.

use super::golden::difference;
use super::lexer::{Lexer, Token};
use super::pattern::{Cursor, Pattern, lines};
use crate::compile::{CompileError, Target, entries_named, text_at};
use crate::engine::EngineError;
use marquetry_ir::program::Program;
use marquetry_lower::dispatch::view::{View, overlays};
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::stage::Stage;

/// What to compile, and what the text of it must look like.
#[derive(Clone, PartialEq, Debug)]
pub struct Compile {
    /// The entries.
    pub names: Vec<String>,
    /// The target as on the command line.
    pub target: String,
    /// How much work goes into the code.
    pub opt_level: OptLevel,
    /// Where to stop.
    pub stage: Stage,
    /// The job's own tables.
    pub tables: Vec<String>,
    /// What the text must contain and must not.
    pub checks: Vec<Check>,
    /// The whole text, if the file states it.
    pub golden: Option<Golden>,
}

/// A line below `compile:` about its text.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Line, from 1.
    pub line: usize,
    /// What must hold.
    kind: Kind,
    /// What for.
    text: Pattern,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// It stands somewhere after what the last such line found.
    Contains,
    /// It stands nowhere.
    Lacks,
    /// It stands there so many times.
    Count(usize),
    /// There is no code, and this is in the message.
    Rejected,
}

/// Golden text: the comments below `compile:` that start with `;|`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Golden {
    /// Line of the first, from 1.
    pub line: usize,
    /// White space before the comments.
    pub indent: String,
    /// The text.
    pub lines: Vec<String>,
}

impl Compile {
    /// `@NAME ... TARGET [-O0..3] [stage=STAGE] [table=NAME ...]`
    pub(super) fn parse(text: &str) -> Result<Compile, String> {
        let mut lexer = Lexer::new(text);
        let mut names = vec![lexer.function()?];
        while matches!(lexer.peek(), Token::Function(_) | Token::QuotedFunction(_)) {
            names.push(lexer.function()?);
        }
        let mut words = lexer.remaining().split_whitespace();
        let target = words.next().ok_or("expected a target after the names")?.to_string();
        // Names of targets are wrong wherever they are read: not only on some machines.
        Target::parse(&target, OptLevel::None).map_err(|error| error.to_string())?;
        let (opt_level, stage) = (OptLevel::default(), Stage::Code);
        let mut compile =
            Compile { names, target, opt_level, stage, tables: vec![], checks: vec![], golden: None };
        for word in words {
            match word.split_once('=') {
                Some(("stage", name)) => {
                    compile.stage =
                        Stage::from_name(name).ok_or_else(|| format!("'{name}' is not a stage"))?;
                }
                Some(("table", name)) => compile.tables.push(name.into()),
                _ => {
                    let level = word.strip_prefix("-O").and_then(|level| level.parse().ok());
                    compile.opt_level = level.and_then(OptLevel::from_number).ok_or_else(|| {
                        format!("found '{word}', expected -O0 to -O3, stage=STAGE or table=NAME")
                    })?;
                }
            }
        }
        Ok(compile)
    }

    /// Takes another line of golden text.
    pub(super) fn golden_line(&mut self, line: usize, indent: &str, text: &str) -> Result<(), String> {
        let golden = self.golden.get_or_insert_with(|| Golden { line, indent: indent.into(), lines: vec![] });
        if line != golden.line + golden.lines.len() {
            return Err("lines of golden text stand together".into());
        }
        golden.lines.push(text.into());
        Ok(())
    }

    /// The text that the compiler gives.
    pub(super) fn text(&self, program: &Program) -> Result<String, EngineError> {
        Ok(self.compile(program)??)
    }

    /// What compiling gives, if the directive makes sense.
    pub(super) fn compile(&self, program: &Program) -> Result<Result<String, CompileError>, EngineError> {
        let failed = EngineError::Failed;
        let target = Target::parse(&self.target, self.opt_level)?;
        let tables = overlays(program, &self.tables).map_err(|error| failed(error.to_string()))?;
        let view = if target.is_device() { View::device(&tables) } else { View::native(&tables) };
        let mut entries = Vec::new();
        for name in &self.names {
            let named = entries_named(program, &view, name);
            if named.is_empty() {
                return Err(failed(format!("there is no '{name}'")));
            }
            entries.extend(named);
        }
        let job = Job { entries, ..Job::new(Vec::new(), view, self.opt_level) };
        Ok(text_at(program, &job, &target, self.stage))
    }

    /// Whether there should be no code.
    pub(super) fn expects_failure(&self) -> bool {
        self.checks.iter().any(|check| check.kind == Kind::Rejected)
    }

    /// Whether it gives what it should.
    pub(super) fn check(&self, program: &Program) -> Result<(), String> {
        let expects_failure = self.expects_failure();
        match self.text(program) {
            Ok(_) if expects_failure => Err("compiled, expected to be rejected".into()),
            Ok(text) => self.check_text(&text),
            Err(error) if expects_failure => {
                let message = error.to_string();
                let lines = lines(&message);
                for check in &self.checks {
                    if check.kind != Kind::Rejected || check.text.find(&lines, Cursor::default()).is_none() {
                        return Err(format!("line {}: '{}' is not in: {message}", check.line, check.text));
                    }
                }
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        let lines = lines(text);
        let mut cursor = Cursor::default();
        for Check { line, kind, text: wanted } in &self.checks {
            let complaint = match kind {
                Kind::Contains => match wanted.find(&lines, cursor) {
                    Some(after) => {
                        cursor = after;
                        continue;
                    }
                    None if wanted.find(&lines, Cursor::default()).is_some() => {
                        "is there, but not after what the line above found".to_string()
                    }
                    None => "is nowhere".to_string(),
                },
                Kind::Lacks => match wanted.find(&lines, Cursor::default()) {
                    Some(found) => {
                        format!("is there: {}", lines.get(found.line).map_or("", String::as_str))
                    }
                    None => continue,
                },
                Kind::Count(count) => match wanted.count(&lines) {
                    found if found == *count => continue,
                    found => format!("is there {found} times, expected {count}"),
                },
                // Checked where it failed.
                Kind::Rejected => continue,
            };
            return Err(format!("line {line}: '{wanted}' {complaint}; the text is:\n{}", text.trim_end()));
        }
        match &self.golden {
            Some(golden) => difference(&golden.lines, text).map_or(Ok(()), |difference| {
                Err(format!("not the golden text ('--bless' accepts it):\n{difference}"))
            }),
            None => Ok(()),
        }
    }
}

impl Check {
    /// A line about code; none if it is no such line.
    pub(super) fn parse(line: usize, name: &str, text: &str) -> Option<Result<Check, String>> {
        let (kind, text) = match name {
            "contains" => (Kind::Contains, text),
            "lacks" => (Kind::Lacks, text),
            "rejected" => (Kind::Rejected, text),
            "count" => {
                let (count, text) = text.split_once(' ').unwrap_or((text, ""));
                match count.parse() {
                    Ok(count) => (Kind::Count(count), text),
                    Err(_) => return Some(Err(format!("found '{count}', expected a number and a text"))),
                }
            }
            _ => return None,
        };
        let text = Pattern::new(text).ok_or_else(|| "expected a text to look for".to_string());
        Some(text.map(|text| Check { line, kind, text }))
    }
}
