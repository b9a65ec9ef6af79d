//! What hosts attach to compiled jobs: one value per type.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

type Attached = Vec<(TypeId, Arc<dyn Any + Send + Sync>)>;

/// Values by their type; few.
#[derive(Default)]
pub(super) struct Results(Mutex<Attached>);

impl Results {
    /// The value of a type, made when first asked for.
    pub(super) fn get<V: Default + Send + Sync + 'static>(&self) -> Arc<V> {
        let id = TypeId::of::<V>();
        let find = |list: &Attached| {
            let known = list.iter().find(|(known, _)| *known == id);
            known.and_then(|(_, value)| value.clone().downcast::<V>().ok())
        };
        if let Some(known) = find(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        // The host's code runs without the lock; whoever is first wins.
        let fresh = Arc::new(V::default());
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match find(&list) {
            Some(known) => known,
            None => {
                list.push((id, fresh.clone()));
                fresh
            }
        }
    }
}
