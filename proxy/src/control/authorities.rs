//! Secrets and `ConfigMap`s to the authorities that backends and clients are believed by.
//!
//! Every object is parsed once for as long as it does not change. One that is missing or cannot be used is left out of what is
//! published, and said: its backends are not called then, and its clients do not come in, since nobody else may vouch for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causeway_certs::{Authorities, CertError};
use causeway_config::{CaRef, ClientCa, ClusterId, HostPattern, ObjectName};
use causeway_core::{Diagnostic, Severity, Snapshot};
use causeway_discovery::translate::Key;
use causeway_discovery::{Secret, SecretsView};

use crate::authorities::{self, AuthoritiesCell, BackendCa, ClientCas};

/// How long an object that was just asked for may take to arrive before it is called missing, in seconds.
const ARRIVAL: i64 = 5;

/// The objects that are named, and by whom.
pub(super) type Named = BTreeMap<(ClusterId, CaRef), Namers>;

/// Who names an object: Services for their backends, hosts for their clients, or both. Of several the first is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namers {
    services: BTreeSet<ObjectName>,
    hosts: BTreeSet<HostPattern>,
}

type Material = (BackendCa, ClientCas);
type Made = Result<Material, String>;

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
    /// What vouches in the place of those that are on their way: what did for all who name them until they named these.
    standing_in: BTreeMap<(ClusterId, CaRef), (Namers, Material)>,
    /// How many of them were said to be missing.
    told: usize,
    diagnostics: Vec<Diagnostic>,
}

/// What a snapshot names. Who may come in is for the home cluster alone to say: another one could let its own clients in.
pub(super) fn named(snapshot: &Snapshot) -> Named {
    let backends = snapshot.backend_authorities().into_iter();
    let mut named: Named = backends.map(|(key, services)| (key, Namers { services, hosts: BTreeSet::new() })).collect();
    for (host, policy) in &snapshot.config.hosts {
        if let Some(ClientCa::Object(object)) = policy.client_certificates.as_ref().map(|settings| &settings.ca) {
            let namers = named.entry((snapshot.home().clone(), object.clone())).or_default();
            namers.hosts.insert(host.clone());
        }
    }
    named
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
        let due = self.late(now).count() != self.told;
        if due {
            let late: Vec<_> = self.late(now).cloned().collect();
            for key in &late {
                self.standing_in.remove(key);
            }
            self.publish();
            self.diagnose(now);
        }
        due
    }

    /// Whether some may still be on their way.
    pub(super) fn arriving(&self, now: i64) -> bool {
        self.missing.values().any(|until| *until > now)
    }

    /// Makes and publishes them, if what they are made of changed.
    pub(super) fn rebuild(&mut self, named: Named, view: &SecretsView, now: i64) {
        if self.named == named && Arc::ptr_eq(&self.view, view) {
            return;
        }
        let mut made = BTreeMap::new();
        for key in named.keys() {
            let Some(object) = view.get(&(key.0.clone(), Key::from(&key.1))) else { continue };
            let known = self.made.get(key).filter(|(known, _)| Arc::ptr_eq(known, object) || known == object);
            made.insert(key.clone(), known.cloned().unwrap_or_else(|| (Arc::clone(object), make(object))));
        }
        self.missing.retain(|key, _| named.contains_key(key) && !made.contains_key(key));
        for key in named.keys().filter(|key| !made.contains_key(key)) {
            self.missing.entry(key.clone()).or_insert(now + ARRIVAL);
        }
        let on_their_way = self.missing.iter().filter(|(_, until)| **until > now);
        self.standing_in = on_their_way
            .filter_map(|(key, _)| Some((key.clone(), (named[key].clone(), self.stand_in(key, &named[key])?))))
            .collect();
        (self.named, self.view, self.made) = (named, Arc::clone(view), made);
        self.publish();
        self.diagnose(now);
    }

    /// What vouched until now for everybody who names an object that is on its way: one and the same for all of them, since nobody may
    /// be believed by what was meant for another. To be asked before what is named and made is replaced.
    fn stand_in(&self, key: &(ClusterId, CaRef), namers: &Namers) -> Option<Material> {
        if let Some((of, material)) = self.standing_in.get(key) {
            return (of == namers).then(|| material.clone());
        }
        let mut before = self.named.iter().filter(|((cluster, _), before)| {
            *cluster == key.0 && (!before.services.is_disjoint(&namers.services) || !before.hosts.is_disjoint(&namers.hosts))
        });
        let (old, of) = before.next()?;
        let same = namers.services.is_subset(&of.services) && namers.hosts.is_subset(&of.hosts) && before.next().is_none();
        let made = || self.made.get(old).map(|(_, made)| made);
        let material = match self.standing_in.get(old) {
            Some((_, material)) => material,
            None => made()?.as_ref().ok()?,
        };
        same.then(|| material.clone())
    }

    fn publish(&self) {
        let made = self.made.iter().filter_map(|(key, (_, made))| Some((key, made.as_ref().ok()?)));
        let standing_in = self.standing_in.iter().map(|(key, (_, material))| (key, material));
        let mut published = authorities::Authorities::default();
        for (key, (backends, clients)) in made.chain(standing_in) {
            if !self.named[key].services.is_empty() {
                published.backends.insert(key.clone(), backends.clone());
            }
            if !self.named[key].hosts.is_empty() {
                published.clients.insert(key.1.clone(), clients.clone());
            }
        }
        self.cell.store(Arc::new(published));
    }

    fn late(&self, now: i64) -> impl Iterator<Item = &(ClusterId, CaRef)> {
        self.missing.iter().filter(move |(_, until)| **until <= now).map(|(key, _)| key)
    }

    fn diagnose(&mut self, now: i64) {
        self.told = self.late(now).count();
        let missing = self.late(now).map(|key| (key, "it is not there"));
        let broken = self.made.iter().filter_map(|(key, (_, made))| Some((key, made.as_ref().err()?.as_str())));
        let told = |(key, why): (&(ClusterId, CaRef), &str)| diagnostics(key, &self.named[key], why);
        self.diagnostics = missing.chain(broken).flat_map(told).collect();
    }
}

