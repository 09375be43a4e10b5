//! What a successor waits for besides its home: the links that the process before it had.
//!
//! Without them it would take over clients whose pods are in another cluster before it can reach one. A cluster that went dark
//! in the meantime must not keep it from serving, so the wait is short.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::link::LinkState;
use causeway_core::{ClusterPeers, Nanos};

use crate::readiness::Guard;

/// As long as the first answer on a lane may take, and a second for what comes before.
const PATIENCE: Duration = Duration::from_secs(4);

/// Links that are awaited.
pub(super) struct Links {
    wanted: BTreeSet<ClusterId>,
    until: Nanos,
    _awaited: Guard,
}

impl Links {
    /// Waits for links to these clusters from `now` on; the guard is dropped with it.
    pub(super) fn await_all(wanted: BTreeSet<ClusterId>, now: Nanos, awaited: Guard) -> Option<Self> {
        (!wanted.is_empty()).then(|| Self { wanted, until: now.after(PATIENCE), _awaited: awaited })
    }

    /// Whether nothing is left to wait for.
    pub(super) fn are_up(&self, peers: &[ClusterPeers]) -> bool {
        self.wanted.is_subset(&linked(peers))
    }

    /// Whether it is time to serve without them.
    pub(super) fn late(&self, now: Nanos) -> bool {
        self.until <= now
    }
}

/// The clusters to which a link is up.
pub(super) fn linked(peers: &[ClusterPeers]) -> BTreeSet<ClusterId> {
    let up = |known: &&ClusterPeers| known.peers.iter().any(|peer| peer.link.state() == LinkState::Up);
    peers.iter().filter(up).map(|known| known.cluster.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use causeway_core::link::{InstanceId, LinkCell};
    use causeway_core::peer::Peer;

    use super::*;
    use crate::readiness::Readiness;

    fn peers(cluster: &str, up: bool) -> ClusterPeers {
        let link = Arc::new(LinkCell::default());
        if up {
            link.answered(Duration::from_millis(1));
        }
        let peer = Peer { instance: InstanceId::of(1), address: "10.0.0.1:8444".parse().unwrap(), link };
        ClusterPeers { cluster: cluster.parse().unwrap(), peers: Arc::new(vec![peer]), counts: None }
    }

    #[test]
    fn every_link_of_the_process_before_is_awaited_for_a_while() {
        let (readiness, [guard]) = Readiness::awaiting(["links"]);
        let wanted = linked(&[peers("azure", true), peers("google", true), peers("lab", false)]);
        let links = Links::await_all(wanted, Nanos(0), guard).unwrap();
        assert!(!links.are_up(&[peers("azure", true), peers("google", false)]));
        assert!(links.are_up(&[peers("azure", true), peers("google", true)]));
        assert!(!links.late(Nanos(1)) && links.late(Nanos(0).after(PATIENCE)));
        assert!(readiness.check().is_err());
        drop(links);
        assert!(readiness.check().is_ok());
    }

    #[test]
    fn who_follows_nobody_waits_for_no_link() {
        let (readiness, [guard]) = Readiness::awaiting(["links"]);
        assert!(Links::await_all(BTreeSet::new(), Nanos(0), guard).is_none());
        assert!(readiness.check().is_ok());
    }
}
