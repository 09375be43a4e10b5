//! A candidate as the engine's peer: where to connect, how, and how long to wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::cluster::AppProtocol;
use pingora::connectors::L4Connect;
use pingora::upstreams::peer::HttpPeer;

use super::dial::Dialers;

/// How long a connection to a backend is kept for the next request. Backends close idle ones too, most after 60 s or more
/// (nginx 75 s, Go 120 s); whoever closes first must not be the one that a request is on its way to.
const IDLE: Duration = Duration::from_secs(50);

/// Requests that share one HTTP/2 connection; what most servers allow.
const STREAMS: usize = 100;

/// How a request wants to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// A request, then a response: each has to begin in time.
    Exchange,
    /// A stream, on which silence means nothing.
    Stream,
    /// An upgrade, which exists in HTTP/1.1 only.
    Upgrade,
}

/// The peer for one try. `host` is the request's, in normal form; a backend that speaks TLS is asked for it, and must prove
/// it by a certificate that the system's authorities vouch for.
pub(crate) fn peer(
    address: SocketAddr,
    protocol: AppProtocol,
    host: &str,
    carriage: Carriage,
    connect: Duration,
    dialers: &Dialers,
) -> HttpPeer {
    let tls = protocol == AppProtocol::Https;
    let h2 = protocol == AppProtocol::H2c && carriage != Carriage::Upgrade;
    // The engine verifies nothing when the name is empty; a request without a host never comes this far.
    let name = if tls { host.to_owned() } else { String::new() };
    let mut peer = HttpPeer::new(address, tls, name);
    // Part of the pool's key, which holds neither protocol nor authorities: a connection made for one is never used for another.
    peer.group_key = match protocol {
        AppProtocol::Http => 1,
        AppProtocol::H2c if h2 => 2,
        AppProtocol::H2c => 3,
        AppProtocol::Https => 4,
    };
    let upgrade = carriage == Carriage::Upgrade;
    if upgrade {
        // Connections for upgrades are of another kind, and are not kept.
        peer.group_key += 8;
    }
    let options = &mut peer.options;
    options.connection_timeout = Some(connect);
    // The dialer knows of no limit but this one. A handshake takes up to two round trips more than a connection, and processor
    // time on the other side.
    options.total_connection_timeout = Some(if tls { connect * 3 } else { connect });
    options.idle_timeout = Some(IDLE);
    if h2 {
        options.set_http_version(2, 2);
        options.max_h2_streams = STREAMS;
    } else {
        options.set_http_version(1, 1);
    }
    let dialer = if upgrade { &dialers.upgrade } else { &dialers.exchange };
    options.custom_l4 = Some(Arc::clone(dialer) as Arc<dyn L4Connect + Send + Sync>);
    peer
}

/// The peer for a health check: connected to as for a request, and never kept.
pub(crate) fn check_peer(address: SocketAddr, protocol: AppProtocol, host: &str, patience: Duration) -> HttpPeer {
    let mut peer = peer(address, protocol, host, Carriage::Exchange, patience, &Dialers::default());
    peer.group_key += 16;
    peer.options.max_h2_streams = 1;
    peer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use pingora::upstreams::peer::Peer;

    use super::*;

    #[test]
    fn a_pooled_connection_is_used_for_what_it_was_made_for() {
        let to = |protocol, host, carriage| {
            let dialer = Dialers::default();
            peer("10.0.0.1:8080".parse().unwrap(), protocol, host, carriage, Duration::from_secs(1), &dialer).reuse_hash()
        };
        let keys = [
            to(AppProtocol::Http, "a.example.com", Carriage::Exchange),
            to(AppProtocol::H2c, "a.example.com", Carriage::Exchange),
            to(AppProtocol::H2c, "a.example.com", Carriage::Upgrade),
            to(AppProtocol::Https, "a.example.com", Carriage::Exchange),
            to(AppProtocol::Https, "b.example.com", Carriage::Exchange),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let shared = |host| to(AppProtocol::Http, host, Carriage::Exchange);
        assert_eq!(shared("a.example.com"), shared("b.example.com"), "plain ones are shared by all hosts");
    }

    #[test]
    fn a_backend_that_speaks_tls_is_verified_under_the_requests_name() {
        let dialer = Dialers::default();
        let address = "10.0.0.1:443".parse().unwrap();
        let peer = peer(address, AppProtocol::Https, "a.example.com", Carriage::Exchange, Duration::from_secs(1), &dialer);
        assert_eq!(peer.sni(), "a.example.com");
        assert!(peer.verify_cert() && peer.verify_hostname());
    }
}
