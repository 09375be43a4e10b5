//! Whether this edge should be sent clients.
//!
//! Everything that start-up must wait for holds a [`Guard`]; dropping it reports that part done, and `/readyz` names the
//! parts that still hold theirs. Readiness latches: once every guard is gone only a drain takes it back, since an edge
//! that loses an API server later serves on with what it knows, and must not be taken out of a load balancer for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Why an edge is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// Start-up still waits for these, in alphabetical order.
    Awaiting(Vec<&'static str>),
    /// It is going away.
    Draining,
}

#[derive(Debug, Default)]
struct State {
    awaiting: BTreeSet<&'static str>,
    draining: bool,
}

impl State {
    fn check(&self) -> Result<(), NotReady> {
        if self.draining {
            Err(NotReady::Draining)
        } else if self.awaiting.is_empty() {
            Ok(())
        } else {
            Err(NotReady::Awaiting(self.awaiting.iter().copied().collect()))
        }
    }
}

/// The readiness of the process; clones are of one and the same.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: Arc<watch::Sender<State>>,
}

impl Readiness {
    /// Ready once all of these parts are done. They are named at once, and never later, so that no early part can make
    /// the edge ready before a later one has asked to be waited for.
    pub fn awaiting<const N: usize>(parts: [&'static str; N]) -> (Self, [Guard; N]) {
        let state = State { awaiting: parts.into_iter().collect(), draining: false };
        let readiness = Self { state: Arc::new(watch::Sender::new(state)) };
        let guards = parts.map(|part| Guard { part, readiness: readiness.clone() });
        (readiness, guards)
    }

    /// Whether clients may come, or why not.
    pub fn check(&self) -> Result<(), NotReady> {
        self.state.borrow().check()
    }

    /// Waits until `part` alone is awaited, or nothing.
    pub async fn all_but(&self, part: &'static str) {
        let mut changes = self.state.subscribe();
        // The sender is `self`'s own.
        let _ = changes.wait_for(|state| state.awaiting.iter().all(|awaited| *awaited == part)).await;
    }

    /// Takes readiness back, for good.
    pub fn drain(&self) {
        self.state.send_modify(|state| state.draining = true);
    }

    /// Waits until clients may come; `false` if a drain comes first.
    pub async fn ready(&self) -> bool {
        let mut changes = self.state.subscribe();
        let settled = changes.wait_for(|state| state.draining || state.awaiting.is_empty()).await;
        settled.is_ok_and(|state| !state.draining)
    }
}

/// A part of start-up that is not done. Dropping it reports the part done, unless a panic drops it: a part that broke
/// is not done, and `/readyz` goes on naming it.
#[derive(Debug)]
#[must_use = "dropping the guard reports the part done"]
pub struct Guard {
    part: &'static str,
    readiness: Readiness,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.readiness.state.send_modify(|state| {
                state.awaiting.remove(self.part);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_guard_is_dropped() {
        let (readiness, [listeners, home]) = Readiness::awaiting(["listeners", "home cluster"]);
        assert_eq!(readiness.check(), Err(NotReady::Awaiting(vec!["home cluster", "listeners"])));
        drop(listeners);
        assert_eq!(readiness.check(), Err(NotReady::Awaiting(vec!["home cluster"])));
        drop(home);
        assert_eq!(readiness.check(), Ok(()));
    }

    #[test]
    fn a_drain_takes_readiness_back_for_good() {
        let (readiness, [part]) = Readiness::awaiting(["part"]);
        readiness.drain();
        assert_eq!(readiness.check(), Err(NotReady::Draining));
        drop(part);
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }

    #[tokio::test]
    async fn the_last_part_can_wait_for_all_others() {
        let (readiness, [listeners, home]) = Readiness::awaiting(["listeners", "home cluster"]);
        let ((), ()) = tokio::join!(readiness.all_but("listeners"), async { drop(home) });
        assert_eq!(readiness.check(), Err(NotReady::Awaiting(vec!["listeners"])));
        drop(listeners);
    }

    #[test]
    fn a_part_that_panicked_is_not_done() {
        let (readiness, [part]) = Readiness::awaiting(["part"]);
        let broken = std::thread::spawn(move || {
            let _part = part;
            panic!("the part breaks");
        });
        assert!(broken.join().is_err());
        assert_eq!(readiness.check(), Err(NotReady::Awaiting(vec!["part"])));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_part_is_done_or_a_drain_begins() {
        let (readiness, [part]) = Readiness::awaiting(["part"]);
        let (ready, ()) = tokio::join!(readiness.ready(), async { drop(part) });
        assert!(ready);
        let (readiness, [_part]) = Readiness::awaiting(["part"]);
        let (ready, ()) = tokio::join!(readiness.ready(), async { readiness.drain() });
        assert!(!ready);
    }
}
