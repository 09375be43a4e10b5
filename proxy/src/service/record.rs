//! What is told of a request that has ended.

use causeway_config::TlsVersion;
use http::header::USER_AGENT;
use pingora::proxy::Session;

use super::{Proxy, head, id};
use crate::access_log::Entry;
use crate::ctx::Ctx;
use crate::listen::tls;
use crate::metrics::{Outcome, Status};

impl Proxy {
    /// Counts a request, and logs it where that is asked for.
    pub(super) fn record(&self, session: &Session, ctx: &Ctx) {
        let status = session.response_written().map(|response| response.status.as_u16());
        let outcome = Outcome {
            status: status.map_or(Status::Aborted, Status::from),
            duration: self.shared.clock.now().since(ctx.began),
            received: session.body_bytes_read() as u64,
            sent: session.body_bytes_sent() as u64,
        };
        let cluster = ctx.cluster().filter(|_| ctx.refused.is_none());
        if let Some(spill) = ctx.current.as_ref().filter(|_| ctx.refused.is_none()).and_then(|current| current.candidate.spill) {
            self.shared.metrics.spilled(spill);
        }
        self.shared.metrics.series(ctx.route.as_deref(), cluster).record(&outcome);
        if ctx.logged
            && let Some(log) = &self.shared.access_log
        {
            log.log(entry(session, ctx, status, &outcome));
        }
    }
}

fn entry(session: &Session, ctx: &Ctx, status: Option<u16>, outcome: &Outcome) -> Entry {
    let request = session.req_header();
    let facts = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref());
    Entry {
        time: ctx.time,
        request_id: id(&ctx.request_id).into(),
        client: ctx.client.address,
        method: request.method.to_string(),
        host: ctx.host.clone(),
        path: head::path(request).to_owned(),
        protocol: request.version,
        tls_version: facts.and_then(|facts: &crate::listen::TlsFacts| -> Option<TlsVersion> { tls::version(facts) }),
        status,
        bytes_in: outcome.received,
        bytes_out: outcome.sent,
        duration: outcome.duration,
        upstream_duration: ctx.current.as_ref().and_then(|current| current.answered),
        route: ctx.route.clone(),
        cluster: ctx.cluster().cloned(),
        endpoint: ctx.current.as_ref().map(|current| current.candidate.address),
        attempts: ctx.tries.made,
        reason: ctx.refused,
        country: ctx.country,
        user_agent: request.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned),
    }
}
