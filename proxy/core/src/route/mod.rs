//! The route table: host, then path, to weighted pools.
//!
//! It is built by [`compile`](crate::compile()) and shared by every snapshot until a route, a Service or the configuration
//! changes; endpoints come and go without touching it. Routes have the shape of Gateway API's `HTTPRoute`; an Ingress is
//! translated to it.

pub mod host;
pub mod normal;
pub mod path;

use std::collections::HashMap;
use std::sync::Arc;

use causeway_config::{ClusterId, ObjectName};
use serde::Serialize;

pub use host::{HostEntry, HostTable, normal_host};
pub use normal::{BadPath, normal_path};
pub use path::{PathMatch, PathTable};

use crate::pool::{PoolKey, PoolSpec};

/// Every route of the fleet as this edge serves it.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Hosts.
    pub hosts: HostTable,
    /// The pools that backends point into by position.
    pub pools: Vec<PoolSpec>,
    /// The position of each pool, and a route that leads there.
    by_key: HashMap<PoolKey, (usize, Arc<Route>)>,
}

impl RouteTable {
    /// A table.
    pub(crate) fn new(hosts: HostTable, pools: Vec<PoolSpec>) -> Self {
        let mut by_key = HashMap::new();
        for (_, route) in hosts.iter().flat_map(|entry| entry.paths.iter()) {
            for &position in route.backends.iter().filter_map(|backend| backend.target.as_ref().ok()) {
                by_key.entry(pools[position].key.clone()).or_insert_with(|| (position, Arc::clone(route)));
            }
        }
        Self { hosts, pools, by_key }
    }

    /// The position of a pool that some route leads to, and that route.
    pub(crate) fn pool(&self, key: &PoolKey) -> Option<&(usize, Arc<Route>)> {
        self.by_key.get(key)
    }
}

/// Where the requests of one rule go.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Which object said so.
    pub origin: Origin,
    /// The object's name as metrics and logs have it: `ingress/shop/web`. Made once, since every request needs it.
    pub label: Arc<str>,
    /// By weight; one entry where it came from an Ingress.
    pub backends: Box<[Backend]>,
}

/// The object that a route came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// `Ingress`.
    pub kind: &'static str,
    /// Its name.
    pub object: ObjectName,
    /// The cluster whose version serves.
    pub cluster: ClusterId,
}

/// A weighted target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its part of the requests, relative to its siblings (Gateway API `backendRefs[].weight`).
    pub weight: u32,
    /// The pool's position in [`RouteTable::pools`]; or why there is none, which is answered 503.
    pub target: Result<usize, Arc<str>>,
}

impl Route {
    /// Draws a backend by weight; `None` where every weight is 0 (Gateway API: answered 503).
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Option<&Backend> {
        if let [only] = &*self.backends {
            return (only.weight > 0).then_some(only);
        }
        let total: u64 = self.backends.iter().map(|b| u64::from(b.weight)).sum();
        let mut point = if total == 0 { return None } else { rng.u64(0..total) };
        self.backends.iter().find(|b| {
            let weight = u64::from(b.weight);
            let hit = point < weight;
            point = point.saturating_sub(weight);
            hit
        })
    }
}
