//! Requests between edges, in the engine's glue: those that are sent to a peer, those that a peer sent here, and pings.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::CertificateId;
use causeway_core::link::InstanceId;
use causeway_core::{Refusal, Target, plan_at_home};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tracing::{debug, warn};

use super::peer::Carriage;
use super::replies::{FENCED, NO_BACKEND, STARTING, UNKNOWN_POOL, exhausted};
use super::{Proxy, doubt, head};
use crate::ctx::Ctx;
use crate::forwarded::{self, Client};
use crate::listen::{PeerFacts, Role};
use crate::metrics::RefusalReason;
use crate::peer::hop;
use crate::peer::lane::{Lane, Opened, Shown};
use crate::peer::protocol::{Hop, HopFault, INSTANCE, SESSION, UNSERVED, session, session_tag};
use crate::peer::v1::Answer;
use crate::reply::Reply;

const CROSSED: Reply = Reply::new(
    StatusCode::LOOP_DETECTED,
    RefusalReason::Loop,
    "the request has crossed between clouds before, and does not cross again",
);
const NO_HOP: Reply =
    Reply::new(StatusCode::BAD_REQUEST, RefusalReason::BadRequest, "the peer port takes requests of other edges only");
const BAD_HOP: Reply =
    Reply::new(StatusCode::BAD_REQUEST, RefusalReason::BadRequest, "another edge's request cannot be understood here");

/// The largest deadline that is taken over from another edge.
const LONGEST: Duration = Duration::from_hours(1);

impl Proxy {
    /// Answers what an edge may ask besides the hop; whether it was such a question.
    pub(super) async fn answer_peer(&self, session: &mut Session, ctx: &Ctx) -> Result<bool> {
        let Some(from) = from_peer(ctx) else { return Ok(false) };
        let request = session.req_header();
        if request.headers.contains_key(crate::peer::protocol::HOP) || !request.uri.path().starts_with("/v1/") {
            return Ok(false);
        }
        let answer = {
            let (snapshot, now) = (self.shared.snapshot.load(), self.shared.clock.now());
            self.shared.peers.answer(request.uri.path(), &from.cluster, &request.headers, &snapshot, now)
        };
        let (status, body) = match answer {
            Answer::Value(status, value) => (status, value.to_string().into()),
            Answer::State(answer) => match self.shared.peers.siblings.write(answer).await {
                Ok(body) => (StatusCode::OK, body),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{{\"error\": {:?}}}", error.to_string()).into()),
            },
        };
        let mut response = ResponseHeader::build(status, Some(3))?;
        response.insert_header(CONTENT_TYPE, "application/json")?;
        response.insert_header(CONTENT_LENGTH, body.len())?;
        response.insert_header(INSTANCE, self.shared.peers.instance.as_str())?;
        session.write_response_header(Box::new(response), false).await?;
        session.write_response_body(Some(body), true).await?;
        Ok(true)
    }

