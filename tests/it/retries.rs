//! What happens when a backend does not answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway_core::cluster::AppProtocol;
use causeway_tests::origin::nobody;
use causeway_tests::{Answer, Client, Edge, Origin, World};

const WWW: &str = "www.example.com";

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello")
}

#[tokio::test]
async fn a_dead_endpoint_costs_another_try_whatever_the_method() {
    let origin = Origin::named("alive").await;
    let edge = Edge::start(&World::new().serve(WWW, &[nobody().await, origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for round in 0..20 {
        let response = client.request(&post("/")).await;
        assert_eq!((response.status(), response.text().as_str()), (200, "alive"), "round {round}");
    }
    assert!(origin.requests().iter().all(|request| request.body == b"hello"));
}

#[tokio::test]
async fn a_dead_cluster_costs_another_try() {
    let origin = Origin::named("alive").await;
    let (here, there) = ([nobody().await], [origin.address]);
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::Http, &[&here, &there]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..10 {
        let response = client.request(&post("/")).await;
        assert_eq!((response.status(), response.field("causeway-served-by")), (200, Some("azure")));
    }
}

#[tokio::test]
async fn tries_end_at_the_configured_number_where_no_other_cluster_is_left() {
    let dead = [nobody().await, nobody().await, nobody().await, nobody().await, nobody().await];
    let world = World::new().serve(WWW, &dead).with(|config| {
        config.upstream.attempts = 2;
        config.clusters.truncate(1);
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let response = client.request(&post("/")).await;
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("5")), "nothing was asked of a backend");
    assert_eq!(edge.metric("causeway_retries_total{reason=\"connect\"}").as_deref(), Some("1"));
    assert_eq!(edge.metric("causeway_requests_in_flight").as_deref(), Some("0"));
}

#[tokio::test]
async fn with_two_clusters_dark_the_third_is_reached() {
    let origin = Origin::named("alive").await;
    let (here, there) = ([nobody().await, nobody().await, nobody().await], [nobody().await, nobody().await]);
    let world = World::new().route(WWW, "/", AppProtocol::Http, &[&here, &there, &[origin.address]]);
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..10 {
        let response = client.request(&post("/")).await;
        assert_eq!((response.status(), response.field("causeway-served-by")), (200, Some("google")));
    }
}

/// Breaks off the first request that comes, and answers those that follow.
async fn breaks_off_once() -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::Last(Vec::new()),
        _ => Answer::ok("second try"),
    })
    .await
}

#[tokio::test]
async fn a_try_that_breaks_off_is_repeated_elsewhere_if_the_method_is_idempotent() {
    let (one, two) = (Origin::start(|_| Answer::Last(Vec::new())).await, Origin::named("two").await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address, two.address]), &[&[WWW]]);
    for _ in 0..10 {
        let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
        assert_eq!((response.status(), response.text().as_str()), (200, "two"));
    }
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_sent_again() {
    let (one, two) = (breaks_off_once().await, breaks_off_once().await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address, two.address]), &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.request(&post("/order")).await;
    assert_eq!(response.status(), 502);
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_the_backend_closes_is_replaced() {
    // Answers, and closes the connection as the next request comes: the race of every keep-alive.
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        1 => Answer::Last(Vec::new()),
        _ => Answer::ok("hello"),
    })
    .await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/1").await.status(), 200);
    assert_eq!(client.get(WWW, "/2").await.text(), "hello");
    let connections: Vec<usize> = origin.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_backend_that_never_answers_costs_its_time_and_then_504() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let world =
        World::new().serve(WWW, &[origin.address]).with(|config| config.upstream.response_timeout = Duration::from_millis(50));
    let edge = Edge::start(&world, &[&[WWW]]);
    assert_eq!(Client::h1(edge.https, WWW).await.request(&post("/")).await.status(), 504);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_silent_backend_is_given_up_for_one_that_answers() {
    let (silent, origin) = (Origin::start(|_| Answer::Silence).await, Origin::named("alive").await);
    let world = World::new()
        .serve(WWW, &[silent.address, origin.address])
        .with(|config| config.upstream.response_timeout = Duration::from_millis(50));
    let edge = Edge::start(&world, &[&[WWW]]);
    for _ in 0..6 {
        assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.text(), "alive");
    }
}

#[tokio::test]
async fn the_time_for_a_response_limits_its_header_only() {
    let origin = Origin::start(|_| Answer::Slow("200 OK", Duration::from_millis(300), "worth waiting for")).await;
    let world =
        World::new().serve(WWW, &[origin.address]).with(|config| config.upstream.response_timeout = Duration::from_millis(100));
    let edge = Edge::start(&world, &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "worth waiting for"));
}

#[tokio::test]
async fn the_time_for_a_response_begins_when_the_request_is_sent() {
    let origin = Origin::named("hello").await;
    let world =
        World::new().serve(WWW, &[origin.address]).with(|config| config.upstream.response_timeout = Duration::from_millis(100));
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 10\r\n\r\nhello")).await;
    // An upload that takes longer than a response may: what is waited for here is the time itself.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.request("hello").await.status(), 200);
}

#[tokio::test]
async fn nothing_stays_in_flight_when_a_client_leaves() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    origin.wait_for(1).await;
    let in_flight = || {
        let snapshot = edge.snapshot.load();
        snapshot.pools[0].members[0].endpoints[0].cell.in_flight()
    };
    assert_eq!(in_flight(), 1);
    drop(client);
    causeway_tests::soon("the end of the request", async {
        while in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
