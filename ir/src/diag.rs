//! Diagnostics: what is wrong, where, and how it is shown.
//!
//! A [`Diagnostic`] is a value; nothing here prints. Each has a [`Code`], a row of one table, so that documentation
//! and tests can name it. Messages are lower case without a full stop and say what was found and what was wanted.

use crate::entity::AnyEntity;
use crate::span::{SourceFile, Span};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;

/// How bad it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The program is refused.
    Error,
    /// The program is accepted, but something in it is likely a mistake.
    Warning,
}

impl Severity {
    /// The spelling in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $code:literal $doc:literal;)*) => {
        /// The kinds of mistakes; one variant per row of the table.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $doc] $variant,)*
        }

        impl Code {
            /// All codes in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as messages show it.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// What it stands for, in one line.
            pub const fn description(self) -> &'static str {
                match self { $(Code::$variant => $doc,)* }
            }
        }
    };
}

// Codes are never reused for something else: people look them up. `P` is for reading text, `V` for verification.
codes! {
    Encoding = "P0001" "The source text is not UTF-8.";
    Limit = "P0002" "A limit was passed.";
    Token = "P0003" "Characters that no token starts with, or a token that does not end.";
    Syntax = "P0004" "The text does not follow the grammar.";
    UnknownType = "P0005" "No type has this name; structs are defined before their use.";
    InvalidType = "P0006" "The type cannot be made.";
    UnknownOp = "P0007" "No instruction has this name.";
    Literal = "P0008" "The literal is not a value of its type.";
    UndefinedValue = "P0009" "The value is used but never defined.";
    UndefinedBlock = "P0010" "The block is a destination but never defined.";
    Redefined = "P0011" "The name is defined already.";
    Reserved = "P0012" "The name has a meaning of its own.";
    OperandType = "P0013" "Operands, suffix or immediate do not fit the instruction.";
    ResultCount = "P0014" "As many names must stand before `=` as the instruction has results.";
    Placement = "P0015" "Something stands where it cannot stand.";
    Variable = "P0016" "A type variable that no parameter determines, or that has a name of another type.";
    PrivateTable = "P0017" "The tables of the library, device and standard, hold its own overlays only.";

    DanglingId = "V0001" "An id does not exist in its body, program or unit.";
    Order = "V0002" "A block or an instruction stands in two places.";
    NoBlocks = "V0003" "A function has no block to start with.";
    MissingTerminator = "V0004" "A block does not end with a terminator.";
    MisplacedTerminator = "V0005" "A terminator stands before the end of its block.";
    EntryParameters = "V0006" "The parameters of the entry block are not those of the function.";
    EntryTarget = "V0007" "The entry block is a destination.";
    Destinations = "V0008" "A terminator has another number of destinations than its op, or its cases, ask for.";
    UnplacedTarget = "V0009" "A destination is a block that has no place in the function.";
    TypeMismatch = "V0101" "Operands, suffix or immediate do not fit the op.";
    ResultType = "V0102" "The type of a result is not what the op computes.";
    Results = "V0103" "An instruction has another number of results than its op computes.";
    Untyped = "V0104" "The type of something is not known.";
    ForeignType = "V0105" "A type is a row of another table of types.";
    Constant = "V0106" "The value of a constant is none of its type.";
    EdgeArguments = "V0107" "The arguments of an edge do not match the parameters of its block.";
    Condition = "V0108" "The condition of a branch is not an `i1`.";
    Selector = "V0109" "The selector of a switch is no integer of 8 to 128 bits.";
    Cases = "V0110" "The case values of a switch repeat, or are no values of its selector's type.";
    ReturnValues = "V0111" "The returned values do not match the function's results.";
    MemoryFlags = "V0112" "The flags of a memory access say what such an access cannot have.";
    MemoryOrder = "V0113" "The memory order makes no sense for the access.";
    SymbolKind = "V0114" "What an instruction mentions by name is not of the kind that its op needs.";
    Callee = "V0115" "Arguments or results of a call do not match the signature of what it calls.";
    AddressSpace = "V0116" "The address of a global has another address space than the global.";
    FrameSize = "V0117" "The slots of a function need more memory than a frame may have.";
    Dominance = "V0201" "A value is used where it is not always defined.";
    Undefined = "V0202" "A value is used that nothing in the function defines.";
    Duplicate = "V0301" "Two things of one kind have the same name.";
    KernelResults = "V0302" "A kernel has results.";
    GlobalInit = "V0303" "The first contents of a global do not fit it.";
    GlobalSpace = "V0304" "A global lives in an address space where none can live.";
    GlobalAlign = "V0305" "The alignment of a global is no power of two, or larger than any.";
    SlotPlace = "V0306" "A slot lies outside its global, where no `i64` or pointer starts, where another one is, or where first contents are.";
    SlotSpace = "V0307" "A slot where none can be filled: in shared memory, or in a pointer to memory that has no such address.";
    SlotTarget = "V0308" "A slot stands for the address of something that is not there, or that has none.";
    LinkName = "V0309" "The link name of a function of the host is empty, or has a zero byte.";

    Dispatch = "D0001" "No method of the view fits a call, or operands do not fit once their types are known.";
    Shadow = "D0002" "A method of an upper table hides a more specific one below.";
    Replacement = "D0003" "An overlay returns other types than the method that it replaces.";
    Argument = "D0004" "A kernel takes what hosts cannot hand over.";
    Pointer = "D0005" "A call through an address that is no function's.";
    Unsupported = "L0001" "The target cannot do what the program asks for.";
    Assertion = "L0002" "A static assertion does not hold.";
    Query = "L0003" "Nobody answers a question to the target, or the answer does not fit the type asked for.";
    Reference = "L0004" "Nobody supplies the word that a slot stands for.";
}

