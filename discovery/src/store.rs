//! The objects of one cluster, by name, and the state that they add up to.
//!
//! What is derived from an object is brought up to date when the state is asked for, and only where something changed: a
//! watch that follows thousands of changes a second must not pay for the tens of thousands of objects that did not. The maps
//! of a state are shared with whoever holds it, and copied (pointers, not objects) before the next change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causeway_config::{ClusterId, ObjectName};
use causeway_core::cluster::{ClusterState, Endpoints, Freshness, Objects};
use causeway_core::diagnostics::Diagnostic;

use crate::endpoints;
use crate::secret::Secret;
use crate::translate::{Family, Key, Kind, Object, Slice, Translated};

/// Secrets and `ConfigMap`s of one cluster.
pub type Secrets = BTreeMap<Key, Arc<Secret>>;

/// Every object that a source has now. It holds only our own types: what it was translated from is gone.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Translated>,
    derived: Derived,
    /// Services whose endpoints are to be put together anew.
    stale: BTreeSet<ObjectName>,
    /// Objects with diagnostics.
    faulty: BTreeSet<Key>,
    /// Services, each with the names of its slices, which are of its namespace.
    slices: BTreeSet<(ObjectName, Arc<str>)>,
    /// By kind, in the order of [`Kind::ALL`].
    counts: [usize; Kind::ALL.len()],
}

/// What the objects add up to.
#[derive(Debug, Default)]
struct Derived {
    objects: Arc<Objects>,
    endpoints: Arc<Endpoints>,
    secrets: Secrets,
}

impl Store {
    /// Takes an object in, unless one of that kind and name is there; then it comes back.
    pub(crate) fn insert_new(&mut self, translated: Translated) -> Option<Translated> {
        if self.objects.contains_key(&translated.key) {
            return Some(translated);
        }
        self.put(translated);
        None
    }

    /// Takes an object in, in place of the one of that kind and name. Tells whether that changed anything.
    pub(crate) fn put(&mut self, translated: Translated) -> bool {
        if self.objects.get(&translated.key) == Some(&translated) {
            return false;
        }
        match self.objects.remove(&translated.key) {
            Some(before) => self.forget(&before),
            None => self.counts[translated.key.kind as usize] += 1,
        }
        self.learn(&translated);
        self.objects.insert(translated.key.clone(), translated);
        true
    }

    /// Removes an object. Tells whether it was there.
    pub(crate) fn remove(&mut self, key: &Key) -> bool {
        let Some(before) = self.objects.remove(key) else { return false };
        self.forget(&before);
        self.counts[key.kind as usize] -= 1;
        let name = &key.name;
        match &before.object {
            Object::Service(..) => {
                Arc::make_mut(&mut self.derived.objects).services.remove(name);
                self.stale.insert(name.clone());
            }
            // Its Service was marked when it was forgotten.
            Object::EndpointSlice(_) => {}
            Object::Ingress(_) => drop(Arc::make_mut(&mut self.derived.objects).ingresses.remove(name)),
            Object::IngressClass(_) => drop(Arc::make_mut(&mut self.derived.objects).ingress_classes.remove(&name.name)),
            Object::Namespace(_) => drop(Arc::make_mut(&mut self.derived.objects).namespaces.remove(&name.name)),
            Object::Secret(_) => drop(self.derived.secrets.remove(key)),
            Object::Node(_) => drop(Arc::make_mut(&mut self.derived.objects).nodes.remove(&name.name)),
        }
        true
    }

    /// Makes the objects of a kind, of one namespace or of all, exactly these. Tells whether that changed anything.
    pub(crate) fn replace(&mut self, kind: Kind, namespace: Option<&str>, list: Vec<Translated>) -> bool {
        let mut gone: BTreeSet<Key> = self.keys(kind, namespace).cloned().collect();
        let mut changed = false;
        for translated in list {
            gone.remove(&translated.key);
            changed |= self.put(translated);
        }
        for key in &gone {
            changed |= self.remove(key);
        }
        changed
    }

