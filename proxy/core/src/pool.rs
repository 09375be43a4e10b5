//! A pool: a Service, by namespace, name and port, across the fleet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use causeway_config::ObjectName;
use serde::{Deserialize, Serialize};

use crate::cell::{ClusterCell, EndpointCell, RetryBudget};
use crate::cluster::{AppProtocol, BackendTls};
use crate::diagnostics::Diagnostic;
use crate::link::{Count, InstanceId, LinkCell, LinkState};
use crate::share::Rows;

/// Which pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolKey {
    /// The Service.
    pub service: ObjectName,
    /// Its port's number.
    pub port: u16,
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// What the route table knows of a pool: everything but its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Which pool.
    pub key: PoolKey,
    /// What its backends speak.
    pub protocol: AppProtocol,
    /// By cluster: the name that the port has there, or why the cluster takes no part.
    pub clusters: Box<[Result<Arc<str>, Absence>]>,
    /// By cluster: how its backends are believed, where they speak TLS and something is said of it.
    pub tls: Box<[Option<Arc<BackendTls>>]>,
}

/// Why a cluster takes no part in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Absence {
    /// It has no such Service, or the Service has no such port.
    NoService,
    /// The Service, or its namespace, is not shared with other clusters.
    NotShared,
    /// The cluster is off.
    Off,
    /// Its Service speaks another protocol there than the pool.
    OtherProtocol,
    /// Its pods cannot be reached from here: `reach` is `edge`, and the fleet has no certificates for its edges.
    Unreachable,
}

impl std::fmt::Display for Absence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoService => "it has no such Service or port",
            Self::NotShared => "its Service is not shared with other clusters",
            Self::Off => "it is off",
            Self::OtherProtocol => "its Service speaks another protocol",
            Self::Unreachable => "its pods cannot be reached from here: `fleet.tls` is missing",
        })
    }
}

/// A pool with its endpoints and shares.
#[derive(Debug)]
pub struct Pool {
    /// Which pool, and what its backends speak.
    pub spec: PoolSpec,
    /// By cluster index.
    pub members: Box<[Member]>,
    /// Endpoints that were refused.
    pub(crate) refused: Vec<Diagnostic>,
    pub(crate) shares: Shares,
    pub(crate) budget: Arc<RetryBudget>,
    /// Whether time alone changes nothing: no ramp, no ejection.
    pub(crate) settled: AtomicBool,
}

/// One cluster's part of a pool.
#[derive(Debug)]
pub struct Member {
    /// Why the cluster takes no part, if it does not.
    pub absence: Option<Absence>,
    /// Its endpoints: pods, or the cluster's edges.
    pub endpoints: Box<[PoolEndpoint]>,
    /// How many pods there are behind its edges, where the endpoints are edges.
    pub behind: Option<Count>,
    /// Those that the cluster calls ready: positions in `endpoints`.
    pub ready: Box<[u32]>,
    /// What is known of it here.
    pub cell: Arc<ClusterCell>,
}

/// An address that can serve the pool.
#[derive(Clone, Debug)]
pub struct PoolEndpoint {
    /// Where.
    pub address: SocketAddr,
    /// What it is.
    pub via: Via,
    /// Who: with the port, the identity that its cell is carried over by.
    pub uid: Arc<str>,
    /// The same as a number that every edge makes alike, and that tells nothing: for session cookies.
    pub tag: u64,
    /// Whether the cluster calls it ready.
    pub ready: bool,
    /// Not ready, yet still serving: taken only when nothing else is left.
    pub last_resort: bool,
    /// Whether it is on its way out, and no longer counts as capacity.
    pub terminating: bool,
    /// What is known of it here.
    pub cell: Arc<EndpointCell>,
}

/// What an endpoint is.
#[derive(Clone, Debug)]
pub enum Via {
    /// A pod.
    Pod,
    /// An edge of the cluster, which picks a pod.
    Peer(InstanceId, Arc<LinkCell>),
}

/// The tag of an endpoint (FNV-1a over its identity).
pub(crate) fn tag(uid: &str, port: u16) -> u64 {
    let bytes = uid.bytes().chain(port.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl PoolEndpoint {
    /// Whether the way there works, as far as is known. To a pod of another cluster it did once; what became of it then, its cell
    /// learns.
    pub fn reachable(&self) -> bool {
        match &self.via {
            Via::Pod => !self.cell.unreached(),
            Via::Peer(_, link) => link.is_up(),
        }
    }

    /// Whether the way there is down, and not only in doubt.
    pub fn cut_off(&self) -> bool {
        matches!(&self.via, Via::Peer(_, link) if link.state() == LinkState::Down)
    }
}

/// The share table: for each row, which part of the requests each cluster gets. [`tick`](crate::health::tick) alone writes it.
#[derive(Debug)]
pub struct Shares {
    cells: Box<[AtomicU32]>,
    clusters: usize,
    pub(crate) rows: Arc<Rows>,
}

/// Shares are kept as parts of this.
const WHOLE: f64 = u32::MAX as f64;

impl Shares {
    pub(crate) fn new(rows: Arc<Rows>, clusters: usize) -> Self {
        let cells = (0..rows.len() * clusters).map(|_| AtomicU32::new(0)).collect();
        Self { cells, clusters, rows }
    }

    /// Row `row`: one share per cluster index, each from 0 to 1.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        self.cells[row * self.clusters..][..self.clusters].iter().map(|cell| f64::from(cell.load(Relaxed)) / WHOLE)
    }

    pub(crate) fn write(&self, row: usize, shares: &[f64]) {
        for (cell, share) in self.cells[row * self.clusters..].iter().zip(shares) {
            cell.store((share * WHOLE) as u32, Relaxed);
        }
    }
}

impl Pool {
    /// Requests on their way to any of its endpoints, or there.
    pub fn in_flight(&self) -> u32 {
        self.members.iter().map(|member| member.cell.in_flight()).sum()
    }

    /// The share table.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Whether the budget has a retry left.
    pub fn may_retry(&self) -> bool {
        self.budget.left()
    }

    /// Takes a retry from the budget: a fifth of what the pool answered lately, and ten a second. Whether there was one.
    pub fn spend_retry(&self) -> bool {
        self.budget.spend()
    }
}
