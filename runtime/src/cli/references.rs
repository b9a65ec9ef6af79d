//! The words that globals leave to the host, on the command line: what becomes of them, what they are, and the list of those
//! that somebody else has to write.
//!
//! # The list
//!
//! `--patches FILE` writes JSON: the `target`, and under `words` every word that the code leaves open, in the order of the
//! globals and of their offsets:
//!
//! | member | |
//! |---|---|
//! | `global` | the symbol of the global in the code; where the linker writes the word, its name in the program |
//! | `offset`, `bytes` | where in the global, and how many bytes |
//! | `kind`, `name`, `library` | what belongs there, as the text says it: `value`, `symbol` or `word`, its name, and the library of a symbol or null |
//! | `by` | who writes it: `linker`, `loader` or `specialisation` |
//! | `symbol` | with `linker`: the undefined symbol whose address is the word |
//! | `first`, `constant_bytes` | with `specialisation`: the `SpecId` of the first constant, and how many bytes of the word each one is, low bytes first |
//!
//! A loader writes words in the machine's byte order, before anything runs. Code with words for a loader is not written
//! without the list: nobody could tell their zeros from data.

use super::{CliError, input, output};
use clap::Args;
use marquetry_codegen::artifact::{Artifact, Relocation, RelocationKind};
use marquetry_ir::program::{Reference, Words};
use marquetry_lower::references::Strategy;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// How many words a message names.
const SHOWN_WORDS: usize = 8;

/// What becomes of words.
#[derive(Args, Debug)]
pub(super) struct References {
    /// What becomes of the words that globals leave to the host: bake (--resolve says what they are), patch (whoever loads
    /// the code writes them, where --patches says), import (the linker resolves them; where there is none, as patch) or
    /// defer (they stay in the unit)
    #[arg(long, value_name = "STRATEGY", default_value = "import")]
    references: String,
    /// A word to bake in: 'value "NAME" = WORD', 'symbol "NAME" = WORD' or 'word "NAME" = WORD'; may be given more than
    /// once
    #[arg(long, value_name = "REFERENCE = WORD")]
    resolve: Vec<String>,
    /// Where to write, as JSON, which words the code leaves open: in which global, at which offset, what belongs there and
    /// who writes it; '-' for standard output
    #[arg(long, value_name = "FILE")]
    patches: Option<PathBuf>,
}

impl References {
    /// The strategy, and the words to bake in.
    pub(super) fn read(&self) -> Result<(Strategy, Words), CliError> {
        let strategies = &Strategy::ALL;
        let strategy =
            input::one_of("a strategy for references", &self.references, strategies, Strategy::name)?;
        let words = input::words(&self.resolve)?;
        if strategy != Strategy::Bake && !words.0.is_empty() {
            return Err(CliError::Usage("--resolve is for --references bake".into()));
        }
        if !matches!(strategy, Strategy::Patch | Strategy::Import) && self.patches.is_some() {
            return Err(CliError::Usage("--patches is for --references patch and import".into()));
        }
        Ok((strategy, words))
    }

    /// Where the list goes.
    pub(super) fn list(&self) -> Option<&Path> {
        self.patches.as_deref()
    }

    /// The list of the words that artifacts of one target leave open.
    ///
    /// # Errors
    /// Some are for a loader, and nobody asked for the list.
    pub(super) fn open_words(&self, artifacts: &[&Artifact]) -> Result<String, CliError> {
        let words: Vec<&Relocation> = artifacts.iter().flat_map(|artifact| &artifact.relocations).collect();
        let for_loaders = words.iter().filter(|word| word.kind != RelocationKind::Link);
        let mut shown: Vec<String> = for_loaders
            .map(|word| format!("{} at {} in global '{}'", word.reference, word.offset, word.symbol))
            .collect();
        if self.patches.is_none() && !shown.is_empty() {
            let count = shown.len();
            shown.truncate(SHOWN_WORDS);
            let more = if count > SHOWN_WORDS { ", ..." } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            return Err(CliError::Failed(format!(
                "{count} word{plural} of the code would be left to whoever loads it, and nothing would say where: \
                 {}{more}\n  --patches FILE writes the list",
                shown.join(", ")
            )));
        }
        let target = artifacts.first().map(|artifact| artifact.target.as_str());
        let words: Vec<Value> = words.into_iter().map(row).collect();
        Ok(format!("{:#}\n", json!({ "target": target, "words": words })))
    }

    /// Writes the list, if it is asked for.
    pub(super) fn write(&self, list: &str) -> Result<(), CliError> {
        self.patches.as_ref().map_or(Ok(()), |path| output::write(path, list.as_bytes()))
    }
}

fn row(word: &Relocation) -> Value {
    let library = match &word.reference {
        Reference::Symbol { library, .. } => library.as_deref(),
        _ => None,
    };
    let mut row = json!({
        "global": &*word.symbol,
        "offset": word.offset,
        "bytes": word.size,
        "kind": word.reference.kind(),
        "name": word.reference.name().map(|name| &**name),
        "library": library,
    });
    let further = match word.kind {
        RelocationKind::Link => json!({ "by": "linker", "symbol": word.reference.link_name() }),
        RelocationKind::Write => json!({ "by": "loader" }),
        RelocationKind::Specialise { first, bytes } => {
            json!({ "by": "specialisation", "first": first, "constant_bytes": bytes })
        }
    };
    if let (Value::Object(row), Value::Object(further)) = (&mut row, further) {
        row.extend(further);
    }
    row
}
