//! Metrics of one family by their labels, found without a lock once they are made.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use arc_swap::ArcSwap;

pub(super) struct Made<K, M>(ArcSwap<HashMap<K, M>>);

impl<K, M> Default for Made<K, M> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<K: Clone + Eq + Hash, M: Clone> Made<K, M> {
    pub(super) fn get<Q>(&self, key: &Q, make: impl FnOnce() -> (K, M)) -> M
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(found) = self.0.load().get(key) {
            return found.clone();
        }
        let (key, made) = make();
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(key.clone(), made.clone());
            all
        });
        made
    }
}
