//! Writing: the code of many jobs as one image. The bytes depend on the jobs and their order only.

use super::ImageError;
use super::details::{self, Stored, Types};
use super::edges::definition_hash;
use super::format::{
    CHECKSUM_AT, DIRECTORY_AT, EntryRow, FLAG_KERNEL, FLAG_VALIDATED, HEADER_BYTES, KIND_ADDRESS, MAGIC,
    MAX_BYTES, NONE, Part, SEGMENT, SYMBOL_HOST, SYMBOL_ROUTINE, VERSION, WordRow, Writer,
};
use super::read::checksum;
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::{Blob, Joined, NativeTarget, Section, Symbol, WordTarget, join};
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::text::print_type;
use marquetry_ir::types::{self, Type};
use marquetry_lower::dispatch::edges::Instance;
use marquetry_lower::dispatch::resolve::Answer;
use marquetry_lower::exceptions::places::ThrowPlace;
use marquetry_lower::failure::Limit;
use marquetry_lower::hooks::Deferred;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What is stored of a config: what it is found by, and what its look-ups go through.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoredConfig {
    pub(crate) identity: String,
    pub(crate) tables: Vec<Arc<str>>,
    pub(crate) provider: Vec<Arc<str>>,
    pub(crate) device: bool,
}

/// A job that was compiled for an image.
pub(crate) struct Draft {
    /// The method.
    pub(crate) method: Method,
    /// Its name with the types of its arguments.
    pub(crate) name: String,
    pub(crate) config: StoredConfig,
    pub(crate) target: NativeTarget,
    /// Whether its rules were checked.
    pub(crate) validated: bool,
    pub(crate) blob: Blob,
    /// What it returns, before lowering.
    pub(crate) results: Vec<Type>,
    pub(crate) places: Arc<[ThrowPlace]>,
    pub(crate) instances: Vec<Instance>,
    /// The globals that it may write.
    pub(crate) memory: Vec<Arc<str>>,
    /// What else it asked for.
    pub(crate) children: Vec<Deferred>,
    /// The types that these mention.
    pub(crate) types: Arc<types::Types>,
}

/// A function with the types of its arguments, as the text format spells it.
pub(crate) fn entry_name(types: &types::Types, name: &str, arguments: &[Type]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|&ty| print_type(types, ty)).collect();
    format!("{name}({})", arguments.join(", "))
}

/// What an entry is found by.
pub(super) fn entry_hash(table: &str, name: &str, config: &str) -> u64 {
    xxh3_64([table, name, config].join("\0").as_bytes())
}

/// Texts, each once.
#[derive(Default)]
pub(super) struct Strings {
    ids: HashMap<String, u32>,
    text: String,
    rows: Vec<(u32, u32)>,
}

impl Strings {
    pub(super) fn id(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.rows.len() as u32;
        self.rows.push((self.text.len() as u32, text.len() as u32));
        self.text.push_str(text);
        self.ids.insert(text.to_owned(), id);
        id
    }
}

/// Tables that grow entry by entry.
struct Image<'a> {
    program: &'a Program,
    strings: Strings,
    configs: Writer,
    config_ids: HashMap<StoredConfig, u32>,
    definitions: Writer,
    definition_ids: HashMap<Method, u32>,
    details: Writer,
    /// Spellings of types that read back as what they are.
    storable: HashSet<String>,
    types: Types<'a>,
}

