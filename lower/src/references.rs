//! What becomes of the words that globals leave to the host: merged where units are linked, dropped with the globals that
//! nothing needs, written where the job says so.
//!
//! A slot is a global and a byte offset, and what stands there ([`GlobalSlot`]). It is made in the text or by the
//! builder, goes through every stage as it is, and leaves the pipeline by the job's [`Strategy`]:
//!
//! | strategy | in a legal unit | in an artifact |
//! |---|---|---|
//! | `bake` | the words, which the host supplies now | data like any other; the artifact is this session's |
//! | `patch` | slots | zeros in memory that whoever loads the code can write, and the list of them |
//! | `import` | slots | symbols that the linker resolves where the format has a linker, else as `patch` |
//! | `defer` | slots, for who takes the unit further | none: slots that are left are an error |
//!
//! Addresses of globals and of functions are no host's affair: whoever lays the code out writes them, whatever the
//! strategy.

use crate::failure::Failure;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::{Code, Diagnostic, Subject};
use marquetry_ir::entity::{AnyEntity, Func, Global, Inst, SymbolRef};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::{GlobalData, GlobalSlot, Reference, Resolve};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;

/// What becomes of the words that the host supplies. See the [module](self).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Strategy {
    /// They are written during compilation.
    Bake,
    /// Whoever loads the code writes them.
    Patch,
    /// The linker resolves them, where the format has one; else whoever loads the code writes them.
    #[default]
    Import,
    /// Whoever takes the unit further writes them; code with words to be written is not emitted.
    Defer,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 4] = [Strategy::Bake, Strategy::Patch, Strategy::Import, Strategy::Defer];

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Bake => "bake",
            Strategy::Patch => "patch",
            Strategy::Import => "import",
            Strategy::Defer => "defer",
        }
    }

    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Strategy::ALL.into_iter().find(|strategy| strategy.name() == name)
    }
}

/// Writes the words that the host supplies into a unit: all of them, or none. Gives what they stand for, each once.
///
/// # Errors
/// Slots that the host has no words for: all of them.
pub fn write(unit: &mut Unit, host: &dyn Resolve) -> Result<Vec<Reference>, Failure> {
    let mut problems = Vec::new();
    let mut words: FxHashMap<Reference, Result<u64, String>> = FxHashMap::default();
    let mut written = Vec::new();
    // Every reference has one word, however often it is asked for.
    for (global, data) in &unit.globals {
        for slot in data.host_slots() {
            let known = words.entry(slot.reference.clone()).or_insert_with(|| {
                written.push(slot.reference.clone());
                host.resolve(&slot.reference)
            });
            if let Err(reason) = known {
                problems.push(missing(global, data, slot, reason));
            }
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Program(problems));
    }
    if written.is_empty() {
        return Ok(written);
    }
    let types = unit.types.clone();
    for data in unit.globals.values_mut().filter(|data| data.host_slots().next().is_some()) {
        let word = |slot: &GlobalSlot| Ok(words.get(&slot.reference).and_then(|word| word.clone().ok()));
        data.write_words(&types, word).map_err(|(_, reason)| Failure::Internal(reason))?;
    }
    written.sort_unstable();
    Ok(written)
}

/// A slot that the host has no word for.
fn missing(global: Global, data: &GlobalData, slot: &GlobalSlot, reason: &str) -> Diagnostic {
    let GlobalSlot { offset, reference } = slot;
    let message = format!("no word for {reference} at {offset} in global '{}': {reason}", data.name);
    let owner = AnyEntity::Global(global);
    let subject = Subject { owner, name: data.name.clone(), entity: owner };
    Diagnostic::error(Code::Reference, data.file, data.span, message).about(subject)
}

