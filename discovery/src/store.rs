//! The objects of one cluster, by name, and the state that they add up to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use causeway_config::{ClusterId, ObjectName};
use causeway_core::cluster::{ClusterState, Freshness, Objects};
use causeway_core::diagnostics::Diagnostic;

use crate::endpoints;
use crate::secret::Secrets;
use crate::translate::{Key, Listed, Object, Translated};

/// Every object that a source has now. It holds only our own types: what it was translated from is gone.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Translated>,
}

impl Store {
    /// Takes an object in, unless one of that kind and name is there; then it comes back.
    pub(crate) fn insert_new(&mut self, translated: Translated) -> Option<Translated> {
        match self.objects.entry(translated.key.clone()) {
            Entry::Occupied(_) => Some(translated),
            Entry::Vacant(place) => {
                place.insert(translated);
                None
            }
        }
    }

    /// What the objects add up to. `more` are faults that belong to no object in the store.
    pub(crate) fn into_state(self, cluster: ClusterId, more: Vec<Diagnostic>) -> (ClusterState, Secrets) {
        let mut objects = Objects::default();
        let mut secrets = Secrets::new();
        let mut diagnostics = more;
        let mut families = BTreeMap::new();
        let mut slices: BTreeMap<ObjectName, Vec<Listed>> = BTreeMap::new();
        for (Key { name, .. }, translated) in self.objects {
            diagnostics.extend(translated.diagnostics);
            match translated.object {
                Object::Service(service, family) => {
                    families.insert(name.clone(), family);
                    objects.services.insert(name, service);
                }
                Object::EndpointSlice(slice) => {
                    if let Some(service) = &slice.service {
                        slices.entry(service.clone()).or_default().extend_from_slice(&slice.endpoints);
                    }
                }
                Object::Ingress(ingress) => drop(objects.ingresses.insert(name, ingress)),
                Object::IngressClass(class) => drop(objects.ingress_classes.insert(name.name, class)),
                Object::Secret(secret) => drop(secrets.insert(name, secret)),
            }
        }
        let endpoints = slices.into_iter().filter_map(|(service, listed)| {
            let merged = endpoints::merge(listed.iter(), families.get(&service).copied().unwrap_or_default());
            (!merged.is_empty()).then(|| (service, Arc::new(merged)))
        });
        let endpoints = Arc::new(endpoints.collect());
        diagnostics.sort();
        diagnostics.dedup();
        let state = ClusterState {
            cluster,
            freshness: Freshness::Synced,
            objects: Arc::new(objects),
            endpoints,
            diagnostics: Arc::new(diagnostics),
        };
        (state, secrets)
    }
}
