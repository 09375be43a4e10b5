//! Whom an edge takes for an edge of its fleet: authorities, its own certificate, and what was revoked, as one value.
//!
//! It is replaced whole when any of it changes. Connections that stand then are asked anew by [`FleetTrust::identify`]; those
//! whose certificate is no longer covered are closed by whoever holds them. For that reason sessions are never resumed:
//! every connection has shown its certificate.

use std::fmt;
use std::sync::Arc;

use causeway_config::{CertificateId, ClusterId};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use crate::certificate::Validity;
use crate::error::CertError;
use crate::fingerprint::Fingerprint;
use crate::fleet_ca::{dns_name, uri_prefix};
use crate::{chain, pem};

/// The files of `fleet.tls`, as bytes.
#[derive(Clone, Copy, Debug)]
pub struct FleetFiles<'a> {
    /// Authorities; two while one is replaced by the other.
    pub ca: &'a [u8],
    /// The own certificate, leaf first.
    pub cert: &'a [u8],
    /// Its key.
    pub key: &'a [u8],
}

/// Why a certificate is not that of an edge of this fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It lies outside its validity.
    #[error("its certificate has expired, or one of the two clocks is wrong")]
    Expired,
    /// It is not valid yet.
    #[error("its certificate is not valid yet: one of the two clocks is wrong")]
    NotYetValid,
    /// No authority in `fleet.tls.ca` vouches for it.
    #[error("its certificate comes from an authority that is not in fleet.tls.ca")]
    WrongAuthority,
    /// `fleet.revoked` names it.
    #[error("its certificate is in fleet.revoked")]
    Revoked,
    /// It names no cluster of this fleet.
    #[error("its certificate names no cluster of this fleet: there is no URI {0}CLUSTER in it")]
    NoIdentity(String),
    /// It broke another rule of certificates.
    #[error("its certificate is not to be used here: {0}")]
    Other(String),
}

/// Whom an edge takes for an edge of its fleet, and how it shows itself.
pub struct FleetTrust {
    fleet: String,
    verifier: Arc<dyn ClientCertVerifier>,
    server_verifier: Arc<WebPkiServerVerifier>,
    revoked: Vec<CertificateId>,
    own: Arc<CertifiedKey>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    validity: Validity,
    hash: [u8; 32],
}

