//! Secrets and `ConfigMap`s to the authorities that backends are believed by.
//!
//! Every object is parsed once for as long as it does not change. One that is missing or cannot be used is left out of what is
//! published, and said: its backends are not called then, since nobody else may vouch for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_certs::Authorities;
use causeway_config::{CaRef, ClusterId, ObjectName};
use causeway_core::{Diagnostic, Severity, Snapshot};
use causeway_discovery::translate::Key;
use causeway_discovery::{Secret, SecretsView};

use crate::authorities::{self, AuthoritiesCell, BackendCa};

/// How long an object that was just asked for may take to arrive before it is called missing, in seconds.
const ARRIVAL: i64 = 5;

/// The objects that are named, each with a Service that does.
pub(super) type Named = BTreeMap<(ClusterId, CaRef), ObjectName>;

type Made = Result<BackendCa, String>;

/// What is known of them, and the one writer of the cell.
#[derive(Default)]
pub(super) struct Vouchers {
    cell: AuthoritiesCell,
    named: Named,
    view: SecretsView,
    /// What objects said last, and what was made of it.
    made: BTreeMap<(ClusterId, CaRef), (Arc<Secret>, Made)>,
    /// Until when those that are not there may be on their way.
    missing: BTreeMap<(ClusterId, CaRef), i64>,
    /// How many of them were said to be missing.
    told: usize,
    diagnostics: Vec<Diagnostic>,
}

/// What a snapshot names.
pub(super) fn named(snapshot: &Snapshot) -> Named {
    snapshot.backend_authorities()
}

impl Vouchers {
    /// Where they are published.
    pub(super) fn cell(&self) -> AuthoritiesCell {
        Arc::clone(&self.cell)
    }

    /// What is wrong with them now.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether one is overdue, and that was not said yet.
    pub(super) fn due(&mut self, now: i64) -> bool {
        // What was made stays; only what is said of it changes.
        let due = self.late(now).count() != self.told;
        if due {
            self.diagnose(now);
        }
        due
    }

    /// Makes and publishes them, if what they are made of changed.
    pub(super) fn rebuild(&mut self, named: Named, view: &SecretsView, now: i64) {
        if self.named == named && Arc::ptr_eq(&self.view, view) {
            return;
        }
        let mut made = BTreeMap::new();
        for key in named.keys() {
            let Some(object) = view.get(&(key.0.clone(), Key::from(&key.1))) else { continue };
            let known = self.made.remove(key).filter(|(known, _)| Arc::ptr_eq(known, object) || known == object);
            made.insert(key.clone(), known.unwrap_or_else(|| (Arc::clone(object), make(object))));
        }
        self.missing.retain(|key, _| named.contains_key(key) && !made.contains_key(key));
        for key in named.keys().filter(|key| !made.contains_key(key)) {
            self.missing.entry(key.clone()).or_insert(now + ARRIVAL);
        }
        let usable = made.iter().filter_map(|(key, (_, made))| Some((key.clone(), made.as_ref().ok()?.clone())));
        self.cell.store(Arc::new(authorities::Authorities { backends: usable.collect() }));
        (self.named, self.view, self.made) = (named, Arc::clone(view), made);
        self.diagnose(now);
    }

    fn late(&self, now: i64) -> impl Iterator<Item = &(ClusterId, CaRef)> {
        self.missing.iter().filter(move |(_, until)| **until <= now).map(|(key, _)| key)
    }

    fn diagnose(&mut self, now: i64) {
        self.told = self.late(now).count();
        let missing = self.late(now).map(|key| (key, "it is not there"));
        let broken = self.made.iter().filter_map(|(key, (_, made))| Some((key, made.as_ref().err()?.as_str())));
        let told = |(key, why): (&(ClusterId, CaRef), &str)| diagnostic(key, &self.named[key], why);
        self.diagnostics = missing.chain(broken).map(told).collect();
    }
}

fn make(object: &Secret) -> Made {
    let pem = object.authorities().map_err(|error| error.to_string())?;
    Authorities::from_pem(pem).map(|authorities| BackendCa::from(&authorities)).map_err(|error| error.to_string())
}

