//! Bodies of requests that stand still: who is at fault, what is answered, and what is told of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{ByHand, Calls, Client, Edge, Origin, World, client, soon};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const WWW: &str = "www.example.com";

/// Short enough for a test, and long enough for a slow machine to do in it what must be done.
const SHORT: Duration = Duration::from_millis(300);

fn start(protocol: AppProtocol, backend: SocketAddr, patience: Duration) -> Edge {
    let world = World::new().route(WWW, "/", protocol, &[&[backend]]).with(|config| {
        config.limits.body_idle_timeout = patience;
        config.access_log.enabled = true;
    });
    Edge::start(&world, &[&[WWW]])
}

/// What is told of a request whose backend did not take its body, and that nobody else is blamed.
async fn is_told(edge: &Edge, status: &Value) {
    assert_eq!((edge.refused("timeout"), edge.refused("slow_body")), (1, 0));
    let lines = edge.log().await;
    let line = lines.iter().find(|line| line["reason"] == "timeout").expect("it is logged");
    assert_eq!((&line["status"], &line["cluster"]), (status, &json!("aws")), "{line}");
    assert!(line["bytesIn"].as_u64().unwrap() > 0, "{line}");
    assert_eq!(edge.metric("causeway_requests_in_flight").as_deref(), Some("0"));
}

/// Sends without end, until nothing is taken any more.
async fn upload(mut body: h2::SendStream<Bytes>) {
    let piece = Bytes::from(vec![b'x'; 1 << 16]);
    loop {
        body.reserve_capacity(piece.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { return };
        if body.send_data(piece.slice(..room), false).is_err() {
            return;
        }
    }
}

/// The stream ends, the connection lives, and streams on which silence means nothing are left alone.
#[tokio::test]
async fn an_http2_body_that_stops_coming_ends_its_stream() {
    let origin = Origin::named("hello").await;
    let edge = start(AppProtocol::Http, origin.address, SHORT);
    let mut send = client::h2(edge.https, WWW).await;
    let mut post = |content_type: &str| {
        let request = http::Request::post(format!("https://{WWW}/")).header("content-type", content_type).body(()).unwrap();
        let (response, mut body) = send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        (response, body)
    };
    let (grpc, mut grpc_body) = post("application/grpc");
    let (plain, _plain_body) = post("text/plain");
    let error = soon("the end of the stream", plain).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error}");
    assert_eq!(edge.refused("slow_body"), 1);
    grpc_body.send_data(Bytes::from_static(b" world"), true).unwrap();
    assert_eq!(soon("a response", grpc).await.unwrap().status(), 200);
    let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    assert_eq!(soon("a response", send.send_request(request, true).unwrap().0).await.unwrap().status(), 200);
    let lines = edge.log().await;
    let line = lines.iter().find(|line| line["reason"] == "slow_body").expect("it is logged");
    assert_eq!((&line["status"], &line["bytesIn"], &line["attempts"]), (&Value::Null, &json!(5), &json!(1)), "{line}");
    let bodies: Vec<_> = origin.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert_eq!(bodies, ["hello world", ""]);
    assert_eq!(edge.metric("causeway_requests_in_flight").as_deref(), Some("0"));
}

/// Each piece has the time, not the whole.
#[tokio::test]
async fn an_http2_body_that_trickles_is_waited_for() {
    let origin = Origin::named("hello").await;
    let edge = start(AppProtocol::Http, origin.address, SHORT * 2);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, mut body) =
        send.send_request(http::Request::post(format!("https://{WWW}/")).body(()).unwrap(), false).unwrap();
    let began = tokio::time::Instant::now();
    let mut pieces = tokio::time::interval(SHORT / 2);
    while began.elapsed() < SHORT * 4 {
        pieces.tick().await;
        body.send_data(Bytes::from_static(b"x"), false).unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    assert_eq!((origin.requests().len(), edge.refused("slow_body")), (1, 0));
}

#[tokio::test]
async fn an_http1_backend_that_does_not_take_a_body_is_504() {
    let backend = ByHand::new().await;
    let edge = start(AppProtocol::Http, backend.address, SHORT);
    let mut send = client::h2(edge.https, WWW).await;
    let post = http::Request::post(format!("https://{WWW}/")).body(()).unwrap();
    let (response, body) = send.send_request(post, false).unwrap();
    let sending = tokio::spawn(upload(body));
    let _taken = backend.request().await;
    assert_eq!(soon("a response", response).await.unwrap().status(), 504);
    is_told(&edge, &json!(504)).await;
    sending.abort();
}

#[tokio::test]
async fn over_http1_too_a_backend_that_does_not_take_a_body_is_504() {
    let backend = ByHand::new().await;
    let edge = start(AppProtocol::Http, backend.address, SHORT);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    let (mut read, mut write) = tokio::io::split(client.stream);
    let piece = vec![b'x'; 1 << 16];
    let sending = tokio::spawn(async move { while write.write_all(&piece).await.is_ok() {} });
    let _taken = backend.request().await;
    let mut line = [0; 13];
    soon("a response", tokio::io::AsyncReadExt::read_exact(&mut read, &mut line)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&line), "HTTP/1.1 504 ");
    is_told(&edge, &json!(504)).await;
    sending.abort();
}

/// Gateway failures in a row that are held against the backend.
fn blamed(edge: &Edge) -> u32 {
    edge.snapshot.load().pools[0].members[0].endpoints[0].cell.consecutive_failures()
}

/// A request whose body comes in pieces, as the client sends it.
async fn post(edge: &Edge, method: http::Method) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::builder().method(method).uri(format!("https://{WWW}/")).body(()).unwrap();
    send.send_request(request, false).unwrap()
}

