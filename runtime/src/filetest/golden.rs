//! Golden text: what it differs from, and how it is put in place.

use super::directive::{Action, Directive, parse};
use marquetry_ir::text;
use similar::{ChangeTag, TextDiff};
use std::fmt::Write;

/// Unchanged lines that are shown around a change.
const CONTEXT: usize = 2;
/// Most lines of a difference that are shown.
const SHOWN: usize = 60;

/// Golden text that was replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Line of the directive, from 1.
    pub line: usize,
    /// Old against new lines.
    pub difference: String,
}

fn golden_lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(|line| line.trim_end().to_string()).collect()
}

/// What must change in the golden lines to make them this text; none if nothing must.
pub(super) fn difference(golden: &[String], text: &str) -> Option<String> {
    let found = golden_lines(text);
    if golden == found {
        return None;
    }
    let old: Vec<&str> = golden.iter().map(String::as_str).collect();
    let new: Vec<&str> = found.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&old, &new);
    let mut shown = String::new();
    let mut left = SHOWN;
    for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if n > 0 {
            shown.push_str("       ...\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            if left == 0 {
                shown.push_str("       ... and more\n");
                return Some(shown);
            }
            left -= 1;
            let _ = writeln!(shown, "     {sign} {}", change.value());
        }
    }
    Some(shown)
}

/// A file with every golden text replaced by what the compiler gives, and what changed. Whatever does not compile stays
/// as it is.
pub fn bless(name: &str, source: &str) -> (String, Vec<Change>) {
    let mut program = crate::library::program();
    let mistakes = text::parse(&mut program, name, source);
    let mut lines: Vec<String> = source.split_inclusive('\n').map(String::from).collect();
    let mut changes = Vec::new();
    if !mistakes.is_empty() || !crate::check(&program).is_empty() {
        return (source.into(), changes);
    }
    // From the end, so that line numbers stay true.
    for Directive { line, action, .. } in parse(source).0.into_iter().rev() {
        let Action::Compile(compile) = action else { continue };
        let Some(golden) = &compile.golden else { continue };
        let Ok(text) = compile.text(&program) else { continue };
        let Some(difference) = difference(&golden.lines, &text) else { continue };
        let new = golden_lines(&text).into_iter().map(|line| {
            let comment = format!("{};| {line}", golden.indent);
            format!("{}\n", comment.trim_end())
        });
        let first = golden.line - 1;
        lines.splice(first..first + golden.lines.len(), new);
        changes.push(Change { line, difference });
    }
    changes.reverse();
    (lines.concat(), changes)
}
