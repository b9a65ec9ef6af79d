//! Symbols for the functions that passes add to a unit.

use marquetry_ir::unit::Unit;
use std::sync::Arc;

/// `wanted`, or `wanted` with the least number that makes it unique in the unit.
pub(crate) fn fresh_name(unit: &Unit, wanted: &str) -> Arc<str> {
    let taken = |name: &str| {
        unit.find(name).is_some()
            || unit.externs.values().any(|host| &*host.link_name == name)
            || unit.globals.values().any(|global| &*global.name == name)
    };
    let numbered = (1u32..).map(|n| format!("{wanted}_{n}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_default().into()
}
