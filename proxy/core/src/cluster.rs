//! What one cluster holds, in Causeway's own words: the input of [`compile`](crate::compile()).
//!
//! Discovery translates Kubernetes objects into these types and replaces a [`ClusterState`] whole. Everything is behind
//! `Arc`s at the grain at which it changes: `compile` compares pointers to see what it can keep.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use causeway_config::{CaRef, ClusterId, HostPattern, ObjectName, Scope};
use serde::{Deserialize, Serialize};

use crate::diagnostics::Diagnostic;
use crate::time::Nanos;

/// One cluster as its API server, or its folder, told last.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// Which one.
    pub cluster: ClusterId,
    /// How much to believe it.
    pub freshness: Freshness,
    /// Routes and Services: they change seldom, and a change rebuilds the route table.
    pub objects: Arc<Objects>,
    /// Endpoints by Service: they change all the time, and a change rebuilds one pool.
    pub endpoints: Arc<Endpoints>,
    /// What was wrong with the objects themselves; such objects are not in `objects`.
    pub diagnostics: Arc<Vec<Diagnostic>>,
}

/// Endpoints by Service.
pub type Endpoints = BTreeMap<ObjectName, Arc<Vec<Endpoint>>>;

impl ClusterState {
    /// A cluster of which nothing is known yet.
    pub fn syncing(cluster: ClusterId) -> Self {
        Self {
            cluster,
            freshness: Freshness::Syncing,
            objects: Arc::default(),
            endpoints: Arc::default(),
            diagnostics: Arc::default(),
        }
    }
}

/// How much a cluster's state is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Freshness {
    /// The first full list has not come yet.
    Syncing,
    /// Up to date.
    Synced,
    /// No news of its API server since then; the last known objects serve on.
    Stale(Nanos),
}

/// The objects of one cluster that decide where requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objects {
    /// Services by name.
    pub services: BTreeMap<ObjectName, Arc<Service>>,
    /// Ingresses by name.
    pub ingresses: BTreeMap<ObjectName, Arc<Ingress>>,
    /// Ingress classes by name.
    pub ingress_classes: BTreeMap<Arc<str>, IngressClass>,
    /// Namespaces by name. An account that may not read them, or a folder, has none of them, and their objects all the same.
    pub namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Nodes by name, where the cluster's edges are to be found at them.
    #[serde(default)]
    pub nodes: BTreeMap<Arc<str>, Node>,
}

/// A Service (`core/v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its ports, in the object's order; only TCP ones, since HTTP runs over TCP.
    pub ports: Vec<ServicePort>,
    /// `type: ExternalName`: it has no endpoints, and is refused as a backend.
    pub external_name: bool,
    /// Annotation `causeway.dev/scope`.
    pub scope: Scope,
    /// `status.loadBalancer.ingress`: addresses, or names of load balancers.
    #[serde(default)]
    pub balancers: Vec<Arc<str>>,
    /// How its backends are believed that speak TLS; `None` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<BackendTls>>,
}

/// How backends that speak TLS are believed: annotations `causeway.dev/backend-...` of their Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// Who must have signed their certificates.
    pub trust: Trust,
    /// The name that these must be for, instead of the request's host.
    pub hostname: Option<Arc<str>>,
}

/// Who vouches for a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// The machine's authorities.
    System,
    /// Those of an object of the Service's cluster, and no others.
    Ca(CaRef),
    /// What is said cannot be understood. To take somebody else's word instead would be to guess.
    Nobody,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; empty where the Service has one port without a name.
    pub name: Arc<str>,
    /// Its number.
    pub port: u16,
    /// What its backends speak: `appProtocol`, else the port's name.
    pub protocol: AppProtocol,
}

/// What a backend speaks (Kubernetes `appProtocol`, KEP-3726 and GEP-1911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 with prior knowledge: `kubernetes.io/h2c`, `grpc`.
    H2c,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS: `grpcs`, `h2`.
    H2,
}

impl AppProtocol {
    /// Whether it is spoken over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// Whether it is HTTP/2.
    pub fn is_h2(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }
}

