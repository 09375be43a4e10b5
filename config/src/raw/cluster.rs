//! An entry of `clusters`, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, RawMaxStale};

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
