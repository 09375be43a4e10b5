//! `listen`, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

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
