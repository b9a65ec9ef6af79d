//! Slots: the words of globals that only the host, or whoever lays code out in memory, can know.
//!
//! A global holds plain data and, at some offsets, words that stand for something outside of it: a value of the host, a
//! symbol of the host, a word of the host's runtime, the address of another global, the address of a function. Such a
//! word is never a null that somebody may or may not fill: it is a [`GlobalSlot`], says what belongs there, and is a slot
//! until its word is written. Nothing ever folds a load over one that is the host's, and whoever runs or emits a unit asks
//! for the words or hands the slots on as relocations.
//!
//! What a host's word means is the host's business. Code compares such words, passes them on, and uses them as addresses
//! if the host says that they are some.

use super::GlobalData;
use crate::entity::Func;
use crate::types::{Aggregate, Layout, Scalar, Space, Type, TypeKind, Types};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of a slot: a word, on every target.
pub const WORD_BYTES: u64 = 8;

/// What a slot stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reference {
    /// A value of the host, by the name that the host knows it by: an opaque word that is the same for the same value
    /// for as long as the host keeps it.
    Value(Arc<str>),
    /// The address of a symbol of the host.
    Symbol {
        /// The symbol, as linkers know it.
        name: Arc<str>,
        /// The library that has it, if the host has to load one.
        library: Option<Arc<str>>,
    },
    /// A word of the host's runtime, by its name.
    Word(Arc<str>),
    /// An address in another global; not one in shared memory, which has an address per group.
    Global {
        /// Its name.
        name: Arc<str>,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// The address of the method that dispatch finds for a name and parameter types, as `function_address` gives it. In
    /// programs only.
    Method {
        /// The generic function.
        name: Arc<str>,
        /// The types that it takes.
        params: Arc<[Type]>,
    },
    /// The address of a function of the unit. In units only.
    Func(Func),
}

impl Reference {
    /// A value of the host.
    pub fn value(name: &str) -> Self {
        Reference::Value(name.into())
    }

    /// A symbol of the host, wherever it is.
    pub fn symbol(name: &str) -> Self {
        Reference::Symbol { name: name.into(), library: None }
    }

    /// A symbol of a library of the host.
    pub fn symbol_of(name: &str, library: &str) -> Self {
        Reference::Symbol { name: name.into(), library: Some(library.into()) }
    }

    /// A word of the host's runtime.
    pub fn word(name: &str) -> Self {
        Reference::Word(name.into())
    }

    /// The address of a global.
    pub fn global(name: &str) -> Self {
        Reference::global_at(name, 0)
    }

    /// An address in a global.
    pub fn global_at(name: &str, offset: u64) -> Self {
        Reference::Global { name: name.into(), offset }
    }

    /// The address of the method that dispatch finds.
    pub fn method(name: &str, params: &[Type]) -> Self {
        Reference::Method { name: name.into(), params: params.into() }
    }

    /// Whether the host has to supply the word, and not whoever lays out the code.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Reference::Value(_) | Reference::Symbol { .. } | Reference::Word(_))
    }

    /// Whether it is the address of a function.
    pub fn is_function(&self) -> bool {
        matches!(self, Reference::Method { .. } | Reference::Func(_))
    }

    /// The name of what it stands for; functions of units have numbers.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Reference::Value(name) | Reference::Word(name) => Some(name),
            Reference::Symbol { name, .. } | Reference::Global { name, .. } => Some(name),
            Reference::Method { name, .. } => Some(name),
            Reference::Func(_) => None,
        }
    }

    /// The keyword of the kind, as the text spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Reference::Value(_) => "value",
            Reference::Symbol { .. } => "symbol",
            Reference::Word(_) => "word",
            Reference::Global { .. } => "address",
            Reference::Method { .. } | Reference::Func(_) => "function",
        }
    }

    /// The symbol that a linker resolves to the word: that of the host itself, or a name made of the kind and the name,
    /// in letters, digits, `_` and `$`, different for different references.
    pub fn link_name(&self) -> String {
        let (kind, name) = match self {
            Reference::Symbol { name, .. } => return name.to_string(),
            Reference::Value(name) => ("value", name),
            Reference::Word(name) => ("word", name),
            Reference::Global { name, .. } => ("global", name),
            Reference::Method { name, .. } => ("function", name),
            Reference::Func(func) => return format!("marq_function_{}", func.as_u32()),
        };
        let mut link_name = format!("marq_{kind}_");
        for byte in name.bytes() {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => link_name.push(byte.into()),
                _ => link_name.push_str(&format!("${byte:02x}")),
            }
        }
        link_name
    }
}

