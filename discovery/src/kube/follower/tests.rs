#![allow(clippy::unwrap_used)]
use k8s_openapi::api::core::v1::{Secret, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::translate;

const SECOND: u64 = 1_000_000_000;

fn cluster() -> ClusterId {
    "azure".parse().unwrap()
}

fn scope(kind: Kind) -> Scope {
    Scope { kind, namespace: None }
}

fn follower(kind: Kind) -> Follower {
    let stats = Arc::new(Stats::new(super::super::Evidence::unheard()));
    Follower::new(cluster(), [scope(kind)], Vec::new(), Duration::from_secs(10), stats)
}

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn service(name: &str) -> Translated {
    translate::service(&cluster(), typed::<Service>(json!({"metadata": {"namespace": "shop", "name": name}}))).unwrap()
}

fn secret(certificate: &str) -> Translated {
    let value = json!({
        "metadata": {"namespace": "shop", "name": "tls"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": "k"},
    });
    translate::secret(&cluster(), typed::<Secret>(value)).unwrap()
}

fn news(kind: Kind, what: What) -> News {
    News { scope: scope(kind), what }
}

fn listed(follower: &mut Follower, names: &[&str], at: u64) -> Reaction {
    let list = names.iter().map(|name| service(name)).collect();
    follower.take(news(Kind::Service, What::Listed(list, Vec::new())), Nanos(at * SECOND))
}

fn failed(cause: Cause, in_vain: bool) -> What {
    let status = json!({"code": 500, "message": "etcdserver: no leader"});
    let mut fault = Fault::of_request(&kube::Error::Api(Box::new(typed(status))));
    fault.cause = cause;
    What::Failed { fault, in_vain }
}

/// Watches list anew for reasons of their own: a 410 a moment after the doubt is no second opinion.
#[test]
fn a_second_list_counts_only_after_a_while() {
    let mut follower = follower(Kind::Service);
    assert_eq!(listed(&mut follower, &["a", "b", "c"], 1), Reaction::Changed);
    let again = Reaction::ListAgain(scope(Kind::Service));
    assert_eq!(listed(&mut follower, &[], 2), again);
    assert_eq!(listed(&mut follower, &[], 3), again);
    assert_eq!(listed(&mut follower, &["a"], 11), again);
    assert_eq!(follower.state().objects.services.len(), 3);
    assert_eq!(listed(&mut follower, &["a"], 12), Reaction::Changed);
    assert_eq!(follower.state().objects.services.len(), 1);
}

#[test]
fn a_list_that_has_everything_ends_the_doubt() {
    let mut follower = follower(Kind::Service);
    listed(&mut follower, &["a", "b", "c"], 1);
    listed(&mut follower, &[], 2);
    assert_eq!(listed(&mut follower, &["a", "b", "c"], 3), Reaction::Changed);
    assert!(follower.state().diagnostics.is_empty());
    // And the next one is a first one again.
    assert_eq!(listed(&mut follower, &[], 60), Reaction::ListAgain(scope(Kind::Service)));
}

/// Asked for by name, then told of by a watch, then answered: the answer is older than what the watch said.
#[test]
fn a_watch_is_not_overruled_by_a_late_answer() {
    let mut follower = follower(Kind::Secret);
    let name = secret("c").key;
    follower.want(BTreeSet::from([name.clone()]));
    follower.take(news(Kind::Secret, What::Listed(Vec::new(), Vec::new())), Nanos(1));
    assert!(follower.unwatched().contains(&name));
    follower.take(news(Kind::Secret, What::Applied(secret("new"))), Nanos(2));
    for late in [Some(secret("old")), None] {
        assert_eq!(follower.take_secret(&name, late, Nanos(3)), Reaction::Nothing);
        let pair = follower.secrets()[&name].certificate_pair().unwrap();
        assert_eq!(pair.certificate.expose(), b"new");
    }
}

/// It answers, so that it is heard of; but what it answers is a fault, every time.
#[test]
fn a_kind_that_only_ever_fails_is_stale_though_it_is_heard_of() {
    let mut follower = follower(Kind::Service);
    listed(&mut follower, &["a"], 1);
    let patience = Patience::default();
    let silent = |follower: &Follower, at: u64| follower.silent(Nanos(at * SECOND), &patience, |_| Nanos(at * SECOND)).len();
    follower.take(news(Kind::Service, failed(Cause::Refused, false)), Nanos(100 * SECOND));
    for at in (105..130).step_by(5) {
        follower.take(news(Kind::Service, failed(Cause::Refused, true)), Nanos(at * SECOND));
        assert_eq!(silent(&follower, at), 0, "after {at} s");
    }
    follower.take(news(Kind::Service, failed(Cause::Refused, true)), Nanos(130 * SECOND));
    assert_eq!(silent(&follower, 130), 1);
    // When faults stop to come, it works.
    assert_eq!(silent(&follower, 190), 0);
    follower.take(news(Kind::Service, failed(Cause::Refused, true)), Nanos(190 * SECOND));
    assert_eq!(silent(&follower, 190), 1);
    follower.take(news(Kind::Service, What::Applied(service("b"))), Nanos(191 * SECOND));
    assert_eq!(silent(&follower, 191), 0);
}

/// A watch that waits longer and longer learns by a question that the server is back.
#[test]
fn a_server_that_could_not_be_reached_is_asked_after_and_one_that_refuses_is_not() {
    let patience = Patience::default();
    for (cause, asked) in [(Cause::Network, true), (Cause::Refused, false)] {
        let mut follower = follower(Kind::Service);
        listed(&mut follower, &["a"], 1);
        assert!(!follower.unreached(Nanos(SECOND), &patience));
        follower.take(news(Kind::Service, failed(cause, false)), Nanos(2 * SECOND));
        assert_eq!(follower.unreached(Nanos(20 * SECOND), &patience), asked);
        assert!(!follower.unreached(Nanos(60 * SECOND), &patience), "the watch was opened since, and was not heard failing");
    }
}

/// One fault an hour is none that lasts.
#[test]
fn a_watch_that_went_well_in_between_is_not_stale() {
    let mut follower = follower(Kind::Service);
    let patience = Patience::default();
    for at in (100..1000).step_by(40) {
        follower.take(news(Kind::Service, failed(Cause::Network, false)), Nanos(at * SECOND));
        assert!(follower.silent(Nanos(at * SECOND), &patience, |_| Nanos(at * SECOND)).is_empty());
    }
}
