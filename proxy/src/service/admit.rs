//! What a request is held to once its route is known: the host's rate and size, the pool's concurrency.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_LENGTH;
use pingora::{Error, ErrorType, Result};

use super::Proxy;
use crate::ctx::Ctx;
use crate::limit::{Ended, Turn};
use crate::metrics::RefusalReason;
use crate::reply::Reply;

pub(super) const TOO_LARGE: Reply =
    Reply::new(StatusCode::PAYLOAD_TOO_LARGE, RefusalReason::BodyTooLarge, "the request's body is larger than this host takes");
const TOO_MANY: Reply =
    Reply::new(StatusCode::TOO_MANY_REQUESTS, RefusalReason::RateLimit, "you send more requests than this host takes");
const OVERLOADED: Reply = Reply::new(
    StatusCode::SERVICE_UNAVAILABLE,
    RefusalReason::Overload,
    "the backend of this service has as many requests as it is given at a time",
)
.after(1);

/// A body that turned out too long on its way.
pub(super) const BODY_TOO_LARGE: ErrorType = ErrorType::new("BodyTooLarge");

impl Proxy {
    /// The host's limits. The client's address is known, and the plan made.
    pub(super) fn hold(&self, request: &pingora::http::RequestHeader, ctx: &mut Ctx) -> Result<(), Reply> {
        let Some(plan) = &ctx.plan else { return Ok(()) };
        let policy = &plan.policy;
        if let Some(limit) = &policy.rate_limit {
            let taken = self.rates.take(&ctx.host, limit, ctx.client.address, &request.headers);
            taken.map_err(|wait| TOO_MANY.after(wait.as_secs().saturating_add(1).try_into().unwrap_or(u32::MAX)))?;
        }
        ctx.max_body = policy.max_body;
        let announced = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match (policy.max_body, announced) {
            (Some(most), Some(length)) if length > most => Err(TOO_LARGE),
            _ => Ok(()),
        }
    }

    /// Waits for the pool's turn, if it has no room.
    pub(super) async fn queue(&self, ctx: &mut Ctx) -> Result<(), Reply> {
        let (Some(plan), Some(_)) = (&ctx.plan, ctx.limits.concurrency.requests) else { return Ok(()) };
        match self.queues.turn(&plan.pool, ctx.limits.concurrency).await {
            Turn::Now => {
                ctx.ended = Some(Ended::of(Arc::clone(&self.queues), plan.pool.spec.key.clone()));
                Ok(())
            }
            Turn::Never => Err(OVERLOADED),
        }
    }
}

/// Ends a request whose body is longer than it may be, although it did not say so.
pub(super) fn check_body(ctx: &Ctx, received: u64) -> Result<()> {
    match ctx.max_body {
        Some(most) if received > most => Error::e_explain(BODY_TOO_LARGE, "the body is longer than the host takes"),
        _ => Ok(()),
    }
}
