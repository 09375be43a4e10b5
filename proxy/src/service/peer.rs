//! A candidate as the engine's peer: where to connect, how, and how long to wait.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::Upstream;
use causeway_core::Candidate;
use causeway_core::cluster::AppProtocol;
use pingora::connectors::L4Connect;
use pingora::upstreams::peer::HttpPeer;

use super::dial::Dialer;

/// How long a connection to a backend is kept for the next request. Backends close idle ones too, most after 60 s or more
/// (nginx 75 s, Go 120 s); whoever closes first must not be the one that a request is on its way to.
const IDLE: Duration = Duration::from_secs(50);

/// How often an HTTP/2 connection is asked whether it still lives, so that a backend that vanished without a word does not
/// swallow requests until TCP gives up.
const PING: Duration = Duration::from_secs(15);

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
pub(crate) fn peer(candidate: &Candidate, host: &str, carriage: Carriage, limits: &Upstream, dialer: &Arc<Dialer>) -> HttpPeer {
    let tls = candidate.protocol == AppProtocol::Https;
    // The engine verifies nothing when the name is empty; a request without a host never comes this far.
    let name = if tls { host.to_owned() } else { String::new() };
    let mut peer = HttpPeer::new(candidate.address, tls, name);
    // Part of the pool's key, which holds neither ALPN nor authorities.
    peer.group_key = match candidate.protocol {
        AppProtocol::Http => 1,
        AppProtocol::H2c => 2,
        AppProtocol::Https => 3,
    };
    let options = &mut peer.options;
    options.connection_timeout = Some(limits.connect_timeout);
    // The dialer knows of no limit but this one. A handshake takes up to two round trips more than a connection, and processor time on the other side.
    options.total_connection_timeout = Some(if tls { limits.connect_timeout * 3 } else { limits.connect_timeout });
    options.idle_timeout = Some(IDLE);
    if candidate.protocol == AppProtocol::H2c && carriage != Carriage::Upgrade {
        options.set_http_version(2, 2);
        options.max_h2_streams = STREAMS;
        options.h2_ping_interval = Some(PING);
    } else {
        options.set_http_version(1, 1);
        options.custom_l4 = Some(Arc::clone(dialer) as Arc<dyn L4Connect + Send + Sync>);
    }
    peer
}
