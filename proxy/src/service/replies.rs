//! What the edge answers itself, where no request gets through.

use http::StatusCode;

use crate::ctx::Ctx;
use crate::metrics::RefusalReason;
use crate::reply::Reply;

pub(super) const MISDIRECTED: Reply = Reply::new(
    StatusCode::MISDIRECTED_REQUEST,
    RefusalReason::Misdirected,
    "this host is served over a connection of its own only",
);
pub(super) const BAD_PATH: Reply =
    Reply::new(StatusCode::BAD_REQUEST, RefusalReason::BadRequest, "the request's path is malformed or ambiguous");
pub(super) const CIRCLES: Reply =
    Reply::new(StatusCode::LOOP_DETECTED, RefusalReason::Loop, "an edge of this fleet has sent this request on before");
pub(super) const UNKNOWN_HOST: Reply = Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no route for this host");
pub(super) const UNKNOWN_PATH: Reply = Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no route for this path");
pub(super) const UNKNOWN_POOL: Reply =
    Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no route of this edge leads to this service");
pub(super) const STARTING: Reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::Starting, "this edge is starting");
pub(super) const NO_BACKEND: Reply =
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::NoBackend, "the route has no usable backend");
pub(super) const FENCED: Reply = Reply::new(
    StatusCode::SERVICE_UNAVAILABLE,
    RefusalReason::Fence,
    "nobody inside this host's residency fence can serve it now",
);
pub(super) const NO_ENDPOINT: Reply =
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::NoEndpoint, "no backend of this service can serve it now");

/// The answer when no candidate is left.
pub(super) fn exhausted(ctx: &Ctx) -> Reply {
    let fenced = ctx.plan.as_ref().is_some_and(|plan| plan.policy.tls.fence.is_some());
    if fenced { FENCED } else { NO_ENDPOINT }
}
