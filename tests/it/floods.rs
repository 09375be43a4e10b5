//! Memory: what a client can make an edge hold by reading nothing, by reading next to nothing, or by much in little.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use causeway_config::Limits;
use causeway_tests::raw_h2::{self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use causeway_tests::{ByHand, Client, Edge, Origin, World, client, resident, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WWW: &str = "www.example.com";

/// Short enough for a test, and long enough for a slow machine to do in it what must be done.
const SHORT: Duration = Duration::from_millis(300);

/// Larger than all buffers of the kernel on the way together.
const LARGE: usize = 64 << 20;

/// What the process may grow by, in kilobytes; the test is in it too.
const GROWTH: usize = 24 << 10;

/// A backend that answers everything with a large body, as fast as it is taken.
async fn large() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _head = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                let piece = vec![b'x'; 64 << 10];
                let mut written = stream.write_all(head.as_bytes()).await;
                for _ in 0..LARGE / piece.len() {
                    if written.is_ok() {
                        written = stream.write_all(&piece).await;
                    }
                }
            });
        }
    });
    address
}

fn edge(backend: SocketAddr, change: impl FnOnce(&mut Limits)) -> Edge {
    Edge::start(&World::new().serve(WWW, &[backend]).with(|config| change(&mut config.limits)), &[&[WWW]])
}

