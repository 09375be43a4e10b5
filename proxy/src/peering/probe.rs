//! One ping: a request of this edge's own, over the connections that carry data.
//!
//! The engine owns the connections to peers, and lends them to nobody. So a ping takes the way of every request: it enters
//! the engine as a client's would, on a connection that lies in memory, and leaves it by the lane that it is to try. A lane
//! whose connection hangs thus loses its pings, and a new connection is made by the ping and not by somebody's request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pingora::apps::ServerApp;
use tokio::sync::watch;

use crate::late::within;
use crate::listen::{ClientIo, Connection, Errand, IoLimits, Role};
use crate::metrics::Metrics;
use crate::peer::lane::Lane;
use crate::peer::protocol::{KNOWN, Probe};

/// The largest answer that is read, in bytes: ten thousand pools take a tenth of it.
const LARGEST: usize = 8 << 20;

/// What lies in memory between the ping and the engine.
const BUFFER: usize = 16 * 1024;

/// Asks whoever is at the end of a lane. `known` is the generation of its counts that is known here. The error is for people.
pub(super) async fn ask<A: ServerApp + Send + Sync + 'static>(
    engine: &Arc<A>,
    metrics: &Arc<Metrics>,
    lane: &Arc<Lane>,
    name: &str,
    known: Option<u64>,
    patience: Duration,
) -> Result<Probe, String> {
    let (near, far) = tokio::io::duplex(BUFFER);
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let errand: Arc<dyn std::any::Any + Send + Sync> = Arc::new(Arc::clone(lane));
    let connection = Connection::new(nobody, nobody, nobody, None).in_role(Role::Own(Errand(errand)));
    let io = Box::new(ClientIo::new(far, -1, connection, IoLimits::default(), Arc::clone(metrics)));
    let (_drain, draining) = watch::channel(false);
    let asked = async {
        tokio::select! {
            answer = converse(near, name, known) => answer,
            _ = engine.process_new(io, &draining) => Err("the connection ended".to_owned()),
        }
    };
    within(patience, asked).await.unwrap_or_else(|| Err(format!("no answer within {} ms", patience.as_millis())))
}

async fn converse(near: tokio::io::DuplexStream, name: &str, known: Option<u64>) -> Result<Probe, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut send, connection) = http1::handshake(TokioIo::new(near)).await.map_err(|e| text(&e))?;
    let mut request = Request::builder().method(Method::GET).uri("/v1/probe").header(header::HOST, name);
    if let Some(known) = known {
        request = request.header(KNOWN, known);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|e| text(&e))?;
    let answered = async {
        let response = send.send_request(request).await.map_err(|e| text(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|e| text(&e))?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("it answers {status}"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("its answer cannot be read: {error}"))
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ = connection => answered.await,
    }
}
