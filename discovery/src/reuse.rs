//! Shares what did not change: `compile` compares pointers to see what it can keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_core::cluster::{ClusterState, Objects};

/// `new`, built from `old`'s parts wherever they are equal: `objects` is the very same `Arc` when only endpoints changed, and so
/// is every Service's, every Ingress's and every Service's list of endpoints that did not change.
#[must_use]
pub fn reuse(old: &ClusterState, new: ClusterState) -> ClusterState {
    ClusterState {
        objects: share(&old.objects, new.objects, |old, new| Objects {
            services: share_values(&old.services, new.services),
            ingresses: share_values(&old.ingresses, new.ingresses),
            ingress_classes: new.ingress_classes,
        }),
        endpoints: share(&old.endpoints, new.endpoints, share_values),
        diagnostics: share(&old.diagnostics, new.diagnostics, |_, new| new),
        cluster: new.cluster,
        freshness: new.freshness,
    }
}

/// Whether two states are one and the same, after [`reuse`].
pub(crate) fn same(a: &ClusterState, b: &ClusterState) -> bool {
    a.cluster == b.cluster
        && a.freshness == b.freshness
        && Arc::ptr_eq(&a.objects, &b.objects)
        && Arc::ptr_eq(&a.endpoints, &b.endpoints)
        && Arc::ptr_eq(&a.diagnostics, &b.diagnostics)
}

fn share<T: PartialEq + Clone>(old: &Arc<T>, new: Arc<T>, inside: impl FnOnce(&T, T) -> T) -> Arc<T> {
    if Arc::ptr_eq(old, &new) || **old == *new { old.clone() } else { Arc::new(inside(old, Arc::unwrap_or_clone(new))) }
}

fn share_values<K: Ord, V: PartialEq>(old: &BTreeMap<K, Arc<V>>, new: BTreeMap<K, Arc<V>>) -> BTreeMap<K, Arc<V>> {
    let keep = |(key, value): (K, Arc<V>)| {
        let kept = old.get(&key).filter(|old| ***old == *value).cloned();
        (key, kept.unwrap_or(value))
    };
    new.into_iter().map(keep).collect()
}
