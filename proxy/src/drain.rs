//! How an edge ends: the phases that its connections follow, and the moment when none is left.
//!
//! ```text
//! Serving --SIGTERM, or a successor--> Draining --doors closed, nobody new can come--> Closing --> gone
//! ```
//!
//! A trigger and its watchers: [`Phase`] goes out by a watch channel, and [`Tally`] tells when what it counts has come down to
//! nothing. Both are events; nothing here looks at a clock, or twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Where an edge stands; it never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    #[default]
    Serving,
    /// Each connection ends with its next response: HTTP/2 is told by GOAWAY, HTTP/1.1 by `Connection: close`.
    Draining,
    /// Connections on which no request is under way end now.
    Closing,
}

/// Counts what is under way, and tells when nothing is. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    none: Notify,
}

/// Counted until it is dropped.
#[derive(Debug)]
#[must_use = "what is counted ends when this is dropped"]
pub struct Counted(Arc<Inner>);

impl Tally {
    /// Counts one more.
    pub fn one(&self) -> Counted {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn none(&self) {
        loop {
            let none = self.0.none.notified();
            tokio::pin!(none);
            // From here on no end is missed.
            none.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Release) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_last_one() {
        let tally = Tally::default();
        tally.none().await;
        let (first, second) = (tally.one(), tally.clone().one());
        assert_eq!(tally.count(), 2);
        let mut waiting = std::pin::pin!(tally.none());
        drop(first);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(second);
        waiting.await;
    }

    #[test]
    fn phases_come_in_this_order() {
        assert!(Phase::Serving < Phase::Draining && Phase::Draining < Phase::Closing);
    }
}
