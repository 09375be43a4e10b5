//! The YAML file, field by field: shapes and nothing else.
//!
//! Every value is an [`At`], so that a fault in one does not hide faults in others, and so that a later check can name
//! the place. Absence is `At`'s default; which fields must be given, and what a text means, [`crate::parse`] decides.
//! The doc comments are for the author of the file: the JSON Schema shows them in editors.

mod host;
mod limits;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

pub use self::host::{RawHealthCheck, RawHost, RawSessionPersistence, RawTerminate};
pub use crate::tree::de::At;
pub use limits::*;

/// One configuration for every edge of a fleet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Causeway configuration", extend("required" = ["clusters"]))]
pub struct RawConfig {
    /// The fleet's name, and the certificates by which its edges know each other.
    pub fleet: At<RawFleet>,
    /// Where an edge listens. Addresses and PROXY protocol take effect with a restart.
    pub listen: At<RawListen>,
    /// The Kubernetes clusters, by name. Their order breaks ties: earlier ones win.
    pub clusters: At<Entries<RawCluster>>,
    /// Where clients are, and which clusters they prefer.
    pub geo: At<RawGeo>,
    /// Policies by host: `bank.example.com`, `*.example.com`, or `*` for every other host.
    pub hosts: At<Entries<RawHost>>,
    /// Whether hosts that `hosts` does not name are refused. Default: false.
    pub strict_hosts: At<bool>,
    /// The ingress class names that are served. Default: `[causeway]`.
    pub ingress_classes: At<Vec<At<String>>>,
    /// Which namespaces mean the same thing in every cluster. Default: all but `kube-*`.
    pub sameness: At<RawSameness>,
    /// Certificates and TLS versions towards clients.
    pub tls: At<RawTls>,
    /// What clients are held to.
    pub limits: At<RawLimits>,
    /// How long backends may take, and how often a request is tried.
    pub upstream: At<RawUpstream>,
    /// What responses tell of their way.
    pub responses: At<RawResponses>,
    /// The access log: JSON, a line a request, on standard output.
    pub access_log: At<RawAccessLog>,
    /// How an edge ends that was told to.
    pub drain: At<RawDrain>,
    /// How a new process takes over from the one that runs. Takes effect with a restart. Default: it does not.
    pub handover: At<RawHandover>,
    /// A folder for what API servers said last, so that an edge can start while they do not answer; `off` keeps nothing.
    /// Secrets are never in it. Takes effect with a restart. Default: /var/lib/causeway.
    pub state_dir: At<String>,
}

/// The fleet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawFleet {
    /// A DNS label; the certificates of edges carry it. Default: `causeway`.
    pub name: At<String>,
    /// Certificates for mutual TLS between edges. Without them an edge opens no peer listener.
    pub tls: At<RawFleetTls>,
    /// Certificates of edges that are believed no more: serial numbers, or SHA-256 fingerprints. Default: none.
    pub revoked: At<Vec<At<String>>>,
    /// A file of 32 or more random bytes, the same for all edges: session cookies are signed by what is derived from it. Default:
    /// each process draws its own, and a session ends where another edge serves it.
    pub secret: At<String>,
    /// Where an edge finds the others of its own cluster, as a name or an address with a port or else 8444. Default: as edges
    /// elsewhere find them.
    pub siblings: At<Vec<At<String>>>,
}

/// PEM files for mutual TLS between edges.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["ca", "cert", "key"]))]
pub struct RawFleetTls {
    /// The trusted authorities.
    pub ca: At<String>,
    /// This edge's certificate, leaf first.
    pub cert: At<String>,
    /// The certificate's key.
    pub key: At<String>,
}

/// The listeners of an edge.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawListen {
    /// Clients without TLS: redirected to https, unless `mode` says otherwise. `off` closes it. Default: 0.0.0.0:80.
    pub http: At<RawMaybe<RawPlainListener>>,
    /// Clients with TLS. Default: 0.0.0.0:443.
    pub https: At<RawClientListener>,
    /// Edges of the other clusters, by mutual TLS. Default: 0.0.0.0:8444 where `fleet.tls` is given, else `off`.
    pub peer: At<RawMaybe<RawListener>>,
    /// /healthz and /readyz. Default: 0.0.0.0:8081.
    pub health: At<RawListener>,
    /// Metrics, explain, snapshot. Default: 127.0.0.1:9900.
    pub admin: At<RawListener>,
}

