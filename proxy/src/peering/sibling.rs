//! Asking the other edges of the home cluster what they know of it, while this edge's API server is silent.
//!
//! A connection for each question: it is asked seldom, of few, and of nobody who answers as long as the API server does. Nothing is
//! put into rotation by it, so it has no lane.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::link::InstanceId;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peer::addresses::{Finder, kept};
use crate::peer::protocol::{INSTANCE, KNOWN};
use crate::peer::state::StateAnswer;
use crate::peer::trust::Trust;
use crate::shared::Shared;

/// How long an API server may take at the start before others are asked.
const GRACE: Duration = Duration::from_secs(1);

/// How often they are asked.
const PERIOD: Duration = Duration::from_secs(2);

/// How long one may take: the state of ten thousand pools is some megabytes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest state that is read, in bytes.
const LARGEST: usize = 256 << 20;

/// Asks for one edge.
pub struct Asker {
    home: ClusterId,
    shared: Arc<Shared>,
    finder: Finder,
}

impl Asker {
    /// For an edge at home in `home`.
    pub fn new(home: ClusterId, shared: Arc<Shared>) -> Self {
        Self { home, shared, finder: Finder::default() }
    }

    /// Runs until the returned task is aborted.
    pub async fn run(mut self) {
        let siblings = &Arc::clone(&self.shared).peers.siblings;
        let mut needed = siblings.needed();
        loop {
            // The sender lives as long as the edge.
            let _ = needed.wait_for(|needed| *needed).await;
            tokio::time::sleep(GRACE).await;
            while *needed.borrow() {
                // By then at the latest: an answer takes its time, and must not look younger for that.
                let asked = self.shared.clock.now();
                let answer = self.ask().await;
                let fault = answer.as_ref().err().cloned();
                if let Ok(answer) = answer {
                    siblings.hear(Some(answer), asked);
                }
                siblings.note_fault(fault);
                let _ = tokio::time::timeout(PERIOD, needed.wait_for(|needed| !needed)).await;
            }
            siblings.hear(None, self.shared.clock.now());
            siblings.note_fault(None);
        }
    }

    /// The word of whoever heard the API server last. The error is for people.
    async fn ask(&mut self) -> Result<(InstanceId, StateAnswer), String> {
        let trust = self.shared.peers.trust.load().ok_or("there are no certificates of the fleet")?;
        let snapshot = self.shared.snapshot.load_full();
        let found = self.finder.siblings(&snapshot, &self.home).await?;
        drop(snapshot);
        let mut best: Option<(InstanceId, StateAnswer)> = None;
        let mut why = "no other edge is at the addresses where they are looked for".to_owned();
        for address in kept(&found, &self.shared.peers.instance) {
            match tokio::time::timeout(PATIENCE, self.ask_one(&trust, address)).await {
                Ok(Ok(Some(answer))) => {
                    let better = best.as_ref().is_none_or(|(_, best)| answer.1.silent_ms < best.silent_ms);
                    if better {
                        best = Some(answer);
                    }
                    if best.as_ref().is_some_and(|(_, best)| best.silent_ms == 0) {
                        break;
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Err(_) => why = format!("{address}: no answer within {} s", PATIENCE.as_secs()),
            }
        }
        best.ok_or(why)
    }

    /// What the edge at an address says; nothing if it is this edge itself.
    async fn ask_one(&self, trust: &Trust, address: SocketAddr) -> Result<Option<(InstanceId, StateAnswer)>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let name = trust.fleet.name_of(&self.home);
        let server = ServerName::try_from(name.clone()).map_err(|e| text(&e))?;
        let stream = TcpStream::connect(address).await.map_err(|e| text(&e))?;
        // Whoever is at the other end has a certificate of this very cluster, or there is no connection.
        let stream = TlsConnector::from(Arc::clone(&trust.sibling)).connect(server, stream).await.map_err(|e| text(&e))?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
        let mut request = Request::get("/v1/state").header(header::HOST, name).header(header::CONNECTION, "close");
        if let Some(hearsay) = self.shared.peers.siblings.hearsay() {
            request = request.header(INSTANCE, hearsay.from.as_str()).header(KNOWN, hearsay.generation);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|e| text(&e))?;
        let answered = async {
            let response = send.send_request(request).await.map_err(|e| text(&e))?;
            let status = response.status();
            let own = self.shared.peers.instance.as_str();
            if response.headers().get(INSTANCE).is_some_and(|instance| instance == own) {
                return Ok(None);
            }
            let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|e| text(&e))?.to_bytes();
            if status != StatusCode::OK {
                return Err(format!("it answers {status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])));
            }
            let answer: StateAnswer =
                serde_json::from_slice(&body).map_err(|error| format!("its answer cannot be read: {error}"))?;
            let from = InstanceId::parse(&answer.instance).ok_or("its instance id is none")?;
            if answer.cluster != self.home {
                return Err(format!("it tells of {}, and was asked for {}", answer.cluster, self.home));
            }
            Ok(Some((from, answer)))
        };
        tokio::pin!(answered);
        tokio::select! {
            answer = &mut answered => answer,
            _ = connection => answered.await,
        }
    }
}