/// The globals that an instruction of a body mentions.
pub(crate) fn mentioned(body: &Body) -> impl Iterator<Item = (Inst, Global)> + '_ {
    let blocks = body.blocks().filter(|_| body.may_have(Op::GlobalAddress));
    let insts = blocks.flat_map(|block| body.block_insts(block));
    insts.filter_map(|inst| {
        let data = body.inst(inst);
        if data.op.info().shape != Shape::GlobalAddress || !body.symbol_exists(data.imm) {
            return None;
        }
        match *body.symbol(SymbolRef::from_u32(data.imm)) {
            Symbol::Global(global) => Some((inst, global)),
            _ => None,
        }
    })
}

/// Drops the globals that neither code nor a global that stays mentions, with their slots. The others keep their order.
pub fn prune(unit: &mut Unit) {
    if unit.globals.is_empty() {
        return;
    }
    let mut names: FxHashMap<Arc<str>, Global> = FxHashMap::default();
    if unit.globals.values().any(|data| !data.slots.is_empty()) {
        names.extend(unit.globals.iter().map(|(id, data)| (data.name.clone(), id)));
    }
    let mut is_used: SecondaryMap<Global, bool> = SecondaryMap::new();
    let mut work: Vec<Global> = Vec::new();
    for function in unit.funcs.values() {
        work.extend(mentioned(&function.body).map(|(_, global)| global));
    }
    while let Some(global) = work.pop() {
        let Some(data) = unit.globals.get(global) else { continue };
        if std::mem::replace(&mut is_used[global], true) {
            continue;
        }
        work.extend(data.slots.iter().filter_map(|slot| match &slot.reference {
            Reference::Global { name, .. } => names.get(name).copied(),
            _ => None,
        }));
    }
    if unit.globals.keys().all(|global| is_used[global]) {
        return;
    }
    let mut renumbered: SecondaryMap<Global, PackedOption<Global>> = SecondaryMap::new();
    let mut kept: PrimaryMap<Global, GlobalData> = PrimaryMap::new();
    for (old, data) in std::mem::take(&mut unit.globals) {
        if is_used[old] {
            renumbered[old] = kept.push(data).into();
        }
    }
    unit.globals = kept;
    for function in unit.funcs.values_mut() {
        let body = &mut function.body;
        let mentions: Vec<(Inst, Global)> = mentioned(body).collect();
        for (inst, old) in mentions {
            if let Some(new) = renumbered[old].expand() {
                let id = body.make_symbol(Symbol::Global(new));
                body.set_imm(inst, id.as_u32());
            }
        }
    }
}

/// Why the globals of two units cannot become those of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MergeError {
    /// One slot stands for two things.
    Slot {
        /// The global.
        global: Arc<str>,
        /// Where in it.
        offset: u64,
        /// What it stands for in one.
        first: Reference,
        /// What it stands for in the other; none if that has data there.
        second: Option<Reference>,
    },
    /// Two globals of one name have different types, spaces or first contents.
    Data {
        /// The global.
        global: Arc<str>,
    },
    /// A slot stands for the address of a global that neither unit has.
    Missing {
        /// The global with the slot.
        global: Arc<str>,
        /// Where in it.
        offset: u64,
        /// The one that is missing.
        target: Arc<str>,
    },
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::Slot { global, offset, first, second: Some(second) } => {
                write!(f, "the slot at {offset} of global '{global}' stands for {first} and for {second}")
            }
            MergeError::Slot { global, offset, first, second: None } => {
                write!(
                    f,
                    "the slot at {offset} of global '{global}' stands for {first}, and is data elsewhere"
                )
            }
            MergeError::Data { global } => {
                write!(f, "two globals '{global}' differ in type, space or first contents")
            }
            MergeError::Missing { global, offset, target } => write!(
                f,
                "the slot at {offset} of global '{global}' stands for the address of global '{target}', which is missing"
            ),
        }
    }
}

impl std::error::Error for MergeError {}