/// `off`, or settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawMaybe<T> {
    /// No such listener.
    #[serde(rename = "$scalar")]
    Off(RawOff),
    /// A listener.
    #[serde(rename = "$map")]
    On(T),
}

/// No such listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawOff {
    /// Closed.
    Off,
}

/// A listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawListener {
    /// `ADDRESS:PORT`, or a list of them. Port 0 lets the kernel choose.
    pub bind: At<RawBind>,
}

/// A listener that clients reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawClientListener {
    /// `ADDRESS:PORT`, or a list of them. Port 0 lets the kernel choose.
    pub bind: At<RawBind>,
    /// Whether connections begin with a PROXY protocol header, version 1 or 2.
    pub proxy_protocol: At<RawProxyProtocol>,
    /// Networks of proxies whose X-Forwarded-For is believed. Default: none.
    pub forwarded_for: At<Vec<At<String>>>,
}

/// The listener that clients reach without TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPlainListener {
    /// `ADDRESS:PORT`, or a list of them. Port 0 lets the kernel choose.
    pub bind: At<RawBind>,
    /// Whether connections begin with a PROXY protocol header, version 1 or 2.
    pub proxy_protocol: At<RawProxyProtocol>,
    /// Networks of proxies whose X-Forwarded-For is believed. Default: none.
    pub forwarded_for: At<Vec<At<String>>>,
    /// Whether requests are sent to https (`redirect`) or served (`proxy`). Default: `redirect`.
    pub mode: At<RawPlainMode>,
    /// Whether HTTP/2 is taken too, of clients that know beforehand that it is spoken here. Needs `mode: proxy`. Default: false.
    pub h2c: At<bool>,
}

/// What becomes of requests without TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawPlainMode {
    /// They are sent to https.
    Redirect,
    /// They are served, but for hosts with a fence, client certificates or a TLS version of their own.
    Proxy,
}

/// One address or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawBind {
    /// `0.0.0.0:443`
    #[serde(rename = "$scalar")]
    One(At<String>),
    /// `["0.0.0.0:443", "[::]:443"]`
    #[serde(rename = "$list")]
    Several(Vec<At<String>>),
}

/// PROXY protocol.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawProxyProtocol {
    /// `off`, `optional` or `required`. Default: `off`.
    pub mode: At<RawProxyProtocolMode>,
    /// Networks that may send the header; needed unless the mode is `off`.
    pub from: At<Vec<At<String>>>,
}

/// Whether a PROXY protocol header comes first.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawProxyProtocolMode {
    /// Never.
    Off,
    /// From senders in `from` it may.
    Optional,
    /// Always, and only from senders in `from`.
    Required,
}

/// One Kubernetes cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawCluster {
    /// A region's name at AWS, Azure or Google, or `{lat, lon}`.
    pub location: At<RawLocation>,
    /// A kubeconfig file, for edges of other clusters. At home the pod's service account is used.
    pub kubeconfig: At<String>,
    /// The context in `kubeconfig`. Default: its current one.
    pub context: At<String>,
    /// The namespaces that are read, for accounts with Roles and no `ClusterRole`. Default: all.
    pub namespaces: At<Vec<At<String>>>,
    /// A folder of Kubernetes YAML, instead of an API server.
    pub manifests: At<String>,
    /// How edges elsewhere reach this cluster's pods: `edge`, `direct`, or `{direct: {plaintext: true}}`. Default: `edge`.
    pub reach: At<RawReach>,
    /// Where edges elsewhere find this cluster's edges: `dns`, `service`, `addresses` or `nodes`. Default: its nodes.
    pub peers: At<RawPeers>,
    /// Networks of this cluster's pods; endpoints outside are refused. `direct` needs it.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: At<Vec<At<String>>>,
    /// Take endpoint addresses in 127.0.0.0/8 and `::1`: for demonstrations on one machine only. Default: false.
    pub allow_loopback_endpoints: At<bool>,
    /// The hosts that this cluster may claim. Default: any.
    pub may_serve: At<Vec<At<String>>>,
    /// `active`, `drain` (nothing new) or `off` (no routes, no endpoints). Default: `active`.
    pub state: At<RawClusterState>,
    /// Multiplies this cluster's part of its tier; 0 takes nothing new. Default: 1.
    pub weight: At<f64>,
    /// How long its objects are believed without news of its API server, or `forever`. Default: 1h.
    pub max_stale: At<RawMaxStale>,
}

