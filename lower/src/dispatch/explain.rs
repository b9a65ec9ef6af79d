//! Why a call means what it means: the tables in order, what each held, and why each candidate lost.

use super::pattern::{Rejection, accept_in};
use super::resolve::{Answer, look_up_in};
use super::specificity::is_more_specific;
use super::view::View;
use crate::runtime::{host, provider};
use marquetry_ir::body::Symbol;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Extern, Method, SymbolRef, Table};
use marquetry_ir::library::{self, is_library_file};
use marquetry_ir::limits::MAX_DIAGNOSTICS;
use marquetry_ir::near::near;
use marquetry_ir::op::Op;
use marquetry_ir::program::{MethodData, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Abstract, Type, Types};
use std::fmt::Write;

/// What became of a candidate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The call means it.
    Chosen,
    /// It takes the arguments, and so does this one, which is more specific.
    LessSpecific(Method),
    /// It takes the arguments, and so does this one; neither is more specific.
    Ambiguous(Method),
    /// It takes the arguments, but a table above decided.
    Shadowed(Table),
    /// It takes the arguments, but is not what is declared for its link name.
    Misfit,
    /// It does not take the arguments.
    Rejected(Rejection),
}

/// What one table held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableReport {
    /// Which.
    pub table: Table,
    /// The methods of the name in it, in the order of their definition.
    pub candidates: Vec<(Method, Verdict)>,
}

/// Why a call means what it means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// What was called.
    pub name: String,
    /// Types of the arguments.
    pub arguments: Vec<Type>,
    /// What that means.
    pub answer: Answer,
    /// The tables, first asked first.
    pub tables: Vec<TableReport>,
    /// The function of the host of this name, and why the call does not mean it, if it does not.
    pub host: Option<(Extern, Option<Rejection>)>,
    /// Why the call of a link name means nothing, if it is that.
    pub unsupplied: Option<String>,
}

/// Explains a call.
pub fn explain(program: &Program, types: &Types, view: &View, name: &str, arguments: &[Type]) -> Explanation {
    let found = look_up_in(program, types, view, name, arguments).answer;
    let (answer, unsupplied) = match supplied(program, types, view, name, arguments) {
        None => (found, None),
        Some(Ok(method)) => (Answer::Method(method), None),
        Some(Err(why)) => (Answer::Nothing, Some(why)),
    };
    let deciding = match found {
        Answer::Method(method) | Answer::Ambiguous(method, _) => Some(program.method(method).table()),
        Answer::Nothing => None,
    };
    let world = view.world(program);
    let mut decided = false;
    let mut tables = Vec::new();
    for &table in view.tables_for(name) {
        let mut candidates = Vec::new();
        for &method in program.all_methods_of(name) {
            let data = program.method(method);
            if data.table() != table || !program.is_alive(method, world) {
                continue;
            }
            let verdict = match (accept_in(types, data, arguments), found) {
                // What a provider supplies may take other types, which arguments are converted to.
                (_, _) if unsupplied.is_none() && found != answer && answer == Answer::Method(method) => {
                    Verdict::Chosen
                }
                (Err(rejection), _) => Verdict::Rejected(rejection),
                (Ok(_), _) if unsupplied.is_some() && !decided => Verdict::Misfit,
                (Ok(_), _) if decided => Verdict::Shadowed(deciding.unwrap_or(table)),
                (Ok(_), Answer::Method(best)) if best == method => Verdict::Chosen,
                (Ok(_), Answer::Method(best)) => Verdict::LessSpecific(best),
                (Ok(_), Answer::Ambiguous(a, b)) if a == method => Verdict::Ambiguous(b),
                (Ok(_), Answer::Ambiguous(a, b)) if b == method => Verdict::Ambiguous(a),
                (Ok(_), Answer::Ambiguous(a, b)) => {
                    let above = |&best: &Method| is_more_specific(types, program.method(best), data);
                    [a, b].into_iter().find(above).map_or(Verdict::Ambiguous(a), Verdict::LessSpecific)
                }
                (Ok(_), Answer::Nothing) => continue,
            };
            candidates.push((method, verdict));
        }
        decided |= Some(table) == deciding;
        tables.push(TableReport { table, candidates });
    }
    let host = program.find_extern_in(name, view.world(program)).map(|id| {
        let params = &program.externs[id].signature.params;
        let rejection = host::takes(types, params, arguments).err();
        (id, rejection)
    });
    Explanation { name: name.into(), arguments: arguments.into(), answer, tables, host, unsupplied }
}

