//! What backends and clients are told.

use causeway_tests::{Answer, Client, Edge, Origin, World, client, soon};

const WWW: &str = "www.example.com";

#[tokio::test]
async fn a_backend_reads_the_sockets_address_whatever_the_client_says() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let spoofed = "X-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: http\r\n\
                   causeway-hop: azure\r\nX-Request-Id: mine\r\n";
    Client::h1(edge.https, WWW).await.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{spoofed}\r\n")).await;
    let request = &origin.requests()[0];
    assert_eq!(request.fields("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(request.fields("x-real-ip").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(request.fields("x-forwarded-proto").collect::<Vec<_>>(), ["https"]);
    assert_eq!(request.field("x-forwarded-host"), Some(WWW));
    assert_eq!(request.field("forwarded"), Some("for=127.0.0.1;host=\"www.example.com\";proto=https"));
    assert_eq!(request.field("causeway-hop"), None);
    assert_ne!(request.field("x-request-id"), Some("mine"));
    assert_eq!(request.field("host"), Some(WWW));
}

/// The same over HTTP/2, with every spelling that a CGI-like backend would take for one of ours, and some more.
#[tokio::test]
async fn over_http2_too_nothing_of_ours_comes_from_a_client() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let spoofed = [
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded_proto",
        "x-forwarded-prefix",
        "x-real-ip",
        "x_real_ip",
        "forwarded",
        "causeway-hop",
        "causeway-client",
        "causeway_hop",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
        "ssl-client-verify",
        "x-ssl-client-cert",
        "client-cert",
        "x-request-id",
        "proxy",
    ];
    let mut send = client::h2(edge.https, WWW).await;
    let mut request = http::Request::get(format!("https://{WWW}/"));
    for name in spoofed {
        request = request.header(name, "spoofed");
    }
    let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    let head = &origin.requests()[0].head;
    assert!(!head.contains("spoofed"), "{head}");
}

/// Hop-by-hop abuse: what `Connection` names is taken off on the way, and what we say is put on behind that.
#[tokio::test]
async fn nobody_takes_our_fields_off_by_naming_them_in_connection() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let named = "close, X-Real-IP, Forwarded, X-Request-Id, X-Forwarded-Port, CDN-Loop, Causeway-Hop";
    let post = |named: &str, fields: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nConnection: {named}\r\nX-Mine: 1\r\n{fields}\r\n\r\n{body}")
    };
    let chunked = ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    for (named, fields, body) in [
        (named, "Content-Length: 5", "hello"),
        // What frames the body is no field of the hop that one could take off.
        ("Content-Length, X-Mine", "Content-Length: 5", "hello"),
        ("Transfer-Encoding, X-Mine", chunked.0, chunked.1),
    ] {
        let before = origin.requests().len();
        assert_eq!(Client::h1(edge.https, WWW).await.request(&post(named, fields, body)).await.status(), 200, "{named}");
        let request = &origin.requests()[before];
        assert_eq!((request.body.as_slice(), request.field("x-real-ip")), (&b"hello"[..], Some("127.0.0.1")), "{named}");
        for ours in ["forwarded", "x-request-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "cdn-loop", "host"]
        {
            assert_eq!(request.fields(ours).count(), 1, "{ours}: {}", request.head);
        }
        assert_eq!(request.field("x-mine"), (!named.contains("X-Mine")).then_some("1"), "{}", request.head);
    }
    let before = origin.requests().len();
    let many = "a, b, c, d, e, f, g, h, i, j, k, l";
    for (counted, named) in
        (1..).zip(["X-Forwarded-For", "close, Host", "x-forwarded-proto", "\"X-Forwarded-For\"", ":authority", many])
    {
        let answer = Client::h1(edge.https, WWW).await.request(&post(named, "Content-Length: 5", "hello")).await;
        assert_eq!(answer.status(), 400, "{named}");
        assert_eq!(edge.refused("bad_request"), counted, "{named}");
    }
    assert_eq!(origin.requests().len(), before);
}

