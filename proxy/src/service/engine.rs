//! The engine as it is set up: its limits of HTTP/2, and how much it keeps.

use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;

use super::cdn_loop::Mark;
use super::dial::Dialers;
use super::{Engine, Proxy};
use crate::limit::RateLimits;
use crate::shared::Shared;

/// HTTP/2 streams that a client opened and reset before the edge came to them (rapid reset, CVE-2023-44487), that are
/// remembered after their end, and that the edge itself had to reset for the client's faults (`MadeYouReset`, CVE-2025-8671):
/// beyond these the connection is ended with `ENHANCE_YOUR_CALM`.
const H2_PENDING_RESETS: usize = 20;
const H2_REMEMBERED_RESETS: usize = 50;
const H2_LOCAL_RESETS: usize = 128;

/// What a client may send before the backend has read it: enough for 10 MB/s over 100 ms, HTTP/2's own 64 KiB is not.
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 2 << 20;

/// The most tries that the engine allows; the configuration's own limit lies below.
const MOST_TRIES: usize = 16;

/// Idle connections to backends, over all of them.
const POOL: usize = 4096;

/// The engine, ready for [`ClientDoor`](crate::listen::ClientDoor).
pub fn engine(shared: Arc<Shared>) -> Arc<Engine> {
    let conf = ServerConf { max_retries: MOST_TRIES, threads: 1, upstream_keepalive_pool_size: POOL, ..ServerConf::default() };
    let limits = shared.snapshot.load().config.limits.clone();
    let mark = Mark::of(&shared.snapshot.load().config.fleet.name);
    let proxy = Proxy {
        shared: Arc::clone(&shared),
        dialers: Dialers::default(),
        mark,
        rates: RateLimits::default(),
        queues: Arc::default(),
    };
    let mut engine = http_proxy(&Arc::new(conf), proxy);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.http2.idle_timeout);
    engine.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.initial_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_concurrent_streams(limits.http2.streams)
        .max_header_list_size(limits.request_header)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_concurrent_reset_streams(H2_REMEMBERED_RESETS)
        .max_local_error_reset_streams(Some(H2_LOCAL_RESETS));
    engine.h2_options = Some(h2);
    Arc::new(Engine { proxy: Arc::new(engine), shared })
}
