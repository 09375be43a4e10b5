//! `hosts`, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, RawClientCertificates, RawDuration, RawPreference, RawRateLimit, RawSize, RawTlsVersion};

/// What is special about a host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHost {
    /// `cluster/namespace` (or `*/namespace`) of those who may route it. Default: the first that claims it.
    pub owners: At<Vec<At<String>>>,
    /// The residency fence: only these clusters ever see a request. Default: no fence.
    pub allow: At<Vec<At<String>>>,
    /// Where its TLS may end: `anywhere`, or only `inside` the fence. Default: `anywhere`.
    pub terminate: At<RawTerminate>,
    /// Its own preference, instead of `geo.prefer`.
    pub prefer: At<RawPreference>,
    /// The oldest TLS version it speaks, in quotes. Default: that of `tls`.
    #[serde(rename = "minTLS")]
    pub min_tls: At<RawTlsVersion>,
    /// Clients must show a certificate of an authority.
    pub client_certificates: At<RawClientCertificates>,
    /// How many requests of one client it takes; beyond: 429.
    pub rate_limit: At<RawRateLimit>,
    /// Bytes of a request's body, such as `10MiB`; beyond: 413. Default: any.
    pub max_body: At<RawSize>,
    /// Whether a client's requests stay with the endpoint that served its first, by a cookie. Default: they do not.
    pub session_persistence: At<RawSessionPersistence>,
    /// Asks its endpoints whether they are well. Default: only readiness and requests tell.
    pub health_check: At<RawHealthCheck>,
}

/// How endpoints are asked whether they are well; `{}` is enough.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHealthCheck {
    /// A path that is asked for by GET. Default: none, and a connection is enough.
    pub path: At<String>,
    /// The status that is expected there. Default: any from 200 to 299.
    pub status: At<u32>,
    /// How often. Default: 5s.
    pub interval: At<RawDuration>,
    /// How long an answer may take. Default: 1s.
    pub timeout: At<RawDuration>,
    /// How many checks in a row must fail. Default: 3.
    pub unhealthy_threshold: At<u32>,
    /// How many must pass again. Default: 2.
    pub healthy_threshold: At<u32>,
}

/// Sessions that stay with an endpoint, by a cookie.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawSessionPersistence {
    /// The cookie's name. Default: `causeway-session`.
    pub session_name: At<String>,
    /// When the session ends, whatever is done with it. Default: with the browser.
    pub absolute_timeout: At<RawDuration>,
}

/// Where TLS may end.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RawTerminate {
    /// At any edge.
    Anywhere,
    /// At edges of the clusters in `allow`.
    Inside,
}
