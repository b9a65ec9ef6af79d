//! Whether an entry of an image matches a program: its methods are defined as they were, and its look-ups have the answers
//! that they had.
//!
//! Ids of methods and types mean something within one process only. In the file a method is its generic function's name,
//! its table, and a hash of its text with everything that it mentions; a type is its spelling. Both are looked for in the
//! program when an entry is asked for, so an image costs nothing for what nobody asks for.

use super::ImageError;
use super::details::{Details, Types};
use super::format::NONE;
use super::load::LoadedImage;
use super::write::entry_name;
use marquetry_ir::entity::{Func, Method};
use marquetry_ir::program::{Program, Worlds};
use marquetry_ir::text::print_definition;
use marquetry_ir::types;
use marquetry_lower::dispatch::edges::{Edge, Instance};
use marquetry_lower::dispatch::resolve::{Answer, look_up_in};
use marquetry_lower::dispatch::view::View;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// The hash of what a method means, by itself.
pub(super) fn definition_hash(program: &Program, method: Method) -> u128 {
    xxh3_128(print_definition(program, method).as_bytes())
}

/// Hashes of methods of one session's program: a method that has an id is never another one. What it mentions may be a
/// function of the host that is added later: so there is one hash for each number of these.
#[derive(Debug, Default)]
pub(crate) struct Hashes(Mutex<HashMap<(Method, usize), u128>>);

impl Hashes {
    fn of(&self, program: &Program, method: Method) -> u128 {
        let key = (method, program.externs.len());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or_else(|| {
            let hash = definition_hash(program, method);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, hash);
            hash
        })
    }
}

/// An entry that matches.
pub(crate) struct Match {
    pub(crate) details: Details,
    pub(crate) instances: Vec<Instance>,
    /// The table that the instances' types are of: it began as a copy of the program's.
    pub(crate) types: Arc<types::Types>,
    /// Where all of this holds.
    pub(crate) worlds: Worlds,
}

/// Why an entry is not used.
#[derive(Debug)]
pub(crate) enum Mismatch {
    /// The program is another one.
    Stale(String),
    /// The file is damaged.
    Image(ImageError),
}

impl From<ImageError> for Mismatch {
    fn from(error: ImageError) -> Self {
        Mismatch::Image(error)
    }
}

/// An answer in words.
fn spelled(program: &Program, answer: Answer) -> String {
    let method = |method: Method| {
        let data = program.method(method);
        let name = entry_name(&program.types, &data.name, &data.signature.params);
        format!("{name} of table '{}'", program.table_name(data.table()))
    };
    match answer {
        Answer::Nothing => "nothing".to_owned(),
        Answer::Method(found) => method(found),
        Answer::Ambiguous(a, b) => format!("{} or {}", method(a), method(b)),
    }
}

impl LoadedImage {
    /// Compares an entry with what a program says through a view that is pinned to a world. It must be code of this method,
    /// if one is given; else of the one that its name means.
    pub(crate) fn compare(
        &self,
        number: u32,
        program: &Program,
        view: &View,
        method: Option<Method>,
        hashes: &Hashes,
    ) -> Result<Match, Mismatch> {
        let tables = self.tables();
        let mut types = Types::new(program);
        let (details, record) = Details::read(tables, number, &mut types)?;
        let world = view.world(program);
        let mut worlds = Worlds::ALL;
        let find = |definition: u32| -> Result<Method, Mismatch> {
            let missing =
                || ImageError::damaged("definitions", format!("number {definition} does not exist"));
            let (name, table, signature, hash) = tables.definition(definition).ok_or_else(missing)?;
            let methods = program.all_methods_of(name).iter().copied();
            let mut alive = methods.filter(|&method| {
                program.is_alive(method, world) && program.table_name(program.method(method).table()) == table
            });
            let found = alive.find(|&method| hashes.of(program, method) == hash);
            found.ok_or_else(|| {
                Mismatch::Stale(format!("{name}{signature} of table '{table}' is not defined as it was"))
            })
        };
        let root = tables.entry(number).map_or(NONE, |row| row.definition);
        let own = find(root)?;
        let means = method.map_or_else(
            || {
                let instance = record.iter().find(|instance| instance.definition == root)?;
                let name = &program.method(own).name;
                match look_up_in(program, types.table(), view, name, &instance.arguments).answer {
                    Answer::Method(method) => Some(method),
                    Answer::Nothing | Answer::Ambiguous(..) => None,
                }
            },
            Some,
        );
        if let Some(means) = means.filter(|&means| means != own) {
            let now = spelled(program, Answer::Method(means));
            return Err(Mismatch::Stale(format!("it means {now} now")));
        }
        let mut instances = Vec::with_capacity(record.len());
        for instance in &record {
            let method = find(instance.definition)?;
            worlds = worlds.intersect(program.lifetime(method));
            let mut edges = Vec::with_capacity(instance.edges.len());
            for edge in &instance.edges {
                let found = look_up_in(program, types.table(), view, &edge.name, &edge.arguments);
                let same = match (found.answer, &edge.answer[..]) {
                    (Answer::Nothing, []) => true,
                    (Answer::Method(found), &[one]) => found == find(one)?,
                    (Answer::Ambiguous(a, b), &[one, other]) => {
                        let (one, other) = (find(one)?, find(other)?);
                        (a, b) == (one, other) || (b, a) == (one, other)
                    }
                    _ => false,
                };
                if !same {
                    let call = entry_name(types.table(), &edge.name, &edge.arguments);
                    let now = spelled(program, found.answer);
                    return Err(Mismatch::Stale(format!("{call} means {now} now")));
                }
                worlds = worlds.intersect(found.worlds);
                // The hash says that the method mentions the same functions of the host, not since when they are there.
                if let Some(host) = program.find_extern(&edge.name) {
                    let lifetime = program.extern_lifetime(host);
                    if !lifetime.contains(world) {
                        return Err(Mismatch::Stale(format!("'{}' is not there yet", edge.name)));
                    }
                    worlds = worlds.intersect(lifetime);
                }
                let arguments = edge.arguments.clone().into();
                edges.push(Edge { name: edge.name.clone(), arguments, answer: found.answer });
            }
            let arguments = instance.arguments.clone().into();
            let is_first = instance.definition == root && instances.is_empty();
            let is_entry = is_first && !program.method(method).is_generic();
            let alone = is_entry.then(|| view.is_alone(program, method).0);
            instances.push(Instance {
                func: Func::from_u32(0),
                method,
                arguments,
                edges,
                worlds: Worlds::ALL,
                alone,
            });
        }
        self.check_symbols(&details).map_err(|error| Mismatch::Stale(error.to_string()))?;
        Ok(Match { details, instances, types: Arc::new(types.into_table()), worlds })
    }
}