    /// The objects of a kind, of one namespace or of all.
    pub(crate) fn keys(&self, kind: Kind, namespace: Option<&str>) -> impl Iterator<Item = &Key> {
        let first = Key { kind, name: ObjectName::new(namespace.unwrap_or_default(), "") };
        let of_namespace = move |key: &&Key| namespace.is_none_or(|namespace| &*key.name.namespace == namespace);
        self.objects.range(first..).map(|(key, _)| key).take_while(move |key| key.kind == kind).take_while(of_namespace)
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Every object.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Translated> {
        self.objects.values()
    }

    /// The Secrets and `ConfigMap`s.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.derived.secrets
    }

    /// What the objects add up to. `more` are faults that belong to no object in the store.
    pub(crate) fn state(&mut self, cluster: ClusterId, more: Vec<Diagnostic>) -> ClusterState {
        self.merge_endpoints();
        let of_objects = self.faulty.iter().filter_map(|key| self.objects.get(key)).flat_map(|object| &object.diagnostics);
        let mut diagnostics = more;
        diagnostics.extend(of_objects.cloned());
        diagnostics.sort();
        diagnostics.dedup();
        ClusterState {
            cluster,
            freshness: Freshness::Synced,
            objects: self.derived.objects.clone(),
            endpoints: self.derived.endpoints.clone(),
            diagnostics: Arc::new(diagnostics),
        }
    }

    /// Does to what is derived what a new object does.
    fn learn(&mut self, translated: &Translated) {
        let key = &translated.key;
        if !translated.diagnostics.is_empty() {
            self.faulty.insert(key.clone());
        }
        let name = key.name.clone();
        match &translated.object {
            Object::Service(service, _) => {
                Arc::make_mut(&mut self.derived.objects).services.insert(name.clone(), service.clone());
                // Its address family orders its endpoints.
                self.stale.insert(name);
            }
            Object::EndpointSlice(slice) => {
                if let Some(service) = &slice.service {
                    self.slices.insert((service.clone(), key.name.name.clone()));
                    self.stale.insert(service.clone());
                }
            }
            Object::Ingress(ingress) => {
                drop(Arc::make_mut(&mut self.derived.objects).ingresses.insert(name, ingress.clone()));
            }
            Object::IngressClass(class) => {
                drop(Arc::make_mut(&mut self.derived.objects).ingress_classes.insert(name.name, class.clone()));
            }
            Object::Namespace(namespace) => {
                Arc::make_mut(&mut self.derived.objects).namespaces.insert(name.name, *namespace);
            }
            Object::Secret(secret) => drop(self.derived.secrets.insert(key.clone(), secret.clone())),
            Object::Node(node) => drop(Arc::make_mut(&mut self.derived.objects).nodes.insert(name.name, *node)),
        }
    }

    /// Undoes what an object that is out of `objects` had left elsewhere, but for its place in the derived maps.
    fn forget(&mut self, before: &Translated) {
        if !before.diagnostics.is_empty() {
            self.faulty.remove(&before.key);
        }
        if let Object::EndpointSlice(slice) = &before.object
            && let Some(service) = &slice.service
        {
            self.stale.insert(service.clone());
            self.slices.remove(&(service.clone(), before.key.name.name.clone()));
        }
    }

    fn merge_endpoints(&mut self) {
        for service in std::mem::take(&mut self.stale) {
            let family = match self.objects.get(&Key { kind: Kind::Service, name: service.clone() }).map(|found| &found.object) {
                Some(Object::Service(_, family)) => *family,
                _ => Family::default(),
            };
            let merged = endpoints::of_service(self.slices_of(&service), family);
            let before = self.derived.endpoints.get(&service);
            if before.is_some_and(|before| *before == merged) || before.is_none() && merged.is_empty() {
                continue;
            }
            let endpoints = Arc::make_mut(&mut self.derived.endpoints);
            if merged.is_empty() {
                endpoints.remove(&service);
            } else {
                endpoints.insert(service, merged);
            }
        }
    }

    /// The slices of a Service, in the order of their names.
    fn slices_of(&self, service: &ObjectName) -> impl Iterator<Item = &Slice> {
        let first = (service.clone(), Arc::default());
        let of_service = self.slices.range(first..).take_while(move |(of, _)| of == service);
        of_service.filter_map(|(of, name)| {
            let key = Key { kind: Kind::EndpointSlice, name: ObjectName { namespace: of.namespace.clone(), name: name.clone() } };
            match &self.objects.get(&key)?.object {
                Object::EndpointSlice(slice) => Some(&**slice),
                _ => None,
            }
        })
    }
}
