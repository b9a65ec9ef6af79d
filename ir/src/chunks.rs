//! A list whose copies share what they have in common: copying costs a word per chunk, changing one place copies its
//! chunk. So that a program of very many methods can be copied for every change.

use cranelift_entity::EntityRef;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

const CHUNK: usize = 128;

/// The list, by dense ids.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<K, V> {
    chunks: Vec<Arc<Vec<V>>>,
    len: usize,
    keys: PhantomData<K>,
}

impl<K: EntityRef, V: Clone> Chunks<K, V> {
    pub(crate) fn new() -> Self {
        Chunks { chunks: Vec::new(), len: 0, keys: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn next_key(&self) -> K {
        K::new(self.len)
    }

    pub(crate) fn push(&mut self, value: V) -> K {
        let key = self.next_key();
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(value);
            self.len += 1;
        }
        key
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.chunks.get(key.index() / CHUNK)?.get(key.index() % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let chunk = self.chunks.get_mut(key.index() / CHUNK)?;
        // Nothing is copied for a place that is not there.
        (key.index() < self.len).then(|| Arc::make_mut(chunk).get_mut(key.index() % CHUNK))?
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).enumerate().map(|(n, value)| (K::new(n), value))
    }
}

impl<K: EntityRef, V> Index<K> for Chunks<K, V> {
    type Output = V;

    fn index(&self, key: K) -> &V {
        &self.chunks[key.index() / CHUNK][key.index() % CHUNK]
    }
}

impl<K: EntityRef, V: Clone> IndexMut<K> for Chunks<K, V> {
    fn index_mut(&mut self, key: K) -> &mut V {
        &mut Arc::make_mut(&mut self.chunks[key.index() / CHUNK])[key.index() % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Method;

    #[test]
    fn copies_do_not_see_each_others_changes() {
        let mut list = Chunks::<Method, usize>::new();
        for n in 0..1000 {
            assert_eq!(list.push(n).index(), n);
        }
        let mut copy = list.clone();
        copy[Method::from_u32(300)] = 7;
        copy.push(8);
        assert_eq!((list.len(), copy.len()), (1000, 1001));
        assert_eq!((list[Method::from_u32(300)], copy[Method::from_u32(300)]), (300, 7));
        assert!(list.get(Method::from_u32(1000)).is_none());
        assert!(list.iter().all(|(method, &value)| method.index() == value));
        assert_eq!(copy.iter().count(), 1001);
    }
}
