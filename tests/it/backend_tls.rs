//! Backends that speak TLS: who vouches for them, and under which name.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway::authorities::{Authorities, BackendCa};
use causeway_certs::{PemPair, self_signed};
use causeway_config::{CaRef, ObjectName};
use causeway_core::cluster::{AppProtocol, Trust};
use causeway_tests::{Client, Edge, Origin, World};

const WWW: &str = "www.example.com";
const INNER: &str = "web.shop.svc";

/// A backend that speaks TLS, for one name: an edge, with an origin behind it.
async fn backend(name: &str) -> (Edge, PemPair, Origin) {
    let origin = Origin::named("hello").await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let pair = self_signed(&[name], now).unwrap();
    // Of another fleet: requests of its own would have gone in a circle.
    let world = World::new().serve(WWW, &[origin.address]).with(|config| config.fleet.name = "backend".into());
    let own = PemPair { cert: pair.cert.clone(), key: pair.key.clone() };
    (Edge::serving(&world, &[own]), pair, origin)
}

fn ca() -> CaRef {
    CaRef::Secret(ObjectName::new("shop", "ca"))
}

fn edge(backend: &Edge, trust: Trust, hostname: Option<&str>) -> Edge {
    let world = World::new().believing(trust, hostname).route(WWW, "/", AppProtocol::Https, &[&[backend.https]]);
    Edge::start(&world, &[&[WWW]])
}

/// From now on the Secret holds these; none: it is not there.
fn publish(edge: &Edge, pem: Option<&[u8]>) {
    let of = |pem: &[u8]| BackendCa::from(&causeway_certs::Authorities::from_pem(pem).unwrap());
    let backends: BTreeMap<_, _> = pem.map(|pem| (("aws".parse().unwrap(), ca()), of(pem))).into_iter().collect();
    edge.authorities.store(Arc::new(Authorities { backends, ..Authorities::default() }));
}

async fn status(edge: &Edge) -> u16 {
    Client::h1(edge.https, WWW).await.get(WWW, "/").await.status()
}

#[tokio::test]
async fn a_backend_is_believed_whom_the_named_authorities_vouch_for_and_nobody_else() {
    let (backend, pair, origin) = backend(WWW).await;
    let edge = edge(&backend, Trust::Ca(ca()), None);
    assert_eq!(status(&edge).await, 503, "there is no such Secret yet");
    let stranger = self_signed(&[WWW], 1_700_000_000).unwrap();
    publish(&edge, Some(&stranger.cert));
    assert_eq!(status(&edge).await, 502, "these vouch for somebody else");
    assert!(origin.requests().is_empty());
    publish(&edge, Some(&pair.cert));
    // The failures before have ejected nobody for good.
    assert_eq!(status(&edge).await, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_was_connected_under_authorities_is_not_used_without_them() {
    let (backend, pair, origin) = backend(WWW).await;
    let edge = edge(&backend, Trust::Ca(ca()), None);
    publish(&edge, Some(&pair.cert));
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    publish(&edge, None);
    assert_eq!(client.get(WWW, "/").await.status(), 503);
    publish(&edge, Some(&self_signed(&[WWW], 1_700_000_000).unwrap().cert));
    assert_eq!(status(&edge).await, 502);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_backend_may_have_a_name_of_its_own() {
    let (backend, pair, _origin) = backend(INNER).await;
    for (hostname, expected) in [(None, 502), (Some("other.shop.svc"), 502), (Some(INNER), 200)] {
        let edge = edge(&backend, Trust::Ca(ca()), hostname);
        publish(&edge, Some(&pair.cert));
        assert_eq!(status(&edge).await, expected, "{hostname:?}");
    }
}

#[tokio::test]
async fn where_nobody_is_to_be_believed_no_backend_is_called() {
    let (backend, pair, origin) = backend(WWW).await;
    let edge = edge(&backend, Trust::Nobody, None);
    publish(&edge, Some(&pair.cert));
    assert_eq!(status(&edge).await, 503);
    assert!(origin.requests().is_empty());
}
