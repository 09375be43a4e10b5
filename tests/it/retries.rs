//! What happens when a backend does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway_core::cluster::AppProtocol;
use causeway_tests::origin::{Request, nobody};
use causeway_tests::{Answer, Client, Edge, Origin, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

const WWW: &str = "www.example.com";

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello")
}

fn get() -> String {
    format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")
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

/// Answers one request once all others have theirs, takes no other connection, and closes the one it has at the next request: what
/// a pod does that dies with a kept connection.
async fn dies_after_one(all: Arc<Barrier>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        all.wait().await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut request).await;
    });
    address
}

/// An edge with a kept connection to each of three endpoints, none of which listens any more, and clients of it. `None` where two
/// requests were drawn to the same endpoint, so that one had to go to another cluster.
async fn died_with_kept_connections(alive: &Origin) -> Option<(Edge, Client)> {
    let all = Arc::new(Barrier::new(3));
    let here = [dies_after_one(all.clone()).await, dies_after_one(all.clone()).await, dies_after_one(all).await];
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::Http, &[&here, &[alive.address]]), &[&[WWW]]);
    let [mut a, mut b, mut c] =
        [Client::h1(edge.https, WWW).await, Client::h1(edge.https, WWW).await, Client::h1(edge.https, WWW).await];
    let get = get();
    tokio::select! {
        _ = async { tokio::join!(a.request(&get), b.request(&get), c.request(&get)) } => {}
        _ = alive.wait_for(1) => return None,
    }
    Some((edge, a))
}

/// A kept connection to each of its endpoints has ended, and nobody has noticed: that alone must not use up a request's tries.
#[tokio::test]
async fn a_cluster_that_died_with_kept_connections_costs_no_request() {
    let (_alive, _edge, mut client) = loop {
        let alive = Origin::named("alive").await;
        if let Some((edge, client)) = died_with_kept_connections(&alive).await {
            break (alive, edge, client);
        }
    };
    let response = client.request(&get()).await;
    assert_eq!((response.status(), response.field("causeway-served-by")), (200, Some("azure")));
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
    let world = World::new()
        .serve(WWW, &[origin.address])
        .with(|config| config.upstream.response_timeout = Some(Duration::from_millis(50)));
    let edge = Edge::start(&world, &[&[WWW]]);
    assert_eq!(Client::h1(edge.https, WWW).await.request(&post("/")).await.status(), 504);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_silent_backend_is_given_up_for_one_that_answers() {
    let (silent, origin) = (Origin::start(|_| Answer::Silence).await, Origin::named("alive").await);
    let world = World::new()
        .serve(WWW, &[silent.address, origin.address])
        .with(|config| config.upstream.response_timeout = Some(Duration::from_millis(50)));
    let edge = Edge::start(&world, &[&[WWW]]);
    for _ in 0..6 {
        assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.text(), "alive");
    }
}

#[tokio::test]
async fn the_time_for_a_response_limits_its_header_only() {
    let origin = Origin::start(|_| Answer::Slow("200 OK", Duration::from_millis(300), "worth waiting for")).await;
    let world = World::new()
        .serve(WWW, &[origin.address])
        .with(|config| config.upstream.response_timeout = Some(Duration::from_millis(100)));
    let edge = Edge::start(&world, &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "worth waiting for"));
}

