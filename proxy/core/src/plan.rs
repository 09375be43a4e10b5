//! `plan`: one request, one decision; and the candidates that it draws, one after the other.

mod spill;

use std::sync::Arc;

use causeway_config::{ClusterId, ClusterState as State};
use serde::Serialize;

use crate::cell::{Attempt, Due, EndpointCell};
use crate::cluster::{AppProtocol, BackendTls, Freshness};
use crate::geo::{Location, Rule};
use crate::link::InstanceId;
use crate::policy::Policy;
use crate::pool::{Member, Pool, PoolKey, Via};
use crate::route::{BadPath, PathMatch, Route};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

pub use spill::Spill;

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The host in normal form: see [`normal_host`](crate::route::normal_host).
    pub host: &'a str,
    /// The path as it came, without query.
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
    /// Of a peer: no route of this edge leads to the pool. Answered 404.
    #[error("no route that this edge accepts leads to {0}")]
    UnknownPool(PoolKey),
    /// Of a peer: this cluster is outside the host's fence. Answered 503.
    #[error("this cluster is outside the host's residency fence")]
    Fenced,
    /// The path is none, or could mean another one to a backend. Answered 400.
    #[error("{0}")]
    BadPath(#[from] BadPath),
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
    /// The path in normal form, where it came in another: what a backend shall receive.
    pub path: Option<Box<str>>,
    /// What is special about the host.
    pub policy: Arc<Policy>,
    /// The row of the share table for this client, and the rule that chose it.
    pub row: (usize, Rule),
    clusters: Arc<[ClusterInfo]>,
    /// The only cluster whose endpoints are drawn, if there is one.
    only: Option<usize>,
    /// Whether the second try shall not be in the cluster of the first.
    leaves: bool,
    /// Where the client's session is.
    session: Option<(usize, u64)>,
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
    let matched = entry.paths.matching(head.path)?.ok_or(Refusal::UnknownPath)?;
    let route = &matched.rule.1;
    let mut rng = fastrand::Rng::with_seed(seed);
    let backend = route.draw(&mut rng).ok_or_else(|| Refusal::NoBackend("every weight is 0".into()))?;
    let position = backend.target.as_ref().map_err(|why| Refusal::NoBackend(Arc::clone(why)))?;
    // The policy goes by the host that was asked for, not by the pattern that matched: see `compile::hosts`.
    Ok(Plan {
        route: Arc::clone(route),
        pool: Arc::clone(&snapshot.pools[*position]),
        path: (matched.path != head.path).then(|| matched.path.into()),
        policy: Arc::clone(&entry.policy),
        row: entry.policy.preferences.row(location),
        clusters: Arc::clone(&snapshot.clusters),
        only: None,
        leaves: false,
        session: None,
        rng,
        tried: Tried::default(),
    })
}

/// Decides where a request goes that another edge has decided to send here: to pods of this edge's own cluster and nowhere
/// else, and only of a pool that a route leads to which this edge accepts itself. The fence of the host is this edge's own too.
pub fn plan_at_home(snapshot: &Snapshot, host: &str, key: &PoolKey, seed: u64) -> Result<Plan, Refusal> {
    let policy = snapshot.policies.of_host(host);
    if policy.tls.fence.as_ref().is_some_and(|fence| !fence.contains(snapshot.home())) {
        return Err(Refusal::Fenced);
    }
    let found = snapshot.routes.pool(key);
    let unknown = || if starting(snapshot) { Refusal::Starting } else { Refusal::UnknownPool(key.clone()) };
    let (position, route) = found.ok_or_else(unknown)?;
    Ok(Plan {
        route: Arc::clone(route),
        pool: Arc::clone(&snapshot.pools[*position]),
        // The edge that decided has sent what its route was found by.
        path: None,
        policy: Arc::clone(policy),
        row: policy.preferences.row(None),
        clusters: Arc::clone(&snapshot.clusters),
        only: Some(snapshot.home),
        leaves: false,
        session: None,
        rng: fastrand::Rng::with_seed(seed),
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
    let found = entry.paths.matching(head.path).ok()??;
    Some((entry.pattern.to_string(), found.rule.0.clone()))
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
    /// What it is.
    pub target: Target,
    /// What the pool's pods speak.
    pub protocol: AppProtocol,
    /// How this one is believed, where it speaks TLS and its cluster says something of it.
    pub tls: Option<Arc<BackendTls>>,
    /// How it was come by.
    pub step: Step,
    /// Why it is in none of the clusters that the client prefers, if it is not.
    pub spill: Option<Spill>,
    /// Its tag, for session cookies.
    pub tag: u64,
    endpoint: Arc<EndpointCell>,
    member: Arc<crate::cell::ClusterCell>,
}

impl Candidate {
    /// Begins a try: from now until the guard is dropped the request is in flight there.
    pub fn begin(&self, due: Due, now: Nanos) -> Attempt {
        Attempt::begin(Arc::clone(&self.endpoint), Arc::clone(&self.member), due, now)
    }

    /// What is known of the endpoint.
    pub fn cell(&self) -> &EndpointCell {
        &self.endpoint
    }
}

/// What a candidate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A pod.
    Pod,
    /// An edge of its cluster, which picks a pod.
    Peer(InstanceId),
}

/// How a candidate was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Its cluster was drawn by share.
    Drawn,
    /// The client's session is there.
    Sticky,
    /// Nothing is ready anywhere the request may go, so the best of the rest was taken (panic).
    Panic,
    /// After a failure: another endpoint of the same cluster.
    SameCluster,
    /// After a failure, or since the cluster drawn has fallen silent: the next one of the client's order.
    NextCluster,
}

