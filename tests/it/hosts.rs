//! Which requests are served, and by which connection.

use causeway_config::{HostPolicy, TlsVersion};
use causeway_tests::{Answer, Client, Edge, Origin, World, client, soon};

const WWW: &str = "www.example.com";

#[tokio::test]
async fn a_request_is_served_by_its_hosts_backend() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let response = Client::h1(edge.https, WWW).await.get("WWW.Example.COM.:443", "/a?b=c").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert_eq!(response.field("causeway-served-by"), Some("aws"));
    assert_eq!(response.field("x-request-id").unwrap().len(), 32);
    let request = &origin.requests()[0];
    assert_eq!(request.line(), "GET /a?b=c");
    assert_eq!(request.field("x-request-id"), response.field("x-request-id"));
}

#[tokio::test]
async fn unknown_hosts_and_paths_are_404_and_the_connection_lives_on() {
    let origin = Origin::named("hello").await;
    let world = World::new().route(WWW, "/shop", causeway_core::cluster::AppProtocol::Http, &[&[origin.address]]);
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let unknown_host = client.get("other.example.com", "/").await;
    assert_eq!(unknown_host.status(), 404);
    assert!(unknown_host.text().contains("no route for this host"), "{}", unknown_host.text());
    assert!(unknown_host.text().contains(unknown_host.field("x-request-id").unwrap()));
    let unknown_path = client.get(WWW, "/other").await;
    assert_eq!((unknown_path.status(), unknown_path.text().contains("no route for this path")), (404, true));
    assert_eq!(client.get(WWW, "/shop/basket").await.status(), 200);
}

#[tokio::test]
async fn a_host_whose_service_has_no_endpoint_is_503_with_a_reason() {
    let edge = Edge::start(&World::new().serve(WWW, &[]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let response = client.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nAccept: application/json\r\n\r\n")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.field("content-type"), Some("application/problem+json"));
    assert!(response.field("retry-after").is_some());
    assert!(response.text().contains("no backend of this service can serve it now"), "{}", response.text());
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let edge = Edge::start(&World::new(), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("HEAD / HTTP/1.1\r\nHost: {WWW}\r\nConnection: close\r\n\r\n")).await;
    let all = String::from_utf8(client.read_to_end().await).unwrap();
    assert!(all.starts_with("HTTP/1.1 404") && all.ends_with("\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn a_request_without_one_host_is_400() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve("*", &[origin.address]), &[&[WWW]]);
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        let mut client = Client::h1(edge.https, WWW).await;
        assert_eq!(client.request(request).await.status(), 400, "{request}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_431_or_414() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let long = "x".repeat(70_000);
    let mut client = Client::h1(edge.https, WWW).await;
    let large = client.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX-Large: {long}\r\n\r\n")).await;
    assert_eq!(large.status(), 431);
    let long = "x".repeat(20_000);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.request(&format!("GET /{long} HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await.status(), 414);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_host_with_a_tls_policy_of_its_own_needs_a_connection_of_its_own() {
    let origin = Origin::named("hello").await;
    let strict = HostPolicy { min_tls: Some(TlsVersion::V1_3), ..HostPolicy::default() };
    let world = World::new()
        .serve(WWW, &[origin.address])
        .serve("bank.example.com", &[origin.address])
        .with(|config| drop(config.hosts.insert("bank.example.com".parse().unwrap(), strict)));
    let edge = Edge::start(&world, &[&[WWW, "bank.example.com"]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get("bank.example.com", "/").await.status(), 421);
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    let mut bank = Client::h1(edge.https, "bank.example.com").await;
    assert_eq!(bank.get("bank.example.com", "/").await.status(), 200);
    assert_eq!(bank.get(WWW, "/").await.status(), 421);
    let mut nobody = Client::try_connect(edge.https, None, "http/1.1").await.unwrap();
    assert_eq!(nobody.get("bank.example.com", "/").await.status(), 421);
}

#[tokio::test]
async fn without_sni_any_plain_host_works() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&["other.example.com"]]);
    let mut nobody = Client::try_connect(edge.https, None, "http/1.1").await.unwrap();
    assert_eq!(nobody.get(WWW, "/").await.status(), 200);
    let mut unknown = Client::h1(edge.https, "unknown.example.com").await;
    assert_eq!(unknown.get(WWW, "/").await.status(), 200);
}

#[tokio::test]
async fn without_sni_any_plain_host_works_on_http2_although_a_certificate_has_it() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    for sni in [None, Some("unknown.example.com")] {
        let client = Client::try_connect(edge.https, sni, "h2").await.unwrap();
        let (send, connection) = soon("the preface", h2::client::handshake(client.stream)).await.unwrap();
        tokio::spawn(connection);
        let mut send = soon("readiness", send.ready()).await.unwrap();
        let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        assert_eq!(soon("a response", response).await.unwrap().status(), 200, "{sni:?}");
    }
}

#[tokio::test]
async fn on_http2_a_host_of_another_certificate_is_421() {
    let origin = Origin::named("hello").await;
    let other = "other.example.com";
    let world =
        World::new().serve(WWW, &[origin.address]).serve(other, &[origin.address]).serve("bare.example.com", &[origin.address]);
    let edge = Edge::start(&world, &[&[WWW], &[other]]);
    let mut send = client::h2(edge.https, WWW).await;
    for (host, status) in [(WWW, 200), (other, 421), ("bare.example.com", 200)] {
        let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        assert_eq!(soon("a response", response).await.unwrap().status(), status, "{host}");
        send = soon("readiness", send.ready()).await.unwrap();
    }
    // HTTP/1.1 clients that send another Host mean it.
    assert_eq!(Client::h1(edge.https, WWW).await.get(other, "/").await.status(), 200);
}

#[tokio::test]
async fn a_new_snapshot_serves_the_next_request() {
    let (one, two) = (Origin::named("one").await, Origin::start(|_| Answer::ok("two")).await);
    let edge = Edge::start(&World::new().serve(WWW, &[one.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/").await.text(), "one");
    edge.publish(&World::new().serve(WWW, &[two.address]));
    assert_eq!(client.get(WWW, "/").await.text(), "two");
}