/// Merges the globals of a unit into another one's, whose table of types has all types of the first: globals of one name
/// are one, and must be the same, slots included; the larger alignment counts. Functions of the other one are expected
/// behind those that the first has now. Gives what became of each.
///
/// # Errors
/// Two globals of one name differ, or a slot stands for one that is nowhere; nothing was changed.
pub fn merge(into: &mut Unit, from: &Unit) -> Result<SecondaryMap<Global, Global>, MergeError> {
    let mut map = SecondaryMap::with_default(Global::from_u32(0));
    if from.globals.is_empty() {
        return Ok(map);
    }
    let names: FxHashMap<Arc<str>, Global> =
        into.globals.iter().map(|(id, data)| (data.name.clone(), id)).collect();
    let mut count = into.globals.len();
    let (mut added, mut aligned) = (Vec::new(), Vec::new());
    for (old, data) in &from.globals {
        map[old] = match names.get(&data.name) {
            None => {
                let mut data = data.clone();
                for slot in &mut data.slots {
                    if let Reference::Func(func) = &mut slot.reference {
                        *func = Func::new(into.funcs.len() + func.index());
                    }
                }
                added.push(data);
                count += 1;
                Global::new(count - 1)
            }
            Some(&known) => {
                same((into, &into.globals[known]), (from, data))?;
                aligned.push((known, data.align));
                known
            }
        };
    }
    let new: FxHashMap<&str, ()> = added.iter().map(|data| (&*data.name, ())).collect();
    for data in &added {
        for slot in &data.slots {
            if let Reference::Global { name: target, .. } = &slot.reference
                && !names.contains_key(target)
                && !new.contains_key(&**target)
            {
                let (global, offset, target) = (data.name.clone(), slot.offset, target.clone());
                return Err(MergeError::Missing { global, offset, target });
            }
        }
    }
    for (known, align) in aligned {
        let data = &mut into.globals[known];
        data.align = data.align.max(align);
    }
    for data in added {
        into.globals.push(data);
    }
    Ok(map)
}

