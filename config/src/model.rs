//! The checked configuration. Everything in it is valid by construction: [`crate::parse`] is the only way to make one
//! from outside text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::geography::{Continent, Coordinates, Country, Subdivision};
use crate::ids::{CaRef, ClusterId, HostPattern, ObjectName, Owner};
use crate::limits::{Concurrency, Limits, RateLimit};
use crate::revoked::CertificateId;

/// A fleet as one file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The fleet's name and certificate authority.
    pub fleet: Fleet,
    /// Where an edge listens.
    pub listen: Listen,
    /// The clusters, in the order of the file: that order breaks ties between clusters. Never empty.
    pub clusters: Vec<Cluster>,
    /// Location of clients, and which clusters they prefer.
    pub geo: Geo,
    /// Policies by host.
    pub hosts: BTreeMap<HostPattern, HostPolicy>,
    /// Whether hosts that `hosts` does not declare are refused.
    pub strict_hosts: bool,
    /// `ingressClassName`s that Causeway serves.
    pub ingress_classes: Vec<String>,
    /// Which namespaces mean the same thing in every cluster.
    pub sameness: Sameness,
    /// Certificates and TLS versions towards clients.
    pub tls: Tls,
    /// What clients are held to.
    pub limits: Limits,
    /// How long things may take, and how often they are tried.
    pub upstream: Upstream,
    /// What responses tell of their way.
    pub responses: Responses,
    /// The access log.
    pub access_log: AccessLog,
    /// How it ends.
    pub drain: Drain,
    /// How a new process takes over from the one that runs; `None`: it does not.
    pub handover: Option<Handover>,
    /// Where what an API server said last is kept for the day when it does not answer; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
}

/// The fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Its name: a DNS label; peer certificates carry it.
    pub name: String,
    /// The fleet's own certificates, for edges that talk to each other.
    pub tls: Option<FleetTls>,
    /// Certificates of edges that are believed no more, whoever signed them.
    pub revoked: Vec<CertificateId>,
    /// A file of random bytes that all edges share.
    pub secret: Option<PathBuf>,
    /// Where an edge finds the others of its own cluster: names or addresses, with a port or 8444. Empty: as the edges of other
    /// clusters do.
    pub siblings: Vec<String>,
}

/// The files of the fleet's mutual TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetTls {
    /// Trusted authorities, PEM.
    pub ca: PathBuf,
    /// This edge's certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// Every listener of an edge; their addresses only change with a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Clients, plain.
    pub http: Option<ClientListener>,
    /// What becomes of their requests.
    pub plain: Plain,
    /// Clients, TLS.
    pub https: ClientListener,
    /// Other edges.
    pub peer: Option<Vec<SocketAddr>>,
    /// /healthz and /readyz.
    pub health: Vec<SocketAddr>,
    /// Metrics, explain, snapshot.
    pub admin: Vec<SocketAddr>,
}

/// What the plain listener does with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// Whether it serves them or sends them away.
    pub mode: PlainMode,
    /// Whether it takes HTTP/2 of clients that know of it (RFC 9113 section 3.3). Only where it serves.
    pub h2c: bool,
}

/// Whether requests without TLS are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainMode {
    /// They are sent to https.
    #[default]
    Redirect,
    /// As those that come by TLS, but for hosts that TLS has a part in: those are sent to https.
    Proxy,
}

/// A listener that clients reach.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientListener {
    /// One address or more; port 0 lets the kernel choose.
    pub bind: Vec<SocketAddr>,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// Who may name the client in X-Forwarded-For.
    pub forwarded_for: Vec<IpNet>,
}

/// PROXY protocol on a listener (HAProxy's proxy-protocol.txt, versions 1 and 2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyProtocol {
    /// Whether a header may or must come.
    pub mode: ProxyProtocolMode,
    /// Who may send one.
    pub from: Vec<IpNet>,
}

/// Whether a PROXY protocol header may or must come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocolMode {
    /// Never; its bytes are taken for what they are, a bad TLS record.
    #[default]
    Off,
    /// From senders in `from` it may.
    Optional,
    /// Every connection must begin with one, and come from `from`.
    Required,
}

