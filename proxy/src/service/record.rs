//! What is told of a request that has ended.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::TlsVersion;
use causeway_core::Nanos;
use http::header::USER_AGENT;
use pingora::proxy::Session;

use super::{Proxy, head, id};
use crate::access_log::Entry;
use crate::ctx::Ctx;
use crate::listen::tls;
use crate::metrics::{Outcome, RefusalReason, Series, Status};
use crate::shared::Shared;

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
        if let Some(spill) = ctx.current.as_ref().filter(|_| ctx.refused.is_none()).and_then(|current| current.candidate.spill) {
            self.shared.metrics.spilled(spill);
        }
        self.series(ctx).record(&outcome);
        if ctx.logged
            && let Some(log) = &self.shared.access_log
        {
            log.log(entry(session, ctx, status, &outcome));
        }
    }

    /// What there is to tell of a request, in case that nobody is left who could when it ends.
    pub(super) fn unfinished(&self, session: &Session, ctx: &Ctx) -> Unfinished {
        let outcome = Outcome { status: Status::Aborted, duration: Duration::ZERO, received: 0, sent: 0 };
        let logged = ctx.logged && self.shared.access_log.is_some();
        let entry = logged.then(|| Box::new(entry(session, ctx, None, &outcome)));
        Unfinished { began: ctx.began, outcome, series: self.series(ctx), entry }
    }

    fn series(&self, ctx: &Ctx) -> Arc<Series> {
        let cluster = ctx.cluster().filter(|_| ctx.refused.is_none());
        self.shared.metrics.series(ctx.route.as_deref(), cluster)
    }
}

/// A request that is still being served, as it would be told of.
pub(super) struct Unfinished {
    began: Nanos,
    outcome: Outcome,
    series: Arc<Series>,
    entry: Option<Box<Entry>>,
}

impl Unfinished {
    /// A response has begun.
    pub(super) fn answered(&mut self, status: u16) {
        self.outcome.status = Status::from(status);
        if let Some(entry) = &mut self.entry {
            entry.status = Some(status);
        }
    }

    /// It was dropped for `reason`, after so many bytes of its body.
    pub(super) fn end(self, shared: &Shared, reason: RefusalReason, received: u64) {
        let duration = shared.clock.now().since(self.began);
        self.series.record(&Outcome { duration, received, ..self.outcome });
        if let (Some(mut entry), Some(log)) = (self.entry, &shared.access_log) {
            (entry.duration, entry.bytes_in, entry.reason) = (duration, received, Some(reason));
            log.log(*entry);
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
