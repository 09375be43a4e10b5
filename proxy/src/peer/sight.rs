//! How this edge sees the clusters, and what all views together say: for other edges, operators and metrics.

use std::collections::BTreeMap;

use causeway_config::ClusterId;
use causeway_core::agreement::{Report, Verdict, View, judge};
use causeway_core::link::LinkState;
use causeway_core::{ClusterPeers, Nanos};
use serde::Serialize;

/// The views of one moment.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// By cluster, home included.
    pub own: BTreeMap<ClusterId, View>,
    /// What others said.
    pub reports: Vec<Report>,
}

/// A cluster, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// How this edge sees it.
    pub view: View,
    /// What all views say.
    pub verdict: Verdict,
}

impl Sight {
    /// Looks at the links to each cluster's edges.
    pub fn new(home: &ClusterId, known: &[ClusterPeers], reports: Vec<Report>) -> Self {
        let view = |known: &ClusterPeers| {
            let mut links = known.peers.iter().map(|peer| peer.link.state());
            match (known.peers.is_empty(), links.any(|state| state != LinkState::Down)) {
                (true, _) => View::Unknown,
                (false, true) => View::Alive,
                (false, false) => View::Dead,
            }
        };
        let others = known.iter().map(|known| (known.cluster.clone(), view(known)));
        Self { own: others.chain([(home.clone(), View::Alive)]).collect(), reports }
    }

    /// Every cluster, judged.
    pub fn judged(&self, home: &ClusterId, now: Nanos) -> BTreeMap<ClusterId, Seen> {
        let seen = |(cluster, view): (&ClusterId, &View)| {
            (cluster.clone(), Seen { view: *view, verdict: judge(cluster, home, *view, &self.reports, now) })
        };
        self.own.iter().map(seen).collect()
    }
}
