//! The generic functions of a program by name.
//!
//! A host starts every program, and often every job, with a copy of the library. So what a program has in common with
//! others is a map of its own behind a pointer, which copies share; what it adds or changes lies over it.

use super::overloads::Function;
use rustc_hash::FxHashMap;
use std::sync::Arc;

type Functions = FxHashMap<Arc<str>, Arc<Function>>;

/// The generic functions by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    shared: Arc<Functions>,
    /// Asked first.
    own: Functions,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<&Function> {
        self.own.get(name).or_else(|| self.shared.get(name)).map(|function| &**function)
    }

    /// A function to be changed: a copy of its own if it was shared, none yet if there was none.
    pub(super) fn entry(&mut self, name: Arc<str>) -> &mut Function {
        let Names { shared, own } = self;
        let function =
            own.entry(name).or_insert_with_key(|name| shared.get(name).cloned().unwrap_or_default());
        Arc::make_mut(function)
    }

    /// Makes copies share all that is there now.
    pub(super) fn share(&mut self) {
        Arc::make_mut(&mut self.shared).extend(self.own.drain());
    }
}
