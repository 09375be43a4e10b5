//! A snapshot in words: what `/snapshot`, `/routes` and `causeway routes` show. Sorted, so that two views compare.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use causeway_config::ClusterId;
use serde::Serialize;

use crate::cluster::AppProtocol;
use crate::pool::{Absence, Member, Pool};
use crate::route::{HostEntry, Origin, PathMatch, Route};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

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
    /// The routes.
    pub routes: Vec<RouteView>,
    /// The pools, by Service and port.
    pub pools: BTreeMap<String, PoolView>,
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
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// Where.
    pub address: SocketAddr,
    /// Who.
    pub uid: String,
    /// Whether the cluster calls it ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Whether it is out of rotation for having failed.
    pub ejected: bool,
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
        routes: routes(snapshot),
        pools: snapshot.pools.iter().map(pool).collect(),
    }
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
        ready: e.ready,
        terminating: e.terminating,
        ejected: e.cell.ejected(now),
        latency_ms: e.cell.latency(now) * 1e3,
        in_flight: e.cell.in_flight(),
        failures: e.cell.consecutive_failures(),
    };
    MemberView {
        absent: member.absence,
        latency_ms: member.cell.latency(now) * 1e3,
        endpoints: member.endpoints.iter().map(endpoint).collect(),
    }
}
