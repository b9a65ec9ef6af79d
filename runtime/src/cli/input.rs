//! Reading programs and showing what is wrong with them.

use super::CliError;
use crate::compile::Target;
use crate::engine::EngineKind;
use crate::filetest::corpus::corpus;
use crate::filetest::directive::parse_word;
use clap::Args;
use codespan_reporting::diagnostic::{self as shown, Label};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{
    self,
    termcolor::{ColorChoice, StandardStream},
};
use marquetry_ir::diag::{Diagnostic, Severity, has_errors, is_control, printable};
use marquetry_ir::entity::Table;
use marquetry_ir::near::near;
use marquetry_ir::program::{GlobalData, OpenTable, Program, Reference, Words};
use marquetry_ir::span::{LineIndex, Location, SourceFile, Span};
use marquetry_ir::text;
use marquetry_lower::dispatch::explain::unresolved;
use marquetry_lower::dispatch::lints::{shadowed, shadowed_in};
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::{self, ListError, View};
use marquetry_lower::job::{JobEntry, ThrowPolicy};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Longest line, in bytes, that is shown as a whole.
const MAX_DRAWN_LINE: usize = 1000;

/// The words of the host on the command line.
pub(super) fn words(list: &[String]) -> Result<Words, CliError> {
    let mut words = Words::default();
    for text in list {
        let (reference, word) = parse_word(text).map_err(|e| CliError::Usage(format!("--resolve: {e}")))?;
        if let Some(other) = words.0.insert(reference.clone(), word).filter(|&other| other != word) {
            let message = format!("--resolve: {reference} cannot be both {other:#x} and {word:#x}");
            return Err(CliError::Usage(message));
        }
    }
    Ok(words)
}

/// Refuses words that nothing leaves to the host: somebody would look for them. `image` is what one needs besides the program.
pub(super) fn check_words(words: &Words, program: &Program, image: &[Reference]) -> Result<(), CliError> {
    let slots = program.globals.values().flat_map(GlobalData::host_slots).map(|slot| slot.reference.clone());
    let externs = program.externs.values().map(|host| Reference::symbol(&host.link_name));
    let known: BTreeSet<Reference> = slots.chain(externs).chain(image.iter().cloned()).collect();
    let Some(unknown) = words.0.keys().find(|reference| !known.contains(reference)) else { return Ok(()) };
    let known: Vec<String> = known.iter().map(Reference::to_string).collect();
    let near = near(&unknown.to_string(), known.iter().map(String::as_str));
    Err(CliError::Usage(format!("--resolve: nothing in the program is {unknown}{near}")))
}

/// A program read from files, on top of the library.
pub(super) struct Input {
    pub program: Program,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads files into one program; mistakes in them are diagnostics, files that cannot be read are errors.
pub(super) fn read(paths: &[impl AsRef<Path>]) -> Result<Input, CliError> {
    let mut program = crate::library::program();
    let mut diagnostics = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let bytes = read_bytes(path)?;
        diagnostics.extend(text::parse_bytes(&mut program, &path.display().to_string(), &bytes));
    }
    if !has_errors(&diagnostics) {
        diagnostics.extend(crate::check(&program));
    }
    Ok(Input { program, diagnostics })
}

/// Reads files into one program and shows what is wrong with them; errors end the command.
pub(super) fn read_valid(paths: &[impl AsRef<Path>]) -> Result<Program, CliError> {
    let input = read(paths)?;
    show(&input.diagnostics, &input.program.files);
    if has_errors(&input.diagnostics) { Err(CliError::Reported) } else { Ok(input.program) }
}

/// The files that paths mean: a folder means all `.mq` files in it and below.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(expand(path)?);
    }
    match files.is_empty() {
        true => {
            let names: Vec<String> = paths.iter().map(|path| format!("'{}'", path.display())).collect();
            Err(CliError::Usage(format!("there are no .mq files in {}", names.join(", "))))
        }
        false => Ok(files),
    }
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    if path == Path::new("-") {
        return Ok(vec![path.into()]);
    }
    corpus(path).map_err(|error| CliError::Failed(format!("cannot read '{}': {error}", path.display())))
}

/// The programs that paths mean: all files named are one, and each file in a folder is one of its own.
pub(super) fn programs(paths: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, CliError> {
    let (folders, named): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_dir());
    let mut programs = Vec::new();
    if !named.is_empty() {
        programs.push(named);
    }
    if !folders.is_empty() {
        programs.extend(files(&folders)?.into_iter().map(|file| vec![file]));
    }
    Ok(programs)
}

/// Why there is nothing to compile where no entry is named, functions being asked for or kernels alone.
pub(super) fn nothing_to_compile(functions: bool) -> String {
    let what = if functions { "function or kernel" } else { "kernel" };
    format!(
        "there is no {what} without type variables; those that have some need --entry, as in --entry 'f(i32)'"
    )
}

/// The level of `-g`, behind which a file would be taken for one.
pub(super) fn debug_level(text: &str) -> Result<u32, &'static str> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("expected 0, 1 or 2, or another option behind '-g'"),
    }
}

