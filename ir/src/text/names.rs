//! The names that a printed body uses: every value and every block has exactly one, and no two share it.
//!
//! A given name is used as it is. Values without name print as `v` and their number. Where that, or a given name, is
//! taken by another value or means something else, a number is added: `v12_1`.

use crate::body::Body;
use crate::entity::{Block, Value};
use crate::text::parser::is_reserved;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::{self, Write};

/// Names of one body where they differ from the given ones and from the default ones.
#[derive(Debug, Default)]
pub(crate) struct PrintNames {
    values: FxHashMap<u32, String>,
    blocks: FxHashMap<u32, String>,
}

impl PrintNames {
    pub(crate) fn new(body: &Body) -> Self {
        Self::with_variables(body, &[])
    }

    /// As [`Self::new`], where these names mean types.
    pub(crate) fn with_variables(body: &Body, variables: &[String]) -> Self {
        // Default names cannot collide with each other.
        if body.names.is_empty() {
            return Self::default();
        }
        let mut values = Vec::new();
        for block in body.blocks() {
            values.extend(body.block_params(block).iter().map(|&v| (v.as_u32(), body.names.value(v))));
            for inst in body.block_insts(block) {
                values.extend(body.results(inst).map(|v| (v.as_u32(), body.names.value(v))));
            }
        }
        let blocks: Vec<_> = body.blocks().map(|block| (block.as_u32(), body.names.block(block))).collect();
        // Blocks are told apart by where they stand: no word is reserved.
        PrintNames {
            values: unique(&values, "v", |name| is_reserved(name) || variables.iter().any(|v| v == name)),
            blocks: unique(&blocks, "block", |_| false),
        }
    }

    pub(crate) fn write_value(&self, out: &mut dyn Write, body: &Body, value: Value) -> fmt::Result {
        let renamed = if self.values.is_empty() { None } else { self.values.get(&value.as_u32()) };
        match renamed.map(String::as_str).or_else(|| body.names.value(value)) {
            Some(name) => out.write_str(name),
            None => write!(out, "{value}"),
        }
    }

    pub(crate) fn write_block(&self, out: &mut dyn Write, body: &Body, block: Block) -> fmt::Result {
        let renamed = if self.blocks.is_empty() { None } else { self.blocks.get(&block.as_u32()) };
        match renamed.map(String::as_str).or_else(|| body.names.block(block)) {
            Some(name) => out.write_str(name),
            None => write!(out, "{block}"),
        }
    }
}

/// New names for those whose own cannot be used.
fn unique(
    list: &[(u32, Option<&str>)],
    prefix: &str,
    reserved: impl Fn(&str) -> bool,
) -> FxHashMap<u32, String> {
    let mut taken: FxHashSet<&str> = FxHashSet::default();
    let mut homeless: Vec<(u32, Option<&str>)> = Vec::new();
    let mut lookalike = false;
    for &(index, name) in list {
        let Some(name) = name else { continue };
        if reserved(name) || !taken.insert(name) {
            homeless.push((index, Some(name)));
        }
        lookalike |=
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    }
    if lookalike {
        let hidden = |index: u32| taken.contains(format!("{prefix}{index}").as_str());
        let unnamed = list.iter().filter(|(index, name)| name.is_none() && hidden(*index));
        homeless.extend(unnamed.copied());
    }
    let mut renamed = FxHashMap::default();
    // One counter per name, so that thousands of equal names cost no search each.
    let mut counters: FxHashMap<String, u32> = FxHashMap::default();
    let mut fresh: FxHashSet<String> = FxHashSet::default();
    for (index, name) in homeless {
        let base = name.map_or_else(|| format!("{prefix}{index}"), str::to_owned);
        let counter = counters.entry(base.clone()).or_insert(0);
        let name = loop {
            *counter = counter.wrapping_add(1);
            let name = format!("{base}_{counter}");
            if !taken.contains(name.as_str()) && !fresh.contains(&name) {
                break name;
            }
        };
        fresh.insert(name.clone());
        renamed.insert(index, name);
    }
    renamed
}
