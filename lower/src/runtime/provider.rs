//! Providers: which method stands behind a link name, and whether it fits the declaration.
//!
//! A provider's method usually takes exactly what is declared. Small differences are bridged where it is called
//! ([`Bridge`]): another address space, an address as an integer, a wider integer. Everything else is an error that names
//! both sides.

use crate::dispatch::explain::header;
use crate::dispatch::resolve::{Answer, look_up};
use crate::dispatch::view::View;
use marquetry_ir::entity::Method;
use marquetry_ir::library::Intrinsic;
use marquetry_ir::op::Op;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::types::{Scalar, Space, Type, Types};

/// How an argument becomes what a parameter takes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Bridge {
    /// As it is.
    Same,
    /// By this conversion.
    Convert(Op),
}

/// How a value of one type is passed as another.
pub fn bridge(found: Type, wanted: Type) -> Option<Bridge> {
    let int = |ty: Type| ty.as_scalar().filter(|scalar| scalar.is_int() && *scalar != Scalar::I1);
    if found == wanted {
        return Some(Bridge::Same);
    }
    match (found.space(), wanted.space()) {
        (Some(from), Some(to)) => {
            let castable = from == Space::Generic || to == Space::Generic;
            castable.then_some(Bridge::Convert(Op::SpaceCast))
        }
        (Some(_), None) => (wanted == Type::I64).then_some(Bridge::Convert(Op::PtrToInt)),
        (None, Some(_)) => None,
        (None, None) => {
            let wider = int(found)?.bits() < int(wanted)?.bits();
            wider.then_some(Bridge::Convert(Op::Zext))
        }
    }
}

/// The intrinsic as it is declared, for messages.
pub fn declared(intrinsic: &Intrinsic) -> String {
    format!("{}{}", intrinsic.link_name, intrinsic.signature.display(&Types::new()))
}

/// The method that a view's provider supplies for an intrinsic.
///
/// # Errors
/// There is none, or it does not fit: both sides are named.
pub fn supplied(program: &Program, view: &View, intrinsic: &Intrinsic) -> Result<Method, String> {
    let name = &intrinsic.link_name;
    if view.provider().is_empty() {
        let declared = declared(intrinsic);
        return Err(match view.is_device() {
            true => format!("the job's view has no runtime provider, and {declared} is needed"),
            false => format!("{declared} is supplied to code for devices, not to the host's"),
        });
    }
    let method = match look_up(program, view, name, &intrinsic.signature.params).answer {
        Answer::Method(method) => method,
        Answer::Ambiguous(a, b) => {
            let [a, b] = [a, b].map(|method| header(&program.types, program.method(method)));
            return Err(format!(
                "the runtime provider supplies both {a} and {b}, and neither is more specific"
            ));
        }
        Answer::Nothing => match nearest(program, view, name) {
            Some(method) => method,
            None => return Err(absent(program, view, intrinsic)),
        },
    };
    check(program, method, intrinsic)?;
    Ok(method)
}

/// Whether a view's provider supplies an intrinsic at all.
pub fn supplies(program: &Program, view: &View, intrinsic: &Intrinsic) -> bool {
    nearest(program, view, &intrinsic.link_name).is_some()
}

/// The first method of a link name in the provider's tables, whatever it takes.
fn nearest(program: &Program, view: &View, name: &str) -> Option<Method> {
    let world = view.world(program);
    let methods = program.all_methods_of(name);
    view.provider().iter().find_map(|&table| {
        let fits =
            |&&method: &&Method| program.method(method).table() == table && program.is_alive(method, world);
        methods.iter().find(fits).copied()
    })
}

fn absent(program: &Program, view: &View, intrinsic: &Intrinsic) -> String {
    let tables: Vec<&str> = view.provider().iter().map(|&table| program.table_name(table)).collect();
    let plural = if tables.len() == 1 { "" } else { "s" };
    format!(
        "the runtime provider (table{plural} {}) does not supply {}",
        tables.join(", "),
        declared(intrinsic)
    )
}

fn check(program: &Program, method: Method, intrinsic: &Intrinsic) -> Result<(), String> {
    let data = program.method(method);
    let wanted = &intrinsic.signature;
    let found = &data.signature;
    let problem = match () {
        () if data.kind == MethodKind::Kernel => Some("it is a kernel".into()),
        () if data.is_generic() => Some("a provider's method has no type variables".into()),
        () if found.params.len() != wanted.params.len() => {
            Some(format!("it takes {} arguments, expected {}", found.params.len(), wanted.params.len()))
        }
        () if found.results != wanted.results => Some("its results differ".into()),
        () => {
            let pairs = wanted.params.iter().zip(&found.params);
            let position = pairs.clone().position(|(&from, &to)| bridge(from, to).is_none());
            position.map(|n| format!("argument {} cannot be converted", n + 1))
        }
    };
    match problem {
        None => Ok(()),
        Some(problem) => {
            let (header, table) = (header(&program.types, data), program.table_name(data.table()));
            let declared = declared(intrinsic);
            Err(format!(
                "the runtime provider's {header} in table {table} does not fit {declared}: {problem}"
            ))
        }
    }
}