/// One of a list of named things, `what` they are with an article.
pub(super) fn one_of<T: Copy>(
    what: &str,
    found: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, CliError> {
    all.iter().copied().find(|&one| name(one) == found).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&one| name(one)).collect();
        CliError::Usage(format!("'{found}' is not {what}: expected one of {}", names.join(", ")))
    })
}

/// The engine of this name.
pub(super) fn engine(name: &str) -> Result<EngineKind, CliError> {
    one_of("an engine", name, &EngineKind::ALL, EngineKind::name)
}

/// The policy of this name for work-items that throw.
pub(super) fn throw_policy(name: &str) -> Result<ThrowPolicy, CliError> {
    one_of("a policy for exceptions", name, &ThrowPolicy::ALL, ThrowPolicy::name)
}

/// `--table`, for every command that compiles.
#[derive(Args, Debug)]
pub(super) struct Tables {
    /// A table of overlays to consult, before the library's; may be given more than once, first asked first
    #[arg(long = "table", value_name = "NAME")]
    pub names: Vec<String>,
}

impl Tables {
    /// The tables of these names, which are the program's own.
    pub(super) fn find(&self, program: &Program) -> Result<Vec<OpenTable>, CliError> {
        view::overlays(program, &self.names).map_err(|error| unlisted("--table", &error))
    }

    /// The names, where programs are yet to be read: none is that of a table of the library.
    pub(super) fn own(&self) -> Result<Vec<String>, CliError> {
        let library = crate::library::program();
        for name in &self.names {
            if let Err(error @ ListError::Library(_)) = view::overlays(&library, std::slice::from_ref(name)) {
                return Err(unlisted("--table", &error));
            }
        }
        Ok(self.names.clone())
    }
}

/// Shows which methods the stack of a job hides, besides those that each of its tables hides by itself: these were shown
/// when the program was read.
pub(super) fn show_hidden(program: &Program, view: &View) {
    let own = view.tables().iter().filter_map(|&table| OpenTable::try_from(table).ok());
    let alone = own.filter(|&table| table != OpenTable::BASE);
    let shown: BTreeSet<String> = alone
        .flat_map(|table| shadowed(program, &View::device(&[table]), table.into()))
        .map(|warning| warning.message)
        .collect();
    let mut warnings = shadowed_in(program, view);
    warnings.retain(|warning| !shown.contains(&warning.message));
    show(&warnings, &program.files);
}

/// The tables of a runtime provider, the library's own among them.
fn provider(program: &Program, names: &[String]) -> Result<Vec<Table>, CliError> {
    view::provider(program, names).map_err(|error| unlisted("--provider", &error))
}

/// What code for a target sees: these tables, those of a runtime provider if any are named, and the library's.
pub(super) fn view(
    program: &Program,
    target: &Target,
    tables: &[OpenTable],
    provided: &[String],
) -> Result<View, CliError> {
    let view = if target.is_device() { View::device(tables) } else { View::native(tables) };
    match provided.is_empty() {
        true => Ok(view),
        false if target.is_device() => Ok(view.with_provider(&provider(program, provided)?)),
        false => Err(CliError::Usage("--provider: native code has no runtime provider".into())),
    }
}

fn unlisted(option: &str, error: &ListError) -> CliError {
    match error {
        ListError::Missing(_) => CliError::Failed(error.to_string()),
        ListError::Library(_) | ListError::NoProvider(_) => CliError::Usage(format!("{option}: {error}")),
    }
}

/// What `--entry` names.
pub(super) enum Entry<'a> {
    /// A method by its name, which may have stood in quotes.
    Name(Cow<'a, str>),
    /// A method by name and types of arguments.
    Call(&'a str),
}

impl<'a> Entry<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        match quoted_name(text) {
            Some(name) => Entry::Name(name.into()),
            None if text.contains('(') => Entry::Call(text),
            None => Entry::Name(text.into()),
        }
    }
}

/// The name that a text in quotes is, if it is nothing else.
fn quoted_name(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut escaped = false;
    for c in inner.chars() {
        if c == '"' && !escaped {
            return None;
        }
        escaped = c == '\\' && !escaped;
    }
    if escaped { None } else { text::unquote(text) }
}

/// The method that `NAME(TYPE, ...)` means where native code calls it, with these types.
pub(super) fn instance(program: &mut Program, call: &str) -> Result<JobEntry, String> {
    instance_in(program, &View::native(&[]), call)
}

/// The method that `NAME(TYPE, ...)` means through a view, with these types.
pub(super) fn instance_in(program: &mut Program, view: &View, call: &str) -> Result<JobEntry, String> {
    let (name, arguments) =
        text::parse_call(program, call).map_err(|message| format!("'{call}': {message}"))?;
    match look_up(program, view, &name, &arguments).answer {
        Answer::Method(method) => Ok(JobEntry { method, arguments: Some(arguments.into()) }),
        Answer::Ambiguous(..) | Answer::Nothing => {
            Err(unresolved(program, &program.types, view, &name, &arguments))
        }
    }
}