fn diagnostic((cluster, ca): &(ClusterId, CaRef), service: &ObjectName, why: &str) -> Diagnostic {
    let (kind, command) = match ca {
        CaRef::Secret(_) => ("secret", "secret generic"),
        CaRef::ConfigMap(_) => ("configmap", "configmap"),
    };
    let ObjectName { namespace, name } = ca.name();
    Diagnostic {
        severity: Severity::Error,
        cluster: Some(cluster.clone()),
        object: format!("Service {service}"),
        field: format!("metadata.annotations[causeway.dev/backend-ca-{kind}]"),
        problem: format!("{ca} cannot vouch for its backends, which are not called: {why}"),
        remedy: format!(
            "create it with `kubectl --namespace {namespace} create {command} {name} --from-file=ca.crt`, or correct the annotation"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_discovery::SecretKind;

    use super::*;

    fn key(ca: CaRef) -> (ClusterId, CaRef) {
        ("aws".parse().unwrap(), ca)
    }

    fn secret() -> (ClusterId, CaRef) {
        key(CaRef::Secret(ObjectName::new("shop", "ca")))
    }

    fn map() -> (ClusterId, CaRef) {
        key(CaRef::ConfigMap(ObjectName::new("shop", "ca")))
    }

    fn named() -> Named {
        [secret(), map()].map(|key| (key, ObjectName::new("shop", "web"))).into()
    }

    fn view(objects: &[(&(ClusterId, CaRef), &[u8])]) -> SecretsView {
        let entry = |((cluster, ca), pem): &(&(ClusterId, CaRef), &[u8])| {
            let held = Secret::from_entries(SecretKind::Opaque, [("ca.crt".to_owned(), pem.to_vec())]);
            ((cluster.clone(), Key::from(ca)), Arc::new(held))
        };
        Arc::new(objects.iter().map(entry).collect())
    }

    fn pem(name: &str) -> Vec<u8> {
        causeway_certs::self_signed(&[name], 1_700_000_000).unwrap().cert
    }

    fn published(vouchers: &Vouchers) -> Vec<(ClusterId, CaRef)> {
        vouchers.cell.load().backends.keys().cloned().collect()
    }

    #[test]
    fn a_secret_and_a_config_map_of_one_name_are_two_objects() {
        let mut vouchers = Vouchers::default();
        vouchers.rebuild(named(), &view(&[(&secret(), &pem("a")), (&map(), &pem("b"))]), 0);
        let cell = vouchers.cell.load();
        assert_ne!(cell.backends[&secret()].group, cell.backends[&map()].group);
        assert!(vouchers.diagnostics().is_empty());
    }

    #[test]
    fn what_is_missing_is_said_when_it_is_late_and_what_is_broken_at_once() {
        let mut vouchers = Vouchers::default();
        vouchers.rebuild(named(), &view(&[(&map(), b"nonsense")]), 100);
        assert!(published(&vouchers).is_empty());
        let told = |vouchers: &Vouchers| vouchers.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(
            told(&vouchers).len() == 1 && told(&vouchers)[0].contains("causeway.dev/backend-ca-configmap"),
            "{:?}",
            told(&vouchers)
        );
        assert!(!vouchers.due(104) && vouchers.due(105));
        assert!(told(&vouchers).len() == 2 && told(&vouchers)[0].contains("create secret generic ca"), "{:?}", told(&vouchers));
        vouchers.rebuild(named(), &view(&[(&secret(), &pem("a")), (&map(), &pem("b"))]), 106);
        assert!(vouchers.diagnostics().is_empty());
        assert_eq!(published(&vouchers), [secret(), map()]);
    }

    #[test]
    fn what_breaks_or_goes_vouches_no_longer() {
        let mut vouchers = Vouchers::default();
        vouchers.rebuild(named(), &view(&[(&secret(), &pem("a")), (&map(), &pem("b"))]), 0);
        vouchers.rebuild(named(), &view(&[(&secret(), b"nonsense")]), 1);
        assert!(published(&vouchers).is_empty());
        vouchers.rebuild(Named::new(), &view(&[]), 2);
        assert!(vouchers.diagnostics().is_empty() && vouchers.missing.is_empty());
    }
}
