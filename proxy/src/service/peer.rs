//! A candidate as the engine's peer: where to connect, how, and how long to wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::cluster::{AppProtocol, BackendTls, Trust};
use pingora::connectors::L4Connect;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use super::dial::Dialers;
use crate::authorities::{Authorities, BackendCa};

/// How long a connection to a backend is kept for the next request. Backends close idle ones too, most after 60 s or more
/// (nginx 75 s, Go 120 s); whoever closes first must not be the one that a request is on its way to.
const IDLE: Duration = Duration::from_secs(50);

/// Requests that share one HTTP/2 connection; what most servers allow.
const STREAMS: usize = 100;

/// How a request wants to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// A request, then a response: each has to begin in time.
    Exchange,
    /// A stream, on which silence means nothing.
    Stream,
    /// An upgrade, which exists in HTTP/1.1 only.
    Upgrade,
}

/// What a backend that speaks TLS has to prove.
#[derive(Clone, Copy)]
pub(crate) struct Proof<'a> {
    /// The name that it is asked for, and that its certificate must be for.
    name: &'a str,
    /// Who must vouch for it; `None`: the system's authorities.
    ca: Option<&'a BackendCa>,
}

impl<'a> Proof<'a> {
    /// What a backend of `cluster` has to prove that is asked for `host`. An error where it cannot prove it to anybody: then it is
    /// not called.
    pub(crate) fn of(
        known: &'a Authorities,
        cluster: &ClusterId,
        tls: Option<&'a BackendTls>,
        host: &'a str,
    ) -> pingora::Result<Self> {
        let name = tls.and_then(|tls| tls.hostname.as_deref()).unwrap_or(host);
        let ca = match tls.map(|tls| &tls.trust) {
            None | Some(Trust::System) => return Ok(Self { name, ca: None }),
            Some(Trust::Ca(ca)) => known.backends.get(&(cluster.clone(), ca.clone())),
            Some(Trust::Nobody) => None,
        };
        match ca {
            Some(ca) => Ok(Self { name, ca: Some(ca) }),
            None => Error::e_explain(ErrorType::ConnectError, "the authorities of the backend cannot be had"),
        }
    }
}

/// The peer for one try.
pub(crate) fn peer(
    address: SocketAddr,
    protocol: AppProtocol,
    proof: Proof<'_>,
    carriage: Carriage,
    connect: Duration,
    dialers: &Dialers,
) -> HttpPeer {
    let tls = protocol.is_tls();
    let h2 = protocol.is_h2() && carriage != Carriage::Upgrade;
    // The engine verifies nothing when the name is empty; a request without a host never comes this far, and an annotation holds
    // a host name.
    let name = if tls { proof.name.to_owned() } else { String::new() };
    let mut peer = HttpPeer::new(address, tls, name);
    // Part of the pool's key, which holds neither protocol nor authorities: a connection made for one is never used for another.
    peer.group_key = match protocol {
        AppProtocol::Http => 1,
        AppProtocol::H2c if h2 => 2,
        AppProtocol::H2c => 3,
        AppProtocol::H2 if h2 => 5,
        AppProtocol::Https | AppProtocol::H2 => 4,
    };
    let upgrade = carriage == Carriage::Upgrade;
    if upgrade {
        // Connections for upgrades are of another kind, and are not kept.
        peer.group_key += 8;
    }
    let options = &mut peer.options;
    if tls && let Some(BackendCa { ca, group }) = proof.ca {
        peer.group_key ^= group;
        options.ca = Some(Arc::clone(ca));
    }
    options.connection_timeout = Some(connect);
    // The dialer knows of no limit but this one. A handshake takes up to two round trips more than a connection, and processor
    // time on the other side.
    options.total_connection_timeout = Some(if tls { connect * 3 } else { connect });
    options.idle_timeout = Some(IDLE);
    if h2 {
        options.set_http_version(2, 2);
        options.max_h2_streams = STREAMS;
    } else {
        options.set_http_version(1, 1);
    }
    let dialer = if upgrade { &dialers.upgrade } else { &dialers.exchange };
    options.custom_l4 = Some(Arc::clone(dialer) as Arc<dyn L4Connect + Send + Sync>);
    peer
}

