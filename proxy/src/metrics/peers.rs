//! The edges of other clusters, and how the clusters are seen: as they were published last.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use causeway_config::ClusterId;
use causeway_core::ClusterPeers;
use causeway_core::agreement::Verdict;
use causeway_core::link::LinkState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::state::gauge;

const STATES: [(&str, LinkState); 3] = [("up", LinkState::Up), ("suspended", LinkState::Suspended), ("down", LinkState::Down)];

#[derive(Debug)]
struct Facts {
    cluster: ClusterId,
    links: [(&'static str, u64); 3],
    rtt: Option<f64>,
}

/// What was published last.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: ArcSwap<Vec<Facts>>,
    seen: ArcSwap<Vec<(ClusterId, Verdict)>>,
}

impl Peers {
    pub(super) fn set(&self, known: &[ClusterPeers], seen: &[(ClusterId, Verdict)]) {
        let facts = known.iter().map(|known| {
            let count = |wanted| known.peers.iter().filter(|peer| peer.link.state() == wanted).count() as u64;
            let rtts = known.peers.iter().filter(|peer| peer.link.is_up()).filter_map(|peer| peer.link.rtt());
            Facts {
                cluster: known.cluster.clone(),
                links: STATES.map(|(name, state)| (name, count(state))),
                rtt: rtts.min().map(|rtt| rtt.as_secs_f64()),
            }
        });
        self.known.store(Arc::new(facts.collect()));
        self.seen.store(Arc::new(seen.to_vec()));
    }
}

impl Collector for Peers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.known.load_full();
        let links = known
            .iter()
            .flat_map(|facts| facts.links.map(|(state, count)| ([("cluster", facts.cluster.as_str()), ("state", state)], count)));
        gauge(&mut encoder, "peer_links", "Edges of another cluster that are known, by the state of the way there.", links)?;
        let rtts = known.iter().filter_map(|facts| Some(([("cluster", facts.cluster.as_str())], facts.rtt?)));
        gauge(&mut encoder, "peer_rtt_seconds", "The round trip to the nearest edge of a cluster, as pings measure it.", rtts)?;
        let seen = self.seen.load_full();
        let verdicts = seen.iter().flat_map(|(cluster, verdict)| {
            Verdict::ALL.map(|v| ([("cluster", cluster.as_str()), ("verdict", v.as_str())], u64::from(v == *verdict)))
        });
        gauge(&mut encoder, "cluster_verdict", "What all edges' views of a cluster say: 1 for yes.", verdicts)
    }
}
