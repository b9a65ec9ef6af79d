//! Carrying out the directives of a file on engines.

use super::argument::{Argument, bytes_of};
use super::call::{Binding, BufferCheck, Call, Contents, Expected};
use super::coverage::ops_of;
use super::directive::{Action, Directive, parse};
use super::watchdog::Watchdog;
use crate::engine::{Engine, EngineError, Extent, Outcome};
use crate::inputs::{KernelState, LaunchOptions};
use crate::value::{HostArg, HostValue, same_bits};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::op::Op;
use marquetry_ir::program::{MethodKind, Program, Words};
use marquetry_ir::span::Location;
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Space, Type};
use marquetry_lower::dispatch::explain::header;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::runtime::inputs::STATE;
use marquetry_lower::specialise;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How one directive went on one engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// The engine cannot do it, for this reason.
    Skipped(String),
    /// Otherwise, and how.
    Failed(String),
}

/// One directive on one engine; or a check of the file itself, whose engine is "text".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Line of the directive, from 1.
    pub line: usize,
    /// Name of the engine.
    pub engine: &'static str,
    /// The directive.
    pub text: String,
    /// The ops that it may run.
    pub ops: Arc<BTreeSet<Op>>,
    /// How it went.
    pub verdict: Verdict,
}

const TEXT: &str = "text";

impl Row {
    /// The row of a file that is not text.
    pub fn not_text(error: &std::string::FromUtf8Error) -> Row {
        Row::of_text(0, "read", Verdict::Failed(format!("not UTF-8: {}", error.utf8_error())))
    }

    /// A row about the text, not about what an engine did.
    fn of_text(line: usize, text: &str, verdict: Verdict) -> Row {
        Row { line, engine: TEXT, text: text.into(), ops: Arc::default(), verdict }
    }
}

/// Runs the directives of a file. Engines are reused between files. A watchdog is told of each directive on each engine.
pub fn run(
    name: &str,
    source: &str,
    engines: &mut [Box<dyn Engine>],
    watchdog: Option<&Watchdog>,
) -> Vec<Row> {
    let (directives, errors) = parse(source);
    let mut rows: Vec<Row> = Vec::new();
    let mut fail = |line, text: String| {
        rows.push(Row::of_text(line, "directive", Verdict::Failed(text)));
    };
    errors.into_iter().for_each(|error| fail(error.line, error.message));
    let mut program = crate::library::program();
    let mut diagnostics = text::parse(&mut program, name, source);
    if diagnostics.is_empty() {
        diagnostics = crate::check(&program);
    }
    rows.extend(match_errors(&program, &diagnostics, &directives));
    if !diagnostics.is_empty() {
        // They would pass without having been tried.
        let untried = directives.iter().filter(|d| !matches!(d.action, Action::Error { .. }));
        let verdict = Verdict::Failed("not tried, because the file has errors".into());
        rows.extend(untried.map(|d| Row::of_text(d.line, &d.text, verdict.clone())));
        return rows;
    }
    rows.push(round_trip(&program));
    for directive in &directives {
        if let Some(verdict) = super::dispatch::verdict(&program, &directive.action) {
            rows.push(Row::of_text(directive.line, &directive.text, verdict));
        }
    }
    directives.iter().for_each(|directive| instantiate(&mut program, &directive.action));
    let program = Arc::new(program);
    let references: Vec<_> =
        directives.iter().map(|directive| reference_contents(&program, directive)).collect();
    let ops = ops_of_directives(&program, &directives);
    let host = words(&directives);
    for engine in engines {
        engine.set_host(host.clone());
        engine.load(program.clone());
        for ((directive, references), ops) in directives.iter().zip(&references).zip(&ops) {
            let wanted =
                directive.engines.is_empty() || directive.engines.iter().any(|name| name == engine.name());
            let runs = matches!(directive.action, Action::Run(_) | Action::Launch { .. });
            if !wanted || !runs {
                continue;
            }
            let what = || format!("{name}:{}: {}: {}", directive.line, engine.name(), directive.text);
            let _watched = watchdog.map(|watchdog| watchdog.begin(what()));
            let verdict = match references {
                Ok(references) => carry_out(&program, directive, references, engine.as_mut()),
                Err(message) => Verdict::Failed(message.clone()),
            };
            rows.push(Row {
                line: directive.line,
                engine: engine.name(),
                text: directive.text.clone(),
                ops: ops.clone(),
                verdict,
            });
        }
    }
    rows
}