/// The peer for a health check: connected to as for a request, and never kept.
pub(crate) fn check_peer(address: SocketAddr, protocol: AppProtocol, proof: Proof<'_>, patience: Duration) -> HttpPeer {
    let mut peer = peer(address, protocol, proof, Carriage::Exchange, patience, &Dialers::default());
    peer.group_key += 16;
    peer.options.max_h2_streams = 1;
    peer
}

/// Over HTTP/2: a connection that carries nothing else meanwhile. A request with a body has one, so that its try can be ended from outside
/// as one over HTTP/1.1: the engine has no limit that begins when the body is sent, and no way to reset one stream of many.
pub(crate) fn alone(peer: &mut HttpPeer) {
    if peer.options.alpn.get_min_http_version() == 2 {
        peer.options.max_h2_streams = 1;
    }
}

/// Over HTTP/2: how long the response's header may take, and each pause within its body, before the engine resets this stream and no
/// other. Not for a request whose body is still being sent, since that would count.
pub(crate) fn limit_stream(peer: &mut HttpPeer, limit: Option<Duration>) {
    if peer.options.alpn.get_min_http_version() == 2 {
        peer.options.read_timeout = limit;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use pingora::upstreams::peer::Peer;

    use super::*;

    const ADDRESS: &str = "10.0.0.1:8080";

    fn to(protocol: AppProtocol, proof: Proof<'_>, carriage: Carriage) -> HttpPeer {
        peer(ADDRESS.parse().unwrap(), protocol, proof, carriage, Duration::from_secs(1), &Dialers::default())
    }

    fn under(name: &str) -> Proof<'_> {
        Proof { name, ca: None }
    }

    fn authorities(name: &str) -> BackendCa {
        let pem = causeway_certs::self_signed(&[name], 1_700_000_000).unwrap().cert;
        BackendCa::from(&causeway_certs::Authorities::from_pem(&pem).unwrap())
    }

    #[test]
    fn a_pooled_connection_is_used_for_what_it_was_made_for() {
        let (one, other) = (authorities("one.example"), authorities("other.example"));
        let by = |ca| Proof { name: "a.example.com", ca: Some(ca) };
        let keys = [
            to(AppProtocol::Http, under("a.example.com"), Carriage::Exchange),
            to(AppProtocol::H2c, under("a.example.com"), Carriage::Exchange),
            to(AppProtocol::H2c, under("a.example.com"), Carriage::Upgrade),
            to(AppProtocol::Https, under("a.example.com"), Carriage::Exchange),
            to(AppProtocol::Https, under("b.example.com"), Carriage::Exchange),
            to(AppProtocol::Https, by(&one), Carriage::Exchange),
            to(AppProtocol::Https, by(&one), Carriage::Upgrade),
            to(AppProtocol::Https, by(&other), Carriage::Exchange),
        ]
        .into_iter()
        .chain([AppProtocol::H2c, AppProtocol::H2].map(|protocol| {
            let mut peer = to(protocol, under("a.example.com"), Carriage::Exchange);
            alone(&mut peer);
            assert_eq!(peer.options.max_h2_streams, 1);
            peer
        }))
        .map(|peer| peer.reuse_hash())
        .collect::<Vec<_>>();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let shared = |host| to(AppProtocol::Http, under(host), Carriage::Exchange).reuse_hash();
        assert_eq!(shared("a.example.com"), shared("b.example.com"), "plain ones are shared by all hosts");
    }

    #[test]
    fn a_backend_that_speaks_tls_is_verified_under_the_requests_name() {
        let peer = to(AppProtocol::Https, under("a.example.com"), Carriage::Exchange);
        assert_eq!(peer.sni(), "a.example.com");
        assert!(peer.verify_cert() && peer.verify_hostname() && peer.get_ca().is_none());
    }

    #[test]
    fn where_authorities_are_named_no_others_vouch() {
        let one = authorities("one.example");
        let peer = to(AppProtocol::Https, Proof { name: "a.example.com", ca: Some(&one) }, Carriage::Exchange);
        assert!(peer.verify_cert() && peer.verify_hostname());
        assert_eq!(peer.get_ca().map(|ca| ca.len()), Some(1));
    }
}