async fn none_in_flight(edge: &Edge) {
    soon("the end of the requests", async {
        while edge.metric("causeway_requests_in_flight").as_deref() != Some("0") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// However long the client goes on.
async fn is_given_up(edge: &Edge, client: impl Future<Output = ()>) {
    tokio::select! {
        () = client => {}
        () = none_in_flight(edge) => {}
    }
    assert_eq!(edge.refused("slow_reader"), 1);
}

fn get(path: &str) -> Vec<u8> {
    raw_h2::fields(&[(":method", "GET"), (":scheme", "https"), (":authority", WWW), (":path", path)])
}

/// A second of patience is enough for a byte, and not for what is on its way.
#[tokio::test]
async fn who_reads_a_byte_now_and_then_is_given_up() {
    let edge = edge(large().await, |limits| limits.body_idle_timeout = SHORT);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    client.read(1).await;
    let dripping = async {
        loop {
            let _ = client.stream.read(&mut [0]).await;
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    is_given_up(&edge, dripping).await;
}

#[tokio::test]
async fn who_takes_a_byte_of_an_http2_response_now_and_then_is_given_up() {
    let edge = edge(large().await, |limits| limits.body_idle_timeout = SHORT);
    let mut client = raw_h2::connect(edge.https, WWW).await;
    client.send(raw_h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/"))).await;
    raw_h2::frames(&mut client, |frame| frame.kind == DATA).await;
    let dripping = async {
        loop {
            client.send(raw_h2::frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await;
            let mut came = vec![0; 1 << 17];
            let _ = tokio::time::timeout(SHORT / 10, client.stream.read(&mut came)).await;
        }
    };
    is_given_up(&edge, dripping).await;
}

/// A window of nothing, and as many requests as there may be.
#[tokio::test]
async fn a_client_that_opens_no_window_is_given_up_and_costs_little() {
    let edge = edge(large().await, |limits| limits.body_idle_timeout = SHORT);
    let before = resident();
    let mut client = raw_h2::connect(edge.https, WWW).await;
    // 4 is SETTINGS_INITIAL_WINDOW_SIZE.
    client.send(raw_h2::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for stream in 0..20 {
        client.send(raw_h2::frame(HEADERS, END_HEADERS | END_STREAM, stream * 2 + 1, &get("/"))).await;
    }
    let resets = std::cell::Cell::new(0);
    let came = raw_h2::frames(&mut client, |frame| {
        resets.set(resets.get() + u32::from(frame.kind == RST_STREAM));
        resets.get() == 20
    })
    .await;
    assert_eq!(resets.get(), 20, "{came:?}");
    assert!(came.iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()));
    none_in_flight(&edge).await;
    assert_eq!(edge.refused("slow_reader"), 20);
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH, "the process grew by {grown} kB");
}

/// One large field that a few bytes repeat (HPACK bomb, CVE-2016-6581): 64 MB in 20 kB.
#[tokio::test]
async fn a_head_that_unfolds_is_refused_and_costs_little() {
    let origin = Origin::named("hello").await;
    let edge = edge(origin.address, |_| {});
    let mut client = raw_h2::connect(edge.https, WWW).await;
    let large = 3800_usize;
    // RFC 7541: a literal that goes into the table (section 6.2.1) with a length of two bytes (section 5.1), and its index.
    let mut first = get("/");
    first.extend([0x40, 1, b'x', 0x7f, ((large - 127) & 0x7f) as u8 | 0x80, ((large - 127) >> 7) as u8]);
    first.extend(vec![b'y'; large]);
    let bomb = [get("/"), vec![0xbe; 16_000]].concat();
    client.send(raw_h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &first)).await;
    let answered = |stream| move |frame: &Frame| frame.kind == GOAWAY || (frame.kind == HEADERS && frame.stream == stream);
    raw_h2::frames(&mut client, answered(1)).await;
    let before = resident();
    for stream in (3..43).step_by(2) {
        client.send(raw_h2::frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await;
        let answer = raw_h2::frames(&mut client, answered(stream)).await.pop().unwrap();
        assert!(answer.kind == GOAWAY || answer.flags & END_STREAM != 0, "{answer:?}");
        if answer.kind == GOAWAY {
            break;
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH, "the process grew by {grown} kB");
    assert_eq!(origin.requests().len(), 1);
    assert!(edge.refused("too_large") + edge.refused("http2_flood") >= 1);
}

/// Bytes one by one: each frame costs the edge more than the byte in it, as long as the backend does not take it.
#[tokio::test]
async fn a_body_in_crumbs_that_nobody_takes_ends_the_connection_and_costs_little() {
    let backend = ByHand::new().await;
    let edge = Edge::start(&World::new().serve(WWW, &[backend.address]), &[&[WWW]]);
    let mut client = raw_h2::connect(edge.https, WWW).await;
    let post = raw_h2::fields(&[(":method", "POST"), (":scheme", "https"), (":authority", WWW), (":path", "/")]);
    let before = resident();
    client.send(raw_h2::frame(HEADERS, END_HEADERS, 1, &post)).await;
    // Nothing of the body is read, so that what the kernels on the way hold fills up first.
    let _connection = backend.request().await;
    let whole = raw_h2::frame(DATA, 0, 1, &vec![b'x'; 16 << 10]);
    let crumb = raw_h2::frame(DATA, 0, 1, b"x").repeat(1000);
    let sending = async {
        // As much as the windows let through, and then crumbs: none of them has a window any more.
        for _ in 0..40 {
            if client.stream.write_all(&whole).await.is_err() {
                return;
            }
        }
        while client.stream.write_all(&crumb).await.is_ok() {}
    };
    soon("the end of the connection", sending).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH, "the process grew by {grown} kB");
    soon("the count", async {
        while edge.refused("http2_flood") + edge.refused("bad_request") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A body of one byte a frame that the backend takes is slow, and no attack.
#[tokio::test]
async fn a_body_in_crumbs_that_the_backend_takes_passes() {
    let origin = Origin::named("hello").await;
    let edge = edge(origin.address, |_| {});
    let mut send = client::h2(edge.https, WWW).await;
    let (response, mut body) =
        send.send_request(http::Request::post(format!("https://{WWW}/")).body(()).unwrap(), false).unwrap();
    for at in 0..3000 {
        body.send_data(Bytes::from_static(b"x"), at == 2999).unwrap();
        if at % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    assert_eq!(origin.requests()[0].body.len(), 3000);
}
