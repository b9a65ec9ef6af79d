//! What is compiled together: functions as the host sees the program, kernels as devices do.

use super::super::CliError;
use crate::aot::Built;
use marquetry_codegen::artifact::RelocationKind;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_lower::job::JobEntry;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is compiled together, to one object, or by one back-end of an image.
pub(super) struct Part {
    /// Whether it sees the device table.
    pub(super) device: bool,
    pub(super) entries: Vec<JobEntry>,
    pub(super) exports: Option<Vec<String>>,
    /// Whether there is one before it.
    pub(super) is_second: bool,
}

/// Kernels see the device table, functions only if everything does. `export` is what the command line names.
pub(super) fn of(program: &Program, entries: Vec<JobEntry>, device: bool, export: &[String]) -> Vec<Part> {
    let wanted = (!export.is_empty()).then_some(export);
    let is_kernel = |entry: &JobEntry| program.method(entry.method).kind == MethodKind::Kernel;
    if device || entries.iter().map(is_kernel).is_sorted_by(|one, other| one == other) {
        let device = device || entries.first().is_some_and(is_kernel);
        return vec![Part { device, entries, exports: wanted.map(<[String]>::to_vec), is_second: false }];
    }
    let (kernels, functions): (Vec<JobEntry>, Vec<JobEntry>) = entries.into_iter().partition(is_kernel);
    let names: BTreeSet<&str> = kernels.iter().map(|entry| &*program.method(entry.method).name).collect();
    let of_kernel = |text: &&String| {
        let name = text.rsplit_once('=').map_or(text.as_str(), |(name, _)| name);
        names.contains(name) || name.split_once('(').is_some_and(|(name, _)| names.contains(name))
    };
    let (theirs, others) = match wanted {
        None => (None, None),
        Some(wanted) => {
            let (theirs, others): (Vec<&String>, Vec<&String>) = wanted.iter().partition(of_kernel);
            let owned = |list: Vec<&String>| Some(list.into_iter().cloned().collect());
            (owned(theirs), owned(others))
        }
    };
    let mut parts = vec![
        Part { device: false, entries: functions, exports: others, is_second: false },
        Part { device: true, entries: kernels, exports: theirs, is_second: true },
    ];
    // Code that nobody sees is none.
    parts.retain(|part| part.exports.as_ref().is_none_or(|exports| !exports.is_empty()));
    parts
}

/// Whether functions and kernels, compiled apart, can be in one object or archive.
pub(super) fn check_joint(built: &[Built]) -> Result<(), CliError> {
    let mut symbols = BTreeSet::new();
    let twice =
        built.iter().flat_map(|part| &part.exports).find(|(export, _)| !symbols.insert(&export.symbol));
    if let Some((export, _)) = twice {
        let symbol = &export.symbol;
        let message =
            format!("a kernel and a function would both be '{symbol}': name one of them with --export");
        return Err(CliError::Failed(message));
    }
    let mut memory = BTreeSet::new();
    if let Some(global) = built.iter().flat_map(Built::memory).find(|global| !memory.insert(*global)) {
        return Err(CliError::Failed(format!(
            "functions and kernels would each have a global '{global}' of their own: build them apart, give its address \
             to the kernels, or, if nothing writes it, put it in constant memory"
        )));
    }
    let patched = |part: &Built| -> BTreeSet<Arc<str>> {
        let words = part.artifact.relocations.iter().filter(|word| word.kind == RelocationKind::Write);
        words.map(|word| word.symbol.clone()).collect()
    };
    let mut seen = BTreeSet::new();
    match built.iter().flat_map(patched).find(|symbol| !seen.insert(symbol.clone())) {
        Some(symbol) => Err(CliError::Failed(format!(
            "functions and kernels would each have a global '{symbol}' for the loader to write: build them apart"
        ))),
        None => Ok(()),
    }
}
