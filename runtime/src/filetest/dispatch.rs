//! Directives that no engine carries out: what calls mean, what is refused, and what code looks like.

use super::directive::Action;
use super::runner::Verdict;
use crate::compile::Target;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_lower::dispatch::explain::explain;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::{View, overlays};
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;

/// How a directive went that no engine carries out; none for other directives.
pub(super) fn verdict(program: &Program, action: &Action) -> Option<Verdict> {
    let result = match action {
        Action::Which { call, target, tables, answer } => which(program, call, target, tables, answer),
        Action::Refused { name, text } => refused(program, name, text),
        Action::Compile(compile) => compile.check(program),
        Action::Run(_) | Action::Launch { .. } | Action::Error { .. } | Action::Resolve { .. } => {
            return None;
        }
    };
    Some(result.map_or_else(Verdict::Failed, |()| Verdict::Passed))
}

fn which(program: &Program, call: &str, target: &str, tables: &[String], wanted: &str) -> Result<(), String> {
    let target = Target::parse(target, OptLevel::None).map_err(|error| error.to_string())?;
    let tables = overlays(program, tables).map_err(|error| error.to_string())?;
    let view = if target.is_device() { View::device(&tables) } else { View::native(&tables) };
    let mut program = program.clone();
    let (name, arguments) = text::parse_call(&mut program, call)?;
    let found = match look_up(&program, &view, &name, &arguments).answer {
        Answer::Method(method) => program.table_name(program.method(method).table()),
        Answer::Ambiguous(..) => "ambiguous",
        Answer::Nothing => "nothing",
    };
    if found == wanted {
        return Ok(());
    }
    let why = explain(&program, &program.types, &view, &name, &arguments);
    Err(format!("found {found}: {}", why.render(&program, &program.types)))
}

fn refused(program: &Program, name: &str, text: &str) -> Result<(), String> {
    let messages: Vec<String> = match refusal(program, name)? {
        None => return Err("was not refused".into()),
        Some(Failure::Program(diagnostics)) => diagnostics.into_iter().map(|d| d.message).collect(),
        Some(other) => vec![other.to_string()],
    };
    match messages.iter().any(|message| message.contains(text)) {
        true => Ok(()),
        false => Err(format!("was refused with: {}", messages.join("; "))),
    }
}

/// Why a function for the host or a kernel for devices does not compile; none if it does.
pub(super) fn refusal(program: &Program, name: &str) -> Result<Option<Failure>, String> {
    let in_base = |method: &&Method| program.method(**method).table() == Table::BASE;
    let method = program.methods_of(name).iter().find(in_base);
    let &method = method.ok_or_else(|| format!("there is no '{name}'"))?;
    let view = match program.method(method).kind {
        MethodKind::Kernel => View::device(&[]),
        MethodKind::Function => View::native(&[]),
    };
    let job = Job::new(vec![method], view, OptLevel::None);
    Ok(pipeline::specialised(program, &job).err())
}