/// Its window is closed, its connection lives, and so do others to it.
#[tokio::test]
async fn an_http2_backend_that_does_not_take_a_body_is_504() {
    let mut backend = Calls::new().await;
    let edge = start(AppProtocol::H2c, backend.address, SHORT);
    let get = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    let mut other = client::h2(edge.https, WWW).await;
    let (waits, _) = other.send_request(get, true).unwrap();
    let (_request, mut waiting) = backend.call().await;
    let (response, mut body) = post(&edge, http::Method::POST).await;
    // More than a window, and no more is to come: the client has done its part.
    body.send_data(Bytes::from(vec![b'x'; 100_000]), true).unwrap();
    let (_request, mut taken) = backend.call().await;
    assert_eq!(soon("a response", response).await.unwrap().status(), 504);
    soon("the end of the backend's", std::future::poll_fn(|cx| taken.poll_reset(cx))).await.unwrap_err();
    assert_eq!(blamed(&edge), 1);
    waiting.send_response(http::Response::new(()), true).unwrap();
    assert_eq!(soon("a response", waits).await.unwrap().status(), 200);
    is_told(&edge, &json!(504)).await;
}

#[tokio::test]
async fn over_http1_an_http2_backend_that_does_not_take_a_body_is_504() {
    let mut backend = Calls::new().await;
    let edge = start(AppProtocol::H2c, backend.address, SHORT);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000))).await;
    let _taken = backend.call().await;
    assert_eq!(client.receive().await.status(), 504);
    is_told(&edge, &json!(504)).await;
}

/// An edge before a first backend and, where the first does not serve, a second one. `each`: how long a try may take.
fn start_impatient(backends: &[&Calls], each: Option<Duration>) -> Edge {
    let addresses: Vec<_> = backends.iter().map(|backend| [backend.address]).collect();
    let clusters: Vec<&[SocketAddr]> = addresses.iter().map(|address| &address[..]).collect();
    let world = World::new().route(WWW, "/", AppProtocol::H2c, &clusters).with(|config| {
        config.limits.body_idle_timeout = SHORT;
        config.upstream.response_timeout = each;
        config.upstream.request_timeout = Some(SHORT * 2);
        config.access_log.enabled = true;
    });
    Edge::start(&world, &[&[WWW]])
}

/// Takes a call's body, which must be this one.
async fn take(backend: &mut Calls, body: &str) -> h2::server::SendResponse<Bytes> {
    let (request, taken) = backend.call().await;
    let mut came = request.into_body();
    assert_eq!(soon("the body", came.data()).await.unwrap().unwrap(), body);
    taken
}

/// It lives: only the call has no answer. What is not idempotent may have been carried out.
#[tokio::test]
async fn an_http2_backend_that_has_the_body_and_never_answers_is_504() {
    let (mut backend, other) = (Calls::new().await, Calls::new().await);
    let edge = start_impatient(&[&backend, &other], Some(SHORT));
    let (response, mut body) = post(&edge, http::Method::POST).await;
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut taken = take(&mut backend, "hello").await;
    assert_eq!(soon("a response", response).await.unwrap().status(), 504);
    soon("the end of the backend's", std::future::poll_fn(|cx| taken.poll_reset(cx))).await.unwrap_err();
    is_told(&edge, &json!(504)).await;
    assert_eq!(blamed(&edge), 1);
    assert!(other.is_idle());
}

/// Nothing else could be tried, so that this one has all of the request's time.
#[tokio::test]
async fn over_http1_an_http2_backend_that_has_the_body_and_never_answers_is_504() {
    let mut backend = Calls::new().await;
    let edge = start_impatient(&[&backend], None);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nhello")).await;
    let _taken = take(&mut backend, "hello").await;
    assert_eq!(client.receive().await.status(), 504);
    is_told(&edge, &json!(504)).await;
}

/// The whole body goes to the other one, as it went to the first.
#[tokio::test]
async fn an_idempotent_request_with_a_body_that_an_http2_backend_never_answers_is_tried_elsewhere() {
    let (mut backend, mut other) = (Calls::new().await, Calls::new().await);
    let edge = start_impatient(&[&backend, &other], Some(SHORT));
    let (response, mut body) = post(&edge, http::Method::PUT).await;
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let _taken = take(&mut backend, "hello").await;
    take(&mut other, "hello").await.send_response(http::Response::new(()), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\n\r\nworld")).await;
    let _taken = take(&mut backend, "world").await;
    take(&mut other, "world").await.send_response(http::Response::new(()), true).unwrap();
    assert_eq!(client.receive().await.status(), 200);
    assert_eq!(blamed(&edge), 2);
}

#[tokio::test]
async fn an_http2_backend_that_falls_silent_in_the_midst_of_its_answer_to_a_body_ends_the_stream() {
    let mut backend = Calls::new().await;
    let edge = start_impatient(&[&backend], Some(SHORT));
    let (response, mut body) = post(&edge, http::Method::POST).await;
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut taken = take(&mut backend, "hello").await;
    let mut answer = taken.send_response(http::Response::new(()), false).unwrap();
    let mut body = soon("a response", response).await.unwrap().into_body();
    // Longer in all than any pause may be.
    let mut pieces = tokio::time::interval(SHORT / 2);
    for _ in 0..7 {
        pieces.tick().await;
        answer.send_data(Bytes::from_static(b"x"), false).unwrap();
        assert_eq!(soon("a piece", body.data()).await.unwrap().unwrap(), "x");
    }
    let error = soon("the end of the stream", body.data()).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error}");
    is_told(&edge, &json!(200)).await;
    assert_eq!(blamed(&edge), 0, "it has answered");
}
