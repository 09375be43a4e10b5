//! `limits`, and the limits of hosts and backends.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, RawDuration};

/// What clients are held to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawLimits {
    /// Open connections of clients, or `off`. Default: 50000.
    pub connections: At<RawCount>,
    /// Open connections of one client address (an IPv4 address, or an IPv6 /64), or `off`. Default: 10000.
    pub connections_per_client: At<RawCount>,
    /// New TLS handshakes of one client address a second, or `off`. Default: 1000.
    pub handshakes_per_client: At<RawCount>,
    /// Resident memory above which new connections are refused: a size, `off`, or `auto` for 85 % of the control group's
    /// limit. Default: `auto`.
    pub memory: At<RawSize>,
    /// How long a sender may take for its PROXY protocol header. Default: 3s.
    pub proxy_header_timeout: At<RawDuration>,
    /// How long a client may take for the TLS handshake. Default: 10s.
    pub handshake_timeout: At<RawDuration>,
    /// How long a request's head may take from its first byte to its last. Default: 10s.
    pub request_header_timeout: At<RawDuration>,
    /// How long a connection may wait for its next request. Default: 60s.
    pub idle_timeout: At<RawDuration>,
    /// How long a client may send nothing of a body, or take nothing of a response. Default: 60s.
    pub body_idle_timeout: At<RawDuration>,
    /// A connection ends at this age, give or take a tenth. Default: 1h.
    pub connection_age: At<RawDuration>,
    /// Bytes of a request line; beyond: 414. Default: 8KiB.
    pub request_line: At<RawSize>,
    /// Bytes of a request's head; beyond: 431. Default: 64KiB.
    pub request_header: At<RawSize>,
    /// Fields of a request's head; beyond: 431. Default: 100.
    #[schemars(range(min = 1, max = 255))]
    pub request_fields: At<u32>,
    /// What is special to HTTP/2.
    pub http2: At<RawHttp2Limits>,
}

/// What clients that speak HTTP/2 are held to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHttp2Limits {
    /// How long a client may take for the connection preface. Default: 5s.
    pub preface_timeout: At<RawDuration>,
    /// How long a connection without a request may stay. Takes effect with a restart. Default: 120s.
    pub idle_timeout: At<RawDuration>,
    /// Requests at a time. Takes effect with a restart. Default: 100.
    #[schemars(range(min = 1))]
    pub streams: At<u32>,
    /// PING, SETTINGS, PRIORITY, `RST_STREAM`, empty DATA and unknown frames a second. Default: 1000.
    #[schemars(range(min = 1))]
    pub control_frames: At<u32>,
}

/// How many requests of one client a host takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["requests"]))]
pub struct RawRateLimit {
    /// So many ...
    #[schemars(range(min = 1))]
    pub requests: At<u32>,
    /// ... in this time, evenly. Default: 1s.
    pub per: At<RawDuration>,
    /// So many at once. Default: `requests`.
    #[schemars(range(min = 1))]
    pub burst: At<u32>,
    /// What tells clients apart: `client` (their address), or `{header: NAME}`. Default: `client`.
    pub by: At<RawRateKey>,
}

/// What tells clients apart.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub enum RawRateKey {
    /// `client`
    #[serde(rename = "$scalar")]
    Word(RawRateWord),
    /// `{header: NAME}`
    #[serde(rename = "$map")]
    Header(RawRateHeader),
}

/// The client's address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawRateWord {
    /// Its address: IPv4, or the /64 of IPv6.
    Client,
}

/// A header of the request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["header"]))]
pub struct RawRateHeader {
    /// Its name. Requests without it count together.
    pub header: At<String>,
}

/// A whole number, or `off`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = "^([1-9][0-9]*|off)$", "type" = ["string", "integer"]))]
pub struct RawCount(pub String);

/// Bytes: a whole number, and a unit unless they are counted one by one: `8KiB`, `10MiB`, `2GiB`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("type" = ["string", "integer"]))]
pub struct RawSize(pub String);