/// The image of these jobs, for machines of one kind.
///
/// # Errors
/// They are for different machines, one depends on what cannot be stored, or together they are too large.
pub(crate) fn assemble(program: &Program, mut drafts: Vec<Draft>) -> Result<Vec<u8>, ImageError> {
    let mut image = Image {
        program,
        strings: Strings::default(),
        configs: Writer::default(),
        config_ids: HashMap::new(),
        definitions: Writer::default(),
        definition_ids: HashMap::new(),
        details: Writer::default(),
        storable: HashSet::new(),
        types: Types::new(program),
    };
    let mut seen = HashSet::new();
    drafts.retain(|draft| seen.insert((draft.method, draft.name.clone(), draft.config.clone())));
    let machine = drafts.first().map_or_else(String::new, |draft| draft.target.machine());
    let mut features = BTreeSet::new();
    for draft in &drafts {
        let found = draft.target.machine();
        if found != machine {
            return Err(ImageError::Machine { found, expected: machine });
        }
        features.extend(draft.target.features());
    }
    check_memory(&drafts)?;
    let features = features.into_iter().collect::<Vec<_>>().join(",");
    let blobs: Vec<Blob> =
        drafts.iter_mut().map(|draft| std::mem::replace(&mut draft.blob, Blob::empty())).collect();
    let Some(first) = drafts.first() else {
        return Err(ImageError::NotStorable {
            entry: "nothing".into(),
            why: vec!["no job was given".into()],
        });
    };
    let joined = join(&blobs, &first.target)?;
    let mut rows = Vec::with_capacity(drafts.len());
    for ((draft, blob), joint) in drafts.iter().zip(&blobs).zip(&joined.joints) {
        let mut row = image.entry(draft, blob, &joined.symbols)?;
        row.text = joint.text;
        row.text_bytes = joint.text_bytes;
        row.wrapper += joint.text;
        row.direct += joint.text;
        rows.push(row);
    }
    let header = [&machine, &features, &format!("marquetry {}", env!("CARGO_PKG_VERSION"))];
    let header = header.map(|text| image.strings.id(text));
    image.finish(header, &rows, joined)
}

/// Each job has memory of its own: whoever wrote a global through one would not see it through another.
fn check_memory(drafts: &[Draft]) -> Result<(), ImageError> {
    let mut owners: HashMap<&str, &Draft> = HashMap::new();
    for draft in drafts {
        for global in &draft.memory {
            let Some(other) = owners.insert(global, draft) else { continue };
            let why = format!(
                "'{}' has the global '{global}', too, and each would have one of its own; if nothing writes it, put it in \
                 constant memory, else make images of one entry each, or let the host have that memory, and its address \
                 be a word of a global",
                other.name
            );
            return Err(ImageError::NotStorable { entry: draft.name.clone(), why: vec![why] });
        }
    }
    Ok(())
}

