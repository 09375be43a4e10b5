//! Binding, and the accept loop of a listener.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::ListenError;
use crate::drain::Phase;

/// Connections that the kernel holds while the loop is busy. The kernel cuts it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// Pauses after an accept that failed for want of something, such as file descriptors: connections that end meanwhile give
/// it back, and trying at full speed would only take the processor away from them.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Binds one address of a listener; `siblings` are all addresses that the same listener binds.
pub fn bind(listener: &'static str, address: SocketAddr, siblings: &[SocketAddr]) -> Result<TcpListener, ListenError> {
    open(address, siblings).map_err(|source| ListenError::bind(listener, address, source))
}

fn open(address: SocketAddr, siblings: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted edge must not wait for the old one's connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6(address, siblings))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether an IPv6 socket leaves IPv4 alone. `[::]` takes both, as people expect, unless the listener binds the IPv4 port
/// by itself; the kernel's own default (`net.ipv6.bindv6only`) is not asked, so that a file means the same everywhere.
fn only_v6(address: SocketAddr, siblings: &[SocketAddr]) -> bool {
    address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) || siblings.iter().any(|s| s.is_ipv4() && s.port() == address.port())
}

/// Accepts until `stop` turns true or its sender is gone, and gives each connection to `serve`, which must not wait.
///
/// The listening socket is closed on return; connections that wait in its backlog are refused by the kernel then, so that
/// a caller who drains stops accepting last.
pub async fn accept<F>(name: &'static str, listener: TcpListener, mut stop: watch::Receiver<bool>, mut serve: F)
where
    F: FnMut(TcpStream, SocketAddr),
{
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                // Small responses must not wait for the acknowledgement of the one before (RFC 896).
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(listener = name, %peer, %error, "gone before it was served");
                    continue;
                }
                serve(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            }
            Err(error) if only_this_connection(&error) => debug!(listener = name, %error, "gone before it was accepted"),
            Err(error) => {
                if pause == FIRST_PAUSE {
                    warn!(listener = name, %error, "cannot accept connections: if these are too many open files, raise the process's limit (nofile)");
                }
                pausing(pause, &mut stop).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether an error of `accept` is about the one connection that it would have returned (accept(2), "Error handling").
fn only_this_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | TimedOut
    )
}

async fn pausing(pause: Duration, stop: &mut watch::Receiver<bool>) {
    let stopped = stop.wait_for(|stop| *stop);
    let _ = tokio::time::timeout(pause, async { stopped.await.is_ok() }).await;
}

/// Runs `serving` until it ends, telling it by `drain` that it should when the whole edge drains or the connection has
/// reached its `age`: HTTP/2 says GOAWAY then, HTTP/1.1 `Connection: close`. Where the edge closes, a connection that waits for
/// a request (`close` tells) ends at once.
pub(crate) async fn with_drain<S, F>(mut edge: watch::Receiver<Phase>, age: Duration, close: impl FnOnce() -> bool, serving: S)
where
    S: FnOnce(watch::Receiver<bool>) -> F,
    F: Future<Output = ()>,
{
    let (tell, drain) = watch::channel(false);
    let drained = async move {
        let _ = tokio::time::timeout(age, async { edge.wait_for(|phase| *phase >= Phase::Draining).await.is_ok() }).await;
        // Held on to, since a closed channel would look like another change.
        tell.send_replace(true);
        // An edge that is gone closes nothing.
        let closing = edge.wait_for(|phase| *phase >= Phase::Closing).await.is_ok();
        if !closing || !close() {
            std::future::pending::<()>().await;
        }
        drop(tell);
    };
    tokio::select! {
        // First, so that a request that comes after the edge began to drain is the last on its connection.
        biased;
        () = drained => {}
        () = serving(drain) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_too_unless_the_listener_binds_it_itself() {
        let any: SocketAddr = "[::]:443".parse().unwrap();
        assert!(!only_v6(any, &addresses(&["[::]:443"])));
        assert!(!only_v6(any, &addresses(&["[::]:443", "0.0.0.0:8443"])));
        assert!(only_v6(any, &addresses(&["[::]:443", "0.0.0.0:443"])));
        assert!(only_v6("[::1]:443".parse().unwrap(), &addresses(&["[::1]:443"])));
    }

    #[tokio::test]
    async fn a_port_in_use_names_listener_address_and_remedy() {
        let any = addresses(&["127.0.0.1:0"]);
        let first = bind("https", any[0], &any).unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind("https", taken, &[taken]).unwrap_err().to_string();
        assert!(error.contains("listen.https") && error.contains(&taken.to_string()), "{error}");
        assert!(error.contains("already in use"), "{error}");
    }

    #[tokio::test]
    async fn the_loop_ends_when_it_is_told_to() {
        let any = addresses(&["127.0.0.1:0"]);
        let listener = bind("https", any[0], &any).unwrap();
        let (stop, stopped) = watch::channel(false);
        stop.send(true).unwrap();
        accept("https", listener, stopped, |_, _| {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_told_to_drain_when_it_is_old_or_the_edge_drains() {
        let (edge, watch) = watch::channel(Phase::Serving);
        let age = Duration::from_hours(1);
        let start = tokio::time::Instant::now();
        let told = |mut drain: watch::Receiver<bool>| async move {
            drain.changed().await.unwrap();
            assert!(*drain.borrow());
        };
        with_drain(watch.clone(), age, || false, told).await;
        assert_eq!(start.elapsed(), age);
        edge.send(Phase::Draining).unwrap();
        with_drain(watch, age, || false, told).await;
        assert_eq!(start.elapsed(), age);
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_a_request_ends_when_the_edge_closes_and_no_other() {
        let (_edge, watch) = watch::channel(Phase::Closing);
        let age = Duration::from_hours(1);
        with_drain(watch.clone(), age, || true, |_| std::future::pending()).await;
        let busy = with_drain(watch, age, || false, |_| std::future::pending());
        assert!(futures::poll!(std::pin::pin!(busy)).is_pending());
    }
}