impl Reference {
    /// What a symbol that a linker or loader asks for stands for: the opposite of [`link_name`](Self::link_name), of what
    /// the host supplies. Its library is not known from its name.
    pub fn from_link_name(link_name: &str) -> Self {
        let named = |kind: &str| -> Option<Arc<str>> {
            let spelled = link_name.strip_prefix("marq_")?.strip_prefix(kind)?.strip_prefix('_')?;
            let (first, rest) = spelled.split_once('$').map_or((spelled, ""), |(first, rest)| (first, rest));
            let mut bytes = first.as_bytes().to_vec();
            if first.len() < spelled.len() {
                for part in rest.split('$') {
                    let (digits, plain) = part.split_at_checked(2)?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    bytes.extend_from_slice(plain.as_bytes());
                }
            }
            Some(String::from_utf8(bytes).ok()?.into())
        };
        match (named("value"), named("word")) {
            (Some(name), _) => Reference::Value(name),
            (_, Some(name)) => Reference::Word(name),
            _ => Reference::symbol(link_name),
        }
    }
}

/// As the text spells it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.name() else {
            return match self {
                Reference::Func(func) => write!(f, "{} {func}", self.kind()),
                _ => Ok(()),
            };
        };
        write!(f, "{} \"{}\"", self.kind(), name.escape_default())?;
        match self {
            Reference::Method { params, .. } => {
                for (n, ty) in params.iter().enumerate() {
                    write!(f, "{}{ty}", if n == 0 { "(" } else { ", " })?;
                }
                f.write_str(if params.is_empty() { "()" } else { ")" })
            }
            Reference::Symbol { library: Some(library), .. } => {
                write!(f, " from \"{}\"", library.escape_default())
            }
            Reference::Global { offset, .. } if *offset > 0 => write!(f, " at {offset}"),
            _ => Ok(()),
        }
    }
}

/// A word of a global that stands for something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GlobalSlot {
    /// Where in the global, in bytes. An `i64` or a pointer stands there.
    pub offset: u64,
    /// For what.
    pub reference: Reference,
}

/// Who knows the host's words: the host.
///
/// The word of a reference must stay what it is for as long as code that was given it lives.
pub trait Resolve: Send + Sync {
    /// The word of a reference of the host's: a value, a symbol or a word of the runtime.
    ///
    /// # Errors
    /// There is no such thing, or code must not have it: why.
    fn resolve(&self, reference: &Reference) -> Result<u64, String>;
}

impl<F: Fn(&Reference) -> Result<u64, String> + Send + Sync> Resolve for F {
    fn resolve(&self, reference: &Reference) -> Result<u64, String> {
        self(reference)
    }
}

/// A host that supplies nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct NoHost;

impl Resolve for NoHost {
    fn resolve(&self, _: &Reference) -> Result<u64, String> {
        Err("the host supplies no words".into())
    }
}

/// Words by reference, for hosts whose words are known beforehand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Words(pub BTreeMap<Reference, u64>);

impl Resolve for Words {
    fn resolve(&self, reference: &Reference) -> Result<u64, String> {
        if let Some(&word) = self.0.get(reference) {
            return Ok(word);
        }
        let known: Vec<String> = self.0.keys().map(Reference::to_string).collect();
        Err(match known.is_empty() {
            true => "the host supplies no words".into(),
            false => format!("the host supplies {}", known.join(", ")),
        })
    }
}

