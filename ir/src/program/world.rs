//! Worlds: moments in the history of a program.

use crate::entity::{Extern, Method};

/// A moment in the history of a program: how many changes to its methods, and functions of the
/// host that were added, came before.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct World(pub u64);

impl World {
    /// After everything.
    pub const MAX: World = World(u64::MAX);
}

/// The worlds in which something holds: from the first, up to but without the second.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Worlds {
    /// The first.
    pub from: World,
    /// The first after them; [`World::MAX`] if there is none yet.
    pub until: World,
}

impl Worlds {
    /// All of them.
    pub const ALL: Worlds = Worlds { from: World(0), until: World::MAX };

    /// Whether a world is among them.
    pub fn contains(self, world: World) -> bool {
        self.from <= world && world < self.until
    }

    /// Those that come before all of these.
    pub fn before(self) -> Worlds {
        Worlds { from: World(0), until: self.from }
    }

    /// Those in both.
    pub fn intersect(self, other: Worlds) -> Worlds {
        Worlds { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

/// What a step from one world to the next was about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Method(Method),
    Extern(Extern),
    /// How types relate, say.
    Other,
}
