//! The cache: what was compiled, by instance and config, and for which worlds it is right.
//!
//! An entry holds in a range of worlds. Its start is known when it is made; its end is open until a change makes one of
//! its look-ups mean something else. Which entries a change concerns is found through [`Dependents`]: only the look-ups
//! of names that changed are asked again. An entry that was closed stays, for jobs that are pinned to its worlds, until
//! the host says that nobody will ask for them any more.

use super::Job;
use super::config::Config;
use super::results::Results;
use crate::compile::Compiled;
use marquetry_ir::program::{Program, World, Worlds};
use marquetry_ir::types::Types;
use marquetry_lower::dispatch::edges::{Dependent, Dependents, Instance};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::JobEntry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// What is compiled, and how: a job without its world.
pub(super) type Key = (JobEntry, Config);

/// The number of an entry, never used twice.
pub(super) type Id = u64;

/// What belongs to one entry and is shared with whoever asked for it.
#[derive(Default)]
pub(super) struct Object {
    pub(super) compiled: OnceLock<Arc<Compiled>>,
    pub(super) results: Results,
}

/// What an entry depends on.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) instances: Vec<Instance>,
    pub(super) types: Arc<Types>,
    pub(super) view: View,
}

pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    pub(super) worlds: Worlds,
    pub(super) object: Arc<Object>,
    pub(super) session_dependent: bool,
    /// What it depends on, while its end is open.
    record: Vec<Record>,
    /// Whether the dependents have yet to take its record in.
    pending: bool,
    /// How many dependents are its.
    owned: usize,
    /// Entries that have this one as a child.
    parents: Vec<Id>,
}

/// All entries.
#[derive(Default)]
pub(super) struct Cache {
    /// By config and entry, so that looking needs no copy of either.
    by_key: HashMap<Config, HashMap<JobEntry, Vec<Id>>>,
    entries: BTreeMap<Id, Entry>,
    next: Id,
    dependents: Dependents,
    /// By number of dependent, the entry.
    owners: Vec<Id>,
    /// How many of these belong to entries that are closed.
    dead: usize,
    /// Entries whose records the dependents do not have yet.
    pending: Vec<Id>,
}

/// What a new entry is made of.
pub(super) struct New {
    pub(super) key: Key,
    /// The world that it was compiled for.
    pub(super) world: World,
    /// Where it is right, as the program said that it was compiled from.
    pub(super) worlds: Worlds,
    /// The last world of that program.
    pub(super) seen: World,
    pub(super) record: Vec<Record>,
    pub(super) children: Vec<(Key, World)>,
}

impl Cache {
    /// The entry for a job.
    pub(super) fn find(&self, entry: &JobEntry, config: &Config, world: World) -> Option<(Id, &Entry)> {
        let ids = self.by_key.get(config)?.get(entry)?;
        let known = ids.iter().filter_map(|id| Some((*id, self.entries.get(id)?)));
        known.rev().find(|(_, entry)| entry.worlds.contains(world))
    }

