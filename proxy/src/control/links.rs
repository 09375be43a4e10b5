//! What an edge waits for besides its home: links to other clusters.
//!
//! Without them it would be sent clients whose pods are in another cluster before it can reach one, and answer 503. A successor
//! waits for the links that the process before it had. Any other edge waits for a first answer of each cluster that is reached
//! through edges, or for the failure to get one. A dark cluster must not keep either from serving, so the wait is short.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_config::{self as config, Cluster, ClusterId, Config, Reach};
use causeway_core::link::LinkState;
use causeway_core::{ClusterPeers, Nanos};

use crate::readiness::Guard;

/// As long as the first answer on a lane may take, and a second for what comes before.
const PATIENCE: Duration = Duration::from_secs(4);

/// The same for an edge that follows nobody: one dark cluster costs every start of an edge so much, and no more.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// Links that are awaited.
pub(super) struct Links {
    wanted: BTreeSet<ClusterId>,
    /// Whether they were up a moment ago, and one failure says little.
    were_up: bool,
    until: Nanos,
    _awaited: Guard,
}

impl Links {
    /// Waits from `now` on for the links that the process before this one had; the guard is dropped with it.
    pub(super) fn of_predecessor(wanted: BTreeSet<ClusterId>, now: Nanos, awaited: Guard) -> Option<Self> {
        (!wanted.is_empty()).then(|| Self { wanted, were_up: true, until: now.after(PATIENCE), _awaited: awaited })
    }

    /// Waits from `now` on for the first word of, or about, each cluster that an edge at `home` reaches through edges.
    pub(super) fn first(config: &Config, home: &ClusterId, now: Nanos, awaited: Guard) -> Option<Self> {
        let reached = |c: &&Cluster| c.id != *home && c.reach == Reach::Edge && c.state != config::ClusterState::Off;
        let edges = config.clusters.iter().filter(reached).filter(|_| config.fleet.tls.is_some());
        let wanted: BTreeSet<_> = edges.map(|cluster| cluster.id.clone()).collect();
        (!wanted.is_empty()).then(|| Self { wanted, were_up: false, until: now.after(FIRST_PATIENCE), _awaited: awaited })
    }

    /// Whether nothing is left to wait for. `hopeless` are the clusters whose edges could not be reached, or cannot be found.
    pub(super) fn are_settled(&self, peers: &[ClusterPeers], hopeless: &BTreeSet<ClusterId>) -> bool {
        let up = linked(peers);
        self.wanted.iter().all(|cluster| up.contains(cluster) || (!self.were_up && hopeless.contains(cluster)))
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
    use std::path::Path;
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
        let links = Links::of_predecessor(wanted, Nanos(0), guard).unwrap();
        let google = BTreeSet::from(["google".parse().unwrap()]);
        assert!(!links.are_settled(&[peers("azure", true), peers("google", false)], &google), "it was up a moment ago");
        assert!(links.are_settled(&[peers("azure", true), peers("google", true)], &BTreeSet::new()));
        assert!(!links.late(Nanos(1)) && links.late(Nanos(0).after(PATIENCE)));
        assert!(readiness.check().is_err());
        drop(links);
        assert!(readiness.check().is_ok());
    }

    fn fleet(tls: &str) -> Config {
        let text = format!(
            "fleet: {{name: shop{tls}}}\nclusters:\n  aws: {{manifests: a}}\n  azure: {{manifests: b}}\n  google: {{manifests: c}}\n  \
             lab: {{manifests: d, state: off}}\n"
        );
        causeway_config::parse(text.as_bytes(), Path::new("causeway.yaml")).unwrap().config
    }

    #[test]
    fn who_follows_nobody_waits_for_a_first_word_of_each_cluster() {
        let (readiness, [guard]) = Readiness::awaiting(["links"]);
        let config = fleet(", tls: {ca: ca.crt, cert: tls.crt, key: tls.key}");
        let links = Links::first(&config, &"aws".parse().unwrap(), Nanos(0), guard).unwrap();
        assert!(!links.are_settled(&[peers("azure", true)], &BTreeSet::new()), "nothing is known of google");
        assert!(links.are_settled(&[peers("azure", true), peers("google", true)], &BTreeSet::new()));
        let google = BTreeSet::from(["google".parse().unwrap()]);
        assert!(links.are_settled(&[peers("azure", true), peers("google", false)], &google), "it is dark");
        assert!(!links.late(Nanos(1)) && links.late(Nanos(0).after(FIRST_PATIENCE)));
        drop(links);
        assert!(readiness.check().is_ok());
    }

    #[test]
    fn where_no_edge_can_be_reached_none_is_awaited() {
        let (readiness, [guard]) = Readiness::awaiting(["links"]);
        assert!(Links::first(&fleet(""), &"aws".parse().unwrap(), Nanos(0), guard).is_none());
        assert!(readiness.check().is_ok());
    }
}
