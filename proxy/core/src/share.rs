//! The arithmetic of shares: which part of a pool's requests each cluster gets.
//!
//! Tiers fill like Envoy's priority levels: each takes as much of what is left as its health allows, with some
//! overprovisioning so that a few missing endpoints do not send people across an ocean. Inside a tier clusters split by
//! weight.

/// Tiers by preference, each a list of cluster indices.
pub type Tiers = Box<[Box<[usize]>]>;

/// The distinct tier lists of all policies; policies name them by position.
pub type Rows = [Tiers];

/// How many more requests the healthy part of a tier is trusted with, before it spills: with 1.4, a tier serves everything
/// until fewer than 5 in 7 of its endpoints are ready.
pub const OVERPROVISIONING: f64 = 1.4;

/// What a cluster brings to a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Endpoints in rotation. A fraction while a cluster recovers.
    pub ready: f64,
    /// Endpoints that should be in rotation.
    pub total: f64,
    /// Its weight inside a tier; only ratios matter.
    pub weight: f64,
}

/// Writes each cluster's share into `shares` (by cluster index): they sum to 1, or all are 0 when nobody can serve.
///
/// `tiers` lists cluster indices by preference. For each tier h = min(1, 1.4 x ready / total), load = min(what is left, h);
/// where the sum over all tiers stays below 1, everything is divided by it. A tier with total 0 is no candidate.
pub fn shares(tiers: &[Box<[usize]>], capacity: &[Capacity], shares: &mut [f64]) {
    shares.fill(0.0);
    let mut left = 1.0;
    for tier in tiers {
        let members = || tier.iter().copied();
        let (ready, total, weight) =
            members().map(|c| capacity[c]).fold((0.0, 0.0, 0.0), |(r, t, w), c| (r + c.ready, t + c.total, w + c.weight));
        if total <= 0.0 || weight <= 0.0 {
            continue;
        }
        let health = (OVERPROVISIONING * ready / total).min(1.0);
        let load = f64::min(left, health);
        left -= load;
        for c in members() {
            shares[c] = load * capacity[c].weight / weight;
        }
    }
    let sum = 1.0 - left;
    if sum > 0.0 && sum < 1.0 {
        for share in shares.iter_mut() {
            *share /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(ready: f64, total: f64) -> Capacity {
        Capacity { ready, total, weight: ready }
    }

    fn run(tiers: &[&[usize]], capacity: &[Capacity]) -> Vec<f64> {
        let mut out = vec![0.0; capacity.len()];
        let tiers: Tiers = tiers.iter().map(|&tier| tier.into()).collect();
        shares(&tiers, capacity, &mut out);
        out
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} is not {expected:?}");
    }

    #[test]
    fn a_healthy_first_tier_takes_everything() {
        close(&run(&[&[0], &[1]], &[cluster(10.0, 10.0), cluster(10.0, 10.0)]), &[1.0, 0.0]);
    }

    #[test]
    fn a_few_missing_endpoints_do_not_spill() {
        close(&run(&[&[0], &[1]], &[cluster(8.0, 10.0), cluster(10.0, 10.0)]), &[1.0, 0.0]);
    }

    #[test]
    fn two_tiers_half_ready() {
        close(&run(&[&[0], &[1]], &[cluster(5.0, 10.0), cluster(5.0, 10.0)]), &[0.7, 0.3]);
    }

    #[test]
    fn too_little_everywhere_is_divided_by_its_sum() {
        close(&run(&[&[0], &[1]], &[cluster(2.0, 10.0), cluster(1.0, 10.0)]), &[2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn an_empty_tier_is_no_candidate() {
        close(&run(&[&[0], &[1]], &[cluster(0.0, 0.0), cluster(3.0, 3.0)]), &[0.0, 1.0]);
    }

    #[test]
    fn nobody_ready_is_nobody_chosen() {
        close(&run(&[&[0], &[1]], &[cluster(0.0, 4.0), cluster(0.0, 0.0)]), &[0.0, 0.0]);
    }

    #[test]
    fn inside_a_tier_clusters_split_by_weight() {
        let twice = Capacity { ready: 4.0, total: 4.0, weight: 2.0 };
        let once = Capacity { ready: 4.0, total: 4.0, weight: 1.0 };
        close(&run(&[&[0, 1]], &[twice, once]), &[2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn a_cluster_outside_every_tier_gets_nothing() {
        close(&run(&[&[1]], &[cluster(5.0, 5.0), cluster(5.0, 5.0)]), &[0.0, 1.0]);
    }
}
