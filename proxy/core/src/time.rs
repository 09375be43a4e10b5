//! Time as the core sees it: an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since a moment that the caller chose once and keeps; never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `sooner` before this one; the first one that can be told, if that was before it.
    #[must_use]
    pub fn before(self, sooner: Duration) -> Self {
        Self(self.0.saturating_sub(sooner.as_nanos() as u64))
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_nanos() as u64))
    }
}
