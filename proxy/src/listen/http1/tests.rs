#![allow(clippy::unwrap_used)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use pingora::apps::ReusedHttpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::listen::{Connection, IoLimits, Stage};
use crate::metrics::Metrics;

/// Answers each request with its path, and counts how often it was given the connection.
#[derive(Default)]
struct Echo {
    given: AtomicUsize,
}

#[async_trait]
impl HttpServerApp for Echo {
    async fn process_new_http(self: &Arc<Self>, mut session: ServerSession, _: &ShutdownWatch) -> Option<ReusedHttpStream> {
        self.given.fetch_add(1, Ordering::SeqCst);
        if !session.read_request().await.unwrap_or(false) {
            return None;
        }
        let connection = Connection::of(session.digest()).unwrap();
        connection.set_stage(Stage::Request);
        let path = session.req_header().uri.path().to_owned();
        while let Ok(Some(_)) = session.read_request_body().await {}
        let mut response = pingora::http::ResponseHeader::build(200, None).unwrap();
        response.insert_header("content-length", path.len()).unwrap();
        session.write_response_header(Box::new(response)).await.unwrap();
        session.write_response_body(path.into(), true).await.unwrap();
        connection.set_stage(Stage::Idle);
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

/// A client's end, the app, and the task that serves.
fn connected() -> (DuplexStream, Arc<Echo>, JoinHandle<()>) {
    let (client, transport) = duplex(4096);
    let address = "192.0.2.1:1".parse().unwrap();
    let metrics = Arc::new(Metrics::new(&"aws".parse().unwrap(), SystemTime::UNIX_EPOCH));
    let connection = Connection::new(address, address, address, None);
    let io = Box::new(ClientIo::new(transport, -1, connection, IoLimits::default(), metrics));
    let app = Arc::new(Echo::default());
    let serving = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { serve(&app, io, KEEP_ALIVE, &watch::channel(false).1).await })
    };
    (client, app, serving)
}

async fn ask(client: &mut DuplexStream, pieces: &[&str]) -> String {
    for piece in pieces {
        client.write_all(piece.as_bytes()).await.unwrap();
        // Whoever serves has seen the piece before the next one comes.
        sleep(Duration::from_millis(1)).await;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"!") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_engine_holds_a_connection_only_while_a_request_is_under_way() {
    let (mut client, app, _serving) = connected();
    let given = || app.given.load(Ordering::SeqCst);
    sleep(KEEP_ALIVE / 2).await;
    assert_eq!(given(), 0);
    for n in 1..=3 {
        let answer = ask(&mut client, &["GET /path! HTTP/1.1\r\nHost: a.example\r\n\r\n"]).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("/path!"), "{answer}");
        sleep(KEEP_ALIVE / 2).await;
        assert_eq!(given(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_whole_however_it_comes() {
    let (mut client, _, _serving) = connected();
    let pieces = ["G", "E", "T /abc! HT", "TP/1.1\r\nHost: a.ex", "ample\r\n\r", "\n"];
    let answer = ask(&mut client, &pieces).await;
    assert!(answer.ends_with("/abc!"), "{answer}");
}

/// RFC 9112 section 9.3.2.
#[tokio::test(start_paused = true)]
async fn requests_that_come_behind_each_other_are_answered_in_their_order() {
    let requests = "GET /1! HTTP/1.1\r\nHost: a.example\r\n\r\nPOST /2! HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello\
                    POST /3! HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n\
                    GET /4! HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for size in [1, 7, 90, 1000] {
        let (mut client, app, _serving) = connected();
        for piece in requests.as_bytes().chunks(size) {
            client.write_all(piece).await.unwrap();
            if size < 1000 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let mut answers = Vec::new();
        while !answers.ends_with(b"/4!") {
            assert!(client.read_buf(&mut answers).await.unwrap() > 0, "{size}: {}", String::from_utf8_lossy(&answers));
        }
        let answers = String::from_utf8(answers).unwrap();
        let paths: Vec<&str> = answers.split('/').filter_map(|part| part.get(..2).filter(|path| path.ends_with('!'))).collect();
        assert_eq!(paths, ["1!", "2!", "3!", "4!"], "{size}: {answers}");
        assert_eq!(app.given.load(Ordering::SeqCst), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_too_long_is_ended() {
    let (mut client, _, serving) = connected();
    ask(&mut client, &["GET /! HTTP/1.1\r\nHost: a.example\r\n\r\n"]).await;
    let answered = Instant::now();
    assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 0);
    let waited = answered.elapsed();
    assert!(waited.abs_diff(KEEP_ALIVE) <= Duration::from_secs(1), "{waited:?}");
    drop(client);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_nothing_is_asked_ends_it() {
    let (client, app, serving) = connected();
    drop(client);
    serving.await.unwrap();
    assert_eq!(app.given.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut() {
    let (mut client, _, serving) = connected();
    let begun = Instant::now();
    client.write_all(b"G").await.unwrap();
    serving.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), IoLimits::default().head_timeout.as_secs());
}