/// A place on the globe.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawLocation {
    /// `us-east-1`, `westeurope`, `asia-southeast1`
    #[serde(rename = "$scalar")]
    Region(String),
    /// `{lat: 1.35, lon: 103.82}`
    #[serde(rename = "$map")]
    Point(RawCoordinates),
}

/// A point on the globe, in degrees (WGS 84).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["lat", "lon"]))]
pub struct RawCoordinates {
    /// North is positive; -90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub lat: At<f64>,
    /// East is positive; -180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub lon: At<f64>,
}

/// How pods are reached from elsewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawReach {
    /// `edge` or `direct`
    #[serde(rename = "$scalar")]
    Word(RawReachWord),
    /// `{direct: {plaintext: true}}`
    #[serde(rename = "$map")]
    Settings(RawReachSettings),
}

/// How pods are reached from elsewhere.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawReachWord {
    /// Through that cluster's edges.
    Edge,
    /// By pod address, over a flat network, with TLS.
    Direct,
}

/// `direct`, with settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["direct"]))]
pub struct RawReachSettings {
    /// By pod address, over a flat network.
    pub direct: At<RawDirect>,
}

/// By pod address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDirect {
    /// Let plain HTTP cross between the clouds. Default: false.
    pub plaintext: At<bool>,
}

/// Where a cluster's edges are; exactly one of the four.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPeers {
    /// A DNS name, with a port or else 8444.
    pub dns: At<String>,
    /// `namespace/name` of a Service in that cluster, whose load balancer leads to its edges.
    pub service: At<String>,
    /// `ADDRESS:PORT` of each.
    pub addresses: At<Vec<At<String>>>,
    /// Which addresses of its nodes. Without `peers` it is the external one of a node that has one, else the internal one.
    pub nodes: At<RawNodeAddress>,
}

/// Which address of a node.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawNodeAddress {
    /// Its `InternalIP`.
    Internal,
    /// Its `ExternalIP`.
    External,
}

/// Whether a cluster takes part.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawClusterState {
    /// It serves.
    Active,
    /// It takes nothing new while another cluster can.
    Drain,
    /// Its routes, endpoints and certificates are gone.
    Off,
}

/// Where clients are, and what they prefer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawGeo {
    /// A MaxMind database file (.mmdb) of countries or cities. Without one every location is unknown.
    pub database: At<String>,
    /// Country (two letters) by network, asked before the database; the longest prefix wins.
    pub networks: At<Entries<String>>,
    /// Which clusters serve whom. Default: nearest first.
    pub prefer: At<RawPreference>,
}

/// Which clusters serve whom; the most specific rule wins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPreference {
    /// By ISO 3166-2 code: `US-CA`.
    pub subdivisions: At<Entries<Vec<At<RawTier>>>>,
    /// By ISO 3166-1 code: `DE`.
    pub countries: At<Entries<Vec<At<RawTier>>>>,
    /// By AF, AN, AS, EU, NA, OC or SA.
    pub continents: At<Entries<Vec<At<RawTier>>>>,
    /// For known locations that no rule names. Default: nearest first.
    pub default: At<Vec<At<RawTier>>>,
}

/// A tier: a cluster, or a list of equals.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawTier {
    /// `aws`
    #[serde(rename = "$scalar")]
    One(At<String>),
    /// `[aws, azure]`
    #[serde(rename = "$list")]
    Equals(Vec<At<String>>),
}

/// Which namespaces mean the same thing in every cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawSameness {
    /// Only these. Default: all.
    pub include: At<Vec<At<String>>>,
    /// Not these. Default: none.
    pub exclude: At<Vec<At<String>>>,
}

