//! Asking the other edges of the home cluster what they know of it, while this edge's API server is silent.
//!
//! A connection for each question: it is asked seldom, of few, and of nobody who answers as long as the API server does. Nothing is
//! put into rotation by it, so it has no lane.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::link::InstanceId;
use futures::StreamExt;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peer::addresses::{Finder, kept};
use crate::peer::protocol::{BRIEF, INSTANCE, KNOWN};
use crate::peer::state::{Question, StateAnswer};
use crate::peer::trust::Trust;
use crate::shared::Shared;

/// How long an API server may take at the start before others are asked.
const GRACE: Duration = Duration::from_secs(1);

/// How often they are asked.
const PERIOD: Duration = Duration::from_secs(2);

/// How long one may take: the state of ten thousand pools is some megabytes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many are asked at a time, for how fresh their word is: the state itself comes from one of them.
const AT_ONCE: usize = 4;

/// By how much another edge must have heard the API server later than the one that is believed, to be believed in its place.
const NEAR: Duration = Duration::from_secs(1);

/// The largest state that is read, in bytes.
const LARGEST: usize = 256 << 20;

/// Asks for one edge.
pub struct Asker {
    home: ClusterId,
    shared: Arc<Shared>,
    finder: Finder,
    /// Where the edge is whose word is believed.
    believed: Option<SocketAddr>,
}

impl Asker {
    /// For an edge at home in `home`.
    pub fn new(home: ClusterId, shared: Arc<Shared>) -> Self {
        Self { home, shared, finder: Finder::default(), believed: None }
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
                if let Ok(Some(answer)) = answer {
                    siblings.hear(Some(answer), asked);
                }
                siblings.note_fault(fault);
                let _ = tokio::time::timeout(PERIOD, needed.wait_for(|needed| !needed)).await;
            }
            siblings.hear(None, self.shared.clock.now());
            siblings.note_fault(None);
        }
    }

    /// The word of whoever heard the API server last; nothing where no word is newer than what is known here. The error is for people.
    async fn ask(&mut self) -> Result<Option<(InstanceId, StateAnswer)>, String> {
        let trust = self.shared.peers.trust.load().ok_or("there are no certificates of the fleet")?;
        let siblings = &self.shared.peers.siblings;
        let hearsay = siblings.hearsay();
        // As long as the one that is believed hears its API server, nobody else has to be asked.
        if let Some((address, hearsay)) = self.believed.zip(hearsay.as_ref()) {
            let question = Question::Unless(hearsay.from.as_str(), hearsay.generation);
            if let Ok(Some(answer)) = self.ask_one(&trust, address, question).await
                && answer.1.silent_ms == 0
            {
                return Ok(Some(answer));
            }
        }
        let snapshot = self.shared.snapshot.load_full();
        let found = self.finder.siblings(&snapshot, &self.home).await?;
        drop(snapshot);
        let asked = self.shared.clock.now();
        let (this, trust) = (&*self, &*trust);
        let ask = |address| async move { (address, this.ask_one(trust, address, Question::Brief).await) };
        let mut answers = futures::stream::iter(kept(&found, &self.shared.peers.instance)).map(ask).buffer_unordered(AT_ONCE);
        let mut best: Option<(SocketAddr, InstanceId, StateAnswer)> = None;
        let mut why = "no other edge is at the addresses where they are looked for".to_owned();
        while let Some((address, answer)) = answers.next().await {
            match answer {
                Ok(Some((from, answer))) => {
                    let believed = |from: &InstanceId| hearsay.as_ref().is_some_and(|hearsay| hearsay.from == *from);
                    // Two that heard it at about the same time take no turns.
                    let rank = |from: &InstanceId, answer: &StateAnswer| {
                        answer.silent_ms + if believed(from) { 0 } else { NEAR.as_millis() as u64 }
                    };
                    if best.as_ref().is_none_or(|(_, other, known)| rank(&from, &answer) < rank(other, known)) {
                        let heard = answer.silent_ms == 0;
                        best = Some((address, from, answer));
                        if heard {
                            break;
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        drop(answers);
        let (address, from, answer) = best.ok_or(why)?;
        let (known, newer) = (
            hearsay.is_some_and(|h| (&h.from, h.generation) == (&from, answer.generation)),
            siblings.newer(asked.before(Duration::from_millis(answer.silent_ms))),
        );
        let answer = match answer {
            _ if !newer && !known => return Ok(None),
            // Of an edge of the version before this one.
            answer if known || answer.state.is_some() => Some((from, answer)),
            _ => self.ask_one(trust, address, Question::All).await.map_err(|error| format!("{address}: {error}"))?,
        };
        self.believed = Some(address);
        Ok(answer)
    }

    /// What the edge at an address says within [`PATIENCE`]; nothing if it is this edge itself.
    async fn ask_one(
        &self,
        trust: &Trust,
        address: SocketAddr,
        question: Question<'_>,
    ) -> Result<Option<(InstanceId, StateAnswer)>, String> {
        let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.call(trust, address, question)).await.unwrap_or_else(late)
    }

    async fn call(
        &self,
        trust: &Trust,
        address: SocketAddr,
        question: Question<'_>,
    ) -> Result<Option<(InstanceId, StateAnswer)>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let name = trust.fleet.name_of(&self.home);
        let server = ServerName::try_from(name.clone()).map_err(|e| text(&e))?;
        let stream = TcpStream::connect(address).await.map_err(|e| text(&e))?;
        // Whoever is at the other end has a certificate of this very cluster, or there is no connection.
        let stream = TlsConnector::from(Arc::clone(&trust.sibling)).connect(server, stream).await.map_err(|e| text(&e))?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
        let mut request = Request::get("/v1/state").header(header::HOST, name).header(header::CONNECTION, "close");
        request = match question {
            Question::All => request,
            Question::Unless(from, generation) => request.header(INSTANCE, from).header(KNOWN, generation),
            Question::Brief => request.header(KNOWN, BRIEF),
        };
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