impl FleetTrust {
    /// Reads all of it. Being expired is no error here: [`FleetTrust::faults`] tells.
    pub fn read(fleet: &str, files: FleetFiles<'_>, revoked: &[CertificateId]) -> Result<Self, CertError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = pem::chain(files.ca)?;
        let mut roots = RootCertStore::empty();
        for (position, authority) in authorities.iter().enumerate() {
            let bad = |reason: String| CertError::BadCertificate { position: position + 1, reason };
            chain::parse(authority, position + 1)?;
            roots.add(authority.clone()).map_err(|e| bad(e.to_string()))?;
        }
        let roots = Arc::new(roots);
        let given = pem::chain(files.cert)?;
        let key = pem::key(files.key)?;
        let signer = provider.key_provider.load_private_key(key.clone_key());
        let signer = signer.map_err(|e| CertError::BadKey { reason: e.to_string() })?;
        let spki = signer.public_key().ok_or_else(|| CertError::BadKey { reason: "its public half is unknown".into() })?;
        let own = chain::order(&given, &spki)?;
        let leaf = chain::parse(&own[0], 1)?;
        let validity =
            Validity { not_before: leaf.validity().not_before.timestamp(), not_after: leaf.validity().not_after.timestamp() };
        let unusable = |e: &dyn fmt::Display| CertError::BadCertificate { position: 1, reason: e.to_string() };
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|e| unusable(&e))?;
        let server_verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|e| unusable(&e))?;
        let mut hash = Sha256::new();
        for part in authorities.iter().chain(&own) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for id in revoked {
            hash.update(id.to_string());
        }
        Ok(Self {
            fleet: fleet.into(),
            verifier,
            server_verifier,
            revoked: revoked.to_vec(),
            own: Arc::new(CertifiedKey::new(own, signer)),
            key,
            authorities,
            validity,
            hash: hash.finalize().into(),
        })
    }

    /// Tells two values of trust apart: part of the key of connections that may be used again.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The authorities, DER.
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// The own chain, DER, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.own.cert
    }

    /// The own key, DER, for a library that wants it so.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// When the own certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Which cluster's edge shows this chain, leaf first; by whom a connection was made does not matter.
    pub fn identify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<ClusterId, TrustError> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(TrustError::WrongAuthority) };
        self.verifier.verify_client_cert(leaf, intermediates, now).map_err(|error| told(&error))?;
        self.revocation(leaf)?;
        self.cluster(leaf)
    }

    /// Whether a certificate of this serial or digest was revoked: for a library that shows no more of it.
    pub fn is_revoked(&self, serial: &[u8], fingerprint: &[u8]) -> bool {
        self.revoked.iter().any(|id| id.is(serial, fingerprint))
    }

    /// What is wrong with the own certificate, for an edge at home in `home`.
    pub fn faults(&self, home: &ClusterId, now: UnixTime) -> Option<TrustError> {
        match self.identify(self.chain(), now) {
            Ok(cluster) if cluster == *home => None,
            Ok(cluster) => Some(TrustError::Other(format!("it is that of the edges in {cluster}, and this edge is in {home}"))),
            Err(error) => Some(error),
        }
    }

    /// The name under which the edges of a cluster are asked for.
    pub fn name_of(&self, cluster: &ClusterId) -> String {
        dns_name(&self.fleet, cluster)
    }

    /// What answers on the peer port. Whoever shows no certificate of the fleet gets no connection.
    pub fn server(self: &Arc<Self>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the aws-lc-rs provider has suites and groups for TLS 1.3")
            .with_client_cert_verifier(Arc::new(Verifier(Arc::clone(self))))
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(&self.own))));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Arc::new(config)
    }

    /// What calls a peer port.
    pub fn client(self: &Arc<Self>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the aws-lc-rs provider has suites and groups for TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(Arc::clone(self))))
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(&self.own))));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }

    fn revocation(&self, leaf: &CertificateDer<'_>) -> Result<(), TrustError> {
        let parsed = chain::parse(leaf, 1).map_err(|e| TrustError::Other(e.problem()))?;
        let revoked = self.is_revoked(parsed.tbs_certificate.raw_serial(), &Sha256::digest(leaf));
        if revoked { Err(TrustError::Revoked) } else { Ok(()) }
    }

    /// The one cluster that a certificate names. One that names two would let its holder choose.
    fn cluster(&self, leaf: &CertificateDer<'_>) -> Result<ClusterId, TrustError> {
        let prefix = uri_prefix(&self.fleet);
        let parsed = chain::parse(leaf, 1).map_err(|e| TrustError::Other(e.problem()))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(&*prefix),
            _ => None,
        });
        let mut clusters = uris.map(str::parse::<ClusterId>);
        match (clusters.next(), clusters.next()) {
            (Some(Ok(cluster)), None) => Ok(cluster),
            _ => Err(TrustError::NoIdentity(prefix)),
        }
    }
}

impl fmt::Debug for FleetTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetTrust")
            .field("fleet", &self.fleet)
            .field("own", &Fingerprint(Sha256::digest(&self.own.cert[0]).into()))
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// What a certificate's fault means to an operator.
pub(crate) fn told(error: &rustls::Error) -> TrustError {
    let rustls::Error::InvalidCertificate(error) = error else { return TrustError::Other(error.to_string()) };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TrustError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TrustError::NotYetValid,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TrustError::WrongAuthority,
        CertificateError::Revoked => TrustError::Revoked,
        other => TrustError::Other(other.to_string()),
    }
}

/// Both directions of [`FleetTrust`], as rustls asks.
#[derive(Debug)]
struct Verifier(Arc<FleetTrust>);

impl Verifier {
    fn fleet(&self, leaf: &CertificateDer<'_>) -> Result<ClusterId, rustls::Error> {
        self.0.revocation(leaf).map_err(|_| CertificateError::Revoked)?;
        let unknown = |_| rustls::Error::from(CertificateError::ApplicationVerificationFailure);
        self.0.cluster(leaf).map_err(unknown)
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verifier.verify_client_cert(leaf, intermediates, now)?;
        self.fleet(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.verifier.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.server_verifier.verify_server_cert(leaf, intermediates, name, ocsp, now)?;
        self.fleet(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.server_verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.server_verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.server_verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