    /// Decides what to do with a request that another edge has decided to send here; an `Err` is an answer.
    pub(super) fn decide_hop(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Reply> {
        let request = session.req_header();
        let snapshot = self.shared.snapshot.load();
        ctx.limits = snapshot.config.upstream.clone();
        ctx.pause = ctx.limits.request_timeout;
        ctx.logged = snapshot.config.access_log.enabled;
        let asked = head::check(request, &snapshot.config.limits)?;
        (ctx.authority, ctx.host) = (asked.authority, asked.host);
        let hop = match Hop::read(&request.headers) {
            Ok(Some(hop)) => hop,
            Ok(None) => return Err(NO_HOP),
            Err(fault) => {
                match fault {
                    HopFault::Malformed(field) => warn!(field, "a peer's request cannot be understood"),
                    HopFault::Version(version) => warn!(version, "a peer's request is of a version that is not understood"),
                }
                return Err(BAD_HOP);
            }
        };
        ctx.hop = true;
        ctx.client = Client { address: hop.client, sender: hop.client, trusted: true };
        ctx.request_id = forwarded::request_id(&ctx.client, &request.headers, fastrand::u128(..));
        ctx.country = hop.country;
        if hop.crossings > 1 {
            return Err(CROSSED);
        }
        // The fence of the edge that decided, and then this edge's own: both must allow it.
        if hop.fence.is_some_and(|fence| !fence.contains(snapshot.home())) {
            return Err(FENCED);
        }
        if let Some(left) = hop.deadline {
            ctx.limits.response_timeout = Some(left.clamp(Duration::from_millis(1), LONGEST));
        }
        // How long all tries may take together is the other edge's to say, and it has said what is left.
        ctx.limits.request_timeout = None;
        let plan = plan_at_home(&snapshot, &ctx.host, &hop.pool, fastrand::u64(..)).map_err(|refusal| match refusal {
            Refusal::Starting => STARTING,
            Refusal::Fenced => FENCED,
            Refusal::NoBackend(_) => NO_BACKEND,
            Refusal::BadPath(_) | Refusal::UnknownHost | Refusal::UnknownPath | Refusal::UnknownPool(_) => UNKNOWN_POOL,
        })?;
        ctx.route = Some(Arc::clone(&plan.route.label));
        let plan = ctx.plan.insert(plan);
        if let Some(tag) = hop.session {
            // Told in the response whichever endpoint it is in the end.
            ctx.tells_session = true;
            plan.stick(snapshot.home(), tag);
        }
        if ctx.draw(self.shared.clock.now()) { Ok(()) } else { Err(exhausted(ctx)) }
    }

    /// The way to another edge, as the engine's peer.
    pub(super) fn way(&self, lane: Arc<Lane>, carriage: Carriage, connect: Duration, ctx: &mut Ctx) -> Result<HttpPeer> {
        let Some(trust) = self.shared.peers.trust.load() else {
            return Error::e_explain(ErrorType::ConnectError, "there are no certificates of the fleet");
        };
        let peer = hop::peer(&lane, &trust, carriage == Carriage::Upgrade, connect);
        ctx.lane = Some(lane);
        Ok(peer)
    }

    /// The way to a candidate that is an edge.
    pub(super) fn way_to(&self, instance: &InstanceId, carriage: Carriage, connect: Duration, ctx: &mut Ctx) -> Result<HttpPeer> {
        let cluster = ctx.current.as_ref().map(|current| current.candidate.cluster_id.clone());
        let lane = cluster.and_then(|cluster| self.shared.peers.roster.lane(&cluster, instance, fastrand::usize(..)));
        match lane {
            Some(lane) => self.way(lane, carriage, connect, ctx),
            None => Error::e_explain(ErrorType::ConnectError, "no lane leads to this edge any more"),
        }
    }

    /// Whether the certificate that an edge has shown was revoked: the engine verified everything else.
    pub(super) fn check_peer(&self, digest: Option<&Digest>) -> Result<()> {
        let (Some(trust), Some(tls)) = (self.shared.peers.trust.load(), digest.and_then(|digest| digest.ssl_digest.as_ref()))
        else {
            return Error::e_explain(ErrorType::ConnectError, "the connection to an edge is not by TLS");
        };
        let serial = match tls.serial_number.as_deref().map(str::parse) {
            Some(Ok(CertificateId::Serial(serial))) => serial,
            _ => Vec::new(),
        };
        if let Some(opened) = Opened::of(digest) {
            opened.shown(Shown { serial: serial.clone(), digest: tls.cert_digest.clone() });
        }
        if trust.fleet.is_revoked(&serial, &tls.cert_digest) {
            return Error::e_explain(ErrorType::ConnectError, "its certificate is in fleet.revoked");
        }
        Ok(())
    }

    /// While a request waits there, a lane that has fallen silent is found out. An upgrade has a connection to itself.
    pub(super) fn watch_lane(&self, lane: Arc<Lane>, carriage: Carriage, ctx: &mut Ctx) {
        if let Some(current) = ctx.current.as_mut().filter(|_| carriage != Carriage::Upgrade) {
            let silence = current.attempt.silence(self.shared.clock.now());
            let (peers, ear) = (Arc::clone(&self.shared.peers), current.attempt.ear());
            current.doubt = Some(doubt::watch_lane(lane, peers, silence, ear));
        }
    }

    /// What is told another edge in every response.
    pub(super) fn to_peer(&self, ctx: &Ctx, refused: Option<RefusalReason>) -> Vec<(HeaderName, HeaderValue)> {
        use RefusalReason::{Fence, NoBackend, NoEndpoint, NoRoute, Overload, Starting};
        if from_peer(ctx).is_none() {
            return Vec::new();
        }
        let instance = HeaderValue::from_str(self.shared.peers.instance.as_str());
        let mut headers: Vec<_> = instance.ok().map(|instance| (INSTANCE, instance)).into_iter().collect();
        if let Some(current) = ctx.current.as_ref().filter(|_| ctx.tells_session && refused.is_none()) {
            headers.push((SESSION, session(current.candidate.tag)));
        }
        if matches!(refused, Some(Fence | NoBackend | NoEndpoint | NoRoute | Overload | Starting)) {
            headers.push((UNSERVED, HeaderValue::from_static("1")));
        }
        headers
    }
}

/// Puts on a request what the edge that it is sent to must know. `limit` is how long the response's header may take.
pub(super) fn send(request: &mut RequestHeader, limit: Option<Duration>, ctx: &Ctx) -> Result<()> {
    let Some(plan) = &ctx.plan else {
        return Error::e_explain(ErrorType::InternalError, "a hop without a plan");
    };
    let hop = Hop {
        pool: plan.pool.spec.key.clone(),
        client: ctx.client.address,
        country: ctx.country,
        fence: plan.policy.tls.fence.as_ref().map(|fence| fence.to_vec()),
        deadline: limit,
        crossings: 1,
        session: place(ctx),
    };
    for (name, value) in hop.headers() {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// Notes who has answered, and whether the request reached a pod at all.
pub(super) fn heard_peer(response: &ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    let Some(lane) = &ctx.lane else { return Ok(()) };
    let instance = response.headers.get(INSTANCE).and_then(|value| value.to_str().ok()).and_then(InstanceId::parse);
    // Who is new on a lane, the next ping introduces.
    if let Some(before) = lane.instance()
        && instance.as_ref() != Some(&*before)
    {
        lane.note_stranger();
    }
    ctx.endpoint = response.headers.get(SESSION).and_then(session_tag);
    if !ctx.is_ping() && response.headers.contains_key(UNSERVED) {
        ctx.unserved = true;
        let mut error = Error::explain(ErrorType::ConnectError, "the edge there reached no pod");
        error.as_up();
        return Err(error);
    }
    Ok(())
}

/// Which endpoint of the cluster that is tried the client's session is at; 0 where it has none there.
fn place(ctx: &Ctx) -> Option<u64> {
    let ((_, place), current) = (&**ctx.session.as_ref()?, ctx.current.as_ref()?);
    let here = place.as_ref().filter(|place| place.cluster == current.candidate.cluster_id);
    Some(here.map_or(0, |place| place.tag))
}

/// The edge that a request came from.
pub(super) fn from_peer(ctx: &Ctx) -> Option<&PeerFacts> {
    match &ctx.connection.as_ref()?.role {
        Role::Peer(facts) => Some(facts),
        _ => None,
    }
}

/// The lane that a ping is to try.
pub(super) fn errand(ctx: &Ctx) -> Option<Arc<Lane>> {
    match &ctx.connection.as_ref()?.role {
        Role::Own(errand) => errand.0.downcast_ref::<Arc<Lane>>().cloned(),
        _ => None,
    }
}

/// Whether the try that goes on is at an edge.
pub(super) fn at_peer(ctx: &Ctx) -> bool {
    ctx.current.as_ref().is_some_and(|current| matches!(current.candidate.target, Target::Peer(_)))
}

/// Writes an audit event: a request that a residency fence stopped.
pub(super) fn audit(ctx: &Ctx) {
    let from = from_peer(ctx).map(|facts| facts.cluster.as_str());
    warn!(
        target: "audit",
        event = "fence",
        host = ctx.host,
        client = %ctx.client.address,
        request = ctx.request_id.to_str().unwrap_or("unknown"),
        from,
        "a request was stopped by a residency fence"
    );
}

/// Remembers why a lane does not work.
pub(super) fn blame(ctx: &Ctx, error: &Error) {
    if let (true, Some(lane)) = (ctx.is_ping(), &ctx.lane) {
        debug!(?lane, %error, "no answer from a peer");
        lane.note_fault(Some(error.to_string().trim().to_owned()));
    }
}
