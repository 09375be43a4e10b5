//! Active health checks, as a task: asks whom the core says when it says so, and tells it how that ended.
//!
//! A check takes the way of a request (the engine's own connector, the endpoint's protocol, TLS to the same proof), on a
//! connection of its own: one that is kept would say nothing of whether new ones can be made.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::Nanos;
use causeway_core::check::{Check, Checkee, Checks, Schedule, checks};
use http::Method;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::authorities::AuthoritiesCell;
use crate::service::{Proof, check_peer as peer};
use crate::shared::Shared;

/// How often it is looked at most whether somebody is due, where somebody always is.
const PERIOD: Duration = Duration::from_millis(100);

/// How many are asked at a time: a pool of thousands must not cost the edge its sockets.
const AT_ONCE: usize = 64;

/// The checker of one edge.
pub(crate) struct Checker {
    shared: Arc<Shared>,
    connector: Arc<Connector>,
    schedule: Schedule,
    checks: Checks,
    /// The snapshot that `checks` are of.
    generation: u64,
    /// Who is being asked.
    busy: HashSet<Checkee>,
}

impl Checker {
    /// A checker that has asked nobody yet.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let connector = Arc::new(Connector::new(None));
        let (schedule, checks, busy) = (Schedule::default(), Checks::new(), HashSet::new());
        Self { shared, connector, schedule, checks, generation: 0, busy }
    }

    /// Runs until it is dropped; `replaced` tells of snapshots.
    pub(crate) async fn run(mut self, mut replaced: watch::Receiver<()>) {
        let (ended, mut outcomes) = mpsc::channel(AT_ONCE);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut next = self.ask(&room, &ended);
        loop {
            tokio::select! {
                Some((who, passed)) = outcomes.recv() => self.learn(&who, passed),
                Ok(()) = replaced.changed() => next = self.ask(&room, &ended),
                () = self.shared.clock.until(next) => next = self.ask(&room, &ended),
            }
        }
    }

    /// Asks whoever is due; when to look again.
    fn ask(&mut self, room: &Arc<Semaphore>, ended: &mpsc::Sender<(Checkee, Option<bool>)>) -> Option<Nanos> {
        self.follow();
        let due = self.schedule.due(&self.checks, self.shared.clock.now(), &mut fastrand::Rng::new());
        for who in due {
            let Some(check) = self.checks.get(&who).cloned() else { continue };
            if !self.busy.insert(who.clone()) {
                continue;
            }
            let (room, ended, connector) = (Arc::clone(room), ended.clone(), Arc::clone(&self.connector));
            let authorities = Arc::clone(&self.shared.authorities);
            tokio::spawn(async move {
                // That nobody vouches for it, or not yet, says nothing of how it is.
                if check.rules.path.is_some()
                    && Proof::of(&authorities.load(), &who.cluster, check.tls.as_deref(), &check.host).is_err()
                {
                    let _ = ended.send((who, None)).await;
                    return;
                }
                // Never closed. Who waits for room has its whole time from then on.
                let _room = room.acquire().await;
                let passed = match tokio::time::timeout(check.rules.timeout, ask(&connector, &authorities, &who, &check)).await {
                    Ok(Ok(())) => true,
                    Ok(Err(error)) => {
                        tracing::debug!(pool = %who.pool, address = %check.address, %error, "a health check failed");
                        false
                    }
                    Err(_) => false,
                };
                // Nobody listens once the edge has ended.
                let _ = ended.send((who, Some(passed))).await;
            });
        }
        let soonest = self.shared.clock.now().after(PERIOD);
        self.schedule.next().map(|next| next.max(soonest))
    }

    /// Takes the checks of the snapshot in use. Who is no longer asked is no longer judged by what it said.
    fn follow(&mut self) {
        let snapshot = self.shared.snapshot.load();
        if snapshot.generation == self.generation {
            return;
        }
        self.generation = snapshot.generation;
        let before = std::mem::replace(&mut self.checks, checks(&snapshot));
        before.iter().filter(|(who, _)| !self.checks.contains_key(*who)).for_each(|(_, check)| check.forget());
    }

    /// Takes note of how a check ended, if it could be made.
    fn learn(&mut self, who: &Checkee, passed: Option<bool>) {
        self.busy.remove(who);
        let (Some(check), Some(passed)) = (self.checks.get(who), passed) else { return };
        self.shared.metrics.health_check(&who.cluster, passed);
        match check.note(passed, self.shared.clock.now()) {
            Some(true) => tracing::info!(pool = %who.pool, address = %check.address, "passes its health checks again"),
            Some(false) => tracing::warn!(pool = %who.pool, address = %check.address, "fails its health checks"),
            None => {}
        }
    }
}

/// Asks one endpoint; an error is one of the check.
async fn ask(connector: &Connector, authorities: &AuthoritiesCell, who: &Checkee, check: &Check) -> Result<()> {
    let Some(path) = check.rules.path.as_deref() else {
        return TcpStream::connect(check.address).await.map(drop).or_err(ErrorType::ConnectError, "connecting");
    };
    let peer = {
        let known = authorities.load();
        let proof = Proof::of(&known, &who.cluster, check.tls.as_deref(), &check.host)?;
        peer(check.address, check.protocol, proof, check.rules.timeout)
    };
    let (mut session, _) = connector.get_http_session(&peer).await?;
    let mut request = RequestHeader::build(Method::GET, path.as_bytes(), Some(3))?;
    if check.protocol.is_h2() {
        let scheme = if check.protocol.is_tls() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{path}", check.host).parse().or_err(ErrorType::InvalidHTTPHeader, "the check's path")?;
        request.set_uri(uri);
    } else {
        request.insert_header(http::header::HOST, &*check.host)?;
    }
    request.insert_header(http::header::USER_AGENT, concat!("causeway/", env!("CARGO_PKG_VERSION"), " (health check)"))?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map_or(0, |response| response.status.as_u16());
    session.shutdown().await;
    if check.rules.status.map_or((200..300).contains(&status), |expected| status == expected) {
        return Ok(());
    }
    Error::e_explain(ErrorType::HTTPStatus(status), "not the status that is expected")
}