/// The method that a link name means for code that a view is for, or why it means none; none for other names.
fn supplied(
    program: &Program,
    types: &Types,
    view: &View,
    name: &str,
    arguments: &[Type],
) -> Option<Result<Method, String>> {
    let intrinsic = library::intrinsic(name)?;
    if intrinsic.signature.params != arguments {
        let found = Signature::new(arguments, []);
        let declared = provider::declared(intrinsic);
        return Some(Err(format!("arguments {} for {declared}", found.display(types))));
    }
    Some(provider::supplied(program, view, intrinsic))
}

impl Explanation {
    /// The function of the host that the call means: none if a method takes it, or nothing does.
    pub fn means_host(&self) -> Option<Extern> {
        let (id, rejection) = self.host.filter(|_| self.answer == Answer::Nothing)?;
        rejection.is_none().then_some(id)
    }

    /// In words, one line per table and candidate.
    pub fn render(&self, program: &Program, types: &Types) -> String {
        let mut out =
            format!("{}{}", self.name, Signature::new(self.arguments.as_slice(), []).display(types));
        // Writing to a string cannot fail.
        let _ = match self.answer {
            Answer::Method(method) => {
                let data = program.method(method);
                writeln!(out, " -> {}: {}", program.table_name(data.table()), header(types, data))
            }
            Answer::Ambiguous(..) => writeln!(out, " -> ambiguous"),
            Answer::Nothing => match self.means_host() {
                Some(id) => writeln!(out, " -> the host: {}", host_header(program, types, id)),
                None => writeln!(out, " -> no method"),
            },
        };
        for report in &self.tables {
            let _ = writeln!(out, "table {}", program.table_name(report.table));
            if report.candidates.is_empty() {
                let _ = writeln!(out, "    no methods of this name");
            }
            for &(method, verdict) in &report.candidates {
                let why = verdict.describe(program, types);
                let _ = writeln!(out, "    {}: {why}", header(types, program.method(method)));
            }
        }
        if let Some(why) = &self.unsupplied {
            let _ = writeln!(out, "{why}");
        }
        if let Some((id, rejection)) = self.host {
            let why = match (rejection, self.answer) {
                (Some(rejection), _) => rejection.describe(types),
                (None, Answer::Nothing) => "chosen".into(),
                (None, _) => "applies, but methods come first".into(),
            };
            let _ = writeln!(out, "the host\n    {}: {why}", host_header(program, types, id));
        } else if self.unsupplied.is_none() && self.tables.iter().all(|report| report.candidates.is_empty()) {
            let what = what_else(program, types, &self.name);
            if let Some(what) = what.strip_prefix("; ") {
                let _ = writeln!(out, "{what}");
            }
        }
        out
    }
}

impl Verdict {
    /// In words.
    pub fn describe(self, program: &Program, types: &Types) -> String {
        match self {
            Verdict::Chosen => "chosen".into(),
            Verdict::LessSpecific(best) => {
                format!("applies, but {} is more specific", header(types, program.method(best)))
            }
            Verdict::Ambiguous(other) => {
                format!(
                    "applies, and so does {}; neither is more specific",
                    header(types, program.method(other))
                )
            }
            Verdict::Shadowed(table) => {
                format!("applies, but table {} is asked first", program.table_name(table))
            }
            Verdict::Misfit => "applies, but is not what is declared".into(),
            Verdict::Rejected(rejection) => rejection.describe(types),
        }
    }
}

/// A method's name, variables and signature, as the text format spells them.
pub fn header(types: &Types, data: &MethodData) -> String {
    let mut out = data.name.to_string();
    for (n, variable) in data.variables.iter().enumerate() {
        out.push_str(if n == 0 { "<" } else { ", " });
        let _ = write!(out, "{}", types.display(variable.ty));
        if variable.bound != Abstract::ANY {
            let _ = write!(out, ": {}", types.abstract_name(variable.bound));
        }
    }
    out.push_str(if data.variables.is_empty() { "" } else { ">" });
    let _ = write!(out, "{}", data.signature.display(types));
    out
}

fn host_header(program: &Program, types: &Types, id: Extern) -> String {
    let data = &program.externs[id];
    format!("{}{}", data.name, data.signature.display(types))
}

/// What the link names of the device library begin with.
const LINK_PREFIX: &str = "gpu_";
/// Most near misses that a message lists.
const NEAR: usize = 4;