/// What the host of a file supplies.
pub fn words(directives: &[Directive]) -> Arc<Words> {
    let words = directives.iter().filter_map(|directive| match &directive.action {
        Action::Resolve { reference, word } => Some((reference.clone(), *word)),
        _ => None,
    });
    Arc::new(Words(words.collect()))
}

/// Every expected diagnostic must be there, and no other.
fn match_errors(program: &Program, diagnostics: &[Diagnostic], directives: &[Directive]) -> Vec<Row> {
    let mut expected: Vec<(usize, &Directive, &str, bool)> = directives
        .iter()
        .filter_map(|directive| match &directive.action {
            Action::Error { line, text } => Some((*line, directive, text.as_str(), false)),
            _ => None,
        })
        .collect();
    let mut rows = Vec::new();
    for diagnostic in diagnostics {
        let place = Location::of(&program.files, diagnostic.file, diagnostic.span);
        let line = place.map_or(0, |place| place.line);
        let matches = |e: &&mut (usize, &Directive, &str, bool)| {
            !e.3 && e.0 == line && diagnostic.message.contains(e.2)
        };
        match expected.iter_mut().find(matches) {
            Some(found) => found.3 = true,
            None => rows.push(Row::of_text(
                line,
                "no error is expected",
                Verdict::Failed(format!("{}: {}", diagnostic.code, diagnostic.message)),
            )),
        }
    }
    rows.extend(expected.into_iter().map(|(line, directive, text, found)| {
        let verdict = match found {
            true => Verdict::Passed,
            false => Verdict::Failed(format!("no error on line {line} contains '{text}'")),
        };
        Row::of_text(directive.line, &directive.text, verdict)
    }));
    rows
}

/// The canonical text means the same program: reading and printing it again gives it back.
fn round_trip(program: &Program) -> Row {
    let verdict = match text::check_round_trip(program) {
        Ok(()) => Verdict::Passed,
        Err(problem) => Verdict::Failed(problem),
    };
    Row::of_text(0, "print and parse", verdict)
}

/// The method that a directive means: by name and arguments.
///
/// # Errors
/// There is none: what the methods of the name take.
pub fn find_method(
    program: &Program,
    name: &str,
    args: &[Argument],
    kind: MethodKind,
) -> Result<Method, String> {
    let fits = |ty: &Type, arg: &Argument| match arg {
        Argument::Value(value) => value.ty() == *ty || (value.ty().is_pointer() && ty.is_pointer()),
        Argument::Aggregate(_) => ty.is_aggregate(),
        Argument::Buffer(_) => ty.is_pointer(),
    };
    let methods = program.methods_of(name);
    let applies = |method: &&Method| {
        let data = program.method(**method);
        let params = &data.signature.params;
        let same_length = params.len() == args.len();
        data.table() == Table::BASE
            && data.kind == kind
            && same_length
            && params.iter().map(|&ty| program.types.underlying(ty)).zip(args).all(|(t, a)| fits(&t, a))
    };
    let found = methods.iter().find(applies).copied();
    found.ok_or_else(|| match methods.first() {
        Some(&method) => {
            let data = program.method(method);
            let found: Vec<String> = args.iter().map(Argument::description).collect();
            let found = found.join(", ");
            match data.is_generic() {
                true => format!("'{name}' is {}, found ({found})", header(&program.types, data)),
                false => {
                    format!("'{name}' takes {}, found ({found})", data.signature.display(&program.types))
                }
            }
        }
        None => format!("there is no '{name}'"),
    })
}

