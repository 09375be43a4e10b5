//! `plan`: one request, one decision; and the candidates that it draws, one after the other.

use std::sync::Arc;

use causeway_config::{ClusterId, ClusterState as State};
use serde::Serialize;

use crate::cell::{Attempt, EndpointCell};
use crate::cluster::{AppProtocol, Freshness};
use crate::geo::{Location, Rule};
use crate::policy::Policy;
use crate::pool::{Member, Pool};
use crate::route::{PathMatch, Route};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The host in normal form: see [`normal_host`](crate::route::normal_host).
    pub host: &'a str,
    /// The path, without query; begins with `/`.
    pub path: &'a str,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// No route names the host, but some cluster has not been read yet, and may have one. Answered 503.
    #[error("no route for this host so far, and not every cluster has been read yet")]
    Starting,
    /// No route names the host. Answered 404.
    #[error("no route for this host")]
    UnknownHost,
    /// The host has routes, none of them for the path. Answered 404.
    #[error("no route for this path")]
    UnknownPath,
    /// The route's backend does not exist. Answered 503.
    #[error("the route has no usable backend: {0}")]
    NoBackend(Arc<str>),
}

/// The decision for one request. It holds what it needs and nothing of the snapshot, so that a long request keeps no old
/// snapshot alive.
#[derive(Debug)]
pub struct Plan {
    /// The rule that matched.
    pub route: Arc<Route>,
    /// Where it leads.
    pub pool: Arc<Pool>,
    /// What is special about the host.
    pub policy: Arc<Policy>,
    /// The row of the share table for this client, and the rule that chose it.
    pub row: (usize, Rule),
    clusters: Arc<[ClusterInfo]>,
    rng: fastrand::Rng,
    tried: Tried,
}

/// Decides where a request goes. `seed` is its randomness: equal arguments give equal plans.
pub fn plan(snapshot: &Snapshot, head: RequestHead<'_>, location: Option<&Location>, seed: u64) -> Result<Plan, Refusal> {
    let entry = snapshot
        .routes
        .hosts
        .find(head.host)
        .ok_or_else(|| if starting(snapshot) { Refusal::Starting } else { Refusal::UnknownHost })?;
    let (_, route) = entry.paths.find(head.path).ok_or(Refusal::UnknownPath)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let backend = route.draw(&mut rng).ok_or_else(|| Refusal::NoBackend("every weight is 0".into()))?;
    let position = backend.target.as_ref().map_err(|why| Refusal::NoBackend(Arc::clone(why)))?;
    // The policy goes by the host that was asked for, not by the pattern that matched: see `compile::hosts`.
    Ok(Plan {
        route: Arc::clone(route),
        pool: Arc::clone(&snapshot.pools[*position]),
        policy: Arc::clone(&entry.policy),
        row: entry.policy.preferences.row(location),
        clusters: Arc::clone(&snapshot.clusters),
        rng,
        tried: Tried::default(),
    })
}

/// Whether a cluster that might know the host has not been read yet.
fn starting(snapshot: &Snapshot) -> bool {
    let unread = |cluster: &ClusterInfo| cluster.freshness == Freshness::Syncing && cluster.state != State::Off;
    snapshot.clusters.is_empty() || snapshot.clusters.iter().any(unread)
}

/// The rule of a host and path, for tools that explain.
pub fn matched(snapshot: &Snapshot, head: RequestHead<'_>) -> Option<(String, PathMatch)> {
    let entry = snapshot.routes.hosts.find(head.host)?;
    let (path, _) = entry.paths.find(head.path)?;
    Some((entry.pattern.to_string(), path.clone()))
}

/// An endpoint to try.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Index of its cluster.
    pub cluster: usize,
    /// Name of its cluster.
    pub cluster_id: ClusterId,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// What it speaks.
    pub protocol: AppProtocol,
    /// How it was come by.
    pub step: Step,
    endpoint: Arc<EndpointCell>,
    member: Arc<crate::cell::ClusterCell>,
}

impl Candidate {
    /// Begins a try: from now until the guard is dropped the request is in flight there.
    pub fn begin(&self, now: Nanos) -> Attempt {
        Attempt::begin(Arc::clone(&self.endpoint), Arc::clone(&self.member), now)
    }

    /// What is known of the endpoint.
    pub fn cell(&self) -> &EndpointCell {
        &self.endpoint
    }
}

/// How a candidate was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Its cluster was drawn by share.
    Drawn,
    /// Nothing is ready anywhere the request may go, so the best of the rest was taken (panic).
    Panic,
    /// After a failure: another endpoint of the same cluster.
    SameCluster,
    /// After a failure: the next cluster of the client's order.
    NextCluster,
}

/// How many candidates a plan can ever draw.
const MOST: usize = 8;

/// What was drawn so far, in place: a request should not need the heap for it.
#[derive(Debug, Default)]
struct Tried {
    drawn: [(u16, u32); MOST],
    count: usize,
}

impl Tried {
    fn contains(&self, cluster: usize, endpoint: u32) -> bool {
        self.drawn[..self.count].contains(&(cluster as u16, endpoint))
    }

    fn times(&self, cluster: usize) -> usize {
        self.drawn[..self.count].iter().filter(|(c, _)| usize::from(*c) == cluster).count()
    }

    fn push(&mut self, cluster: usize, endpoint: u32) {
        self.drawn[self.count] = (cluster as u16, endpoint);
        self.count += 1;
    }
}

