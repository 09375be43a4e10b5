//! Connections to other edges that a change of trust no longer covers.
//!
//! The engine verifies a certificate when a connection is made, and keeps of it a serial number and a digest. So what is revoked is
//! found at once. Whether an authority that was taken away had signed it, nobody can tell by these; but pings make new connections
//! under the new trust, and what is shown on them is covered: an old connection on which the same was shown stays. The
//! rest ends a few seconds later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::peer::lane::Lane;
use crate::peer::trust::Trust;

/// How long edges have to show under the new trust what they showed before: some pings.
const GRACE: Duration = Duration::from_secs(5);

/// What is left to do of a change of trust.
#[derive(Default)]
pub(super) struct Lapse {
    /// The authorities before.
    authorities: BTreeSet<Vec<u8>>,
    /// When connections end on which nothing was proven since.
    due: Option<Instant>,
}

impl Lapse {
    /// The trust has changed: ends what is revoked, or everything where there is no trust left.
    pub(super) fn changed(&mut self, trust: Option<&Arc<Trust>>, lanes: &[Arc<Lane>]) {
        let Some(trust) = trust else {
            for lane in lanes {
                lane.cut();
            }
            return;
        };
        let now: BTreeSet<Vec<u8>> = trust.fleet.authorities().iter().map(|der| der.to_vec()).collect();
        if !self.authorities.is_subset(&now) {
            self.due = Some(Instant::now() + GRACE);
        }
        self.authorities = now;
        for lane in lanes {
            lane.cut_where(|_, shown| shown.is_some_and(|shown| trust.fleet.is_revoked(&shown.serial, &shown.digest)));
        }
    }

    /// Ends what was not proven anew in time. To be called every second.
    pub(super) fn tick(&mut self, trust: Option<&Arc<Trust>>, lanes: &[Arc<Lane>]) {
        let Some(trust) = trust.filter(|_| self.due.is_some_and(|due| due <= Instant::now())) else { return };
        self.due = None;
        for lane in lanes {
            // The edges of a cluster share a certificate, whichever lane leads to them.
            let proven: Vec<_> =
                lanes.iter().filter(|other| other.cluster == lane.cluster).flat_map(|other| other.proven(trust.group)).collect();
            let ended = lane.cut_where(|group, shown| group != trust.group && !shown.is_some_and(|shown| proven.contains(shown)));
            if ended > 0 {
                tracing::info!(?lane, connections = ended, "ended: no authority that is trusted vouches for them any more");
            }
        }
    }
}