/// Makes the instance that a directive runs, if it means a method with type variables.
fn instantiate(program: &mut Program, action: &Action) {
    let (call, kind) = match action {
        Action::Run(call) => (call, MethodKind::Function),
        Action::Launch { call, .. } => (call, MethodKind::Kernel),
        _ => return,
    };
    // What cannot be made is reported as missing where it is looked for.
    let _ = instance_for(program, &call.name, &call.args, kind);
}

/// The method that a call means: one that takes its arguments, or an instance made for them. Buffers are what kernels
/// and functions take pointers to: in global memory and anywhere.
///
/// # Errors
/// There is none, or the instance cannot be made.
pub fn instance_for(
    program: &mut Program,
    name: &str,
    args: &[Argument],
    kind: MethodKind,
) -> Result<Method, String> {
    let missing = match find_method(program, name, args, kind) {
        Ok(method) => return Ok(method),
        Err(message) => message,
    };
    let space = if kind == MethodKind::Kernel { Space::Global } else { Space::Generic };
    // Bytes do not say of which type they are.
    let types: Option<Vec<Type>> = args
        .iter()
        .map(|arg| match arg {
            Argument::Value(value) if !value.ty().is_pointer() => Some(value.ty()),
            Argument::Value(_) | Argument::Buffer(_) => Some(Type::pointer(space)),
            Argument::Aggregate(_) => None,
        })
        .collect();
    let Some(types) = types else { return Err(missing) };
    let Answer::Method(method) = look_up(program, &View::native(&[]), name, &types).answer else {
        return Err(missing);
    };
    if program.method(method).kind != kind {
        return Err(missing);
    }
    specialise::instantiate(program, method, &types).map_err(|failure| failure.to_string())
}

/// The ops that each directive may run; none if there is no such method, which is reported elsewhere.
fn ops_of_directives(program: &Program, directives: &[Directive]) -> Vec<Arc<BTreeSet<Op>>> {
    // Many directives call the same method, which may be large.
    let mut known: BTreeMap<Method, Arc<BTreeSet<Op>>> = BTreeMap::new();
    let mut ops = |directive: &Directive| {
        let (call, kind) = match &directive.action {
            Action::Run(call) => (call, MethodKind::Function),
            Action::Launch { call, .. } => (call, MethodKind::Kernel),
            _ => return Arc::default(),
        };
        match find_method(program, &call.name, &call.args, kind) {
            Ok(method) => known.entry(method).or_insert_with(|| Arc::new(ops_of(program, method))).clone(),
            Err(_) => Arc::default(),
        }
    };
    directives.iter().map(&mut ops).collect()
}

/// What the references of a directive's checks leave in the buffers, from the interpreter; in order of the checks.
fn reference_contents(program: &Arc<Program>, directive: &Directive) -> Result<Vec<Vec<u8>>, String> {
    let (Action::Run(call) | Action::Launch { call, .. }) = &directive.action else { return Ok(Vec::new()) };
    let Expected::Returns { buffers, .. } = &call.expected else { return Ok(Vec::new()) };
    let mut contents = Vec::new();
    for check in buffers {
        contents.push(match &check.contents {
            Contents::Parts(parts) => bytes_of(parts),
            Contents::Reference(name) => reference(program, name, call, check)?,
        });
    }
    Ok(contents)
}

