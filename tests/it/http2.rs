//! HTTP/2 from clients, and to backends.

use bytes::Bytes;
use causeway_core::cluster::AppProtocol;
use causeway_tests::{Client, Edge, H2cOrigin, Origin, World, client, soon};

const WWW: &str = "www.example.com";

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let origin = H2cOrigin::echo().await;
    let edge = Edge::start(&World::new().route(WWW, "/", AppProtocol::H2c, &[&[origin.address]]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::post(format!("https://{WWW}/shop.Basket/Add"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = send.send_request(request, false).unwrap();
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
