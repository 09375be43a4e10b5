//! The closed sets of label values. A call site picks a variant, so that no text from a request becomes a label.

use std::fmt::Write;

use causeway_config::TlsVersion;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use serde::{Serialize, Serializer};

macro_rules! label_values {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value as the label says it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
                encoder.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    )+};
}

label_values! {
    /// The class of a response's status.
    Status {
        /// 1xx: the connection was upgraded.
        Informational = "1xx",
        /// 2xx.
        Success = "2xx",
        /// 3xx.
        Redirection = "3xx",
        /// 4xx.
        ClientError = "4xx",
        /// 5xx.
        ServerError = "5xx",
        /// No response was sent: the client went away first.
        Aborted = "aborted",
    }

    /// Why a request was tried again.
    RetryReason {
        /// No connection could be made.
        Connect = "connect",
        /// The backend refused the stream (HTTP/2 `REFUSED_STREAM`, or a pooled connection that had closed).
        Refused = "refused",
        /// The connection broke before a response began.
        Reset = "reset",
        /// No response header came within the try's time.
        Timeout = "timeout",
        /// The backend answered 502, 503 or 504.
        Status = "status",
    }

    /// How a health check ended.
    CheckResult {
        /// The endpoint is well.
        Passed = "passed",
        /// It is not, or did not say so in time.
        Failed = "failed",
    }

    /// Why the edge itself answered a request with an error, or a connection with nothing.
    RefusalReason {
        /// The connection did not begin with the PROXY protocol header that it must, or with one that is not believed.
        ProxyProtocol = "proxy_protocol",
        /// There are as many connections as may be; it is closed.
        Connections = "connections",
        /// The client has as many connections as it may; it is closed.
        ClientConnections = "client_connections",
        /// The client begins more TLS handshakes than it may; the connection is closed.
        Handshakes = "handshakes",
        /// Memory is short, and the connection is closed.
        Memory = "memory",
        /// HTTP/2 frames that cost work and bring nothing come too fast; the connection is closed.
        Http2Flood = "http2_flood",
        /// The client opens more HTTP/2 streams at a time than it may; they are reset (`REFUSED_STREAM`).
        Streams = "streams",
        /// The request's header did not come in time; the connection is closed.
        SlowHeader = "slow_header",
        /// The client stopped sending the body (408).
        SlowBody = "slow_body",
        /// The client takes nothing of a response, or next to nothing; its stream or connection is ended.
        SlowReader = "slow_reader",
        /// The request's body is longer than the host takes (413).
        BodyTooLarge = "body_too_large",
        /// The client sends more requests than the host takes (429).
        RateLimit = "rate_limit",
        /// The request breaks HTTP's rules (400).
        BadRequest = "bad_request",
        /// Its header is longer than is allowed (431, 414).
        TooLarge = "too_large",
        /// The connection was made for a name with another TLS policy or certificate (421).
        Misdirected = "misdirected",
        /// The home cluster has not been read yet, so that nothing is known of any host (503).
        Starting = "starting",
        /// No route matches (404).
        NoRoute = "no_route",
        /// The route has no usable backend (503).
        NoBackend = "no_backend",
        /// No cluster inside the host's residency fence can serve it (503).
        Fence = "fence",
        /// No endpoint can serve it now (503).
        NoEndpoint = "no_endpoint",
        /// It has crossed between clouds before, or was sent on by an edge of this fleet (508).
        Loop = "loop",
        /// The last endpoint that was tried could not be reached, or broke off (502).
        Upstream = "upstream",
        /// Time ran out (504).
        Timeout = "timeout",
        /// The pool has as many requests as it is given at a time, and so has its queue (503).
        Overload = "overload",
    }

    /// Why a connection on the peer port got nothing.
    PeerRefusal {
        /// This edge has no certificates of the fleet, or none that it can use.
        NoTrust = "no_trust",
        /// The handshake failed: no certificate of the fleet's authority was shown, or this edge's was not believed.
        Handshake = "handshake",
        /// The certificate is expired, revoked, or no longer covered by the authorities.
        Certificate = "certificate",
        /// It names a cluster that the configuration does not have.
        UnknownCluster = "unknown_cluster",
    }

    /// What is reloaded while serving goes on.
    Reload {
        /// The configuration file.
        Config = "config",
        /// The geo database.
        Geo = "geo",
        /// Certificates in files or Secrets.
        Certificates = "certificates",
        /// The fleet's certificates.
        Fleet = "fleet",
    }

    /// How a reload ended.
    ReloadResult {
        /// The new state is in use.
        Ok = "ok",
        /// The new state was refused; the old one stays in use.
        Error = "error",
    }

    /// A port.
    Listener {
        /// Clients, plain.
        Http = "http",
        /// Clients, TLS.
        Https = "https",
        /// Other edges.
        Peer = "peer",
        /// Liveness and readiness.
        Health = "health",
        /// Operators.
        Admin = "admin",
    }

    /// How a TLS handshake with a client ended.
    Handshake {
        /// It stands.
        Ok = "ok",
        /// One side broke a rule, or trusted the other side's certificate too little.
        Error = "error",
        /// It took too long.
        Timeout = "timeout",
        /// It was carried to an edge inside the host's fence, and ends there.
        Relayed = "relayed",
        /// The client went away in its midst, as port scanners and load balancers' TCP checks do.
        Closed = "closed",
    }

    /// Where a certificate comes from.
    CertificateSource {
        /// A Secret of a cluster.
        Secret = "secret",
        /// A PEM file.
        File = "file",
        /// An ACME authority.
        Acme = "acme",
        /// Made by this edge.
        SelfSigned = "self_signed",
        /// The fleet's own authority, for the peer port.
        Fleet = "fleet",
    }
}

impl From<u16> for Status {
    /// The class of a status code; what is none counts as a server error, since a backend made it up.
    fn from(code: u16) -> Self {
        match code / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// A name out of the fleet's objects as a label value. The encoder writes values as they are, so that a quote in a
/// file's name would break the whole exposition: `OpenMetrics` 1.0 wants these three escaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a>(pub(super) &'a str);

impl EncodeLabelValue for Name<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        for piece in self.0.split_inclusive(['\\', '"', '\n']) {
            let (plain, special) = match piece.char_indices().next_back() {
                Some((at, c @ ('\\' | '"' | '\n'))) => (&piece[..at], Some(c)),
                _ => (piece, None),
            };
            encoder.write_str(plain)?;
            match special {
                Some('\n') => encoder.write_str("\\n")?,
                Some(c) => write!(encoder, "\\{c}")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// The label of a TLS version, or of a handshake that did not get as far.
pub(super) fn tls_version(version: Option<TlsVersion>) -> &'static str {
    match version {
        Some(TlsVersion::V1_2) => "1.2",
        Some(TlsVersion::V1_3) => "1.3",
        None => "none",
    }
}
