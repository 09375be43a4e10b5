//! A request's way over the hop, as the glue of the engine does it: what is put on, what is taken off.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::L4Connect;
use pingora::upstreams::peer::HttpPeer;

use super::lane::{ASKED_EVERY, Lane, LaneDialer};
use super::trust::Trust;

/// Requests that share one connection; more open another one.
const STREAMS: usize = 100;

/// What a peer may send before it was read here: 16 MB/s over 250 ms, per request and in all. Bodies are not buffered beyond.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The other side ends a connection at its age; this is only against those that it forgot.
const IDLE: Duration = Duration::from_mins(15);

/// A lane as the engine's peer. Upgrades exist in HTTP/1.1 only, and everything else goes by HTTP/2.
pub(crate) fn peer(lane: &Arc<Lane>, trust: &Trust, upgrade: bool, connect: Duration) -> HttpPeer {
    // Never empty: the engine verifies nothing without a name.
    let name = trust.fleet.name_of(&lane.cluster);
    let mut peer = HttpPeer::new_mtls(lane.address, name, Arc::clone(&trust.cert_key));
    let mut hasher = DefaultHasher::new();
    // The engine's pool does not look at authorities and protocols: what was connected under one is not used under another.
    (trust.group, lane.index, upgrade).hash(&mut hasher);
    peer.group_key = hasher.finish();
    let options = &mut peer.options;
    options.ca = Some(Arc::clone(&trust.ca));
    options.custom_l4 = Some(Arc::new(LaneDialer { lane: Arc::clone(lane), upgrade, limit: connect, group: trust.group })
        as Arc<dyn L4Connect + Send + Sync>);
    options.connection_timeout = Some(connect);
    // Two round trips more than a connection takes, and the other side's processor.
    options.total_connection_timeout = Some(connect * 3);
    options.idle_timeout = Some(IDLE);
    if upgrade {
        options.set_http_version(1, 1);
    } else {
        options.set_http_version(2, 2);
        options.max_h2_streams = STREAMS;
        options.h2_stream_window_size = Some(STREAM_WINDOW);
        options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        options.h2_ping_interval = Some(ASKED_EVERY);
    }
    peer
}
