//! `tls`, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

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
