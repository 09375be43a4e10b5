//! The peer port: who gets in, and what is answered there.

use std::time::Duration;

use causeway_tests::fleet::until;
use causeway_tests::{Origin, Peered};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AWS, AZURE, WWW, shop};

/// A request as an edge of `cluster` would send it, and the response as it came; nothing where it got none.
pub(crate) async fn ask(fleet: &Peered, n: usize, cluster: &str, head: &str) -> String {
    let Ok(mut stream) = fleet.call(n, &fleet.ca, cluster, "http/1.1").await else { return String::new() };
    let mut text = Vec::new();
    let asked = async {
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
        stream.read_to_end(&mut text).await
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("it answers or ends");
    String::from_utf8_lossy(&text).into_owned()
}

fn hop(more: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: {WWW}\r\nCauseway-Hop: 1\r\nCauseway-Client: 192.0.2.9\r\n{more}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_list_is_answered_and_nothing_else() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "hosts: {fenced.example.com: {allow: [aws]}}\n").await;
    let probe = ask(&fleet, AZURE, "aws", "GET /v1/probe HTTP/1.1\r\nHost: azure.shop.causeway.internal\r\n").await;
    for part in ["HTTP/1.1 200", "\"cluster\":\"azure\"", "\"shop/web:80\":{\"ready\":1,\"total\":1}", "\"views\":"] {
        assert!(probe.contains(part), "{part}: {probe}");
    }
    for (head, status) in [
        ("GET /v1/view HTTP/1.1\r\nHost: x\r\n".to_owned(), 200),
        ("GET /v1/challenge HTTP/1.1\r\nHost: x\r\n".to_owned(), 404),
        ("GET /v1/secrets HTTP/1.1\r\nHost: x\r\n".to_owned(), 404),
        // A client's request has no business here.
        (format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n"), 400),
        (hop("Causeway-Pool: shop/web:80\r\n"), 200),
        (hop("Causeway-Pool: shop/other:80\r\n"), 404),
        (hop("Causeway-Pool: nonsense\r\n"), 400),
        (hop("Causeway-Pool: shop/web:80\r\nCauseway-Crossings: 2\r\n"), 508),
        (hop("Causeway-Pool: shop/web:80\r\nCauseway-Fence: aws,google\r\n"), 503),
        (hop("Causeway-Pool: shop/web:80\r\nCauseway-Fence: aws,azure\r\n"), 200),
        (hop("Causeway-Pool: shop/web:80\r\n").replace(WWW, "fenced.example.com"), 503),
        (hop("Causeway-Pool: shop/web:80\r\n").replace("Hop: 1", "Hop: 9"), 400),
        // The version before.
        (hop("Causeway-Pool: shop/web:80\r\n").replace("Hop: 1", "Hop: 0"), 200),
    ] {
        let answer = ask(&fleet, AZURE, "aws", &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}\n{answer}");
        assert!(answer.to_ascii_lowercase().contains("causeway-instance: "), "who answers is always said: {answer}");
    }
    assert_eq!(azure.requests().len(), 3, "only what may be served reached a pod");
    fleet.until_metric(AZURE, "causeway_refusals_total{reason=\"loop\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_edge_of_the_fleet_gets_nothing_and_is_counted() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let probe = "GET /v1/probe HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(ask(&fleet, AZURE, "moon", probe).await, "", "the fleet's own authority, and no cluster of the configuration");
    fleet.until_metric(AZURE, "causeway_peer_refusals_total{reason=\"unknown_cluster\"}", 1.0).await;
    let other = causeway_tests::peered::authority();
    let refused = match fleet.call(AZURE, &other, "aws", "http/1.1").await {
        Err(_) => true,
        Ok(mut stream) => {
            let _ = stream.write_all(format!("{probe}\r\n").as_bytes()).await;
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text).await;
            text.is_empty()
        }
    };
    assert!(refused, "another authority vouches for it");
    until("the count", async || fleet.metric(AZURE, "causeway_peer_refusals_total{reason=\"handshake\"}").await >= 1.0).await;
    assert!(azure.requests().is_empty());
    assert_eq!(fleet.metric(AWS, "causeway_peer_links{cluster=\"azure\",state=\"up\"}").await, 1.0, "and service goes on");
}