/// TLS towards clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTls {
    /// The oldest version spoken: `"1.2"` or `"1.3"`. Default: `"1.2"`.
    pub min_version: At<RawTlsVersion>,
    /// Certificates in PEM files.
    pub files: At<Vec<At<RawCertFile>>>,
    /// `namespace/name` of Secrets with certificates, besides those that Ingresses name.
    pub secrets: At<Vec<At<String>>>,
    /// The certificate for clients without SNI, or with an unknown one: `{secret}` or `{cert, key}`. Default: a self-signed one.
    pub default: At<RawDefaultCertificate>,
    /// A file of at least 32 random bytes, the same for every edge, so that clients resume sessions at any of them. Default:
    /// each edge resumes its own. Takes effect with a restart.
    pub ticket_secret: At<String>,
}

/// Mutual TLS with clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawClientCertificates {
    /// A file of the trusted authorities, PEM. Or `secret`, or `configMap`.
    pub ca: At<String>,
    /// `namespace/name` of a Secret of the home cluster whose entry `ca.crt` holds them.
    pub secret: At<String>,
    /// The same in a `ConfigMap`.
    pub config_map: At<String>,
    /// `required`, or `optional`: clients without a certificate come in too. Default: `required`.
    pub mode: At<RawClientCertificateMode>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawClientCertificateMode {
    /// They must.
    Required,
    /// They may.
    Optional,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum RawTlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A certificate and its key in PEM files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["cert", "key"]))]
pub struct RawCertFile {
    /// The chain, leaf first.
    pub cert: At<String>,
    /// The key.
    pub key: At<String>,
}

/// A Secret, or files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDefaultCertificate {
    /// `namespace/name` of a Secret.
    pub secret: At<String>,
    /// The chain, leaf first; with `key`, instead of `secret`.
    pub cert: At<String>,
    /// The key.
    pub key: At<String>,
}

/// Towards backends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawUpstream {
    /// Until a connection stands. Default: 1s.
    pub connect_timeout: At<RawDuration>,
    /// From the request to the response's header, each try; `auto`: 15s, and for idempotent requests 20 times the 99th percentile
    /// that was learned, at least 1s. Default: auto.
    pub response_timeout: At<RawResponseTimeout>,
    /// From the request to the response's header, all tries together, or `off`. Default: 30s, or twice a longer
    /// `responseTimeout`.
    pub request_timeout: At<RawRequestTimeout>,
    /// How often a request is tried in all, at least 1. Default: 3.
    #[schemars(range(min = 1))]
    pub attempts: At<u32>,
    /// Requests that this edge gives a pool at a time, or `off`; beyond them requests wait. Default: 10000.
    pub max_requests: At<RawCount>,
    /// Requests that may wait; beyond them: 503. Default: 100.
    pub max_pending: At<u32>,
    /// How long they wait; then: 503. Default: 500ms.
    pub pending_timeout: At<RawDuration>,
}

/// What responses tell of their way.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawResponses {
    /// Add `causeway-served-by: CLUSTER`. Default: true.
    pub served_by: At<bool>,
}

/// The access log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawAccessLog {
    /// Whether it is written. Default: false.
    pub enabled: At<bool>,
}

/// The end of an edge that was told to stop.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDrain {
    /// How long it serves on, not ready, until load balancers have noticed. Default: 30s.
    pub lame_duck: At<RawDuration>,
    /// How long what is under way may take after that. Default: 60s.
    pub timeout: At<RawDuration>,
}

/// From process to process on one machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["socket"]))]
pub struct RawHandover {
    /// A Unix socket that both processes reach; its folder must belong to their user.
    pub socket: At<String>,
    /// How long the new process may take until it is ready; then it gives up, and the old one serves on. Default: 60s.
    pub timeout: At<RawDuration>,
}

/// A whole number and a unit: `250ms`, `30s`, `10m`, `1h`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = "^[0-9]+(ms|s|m|h)$"))]
pub struct RawDuration(pub String);

/// A duration, or `auto`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = "^([0-9]+(ms|s|m|h)|auto)$"))]
pub struct RawResponseTimeout(pub String);

/// A duration, or `off`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = "^([0-9]+(ms|s|m|h)|off)$"))]
pub struct RawRequestTimeout(pub String);

/// A duration, or `forever`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = "^([0-9]+(ms|s|m|h)|forever)$"))]
pub struct RawMaxStale(pub String);

/// A mapping whose keys are data, in the order of the file.
#[derive(Debug)]
pub struct Entries<V>(pub Vec<(At<String>, At<V>)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
            type Value = Entries<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", V::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<V>() })
    }
}
