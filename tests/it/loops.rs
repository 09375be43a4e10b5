//! Requests that come back to an edge by its clients' port.

use causeway_tests::{Client, Edge, Origin, World};
use tokio::net::TcpListener;

const WWW: &str = "www.example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_goes_in_circles_is_answered_508() {
    // Endpoints speak TLS under certificates that the system trusts, which a test has none of: this one puts TLS around.
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = Edge::start(&World::new().serve(WWW, &[endpoint.local_addr().unwrap()]), &[&[WWW]]);
    let https = edge.https;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = endpoint.accept().await {
            let mut back = Client::h1(https, WWW).await;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut back.stream).await });
        }
    });
    let response = Client::h1(edge.https, WWW).await.get(WWW, "/").await;
    assert_eq!(response.status(), 508, "{}", response.text());
    assert_eq!(edge.metric("causeway_refusals_total{reason=\"loop\"}").as_deref(), Some("1"), "after one round");
}

#[tokio::test]
async fn backends_are_told_and_other_networks_entries_pass() {
    let origin = Origin::named("origin").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let ask = async |marks: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nCDN-Loop: {marks}\r\n\r\n");
        Client::h1(edge.https, WWW).await.request(&request).await.status()
    };
    assert_eq!(ask("cdn.example; v=1").await, 200);
    let marks: Vec<_> = origin.requests()[0].fields("cdn-loop").map(str::to_owned).collect();
    assert_eq!(marks, ["cdn.example; v=1", "test.causeway.internal"]);
    assert_eq!(ask("cdn.example, test.causeway.internal").await, 508, "who claims to be sent on is refused");
}