/// An address behind a Service, for one of its ports: what an `EndpointSlice` (`discovery.k8s.io/v1`) lists.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as Kubernetes has them")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The name of the Service's port that it serves; slices and Services meet by this name.
    pub port_name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// `targetRef.uid`, or where there is none a text made of slice and address: who it is when addresses are reused.
    pub uid: Arc<str>,
    /// Whether it has a `targetRef.uid` to be known by.
    #[serde(default)]
    pub known: bool,
    /// `conditions.ready`; absent means ready.
    pub ready: bool,
    /// `conditions.serving`; absent means as `ready`. Not ready yet serving is how a terminating pod finishes its work.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

impl Endpoint {
    /// What lists of endpoints are sorted by.
    pub fn place(&self) -> (&str, SocketAddr, &str) {
        (&self.port_name, self.address, &self.uid)
    }
}

/// An Ingress (`networking.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// `spec.ingressClassName`.
    pub class: Option<Arc<str>>,
    /// Annotation `kubernetes.io/ingress.class`, which `class` overrules.
    pub legacy_class: Option<Arc<str>>,
    /// Annotation `causeway.dev/scope`.
    pub scope: Scope,
    /// `metadata.creationTimestamp` in seconds since 1970; orders objects of one cluster only.
    pub created: i64,
    /// `spec.defaultBackend`.
    pub default_backend: Option<ServiceRef>,
    /// `spec.rules[].http.paths[]`, one after the other.
    pub rules: Vec<IngressRule>,
    /// Hosts that only the default backend serves: those of rules without `http`; any host where there are no rules at all.
    pub bare_hosts: Vec<HostPattern>,
    /// `spec.tls[]`.
    pub tls: Vec<IngressTls>,
}

/// A path of a rule of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRule {
    /// The rule's host.
    pub host: HostPattern,
    /// The path; begins with `/`.
    pub path: Arc<str>,
    /// How it is compared.
    pub path_type: PathType,
    /// Who serves it; `None` is a backend that is not a Service, with what it is.
    pub backend: Result<ServiceRef, Arc<str>>,
}

/// How a path of an Ingress is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathType {
    /// To the letter.
    Exact,
    /// Element by element. `ImplementationSpecific` is taken for this.
    Prefix,
}

/// A Service of the Ingress's own namespace, and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// The Service.
    pub service: Arc<str>,
    /// Its port.
    pub port: PortRef,
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "camelCase")]
pub enum PortRef {
    /// `port.number`
    Number(u16),
    /// `port.name`
    Name(Arc<str>),
}

/// An entry of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// The hosts it lists; may be empty.
    pub hosts: Vec<HostPattern>,
    /// The Secret; without one the host is served with whatever certificate covers it.
    pub secret: Option<Arc<str>>,
}

/// A Namespace (`core/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// Annotation `causeway.dev/scope`: `cluster` keeps everything in it at home, whatever the objects say themselves.
    pub scope: Scope,
}

/// A Node (`core/v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its condition `Ready`; absent means ready.
    pub ready: bool,
    /// The first `InternalIP` of `status.addresses`.
    pub internal: Option<IpAddr>,
    /// The first `ExternalIP` of `status.addresses`.
    pub external: Option<IpAddr>,
}

/// An `IngressClass` (`networking.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressClass {
    /// `spec.controller`.
    pub controller: Arc<str>,
    /// Annotation `ingressclass.kubernetes.io/is-default-class`.
    pub default: bool,
}

const METADATA_V6: [[u16; 8]; 4] = [
    [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
    [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23],
    [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],
    [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe],
];

/// Whether an address is one that no pod can have: see [`compile`](crate::compile()) for what is done about it.
pub fn forbidden_range(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        a if a.is_unspecified() => Some("the unspecified address"),
        a if a.is_multicast() => Some("a multicast address"),
        IpAddr::V4(a) if a.is_link_local() => Some("link-local, where clouds keep their metadata servers"),
        IpAddr::V4(a) if a.is_broadcast() => Some("the broadcast address"),
        // Azure's WireServer and Alibaba's metadata server are the two that hide outside the link-local range.
        IpAddr::V4(a) if matches!(a.octets(), [168, 63, 129, 16] | [100, 100, 100, 200]) => Some("a cloud's metadata server"),
        IpAddr::V6(a) if a.is_unicast_link_local() => Some("link-local, where clouds keep their metadata servers"),
        // Metadata servers with an address in IPv6's private range: EC2's and EKS's, Google's, Oracle's.
        IpAddr::V6(a) if METADATA_V6.contains(&a.segments()) => Some("a cloud's metadata server"),
        _ => None,
    }
}