/// The type of the word at an offset of a type; none if no `i64` or pointer starts there.
pub fn word_at(types: &Types, ty: Type, offset: u64) -> Option<Type> {
    let (mut ty, mut offset) = (types.underlying(ty), offset);
    // Each round goes one level down, and the nesting of types is limited.
    loop {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I64) | TypeKind::Pointer(_) => return (offset == 0).then_some(ty),
            TypeKind::Aggregate(_) => {}
            _ => return None,
        }
        let index = match types.aggregate(ty)? {
            Aggregate::Array { element, .. } => offset.checked_div(types.layout(*element)?.size)?,
            Aggregate::Struct { fields, .. } => {
                // The last field that starts there or before; fields without size start where others do.
                let before = |index: u64| types.field_offset(ty, index).is_some_and(|start| start <= offset);
                let (mut low, mut high) = (0, fields.len() as u64);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if before(middle) { low = middle + 1 } else { high = middle }
                }
                let mut index = low.checked_sub(1)?;
                while types.layout(types.field_type(ty, index)?)?.size == 0 {
                    index = index.checked_sub(1)?;
                }
                index
            }
            Aggregate::Singleton(_) => return None,
        };
        offset -= types.field_offset(ty, index)?;
        ty = types.underlying(types.field_type(ty, index)?);
    }
}

/// Whether a word of this type may hold the address of a function.
pub fn fits_function(word: Type) -> bool {
    matches!(word.space(), None | Some(Space::Generic))
}

/// Whether a word of this type may hold what a reference to the host stands for, or the address of a global in `space`.
pub fn fits(word: Type, space: Option<Space>) -> bool {
    match (word.space(), space) {
        (None, _) | (Some(Space::Generic), _) => true,
        (Some(Space::Global | Space::Constant), None) => true,
        (Some(_), None) => false,
        (Some(found), Some(space)) => found == space,
    }
}

impl GlobalData {
    /// Zeroed memory of this type.
    pub fn new(name: &str, ty: Type, space: Space) -> Self {
        GlobalData {
            name: name.into(),
            ty,
            space,
            align: None,
            init: None,
            slots: Vec::new(),
            file: None,
            span: crate::span::Span::NOWHERE,
        }
    }

    /// The same with these first contents: as many bytes as the type has, little-endian.
    #[must_use]
    pub fn with_init(self, bytes: &[u8]) -> Self {
        GlobalData { init: Some(bytes.into()), ..self }
    }

    /// The same at a multiple of this many bytes, a power of two.
    #[must_use]
    pub fn with_align(self, align: u32) -> Self {
        GlobalData { align: Some(align), ..self }
    }

    /// The same with a word that stands for something.
    #[must_use]
    pub fn with_slot(mut self, offset: u64, reference: Reference) -> Self {
        let at = self.slots.partition_point(|slot| slot.offset <= offset);
        self.slots.insert(at, GlobalSlot { offset, reference });
        self
    }

    /// How much room it takes, and where it can stand.
    pub fn layout(&self, types: &Types) -> Option<Layout> {
        let layout = types.layout(self.ty)?;
        Some(Layout { align: layout.align.max(self.align.unwrap_or(1)), ..layout })
    }

    /// The slots that the host has to supply words for.
    pub fn host_slots(&self) -> impl Iterator<Item = &GlobalSlot> {
        self.slots.iter().filter(|slot| slot.reference.is_of_host())
    }