impl Step {
    /// Every way there is, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Drawn, Self::Sticky, Self::Panic, Self::SameCluster, Self::NextCluster];

    /// As metrics and explanations name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Sticky => "sticky",
            Self::Panic => "panic",
            Self::SameCluster => "same_cluster",
            Self::NextCluster => "next_cluster",
        }
    }
}

/// What to do with endpoints that owe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    Avoid,
    Take,
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
        let (cluster, endpoint, step) = match self.only {
            Some(cluster) => self.sticky(now).filter(|_| self.tried.count == 0).or_else(|| self.within(cluster, now)),
            None if self.tried.count == 0 => self.first(now),
            None => self.another(now),
        }?;
        self.tried.push(cluster, endpoint);
        let spill = self.spill(cluster, step, now);
        let member = &self.pool.members[cluster];
        let chosen = &member.endpoints[endpoint as usize];
        Some(Candidate {
            cluster,
            cluster_id: self.clusters[cluster].id.clone(),
            address: chosen.address,
            target: match &chosen.via {
                Via::Pod => Target::Pod,
                Via::Peer(instance, _) => Target::Peer(instance.clone()),
            },
            protocol: self.pool.spec.protocol,
            tls: self.pool.spec.tls[cluster].clone(),
            step,
            spill,
            tag: chosen.tag,
            endpoint: Arc::clone(&chosen.cell),
            member: Arc::clone(&member.cell),
        })
    }

    /// Whether anything is left that could be drawn: something was not tried that is ready, or still serves on its way out.
    pub fn more(&self) -> bool {
        let hope = |e: &&crate::pool::PoolEndpoint| e.ready || e.last_resort;
        let left =
            |&cluster: &usize| self.pool.members[cluster].endpoints.iter().filter(hope).count() > self.tried.times(cluster);
        let anywhere = || self.tiers().iter().flat_map(|tier| tier.iter()).any(left);
        self.tried.count < MOST && self.only.as_ref().map_or_else(anywhere, left)
    }

    /// The client's session is at the endpoint of this tag in this cluster: that is the first candidate, as long as it is well.
    pub fn stick(&mut self, cluster: &ClusterId, tag: u64) {
        self.session = self.clusters.iter().position(|info| info.id == *cluster).map(|cluster| (cluster, tag));
    }

    /// The cluster that was tried first has shown itself to be no place for a second try: the next one is elsewhere, if there
    /// is anybody.
    pub fn leave_cluster(&mut self) {
        self.leaves = true;
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

    /// A cluster by share, and an endpoint there. What was drawn by the tick's shares can have fallen silent, or have lost its last
    /// endpoint, since: then the next of those that are open. Where none is, shares speak of those that are left alone.
    fn first(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        if let Some(found) = self.sticky(now) {
            return Some(found);
        }
        let drawn = self.draw_cluster();
        let open = drawn.filter(|&cluster| self.pool.members[cluster].cell.closed(now).is_none());
        self.at(open, now)
            .or_else(|| self.of_clusters(false, Silent::Avoid, now))
            .or_else(|| self.at(drawn, now))
            .or_else(|| self.in_order(now))
            .or_else(|| self.panic())
    }

    /// The endpoint of the client's session, if it is there and well; if it is gone, its cluster, if that is well. Neither
    /// outside of the tiers, which end at the fence.
    fn sticky(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        let (cluster, tag) = self.session?;
        let allowed = self.tiers().iter().any(|tier| tier.contains(&cluster));
        let member = self.pool.members.get(cluster).filter(|_| allowed)?;
        let well = |&&e: &&u32| {
            let endpoint = &member.endpoints[e as usize];
            endpoint.tag == tag && endpoint.reachable() && !endpoint.cell.ejected(now) && !endpoint.cell.silent(&member.cell, now)
        };
        if let Some(&endpoint) = member.ready.iter().find(well) {
            return Some((cluster, endpoint, Step::Sticky));
        }
        // Behind edges, whichever of them is taken knows the endpoint by its tag; and a cluster that drains keeps what it has.
        let through_edges = member.behind.is_some();
        let open = (self.clusters[cluster].willing() || through_edges) && member.cell.closed(now).is_none();
        let (cluster, endpoint, step) = self.at(Some(cluster).filter(|_| open), now)?;
        Some((cluster, endpoint, if through_edges { Step::Sticky } else { step }))
    }

    fn at(&mut self, cluster: Option<usize>, now: Nanos) -> Option<(usize, u32, Step)> {
        Some((cluster?, self.pick(cluster?, Silent::Avoid, now)?, Step::Drawn))
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
            && !self.leaves
            && self.pool.members[first].cell.closed(now).is_none()
            && let Some(endpoint) = self.pick(first, Silent::Avoid, now)
        {
            return Some((first, endpoint, Step::SameCluster));
        }
        self.in_order(now).or_else(|| self.panic())
    }

    /// Clusters that are open first; where none has an endpoint left, those that are left alone; then, where all that is left
    /// owes answers, even that.
    fn in_order(&mut self, now: Nanos) -> Option<(usize, u32, Step)> {
        self.of_clusters(false, Silent::Avoid, now)
            .or_else(|| self.of_clusters(true, Silent::Avoid, now))
            .or_else(|| self.of_clusters(true, Silent::Take, now))
    }

    /// An endpoint of the cluster tried least; among equals the client's own order, beginning at the tier drawn first.
    fn of_clusters(&mut self, closed: bool, silent: Silent, now: Nanos) -> Option<(usize, u32, Step)> {
        let pool = Arc::clone(&self.pool);
        let tiers = &pool.shares.rows[self.row.0];
        let first = usize::from(self.tried.drawn[0].0);
        let begin =
            if self.tried.count == 0 { 0 } else { tiers.iter().position(|tier| tier.contains(&first)).unwrap_or_default() };
        let order = || {
            let clusters = tiers[begin..].iter().chain(&tiers[..begin]).flat_map(|tier| tier.iter().copied());
            clusters.filter(|&c| closed || pool.members[c].cell.closed(now).is_none())
        };
        // The first cluster has had its second try, so others come before it until each has had one.
        let most = order().map(|c| self.tried.times(c)).max().unwrap_or_default();
        for times in 0..=most {
            for cluster in order() {
                if self.tried.times(cluster) == times
                    && let Some(endpoint) = self.pick(cluster, silent, now)
                {
                    return Some((cluster, endpoint, Step::NextCluster));
                }
            }
        }
        None
    }

    /// Power of two choices (Mitzenmacher 2001) over cost, among the endpoints in rotation that were not drawn yet.
    fn pick(&mut self, cluster: usize, silent: Silent, now: Nanos) -> Option<u32> {
        let member = &self.pool.members[cluster];
        let usable = |e: u32| {
            let endpoint = &member.endpoints[e as usize];
            let cell = &endpoint.cell;
            let silent = silent == Silent::Avoid && cell.silent(&member.cell, now);
            !self.tried.contains(cluster, e) && !cell.ejected(now) && endpoint.reachable() && !silent
        };
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
        pool.shares.rows[self.row.0].iter().flat_map(|tier| tier.iter()).find_map(|&cluster| self.panic_in(&pool, cluster))
    }

    fn panic_in(&mut self, pool: &Pool, cluster: usize) -> Option<(usize, u32, Step)> {
        let hope = |member: &Member, e: u32| member.endpoints[e as usize].ready || member.endpoints[e as usize].last_resort;
        let member = &pool.members[cluster];
        let count = member.endpoints.len();
        if count == 0 {
            return None;
        }
        let begin = self.rng.usize(..count);
        let found =
            (0..count).map(|step| ((begin + step) % count) as u32).find(|&e| hope(member, e) && !self.tried.contains(cluster, e));
        Some((cluster, found?, Step::Panic))
    }

    /// An endpoint of this cluster, whatever its share.
    fn within(&mut self, cluster: usize, now: Nanos) -> Option<(usize, u32, Step)> {
        let step = if self.tried.count == 0 { Step::Drawn } else { Step::SameCluster };
        let picked = self.pick(cluster, Silent::Avoid, now).or_else(|| self.pick(cluster, Silent::Take, now));
        let pool = Arc::clone(&self.pool);
        picked.map(|endpoint| (cluster, endpoint, step)).or_else(|| self.panic_in(&pool, cluster))
    }
}

#[cfg(test)]
mod tests;