impl Image<'_> {
    /// `symbols` are those of the image, in their order.
    fn entry(&mut self, draft: &Draft, blob: &Blob, symbols: &[Symbol]) -> Result<EntryRow, ImageError> {
        let missing = || EmitError::Internal("a blob without an entry".into());
        let known = blob.entries.first().ok_or_else(missing)?;
        let table = self.program.table_name(self.program.method(draft.method).table()).to_owned();
        let hash = entry_hash(&table, &draft.name, &draft.config.identity);
        let start = self.details.0.len();
        let stored = Stored {
            entry: &known.entry,
            results: &draft.results,
            formats: &blob.formats,
            shared_bytes: blob.shared_bytes,
            scheduling: &blob.scheduling,
            places: &draft.places,
        };
        details::write(&mut self.details, &mut self.strings, &stored);
        self.record(draft)?;
        self.children(draft)?;
        let number = |symbol: &Symbol| symbols.binary_search(symbol).ok().map(|number| number as u32);
        let needed: Vec<u32> = blob.symbols.iter().filter_map(number).collect();
        self.details.list(&needed, |out, &symbol| out.u32(symbol));
        let config = match self.config_ids.get(&draft.config) {
            Some(&id) => id,
            None => {
                let id = self.config_ids.len() as u32;
                let StoredConfig { identity, tables, provider, device } = &draft.config;
                for text in [identity.clone(), tables.join("\0"), provider.join("\0")] {
                    self.configs.u32(self.strings.id(&text));
                }
                self.configs.u32((*device).into());
                self.config_ids.insert(draft.config.clone(), id);
                id
            }
        };
        let kernel = known.entry.kind == MethodKind::Kernel;
        let flags = if kernel { FLAG_KERNEL } else { 0 } | if draft.validated { FLAG_VALIDATED } else { 0 };
        Ok(EntryRow {
            hash,
            name: self.strings.id(&draft.name),
            table: self.strings.id(&table),
            config,
            definition: self.definition(draft.method),
            flags,
            wrapper: known.wrapper,
            direct: known.direct,
            text: 0,
            text_bytes: 0,
            details: start as u32,
            details_bytes: (self.details.0.len() - start) as u32,
        })
    }

    /// What an entry was made of, and what that looked up.
    fn record(&mut self, draft: &Draft) -> Result<(), ImageError> {
        self.details.u32(draft.instances.len() as u32);
        for instance in &draft.instances {
            let id = self.definition(instance.method);
            self.details.u32(id);
            self.arguments(draft, &instance.arguments)?;
            self.details.u32(instance.edges.len() as u32);
            for edge in &instance.edges {
                let name = self.strings.id(&edge.name);
                self.details.u32(name);
                self.arguments(draft, &edge.arguments)?;
                let answer: Vec<u32> = match edge.answer {
                    Answer::Nothing => Vec::new(),
                    Answer::Method(method) => vec![self.definition(method)],
                    Answer::Ambiguous(a, b) => vec![self.definition(a), self.definition(b)],
                };
                self.details.list(&answer, |out, &id| out.u32(id));
            }
        }
        Ok(())
    }

    /// What an entry asked for besides itself.
    fn children(&mut self, draft: &Draft) -> Result<(), ImageError> {
        self.details.u32(draft.children.len() as u32);
        for Deferred { name, arguments, backend } in &draft.children {
            let name = self.strings.id(name);
            let backend = backend.as_ref().map_or(NONE, |backend| self.strings.id(backend));
            self.details.u32(name);
            self.details.u32(backend);
            self.arguments(draft, arguments)?;
        }
        Ok(())
    }

    fn arguments(&mut self, draft: &Draft, arguments: &[Type]) -> Result<(), ImageError> {
        self.details.u32(arguments.len() as u32);
        for &ty in arguments {
            let text = print_type(&draft.types, ty);
            if ty.is_aggregate() && !self.storable.contains(&text) {
                if self.types.spelled(&text).is_none_or(|found| !self.types.is_same(found, &draft.types, ty))
                {
                    let why = vec![format!("the type {text} has no spelling that reads back")];
                    return Err(ImageError::NotStorable { entry: draft.name.clone(), why });
                }
                self.storable.insert(text.clone());
            }
            let id = self.strings.id(&text);
            self.details.u32(id);
        }
        Ok(())
    }

    fn definition(&mut self, method: Method) -> u32 {
        if let Some(&id) = self.definition_ids.get(&method) {
            return id;
        }
        let id = self.definition_ids.len() as u32;
        let data = self.program.method(method);
        let signature: &Signature = &data.signature;
        let texts = [
            data.name.to_string(),
            self.program.table_name(data.table()).to_owned(),
            entry_name(&self.program.types, "", &signature.params),
        ];
        for text in texts {
            let text = self.strings.id(&text);
            self.definitions.u32(text);
        }
        self.definitions.u32(0);
        let hash = definition_hash(self.program, method);
        self.definitions.0.extend_from_slice(&hash.to_le_bytes());
        self.definition_ids.insert(method, id);
        id
    }

    /// Everything in its place.
    fn finish(self, header: [u32; 3], rows: &[EntryRow], joined: Joined) -> Result<Vec<u8>, ImageError> {
        let Image { mut strings, configs, definitions, details, .. } = self;
        let Joined { sections, symbols, words, page, .. } = joined;
        let mut tables: [Writer; Part::ALL.len()] = Default::default();
        tables[Part::Configs as usize] = configs;
        for symbol in &symbols {
            let (kind, name, library) = match symbol {
                Symbol::Routine(name) => (SYMBOL_ROUTINE, name, None),
                Symbol::Host { name, library } => (SYMBOL_HOST, name, library.as_deref()),
            };
            let library = library.map_or(NONE, |library| strings.id(library));
            [kind, strings.id(name), library]
                .into_iter()
                .for_each(|word| tables[Part::Symbols as usize].u32(word));
        }
        let part_of = |section: Section| match section {
            Section::Text => Part::Text,
            Section::Constants => Part::Constants,
            Section::Data => Part::Data,
        };
        for word in &words {
            let (target, addend) = match word.target {
                WordTarget::Symbol(symbol) => (symbol, word.addend),
                WordTarget::Place(section, at) => {
                    (SEGMENT | part_of(section) as u32, i64::from(at) + word.addend)
                }
            };
            let (part, offset) = (part_of(word.section) as u32, word.offset);
            WordRow { part, offset, target, kind: KIND_ADDRESS, addend }
                .write(&mut tables[Part::Words as usize]);
        }
        tables[Part::Definitions as usize] = definitions;
        rows.iter().for_each(|row| row.write(&mut tables[Part::Entries as usize]));
        let mut index: Vec<(u64, u32)> = rows.iter().map(|row| row.hash).zip(0..).collect();
        index.sort_unstable();
        for (hash, entry) in index {
            tables[Part::Index as usize].u64(hash);
            tables[Part::Index as usize].u32(entry);
        }
        tables[Part::Details as usize] = details;
        let [text, constants, data] = sections;
        tables[Part::Text as usize] = Writer(text);
        tables[Part::Constants as usize] = Writer(constants);
        tables[Part::Data as usize] = Writer(data);
        for &(start, bytes) in &strings.rows {
            tables[Part::StringTable as usize].u32(start);
            tables[Part::StringTable as usize].u32(bytes);
        }
        tables[Part::Strings as usize] = Writer(strings.text.into_bytes());
        file(header, page, &tables)
    }
}

