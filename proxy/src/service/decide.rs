//! What becomes of a client's request: its head is checked, the snapshot is loaded once, and a plan is made; or an answer.

use std::sync::Arc;

use causeway_certs::Match;
use causeway_config::Config;
use causeway_core::policy::TlsPolicy;
use causeway_core::{Refusal, RequestHead, plan};
use pingora::Result;
use pingora::proxy::Session;
use tracing::debug;

use super::replies::{
    BAD_PATH, CIRCLES, FENCED, MISDIRECTED, NO_BACKEND, STARTING, UNKNOWN_HOST, UNKNOWN_PATH, UNKNOWN_POOL, exhausted,
};
use super::session::unix_now;
use super::{Proxy, head, secure};
use crate::ctx::Ctx;
use crate::forwarded;
use crate::listen::misdirected;
use crate::reply::Reply;

impl Proxy {
    /// Decides what to do with a request; an `Err` is an answer.
    pub(super) fn decide(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Reply> {
        let request = session.req_header();
        // One snapshot for the whole request; the guard is gone before anything is waited for.
        let snapshot = self.shared.snapshot.load();
        let config = &snapshot.config;
        ctx.limits = config.upstream.clone();
        ctx.pause = config.upstream.request_timeout;
        ctx.served_by = config.responses.served_by;
        ctx.logged = config.access_log.enabled;
        if let Some(connection) = &ctx.connection {
            let plain = || config.listen.http.as_ref().map_or(&[][..], |http| &http.forwarded_for);
            let believed = if connection.tls.is_some() { &config.listen.https.forwarded_for } else { plain() };
            ctx.client = forwarded::client(connection.client.ip(), &request.headers, believed);
        }
        ctx.request_id = forwarded::request_id(&ctx.client, &request.headers, fastrand::u128(..));
        let asked = head::check(request, &config.limits)?;
        ctx.authority = asked.authority;
        ctx.host = asked.host;
        if self.mark.is_on(request) {
            return Err(CIRCLES);
        }
        self.check_connection(ctx, &snapshot.policies.of_host(&ctx.host).tls, config)?;
        let location = (self.shared.locate)(ctx.client.address);
        ctx.country = location.as_ref().map(|location| location.country);
        let head = RequestHead { host: &ctx.host, path: head::path(request) };
        let plan = plan(&snapshot, head, location.as_ref(), fastrand::u64(..)).map_err(|refusal| match refusal {
            Refusal::Starting => STARTING,
            Refusal::UnknownHost => UNKNOWN_HOST,
            Refusal::UnknownPath => UNKNOWN_PATH,
            Refusal::UnknownPool(_) => UNKNOWN_POOL,
            Refusal::Fenced => FENCED,
            Refusal::BadPath(_) => BAD_PATH,
            Refusal::NoBackend(_) => NO_BACKEND,
        })?;
        ctx.route = Some(Arc::clone(&plan.route.label));
        let plan = ctx.plan.insert(plan);
        if let Some(persistence) = plan.policy.session.clone() {
            let found = self.shared.sessions.find(&request.headers, &persistence, &ctx.host, unix_now());
            if let Some(place) = &found {
                plan.stick(&place.cluster, place.tag);
            }
            ctx.session = Some(Box::new((persistence, found)));
        }
        self.hold(request, ctx)?;
        if ctx.draw(self.shared.clock.now()) { Ok(()) } else { Err(exhausted(ctx)) }
    }

    /// Host against SNI, and against a connection without TLS.
    fn check_connection(&self, ctx: &Ctx, demanded: &TlsPolicy, config: &Config) -> Result<(), Reply> {
        let Some(connection) = &ctx.connection else { return Ok(()) };
        let Some(tls) = &connection.tls else {
            return if secure::needs_tls(demanded, config) { Err(secure::TLS_ONLY) } else { Ok(()) };
        };
        // The default certificate answers who named nobody, or somebody unknown. Nobody coalesces on it by mistake, and a
        // better one cannot be had by whoever tests with `curl -k -H 'Host: ...' https://LOAD-BALANCER/`, over HTTP/2 too.
        let covered = || tls.served.matched == Match::Default || tls.served.certificate.covers(&ctx.host);
        let better = || self.shared.certificates.load().has(&ctx.host);
        match misdirected(&tls.policy, demanded, tls.h2, covered, better) {
            Some(why) => {
                debug!(host = ctx.host, ?why, "misdirected");
                Err(MISDIRECTED)
            }
            None => Ok(()),
        }
    }
}
