//! Functions of the host: each is there from a world on, and stays.

use super::world::Change;
use super::{ExternData, Program, World, Worlds};
use crate::entity::Extern;

impl Program {
    /// Adds a function of the host: from the next world on it is what calls mean that no method fits.
    ///
    /// # Errors
    /// One of this name exists already: that one.
    pub fn add_extern(&mut self, data: ExternData) -> Result<Extern, Extern> {
        if let Some(&existing) = self.extern_names.get(&data.name) {
            return Err(existing);
        }
        let name = data.name.clone();
        let id = self.externs.push(data);
        self.extern_names.insert(name, id);
        self.advance(Change::Extern(id));
        self.extern_worlds[id] = self.world;
        Ok(id)
    }

    /// The host's function of this name.
    pub fn find_extern(&self, name: &str) -> Option<Extern> {
        self.extern_names.get(name).copied()
    }

    /// The host's function of this name, if it is there in a world.
    pub fn find_extern_in(&self, name: &str, world: World) -> Option<Extern> {
        self.find_extern(name).filter(|&id| self.extern_lifetime(id).contains(world))
    }

    /// The worlds in which a function of the host is there: all from the one that adding it made.
    pub fn extern_lifetime(&self, id: Extern) -> Worlds {
        Worlds { from: self.extern_worlds[id], until: World::MAX }
    }

    /// The functions of the host that were added after a world, of what is not forgotten.
    pub fn externs_since(&self, world: World) -> impl Iterator<Item = Extern> {
        self.steps_since(world).iter().filter_map(|change| match change {
            Change::Extern(id) => Some(*id),
            Change::Method(_) | Change::Other => None,
        })
    }
}
