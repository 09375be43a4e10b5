//! Where messages end: what smuggling lives on.

use bytes::Bytes;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{Answer, Calls, Client, Edge, Origin, World, client, soon};

const WWW: &str = "www.example.com";

/// cloudflare/pingora#935: the last chunk was written twice, and the second read as a request.
#[tokio::test]
async fn an_http2_body_that_ends_in_an_empty_frame_reaches_an_http1_backend_once() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    for round in 0..20 {
        let request = http::Request::post(format!("https://{WWW}/{round}")).body(()).unwrap();
        let (response, mut body) = send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"), false).unwrap();
        tokio::task::yield_now().await;
        body.send_data(Bytes::new(), true).unwrap();
        let response = soon("a response", response).await.unwrap();
        assert_eq!(response.status(), 200, "round {round}");
        send = soon("readiness", send.ready()).await.unwrap();
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 20);
    for (round, request) in requests.iter().enumerate() {
        assert_eq!(request.line(), format!("POST /{round}"));
        assert_eq!(request.body, b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    }
}

#[tokio::test]
async fn bodies_pass_by_length_and_by_chunks() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let by_length = format!("POST /l HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello");
    let by_chunks =
        format!("POST /c HTTP/1.1\r\nHost: {WWW}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    for request in [by_length, by_chunks] {
        assert_eq!(client.request(&request).await.status(), 200);
    }
    assert!(origin.requests().iter().all(|request| request.body == b"hello"));
}

#[tokio::test]
async fn length_and_chunks_together_end_the_connection_and_smuggle_nothing() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\
             Host: {WWW}\r\n\r\n"
        ))
        .await;
    let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(origin.requests().iter().all(|request| !request.line().contains("smuggled")));
}

#[tokio::test]
async fn a_connection_serves_many_requests_over_one_to_the_backend() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..5 {
        assert_eq!(client.get(WWW, "/").await.text(), "hello");
    }
    assert!(origin.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_response_without_a_length_is_chunked_and_ends_with_the_backends_connection() {
    let origin = Origin::start(|_| Answer::Last(b"HTTP/1.0 200 OK\r\n\r\nuntil the end".into())).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!(response.text(), "until the end");
}

/// RFC 9112 section 6.1: who speaks HTTP/1.0 knows of no coding.
#[tokio::test]
async fn a_client_of_http_1_0_is_sent_no_chunks() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let origin = Origin::start(|_| Answer::Bytes(chunked.into())).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    for field in ["", "Connection: keep-alive\r\n"] {
        let mut client = Client::h1(edge.https, WWW).await;
        client.send(format!("GET / HTTP/1.0\r\nHost: {WWW}\r\n{field}\r\n")).await;
        let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let origin = Origin::start(|_| Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into())).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let mut body = soon("a response", response).await.unwrap().into_body();
    let broken = soon("the end", async {
        while let Some(data) = body.data().await {
            if data.is_err() {
                return true;
            }
        }
        false
    });
    assert!(broken.await, "the stream must be reset");
}

#[tokio::test]
async fn a_connection_that_is_told_to_drain_ends_with_its_next_response() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/").await.field("connection"), Some("keep-alive"));
    edge.phase.send_replace(causeway::drain::Phase::Draining);
    // The flag travels through the connection's own task.
    let closed = soon("the connection to end", async {
        loop {
            if client.get(WWW, "/").await.field("connection") == Some("close") {
                return client.read_to_end().await;
            }
        }
    });
    assert!(closed.await.is_empty());
}

/// The engine drops them. What matters is that they are dropped: as fields they would say what only fields before the body may say.
#[tokio::test]
async fn trailers_of_an_http2_request_reach_no_backend_neither_as_fields_nor_at_all() {
    let trailers = || {
        let fields = [("x-role", "admin"), ("x-forwarded-for", "203.0.113.9"), ("content-length", "99")];
        fields.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<http::HeaderMap>()
    };
    let post = || http::Request::post(format!("https://{WWW}/")).body(()).unwrap();
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let (response, mut body) = client::h2(edge.https, WWW).await.send_request(post(), false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    body.send_trailers(trailers()).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    let [request] = &origin.requests()[..] else { panic!("one request: {:?}", origin.requests()) };
    assert_eq!((&request.body[..], request.field("x-role"), request.field("content-length")), (&b"hello"[..], None, None));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));

    let mut backend = Calls::new().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[backend.address]]), &[&[WWW]]);
    let (response, mut body) = client::h2(edge.https, WWW).await.send_request(post(), false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    body.send_trailers(trailers()).unwrap();
    let (request, mut respond) = backend.call().await;
    assert_eq!((request.headers().get("x-role"), request.headers().get("content-length")), (None, None));
    let mut came = request.into_body();
    assert_eq!(soon("the body", came.data()).await.unwrap().unwrap(), "hello");
    assert!(soon("the end", came.data()).await.is_none_or(|end| end.unwrap().is_empty()));
    assert_eq!(soon("the end", came.trailers()).await.unwrap(), None);
    respond.send_response(http::Response::new(()), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
}
