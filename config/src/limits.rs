//! Limits towards clients: how long, how much, how many. Every one has a default that docs/security.md gives the reason for.

use std::time::Duration;

/// What clients are held to. `None` is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Open connections of clients, over all listeners.
    pub connections: Option<u32>,
    /// Open connections of one client address (an IPv4 address, or an IPv6 /64).
    pub connections_per_client: Option<u32>,
    /// New TLS handshakes of one client address, a second.
    pub handshakes_per_client: Option<u32>,
    /// Resident memory above which new connections are refused.
    pub memory: MemoryLimit,
    /// How long a sender may take for its PROXY protocol header.
    pub proxy_header_timeout: Duration,
    /// How long a client may take for the TLS handshake.
    pub handshake_timeout: Duration,
    /// How long a request's head may take from its first byte to its last.
    pub request_header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a client may send nothing of a body, or take nothing of a response.
    pub body_idle_timeout: Duration,
    /// A connection ends at this age, give or take a tenth.
    pub connection_age: Duration,
    /// Bytes of a request line.
    pub request_line: u32,
    /// Bytes of a request's head.
    pub request_header: u32,
    /// Fields of a request's head.
    pub request_fields: u32,
    /// What is special to HTTP/2.
    pub http2: Http2Limits,
}

/// What clients that speak HTTP/2 are held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Http2Limits {
    /// How long a client may take for the connection preface.
    pub preface_timeout: Duration,
    /// How long a connection without a request may stay.
    pub idle_timeout: Duration,
    /// Requests at a time.
    pub streams: u32,
    /// PING, SETTINGS, PRIORITY, `RST_STREAM`, empty DATA and unknown frames a second.
    pub control_frames: u32,
}

/// Resident memory above which new connections are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// 85 % of what the process's control group may use; none where it may use everything.
    #[default]
    Auto,
    /// None.
    Off,
    /// Bytes.
    Bytes(u64),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Some(50_000),
            connections_per_client: Some(10_000),
            handshakes_per_client: Some(1_000),
            memory: MemoryLimit::Auto,
            proxy_header_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(10),
            request_header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            body_idle_timeout: Duration::from_mins(1),
            connection_age: Duration::from_hours(1),
            request_line: 8 << 10,
            request_header: 64 << 10,
            request_fields: 100,
            http2: Http2Limits::default(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self { preface_timeout: Duration::from_secs(5), idle_timeout: Duration::from_mins(2), streams: 100, control_frames: 1000 }
    }
}

/// How many requests of one client a host takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// So many ...
    pub requests: u32,
    /// ... in this time, evenly;
    pub per: Duration,
    /// and so many at once.
    pub burst: u32,
    /// What tells clients apart.
    pub by: RateKey,
}

/// What tells clients apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// Their address.
    #[default]
    Client,
    /// The value of a request header, in lower case; those without it share one.
    Header(String),
}

/// How many requests a pool is given at a time by one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests in flight; `None` is no limit.
    pub requests: Option<u32>,
    /// How many more may wait for one of them to end.
    pub pending: u32,
    /// How long.
    pub pending_timeout: Duration,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { requests: Some(10_000), pending: 100, pending_timeout: Duration::from_millis(500) }
    }
}
