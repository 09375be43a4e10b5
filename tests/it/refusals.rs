//! What the edge answers itself is counted by its reason. Limits have tests of their own, in `limits`.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::{HostPolicy, TlsVersion};
use causeway_core::Snapshot;
use causeway_tests::{Answer, Client, Edge, Origin, World, client, soon};

const WWW: &str = "www.example.com";
const FENCED: &str = "fenced.example.com";
const STRICT: &str = "strict.example.com";
const BROKEN: &str = "broken.example.com";
const EMPTY: &str = "empty.example.com";
/// Its backend hangs up.
const DEAD: &str = "dead.example.com";
/// Its backend never answers.
const SILENT: &str = "silent.example.com";

fn world(backend: &Origin) -> World {
    let world = World::new().serve(WWW, &[backend.address]).serve(FENCED, &[backend.address]).serve(STRICT, &[backend.address]);
    let world = world.broken(BROKEN).serve(EMPTY, &[]).serve(DEAD, &[backend.address]).serve(SILENT, &[backend.address]);
    world.with(|config| {
        let fenced = HostPolicy { allow: Some(vec!["azure".parse().unwrap()]), ..HostPolicy::default() };
        config.hosts.insert(FENCED.parse().unwrap(), fenced);
        let strict = HostPolicy { min_tls: Some(TlsVersion::V1_3), ..HostPolicy::default() };
        config.hosts.insert(STRICT.parse().unwrap(), strict);
        config.upstream.response_timeout = Some(Duration::from_millis(200));
    })
}

/// A Host, what it is answered, and what counts it.
const CASES: [(&str, u16, &str); 8] = [
    ("a b", 400, "bad_request"),
    (STRICT, 421, "misdirected"),
    ("unknown.example.com", 404, "no_route"),
    (BROKEN, 503, "no_backend"),
    (EMPTY, 503, "no_endpoint"),
    (FENCED, 503, "fence"),
    (DEAD, 502, "upstream"),
    (SILENT, 504, "timeout"),
];

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason() {
    let backend = Origin::start(|request| match request.field("host") {
        Some(DEAD) => Answer::Last(Vec::new()),
        _ => Answer::Silence,
    })
    .await;
    let edge = Edge::start(&world(&backend), &[&[WWW, FENCED, STRICT, BROKEN, EMPTY, DEAD, SILENT]]);
    let counted = |reason: &str| edge.metric(&format!("causeway_refusals_total{{reason=\"{reason}\"}}"));
    for (host, status, reason) in CASES {
        // A fence is a TLS policy, and has connections of its own.
        let sni = if host == FENCED { FENCED } else { WWW };
        let answer = Client::h1(edge.https, sni).await.get(host, "/").await;
        assert_eq!((answer.status(), counted(reason).as_deref()), (status, Some("1")), "{host}");
    }
    for (host, status, reason) in &CASES[1..] {
        let sni = if *host == FENCED { FENCED } else { WWW };
        let mut send = client::h2(edge.https, sni).await;
        let (response, _) = send.send_request(http::Request::get(format!("https://{host}/")).body(()).unwrap(), true).unwrap();
        assert_eq!(soon("a response", response).await.unwrap().status(), *status, "{host} over HTTP/2");
        assert_eq!(counted(reason).as_deref(), Some("2"), "{host} over HTTP/2");
    }
    let config = Arc::clone(&edge.snapshot.load().config);
    edge.snapshot.store(Arc::new(Snapshot::empty(config)));
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 503);
    assert_eq!(counted("starting").as_deref(), Some("1"));
    // 429, 431, 414, 413, 408 and those that are not answered at all: `limits`; 508: tests/peers.
}
