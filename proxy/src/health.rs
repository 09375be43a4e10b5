//! The health port: what the kubelet and load balancers ask, and nothing else.
//!
//! | path | 200 | otherwise |
//! |---|---|---|
//! | `/healthz` | the process runs | no answer |
//! | `/readyz` | clients may come | 503, with a line for each part of start-up that is awaited, or `draining` |
//!
//! Liveness depends on nothing but this port's own thread: a restart mends neither a lost API server nor a full queue.

use std::net::SocketAddr;

use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::ops_http::{Answer, Handler, text};
use crate::readiness::{NotReady, Readiness};

/// Answers on the health port; to be served by [`OpsServer`](crate::ops_http::OpsServer).
#[derive(Debug)]
pub struct Health {
    readiness: Readiness,
    instance: HeaderValue,
}

/// The response's field that tells which process answers: where two share a machine's ports, a probe must know.
pub const INSTANCE: HeaderName = HeaderName::from_static("causeway-instance");

impl Health {
    /// Tells of this readiness, as this process's.
    pub fn new(readiness: Readiness, instance: &str) -> Self {
        // Whoever named it so cannot be probed by name.
        let instance = HeaderValue::from_str(instance).unwrap_or_else(|_| HeaderValue::from_static("unnamed"));
        Self { readiness, instance }
    }
}

impl Handler for Health {
    fn answer(&self, request: &Parts, _local: SocketAddr) -> Answer {
        let mut answer = match request.uri.path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.readiness.check() {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(NotReady::Draining) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
                Err(NotReady::Awaiting(parts)) => {
                    let lines = format!("awaiting: {}\n", parts.join("\nawaiting: "));
                    text(StatusCode::SERVICE_UNAVAILABLE, lines)
                }
            },
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        };
        answer.headers_mut().insert(INSTANCE, self.instance.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Listener;
    use crate::ops_http::tests::{get, start};

    #[test]
    fn readyz_names_what_is_awaited_and_a_drain_clears_it() {
        let (readiness, [home, listeners]) = Readiness::awaiting(["home cluster", "listeners"]);
        let server = start(Listener::Health, Health::new(readiness.clone(), "i1"));
        let address = server.addresses()[0];
        assert_eq!(get(address, "/readyz"), (503, "awaiting: home cluster\nawaiting: listeners\n".into()));
        drop(home);
        assert_eq!(get(address, "/readyz"), (503, "awaiting: listeners\n".into()));
        drop(listeners);
        assert_eq!(get(address, "/readyz"), (200, "ready\n".into()));
        readiness.drain();
        assert_eq!(get(address, "/readyz"), (503, "draining\n".into()));
        assert_eq!(get(address, "/healthz"), (200, "ok\n".into()));
    }

    #[test]
    fn nothing_else_is_told() {
        let (readiness, []) = Readiness::awaiting([]);
        let server = start(Listener::Health, Health::new(readiness, "i1"));
        for path in ["/", "/metrics", "/healthz/", "/readyz/x", "/snapshot"] {
            assert_eq!(get(server.addresses()[0], path).0, 404, "{path}");
        }
    }
}
