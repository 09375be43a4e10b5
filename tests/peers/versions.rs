//! Edges of other versions, played by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_certs::{FleetFiles, FleetTrust};
use causeway_tests::fleet::until;
use causeway_tests::peered::{certificate, now};
use causeway_tests::{Client, Origin, Peered};
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{AWS, WWW, shop};

/// An edge of azure that answers every ping with this text, and every hop with `old`; where it listens, and how many hops came.
async fn edge(fleet: &Peered, probe: &'static str) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let own = certificate(&fleet.ca, "azure", now());
    let files = FleetFiles { ca: &fleet.ca.cert, cert: &own.cert, key: &own.key };
    let trust = Arc::new(FleetTrust::read("shop", files, &[]).unwrap());
    let acceptor = TlsAcceptor::from(trust.server(&[b"h2"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, hops) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&hops);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = converse(stream, probe, &counted).await;
                }
            });
        }
    });
    (address, hops)
}

async fn converse<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    probe: &'static str,
    hops: &AtomicUsize,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let body = if request.uri().path() == "/v1/probe" {
            probe
        } else {
            hops.fetch_add(1, Ordering::Relaxed);
            "old"
        };
        let response = http::Response::builder().header("causeway-instance", "old-edge").body(()).unwrap();
        respond.send_response(response, false)?.send_data(body.into(), true)?;
    }
    Ok(())
}

/// A fleet whose edge in azure is another one, and whose only pod is there.
async fn with(probe: &'static str) -> (Peered, Origin, Arc<AtomicUsize>) {
    let azure = Origin::named("azure").await;
    let mut fleet = shop([None, Some(&azure), None], "").await;
    let (address, hops) = edge(&fleet, probe).await;
    fleet.kill(1);
    let text = std::fs::read_to_string(fleet.path("edge-aws/causeway.yaml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("  azure:")).unwrap();
    let begin = line.find("addresses: [").unwrap();
    let moved = format!("{}addresses: ['{address}']}}}}", &line[..begin]);
    fleet.write("edge-aws/causeway.yaml", text.replace(line, &moved));
    (fleet, azure, hops)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_the_version_before_is_used() {
    let (fleet, _azure, hops) = with(r#"{"version": 0, "instance": "old-edge", "cluster": "azure"}"#).await;
    until("the older edge", async || Client::h1(fleet.https(AWS), WWW).await.get(WWW, "/").await.text() == "old").await;
    assert!(hops.load(Ordering::Relaxed) > 0);
    // It counts no pods; the cluster's own slices do.
    assert!(fleet.admin(AWS, "/snapshot").await.contains("old-edge"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_another_age_is_not_used_and_it_is_said() {
    let (fleet, _azure, hops) = with(r#"{"version": 9, "oldest": 8, "instance": "old-edge", "cluster": "azure"}"#).await;
    fleet.until_admin_says(AWS, "/diagnostics", "speaks version 9 of the peer protocol").await;
    assert_eq!(Client::h1(fleet.https(AWS), WWW).await.get(WWW, "/").await.status(), 503);
    assert_eq!(hops.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_says_that_it_is_another_clusters_is_not_used() {
    let (fleet, _azure, hops) = with(r#"{"version": 1, "instance": "old-edge", "cluster": "google"}"#).await;
    fleet.until_admin_says(AWS, "/diagnostics", "it is an edge of google, and was looked for as one of azure").await;
    assert_eq!(hops.load(Ordering::Relaxed), 0);
}
