//! Why a request went to another cluster than those that its client prefers.

use serde::Serialize;

use super::{Plan, Step};
use crate::pool::Member;
use crate::time::Nanos;

/// Why no cluster of the first tier was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Spill {
    /// None of them has an endpoint of this Service.
    Absent,
    /// None of them has one in rotation, or they are left alone.
    Unhealthy,
    /// What of them is ready cannot bear everything, or they recover: a part goes elsewhere.
    Share,
    /// A try there failed.
    Failed,
    /// The client's session is elsewhere.
    Session,
}

impl Spill {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Absent, Self::Unhealthy, Self::Share, Self::Failed, Self::Session];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unhealthy => "unhealthy",
            Self::Share => "share",
            Self::Failed => "failed",
            Self::Session => "session",
        }
    }
}

impl std::fmt::Display for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "no cluster of the first tier has an endpoint of this Service",
            Self::Unhealthy => "no cluster of the first tier has an endpoint in rotation",
            Self::Share => "the first tier cannot bear everything now, and a part goes elsewhere",
            Self::Failed => "a try in the first tier failed",
            Self::Session => "the client's session is elsewhere",
        })
    }
}

impl Plan {
    /// Why the candidate that was drawn last is in `cluster`, if that is none of the first tier.
    pub(super) fn spill(&self, cluster: usize, step: Step, now: Nanos) -> Option<Spill> {
        let first = self.tiers().first().filter(|tier| self.only.is_none() && !tier.contains(&cluster))?;
        if step == Step::Sticky {
            return Some(Spill::Session);
        }
        let before = &self.tried.drawn[..self.tried.count.saturating_sub(1)];
        if before.iter().any(|(tried, _)| first.contains(&usize::from(*tried))) {
            return Some(Spill::Failed);
        }
        let members = || first.iter().map(|&preferred| &self.pool.members[preferred]);
        if members().all(|member| member.endpoints.is_empty()) {
            return Some(Spill::Absent);
        }
        Some(if members().any(|member| serves(member, now)) { Spill::Share } else { Spill::Unhealthy })
    }
}

fn serves(member: &Member, now: Nanos) -> bool {
    let well =
        |e: &&crate::pool::PoolEndpoint| e.ready && e.reachable() && !e.cell.ejected(now) && !e.cell.silent(&member.cell, now);
    member.cell.closed(now).is_none() && member.endpoints.iter().any(|e| well(&e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::*;

    /// Of the candidates that are drawn for a client at home, each one's cluster and reason.
    fn drawn(world: &World, tries: usize) -> Vec<(usize, Option<Spill>)> {
        let mut plan = world.plan("www.example.com", "/", None, 3);
        (0..tries).map_while(|_| plan.next(world.now)).map(|c| (c.cluster, c.spill)).collect()
    }

    #[test]
    fn who_is_served_where_it_prefers_has_no_reason() {
        assert_eq!(drawn(&world().shop([2, 1, 0]), 1), [(AWS, None)]);
    }

    #[test]
    fn each_reason_is_told() {
        assert_eq!(drawn(&world().shop([0, 1, 0]), 1), [(AZURE, Some(Spill::Absent))]);
        assert_eq!(drawn(&world().shop([1, 1, 0]), 2), [(AWS, None), (AZURE, Some(Spill::Failed))]);
        let mut dark = world().shop([1, 1, 0]);
        dark.snapshot.pools[0].members[AWS].cell.darken(dark.now);
        dark.pass(0.1);
        assert_eq!(drawn(&dark, 1), [(AZURE, Some(Spill::Unhealthy))]);
        let world = world().shop([1, 1, 0]);
        let mut plan = world.plan("www.example.com", "/", None, 3);
        let tag = world.snapshot.pools[0].members[AZURE].endpoints[0].tag;
        plan.stick(&id("azure"), tag);
        assert_eq!(plan.next(world.now).unwrap().spill, Some(Spill::Session));
    }

    #[test]
    fn a_tier_that_cannot_bear_everything_spills_by_share() {
        let mut world = world().shop([10, 10, 0]);
        let unready = |n| crate::cluster::Endpoint { ready: n < 2, ..endpoint(AWS, n) };
        world.endpoints(AWS, "shop/web", (0..10).map(unready).collect()).compile();
        let spilled = |seed| {
            let candidate = world.plan("www.example.com", "/", None, seed).next(world.now).unwrap();
            (candidate.cluster == AZURE).then_some(candidate.spill)
        };
        let reasons: Vec<_> = (0..50).filter_map(spilled).collect();
        assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == Some(Spill::Share)), "{reasons:?}");
    }
}
