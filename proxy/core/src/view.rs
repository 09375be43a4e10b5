//! A snapshot in words: what `/snapshot`, `/routes` and `causeway routes` show. Sorted, so that two views compare.

mod health;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use causeway_config::ClusterId;
use serde::Serialize;

use crate::cell::Closed;
use crate::cluster::AppProtocol;
use crate::link::{Count, InstanceId, LinkState};
use crate::pool::{Absence, Member, Pool, Via};
use crate::route::{HostEntry, Origin, PathMatch, Route};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

pub use health::{ClusterHealth, ENDPOINT_STATES, MEMBER_STATES, health};

/// Everything that requests are decided by now. Holds no keys, since the snapshot holds none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Counts published snapshots of this process.
    pub generation: u64,
    /// The cluster this edge lives in.
    pub home: ClusterId,
    /// The clusters, in the configuration's order.
    pub clusters: Vec<ClusterInfo>,
    /// The edges of other clusters that this edge reaches pods through, by cluster.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, Vec<PeerView>>,
    /// The routes.
    pub routes: Vec<RouteView>,
    /// The pools, by Service and port.
    pub pools: BTreeMap<String, PoolView>,
}

/// An edge of another cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// Who it is.
    pub instance: InstanceId,
    /// An address that leads to it.
    pub address: SocketAddr,
    /// Whether the way there works.
    pub link: LinkState,
    /// The average round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
}

/// One host and path.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// The host pattern.
    pub host: String,
    /// The path.
    pub path: String,
    /// Whether the path is compared to the letter.
    pub exact: bool,
    /// The object that said so.
    pub origin: Origin,
    /// Where it leads.
    pub backends: Vec<BackendView>,
    /// The clusters that may see it, where that is restricted.
    pub fence: Option<Vec<ClusterId>>,
}

/// A target of a route.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendView {
    /// Its part, relative to its siblings.
    pub weight: u32,
    /// The pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A pool.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// What its backends speak.
    pub protocol: AppProtocol,
    /// Its clusters' parts.
    pub clusters: BTreeMap<String, MemberView>,
    /// The share table: for each distinct order of preference, the tiers and what each cluster gets.
    pub shares: Vec<ShareView>,
}

/// A row of a share table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareView {
    /// Cluster names, best first.
    pub tiers: Vec<Vec<ClusterId>>,
    /// Each cluster's part, 0 to 1.
    pub shares: BTreeMap<String, f64>,
}

/// A cluster's part of a pool.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Why it takes no part, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absence>,
    /// Average time to response headers from here, in milliseconds.
    pub latency_ms: f64,
    /// Why it gets nothing new although it has endpoints, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// The part of its capacity that is used while it recovers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovering: Option<f64>,
    /// How long idempotent requests are waited for there, in milliseconds, while something else could be tried.
    pub patience_ms: f64,
    /// How many pods its edges speak of, where it is reached through them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Count>,
    /// Its endpoints: pods, or the cluster's edges.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a reader looks for by its name")]
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// Where.
    pub address: SocketAddr,
    /// Who.
    pub uid: String,
    /// The state of the way there, if it is an edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkState>,
    /// Whether the cluster calls it ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Whether it is out of rotation for having failed.
    pub ejected: bool,
    /// Whether that is by its health checks.
    pub unhealthy: bool,
    /// Whether no connection from here has been made to it so far, so that it gets no requests.
    pub unreached: bool,
    /// Whether it owes answers for too long, and gets nothing new.
    pub silent: bool,
    /// Peak EWMA of the time to response headers, in milliseconds.
    pub latency_ms: f64,
    /// Requests on their way to it.
    pub in_flight: u32,
    /// Gateway failures since its last answer.
    pub failures: u32,
}

