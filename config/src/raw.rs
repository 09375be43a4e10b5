//! The YAML file, field by field: shapes and nothing else.
//!
//! Every value is an [`At`], so that a fault in one does not hide faults in others, and so that a later check can name
//! the place. Absence is `At`'s default; which fields must be given, and what a text means, [`crate::parse`] decides.
//! The doc comments are for the author of the file: the JSON Schema shows them in editors.

mod cluster;
mod host;
mod limits;
mod listen;
mod tls;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

pub use self::host::{RawHealthCheck, RawHost, RawSessionPersistence, RawTerminate};
pub use crate::tree::de::At;
pub use cluster::*;
pub use limits::*;
pub use listen::*;
pub use tls::*;

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
