//! The server's own authority and certificate; both can be replaced while it runs.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority and what it has signed, PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pems {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What connections are accepted with.
pub(crate) struct Tls {
    now: Mutex<(Arc<ServerConfig>, String)>,
    address: IpAddr,
}

impl Pems {
    /// A new authority, and a certificate of it for a server at `address`.
    pub(crate) fn make(address: IpAddr) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "stand-in API server's authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(vec!["localhost".into(), "kubernetes.default.svc".into()])?;
        params.subject_alt_names.push(SanType::IpAddress(address));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Tls {
    pub(crate) fn of(address: IpAddr, pems: Pems) -> anyhow::Result<Self> {
        Ok(Self { now: Mutex::new((config(&pems)?, pems.authority)), address })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The authority's certificate, PEM.
    pub(crate) fn authority(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// A new authority and certificate, for connections from now on.
    pub(crate) fn renew(&self) -> anyhow::Result<()> {
        let pems = Pems::make(self.address)?;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (config(&pems)?, pems.authority);
        Ok(())
    }
}

fn config(pems: &Pems) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(pems.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).context("the server's key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.context("the server's certificate")?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
