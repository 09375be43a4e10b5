//! How long a cluster is believed without news of it: `clusters.<c>.maxStale`.
//!
//! What a cluster held last serves on while its API server is silent. But pods go on being replaced there, and their
//! addresses are given to others; an endpoint that is believed for too long leads to somebody else's pod. Routes lead to no
//! address, and are kept.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::Config;

use crate::cluster::{ClusterState, Freshness};
use crate::diagnostics::{Diagnostic, Severity};
use crate::time::Nanos;

/// What is believed at some moment.
#[derive(Clone, Debug)]
pub struct Believed {
    /// The states; of clusters that were silent for too long without their endpoints, which a diagnostic says.
    pub states: Vec<ClusterState>,
    /// When less will be believed, if nothing is heard until then.
    pub until: Option<Nanos>,
}

/// What of `states` is to be believed at `now`.
pub fn believed(config: &Config, states: &[ClusterState], now: Nanos) -> Believed {
    let mut until: Option<Nanos> = None;
    let judge = |state: &ClusterState| {
        let max_stale = config.clusters.iter().find(|cluster| cluster.id == state.cluster).and_then(|cluster| cluster.max_stale);
        let (Freshness::Stale(since), Some(max_stale)) = (state.freshness, max_stale) else { return state.clone() };
        let end = since.after(max_stale);
        if now < end {
            until = Some(until.map_or(end, |sooner| sooner.min(end)));
            return state.clone();
        }
        let mut diagnostics = state.diagnostics.to_vec();
        diagnostics.push(expired(state, max_stale));
        ClusterState { endpoints: Arc::default(), diagnostics: Arc::new(diagnostics), ..state.clone() }
    };
    let states = states.iter().map(judge).collect();
    Believed { states, until }
}

fn expired(state: &ClusterState, max_stale: Duration) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        cluster: Some(state.cluster.clone()),
        object: "configuration".into(),
        field: format!("clusters.{}.maxStale", state.cluster),
        problem: format!(
            "the cluster was not heard of for {} s, and its endpoints are used no more: their addresses may be others' by now",
            max_stale.as_secs()
        ),
        remedy: "see why its API server is silent; a longer `maxStale`, or `forever`, brings them back at that risk".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AWS, AZURE, World, world};

    const HOUR: Duration = Duration::from_hours(1);

    /// Azure is silent since then, and believed for an hour.
    fn silent(since: Nanos) -> World {
        let mut world = world().shop([1, 1, 0]);
        world.states[AZURE].freshness = Freshness::Stale(since);
        world.config.clusters[AZURE].max_stale = Some(HOUR);
        world
    }

    fn at(world: &World, now: Nanos) -> (Believed, [usize; 2]) {
        let believed = believed(&world.config, &world.states, now);
        let endpoints = [AWS, AZURE].map(|cluster| believed.states[cluster].endpoints.len());
        (believed, endpoints)
    }

    #[test]
    fn endpoints_are_believed_to_the_end_and_no_longer() {
        let world = silent(Nanos(7));
        let end = Nanos(7).after(HOUR);
        let (before, endpoints) = at(&world, Nanos(end.0 - 1));
        assert_eq!((endpoints, before.until, before.states[AZURE].diagnostics.len()), ([1, 1], Some(end), 0));
        let (after, endpoints) = at(&world, end);
        assert_eq!((endpoints, after.until, after.states[AZURE].diagnostics.len()), ([1, 0], None, 1));
        assert_eq!(after.states[AZURE].objects, world.states[AZURE].objects, "routes lead to no address");
    }

    #[test]
    fn forever_is_forever() {
        let mut world = silent(Nanos(0));
        world.config.clusters[AZURE].max_stale = None;
        let (believed, endpoints) = at(&world, Nanos(u64::MAX));
        assert_eq!((endpoints, believed.until), ([1, 1], None));
    }

    #[test]
    fn who_is_heard_does_not_age_and_the_first_to_end_is_told() {
        let mut world = silent(Nanos(50));
        world.config.clusters[AWS].max_stale = Some(HOUR);
        assert_eq!(at(&world, Nanos(u64::MAX)).1, [1, 0]);
        world.states[AWS].freshness = Freshness::Stale(Nanos(9));
        assert_eq!(at(&world, Nanos(60)).0.until, Some(Nanos(9).after(HOUR)));
    }
}
