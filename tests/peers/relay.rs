//! `terminate: inside`: TLS that passes through an edge outside of the fence.

use causeway_tests::fleet::{ingress, until};
use causeway_tests::{Client, Origin};

use super::{AWS, AZURE, shop};

const BANK: &str = "bank.example.com";
const POLICY: &str = "hosts: {bank.example.com: {allow: [azure], terminate: inside}}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_outside_the_fence_is_served_inside_and_nothing_is_seen_on_the_way() {
    let azure = Origin::named("ledger").await;
    let fleet = shop([None, Some(&azure), None], POLICY).await;
    fleet.write("azure/bank.yaml", ingress("shop/bank", BANK, "web", ""));
    fleet.until_admin_says(AZURE, "/routes", BANK).await;
    let direct = Client::h1(fleet.https(AZURE), BANK).await.certificate();
    for alpn in ["http/1.1", "h2"] {
        let client = Client::try_connect(fleet.https(AWS), Some(BANK), alpn).await.unwrap();
        assert_eq!(client.certificate(), direct, "TLS ends at the edge in azure");
    }
    let mut client = Client::h1(fleet.https(AWS), BANK).await;
    for n in 0..3 {
        let text = format!("GET /{n} HTTP/1.1\r\nHost: {BANK}\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        let response = client.request(&text).await;
        assert_eq!((response.status(), response.text().as_str()), (200, "ledger"));
        assert_eq!(response.field("causeway-served-by"), Some("azure"));
    }
    // The client's address as the edge in aws saw it; 127.0.0.0/8 is believed in this fleet.
    assert_eq!(azure.requests()[0].field("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    fleet.until_metric(AWS, "causeway_tls_handshakes_total{version=\"none\",result=\"relayed\"}", 3.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nobody_inside_the_handshake_is_refused() {
    let azure = Origin::named("ledger").await;
    let mut fleet = shop([None, Some(&azure), None], POLICY).await;
    fleet.kill(AZURE);
    fleet.until_metric(AWS, "causeway_peer_links{cluster=\"azure\",state=\"down\"}", 1.0).await;
    until("a refusal", async || Client::try_connect(fleet.https(AWS), Some(BANK), "http/1.1").await.is_err()).await;
}

/// A stream that was relayed costs the edge that serves it what any other connection costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relayed_connections_count_where_they_end_until_they_end() {
    let azure = Origin::named("ledger").await;
    let fleet = shop([None, Some(&azure), None], &format!("{POLICY}limits: {{connectionsPerClient: 2}}\n")).await;
    fleet.write("azure/bank.yaml", ingress("shop/bank", BANK, "web", ""));
    fleet.until_admin_says(AZURE, "/routes", BANK).await;
    let by = async |edge| Client::try_connect(fleet.https(edge), Some(BANK), "http/1.1").await;
    let relayed = [by(AWS).await.unwrap(), by(AWS).await.unwrap()];
    let refused = "causeway_refusals_total{reason=\"client_connections\"}";
    assert!(by(AZURE).await.is_err(), "the client has its two there");
    drop(relayed);
    until("room", async || by(AZURE).await.is_ok()).await;
    let direct = [until_in(&by).await, until_in(&by).await];
    let before = fleet.metric(AZURE, refused).await;
    assert!(by(AWS).await.is_err(), "and has them there whichever way it comes");
    fleet.until_metric(AZURE, refused, before + 1.0).await;
    assert!(fleet.metric(AWS, refused).await < 1.0, "where it came by it has room");
    drop(direct);
    until("room for those that are relayed", async || by(AWS).await.is_ok()).await;
}

/// A connection straight to azure, once there is room for it.
async fn until_in<F: Future<Output = std::io::Result<Client>>>(by: &impl Fn(usize) -> F) -> Client {
    causeway_tests::soon("room", async {
        loop {
            if let Ok(client) = by(AZURE).await {
                return client;
            }
        }
    })
    .await
}