#[tokio::test]
async fn the_time_for_a_response_begins_when_the_request_is_sent() {
    let origin = Origin::named("hello").await;
    let world = World::new()
        .serve(WWW, &[origin.address])
        .with(|config| config.upstream.response_timeout = Some(Duration::from_millis(100)));
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

const OVERLOADED: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nX-Why: full\r\nContent-Length: 4\r\n\r\nbusy";

async fn overloaded() -> Origin {
    Origin::start(|_| Answer::Bytes(OVERLOADED.into())).await
}

#[tokio::test]
async fn a_gateways_failure_is_tried_elsewhere_if_the_method_is_idempotent() {
    let (busy, alive) = (overloaded().await, Origin::named("alive").await);
    let edge = Edge::start(&World::new().serve(WWW, &[busy.address, alive.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..10 {
        assert_eq!(client.get(WWW, "/").await.text(), "alive");
    }
    let put = format!("PUT /a HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello");
    for _ in 0..10 {
        assert_eq!(client.request(&put).await.text(), "alive");
    }
    assert!(alive.requests().iter().filter(|request| request.line() == "PUT /a").all(|request| request.body == b"hello"));
    assert_eq!(edge.metric("causeway_requests_in_flight").as_deref(), Some("0"));
}

#[tokio::test]
async fn where_nobody_is_left_the_backends_own_answer_passes() {
    let busy = overloaded().await;
    let edge = Edge::start(&World::new().serve(WWW, &[busy.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let response = client.get(WWW, "/").await;
    assert_eq!((response.status(), response.text().as_str()), (503, "busy"));
    assert_eq!((response.field("retry-after"), response.field("x-why")), (Some("7"), Some("full")));
}

#[tokio::test]
async fn a_post_that_met_an_overloaded_backend_is_told_so() {
    let (one, two) = (overloaded().await, overloaded().await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address, two.address]), &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.request(&post("/order")).await;
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("7")));
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_long_to_be_kept_is_sent_once() {
    let (one, two) = (overloaded().await, overloaded().await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address, two.address]), &[&[WWW]]);
    let body = "x".repeat(100 * 1024);
    let put = format!("PUT / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(Client::h1(edge.https, WWW).await.request(&put).await.status(), 503);
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[tokio::test]
async fn retries_end_with_the_pools_budget() {
    let (one, two) = (overloaded().await, overloaded().await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address, two.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..110 {
        assert_eq!(client.get(WWW, "/").await.status(), 503);
    }
    assert_eq!(edge.metric("causeway_retries_total{reason=\"status\"}").as_deref(), Some("100"));
    assert_eq!(edge.metric("causeway_retries_denied_total").as_deref(), Some("10"));
    assert_eq!(one.requests().len() + two.requests().len(), 210);
}

/// As many quick answers as it takes to know that a second is long.
async fn learn(edge: &Edge) {
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..100 {
        assert_eq!(client.get(WWW, "/").await.status(), 200);
    }
    edge.tick();
}

#[tokio::test]
async fn a_backend_that_stalls_costs_an_idempotent_request_a_second_and_not_more() {
    let stalled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stalled);
    let one = Origin::start(move |_| if flag.load(Ordering::Relaxed) { Answer::Silence } else { Answer::ok("one") }).await;
    let two = Origin::named("two").await;
    let world = World::new().route(WWW, "/", AppProtocol::Http, &[&[one.address], &[two.address]]);
    let edge = Edge::start(&world, &[&[WWW]]);
    learn(&edge).await;
    stalled.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "two"));
    assert!(begun.elapsed() >= Duration::from_millis(990), "it was waited for");
    assert_eq!(edge.metric("causeway_retries_total{reason=\"timeout\"}").as_deref(), Some("1"));
    assert_eq!(edge.metric("causeway_tries_total{step=\"next_cluster\"}").as_deref(), Some("1"));
}

#[tokio::test]
async fn where_nothing_else_could_be_tried_a_slow_answer_is_waited_for() {
    let slow = |request: &Request| match request.line() {
        "GET /slow" => Answer::Late(Duration::from_millis(1300), "slow"),
        _ => Answer::ok("quick"),
    };
    let origin = Origin::start(slow).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    learn(&edge).await;
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/slow").await.text(), "slow");
}

#[tokio::test]
async fn all_tries_together_end_with_the_time_for_the_request() {
    let silent = || Origin::start(|_| Answer::Silence);
    let (one, two, three) = (silent().await, silent().await, silent().await);
    let world = World::new().serve(WWW, &[one.address, two.address, three.address]).with(|config| {
        config.upstream.response_timeout = Some(Duration::from_millis(800));
        config.upstream.request_timeout = Some(Duration::from_millis(1200));
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 504);
    let tried = one.requests().len() + two.requests().len() + three.requests().len();
    assert_eq!(tried, 2, "the third has no time left");
}