/// It would show a client what edges put on its requests (RFC 9110 section 9.3.8).
#[tokio::test]
async fn nobody_is_shown_what_we_put_on_by_trace() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let answer = Client::h1(edge.https, WWW).await.request(&format!("TRACE / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    assert_eq!(answer.status(), 405);
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::builder().method("TRACE").uri(format!("https://{WWW}/")).body(()).unwrap();
    assert_eq!(soon("a response", send.send_request(request, true).unwrap().0).await.unwrap().status(), 405);
    assert_eq!(edge.refused("bad_request"), 2);
    assert!(origin.requests().is_empty());
}

/// What is expected changes nothing of where a body ends, however it is written.
#[tokio::test]
async fn expectations_that_are_no_plain_ones_change_nothing_of_a_body() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {WWW}\r\n\r\n");
    for expect in ["y 100-continue", "100-continue, 100-continue", "x", "100-Continue", "", "100-continue\r\nExpect: y"] {
        for fields in [format!("Content-Length: {}", smuggled.len()), "Transfer-Encoding: chunked".into()] {
            let body = if fields.starts_with('C') {
                smuggled.clone()
            } else {
                format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len())
            };
            let request = format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nExpect: {expect}\r\n{fields}\r\n\r\n{body}");
            let mut client = Client::h1(edge.https, WWW).await;
            client.send(request).await;
            assert_eq!(client.receive().await.status(), 200, "{expect:?} {fields}");
        }
        assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/next").await.status(), 200);
    }
    for request in origin.requests() {
        assert!(["POST /", "GET /next"].contains(&request.line()), "{}", request.head);
        assert!(request.line() == "GET /next" || request.body == smuggled.as_bytes(), "{request:?}");
    }
}

/// Browsers send them apart over HTTP/2; a backend that speaks HTTP/1.1 expects one field (RFC 9113 section 8.2.3).
#[tokio::test]
async fn cookies_that_come_apart_reach_a_backend_as_one_field() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::get(format!("https://{WWW}/")).header("cookie", "a=1").header("cookie", "b=2; c=3");
    let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    assert_eq!(origin.requests()[0].fields("cookie").collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn a_trusted_sender_speaks_for_its_clients() {
    let origin = Origin::named("hello").await;
    let world = World::new()
        .serve(WWW, &[origin.address])
        .with(|config| config.listen.https.forwarded_for = vec!["127.0.0.0/8".parse().unwrap()]);
    let edge = Edge::start(&world, &[&[WWW]]);
    let said = "X-Forwarded-For: 203.0.113.5\r\nX-Request-Id: from-the-balancer\r\n";
    let response = Client::h1(edge.https, WWW).await.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{said}\r\n")).await;
    let request = &origin.requests()[0];
    assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.5, 127.0.0.1"));
    assert_eq!(request.field("x-real-ip"), Some("203.0.113.5"));
    assert_eq!(request.field("x-request-id"), Some("from-the-balancer"));
    assert_eq!(response.field("x-request-id"), Some("from-the-balancer"));
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                  X-Kept: 1\r\ncauseway-served-by: nobody\r\n\r\nok";
    let origin = Origin::start(move |_| Answer::Bytes(answer.into())).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let sent = "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nX-Kept: 1\r\n";
    let response = Client::h1(edge.https, WWW).await.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{sent}\r\n")).await;
    let request = &origin.requests()[0];
    for gone in ["connection", "x-secret", "te", "proxy-authorization", "upgrade"] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
    assert_eq!(request.field("x-kept"), Some("1"));
    for gone in ["x-mine", "keep-alive"] {
        assert_eq!(response.field(gone), None, "{gone}");
    }
    assert_eq!(response.field("x-kept"), Some("1"));
    assert_eq!(response.field("causeway-served-by"), Some("aws"));
}

#[tokio::test]
async fn served_by_is_told_only_if_configured() {
    let origin = Origin::named("hello").await;
    let world = World::new().serve(WWW, &[origin.address]).with(|config| config.responses.served_by = false);
    let edge = Edge::start(&world, &[&[WWW]]);
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.field("causeway-served-by"), None);
}

#[tokio::test]
async fn a_target_in_absolute_form_reaches_the_backend_in_origin_form() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    Client::h1(edge.https, WWW).await.request(&format!("GET http://{WWW}/a?b HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    assert_eq!(origin.requests()[0].line(), "GET /a?b");
}
