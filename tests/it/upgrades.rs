//! Upgrades: `WebSockets`.

use causeway_tests::{Answer, Client, Edge, Origin, World};

const WWW: &str = "www.example.com";

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {WWW}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// cloudflare/pingora#946: one in four died right after the 101.
#[tokio::test]
async fn a_websocket_passes_both_ways() {
    let origin = Origin::start(|_| Answer::Echo).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    for round in 0..40 {
        let mut client = Client::h1(edge.https, WWW).await;
        let response = client.request(&upgrade("/chat")).await;
        assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")), "round {round}");
        for message in ["one", "two", "three"] {
            client.send(message).await;
            assert_eq!(client.read(message.len()).await, message.as_bytes(), "round {round}");
        }
    }
    let request = &origin.requests()[0];
    assert_eq!(request.field("upgrade"), Some("websocket"));
    assert_eq!(request.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(request.field("sec-websocket-version"), Some("13"));
}

#[tokio::test]
async fn a_backend_may_refuse_the_upgrade() {
    let origin = Origin::start(|_| Answer::status(403)).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.request(&upgrade("/chat")).await.status(), 403);
}

#[tokio::test]
async fn an_upgraded_connection_keeps_no_snapshot_alive() {
    let origin = Origin::start(|_| Answer::Echo).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let before = std::sync::Arc::downgrade(&edge.snapshot.load_full());
    let pool = std::sync::Arc::downgrade(&edge.snapshot.load().pools[0]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.request(&upgrade("/chat")).await;
    edge.publish(&World::new());
    client.send("still here").await;
    assert_eq!(client.read(10).await, b"still here");
    assert!(before.upgrade().is_none() && pool.upgrade().is_none());
}

/// The engine would cut it when its read timeout is over; here every time that an edge knows is short, and is waited out.
#[tokio::test]
async fn a_silent_websocket_is_not_cut() {
    let origin = Origin::start(|_| Answer::Echo).await;
    let idle = std::time::Duration::from_millis(200);
    let world = World::new().serve(WWW, &[origin.address]).with(|config| {
        let limits = &mut config.limits;
        for time in [
            &mut limits.body_idle_timeout,
            &mut limits.idle_timeout,
            &mut limits.request_header_timeout,
            &mut limits.proxy_header_timeout,
            &mut limits.connection_age,
            &mut limits.http2.idle_timeout,
            &mut limits.http2.preface_timeout,
        ] {
            *time = idle;
        }
        config.upstream.response_timeout = Some(idle);
        config.upstream.request_timeout = Some(idle);
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.request(&upgrade("/chat")).await.status(), 101);
    tokio::time::sleep(idle * 6).await;
    client.send("still here").await;
    assert_eq!(client.read(10).await, b"still here");
}