/// One Kubernetes cluster of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub id: ClusterId,
    /// Where it is; known region names are resolved.
    pub coordinates: Option<Coordinates>,
    /// How its objects are read.
    pub source: Source,
    /// How its pods are reached from other clusters.
    pub reach: Reach,
    /// Where its edges are, for the edges of other clusters.
    pub peers: Peers,
    /// Addresses that its pods may have; endpoints outside are refused when set, and `direct` needs it.
    pub pod_cidrs: Vec<IpNet>,
    /// Whether endpoint addresses in 127.0.0.0/8 and `::1` are taken. For demonstrations on one machine only.
    pub allow_loopback: bool,
    /// Which hosts it may claim; `None`: any.
    pub may_serve: Option<Vec<HostPattern>>,
    /// Active, draining or off.
    pub state: ClusterState,
    /// Multiplies its part of a tier; 1 is normal, 0 takes nothing new.
    pub weight: f64,
    /// How long its objects are believed without news of its API server; `None`: for ever.
    pub max_stale: Option<Duration>,
}

/// How a cluster's objects are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Its API server.
    ApiServer {
        /// How edges reach it that do not run in this cluster; `None`: they cannot.
        kubeconfig: Option<Kubeconfig>,
        /// The namespaces that are read; `None`: all.
        namespaces: Option<Vec<Arc<str>>>,
        /// Whether its nodes are read by edges elsewhere, who find its edges at them.
        nodes: bool,
    },
    /// A folder of Kubernetes YAML.
    Manifests(PathBuf),
}

/// A kubeconfig file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The file.
    pub path: PathBuf,
    /// The context in it; else its current one.
    pub context: Option<String>,
}

/// How the pods of a remote cluster are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Through that cluster's own edges, by mutual TLS.
    #[default]
    Edge,
    /// By pod address over a flat network.
    Direct {
        /// Whether plain HTTP may cross between the clouds.
        plaintext: bool,
    },
}

/// Where a cluster's edges are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Peers {
    /// A DNS name, with a port or 8444.
    Dns(String),
    /// The load balancer of this Service in that cluster.
    Service(ObjectName),
    /// Fixed addresses.
    Addresses(Vec<SocketAddr>),
    /// The cluster's nodes, at the peer port.
    Nodes(NodeAddress),
}

impl Default for Peers {
    fn default() -> Self {
        Self::Nodes(NodeAddress::default())
    }
}

/// Which address of a node edges elsewhere call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeAddress {
    /// Its `ExternalIP`, or if it has none its `InternalIP`.
    #[default]
    Any,
    /// Its `InternalIP`.
    Internal,
    /// Its `ExternalIP`.
    External,
}

/// Whether a cluster takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// It serves.
    #[default]
    Active,
    /// It serves what it has and takes nothing new while another cluster can.
    Drain,
    /// Its routes, endpoints and certificates are gone.
    Off,
}

/// Where clients are, and what they prefer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geo {
    /// A MaxMind database file with countries or cities.
    pub database: Option<PathBuf>,
    /// Known networks, asked before the database. No two of one prefix length overlap.
    pub networks: Vec<(IpNet, Country)>,
    /// The default preference.
    pub prefer: Preference,
}

/// Which clusters serve whom: the most specific rule that names a location wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preference {
    /// By ISO 3166-2 subdivision.
    pub subdivisions: BTreeMap<Subdivision, Tiers>,
    /// By ISO 3166-1 country.
    pub countries: BTreeMap<Country, Tiers>,
    /// By continent.
    pub continents: BTreeMap<Continent, Tiers>,
    /// For known locations that no rule names; `None`: nearest first.
    pub default: Option<Tiers>,
}

/// Clusters by preference: a list of tiers, each a list of equals. Every cluster exists, and stands once.
pub type Tiers = Vec<Vec<ClusterId>>;

