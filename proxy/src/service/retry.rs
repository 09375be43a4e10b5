//! Whether a request whose try failed is tried again, and where. Pure.

/// How a try failed, after its connection stood.
// A record of independent facts, asked together: enums would only rename the bools.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// Whether the upstream side failed, rather than the client or the edge.
    pub(crate) upstream: bool,
    /// Whether a response had begun.
    pub(crate) answered: bool,
    /// Whether it was a pooled connection that broke in the way idle connections do, or that the backend was ending in order
    /// (GOAWAY without an error).
    pub(crate) stale: bool,
    /// Whether the backend said that it did not process the request (`REFUSED_STREAM`, GOAWAY; RFC 9113 section 8.7).
    pub(crate) refused: bool,
    /// Whether the method is idempotent (RFC 9110 section 9.2.2).
    pub(crate) idempotent: bool,
    /// Whether all of the body that was sent is still there to be sent again.
    pub(crate) replayable: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Tell the client.
    GiveUp,
    /// Try the same endpoint, over another connection: nothing is known against it.
    Again,
    /// Try the next candidate.
    Next,
}

impl Failure {
    /// What to do.
    pub(crate) fn verdict(self) -> Verdict {
        if !self.upstream || self.answered || !self.replayable {
            Verdict::GiveUp
        } else if self.stale && (self.idempotent || self.refused) {
            Verdict::Again
        } else if self.refused || self.idempotent {
            Verdict::Next
        } else {
            Verdict::GiveUp
        }
    }

    /// Whether the endpoint is to blame.
    pub(crate) fn blames(self) -> bool {
        self.upstream && !self.answered && !self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Failure =
        Failure { upstream: true, answered: false, stale: false, refused: false, idempotent: true, replayable: true };

    #[test]
    fn a_reset_is_tried_elsewhere_only_if_the_method_is_idempotent() {
        assert_eq!(RESET.verdict(), Verdict::Next);
        assert_eq!(Failure { idempotent: false, ..RESET }.verdict(), Verdict::GiveUp);
    }

    #[test]
    fn what_was_never_processed_is_tried_elsewhere_whatever_the_method() {
        assert_eq!(Failure { refused: true, idempotent: false, ..RESET }.verdict(), Verdict::Next);
    }

    #[test]
    fn a_stale_pooled_connection_is_nobodys_fault() {
        let stale = Failure { stale: true, ..RESET };
        assert_eq!(stale.verdict(), Verdict::Again);
        assert!(!stale.blames());
        assert_eq!(Failure { idempotent: false, ..stale }.verdict(), Verdict::GiveUp);
        assert!(RESET.blames());
    }

    /// A backend that ages its connections has nothing against the request, and may be the only one.
    #[test]
    fn what_a_connection_that_was_ending_did_not_take_goes_to_the_same_backend_over_another() {
        let left = Failure { stale: true, refused: true, idempotent: false, ..RESET };
        assert_eq!(left.verdict(), Verdict::Again);
        assert!(!left.blames());
    }

    #[test]
    fn nothing_is_tried_twice_once_it_cannot_be_taken_back() {
        for failure in [
            Failure { answered: true, ..RESET },
            Failure { replayable: false, refused: true, ..RESET },
            Failure { upstream: false, ..RESET },
        ] {
            assert_eq!(failure.verdict(), Verdict::GiveUp, "{failure:?}");
        }
    }

    #[test]
    fn a_client_that_leaves_is_not_held_against_the_endpoint() {
        assert!(!Failure { upstream: false, ..RESET }.blames());
    }
}