    /// Writes words into the first contents, in place of the slots there; all of them, or none.
    ///
    /// # Errors
    /// The first slot that has no word, and why.
    pub fn write_words(
        &mut self,
        types: &Types,
        mut word: impl FnMut(&GlobalSlot) -> Result<Option<u64>, String>,
    ) -> Result<(), (GlobalSlot, String)> {
        let mut left = Vec::new();
        let size = types.layout(self.ty).map_or(0, |layout| layout.size) as usize;
        let mut bytes = self.init.as_deref().map_or_else(Vec::new, <[u8]>::to_vec);
        bytes.resize(size, 0);
        for slot in &self.slots {
            let Some(word) = word(slot).map_err(|reason| (slot.clone(), reason))? else {
                left.push(slot.clone());
                continue;
            };
            let end = slot.offset.checked_add(WORD_BYTES).and_then(|end| usize::try_from(end).ok());
            if let Some(place) = end.and_then(|end| bytes.get_mut(slot.offset as usize..end)) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        self.init = Some(bytes.into());
        self.slots = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_at_any_depth() {
        let mut types = Types::new();
        let pair = types.array(Type::I64, 2).unwrap();
        let empty = types.array(Type::I64, 0).unwrap();
        let fields = vec![
            ("flag".into(), Type::I8),
            ("nothing".into(), empty),
            ("pair".into(), pair),
            ("none".into(), empty),
        ];
        types.structure("entry", fields).unwrap();
        let entry = types.find_struct("entry").unwrap();
        let table = types.array(entry, 3).unwrap();
        let found = |offset| word_at(&types, table, offset);
        let words: Vec<u64> = (0..80).filter(|&offset| found(offset).is_some()).collect();
        assert_eq!(words, [8, 16, 32, 40, 56, 64]);
        assert_eq!(word_at(&types, Type::I64, 0), Some(Type::I64));
        for (ty, offset) in [(Type::I64, 4), (Type::I32, 0), (Type::F64, 0), (empty, 0)] {
            assert_eq!(word_at(&types, ty, offset), None);
        }
    }

    #[test]
    fn link_names_are_words_and_differ() {
        let names = ["a#1", "a$231", "a_1", "a b", "a$20b"];
        let mut seen: Vec<String> = names.iter().map(|name| Reference::value(name).link_name()).collect();
        seen.push(Reference::word("a_1").link_name());
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
        assert!(seen.iter().all(|name| name.chars().all(fine)), "{seen:?}");
        assert_eq!(seen[0], "marq_value_a$231");
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert_eq!(Reference::symbol_of("puts", "libc.so.6").link_name(), "puts");
        for name in names.iter().copied().chain(["", "\u{e4} \u{1f980}", "$", "value"]) {
            for reference in [Reference::value(name), Reference::word(name), Reference::symbol(name)] {
                assert_eq!(Reference::from_link_name(&reference.link_name()), reference);
            }
        }
        for other in
            ["marq_value", "marq_value_$", "marq_word_$g0", "marq_word_$ff", "marq_value_$1", "marq_x_y"]
        {
            assert_eq!(Reference::from_link_name(other), Reference::symbol(other));
        }
    }

    #[test]
    fn words_take_the_place_of_slots() {
        let mut types = Types::new();
        let ty = types.array(Type::I64, 3).unwrap();
        let mut global = GlobalData::new("g", ty, Space::Constant)
            .with_slot(16, Reference::global("g"))
            .with_slot(0, Reference::value("a"));
        let refused = global.write_words(&types, |_| Err("no".into())).unwrap_err();
        assert_eq!((refused.0.offset, &*refused.1), (0, "no"));
        assert_eq!((global.slots.len(), global.init.clone()), (2, None));
        let word = |slot: &GlobalSlot| Ok(slot.reference.is_of_host().then_some(7));
        global.write_words(&types, word).unwrap();
        assert_eq!(global.slots.len(), 1);
        assert_eq!(global.init.as_deref().map(|bytes| bytes[0]), Some(7));
        global.write_words(&types, |_| Ok(Some(9))).unwrap();
        assert_eq!(global.slots, []);
        assert_eq!(global.init.as_deref().map(|bytes| (bytes[0], bytes[16])), Some((7, 9)));
    }
}