impl Code {
    /// Whether the text cannot even be told apart into tokens and lines.
    pub const fn is_syntax(self) -> bool {
        matches!(self, Code::Encoding | Code::Limit | Code::Token | Code::Syntax)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something in a program or unit, so that messages about code without text can be placed too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The method, function, global or extern that the entity is part of.
    pub owner: AnyEntity,
    /// The owner's name.
    pub name: Arc<str>,
    /// What exactly; the owner itself if it is about the whole.
    pub entity: AnyEntity,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entity == self.owner {
            f.write_str(&self.name)
        } else {
            write!(f, "{}: {}", self.name, self.entity)
        }
    }
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What kind of mistake.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The source file, an index into the files of the program or unit; none for code that no text spelled.
    pub file: Option<u32>,
    /// Where in the file.
    pub span: Span,
    /// What the diagnostic is about, if it is about something in a program or unit.
    pub subject: Option<Subject>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Other places in the same file that matter, each with what it is.
    pub labels: Vec<(Span, String)>,
    /// Further explanations.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, file: Option<u32>, span: Span, message: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Diagnostic {
            code,
            severity,
            file,
            span,
            subject: None,
            message: message.into(),
            labels: vec![],
            notes: vec![],
        }
    }

    /// A warning.
    pub fn warning(code: Code, file: Option<u32>, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// About something in a program or unit.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// With another place in the same file; places that no text spelled are dropped.
    #[must_use]
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        if span.is_somewhere() {
            self.labels.push((span, text.into()));
        }
        self
    }

    /// With an explanation.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Writes the diagnostic, drawn into the source line where there is one.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write(&self, out: &mut dyn Write, files: &[SourceFile]) -> fmt::Result {
        let file = self.file.and_then(|index| files.get(index as usize));
        let message = printable(&self.message);
        let head = format_args!("{}[{}]: {message}", self.severity.name(), self.code);
        match file {
            Some(file) if self.span.is_somewhere() => {
                write_place(out, file, self.span)?;
                writeln!(out, ": {head}")?;
                write_excerpt(out, file, self.span)?;
            }
            Some(file) => writeln!(out, "{}: {head}", printable(&file.name))?,
            None => match &self.subject {
                Some(subject) => writeln!(out, "{}: {head}", printable(&subject.to_string()))?,
                None => writeln!(out, "{head}")?,
            },
        }
        for (span, text) in &self.labels {
            if let Some(file) = file {
                write_place(out, file, *span)?;
                writeln!(out, ": {}", printable(text))?;
                write_excerpt(out, file, *span)?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "  = {}", printable(note)))
    }
}

/// Whether any of them is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// All diagnostics as plain text.
pub fn render(diagnostics: &[Diagnostic], files: &[SourceFile]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        // Writing to a string cannot fail.
        let _ = diagnostic.write(&mut out, files);
    }
    out
}

fn write_place(out: &mut dyn Write, file: &SourceFile, span: Span) -> fmt::Result {
    let (line, column) = file.line_column(span.start);
    write!(out, "{}:{line}:{column}", printable(&file.name))
}

