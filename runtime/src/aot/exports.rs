//! What others see of a job's code, under which symbols.

use super::{BuildError, Plan};
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::{Export, c_symbol, is_c_symbol};
use marquetry_ir::near::near;
use marquetry_ir::program::Program;
use marquetry_lower::job::Job;
use marquetry_lower::legal::Legal;
use std::collections::BTreeMap;

/// An entry: its name in the unit, and its method's.
type Names<'a> = (&'a str, &'a str);

/// The exports that a plan asks for, in the order of the entries.
pub(super) fn of(
    program: &Program,
    job: &Job,
    legal: &Legal,
    plan: &Plan,
) -> Result<Vec<Export>, BuildError> {
    let unit = legal.unit();
    if unit.entries.len() != job.entries.len() {
        let message = "the entries of the unit are not those of the job".to_owned();
        return Err(EmitError::Internal(message).into());
    }
    let own = unit.entries.iter().map(|&func| &*unit.funcs[func].name);
    let methods = job.entries.iter().map(|entry| &*program.method(entry.method).name);
    let names: Vec<Names<'_>> = own.zip(methods).collect();
    let symbols = match &plan.exports {
        None => names.iter().enumerate().map(|(n, (name, _))| (n, c_symbol(name))).collect(),
        Some(wanted) => chosen(&names, wanted, !plan.header.is_empty())?,
    };
    check_distinct(&names, &symbols)?;
    let export = |(entry, symbol): (usize, String)| Export { entry, symbol: symbol.into(), packed: false };
    Ok(symbols.into_iter().map(export).collect())
}

/// The symbols of the entries that a list names, each `NAME` or `NAME=SYMBOL`. `header`: whether C is to see them.
fn chosen(
    names: &[Names<'_>],
    wanted: &[String],
    header: bool,
) -> Result<BTreeMap<usize, String>, BuildError> {
    let (mut symbols, mut given) = (BTreeMap::new(), BTreeMap::new());
    for text in wanted {
        let (name, symbol) = match text.rsplit_once('=') {
            Some((name, symbol)) if !name.is_empty() => (name, Some(symbol)),
            _ => (text.as_str(), None),
        };
        let found: Vec<usize> =
            (0..names.len()).filter(|&n| [names[n].0, names[n].1].contains(&name)).collect();
        if found.is_empty() {
            let near = near(name, names.iter().flat_map(|&(own, method)| [own, method]));
            return Err(BuildError::Plan(format!("nothing that is compiled is called '{name}'{near}")));
        }
        let Some(symbol) = symbol else {
            for n in found {
                symbols.entry(n).or_insert_with(|| c_symbol(names[n].0));
            }
            continue;
        };
        let &[n] = &found[..] else {
            let several: Vec<&str> = found.iter().map(|&n| names[n].0).collect();
            let several = several.join(", ");
            return Err(BuildError::Plan(format!("'{name}' cannot be '{symbol}': it is {several}")));
        };
        if header && !is_c_symbol(symbol) {
            let message = format!(
                "'{name}' cannot be '{symbol}' in a header: that is no name for a function in C or C++, or one of their own"
            );
            return Err(BuildError::Plan(message));
        }
        if let Some(other) = given.insert(n, symbol).filter(|&other| other != symbol) {
            return Err(BuildError::Plan(format!("'{name}' cannot be both '{other}' and '{symbol}'")));
        }
        symbols.insert(n, symbol.to_owned());
    }
    Ok(symbols)
}

/// No two entries are seen under one symbol.
fn check_distinct(names: &[Names<'_>], symbols: &BTreeMap<usize, String>) -> Result<(), BuildError> {
    let mut known = BTreeMap::<&str, usize>::new();
    for (&n, symbol) in symbols {
        if let Some(other) = known.insert(symbol, n) {
            let (one, two) = (names[other].0, names[n].0);
            return Err(BuildError::Plan(format!(
                "'{one}' and '{two}' would both be '{symbol}': name one of them with --export '{two}=SYMBOL'"
            )));
        }
    }
    Ok(())
}