fn reference(
    program: &Arc<Program>,
    name: &str,
    call: &Call,
    check: &BufferCheck,
) -> Result<Vec<u8>, String> {
    let method = find_method(program, name, &call.args, MethodKind::Function)?;
    let mut engine = crate::engine::reference()?;
    engine.load(program.clone());
    let mut args: Vec<HostArg> = call.args.iter().map(Argument::materialise).collect();
    match engine.call(method, &mut args) {
        Ok(Outcome::Returned(_)) => {}
        Ok(Outcome::Threw(thrown)) => return Err(format!("the reference '{name}' threw {thrown}")),
        Err(error) => return Err(format!("the reference '{name}' failed: {error}")),
    }
    match args.get_mut(check.argument) {
        Some(HostArg::Buffer { bytes, .. }) => Ok(std::mem::take(bytes)),
        _ => Err(format!("argument {} is not a buffer", check.argument)),
    }
}

fn carry_out(
    program: &Program,
    directive: &Directive,
    wanted: &[Vec<u8>],
    engine: &mut dyn Engine,
) -> Verdict {
    let (call, extent) = match &directive.action {
        Action::Run(call) => (call, None),
        Action::Launch { call, grid, block } => (call, Some(Extent { grid: *grid, block: *block })),
        _ => return Verdict::Passed,
    };
    let kind = if extent.is_some() { MethodKind::Kernel } else { MethodKind::Function };
    let method = match find_method(program, &call.name, &call.args, kind) {
        Ok(method) => method,
        Err(message) => return Verdict::Failed(message),
    };
    let mut args: Vec<HostArg> = call.args.iter().map(Argument::materialise).collect();
    *engine.options() = match launch_options(program, &call.with) {
        Ok(options) => options,
        Err(message) => return Verdict::Failed(message),
    };
    let outcome = match extent {
        Some(extent) => engine.launch(method, extent, &mut args),
        None => engine.call(method, &mut args),
    };
    match outcome {
        Err(EngineError::Unsupported(reason)) => Verdict::Skipped(reason),
        Err(error) if call.expected.is_failure(&error.to_string()) => Verdict::Passed,
        Err(error) => Verdict::Failed(error.to_string()),
        Ok(outcome) => match compare(&call.expected, &outcome, &args, wanted)
            .and_then(|()| compare_output(directive, extent, engine.take_output()))
        {
            Ok(()) => Verdict::Passed,
            Err(message) => Verdict::Failed(message),
        },
    }
}

/// What a launch gets besides its arguments.
///
/// # Errors
/// What is no state.
pub fn launch_options(program: &Program, with: &[Binding]) -> Result<LaunchOptions, String> {
    let mut options = LaunchOptions::default();
    for Binding { name, ty, value } in with {
        if name != STATE {
            options.inputs.push((name.clone(), value.materialise()));
            continue;
        }
        let (bytes, own) = match value.materialise() {
            HostArg::Value(value) => (value.to_bytes(), Some(value.ty())),
            HostArg::Aggregate(bytes) => (bytes, None),
            HostArg::Buffer { .. } => return Err("the state is passed by value".into()),
        };
        let ty = match ty {
            Some(name) => {
                program.types.find_struct(name).ok_or_else(|| format!("there is no struct '{name}'"))?
            }
            None => own.ok_or("which struct is the state? with state: STRUCT=bytes(...)")?,
        };
        options.state = Some(KernelState { ty, bytes });
    }
    Ok(options)
}

/// What work-items print comes in any order, except from a single one.
fn compare_output(
    directive: &Directive,
    extent: Option<Extent>,
    mut found: Vec<String>,
) -> Result<(), String> {
    let Some(mut wanted) = directive.prints.clone() else { return Ok(()) };
    let items = extent.map_or(1, |e| e.grid.iter().chain(&e.block).map(|&n| u64::from(n)).product());
    if items > 1 {
        found.sort_unstable();
        wanted.sort_unstable();
    }
    if let Some(n) = (0..wanted.len().max(found.len())).find(|&n| wanted.get(n) != found.get(n)) {
        let show = |line: Option<&String>| line.map_or("nothing".into(), |line| format!("'{line}'"));
        return Err(format!("printed {}, expected {}", show(found.get(n)), show(wanted.get(n))));
    }
    Ok(())
}

