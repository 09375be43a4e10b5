#![allow(clippy::unwrap_used)]
use super::*;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

use tokio::io::{DuplexStream, duplex};

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
