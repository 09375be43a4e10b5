//! Policies: preferences to numbered tier lists, with fences and cluster states applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::{ClusterId, ClusterState as State, HostPolicy, Preference, Terminate, Tiers};

use super::fleet::Fleet;
use crate::distance::NEAR;
use crate::geo::{Preferences, Rule};
use crate::policy::{Policies, Policy, TlsPolicy};
use crate::share::{Rows, Tiers as Row};

pub(super) fn build(fleet: &Fleet<'_>) -> (Arc<Rows>, Policies) {
    let mut rows = Interner::default();
    let default = Arc::new(policy(fleet, &HostPolicy::default(), &mut rows));
    let declared =
        fleet.config.hosts.iter().map(|(host, declared)| (host.clone(), Arc::new(policy(fleet, declared, &mut rows)))).collect();
    (rows.rows.into(), Policies { declared, default })
}

/// Gives equal rows one number.
#[derive(Default)]
struct Interner {
    rows: Vec<Row>,
    numbers: BTreeMap<Row, usize>,
}

impl Interner {
    fn number(&mut self, row: Row) -> usize {
        *self.numbers.entry(row).or_insert_with_key(|row| {
            self.rows.push(row.clone());
            self.rows.len() - 1
        })
    }
}

fn policy(fleet: &Fleet<'_>, declared: &HostPolicy, rows: &mut Interner) -> Policy {
    let fence = declared.allow.as_deref();
    let prefer = declared.prefer.as_ref().unwrap_or(&fleet.config.geo.prefer);
    let inside = |fence: &[ClusterId]| fence.contains(&fleet.cluster(fleet.home).id);
    Policy {
        session: declared.session_persistence.clone(),
        preferences: preferences(fleet, prefer, fence, rows),
        tls: TlsPolicy {
            min_version: declared.min_tls.unwrap_or(fleet.config.tls.min_version),
            fence: fence.map(Arc::from),
            clients: declared.client_certificates.clone(),
            elsewhere: declared.terminate == Terminate::Inside && !fence.is_some_and(inside),
        },
        rate_limit: declared.rate_limit.clone(),
        max_body: declared.max_body,
        health_check: declared.health_check.clone(),
    }
}

fn preferences(fleet: &Fleet<'_>, prefer: &Preference, fence: Option<&[ClusterId]>, rows: &mut Interner) -> Preferences {
    let mut named = |tiers: &Tiers| rows.number(row(fleet, indices(fleet, tiers), fence));
    let subdivisions = prefer.subdivisions.iter().map(|(key, tiers)| (key.clone(), named(tiers))).collect();
    let mut countries = BTreeMap::new();
    for (continent, tiers) in &prefer.continents {
        let row = named(tiers);
        countries.extend(continent.countries().map(|country| (country, (row, Rule::Continent))));
    }
    for (country, tiers) in &prefer.countries {
        countries.insert(*country, (named(tiers), Rule::Country));
    }
    let default = match &prefer.default {
        Some(tiers) => (named(tiers), Rule::Default),
        None => (rows.number(row(fleet, Vec::new(), fence)), Rule::Nearest),
    };
    let unknown = rows.number(row(fleet, vec![vec![fleet.home]], fence));
    Preferences { subdivisions, countries, default, unknown }
}

fn indices(fleet: &Fleet<'_>, tiers: &Tiers) -> Vec<Vec<usize>> {
    let index = |id: &ClusterId| fleet.config.clusters.iter().position(|c| c.id == *id);
    tiers.iter().map(|tier| tier.iter().filter_map(index).collect()).collect()
}

/// A complete row: the named tiers, then everybody else nearest first, then those that drain or have no weight; only clusters that are on and
/// inside the fence.
fn row(fleet: &Fleet<'_>, mut tiers: Vec<Vec<usize>>, fence: Option<&[ClusterId]>) -> Row {
    let named: Vec<usize> = tiers.iter().flatten().copied().collect();
    let rest = fleet.order.iter().copied().filter(|c| !named.contains(c)).collect();
    tiers.extend(nearest(fleet, rest));
    let off = |&c: &usize| fleet.cluster(c).state == State::Off;
    let willing = |&c: &usize| fleet.cluster(c).state == State::Active && fleet.cluster(c).weight > 0.0;
    let unwilling = tiers.iter().flatten().copied().filter(|c| !willing(c) && !off(c)).collect();
    for tier in &mut tiers {
        tier.retain(willing);
    }
    tiers.push(unwilling);
    // What must stay inside a fence does not cross between clouds in plaintext either.
    let allowed = |c: &usize| fence.is_none_or(|fence| fence.contains(&fleet.cluster(*c).id) && !fleet.crosses_in_plaintext(*c));
    let inside = tiers.into_iter().map(|tier| tier.into_iter().filter(allowed).collect::<Box<[usize]>>());
    inside.filter(|tier| !tier.is_empty()).collect()
}

/// Groups clusters by distance from here: each tier holds those about as near as its nearest.
fn nearest(fleet: &Fleet<'_>, clusters: Vec<usize>) -> Vec<Vec<usize>> {
    let mut by_distance: Vec<(f64, usize)> = clusters.into_iter().map(|c| (fleet.distance_ms(c), c)).collect();
    by_distance.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut tiers: Vec<Vec<usize>> = Vec::new();
    let mut limit = f64::NEG_INFINITY;
    for (distance, cluster) in by_distance {
        match tiers.last_mut() {
            Some(tier) if distance <= limit => tier.push(cluster),
            _ => {
                // This close to the nearest one is as good as it.
                let (least, part) = NEAR;
                limit = distance + least.max(distance * part);
                tiers.push(vec![cluster]);
            }
        }
    }
    tiers
}