/// Views everything.
pub fn view(snapshot: &Snapshot, now: Nanos) -> SnapshotView {
    let pool = |pool: &std::sync::Arc<Pool>| (pool.spec.key.to_string(), pool_view(snapshot, pool, now));
    SnapshotView {
        generation: snapshot.generation,
        home: snapshot.home().clone(),
        clusters: snapshot.clusters.to_vec(),
        peers: peers(snapshot),
        routes: routes(snapshot),
        pools: snapshot.pools.iter().map(pool).collect(),
    }
}

fn peers(snapshot: &Snapshot) -> BTreeMap<String, Vec<PeerView>> {
    let view = |peer: &crate::peer::Peer| PeerView {
        instance: peer.instance.clone(),
        address: peer.address,
        link: peer.link.state(),
        rtt_ms: peer.link.rtt().map(|rtt| rtt.as_secs_f64() * 1e3),
    };
    let known = snapshot.peers.iter().flatten();
    known.map(|known| (known.cluster.to_string(), known.peers.iter().map(view).collect())).collect()
}

/// Views the routes alone, sorted by host and path.
pub fn routes(snapshot: &Snapshot) -> Vec<RouteView> {
    let mut entries: Vec<_> = snapshot.routes.hosts.iter().collect();
    entries.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    entries.iter().flat_map(|entry| entry.paths.iter().map(|(path, route)| route_view(snapshot, entry, path, route))).collect()
}

fn route_view(snapshot: &Snapshot, entry: &HostEntry, path: &PathMatch, route: &Route) -> RouteView {
    let (text, exact) = match path {
        PathMatch::Exact(path) => (path.to_string(), true),
        PathMatch::Prefix(_) => (path.to_string(), false),
    };
    RouteView {
        host: entry.pattern.to_string(),
        path: text,
        exact,
        origin: route.origin.clone(),
        backends: route
            .backends
            .iter()
            .map(|backend| BackendView {
                weight: backend.weight,
                pool: backend.target.as_ref().ok().map(|&position| snapshot.routes.pools[position].key.to_string()),
                problem: backend.target.as_ref().err().map(ToString::to_string),
            })
            .collect(),
        fence: entry.policy.tls.fence.as_ref().map(|fence| fence.to_vec()),
    }
}

fn pool_view(snapshot: &Snapshot, pool: &Pool, now: Nanos) -> PoolView {
    let id = |cluster: usize| snapshot.clusters[cluster].id.clone();
    let named = |tiers: &[Box<[usize]>]| tiers.iter().map(|tier| tier.iter().map(|&c| id(c)).collect()).collect();
    let row = |(row, tiers): (usize, &crate::share::Tiers)| ShareView {
        tiers: named(tiers),
        shares: pool.shares().row(row).enumerate().map(|(c, share)| (id(c).to_string(), share)).collect(),
    };
    PoolView {
        protocol: pool.spec.protocol,
        clusters: pool.members.iter().enumerate().map(|(c, member)| (id(c).to_string(), member_view(member, now))).collect(),
        shares: snapshot.rows.iter().enumerate().map(row).collect(),
    }
}

fn member_view(member: &Member, now: Nanos) -> MemberView {
    let endpoint = |e: &crate::pool::PoolEndpoint| EndpointView {
        address: e.address,
        uid: e.uid.to_string(),
        link: match &e.via {
            Via::Pod => None,
            Via::Peer(_, link) => Some(link.state()),
        },
        ready: e.ready,
        terminating: e.terminating,
        ejected: e.cell.ejected(now),
        silent: e.cell.silent(&member.cell, now),
        unhealthy: e.cell.unhealthy(),
        unreached: e.cell.unreached(),
        latency_ms: e.cell.latency(now) * 1e3,
        in_flight: e.cell.in_flight(),
        failures: e.cell.consecutive_failures(),
    };
    MemberView {
        absent: member.absence,
        latency_ms: member.cell.latency(now) * 1e3,
        closed: member.cell.closed(now),
        recovering: member.cell.recovering(now),
        patience_ms: member.cell.patience().as_secs_f64() * 1e3,
        behind: member.behind,
        endpoints: member.endpoints.iter().map(endpoint).collect(),
    }
}
