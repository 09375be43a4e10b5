//! Backends that speak TLS: who vouches for them, and under which name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway::authorities::{Authorities, BackendCa};
use causeway_certs::{PemPair, self_signed};
use causeway_config::{CaRef, ObjectName};
use causeway_core::cluster::{AppProtocol, Trust};
use causeway_tests::{Client, Edge, Origin, World, client, soon};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const WWW: &str = "www.example.com";
const INNER: &str = "web.shop.svc";

fn now() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed()
}

/// A backend that speaks TLS, for one name: an edge, with an origin behind it.
async fn backend(name: &str) -> (Edge, PemPair, Origin) {
    let origin = Origin::named("hello").await;
    let pair = self_signed(&[name], now()).unwrap();
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
async fn that_nobody_vouches_for_a_backend_so_far_is_not_held_against_it() {
    let (backend, pair, _origin) = backend(WWW).await;
    let edge = edge(&backend, Trust::Ca(ca()), None);
    for _ in 0..10 {
        assert_eq!(status(&edge).await, 503);
    }
    edge.tick();
    {
        let snapshot = edge.snapshot.load();
        let member = &snapshot.pools[0].members[0];
        assert_eq!(member.endpoints[0].cell.consecutive_failures(), 0);
        assert!(member.cell.closed(edge.clock.now()).is_none());
    }
    publish(&edge, Some(&pair.cert));
    assert_eq!(status(&edge).await, 200);
}

/// A backend that speaks HTTP/2 over TLS and nothing else, as gRPC servers do, and how often it was asked.
async fn grpc_backend() -> (SocketAddr, PemPair, watch::Receiver<usize>) {
    let pair = self_signed(&[WWW], now()).unwrap();
    let chain = CertificateDer::pem_slice_iter(&pair.cert).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pair.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, asked) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let count = count.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    count.send_modify(|count| *count += 1);
                    respond.send_response(http::Response::new(()), true).unwrap();
                }
            });
        }
    });
    (address, pair, asked)
}

#[tokio::test]
async fn grpc_over_tls_reaches_a_backend_that_proves_itself() {
    let (address, pair, asked) = grpc_backend().await;
    let world = World::new().believing(Trust::Ca(ca()), None).route(WWW, "/", AppProtocol::H2, &[&[address]]);
    let edge = Edge::start(&world, &[&[WWW]]);
    publish(&edge, Some(&self_signed(&[WWW], 1_700_000_000).unwrap().cert));
    assert_eq!(status(&edge).await, 502, "these vouch for somebody else");
    assert_eq!(*asked.borrow(), 0);
    publish(&edge, Some(&pair.cert));
    assert_eq!(status(&edge).await, 200);
    let call = http::Request::post(format!("https://{WWW}/shop.Basket/Add")).header("content-type", "application/grpc");
    let (response, _) = client::h2(edge.https, WWW).await.send_request(call.body(()).unwrap(), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    assert_eq!(*asked.borrow(), 2);
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
