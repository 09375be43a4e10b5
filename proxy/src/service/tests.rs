#![allow(clippy::unwrap_used)]
use std::path::Path;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use causeway_certs::{CertCell, CertIndex, DefaultOffer, ServerTls, default_certificate, process_tickets};
use causeway_core::Snapshot;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::*;
use crate::drain::{Phase, Tally};
use crate::metrics::Metrics;
use crate::process_secret::ProcessSecret;
use crate::sessions::Sessions;
use crate::shared::Clock;

fn proxy() -> Proxy {
    let tls = ServerTls::new(process_tickets().unwrap());
    let default = DefaultOffer { source: "default".into(), certificate: Arc::new(default_certificate(&tls, 0).unwrap()) };
    let (_, certificates) = CertCell::new(CertIndex::build(Vec::new(), default, 0).0);
    let text = b"fleet: {name: test}\nclusters: {aws: {manifests: ./aws}}\n";
    let config = causeway_config::parse(text, Path::new("causeway.yaml")).unwrap().config;
    let shared = Shared {
        snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty(Arc::new(config)))),
        certificates,
        authorities: Arc::default(),
        sessions: Sessions::load(None, &ProcessSecret::draw().unwrap()).unwrap(),
        locate: Box::new(|_| None),
        metrics: Arc::new(Metrics::new(&"aws".parse().unwrap(), SystemTime::now())),
        access_log: None,
        peers: Arc::default(),
        clock: Clock::start(),
        phase: watch::channel(Phase::Serving).1,
        gate: Arc::default(),
        open: Tally::default(),
    };
    let (mark, dialers) = (Mark::of("test"), Dialers::default());
    Proxy { shared: Arc::new(shared), dialers, mark, rates: RateLimits::default(), queues: Arc::default() }
}

async fn session(request: &str) -> Session {
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(request.as_bytes()).await.unwrap();
    let mut session = Session::new_h1(Box::new(server));
    session.read_request().await.unwrap();
    session
}

async fn early(request: &str) -> Session {
    let (proxy, mut session) = (proxy(), session(request).await);
    let mut ctx = proxy.new_ctx();
    proxy.early_request_filter(&mut session, &mut ctx).await.unwrap();
    session
}

#[tokio::test]
async fn no_keep_alive_is_endless() {
    let session = early("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(session.get_keepalive(), Some(60));
}

#[tokio::test]
async fn a_connection_that_is_to_be_closed_stays_so() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(early(request).await.get_keepalive(), None, "{request}");
    }
}

#[tokio::test]
async fn silence_on_a_websocket_is_no_fault() {
    let proxy = proxy();
    let mut session = session("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let mut ctx = proxy.new_ctx();
    proxy.early_request_filter(&mut session, &mut ctx).await.unwrap();
    assert_eq!(session.get_read_timeout(), Some(Duration::from_mins(1)));
    let mut response = ResponseHeader::build(101, None).unwrap();
    proxy.upstream_response_filter(&mut session, &mut response, &mut ctx).await.unwrap();
    assert_eq!(session.get_read_timeout(), None);
}

#[tokio::test]
async fn the_empty_end_of_a_body_is_not_written_twice() {
    let (proxy, mut session) = (proxy(), session("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await);
    let mut ctx = proxy.new_ctx();
    // What comes, whether it ends the body, what goes on.
    for (came, end, passed) in
        [(Some(""), true, None), (Some(""), false, Some("")), (Some("x"), true, Some("x")), (None, true, None)]
    {
        let mut body = came.map(Bytes::from);
        proxy.request_body_filter(&mut session, &mut body, end, &mut ctx).await.unwrap();
        assert_eq!(body, passed.map(Bytes::from), "{came:?} {end}");
    }
}