/// What is special about a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostPolicy {
    /// Who may route it; empty: the first namespace that claims it.
    pub owners: Vec<Owner>,
    /// The residency fence: only these clusters ever see a request. `None`: no fence.
    pub allow: Option<Vec<ClusterId>>,
    /// Where TLS may end.
    pub terminate: Terminate,
    /// Its own preference, instead of `geo.prefer`.
    pub prefer: Option<Preference>,
    /// The oldest TLS version it speaks, if not the default one.
    pub min_tls: Option<TlsVersion>,
    /// Whose certificates its clients show.
    pub client_certificates: Option<ClientCertificates>,
    /// How many requests of one client it takes.
    pub rate_limit: Option<RateLimit>,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
    /// Whether and how a client's requests stay with the endpoint that served its first.
    pub session_persistence: Option<SessionPersistence>,
    /// How its endpoints are asked whether they are well; `None`: they are not.
    pub health_check: Option<Arc<HealthCheck>>,
}

/// An active health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for; `None`: a connection is enough.
    pub path: Option<Arc<str>>,
    /// The status that is expected; `None`: any from 200 to 299.
    pub status: Option<u16>,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many checks in a row must fail.
    pub unhealthy_threshold: u32,
    /// How many must pass again.
    pub healthy_threshold: u32,
}

/// How a client's requests stay with an endpoint: by a cookie, in the terms of Gateway API's `sessionPersistence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// The cookie's name.
    pub session_name: Arc<str>,
    /// When the session ends, whatever is done with it. `None`: with the browser.
    pub absolute_timeout: Option<Duration>,
}

/// Mutual TLS with clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificates {
    /// The trusted authorities.
    pub ca: ClientCa,
    /// Whether clients without a certificate come in too.
    pub optional: bool,
}

/// Where the authorities of clients are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientCa {
    /// A PEM file.
    File(PathBuf),
    /// An object of the home cluster.
    Object(CaRef),
}

/// Where TLS of a fenced host may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminate {
    /// At any edge.
    #[default]
    Anywhere,
    /// Only at edges of clusters inside the fence.
    Inside,
}

/// Which namespaces mean the same thing in every cluster. `kube-*` never does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sameness {
    /// Only these; `None`: all.
    pub include: Option<Vec<String>>,
    /// Not these.
    pub exclude: Vec<String>,
}

/// TLS towards clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Certificates in PEM files.
    pub files: Vec<CertFile>,
    /// Certificates in Secrets, besides those that Ingresses name.
    pub secrets: Vec<ObjectName>,
    /// Which of them answers clients without SNI, or with an unknown one; else a self-signed one is made.
    pub default: Option<DefaultCertificate>,
    /// A file whose bytes all edges share, so that they resume each other's sessions; `None`: each its own only.
    pub ticket_secret: Option<PathBuf>,
}

/// A certificate chain and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertFile {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The certificate of last resort.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultCertificate {
    /// From a Secret.
    Secret(ObjectName),
    /// From files.
    Files(CertFile),
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Towards backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Until a connection stands; default 1 s.
    pub connect_timeout: Duration,
    /// From the request to the response's header, each try. `None`, the default: 15 s, and for idempotent requests what was
    /// learned.
    pub response_timeout: Option<Duration>,
    /// From the request to the response's header, all tries together; default 30 s. `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// How often a request is tried in all; default 3.
    pub attempts: u32,
    /// How many requests a pool is given at a time.
    pub concurrency: Concurrency,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: None,
            request_timeout: Some(Duration::from_secs(30)),
            attempts: 3,
            concurrency: Concurrency::default(),
        }
    }
}

/// What responses tell of their way.
#[derive(Clone, Debug, PartialEq)]
pub struct Responses {
    /// Whether `causeway-served-by: CLUSTER` is added; default true.
    pub served_by: bool,
}

impl Default for Responses {
    fn default() -> Self {
        Self { served_by: true }
    }
}

/// The access log: JSON, a line a request, on standard output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessLog {
    /// Default false.
    pub enabled: bool,
}

/// How an edge ends that was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it serves on, not ready, until load balancers have noticed; default 30 s.
    pub lame_duck: Duration,
    /// How long what is under way may take after that; default 60 s.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { lame_duck: Duration::from_secs(30), timeout: Duration::from_mins(1) }
    }
}

/// How a new process on the same machine takes over from the one that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The Unix socket on which they meet.
    pub socket: PathBuf,
    /// How long the new one may take until it is ready; default 60 s.
    pub timeout: Duration,
}