/// The message for a name alone, where types of arguments must say what is meant, or where nothing has the name.
pub fn undecided(program: &Program, view: &View, name: &str) -> String {
    let header = |method| header(&program.types, program.method(method));
    let mut candidates = view.candidates(program, name).map(header);
    let Some(first) = candidates.next() else {
        let names = program.methods().map(|(_, data)| &*data.name);
        return format!("there is no method '{name}'{}", near(name, names));
    };
    let mut message =
        format!("'{name}' has to be asked for with the types of its arguments; there is {first}");
    for other in candidates.by_ref().take(NEAR - 1) {
        message.push_str("; ");
        message.push_str(&other);
    }
    if candidates.next().is_some() {
        message.push_str("; and more");
    }
    message
}

/// The message for a call that means nothing: what was called with what, and what there is instead.
pub fn unresolved(program: &Program, types: &Types, view: &View, name: &str, arguments: &[Type]) -> String {
    let explanation = explain(program, types, view, name, arguments);
    let called = Signature::new(arguments, []);
    let called = called.display(types);
    if let Answer::Ambiguous(a, b) = explanation.answer {
        let table = program.table_name(program.method(a).table());
        let (a, b) = (header(types, program.method(a)), header(types, program.method(b)));
        return format!(
            "call of {name}{called} is ambiguous: {a} and {b} in table {table} both apply, neither is more specific"
        );
    }
    let mut message = format!("no method {name}{called} in sight");
    let candidates = explanation.tables.iter().flat_map(|report| &report.candidates);
    let mut near: Vec<(Method, Rejection)> = candidates
        .filter_map(|&(method, verdict)| match verdict {
            Verdict::Rejected(rejection) => Some((method, rejection)),
            _ => None,
        })
        .collect();
    // The later the first difference, the nearer.
    near.sort_by_key(|(_, rejection)| match *rejection {
        Rejection::Undetermined(_) => 0,
        Rejection::Argument { index, .. } => usize::MAX - 1 - index,
        Rejection::Count { .. } => usize::MAX,
    });
    for (n, (method, rejection)) in near.iter().take(NEAR).enumerate() {
        let lead = if n == 0 { "; there is " } else { "; " };
        let header = header(types, program.method(*method));
        let _ = write!(message, "{lead}{header}: {}", rejection.describe(types));
    }
    if near.len() > NEAR {
        let _ = write!(message, "; and {} more", near.len() - NEAR);
    }
    if let Some((id, rejection)) = explanation.host {
        let why = rejection.map_or(String::new(), |rejection| format!(": {}", rejection.describe(types)));
        let _ = write!(message, "; the host has {}{why}", host_header(program, types, id));
    } else if near.is_empty() {
        message.push_str(&what_else(program, types, name));
    }
    message
}

/// What a name is that is no generic function, as the end of a message.
fn what_else(program: &Program, types: &Types, name: &str) -> String {
    if Op::from_mnemonic(name).is_some() {
        format!("; '{name}' is an instruction, not a generic function: it is written without 'call'")
    } else if types.find_struct(name).is_some() {
        format!("; '{name}' is a type, not a generic function: 'make.{name}' makes its values")
    } else if program.find_global(name).is_some() {
        format!("; '{name}' is a global, not a generic function")
    } else if let Some(intrinsic) = library::intrinsic(name) {
        let declared = provider::declared(intrinsic);
        format!("; {declared} is supplied to code for devices, by the runtime provider")
    } else if name.starts_with(LINK_PREFIX) {
        format!("; names that begin with '{LINK_PREFIX}' are the device library's, and it has no '{name}'")
    } else {
        near(name, program.methods().map(|(_, data)| &*data.name))
    }
}

/// Warnings for calls of names that nothing has: they are refused where control can get to them, unless another file, or
/// the host, supplies what they mean.
pub fn unknown(program: &Program) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    // The library calls what providers may leave out.
    for (_, data) in program.methods().filter(|(_, data)| !is_library_file(&program.files, data.file)) {
        let body = &data.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let call = body.inst(inst);
            if call.op != Op::Call || !body.symbol_exists(call.imm) {
                continue;
            }
            let Symbol::Name(name) = body.symbol(SymbolRef::from_u32(call.imm)) else { continue };
            if !program.methods_of(name).is_empty() || program.find_extern(name).is_some() {
                continue;
            }
            let message = format!("nothing is called '{name}'{}", what_else(program, &program.types, name));
            warnings.push(Diagnostic::warning(Code::Dispatch, data.file, body.span(inst), message));
            if warnings.len() == MAX_DIAGNOSTICS {
                return warnings;
            }
        }
    }
    warnings
}
