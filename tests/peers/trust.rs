//! Certificates that are replaced, revoked, expired, or somebody else's.

use std::time::Duration;

use causeway_tests::fleet::until;
use causeway_tests::peered::{authority, certificate, fingerprint, now};
use causeway_tests::{Answer, Client, Origin, Peered, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AWS, AZURE, WWW, shop};

const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];
const UP: &str = "causeway_peer_links{cluster=\"azure\",state=\"up\"}";

const RELOADS: &str = "causeway_reloads_total{what=\"fleet\",result=\"ok\"}";

async fn ask(fleet: &Peered) -> u16 {
    Client::h1(fleet.https(AWS), WWW).await.get(WWW, "/").await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_authority_replaces_another_and_no_request_is_lost() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let new = authority();
    let both = [fleet.ca.cert.clone(), new.cert.clone()].concat();
    let steps = [(&both, &fleet.ca), (&both, &new), (&new.cert, &new)];
    for (step, (trusted, issuer)) in steps.into_iter().enumerate() {
        let mut reloads = Vec::new();
        for edge in 0..3 {
            reloads.push(fleet.metric(edge, "causeway_reloads_total{what=\"fleet\",result=\"ok\"}").await);
        }
        for cluster in CLUSTERS {
            fleet.trust(cluster, trusted, &certificate(issuer, cluster, now()));
        }
        for (edge, before) in reloads.iter().enumerate() {
            // Of the three files, each may be seen for itself.
            until("a reload", async || {
                assert_eq!(ask(&fleet).await, 200, "step {step}");
                fleet.metric(edge, "causeway_reloads_total{what=\"fleet\",result=\"ok\"}").await > *before
            })
            .await;
        }
        for _ in 0..20 {
            assert_eq!(ask(&fleet).await, 200, "step {step}");
        }
    }
    fleet.until_metric(AWS, UP, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_ends_the_connections_that_were_made_with_it() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let file = |name: &str| std::fs::read(fleet.path(&format!("edge-google/{name}"))).unwrap();
    let fingerprint = fingerprint(&file("tls.crt"), &file("tls.key"));
    let google_up = "causeway_peer_links{cluster=\"google\",state=\"up\"}";
    assert_eq!(fleet.metric(AWS, google_up).await, 1.0);
    fleet.revoke(&fingerprint);
    fleet.until_metric(AWS, "causeway_peer_links{cluster=\"google\",state=\"down\"}", 1.0).await;
    fleet.until_metric(AWS, "causeway_peer_refusals_total{reason=\"certificate\"}", 1.0).await;
    assert!(fleet.admin(AWS, "/diagnostics").await.contains("no edge of google answers"));
    assert_eq!(ask(&fleet).await, 200, "and azure is still reached");
    let issued = certificate(&fleet.ca, "google", now());
    fleet.trust("google", &fleet.ca.cert, &issued);
    fleet.until_metric(AWS, google_up, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_or_foreign_certificate_is_said_and_service_goes_on() {
    let [aws, azure] = [Origin::named("aws").await, Origin::named("azure").await];
    let mut fleet = shop([Some(&aws), Some(&azure), None], "").await;
    let expired = certificate(&fleet.ca, "azure", now() - 40 * 24 * 3600);
    fleet.trust("azure", &fleet.ca.cert, &expired);
    fleet.until_admin_says(AZURE, "/diagnostics", "other edges will not believe this one").await;
    // It calls with the new one from now on, and nobody takes it.
    fleet.until_metric(AZURE, "causeway_peer_links{cluster=\"aws\",state=\"down\"}", 1.0).await;
    assert_eq!(ask(&fleet).await, 200);
    // What called it before stands; another process has only the new one to show.
    fleet.restart(AZURE).await;
    fleet.until_admin_says(AWS, "/diagnostics", "issue a new certificate").await;
    assert_eq!(ask(&fleet).await, 200);
    let foreign = authority();
    fleet.trust("azure", &foreign.cert, &certificate(&foreign, "azure", now()));
    fleet.until_admin_says(AWS, "/diagnostics", "the two sides trust different authorities").await;
    assert_eq!(ask(&fleet).await, 200);
    // Rubbish changes nothing, and is said.
    fleet.write("edge-aws/tls.key", "no key");
    fleet.until_admin_says(AWS, "/diagnostics", "what was in use before stays").await;
    assert_eq!(ask(&fleet).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_no_longer_covered_is_closed() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let mut stream = fleet.call(AZURE, &fleet.ca, "google", "http/1.1").await.unwrap();
    let probe = "GET /v1/view HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(probe.as_bytes()).await.unwrap();
    let mut buffer = [0; 12];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
    let new = authority();
    fleet.trust("azure", &new.cert, &certificate(&new, "azure", now()));
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection ends");
}

/// A WebSocket from aws to a pod in azure.
async fn tunnel(fleet: &Peered) -> Client {
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    let text = format!(
        "GET /chat HTTP/1.1\r\nHost: {WWW}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    assert_eq!(client.request(&text).await.status(), 101);
    lives(&mut client).await;
    client
}

async fn lives(client: &mut Client) {
    client.send("still here").await;
    assert_eq!(client.read(10).await, b"still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_an_edge_whose_certificate_is_revoked_ends_while_the_edge_has_another() {
    let azure = Origin::start(|_| Answer::Echo).await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let mut client = tunnel(&fleet).await;
    let file = |name: &str| std::fs::read(fleet.path(&format!("edge-azure/{name}"))).unwrap();
    let old = fingerprint(&file("tls.crt"), &file("tls.key"));
    let before = fleet.metric(AZURE, RELOADS).await;
    fleet.trust("azure", &fleet.ca.cert, &certificate(&fleet.ca, "azure", now()));
    fleet.until_metric(AZURE, RELOADS, before + 1.0).await;
    lives(&mut client).await;
    fleet.revoke(&old);
    soon("the end", client.read_to_end()).await;
    fleet.until_metric(AWS, UP, 1.0).await;
    tunnel(&fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_under_an_authority_that_is_trusted_no_more_ends_and_others_stay() {
    let azure = Origin::start(|_| Answer::Echo).await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let new = authority();
    let both = [fleet.ca.cert.clone(), new.cert.clone()].concat();
    fleet.trust("azure", &both, &certificate(&fleet.ca, "azure", now()));
    fleet.trust("aws", &both, &certificate(&new, "aws", now()));
    fleet.until_metric(AWS, UP, 1.0).await;
    let mut old = tunnel(&fleet).await;
    let before = fleet.metric(AZURE, RELOADS).await;
    fleet.trust("azure", &both, &certificate(&new, "azure", now()));
    fleet.until_metric(AZURE, RELOADS, before + 1.0).await;
    let mut fresh = tunnel(&fleet).await;
    fleet.trust("aws", &new.cert, &certificate(&new, "aws", now()));
    soon("the end", old.read_to_end()).await;
    lives(&mut fresh).await;
    fleet.until_metric(AWS, UP, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_configuration_is_a_warning() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let text = std::fs::read_to_string(fleet.path("edge-azure/causeway.yaml")).unwrap();
    fleet.write("edge-azure/causeway.yaml", text + "responses: {servedBy: false}\n");
    fleet.until_admin_says(AWS, "/diagnostics", "runs with another configuration").await;
    assert_eq!(ask(&fleet).await, 200);
}
