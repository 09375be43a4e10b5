//! A client's request at one edge, and a pod in another cluster.

use bytes::Bytes;
use causeway_tests::{Answer, Client, Origin, client, soon};

use super::{AWS, WWW, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_a_pod_through_its_clusters_edge() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    let text = format!(
        "POST /cart?x=1 HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 5\r\nX-Forwarded-For: 192.0.2.7\r\nX-Request-Id: abc-123\r\n\
         Causeway-Pool: shop/secret:80\r\nCauseway-Hop: 1\r\nCauseway-Crossings: 9\r\nCauseway-Client: 10.9.9.9\r\n\r\nhello"
    );
    let response = client.request(&text).await;
    assert_eq!((response.status(), response.text().as_str()), (200, "azure"), "{}", response.head);
    assert_eq!(response.field("causeway-served-by"), Some("azure"));
    assert_eq!(response.field("x-request-id"), Some("abc-123"));
    assert!(!response.head.to_ascii_lowercase().contains("causeway-instance"), "what edges tell each other stays between them");
    let request = &azure.requests()[0];
    assert_eq!((request.line(), request.body.as_slice()), ("POST /cart?x=1", b"hello".as_slice()));
    assert_eq!((request.field("host"), request.field("x-request-id")), (Some(WWW), Some("abc-123")));
    // The client as its proxy named it, then the proxy; the edge in between is no hop of the client's.
    assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    assert_eq!((request.field("x-real-ip"), request.field("x-forwarded-proto")), (Some("192.0.2.7"), Some("https")));
    assert!(!request.head.to_ascii_lowercase().contains("causeway-"), "{}", request.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_client_crosses_too() {
    let azure = Origin::named("azure").await;
    let fleet = shop([None, Some(&azure), None], "").await;
    let mut send = client::h2(fleet.https(AWS), WWW).await;
    let (response, _) = send.send_request(http::Request::get(format!("https://{WWW}/x")).body(()).unwrap(), true).unwrap();
    let response = soon("a response", response).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["causeway-served-by"]), (200, &"azure".parse().unwrap()));
    let mut body: Bytes = Bytes::new();
    let mut received = response.into_body();
    while let Some(data) = soon("data", received.data()).await {
        body = [body, data.unwrap()].concat().into();
    }
    assert_eq!(body, "azure");
    assert_eq!(azure.requests()[0].field("host"), Some(WWW));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_crosses_and_lives() {
    let azure = Origin::start(|_| Answer::Echo).await;
    let fleet = shop([None, Some(&azure), None], "").await;
    for round in 0..20 {
        let mut client = Client::h1(fleet.https(AWS), WWW).await;
        let text = format!(
            "GET /chat HTTP/1.1\r\nHost: {WWW}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let response = client.request(&text).await;
        assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")), "round {round}");
        for message in ["one", "two", "three"] {
            client.send(message).await;
            assert_eq!(client.read(message.len()).await, message.as_bytes(), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pod_answers_with_an_error_is_the_answer() {
    let azure = Origin::start(|_| Answer::status(418)).await;
    let fleet = shop([None, Some(&azure), None], "").await;
    assert_eq!(Client::h1(fleet.https(AWS), WWW).await.get(WWW, "/").await.status(), 418);
}
