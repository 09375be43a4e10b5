//! What an API server's source did, counted for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use causeway_core::time::Nanos;

use super::evidence::Evidence;
use super::fault::Cause;
use crate::translate::Kind;

/// The counters of one cluster's source. Read them at any time.
pub struct Stats {
    evidence: Evidence,
    /// When the last list or event came, plus one; 0: never.
    last_event: AtomicU64,
    events: AtomicU64,
    lists: [AtomicU64; Kind::ALL.len()],
    objects: [AtomicU64; Kind::ALL.len()],
    restarts: [AtomicU64; Cause::ALL.len()],
}

impl Stats {
    /// Counters at zero, beside the connection's own.
    pub fn new(evidence: Evidence) -> Self {
        Self {
            evidence,
            last_event: AtomicU64::default(),
            events: AtomicU64::default(),
            lists: Default::default(),
            objects: Default::default(),
            restarts: Default::default(),
        }
    }

    /// The connection's own counters: bytes, requests, watches.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// When the last list or event came.
    pub fn last_event(&self) -> Option<Nanos> {
        self.last_event.load(Ordering::Relaxed).checked_sub(1).map(Nanos)
    }

    /// The events since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Full lists by kind.
    pub fn lists(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.lists.iter().map(|count| count.load(Ordering::Relaxed));
        Kind::ALL.into_iter().zip(counts).filter(|(kind, _)| kind.watched())
    }

    /// Objects held by kind.
    pub fn objects(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.objects.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Watches and lists that ended other than by the server's closing them, by cause.
    pub fn restarts(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.restarts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// A kind was listed in full.
    pub fn listed(&self, kind: Kind, now: Nanos) {
        self.lists[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.last_event.store(now.0 + 1, Ordering::Relaxed);
    }

    pub(super) fn event(&self, now: Nanos) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.last_event.store(now.0 + 1, Ordering::Relaxed);
    }

    pub(super) fn holds(&self, kind: Kind, count: usize) {
        self.objects[kind as usize].store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn restarted(&self, cause: Cause) {
        self.restarts[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}
