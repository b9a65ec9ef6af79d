//! Which kinds of mistakes a file shows: the codes of the diagnostics that its directives expect.

use super::directive::{Action, parse};
use super::dispatch::refusal;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::text;
use marquetry_lower::failure::Failure;

/// The codes of all that `error`, `refused` and `rejected` expect in a file, each once, in the order of the table. What a
/// directive says is not compared with what is found: running the file does that.
pub fn expected(name: &str, source: &str) -> Vec<Code> {
    let (directives, _) = parse(source);
    let mut program = crate::library::program();
    let mut found = text::parse(&mut program, name, source);
    if found.is_empty() {
        found = crate::check(&program);
    }
    if found.is_empty() {
        for directive in &directives {
            let diagnostics: Option<Vec<Diagnostic>> = match &directive.action {
                Action::Refused { name, .. } => match refusal(&program, name) {
                    Ok(Some(Failure::Program(diagnostics))) => Some(diagnostics),
                    Ok(Some(Failure::Limit(limit))) => Some(vec![limit.diagnostic()]),
                    _ => None,
                },
                Action::Compile(compile) if compile.expects_failure() => {
                    compile.compile(&program).ok().and_then(Result::err).and_then(|error| error.diagnostics())
                }
                _ => None,
            };
            found.extend(diagnostics.unwrap_or_default());
        }
    }
    Code::ALL.iter().copied().filter(|code| found.iter().any(|diagnostic| diagnostic.code == *code)).collect()
}
