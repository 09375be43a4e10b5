//! Peer edges: how pods of a cluster are reached whose addresses mean nothing here.
//!
//! For a remote cluster with `reach: edge` a pool's endpoints are not its pods but the *edges* of that cluster that are known
//! here; which pod serves, the peer picks. What is known of them enters [`compile`](crate::compile()) as a value: who there is
//! ([`Peer`]), and how many pods of each pool are ready there ([`Counts`]). An edge is who its instance id says, drawn anew by
//! each process; an address is no identity, since a load balancer's leads to many edges.
//!
//! Whether the way to a peer works now is a measurement, and lives in a [`LinkCell`] that all pools share: one missed ping and
//! nothing new is sent there, three and it is down, one answer and it is up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_config::ClusterId;

use crate::link::{Count, InstanceId, LinkCell};
use crate::pool::PoolKey;

/// A peer edge that is known here.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who it is.
    pub instance: InstanceId,
    /// An address that leads to it. A load balancer's leads to others too.
    pub address: SocketAddr,
    /// What is known of the way there.
    pub link: Arc<LinkCell>,
}

impl PartialEq for Peer {
    /// Measurements do not count: they change all the time, and are shared.
    fn eq(&self, other: &Self) -> bool {
        self.instance == other.instance && self.address == other.address && Arc::ptr_eq(&self.link, &other.link)
    }
}

/// Counts by pool, as a peer told them.
pub type Counts = BTreeMap<PoolKey, Count>;

/// What is known of one cluster's edges: an input of [`compile`](crate::compile()).
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPeers {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Its edges that have answered, by instance.
    pub peers: Arc<Vec<Peer>>,
    /// What they say of its pods; until one has, the cluster's `EndpointSlice`s speak.
    pub counts: Option<Arc<Counts>>,
}

impl ClusterPeers {
    /// A cluster none of whose edges has answered yet.
    pub fn none(cluster: ClusterId) -> Self {
        Self { cluster, peers: Arc::default(), counts: None }
    }
}