/// The bytes of a file; `-` is standard input.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    use std::io::Read;
    let limit = marquetry_ir::limits::MAX_SOURCE_BYTES as u64;
    let failed =
        |error: std::io::Error| CliError::Failed(format!("cannot read '{}': {error}", path.display()));
    let mut bytes = Vec::new();
    // One byte past the limit is enough to see that it is passed.
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// Draws diagnostics into their source, in colour on terminals only.
pub(super) fn show(diagnostics: &[Diagnostic], files: &[SourceFile]) {
    let used: BTreeSet<usize> = diagnostics.iter().filter_map(|d| Some(d.file? as usize)).collect();
    let mut sources = SimpleFiles::new();
    for (n, file) in files.iter().enumerate() {
        let text = if used.contains(&n) { visible(&file.text) } else { Cow::Borrowed("") };
        sources.add(printable(&file.name).into_owned(), text);
    }
    let colour = if std::io::stderr().is_terminal() { ColorChoice::Auto } else { ColorChoice::Never };
    let mut stream = StandardStream::stderr(colour);
    let config = term::Config::default();
    for diagnostic in diagnostics {
        let drawn = draw(diagnostic, files);
        if term::emit_to_write_style(&mut stream, &config, &sources, &drawn).is_err() {
            return; // Nobody can read it.
        }
    }
}

/// A source text with other characters, of as many bytes, for those that would do something to a terminal.
fn visible(text: &str) -> Cow<'_, str> {
    let kept = |c: char| !is_control(c) || matches!(c, '\n' | '\t');
    if text.chars().all(kept) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c.len_utf8() {
        _ if kept(c) => c,
        1 => '?',
        2 => '\u{b7}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Bytes of the lines that a span covers.
fn line_length(file: &SourceFile, span: Span) -> usize {
    let bytes = file.text.as_bytes();
    let start = (span.start as usize).min(bytes.len());
    let end = (span.end as usize).clamp(start, bytes.len());
    let is_end = |&byte: &u8| byte == b'\n';
    let lead = bytes[..start].iter().rev().position(is_end).unwrap_or(start);
    let rest = bytes[end..].iter().position(is_end).unwrap_or(bytes.len() - end);
    lead + (end - start) + rest
}

fn draw(diagnostic: &Diagnostic, files: &[SourceFile]) -> shown::Diagnostic<usize> {
    let severity = match diagnostic.severity {
        Severity::Error => shown::Severity::Error,
        Severity::Warning => shown::Severity::Warning,
    };
    let mut drawn = shown::Diagnostic::new(severity)
        .with_code(diagnostic.code.name())
        .with_message(printable(&diagnostic.message))
        .with_notes(diagnostic.notes.iter().map(|note| printable(note).into_owned()).collect());
    let file = diagnostic.file.map(|file| file as usize).filter(|&file| file < files.len());
    if let (Some(file), true) = (file, diagnostic.span.is_somewhere()) {
        let mut spans = diagnostic.labels.iter().map(|label| label.0).chain([diagnostic.span]);
        if let Some(data) = files.get(file)
            && spans.any(|span| line_length(data, span) > MAX_DRAWN_LINE)
        {
            let place = Location::of(files, diagnostic.file, diagnostic.span);
            return match place {
                Some(place) => drawn.with_note(format!("at {}", printable(&place.to_string()))),
                None => drawn,
            };
        }
        let range = |span: Span| {
            let (start, end) = (span.start as usize, span.end as usize);
            // The end of a line is a place, not two lines.
            let is_line_end = files.get(file).is_some_and(|data| data.text.get(start..end) == Some("\n"));
            if is_line_end { start..start } else { start..end }
        };
        let mut labels = vec![Label::primary(file, range(diagnostic.span))];
        let others = diagnostic.labels.iter();
        labels.extend(
            others.map(|(span, text)| Label::secondary(file, range(*span)).with_message(printable(text))),
        );
        drawn = drawn.with_labels(labels);
    }
    drawn
}

/// Diagnostics as JSON, for tools.
pub(super) fn json(diagnostics: &[Diagnostic], files: &[SourceFile]) -> Vec<serde_json::Value> {
    let mut indices: BTreeMap<u32, LineIndex<'_>> = BTreeMap::new();
    let rows = diagnostics.iter().map(|diagnostic| {
        let number = diagnostic.file;
        let file = number.and_then(|file| files.get(file as usize));
        let place = number.zip(file).filter(|_| diagnostic.span.is_somewhere()).map(|(number, file)| {
            let index = indices.entry(number).or_insert_with(|| LineIndex::new(file));
            index.line_column(diagnostic.span.start)
        });
        serde_json::json!({
            "code": diagnostic.code.name(),
            "severity": diagnostic.severity.name(),
            "file": file.map(|file| file.name.to_string()),
            "line": place.map(|place| place.0),
            "column": place.map(|place| place.1),
            "message": diagnostic.message,
            "notes": diagnostic.notes,
        })
    });
    rows.collect()
}
