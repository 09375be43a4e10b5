//! Shares what did not change: `compile` compares pointers to see what it can keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_core::cluster::{ClusterState, Endpoints, Objects};
use causeway_core::diagnostics::Diagnostic;

/// `new`, built from `old`'s parts wherever they are equal: `objects` is the very same `Arc` when only endpoints changed, and so
/// is every Service's, every Ingress's and every Service's list of endpoints that did not change.
///
/// What is shared already costs a comparison of pointers, and no copy is made where nothing is left to share: a source that keeps
/// its objects and changes few of them comes by thousands of times a minute.
#[must_use]
pub fn reuse(old: &ClusterState, new: ClusterState) -> ClusterState {
    ClusterState {
        objects: share_objects(&old.objects, new.objects),
        endpoints: share_endpoints(&old.endpoints, new.endpoints),
        diagnostics: share_diagnostics(old, new.diagnostics),
        cluster: new.cluster,
        freshness: new.freshness,
    }
}

/// The old diagnostics, if they are equal.
pub(crate) fn share_diagnostics(old: &ClusterState, new: Arc<Vec<Diagnostic>>) -> Arc<Vec<Diagnostic>> {
    if old.diagnostics == new { old.diagnostics.clone() } else { new }
}

/// Whether two states are one and the same, after [`reuse`].
pub(crate) fn same(a: &ClusterState, b: &ClusterState) -> bool {
    a.cluster == b.cluster
        && a.freshness == b.freshness
        && Arc::ptr_eq(&a.objects, &b.objects)
        && Arc::ptr_eq(&a.endpoints, &b.endpoints)
        && Arc::ptr_eq(&a.diagnostics, &b.diagnostics)
}

fn share_objects(old: &Arc<Objects>, mut new: Arc<Objects>) -> Arc<Objects> {
    if Arc::ptr_eq(old, &new) {
        return new;
    }
    let services = Common::of(&old.services, &new.services);
    let ingresses = Common::of(&old.ingresses, &new.ingresses);
    let others = old.ingress_classes == new.ingress_classes && old.namespaces == new.namespaces && old.nodes == new.nodes;
    if services.all && ingresses.all && others {
        return old.clone();
    }
    services.put_into(&mut new, |objects| &mut objects.services);
    ingresses.put_into(&mut new, |objects| &mut objects.ingresses);
    new
}

fn share_endpoints(old: &Arc<Endpoints>, mut new: Arc<Endpoints>) -> Arc<Endpoints> {
    if Arc::ptr_eq(old, &new) {
        return new;
    }
    let common = Common::of(old, &new);
    if common.all {
        return old.clone();
    }
    common.put_into(&mut new, |endpoints| endpoints);
    new
}

/// What two maps have in common.
struct Common<K, V> {
    /// Whether they are equal.
    all: bool,
    /// The old values that are equal to new ones without being the same.
    old: Vec<(K, Arc<V>)>,
}

impl<K: Ord + Clone, V: PartialEq> Common<K, V> {
    /// Walks both maps side by side.
    fn of(old: &BTreeMap<K, Arc<V>>, new: &BTreeMap<K, Arc<V>>) -> Self {
        let mut common = Self { all: old.len() == new.len(), old: Vec::new() };
        let mut before = old.iter().peekable();
        for (key, value) in new {
            while before.next_if(|(other, _)| *other < key).is_some() {}
            match before.next_if(|(other, _)| *other == key) {
                Some((_, old)) if Arc::ptr_eq(old, value) => {}
                Some((_, old)) if **old == **value => common.old.push((key.clone(), old.clone())),
                _ => common.all = false,
            }
        }
        common
    }

    fn put_into<T: Clone>(self, new: &mut Arc<T>, map: impl FnOnce(&mut T) -> &mut BTreeMap<K, Arc<V>>) {
        if !self.old.is_empty() {
            map(Arc::make_mut(new)).extend(self.old);
        }
    }
}