fn compare(
    expected: &Expected,
    outcome: &Outcome,
    args: &[HostArg],
    wanted: &[Vec<u8>],
) -> Result<(), String> {
    match (expected, outcome) {
        (Expected::Throws { kind, reason, functions }, Outcome::Threw(thrown)) => {
            let way = std::iter::once(&thrown.function).chain(thrown.callers.iter().map(|c| &c.function));
            match () {
                () if *kind != thrown.kind => Err(format!("threw {thrown}, expected {kind}")),
                () if reason.is_some() && *reason != thrown.reason => Err(format!(
                    "threw {thrown}, expected the reason \"{}\"",
                    reason.as_deref().unwrap_or("")
                )),
                () if !functions.iter().eq(way.take(functions.len())) => {
                    Err(format!("threw {thrown}, expected it in {}", functions.join(", called by ")))
                }
                () => Ok(()),
            }
        }
        (Expected::Throws { kind, .. }, Outcome::Returned(_)) => {
            Err(format!("returned, expected to throw {kind}"))
        }
        (Expected::Fails(text), Outcome::Threw(thrown)) => {
            Err(format!("threw {thrown}, expected to fail with '{text}'"))
        }
        (Expected::Fails(text), Outcome::Returned(_)) => {
            Err(format!("returned, expected to fail with '{text}'"))
        }
        (Expected::Returns { .. }, Outcome::Threw(thrown)) => Err(format!("threw {thrown}")),
        (Expected::Returns { results, buffers }, Outcome::Returned(found)) => {
            if let Some(results) = results {
                let same = results.len() == found.len() && results.iter().zip(found).all(|(a, b)| a.same(b));
                if !same {
                    return Err(format!("returned {}, expected {}", list(found), list(results)));
                }
            }
            buffers.iter().zip(wanted).try_for_each(|(check, wanted)| compare_buffer(check, args, wanted))
        }
    }
}

fn list(values: &[HostValue]) -> String {
    let shown: Vec<String> = values.iter().map(HostValue::to_string).collect();
    format!("({})", shown.join(", "))
}

fn compare_buffer(check: &BufferCheck, args: &[HostArg], wanted: &[u8]) -> Result<(), String> {
    let Some(HostArg::Buffer { element, bytes }) = args.get(check.argument) else {
        return Err(format!("argument {} is not a buffer", check.argument));
    };
    let element = match &check.contents {
        Contents::Parts(parts) => parts.first().map_or(*element, |part| part.element),
        Contents::Reference(_) => *element,
    };
    if bytes.len() != wanted.len() {
        return Err(format!(
            "buffer {} has {} bytes, expected {}",
            check.argument,
            bytes.len(),
            wanted.len()
        ));
    }
    let size = element.bytes() as usize;
    for (n, (found, wanted)) in bytes.chunks(size).zip(wanted.chunks(size)).enumerate() {
        let value = |bytes| HostValue::from_bytes(Type::scalar(element), bytes);
        let (Some(found), Some(wanted)) = (value(found), value(wanted)) else { continue };
        if !close(element, &found, &wanted, check.tolerance) {
            return Err(format!("buffer {} [{n}] is {found}, expected {wanted}", check.argument));
        }
    }
    Ok(())
}

fn close(element: Scalar, found: &HostValue, wanted: &HostValue, tolerance: f64) -> bool {
    let (Some(&a), Some(&b)) = (found.lanes().first(), wanted.lanes().first()) else { return false };
    if same_bits(Some(element), a, b) {
        return true;
    }
    let float = |bits: u128| match element {
        Scalar::F32 => f64::from(f32::from_bits(bits as u32)),
        Scalar::F64 => f64::from_bits(bits as u64),
        _ => f64::NAN,
    };
    let (a, b) = (float(a), float(b));
    (a - b).abs() <= tolerance * b.abs().max(1.0)
}
