//! gRPC: what its clients and servers say to each other reaches the other side as it was said.

use std::future::poll_fn;

use bytes::Bytes;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{Calls, Edge, H2cOrigin, World, client, soon};
use http::{HeaderMap, Request, Response};

const WWW: &str = "www.example.com";

fn call() -> http::request::Builder {
    let request = Request::post(format!("https://{WWW}/shop.Basket/Add"));
    request.header("content-type", "application/grpc").header("te", "trailers")
}

async fn start() -> (Calls, Edge) {
    let backend = Calls::new().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[backend.address]]), &[&[WWW]]);
    (backend, edge)
}

#[tokio::test]
async fn deadline_and_metadata_reach_the_server_as_they_were_sent() {
    let (mut backend, edge) = start().await;
    let mut send = client::h2(edge.https, WWW).await;
    let request = call().header("grpc-timeout", "2500m").header("trace-bin", "AAEC/w==").body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let (request, mut respond) = backend.call().await;
    let field = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((field("grpc-timeout"), field("trace-bin"), field("te")), (Some("2500m"), Some("AAEC/w=="), Some("trailers")));
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_refusal_without_a_body_reaches_the_client_as_it_was_said() {
    let (mut backend, edge) = start().await;
    let mut send = client::h2(edge.https, WWW).await;
    let (response, _) = send.send_request(call().body(()).unwrap(), true).unwrap();
    let (_, mut respond) = backend.call().await;
    let refusal = Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
    respond.send_response(refusal.header("grpc-message", "no%20such%20basket").body(()).unwrap(), true).unwrap();
    let response = soon("a response", response).await.unwrap();
    assert_eq!(
        (&response.headers()["grpc-status"], &response.headers()["grpc-message"]),
        (&"5".parse().unwrap(), &"no%20such%20basket".parse().unwrap())
    );
    let mut body = response.into_body();
    assert!(soon("the end", body.data()).await.is_none());
    assert!(soon("the end", body.trailers()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_error_after_some_messages_reaches_the_client_in_the_trailers() {
    let (mut backend, edge) = start().await;
    let mut send = client::h2(edge.https, WWW).await;
    let (response, _) = send.send_request(call().body(()).unwrap(), true).unwrap();
    let (_, mut respond) = backend.call().await;
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"a message"), false).unwrap();
    let status = [("grpc-status", "8"), ("grpc-message", "enough"), ("detail-bin", "AAE=")];
    let status = status.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    stream.send_trailers(HeaderMap::from_iter(status.clone())).unwrap();
    let mut body = soon("a response", response).await.unwrap().into_body();
    assert_eq!(soon("data", body.data()).await.unwrap().unwrap(), "a message");
    let trailers = soon("trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers, HeaderMap::from_iter(status));
}

#[tokio::test]
async fn a_call_that_its_client_gives_up_is_given_up_at_the_server() {
    let (mut backend, edge) = start().await;
    for begun in [false, true] {
        let mut send = client::h2(edge.https, WWW).await;
        let (response, mut messages) = send.send_request(call().body(()).unwrap(), false).unwrap();
        messages.send_data(Bytes::from_static(b"first"), false).unwrap();
        let (_, mut respond) = backend.call().await;
        let mut stream = if begun { Some(respond.send_response(Response::new(()), false).unwrap()) } else { None };
        messages.send_reset(h2::Reason::CANCEL);
        drop(response);
        let reset = match &mut stream {
            Some(stream) => soon("the end", poll_fn(|cx| stream.poll_reset(cx))).await,
            None => soon("the end", poll_fn(|cx| respond.poll_reset(cx))).await,
        };
        assert_eq!(reset.unwrap(), h2::Reason::CANCEL, "answer begun: {begun}");
    }
}

#[tokio::test]
async fn both_sides_of_a_stream_answer_each_other() {
    let origin = H2cOrigin::echo().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, mut messages) = send.send_request(call().body(()).unwrap(), false).unwrap();
    let mut answers = soon("a response", response).await.unwrap().into_body();
    for message in ["one", "two", "three", "four"] {
        messages.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
        let answer = soon("the answer", answers.data()).await.unwrap().unwrap();
        assert_eq!(answer, message);
        answers.flow_control().release_capacity(answer.len()).unwrap();
    }
    messages.send_data(Bytes::new(), true).unwrap();
    assert_eq!(soon("trailers", answers.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
}
