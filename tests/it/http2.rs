//! HTTP/2 from clients, and to backends.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use causeway_core::cluster::AppProtocol;
use causeway_tests::raw_h2::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS};
use causeway_tests::{Client, Edge, H2cOrigin, Origin, World, client, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WWW: &str = "www.example.com";

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let origin = H2cOrigin::echo().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, mut body) = send.send_request(call(), false).unwrap();
    body.send_data(Bytes::from_static(b"first "), false).unwrap();
    let response = soon("a response", response).await.unwrap();
    assert_eq!(response.headers()["x-te"], "trailers");
    assert_eq!(response.headers()["causeway-served-by"], "aws");
    // The response has begun while the request still goes on: a stream in both directions.
    body.send_data(Bytes::from_static(b"second"), true).unwrap();
    let mut received = response.into_body();
    let mut echoed = Vec::new();
    while let Some(data) = soon("data", received.data()).await {
        echoed.extend(data.unwrap());
    }
    assert_eq!(echoed, b"first second");
    let trailers = soon("trailers", received.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

fn call() -> http::Request<()> {
    let request = http::Request::post(format!("https://{WWW}/shop.Basket/Add"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// As behind a link that was cut: connections are there, and nothing comes. Silence ends no call, but a backend that does not
/// open another connection either is gone; its calls fail, and new ones go elsewhere.
#[tokio::test]
async fn calls_on_a_dead_connection_fail_soon_and_later_ones_go_elsewhere() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = H2cOrigin::echo().await;
    let clusters: [&[_]; 2] = [&[dead.local_addr().unwrap()], &[origin.address]];
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &clusters), &[&[WWW]]);
    let send = client::h2(edge.https, WWW).await;
    let calls = (0..5).map(|_| send.clone().send_request(call(), true).unwrap().0);
    for response in futures::future::join_all(calls.map(|call| soon("an end", call))).await {
        assert_eq!(response.unwrap().status(), 504);
    }
    edge.tick();
    let response = soon("a response", send.clone().send_request(call(), true).unwrap().0).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["causeway-served-by"].as_bytes()), (200, &b"azure"[..]));
}

#[tokio::test]
async fn a_slow_call_of_a_backend_that_lives_is_left_alone() {
    let mut origin = H2cOrigin::held().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, _) = send.send_request(call(), true).unwrap();
    // The call's own, and two that only asked.
    soon("two questions", origin.connections.wait_for(|count| *count >= 3)).await.unwrap();
    origin.answers.send_replace(true);
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_a_living_http2_backend_forgets_is_answered_504_and_the_connection_serves_on() {
    let origin = H2cOrigin::held().await;
    let world = World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]);
    let world = world.with(|config| config.upstream.request_timeout = Some(std::time::Duration::from_millis(200)));
    let edge = Edge::start(&world, &[&[WWW]]);
    let send = client::h2(edge.https, WWW).await;
    let (waiting, _) = send.clone().send_request(call(), true).unwrap();
    let get = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    let (forgotten, _) = send.clone().send_request(get, true).unwrap();
    assert_eq!(soon("an end", forgotten).await.unwrap().status(), 504);
    origin.answers.send_replace(true);
    assert_eq!(soon("the call on the same connection", waiting).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_http1_client_reaches_an_h2c_backend() {
    let origin = H2cOrigin::echo().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let response = client.request(&format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello")).await;
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn an_http2_client_reaches_an_http1_backend_that_sees_a_host() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, _) = send.send_request(http::Request::get(format!("https://{WWW}/x")).body(()).unwrap(), true).unwrap();
    let response = soon("a response", response).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.headers()["causeway-served-by"], "aws");
    let request = &origin.requests()[0];
    assert_eq!((request.line(), request.field("host")), ("GET /x", Some(WWW)));
}

#[tokio::test]
async fn a_tls_backend_that_nobody_vouches_for_is_not_believed() {
    let backend = Edge::start(&World::new(), &[&[WWW]]);
    let world = World::new().route(WWW, "/", AppProtocol::Https, &[&[backend.https]]);
    let edge = Edge::start(&world, &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!(response.status(), 502);
}

/// Serves one call on each connection, answers the next one with GOAWAY, and takes new connections: what gRPC servers do that let no
/// connection grow old, and edges that hand over.
async fn ages() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.read_exact(&mut [0; PREFACE.len()]).await?;
                stream.write_all(&raw_h2::frame(SETTINGS, 0, 0, &[])).await?;
                loop {
                    let frame = raw_h2::read_frame(&mut stream).await?;
                    // RFC 7541 appendix A: 8 is `:status: 200`.
                    let answer = match (frame.kind, frame.stream) {
                        (DATA, 1) if frame.flags & END_STREAM != 0 => {
                            raw_h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88])
                        }
                        // The last stream that was taken is 1, and there is no error.
                        (HEADERS, 3..) => raw_h2::frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
                        _ => continue,
                    };
                    stream.write_all(&answer).await?;
                }
                #[expect(unreachable_code, reason = "says what `?` returns")]
                std::io::Result::Ok(())
            });
        }
    });
    address
}

#[tokio::test]
async fn a_call_that_an_ending_connection_did_not_take_goes_over_another_whatever_its_method() {
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[ages().await]]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for round in 0..6 {
        let answer = client.request(&format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello")).await;
        assert_eq!(answer.status(), 200, "round {round}: {answer:?}");
    }
}

/// A backend that answers the first call over its first connection, and then never says a word again: there, nor on any other.
async fn falls_silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_response(http::Response::new(()), true).unwrap();
        let _second = connection.accept().await;
        std::future::pending::<()>().await;
    });
    address
}

/// A kept connection that has closed by itself is nobody's fault, and what was sent on it is sent there again. This one was ended since
/// nobody is there.
#[tokio::test]
async fn what_was_on_a_dead_connection_beside_the_one_that_asked_is_held_against_the_backend_too() {
    let origin = H2cOrigin::echo().await;
    let clusters: [&[_]; 2] = [&[falls_silent().await], &[origin.address]];
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &clusters), &[&[WWW]]);
    let send = client::h2(edge.https, WWW).await;
    let get = || {
        let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
        send.clone().send_request(request, true).unwrap().0
    };
    assert_eq!(soon("the first", get()).await.unwrap().headers()["causeway-served-by"], "aws");
    let cell = Arc::clone(&edge.snapshot.load().pools[0].members[0].endpoints[0].cell);
    assert_eq!(cell.consecutive_failures(), 0);
    let (one, other) = (get(), get());
    for response in [soon("one", one).await.unwrap(), soon("the other", other).await.unwrap()] {
        assert_eq!(response.headers()["causeway-served-by"], "azure");
    }
    assert_eq!(cell.consecutive_failures(), 2);
    let again = edge.metric("causeway_retries_total{reason=\"refused\"}");
    assert!(again.is_none_or(|count| count == "0"), "nothing was sent there again");
}