/// The file of these parts.
fn file(header: [u32; 3], page: u32, tables: &[Writer; Part::ALL.len()]) -> Result<Vec<u8>, ImageError> {
    let sum: u64 = tables.iter().map(|table| table.0.len() as u64 + u64::from(page)).sum();
    if sum > MAX_BYTES {
        return Err(EmitError::Limit(Limit::new("bytes of an image", MAX_BYTES, sum)).into());
    }
    let mut bytes = vec![0; HEADER_BYTES];
    let mut directory = Writer::default();
    for (part, table) in Part::ALL.into_iter().zip(tables) {
        let align = if part.is_segment() { page as usize } else { 8 };
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        directory.u64(bytes.len() as u64);
        directory.u64(table.0.len() as u64);
        bytes.extend_from_slice(&table.0);
    }
    let mut head = Writer(MAGIC.to_vec());
    head.u32(VERSION);
    head.u32(HEADER_BYTES as u32);
    // The checksum comes last.
    head.u64(0);
    head.u64(bytes.len() as u64);
    head.u32(page);
    header.into_iter().for_each(|id| head.u32(id));
    debug_assert_eq!(head.0.len(), DIRECTORY_AT);
    head.0.extend_from_slice(&directory.0);
    bytes[..head.0.len()].copy_from_slice(&head.0);
    seal(&mut bytes);
    Ok(bytes)
}

/// Writes the checksum that the bytes have: the last step of making an image, and how tests make images that are wrong in
/// other ways. Bytes that are too few for a header stay as they are.
pub fn seal(bytes: &mut [u8]) {
    let sum = checksum(bytes);
    if let Some(place) = bytes.get_mut(CHECKSUM_AT..CHECKSUM_AT + 8) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}
