//! Tries that failed: who is to blame, and whether there will be another one. What follows from what is decided in `retry`.

use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, RetryType};

use super::retry::{Failure, Verdict};
use super::{Proxy, RETRIED_STATUS, crossing};
use crate::ctx::Ctx;
use crate::metrics::RetryReason;

impl Proxy {
    /// The try found no connection, so nothing was sent: any request may be tried elsewhere (the engine would not).
    #[allow(clippy::unnecessary_box_returns, reason = "as the engine hands them about")]
    pub(super) fn no_connection(&self, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        if ctx.is_ping() {
            crossing::blame(ctx, &error);
            // What was kept and has ended is no sign of anything.
            error.set_retry(ctx.tries.made < 2 && !matches!(error.etype(), ErrorType::ConnectTimedout));
            return error;
        }
        self.unconnected(ctx, &mut error);
        error
    }

    /// Notes a try that found no connection, and whether there will be another one.
    pub(super) fn unconnected(&self, ctx: &mut Ctx, error: &mut Error) {
        if let Some(current) = &mut ctx.current {
            current.attempt.failed(self.shared.clock.now());
        }
        ctx.tries.unconnected += 1;
        error.set_retry(self.retry(ctx, Verdict::Next, RetryReason::Connect));
    }

    /// The try failed after its connection stood.
    #[allow(clippy::unnecessary_box_returns, reason = "as the engine hands them about")]
    pub(super) fn broke(&self, session: &Session, mut error: Box<Error>, ctx: &mut Ctx, reused: bool) -> Box<Error> {
        if matches!(error.etype(), &RETRIED_STATUS) {
            // Decided when the response's header came.
            error.set_retry(true);
            return error;
        }
        let now = self.shared.clock.now();
        let overdue = ctx.overdue();
        if overdue {
            // What the engine saw is a connection that ended.
            error.etype = ErrorType::ReadTimedout;
        }
        if ctx.is_ping() {
            crossing::blame(ctx, &error);
            error.set_retry(reused && ctx.tries.made < 2);
            return error;
        }
        if ctx.unserved {
            ctx.tries.unconnected += 1;
        }
        let failure = Failure {
            upstream: *error.esource() == ErrorSource::Upstream || ctx.unserved,
            answered: ctx.answered(),
            stale: reused && !overdue && !ctx.was_ended() && (error.retry == RetryType::ReusedOnly || goes_away(&error)),
            refused: error.retry == RetryType::Decided(true) || ctx.unserved,
            idempotent: session.req_header().method.is_idempotent(),
            replayable: !session.as_ref().retry_buffer_truncated(),
        };
        ctx.tries.stale += u32::from(failure.stale);
        if failure.blames()
            && let Some(current) = &mut ctx.current
        {
            if overdue {
                ctx.tries.overdue(&mut current.attempt, ctx.plan.as_mut(), now);
            } else {
                current.attempt.failed(now);
            }
        }
        if ctx.is_cut_off()
            && let Some(plan) = &mut ctx.plan
        {
            // Other lanes there lead over the same link.
            plan.leave_cluster();
        }
        let reason = match error.etype() {
            _ if failure.refused || failure.stale => RetryReason::Refused,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => RetryReason::Timeout,
            _ => RetryReason::Reset,
        };
        // The engine panics where nobody decides.
        let verdict = match failure.verdict() {
            // Whoever decided to send it here decides where else to.
            Verdict::Next if ctx.hop => Verdict::GiveUp,
            verdict => verdict,
        };
        error.set_retry(self.retry(ctx, verdict, reason));
        error
    }

    /// Notes a failed try, and whether there will be another one.
    pub(super) fn retry(&self, ctx: &mut Ctx, verdict: Verdict, reason: RetryReason) -> bool {
        let now = self.shared.clock.now();
        let again = match verdict {
            Verdict::GiveUp => false,
            Verdict::Again => ctx.again(now),
            Verdict::Next => ctx.draw(now) && self.afford(ctx, reason),
        };
        if again {
            self.shared.metrics.retry(reason);
        }
        again
    }

    /// Whether the pool's budget pays for another try. Where nothing was asked of a backend it costs nothing.
    fn afford(&self, ctx: &Ctx, reason: RetryReason) -> bool {
        let free = matches!(reason, RetryReason::Connect | RetryReason::Refused);
        let paid = free || ctx.plan.as_ref().is_some_and(|plan| plan.pool.spend_retry());
        if !paid {
            self.shared.metrics.retry_denied();
        }
        paid
    }
}

/// Whether the backend was ending the connection in order, and did not take the request any more (RFC 9113 section 6.8).
fn goes_away(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<h2::Error>();
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
}
