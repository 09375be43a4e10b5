#![allow(clippy::unwrap_used)]
use super::*;
use std::collections::BTreeMap;

use causeway_config::ObjectName;
use causeway_core::cluster::{AppProtocol, Endpoint, Objects, Service, ServicePort};

use crate::secret::{Secret, SecretBytes, SecretKind};

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn service(port: u16) -> Arc<Service> {
    let ports = vec![ServicePort { name: "".into(), port, protocol: AppProtocol::Http }];
    Arc::new(Service { ports, external_name: false, scope: causeway_config::Scope::Fleet, balancers: Vec::new(), tls: None })
}

fn state(services: &[(&str, u16)], endpoints: &[(&str, &str)]) -> ClusterState {
    let services = services.iter().map(|(name, port)| (ObjectName::new("shop", *name), service(*port))).collect();
    let endpoints = endpoints.iter().map(|(name, address)| {
        let endpoint = Endpoint {
            port_name: "".into(),
            address: address.parse().unwrap(),
            uid: "a".into(),
            known: true,
            ready: true,
            serving: true,
            terminating: false,
        };
        (ObjectName::new("shop", *name), Arc::new(vec![endpoint]))
    });
    ClusterState {
        freshness: Freshness::Synced,
        objects: Arc::new(Objects { services, ..Objects::default() }),
        endpoints: Arc::new(endpoints.collect()),
        ..ClusterState::syncing(lab())
    }
}

struct Fixture {
    publisher: Publisher,
    reader: Reader,
    wanted: watch::Sender<WantedSecrets>,
    bell: Arc<Notify>,
}

fn fixture() -> Fixture {
    let (wanted, wanted_reader) = watch::channel(WantedSecrets::default());
    let bell = Arc::new(Notify::new());
    let clock: Clock = Arc::new(|| Nanos(7));
    let (publisher, reader) = Publisher::new(ClusterState::syncing(lab()), Secrets::new(), wanted_reader, bell.clone(), clock);
    Fixture { publisher, reader, wanted, bell }
}

impl Fixture {
    fn rang(&self) -> bool {
        use std::future::Future;
        let mut rung = std::pin::pin!(self.bell.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        rung.as_mut().poll(&mut context).is_ready()
    }
}

fn why() -> Vec<Diagnostic> {
    let lab = lab();
    let mut report = Report::new(&lab, "the folder /lab");
    report.error("", "is gone", "bring it back");
    report.into_diagnostics()
}

#[test]
fn objects_stay_the_same_arc_when_only_endpoints_changed() {
    let old = state(&[("web", 80)], &[("web", "10.0.0.1:80"), ("cart", "10.0.0.2:80")]);
    let new = reuse(&old, state(&[("web", 80)], &[("web", "10.0.0.9:80"), ("cart", "10.0.0.2:80")]));
    assert!(Arc::ptr_eq(&old.objects, &new.objects));
    assert!(Arc::ptr_eq(&old.diagnostics, &new.diagnostics));
    assert!(!Arc::ptr_eq(&old.endpoints, &new.endpoints));
    let (web, cart) = (ObjectName::new("shop", "web"), ObjectName::new("shop", "cart"));
    assert!(Arc::ptr_eq(&old.endpoints[&cart], &new.endpoints[&cart]));
    assert!(!Arc::ptr_eq(&old.endpoints[&web], &new.endpoints[&web]));
}

#[test]
fn services_that_did_not_change_stay_the_same_arc() {
    let old = state(&[("web", 80), ("cart", 80)], &[("web", "10.0.0.1:80")]);
    let new = reuse(&old, state(&[("web", 81), ("cart", 80)], &[("web", "10.0.0.1:80")]));
    let cart = ObjectName::new("shop", "cart");
    assert!(!Arc::ptr_eq(&old.objects, &new.objects));
    assert!(Arc::ptr_eq(&old.objects.services[&cart], &new.objects.services[&cart]));
    assert!(Arc::ptr_eq(&old.endpoints, &new.endpoints));
}

#[test]
fn what_is_shared_already_is_not_copied() {
    let old = state(&[("web", 80)], &[("web", "10.0.0.1:80"), ("cart", "10.0.0.2:80")]);
    let mut changed = old.clone();
    Arc::make_mut(&mut changed.endpoints).remove(&ObjectName::new("shop", "cart"));
    let new = reuse(&old, changed.clone());
    assert!(Arc::ptr_eq(&new.endpoints, &changed.endpoints));
    assert_eq!(new.endpoints.len(), 1);
}

#[test]
fn an_equal_state_rings_no_bell() {
    let mut f = fixture();
    f.publisher.publish(state(&[("web", 80)], &[]));
    assert!(f.rang());
    f.publisher.publish(state(&[("web", 80)], &[]));
    assert!(!f.rang());
}

#[test]
fn without_news_the_last_objects_serve_on_as_stale() {
    let mut f = fixture();
    f.publisher.publish(state(&[("web", 80)], &[]));
    let synced = f.reader.state();
    f.publisher.unavailable(why());
    let stale = f.reader.state();
    assert_eq!(stale.freshness, Freshness::Stale(Nanos(7)));
    assert!(Arc::ptr_eq(&stale.objects, &synced.objects));
    assert_eq!(*stale.diagnostics, why());
    f.publisher.publish(state(&[("web", 80)], &[]));
    let again = f.reader.state();
    assert_eq!(again.freshness, Freshness::Synced);
    assert!(again.diagnostics.is_empty());
}

#[test]
fn without_any_state_yet_a_cluster_is_syncing() {
    let mut f = fixture();
    f.publisher.unavailable(why());
    assert_eq!(f.reader.state().freshness, Freshness::Syncing);
    assert_eq!(*f.reader.state().diagnostics, why());
}

#[test]
fn a_source_that_ends_does_not_pass_for_up_to_date() {
    let Fixture { mut publisher, reader, .. } = fixture();
    publisher.publish(state(&[("web", 80)], &[]));
    drop(publisher);
    let state = reader.state();
    assert_eq!(state.freshness, Freshness::Stale(Nanos(7)));
    assert_eq!(state.objects.services.len(), 1);
    assert!(state.diagnostics[0].problem.contains("stopped"));
}

#[test]
fn only_wanted_secrets_pass() {
    let mut f = fixture();
    let secret = |key: &str| {
        let bytes = SecretBytes::new(key.as_bytes().to_vec());
        Arc::new(Secret::new(SecretKind::Tls, [("tls.key".to_owned(), bytes)]))
    };
    let names = ["web", "bank"].map(|name| Key::secret(ObjectName::new("shop", name)));
    let all = BTreeMap::from([(names[0].clone(), secret("w")), (names[1].clone(), secret("b"))]);

    f.publisher.publish_secrets(&all);
    assert!(f.reader.secrets().is_empty() && !f.rang());

    // The same name in another cluster is another Secret.
    let elsewhere = ("aws".parse().unwrap(), names[1].clone());
    f.wanted.send_replace(Arc::new([(lab(), names[0].clone()), elsewhere].into()));
    f.publisher.publish_secrets(&all);
    assert_eq!(f.reader.secrets().into_keys().collect::<Vec<_>>(), [names[0].clone()]);
    assert!(f.rang());

    f.wanted.send_replace(WantedSecrets::default());
    f.publisher.publish_secrets(&all);
    assert!(f.reader.secrets().is_empty() && f.rang());
}
