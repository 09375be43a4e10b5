//! Whether a cloud is dead, or only the way to it from here: what edges tell each other of what they see.
//!
//! One edge that cannot reach a cloud knows nothing more than that. With each ping it hears how other edges see every
//! cluster. Where a majority of fresh views from at least two clusters agree that nobody reaches the cloud, it is dead; where
//! others do reach it, the link from here is. With views of one cluster only, as in a fleet of two, nobody can tell.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_config::ClusterId;
use serde::{Deserialize, Serialize};

use crate::link::InstanceId;
use crate::time::Nanos;

/// Views older than this say nothing: an edge is asked every second, and three misses are an end.
pub const FRESH: Duration = Duration::from_secs(5);

/// How one edge sees a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// It reaches one of its edges, or is one of them.
    Alive,
    /// It has reached some of its edges, and now reaches none.
    Dead,
    /// It never reached any.
    #[serde(other)]
    Unknown,
}

/// What an edge said of all clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Who said it.
    pub instance: InstanceId,
    /// Where that edge lives.
    pub cluster: ClusterId,
    /// When it was heard.
    pub heard: Nanos,
    /// What it said.
    pub views: BTreeMap<ClusterId, View>,
}

/// What is to be made of all views of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is reached from here.
    Alive,
    /// It is not reached from here, and a majority of views from at least two clusters agree.
    CloudDead,
    /// It is not reached from here, and a majority of the others do reach it.
    LinkDead,
    /// It is not reached from here, and there are too few views to tell why.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Alive, Self::CloudDead, Self::LinkDead, Self::Unknown];

    /// As a metric's label has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::CloudDead => "cloud_dead",
            Self::LinkDead => "link_dead",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges one cluster. `own` is how this edge, at home in `home`, sees it; `reports` are what others said.
pub fn judge(cluster: &ClusterId, home: &ClusterId, own: View, reports: &[Report], now: Nanos) -> Verdict {
    if own == View::Alive {
        return Verdict::Alive;
    }
    let fresh = reports.iter().filter(|report| now.since(report.heard) <= FRESH && report.cluster != *cluster);
    let said = fresh.filter_map(|report| Some((&report.cluster, *report.views.get(cluster)?)));
    let views: Vec<(&ClusterId, View)> = said.chain([(home, own)]).filter(|(_, view)| *view != View::Unknown).collect();
    let of = |wanted: View| views.iter().filter(move |(_, view)| *view == wanted);
    let (alive, dead) = (of(View::Alive).count(), of(View::Dead).count());
    let mut dead_from: Vec<&ClusterId> = of(View::Dead).map(|(from, _)| *from).collect();
    dead_from.sort();
    dead_from.dedup();
    if dead > alive && dead_from.len() >= 2 {
        Verdict::CloudDead
    } else if alive > 0 && alive >= dead {
        Verdict::LinkDead
    } else {
        Verdict::Unknown
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Nanos = Nanos(100_000_000_000);

    fn id(name: &str) -> ClusterId {
        name.parse().unwrap()
    }

    fn report(n: u128, cluster: &str, azure: View) -> Report {
        Report { instance: InstanceId::of(n), cluster: id(cluster), heard: NOW, views: BTreeMap::from([(id("azure"), azure)]) }
    }

    fn judged(own: View, reports: &[Report]) -> Verdict {
        judge(&id("azure"), &id("aws"), own, reports, NOW)
    }

    #[test]
    fn what_is_reached_is_alive_whatever_others_say() {
        let reports = [report(1, "google", View::Dead), report(2, "google", View::Dead)];
        assert_eq!(judged(View::Alive, &reports), Verdict::Alive);
    }

    #[test]
    fn a_cloud_is_dead_when_two_clusters_agree() {
        assert_eq!(judged(View::Dead, &[report(1, "google", View::Dead)]), Verdict::CloudDead);
    }

    #[test]
    fn where_others_reach_it_the_link_is_dead() {
        assert_eq!(judged(View::Dead, &[report(1, "google", View::Alive)]), Verdict::LinkDead);
        let majority = [report(1, "google", View::Alive), report(2, "google", View::Alive), report(3, "google", View::Dead)];
        assert_eq!(judged(View::Dead, &majority), Verdict::LinkDead, "two and two: somebody reaches it");
    }

    #[test]
    fn one_cluster_alone_cannot_tell() {
        assert_eq!(judged(View::Dead, &[]), Verdict::Unknown);
        assert_eq!(judged(View::Dead, &[report(1, "aws", View::Dead), report(2, "aws", View::Dead)]), Verdict::Unknown);
    }

    #[test]
    fn a_cluster_has_no_voice_in_its_own_matter() {
        assert_eq!(judged(View::Dead, &[report(1, "azure", View::Alive)]), Verdict::Unknown);
    }

    #[test]
    fn old_views_and_those_of_edges_that_never_saw_it_say_nothing() {
        let old = Report { heard: Nanos(NOW.0 - 6_000_000_000), ..report(1, "google", View::Dead) };
        assert_eq!(judged(View::Dead, &[old]), Verdict::Unknown);
        assert_eq!(judged(View::Dead, &[report(1, "google", View::Unknown)]), Verdict::Unknown);
    }
}