/// Whether a character would do something to a terminal, or change the order of those around it (the bidirectional
/// formatting characters of Unicode).
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that is safe to print: control characters as escapes, but for the ends of lines and tabs.
pub fn printable(text: &str) -> Cow<'_, str> {
    let kept = |c: char| !is_control(c) || matches!(c, '\n' | '\t');
    if text.chars().all(kept) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if kept(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    Cow::Owned(out)
}

/// Most characters of a source line that are shown.
const EXCERPT_WIDTH: usize = 160;
/// Characters shown before the span, if the line is longer than that.
const EXCERPT_LEAD: usize = 60;

/// The line that holds the start of the span, underlined. Only a part of very long lines is shown.
fn write_excerpt(out: &mut dyn Write, file: &SourceFile, span: Span) -> fmt::Result {
    let start = (span.start as usize).min(file.text.len());
    let Some((before, after)) = file.text.split_at_checked(start) else { return Ok(()) };
    let lead = before.rsplit('\n').next().unwrap_or("");
    let rest = after.split('\n').next().unwrap_or("");
    let length = (span.end.saturating_sub(span.start) as usize).min(rest.len());
    let marked = rest.get(..length).unwrap_or(rest);
    let cut = lead.chars().rev().nth(EXCERPT_LEAD).is_some();
    let lead: String = match lead.char_indices().rev().nth(EXCERPT_LEAD - 1) {
        Some((at, _)) if cut => lead.get(at..).unwrap_or("").into(),
        _ => lead.into(),
    };
    let lead_width = lead.chars().count();
    let dots = if cut { "..." } else { "" };
    write!(out, "    {dots}")?;
    let shown = lead.chars().chain(rest.trim_end().chars());
    // Tabs and control characters would move the underline or the terminal.
    shown.take(EXCERPT_WIDTH).try_for_each(|c| out.write_char(if is_control(c) { ' ' } else { c }))?;
    let width = marked.trim_end().chars().take(EXCERPT_WIDTH - lead_width).count();
    writeln!(out, "\n    {:1$}^{2:~<3$}", "", dots.len() + lead_width, "", width.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> [SourceFile; 1] {
        [SourceFile { name: "a.mq".into(), text: text.into() }]
    }

    #[test]
    fn shows_place_line_and_underline() {
        let files = file("one\n    two three\n");
        let diagnostic = Diagnostic::error(Code::Syntax, Some(0), Span::new(12, 17), "expected four")
            .with_label(Span::new(0, 3), "the first")
            .with_note("a note");
        let text = render(&[diagnostic], &files);
        let want = "a.mq:2:9: error[P0004]: expected four\n        two three\n            ^~~~~\n\
                    a.mq:1:1: the first\n    one\n    ^~~\n  = a note\n";
        assert_eq!(text, want);
    }

    #[test]
    fn what_moves_the_terminal_is_escaped() {
        let files = [SourceFile { name: "a\x1b.mq".into(), text: "one \x1b[31m\u{202e}two".into() }];
        let diagnostic = Diagnostic::error(Code::Syntax, Some(0), Span::new(0, 3), "found '\x1b[2J\u{9b}'")
            .with_note("note \u{2066}");
        let text = render(&[diagnostic], &files);
        assert!(!text.chars().any(|c| c != '\n' && is_control(c)), "{text:?}");
        assert!(text.contains("a\\u{1b}.mq:1:1: error[P0004]: found '\\u{1b}[2J\\u{9b}'"), "{text:?}");
    }

    #[test]
    fn places_outside_the_text_are_no_panic() {
        let files = file("é");
        for span in [Span::new(1, 2), Span::new(2, 9), Span::new(9, 3), Span::NOWHERE] {
            let text = render(&[Diagnostic::warning(Code::Syntax, Some(0), span, "m")], &files);
            assert!(text.contains("warning[P0004]: m"), "{text}");
        }
        let text = render(&[Diagnostic::error(Code::Syntax, Some(7), Span::new(0, 1), "m")], &files);
        assert_eq!(text, "error[P0004]: m\n");
    }

    #[test]
    fn long_lines_are_cut() {
        let files = file(&format!("{}here{}", "a".repeat(100_000), "b".repeat(100_000)));
        let text =
            render(&[Diagnostic::error(Code::Syntax, Some(0), Span::new(100_000, 100_004), "m")], &files);
        assert!(text.len() < 400, "{}", text.len());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].find("here"), lines[2].find('^'));
    }

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
