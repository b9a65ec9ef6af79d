//! Reading programs and showing what is wrong with them.

use super::CliError;
use codespan_reporting::diagnostic::{self as shown, Label};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{
    self,
    termcolor::{ColorChoice, StandardStream},
};
use marquetry_ir::diag::{Diagnostic, Severity, has_errors};
use marquetry_ir::entity::Table;
use marquetry_ir::program::Program;
use marquetry_ir::span::{SourceFile, Span};
use marquetry_ir::text;
use marquetry_lower::dispatch::explain::unresolved;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::JobEntry;
use std::io::IsTerminal;
use std::path::Path;

/// Longest line, in bytes, that is shown as a whole.
const MAX_DRAWN_LINE: usize = 1000;

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

/// The tables of these names.
pub(super) fn tables(program: &Program, names: &[String]) -> Result<Vec<Table>, CliError> {
    let find = |name: &String| {
        program.find_table(name).ok_or_else(|| CliError::Failed(format!("there is no table '{name}'")))
    };
    names.iter().map(find).collect()
}

/// The method that `NAME(TYPE, ...)` means where native code calls it, with these types.
pub(super) fn instance(program: &mut Program, call: &str) -> Result<JobEntry, String> {
    let (name, arguments) =
        text::parse_call(program, call).map_err(|message| format!("'{call}': {message}"))?;
    match look_up(program, &View::native(&[]), &name, &arguments).answer {
        Answer::Method(method) => Ok(JobEntry { method, arguments: Some(arguments.into()) }),
        Answer::Ambiguous(..) | Answer::Nothing => {
            Err(unresolved(program, &program.types, &View::native(&[]), &name, &arguments))
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
    if diagnostics.is_empty() {
        return;
    }
    let mut sources = SimpleFiles::new();
    for file in files {
        sources.add(file.name.to_string(), file.text.to_string());
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
        .with_message(&diagnostic.message)
        .with_notes(diagnostic.notes.clone());
    let file = diagnostic.file.map(|file| file as usize).filter(|&file| file < files.len());
    if let (Some(file), true) = (file, diagnostic.span.is_somewhere()) {
        let mut spans = diagnostic.labels.iter().map(|label| label.0).chain([diagnostic.span]);
        if let Some(data) = files.get(file)
            && spans.any(|span| line_length(data, span) > MAX_DRAWN_LINE)
        {
            let (line, column) = data.line_column(diagnostic.span.start);
            return drawn.with_note(format!("at {}:{line}:{column}", data.name));
        }
        let range = |span: Span| span.start as usize..span.end as usize;
        let mut labels = vec![Label::primary(file, range(diagnostic.span))];
        let others = diagnostic.labels.iter();
        labels.extend(others.map(|(span, text)| Label::secondary(file, range(*span)).with_message(text)));
        drawn = drawn.with_labels(labels);
    }
    drawn
}

/// Diagnostics as JSON, for tools.
pub(super) fn json(diagnostics: &[Diagnostic], files: &[SourceFile]) -> serde_json::Value {
    let rows = diagnostics.iter().map(|diagnostic| {
        let file = diagnostic.file.and_then(|file| files.get(file as usize));
        let place = file
            .filter(|_| diagnostic.span.is_somewhere())
            .map(|file| file.line_column(diagnostic.span.start));
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
    serde_json::Value::Array(rows.collect())
}
