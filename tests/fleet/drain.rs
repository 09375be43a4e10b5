//! How an edge leaves.

use causeway::app::Pace;
use causeway::readiness::NotReady;
use causeway_tests::fleet::{configuration, ingress, service, until};
use causeway_tests::{Answer, Client, Origin, client, soon};

use super::{Fleet, WWW, shop};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An edge with an open WebSocket through it.
async fn chat(more: &str) -> (Fleet, Client, Origin) {
    let origin = Origin::start(|_| Answer::Echo).await;
    let files = [
        ("causeway.yaml", configuration(more)),
        ("aws/web.yaml", service("shop/web", &[origin.address])),
        ("aws/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ];
    let fleet = Fleet::start(&files).await;
    let mut client = Client::h1(fleet.https(), WWW).await;
    assert_eq!(client.request(UPGRADE).await.status(), 101);
    (fleet, client, origin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_load_balancers_notice_everybody_is_served_and_sent_elsewhere() {
    let (fleet, _origins) = shop("drain: {lameDuck: 1h}\n", vec![]).await;
    let (https, readiness) = (fleet.https(), fleet.app().readiness().clone());
    let mut kept = Client::h1(https, WWW).await;
    assert_ne!(kept.get(WWW, "/").await.field("connection"), Some("close"));
    let mut h2 = client::h2(https, WWW).await;
    let leaving = tokio::spawn(fleet.stop(Pace::Graceful));
    until("the drain", async || readiness.check() == Err(NotReady::Draining)).await;
    let answer = kept.get(WWW, "/").await;
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert!(kept.read_to_end().await.is_empty());
    let answer = Client::h1(https, WWW).await.get(WWW, "/").await;
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    // GOAWAY: no further stream may be opened.
    let goaway = async {
        while futures::future::poll_fn(|cx| h2.poll_ready(cx)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("GOAWAY", goaway).await;
    assert!(!leaving.is_finished());
    leaving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_gone_as_soon_as_nothing_is_under_way() {
    let (fleet, mut chat, _origin) = chat("drain: {timeout: 1h}\n").await;
    let https = fleet.https();
    let mut idle = Client::h1(https, WWW).await;
    let leaving = tokio::spawn(fleet.stop(Pace::AtOnce));
    assert!(idle.read_to_end().await.is_empty(), "a connection without a request ends at once");
    chat.send("still here").await;
    assert_eq!(chat.read(10).await, b"still here");
    assert!(!leaving.is_finished());
    drop(chat);
    soon("the end", leaving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_outlasts_the_timeout_keeps_no_edge() {
    let (fleet, _chat, _origin) = chat("drain: {timeout: 50ms}\n").await;
    soon("the end", fleet.stop(Pace::AtOnce)).await;
}
