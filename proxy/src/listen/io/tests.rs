#![allow(clippy::unwrap_used)]
use super::*;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn client_io(transport: DuplexStream) -> ClientIo<DuplexStream> {
    let address = "192.0.2.1:1".parse().unwrap();
    ClientIo::new(transport, -1, Connection::new(address, address, address, None), IoLimits::default(), metrics())
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&"aws".parse().unwrap(), std::time::SystemTime::UNIX_EPOCH))
}

/// Feeds one byte a second, so that no single read ever waits long.
async fn drip(mut to: DuplexStream, bytes: usize) -> DuplexStream {
    for _ in 0..bytes {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if to.write_all(b"x").await.is_err() {
            break;
        }
    }
    to
}

async fn read_all(io: &mut ClientIo<DuplexStream>, bytes: usize) -> io::Result<()> {
    let mut byte = [0];
    for _ in 0..bytes {
        io.read_exact(&mut byte).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_at_the_deadline_as_a_whole() {
    let (theirs, ours) = duplex(64);
    let _client = tokio::spawn(drip(theirs, 60));
    let start = Instant::now();
    let error = read_all(&mut client_io(ours), 60).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The first byte comes after one second, and starts the clock.
    assert_eq!(start.elapsed().as_secs(), 1 + HEAD_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_head_to_begin_is_not_its_deadlines_business() {
    let (theirs, ours) = duplex(64);
    let mut io = client_io(ours);
    let waited = tokio::time::timeout(HEAD_TIMEOUT * 3, read_all(&mut io, 1)).await;
    assert!(waited.is_err(), "still waiting");
    drop(theirs);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_being_served_may_drip() {
    let (theirs, ours) = duplex(64);
    let _client = tokio::spawn(drip(theirs, 60));
    let mut io = client_io(ours);
    read_all(&mut io, 1).await.unwrap();
    io.connection.set_stage(Stage::Request);
    read_all(&mut io, 59).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_next_head_of_a_connection_has_a_deadline_too() {
    let (theirs, ours) = duplex(64);
    let _client = tokio::spawn(drip(theirs, 60));
    let mut io = client_io(ours);
    read_all(&mut io, 1).await.unwrap();
    io.connection.set_stage(Stage::Request);
    read_all(&mut io, 20).await.unwrap();
    io.connection.set_stage(Stage::Idle);
    assert_eq!(read_all(&mut io, 39).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_body_behind_its_answer_begins_no_request() {
    let next = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for (head, rest) in
        [("Content-Length: 9\r\n\r\nhel", "lo : \r"), ("Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "lo\r\n0\r\n\r\n")]
    {
        let (mut theirs, ours) = duplex(1024);
        let mut io = client_io(ours);
        let mut came = [0; 256];
        let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{head}");
        theirs.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(io.read(&mut came).await.unwrap(), request.len());
        io.connection.set_stage(Stage::Request);
        io.connection.set_stage(Stage::Idle);
        assert!(io.is_in_body());
        theirs.write_all(format!("{rest}{next}").as_bytes()).await.unwrap();
        for expected in [rest, next] {
            let count = io.read(&mut came).await.unwrap();
            assert_eq!(std::str::from_utf8(&came[..count]), Ok(expected));
        }
        assert!(!io.is_in_body());
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0causeway";
const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0causeway";

/// A client that speaks HTTP/2, behind its preface, and our end.
async fn h2() -> (DuplexStream, ClientIo<DuplexStream>) {
    let address = "192.0.2.1:1".parse().unwrap();
    let connection = Connection::new(address, address, address, None).speaking_h2c(true);
    let (mut theirs, ours) = duplex(1 << 16);
    let mut io = ClientIo::new(ours, -1, connection, IoLimits::default(), metrics());
    theirs.write_all(PREFACE).await.unwrap();
    read_all(&mut io, PREFACE.len()).await.unwrap();
    (theirs, io)
}

#[tokio::test(start_paused = true)]
async fn a_silent_http2_client_is_asked_and_given_up_when_it_does_not_answer() {
    let (mut theirs, mut io) = h2().await;
    let start = Instant::now();
    let error = read_all(&mut io, 1).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 120));
    let mut asked = [0; 17];
    theirs.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, PING);
}

#[tokio::test(start_paused = true)]
async fn who_answers_lives_and_the_engine_hears_nothing_of_it() {
    let (mut theirs, mut io) = h2().await;
    let frame: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01";
    let client = tokio::spawn(async move {
        for answer in [PONG.to_vec(), [PONG, frame].concat()] {
            let mut asked = [0; 17];
            theirs.read_exact(&mut asked).await.unwrap();
            theirs.write_all(&answer).await.unwrap();
        }
        theirs
    });
    let start = Instant::now();
    let mut came = [0; 64];
    let count = io.read(&mut came).await.unwrap();
    assert_eq!(
        (&came[..count], start.elapsed().as_secs()),
        (frame, 120),
        "asked twice, and only what is behind the answers came"
    );
    drop(client.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_question_stands_between_two_frames() {
    let (mut theirs, mut io) = h2().await;
    let frame = b"\0\0\x04\0\0\0\0\0\x01data";
    io.write_all(&frame[..11]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(100), read_all(&mut io, 1)).await.is_err(), "it was not asked yet");
    io.write_all(&frame[11..]).await.unwrap();
    io.flush().await.unwrap();
    let mut sent = [0; 30];
    theirs.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent, [&frame[..], PING].concat()[..]);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_and_does_not_take_the_rest_of_a_frame_is_given_up_too() {
    let (_theirs, mut io) = h2().await;
    io.write_all(b"\0\0\x04\0\0\0\0\0\x01da").await.unwrap();
    let start = Instant::now();
    let waited = tokio::time::timeout(Duration::from_mins(5), read_all(&mut io, 1)).await.expect("it is given up");
    assert_eq!((waited.unwrap_err().kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 120));
}

#[tokio::test(start_paused = true)]
async fn who_stops_in_the_midst_of_a_frame_is_asked_and_given_up() {
    for part in [&b"\0"[..], b"\0\0\x04\0\0\0", b"\0\0\x04\0\0\0\0\0\x01da"] {
        let (mut theirs, mut io) = h2().await;
        theirs.write_all(part).await.unwrap();
        read_all(&mut io, part.len()).await.unwrap();
        let start = Instant::now();
        assert_eq!(read_all(&mut io, 1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 120, "{part:?}");
    }
}

#[tokio::test]
async fn connections_that_the_engine_ends_are_counted_by_what_it_says() {
    let goaway = |error: u8| [b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0", &[error][..]].concat();
    for (error, counted) in [(0, None), (0xb, Some("http2_flood")), (1, Some("bad_request"))] {
        let (_theirs, mut io) = h2().await;
        io.write_all(&goaway(error)).await.unwrap();
        let text = io.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix("causeway_refusals_total{reason=\""));
        assert_eq!(line.and_then(|line| line.strip_suffix("\"} 1")), counted, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_preface_that_never_comes_is_not_waited_for() {
    let tls = causeway_certs::ServerTls::new(causeway_certs::process_tickets().unwrap());
    let certificate = Arc::new(causeway_certs::default_certificate(&tls, 0).unwrap());
    let served = causeway_certs::Served { certificate, matched: causeway_certs::Match::Default, sni: None };
    let policy = causeway_core::policy::TlsPolicy::default();
    let address = "192.0.2.1:1".parse().unwrap();
    let tls = super::super::connection::TlsFacts { served, policy, client: None, h2: true, version: "", cipher: "" };
    let (_theirs, ours) = duplex(64);
    let mut io = ClientIo::new(ours, -1, Connection::new(address, address, address, Some(tls)), IoLimits::default(), metrics());
    assert_eq!(read_all(&mut io, 1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn small_writes_leave_together_when_they_are_flushed() {
    let (mut theirs, ours) = duplex(4096);
    let mut io = client_io(ours);
    io.write_all(b"head ").await.unwrap();
    io.write_all(b"body").await.unwrap();
    let mut buf = [0; 64];
    assert!(futures_now(theirs.read(&mut buf)).is_none(), "nothing leaves before the flush");
    io.flush().await.unwrap();
    let n = theirs.read(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"head body");
}

#[tokio::test]
async fn what_is_buffered_leaves_when_the_engine_waits_for_the_client() {
    let (mut theirs, ours) = duplex(4096);
    let mut io = client_io(ours);
    io.write_all(b"the beginning of a slow response").await.unwrap();
    let mut byte = [0];
    assert!(futures_now(io.read(&mut byte)).is_none());
    let mut buf = [0; 64];
    let n = theirs.read(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"the beginning of a slow response");
}

#[tokio::test]
async fn large_writes_keep_their_place_behind_small_ones() {
    let (mut theirs, ours) = duplex(1 << 20);
    let mut io = client_io(ours);
    let large = vec![b'L'; WRITE_BUFFER * 2];
    io.write_all(b"small").await.unwrap();
    io.write_all(&large).await.unwrap();
    io.write_all(b"end").await.unwrap();
    io.flush().await.unwrap();
    drop(io);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, [&b"small"[..], &large, b"end"].concat());
}

/// Polls a future once.
fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