impl Plan {
    /// The next endpoint to try; `None` when no allowed one is left. Never one that was drawn before.
    ///
    /// First a cluster by share; after a failure another endpoint of that cluster, then the other clusters of its tier, then
    /// the next tiers, each once; then whatever was not tried.
    pub fn next(&mut self, now: Nanos) -> Option<Candidate> {
        if self.tried.count == MOST {
            return None;
        }
        let (cluster, endpoint, step) = if self.tried.count == 0 { self.first(now) } else { self.another(now) }?;
        self.tried.push(cluster, endpoint);
        let member = &self.pool.members[cluster];
        let chosen = &member.endpoints[endpoint as usize];
        Some(Candidate {
            cluster,
            cluster_id: self.clusters[cluster].id.clone(),
            address: chosen.address,
            protocol: self.pool.spec.protocol,
            step,
            endpoint: Arc::clone(&chosen.cell),
            member: Arc::clone(&member.cell),
        })
    }

    /// How many candidates were drawn.
    pub fn drawn(&self) -> usize {
        self.tried.count
    }

    /// The tiers for this client: cluster indices, best first.
    pub fn tiers(&self) -> &[Box<[usize]>] {
        &self.pool.shares.rows[self.row.0]
    }

    /// The share of each cluster for this client, by index.
    pub fn shares(&self) -> impl Iterator<Item = f64> + '_ {
        self.pool.shares.row(self.row.0)
    }

    fn first(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        let drawn = self.draw_cluster();
        let ready = drawn.and_then(|cluster| Some((cluster, self.pick(cluster, now)?, Step::Drawn)));
        // The cluster drawn can have lost its last endpoint since the tick.
        ready.or_else(|| self.in_order(now)).or_else(|| self.panic())
    }

    fn draw_cluster(&mut self) -> Option<usize> {
        let total: f64 = self.pool.shares.row(self.row.0).sum();
        if total <= 0.0 {
            return None;
        }
        let mut point = self.rng.f64() * total;
        let mut last = None;
        for (cluster, share) in self.pool.shares.row(self.row.0).enumerate().filter(|(_, share)| *share > 0.0) {
            last = Some(cluster);
            if point < share {
                break;
            }
            point -= share;
        }
        last
    }

    fn another(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        let first = usize::from(self.tried.drawn[0].0);
        if self.tried.count == 1
            && let Some(endpoint) = self.pick(first, now)
        {
            return Some((first, endpoint, Step::SameCluster));
        }
        self.in_order(now).or_else(|| self.panic())
    }

    /// An endpoint of the cluster tried least; among equals the client's own order, beginning at the tier drawn first.
    fn in_order(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        let pool = Arc::clone(&self.pool);
        let tiers = &pool.shares.rows[self.row.0];
        let first = usize::from(self.tried.drawn[0].0);
        let begin =
            if self.tried.count == 0 { 0 } else { tiers.iter().position(|tier| tier.contains(&first)).unwrap_or_default() };
        let order = || tiers[begin..].iter().chain(&tiers[..begin]).flat_map(|tier| tier.iter().copied());
        // The first cluster has had its second try, so others come before it until each has had one.
        let most = order().map(|c| self.tried.times(c)).max().unwrap_or_default();
        for times in 0..=most {
            for cluster in order().filter(|&c| self.tried.times(c) == times).collect::<Vec<_>>() {
                if let Some(endpoint) = self.pick(cluster, now) {
                    return Some((cluster, endpoint, Step::NextCluster));
                }
            }
        }
        None
    }

    /// Power of two choices (Mitzenmacher 2001) over cost, among the endpoints in rotation that were not drawn yet.
    fn pick(&mut self, cluster: usize, now: Nanos) -> Option<u32> {
        let member = &self.pool.members[cluster];
        let usable = |e: u32| !self.tried.contains(cluster, e) && !member.endpoints[e as usize].cell.ejected(now);
        let ready = &member.ready;
        match ready.len() {
            0 => return None,
            1 => return usable(ready[0]).then_some(ready[0]),
            _ => {}
        }
        let one = self.rng.usize(..ready.len());
        let other = (one + self.rng.usize(1..ready.len())) % ready.len();
        let cost = |e: u32| member.endpoints[e as usize].cell.cost(now);
        match (usable(ready[one]), usable(ready[other])) {
            (true, true) => Some(if cost(ready[other]) < cost(ready[one]) { ready[other] } else { ready[one] }),
            (true, false) => Some(ready[one]),
            (false, true) => Some(ready[other]),
            // Rare: both are out. Whoever is next in the circle will do.
            (false, false) => (1..ready.len()).map(|step| ready[(one + step) % ready.len()]).find(|&e| usable(e)),
        }
    }

    /// With nothing in rotation anywhere the request may go: ejected endpoints, and pods that still serve on their way out.
    /// Somebody who might answer is better than a certain 503.
    fn panic(&mut self) -> Option<(usize, u32, Step)> {
        let pool = Arc::clone(&self.pool);
        let hope = |member: &Member, e: u32| member.endpoints[e as usize].ready || member.endpoints[e as usize].last_resort;
        for &cluster in pool.shares.rows[self.row.0].iter().flat_map(|tier| tier.iter()) {
            let member = &pool.members[cluster];
            let count = member.endpoints.len();
            if count == 0 {
                continue;
            }
            let begin = self.rng.usize(..count);
            let found = (0..count)
                .map(|step| ((begin + step) % count) as u32)
                .find(|&e| hope(member, e) && !self.tried.contains(cluster, e));
            if let Some(endpoint) = found {
                return Some((cluster, endpoint, Step::Panic));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
