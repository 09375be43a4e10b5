//! A client that talks to an index through two buffers.

use std::sync::Arc;
use std::time::Duration;

use causeway_certs::{CertIndex, PemPair, Served, Terms, server_config_for};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::Acceptor;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, Error, NamedGroup, RootCertStore, ServerConnection, SupportedProtocolVersion};

/// How a client is set up. Its sessions are remembered over connections.
#[derive(Clone)]
pub(crate) struct Client {
    roots: Arc<RootCertStore>,
    now: FixedTime,
    config: ClientConfig,
}

/// Both ends of a connection that stands, and what the edge remembers of it.
pub(crate) struct Session {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    pub(crate) served: Served,
}

/// How far a connection came.
pub(crate) struct Attempt {
    session: Option<Session>,
    /// What the edge chose; even if the client did not like it.
    pub(crate) served: Option<Served>,
    pub(crate) client_error: Option<Error>,
}

/// The session of an attempt that must have worked.
pub(crate) fn done(attempt: Attempt) -> Session {
    assert_eq!(attempt.client_error, None);
    let session = attempt.session.unwrap();
    assert!(!session.client.is_handshaking() && !session.server.is_handshaking());
    session
}

impl Client {
    /// A client that trusts exactly these certificates, at `now` in Unix time.
    pub(crate) fn trusting<'a>(pairs: impl Iterator<Item = &'a PemPair>, now: i64) -> Self {
        let mut roots = RootCertStore::empty();
        for pair in pairs {
            roots.add(CertificateDer::from_pem_slice(&pair.cert).unwrap()).unwrap();
        }
        let (roots, now) = (Arc::new(roots), FixedTime(now.try_into().unwrap()));
        Self { config: config(&roots, now, rustls::ALL_VERSIONS), roots, now }
    }

    pub(crate) fn speaking(self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { config: config(&self.roots, self.now, versions), ..self }
    }

    pub(crate) fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    pub(crate) fn offering(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// Offers every server the tickets of all.
    pub(crate) fn mixing_up_names(mut self) -> Self {
        self.config.resumption = Resumption::store(Arc::new(OneName(ClientSessionMemoryCache::new(32))));
        self
    }

    /// Connects as a client of `name` to an edge with `index`, as far as it goes.
    pub(crate) fn connect(&self, index: &CertIndex, terms: impl Into<Terms>, name: &str) -> Attempt {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();

        let mut acceptor = Acceptor::default();
        let accepted = loop {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            acceptor.read_tls(&mut wire.as_slice()).unwrap();
            if let Some(accepted) = acceptor.accept().unwrap() {
                break accepted;
            }
        };
        let (config, served) = server_config_for(index, accepted.client_hello().server_name(), terms);

        let mut wire = Vec::new();
        let mut edge = match accepted.into_connection(config) {
            Ok(connection) => connection,
            Err((_, mut alert)) => {
                alert.write_all(&mut wire).unwrap();
                client.read_tls(&mut wire.as_slice()).unwrap();
                return Attempt { session: None, served: Some(served), client_error: client.process_new_packets().err() };
            }
        };
        while client.wants_write() || edge.wants_write() {
            wire.clear();
            while edge.wants_write() {
                edge.write_tls(&mut wire).unwrap();
            }
            let mut incoming = wire.as_slice();
            while !incoming.is_empty() {
                client.read_tls(&mut incoming).unwrap();
                if let Err(error) = client.process_new_packets() {
                    return Attempt { session: None, served: Some(served), client_error: Some(error) };
                }
            }
            wire.clear();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut incoming = wire.as_slice();
            while !incoming.is_empty() {
                edge.read_tls(&mut incoming).unwrap();
                edge.process_new_packets().unwrap();
            }
        }
        Attempt { served: Some(served.clone()), session: Some(Session { client, server: edge, served }), client_error: None }
    }
}

fn config(roots: &Arc<RootCertStore>, now: FixedTime, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), Arc::new(now))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth()
}

/// A clock that stands, in seconds of Unix time.
#[derive(Clone, Copy, Debug)]
struct FixedTime(u64);

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// A store of sessions that takes every server for the same one.
#[derive(Debug)]
struct OneName(ClientSessionMemoryCache);

fn same() -> ServerName<'static> {
    ServerName::try_from("same.example.com").unwrap()
}

impl ClientSessionStore for OneName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(same(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&same())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(same(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&same())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&same());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(same(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&same())
    }
}