    pub(super) fn find_mut(&mut self, job: &Job) -> Option<&mut Entry> {
        let (id, _) = self.find(&job.entry, &job.config, job.world)?;
        self.entries.get_mut(&id)
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry, or gives the one that is there already. `now` is the program's present world: of an entry that was
    /// compiled from an earlier state, nothing is known about what came after.
    ///
    /// One that is there without code was only prepared, or wiped: then what is new replaces what it depended on, since
    /// what compiling finds out besides (children, and what late stages link) nobody knew before.
    pub(super) fn insert(&mut self, new: New, now: World) -> Arc<Object> {
        let New { key, world, mut worlds, seen, record, children } = new;
        let known =
            self.find(&key.0, &key.1, world).map(|(id, entry)| (id, entry.object.clone(), entry.worlds));
        if let Some((_, object, _)) = &known
            && object.compiled.get().is_some()
        {
            return object.clone();
        }
        if worlds.until == World::MAX && seen < now {
            worlds.until = World(seen.0 + 1);
        }
        let children: Vec<Option<Id>> =
            children.iter().map(|(key, world)| self.find(&key.0, &key.1, *world).map(|(id, _)| id)).collect();
        for child in &children {
            worlds = match child.and_then(|id| self.entries.get(&id)) {
                Some(child) => worlds.intersect(child.worlds),
                // A child that is its own ancestor is not there yet: it holds while this does.
                None => worlds,
            };
        }
        let (id, object) = match known {
            Some((id, object, before)) => {
                worlds = worlds.intersect(before);
                (id, object)
            }
            None => {
                let id = self.next;
                self.next += 1;
                (id, self.add(id, key))
            }
        };
        for child in children.into_iter().flatten() {
            if let Some(child) =
                self.entries.get_mut(&child).filter(|child| child.parents.last() != Some(&id))
            {
                child.parents.push(id);
            }
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.record = record;
            // What the dependents have of it stays with them until they are made anew, and means nothing more.
            self.dead += std::mem::take(&mut entry.owned);
            if !std::mem::replace(&mut entry.pending, true) {
                self.pending.push(id);
            }
        }
        self.narrow(id, worlds);
        object
    }

    /// Adds an entry of which nothing is known yet.
    fn add(&mut self, id: Id, key: Key) -> Arc<Object> {
        let object = Arc::new(Object::default());
        let entry = Entry {
            key: Arc::new(key.clone()),
            worlds: Worlds::ALL,
            object: object.clone(),
            session_dependent: false,
            record: Vec::new(),
            pending: false,
            owned: 0,
            parents: Vec::new(),
        };
        self.entries.insert(id, entry);
        self.by_key.entry(key.1).or_default().entry(key.0).or_default().push(id);
        object
    }

    /// Makes an entry, and those that have it as a child, hold in no other worlds than these.
    fn narrow(&mut self, id: Id, worlds: Worlds) {
        let mut worklist = vec![id];
        while let Some(id) = worklist.pop() {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let narrower = entry.worlds.intersect(worlds);
            if narrower == entry.worlds {
                continue;
            }
            entry.worlds = narrower;
            if narrower.until != World::MAX {
                entry.record = Vec::new();
                self.dead += std::mem::take(&mut entry.owned);
            }
            worklist.extend(&entry.parents);
        }
    }

    /// Closes the entries that the changes since a world make wrong; gives their keys. `program` is what comes after the
    /// changes, `relations` whether they changed how types relate, which concerns everything.
    pub(super) fn publish(&mut self, program: &mut Program, since: World, relations: bool) -> Vec<Arc<Key>> {
        self.forget_closed();
        let mut closed = Vec::new();
        for id in std::mem::take(&mut self.pending) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.pending = false;
            if entry.worlds.until != World::MAX {
                entry.record = Vec::new();
                continue;
            }
            let (mut known, mut owned) = (true, 0);
            for record in &entry.record {
                for instance in &record.instances {
                    match self.dependents.add(program, &record.types, &record.view, instance) {
                        Ok(_) => {
                            self.owners.push(id);
                            owned += 1;
                        }
                        // Its types cannot be made here, so it cannot be followed: it ends now.
                        Err(_) => known = false,
                    }
                }
            }
            entry.owned = owned;
            if !known {
                self.close(id, since, &mut Vec::new());
            }
        }
        if relations {
            let open: Vec<Id> = self.open().collect();
            open.into_iter().for_each(|id| self.close(id, since, &mut closed));
            return closed;
        }
        let stale: Vec<Dependent> = self.dependents.invalidated_since(program, since);
        let mut ids: Vec<Id> =
            stale.iter().filter_map(|dependent| self.owners.get(dependent.0 as usize).copied()).collect();
        ids.dedup();
        ids.into_iter().for_each(|id| self.close(id, since, &mut closed));
        closed
    }

    fn open(&self) -> impl Iterator<Item = Id> {
        let open = self.entries.iter().filter(|(_, entry)| entry.worlds.until == World::MAX);
        open.map(|(id, _)| *id)
    }

    /// Ends an entry, and those that have it as a child, after a world; adds the keys of those that were open. What they
    /// depended on goes when there is much of it: a change that ends very many should not wait for that.
    fn close(&mut self, id: Id, last: World, closed: &mut Vec<Arc<Key>>) {
        let (mut next, mut worklist) = (Some(id), Vec::new());
        while let Some(id) = next {
            if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.worlds.until == World::MAX) {
                entry.worlds.until = World(last.0 + 1);
                self.dead += std::mem::take(&mut entry.owned);
                closed.push(entry.key.clone());
                worklist.extend(&entry.parents);
            }
            next = worklist.pop();
        }
    }

    /// Makes the dependents anew when most of them belong to entries that are closed.
    fn forget_closed(&mut self) {
        const FEW: usize = 1024;
        if self.dead > FEW && self.dead > self.owners.len() / 2 {
            self.dead = 0;
            self.dependents = Dependents::new();
            self.owners.clear();
            self.pending = self.open().collect();
            for entry in self.entries.values_mut() {
                entry.owned = 0;
                entry.pending = entry.worlds.until == World::MAX;
                if !entry.pending {
                    entry.record = Vec::new();
                }
            }
        }
    }

    /// Takes out the entries that hold in no world from this one on.
    pub(super) fn forget_before(&mut self, world: World) -> Vec<Entry> {
        let past = self.entries.iter().filter(|(_, entry)| entry.worlds.until <= world);
        let past: Vec<Id> = past.map(|(id, _)| *id).collect();
        let taken = past.iter().filter_map(|id| self.entries.remove(id)).collect();
        let entries = &self.entries;
        self.by_key.retain(|_, of_config| {
            of_config.retain(|_, ids| {
                ids.retain(|id| entries.contains_key(id));
                !ids.is_empty()
            });
            !of_config.is_empty()
        });
        taken
    }
}

impl From<&Job> for Key {
    fn from(job: &Job) -> Self {
        (job.entry.clone(), job.config.clone())
    }
}