fn make(object: &Secret) -> Made {
    let pem = object.authorities().map_err(|error| error.to_string())?;
    let read = || Ok((BackendCa::from(&Authorities::from_pem(pem)?), ClientCas::from_pem(pem)?));
    read().map_err(|error: CertError| error.to_string())
}

fn diagnostics((cluster, ca): &(ClusterId, CaRef), Namers { services, hosts }: &Namers, why: &str) -> Vec<Diagnostic> {
    let (kind, command) = match ca {
        CaRef::Secret(_) => ("secret", "secret generic"),
        CaRef::ConfigMap(_) => ("configmap", "configmap"),
    };
    let ObjectName { namespace, name } = ca.name();
    let create = format!("create it with `kubectl --namespace {namespace} create {command} {name} --from-file=ca.crt`");
    let of_service = services.first().map(|service| Diagnostic {
        severity: Severity::Error,
        cluster: Some(cluster.clone()),
        object: format!("Service {service}"),
        field: format!("metadata.annotations[causeway.dev/backend-ca-{kind}]"),
        problem: format!("{ca} cannot vouch for its backends, which are not called: {why}"),
        remedy: format!("{create}, or correct the annotation"),
    });
    let of_host = hosts.first().map(|host| Diagnostic {
        severity: Severity::Error,
        cluster: Some(cluster.clone()),
        object: "configuration".into(),
        field: format!("hosts.{host}.clientCertificates"),
        problem: format!("{ca} of the home cluster cannot vouch for its clients, none of whom come in: {why}"),
        remedy: format!("{create}, or correct the name"),
    });
    of_service.into_iter().chain(of_host).collect()
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

    fn web() -> Namers {
        Namers { services: [ObjectName::new("shop", "web")].into(), ..Namers::default() }
    }

    fn named() -> Named {
        let namers = web();
        [secret(), map()].map(|key| (key, namers.clone())).into()
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
    fn who_may_vouch_for_clients_is_said_of_the_host_and_vouches_for_no_backend() {
        let mut vouchers = Vouchers::default();
        let named: Named =
            [(secret(), Namers { hosts: ["bank.example.com".parse().unwrap()].into(), ..Namers::default() })].into();
        vouchers.rebuild(named.clone(), &view(&[(&secret(), &pem("a"))]), 0);
        assert!(published(&vouchers).is_empty());
        assert!(vouchers.cell.load().clients.contains_key(&secret().1));
        vouchers.rebuild(named, &view(&[(&secret(), b"nonsense")]), 0);
        assert!(vouchers.cell.load().clients.is_empty());
        let told = vouchers.diagnostics()[0].to_string();
        assert!(told.contains("hosts.bank.example.com.clientCertificates") && told.contains("create secret generic"), "{told}");
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

    fn group(vouchers: &Vouchers, key: &(ClusterId, CaRef)) -> Option<u64> {
        vouchers.cell.load().backends.get(key).map(|ca| ca.group)
    }

    #[test]
    fn who_names_another_object_is_believed_by_the_one_before_until_that_arrives_or_is_late() {
        let (old, new) = (view(&[(&secret(), &pem("a"))]), view(&[(&secret(), &pem("a")), (&map(), &pem("b"))]));
        for arrives in [true, false] {
            let mut vouchers = Vouchers::default();
            vouchers.rebuild([(secret(), web())].into(), &old, 0);
            let before = group(&vouchers, &secret());
            assert!(before.is_some() && !vouchers.arriving(0));
            vouchers.rebuild([(map(), web())].into(), &old, 100);
            assert!(vouchers.arriving(100));
            assert_eq!((group(&vouchers, &map()), group(&vouchers, &secret())), (before, None));
            // What else is told meanwhile changes nothing.
            vouchers.rebuild([(map(), web())].into(), &view(&[]), 103);
            assert_eq!(group(&vouchers, &map()), before);
            if arrives {
                vouchers.rebuild([(map(), web())].into(), &new, 104);
                assert!(group(&vouchers, &map()).is_some_and(|new| Some(new) != before));
            } else {
                assert!(!vouchers.due(104) && vouchers.due(105) && !vouchers.arriving(105));
                assert_eq!(group(&vouchers, &map()), None, "nobody else vouches for it");
            }
        }
    }

    #[test]
    fn nobody_is_believed_by_what_was_meant_for_another() {
        let mut vouchers = Vouchers::default();
        let here = view(&[(&secret(), &pem("a"))]);
        vouchers.rebuild([(secret(), web())].into(), &here, 0);
        let mut both = web();
        both.services.insert(ObjectName::new("shop", "other"));
        vouchers.rebuild([(map(), both)].into(), &here, 100);
        assert_eq!(group(&vouchers, &map()), None);
        let mut vouchers = Vouchers::default();
        vouchers.rebuild(Named::new(), &here, 0);
        vouchers.rebuild([(map(), web())].into(), &here, 100);
        assert_eq!(group(&vouchers, &map()), None, "there was nothing before");
    }
}
