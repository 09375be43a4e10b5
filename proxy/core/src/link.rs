//! A link: the way to one peer edge, and what is measured of it.
//!
//! Whether the way works now is a measurement, and so lives in a [`LinkCell`] that all pools share. See [`peer`](crate::peer)
//! for who is at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Missed pings in a row after which a link is down.
pub const DOWN_AFTER: u32 = 3;

/// How much a new round trip counts against the average so far.
const SMOOTHING: f64 = 0.2;

/// Who an edge is: a text drawn at random when its process starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The longest that is taken from another edge.
    const LONGEST: usize = 64;

    /// The id of 128 random bits.
    pub fn of(random: u128) -> Self {
        Self(format!("{random:032x}").into())
    }

    /// An id as another edge says it: letters, digits and hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (plain && (1..=Self::LONGEST).contains(&text.len())).then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InstanceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many of a pool's pods are in rotation, and how many should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// In rotation.
    pub ready: u32,
    /// That should be.
    pub total: u32,
}

/// Whether the way to a peer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkState {
    /// Its last ping was answered.
    Up,
    /// Its last ping was not: nothing new is sent there.
    Suspended,
    /// Several pings in a row were not.
    Down,
}

/// What is known of the way to one peer: shared by all pools, written by the pings.
#[derive(Debug)]
pub struct LinkCell {
    misses: AtomicU32,
    /// Seconds, as bits; not a number until the first answer.
    rtt: AtomicU64,
    /// Whether the state changed since the last tick.
    touched: AtomicBool,
}

impl Default for LinkCell {
    /// Down until the first answer: nothing enters rotation before it was seen to work.
    fn default() -> Self {
        Self { misses: AtomicU32::new(DOWN_AFTER), rtt: AtomicU64::new(f64::NAN.to_bits()), touched: AtomicBool::new(false) }
    }
}

impl LinkCell {
    /// A ping was answered after `took`. Returns whether the state changed.
    pub fn answered(&self, took: Duration) -> bool {
        let (old, new) = (f64::from_bits(self.rtt.load(Relaxed)), took.as_secs_f64());
        let rtt = if old.is_nan() { new } else { old + (new - old) * SMOOTHING };
        self.rtt.store(rtt.to_bits(), Relaxed);
        self.note(self.misses.swap(0, Relaxed), 0)
    }

    /// A ping was not answered. Returns whether the state changed.
    pub fn missed(&self) -> bool {
        let before = self.misses.fetch_add(1, Relaxed);
        self.note(before, before.saturating_add(1))
    }

    /// A request that waited heard nothing, and neither did who asked after it. That is one miss, however many ask at once: only the
    /// pings count seconds. Returns whether the state changed.
    pub fn doubted(&self) -> bool {
        let before = self.misses.fetch_max(1, Relaxed);
        self.note(before, before.max(1))
    }

    /// The way is known to be gone: an end of trust, an address that no longer leads there.
    pub fn lost(&self) -> bool {
        self.note(self.misses.swap(DOWN_AFTER, Relaxed), DOWN_AFTER)
    }

    fn note(&self, before: u32, after: u32) -> bool {
        let changed = state(before) != state(after);
        if changed {
            self.touched.store(true, Relaxed);
        }
        changed
    }

    /// Whether the way works.
    pub fn state(&self) -> LinkState {
        state(self.misses.load(Relaxed))
    }

    /// Whether new requests are sent there.
    pub fn is_up(&self) -> bool {
        self.state() == LinkState::Up
    }

    /// The average round trip; `None` until the first answer.
    pub fn rtt(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(f64::from_bits(self.rtt.load(Relaxed))).ok()
    }

    /// Whether the state changed since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.load(Relaxed) && self.touched.swap(false, Relaxed)
    }
}

fn state(misses: u32) -> LinkState {
    match misses {
        0 => LinkState::Up,
        1..DOWN_AFTER => LinkState::Suspended,
        _ => LinkState::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_miss_suspends_three_are_down_and_one_answer_is_up() {
        let link = LinkCell::default();
        assert_eq!(link.state(), LinkState::Down, "nothing is sent where nothing has answered yet");
        assert!(link.answered(MS * 80));
        let seen: Vec<_> = (0..4).map(|_| (link.missed(), link.state())).collect();
        let (suspended, down) = (LinkState::Suspended, LinkState::Down);
        assert_eq!(seen, [(true, suspended), (false, suspended), (true, down), (false, down)]);
        assert!(link.answered(MS * 80) && link.is_up());
        assert!(!link.answered(MS * 80), "nothing changed");
    }

    #[test]
    fn however_many_doubt_it_at_once_it_is_suspended_and_not_down() {
        let link = LinkCell::default();
        link.answered(MS * 80);
        assert_eq!([link.doubted(), link.doubted(), link.doubted()], [true, false, false]);
        assert_eq!(link.state(), LinkState::Suspended);
    }

    #[test]
    fn round_trips_are_averaged() {
        let link = LinkCell::default();
        assert_eq!(link.rtt(), None);
        link.answered(MS * 100);
        link.answered(MS * 200);
        assert_eq!(link.rtt(), Some(MS * 120));
    }

    #[test]
    fn an_id_is_plain_text_of_bounded_length() {
        assert_eq!(InstanceId::of(0xab).as_str(), "000000000000000000000000000000ab");
        assert!(InstanceId::parse(InstanceId::of(u128::MAX).as_str()).is_some());
        for bad in ["", "a b", "a/b", "ü", &"x".repeat(65)] {
            assert_eq!(InstanceId::parse(bad), None, "{bad}");
        }
    }
}