fn same(known: (&Unit, &GlobalData), other: (&Unit, &GlobalData)) -> Result<(), MergeError> {
    // Units number their functions each in their own way.
    let named = |unit: &Unit, reference: &Reference| match reference {
        Reference::Func(func) => match unit.funcs.get(*func) {
            Some(function) => Reference::method(&function.name, &function.signature.params),
            None => reference.clone(),
        },
        other => other.clone(),
    };
    let slot = |unit: &Unit, slots: &[GlobalSlot], offset: u64| -> Option<Reference> {
        let at = slots.binary_search_by_key(&offset, |slot| slot.offset).ok()?;
        slots.get(at).map(|slot| named(unit, &slot.reference))
    };
    let global = known.1.name.clone();
    for ((unit, mine), (others, theirs)) in [(known, other), (other, known)] {
        for GlobalSlot { offset, reference } in &mine.slots {
            let (first, second) = (named(unit, reference), slot(others, &theirs.slots, *offset));
            if second.as_ref() != Some(&first) {
                return Err(MergeError::Slot { global, offset: *offset, first, second });
            }
        }
    }
    let (known, other) = (known.1, other.1);
    let zeros =
        |data: &GlobalData| data.init.as_deref().is_none_or(|init| init.iter().all(|&byte| byte == 0));
    let init = known.init == other.init || zeros(known) && zeros(other);
    match known.ty == other.ty && known.space == other.space && init {
        true => Ok(()),
        false => Err(MergeError::Data { global }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquetry_ir::program::Words;
    use marquetry_ir::types::{Space, Type};

    fn unit(globals: impl IntoIterator<Item = GlobalData>) -> Unit {
        let mut unit = Unit::default();
        for data in globals {
            unit.globals.push(data);
        }
        unit
    }

    fn word(name: &str) -> GlobalData {
        GlobalData::new(name, Type::I64, Space::Constant)
    }

    #[test]
    fn strategies_have_names() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
        }
        assert_eq!(Strategy::from_name("link"), None);
    }

    #[test]
    fn words_are_written_all_or_none() {
        let slotted = |name: &str| word(name).with_slot(0, Reference::value(name));
        let mut both = unit([slotted("a"), slotted("b"), word("c").with_slot(0, Reference::global("a"))]);
        let before = both.globals.clone();
        let words = Words([(Reference::value("b"), 2)].into());
        let Err(Failure::Program(problems)) = write(&mut both, &words) else { panic!("expected an error") };
        let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
        assert_eq!(messages, ["no word for value \"a\" at 0 in global 'a': the host supplies value \"b\""]);
        assert!(problems.iter().all(|problem| problem.code == Code::Reference));
        assert!(both.globals == before);
        let words = Words([(Reference::value("a"), 1), (Reference::value("b"), 2)].into());
        let written = write(&mut both, &words).unwrap();
        assert_eq!(written, [Reference::value("a"), Reference::value("b")]);
        let first: Vec<Option<u8>> =
            both.globals.values().map(|data| data.init.as_deref().map(|init| init[0])).collect();
        assert_eq!(first, [Some(1), Some(2), None]);
        // The address of a global is nobody's word.
        assert_eq!(both.globals.values().map(|data| data.slots.len()).collect::<Vec<_>>(), [0, 0, 1]);
    }

    /// Prior art T067.
    #[test]
    fn slots_of_one_global_are_one() {
        let a = |reference: Reference| word("g").with_slot(0, reference);
        let mut into = unit([a(Reference::value("x"))]);
        let map = merge(&mut into, &unit([a(Reference::value("x")), word("h")])).unwrap();
        assert_eq!([map[Global::from_u32(0)].as_u32(), map[Global::from_u32(1)].as_u32()], [0, 1]);
        assert_eq!(into.globals.len(), 2);
        let before = into.globals.clone();
        let refused = |into: &mut Unit, from: GlobalData| {
            merge(into, &unit([word("new"), from])).map(drop).unwrap_err().to_string()
        };
        let both = "the slot at 0 of global 'g' stands for value \"x\" and for value \"y\"";
        assert_eq!(refused(&mut into, a(Reference::value("y"))), both);
        let data = "the slot at 0 of global 'g' stands for value \"x\", and is data elsewhere";
        assert_eq!(refused(&mut into, word("g")), data);
        let other = GlobalData::new("h", Type::I32, Space::Constant);
        assert_eq!(refused(&mut into, other), "two globals 'h' differ in type, space or first contents");
        let lost = word("k").with_slot(0, Reference::global("lost"));
        let missing = "the slot at 0 of global 'k' stands for the address of global 'lost', which is missing";
        assert_eq!(refused(&mut into, lost), missing);
        assert!(into.globals == before);
        merge(&mut into, &unit([word("h").with_align(64)])).unwrap();
        assert_eq!(into.globals[Global::from_u32(1)].align, Some(64));
    }

    #[test]
    fn globals_go_with_their_slots() {
        let mut unit = unit([
            word("lost").with_slot(0, Reference::value("x")),
            word("used").with_slot(0, Reference::global("far")),
            word("far").with_slot(0, Reference::global("used")),
        ]);
        let mut body = Body::new();
        let entry = body.make_block();
        body.append_block(entry);
        let symbol = body.make_symbol(Symbol::Global(Global::from_u32(1)));
        let pointer = Type::pointer(Space::Constant);
        let op = marquetry_ir::op::Op::GlobalAddress;
        let inst = body.make_inst(op, pointer, &[], symbol.as_u32());
        body.make_results(inst, &[pointer]);
        body.append_inst(inst, entry);
        unit.funcs.push(marquetry_ir::unit::Function {
            name: "f".into(),
            kind: marquetry_ir::program::MethodKind::Function,
            signature: marquetry_ir::signature::Signature::new([], []),
            body,
            inlining: marquetry_ir::program::Inlining::Auto,
            file: None,
            span: marquetry_ir::span::Span::NOWHERE,
        });
        prune(&mut unit);
        let names: Vec<&str> = unit.globals.values().map(|data| &*data.name).collect();
        assert_eq!(names, ["used", "far"]);
        let body = &unit.funcs.values().next().unwrap().body;
        assert_eq!(mentioned(body).next().map(|(_, global)| global.as_u32()), Some(0));
        prune(&mut unit);
        assert_eq!(unit.globals.len(), 2);
    }
}
