//! The admin port: what operators and Prometheus ask.
//!
//! It only reads, and shows no keys. What it shows comes from an [`AdminSource`], so that this module knows paths and
//! media types and nothing of what is behind them. The configuration keeps it on loopback; there, requests that a
//! browser was tricked into by DNS rebinding are refused by their Host (see `host`).

mod host;
mod query;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::metrics;
use crate::ops_http::{Answer, Handler, text, typed};

pub use query::ExplainQuery;

const INDEX: &str = "\
Causeway, admin port
/metrics        counters and gauges, OpenMetrics text
/explain        why a request would go where: ?url=https://HOST/PATH, and &client=IP for a client elsewhere
/routes         the route table in use
/snapshot       everything that requests are decided by
/diagnostics    faults in objects and policies, with remedies
/config         the configuration in use, checked form
";

/// What the admin port shows. Every answer is of the moment; none may wait, since the port has one thread.
pub trait AdminSource: Send + Sync + 'static {
    /// `/metrics`: [`metrics::Metrics::encode`], after bringing gauges that age up to date.
    fn metrics(&self) -> String;
    /// `/explain`: what would become of a request, and why.
    fn explain(&self, query: &ExplainQuery) -> Value;
    /// `/routes`: the route table.
    fn routes(&self) -> Value;
    /// `/snapshot`: everything that plans are made from.
    fn snapshot(&self) -> Value;
    /// `/diagnostics`: a list.
    fn diagnostics(&self) -> Value;
    /// `/config`: the checked configuration; file names of keys, never keys.
    fn config(&self) -> Value;
}

/// Answers on the admin port; to be served by [`OpsServer`](crate::ops_http::OpsServer).
pub struct Admin {
    source: Arc<dyn AdminSource>,
}

impl Admin {
    /// Shows what this source tells.
    pub fn new(source: Arc<dyn AdminSource>) -> Self {
        Self { source }
    }
}

impl Handler for Admin {
    fn answer(&self, request: &Parts, local: SocketAddr) -> Answer {
        if let Err(refusal) = host::check(request, local.ip()) {
            return text(StatusCode::FORBIDDEN, refusal);
        }
        match request.uri.path() {
            "/" => text(StatusCode::OK, INDEX),
            "/metrics" => typed(StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), self.source.metrics()),
            "/explain" => match ExplainQuery::parse(request.uri.query().unwrap_or_default()) {
                Ok(query) => json(&self.source.explain(&query)),
                Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            },
            "/routes" => json(&self.source.routes()),
            "/snapshot" => json(&self.source.snapshot()),
            "/diagnostics" => json(&self.source.diagnostics()),
            "/config" => json(&self.source.config()),
            _ => text(StatusCode::NOT_FOUND, "not found; / lists what there is\n"),
        }
    }
}

fn json(value: &Value) -> Answer {
    // Indented, since whoever looks here mostly looks with curl.
    typed(StatusCode::OK, HeaderValue::from_static("application/json"), format!("{value:#}\n"))
}
