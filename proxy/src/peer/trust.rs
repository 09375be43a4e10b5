//! The fleet's certificates in use, replaced whole when a file or `fleet.revoked` changes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use causeway_certs::{CertError, FleetTrust, TrustError, files};
use causeway_config::{ClusterId, Config};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

/// HTTP/2 on the peer port, by ALPN.
pub const H2: &[u8] = b"h2";
/// HTTP/1.1 there, for upgrades.
pub const H1: &[u8] = b"http/1.1";
/// A client's TLS stream as it came, behind a line that says for whom it is.
pub const RELAY: &[u8] = b"causeway-relay/1";

/// What is used of the fleet's certificates.
pub struct Trust {
    /// Whom to take for an edge of the fleet.
    pub fleet: Arc<FleetTrust>,
    /// What answers on the peer port.
    pub server: Arc<ServerConfig>,
    /// What asks edges of the own cluster.
    pub sibling: Arc<ClientConfig>,
    /// What calls peer ports to relay a stream.
    pub relay: Arc<ClientConfig>,
    /// The authorities, as the engine takes them.
    pub(crate) ca: Arc<CaType>,
    /// The own certificate, as the engine takes it.
    pub(crate) cert_key: Arc<CertKey>,
    /// Tells connections apart that were made under another trust: the engine's pool does not by itself.
    pub(crate) group: u64,
}

impl Trust {
    /// Reads the files that a configuration names; `None` where it names none. Blocks on the disk.
    pub fn load(config: &Config) -> Result<Option<Self>, CertError> {
        Ok(files::load_fleet(&config.fleet)?.map(|fleet| Self::new(Arc::new(fleet))))
    }

    fn new(fleet: Arc<FleetTrust>) -> Self {
        // Every certificate was parsed before: the engine would panic on one that cannot be.
        let ca: Vec<WrappedX509> = fleet.authorities().iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect();
        let chain = fleet.chain().iter().map(|der| der.to_vec()).collect();
        let mut hasher = DefaultHasher::new();
        fleet.hash().hash(&mut hasher);
        Self {
            server: fleet.server(&[H2, H1, RELAY]),
            sibling: fleet.client(&[H1]),
            relay: fleet.client(&[RELAY]),
            ca: ca.into(),
            cert_key: Arc::new(CertKey::new(chain, fleet.key().secret_der().to_vec())),
            group: hasher.finish(),
            fleet,
        }
    }
}

/// The trust in use, and word of its changes.
pub struct TrustCell {
    current: ArcSwapOption<Trust>,
    changes: watch::Sender<u64>,
}

impl Default for TrustCell {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), changes: watch::channel(0).0 }
    }
}

impl TrustCell {
    /// The trust of now; none where the fleet has no certificates, or none that can be used.
    pub fn load(&self) -> Option<Arc<Trust>> {
        self.current.load_full()
    }

    /// Replaces it. Whether it is another one.
    pub fn publish(&self, trust: Option<Trust>) -> bool {
        let before = self.current.load();
        let same = before.as_ref().map(|t| t.fleet.hash()) == trust.as_ref().map(|t| t.fleet.hash());
        drop(before);
        if !same {
            self.current.store(trust.map(Arc::new));
            self.changes.send_modify(|changes| *changes += 1);
        }
        !same
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl TrustCell {
    /// Waits until a certificate chain is no longer that of an edge of `cluster`, and says why; `None`: there is no trust any more.
    pub async fn lapse(&self, certificates: &[CertificateDer<'static>], cluster: &ClusterId) -> Option<Lapsed> {
        let mut changes = self.changes();
        loop {
            // First of all: it may have changed while the other side was being proved under what was before.
            match self.load()?.fleet.identify(certificates, unix_time()) {
                Ok(now) if now == *cluster => {}
                Ok(now) => return Some(Lapsed::Another(now)),
                Err(error) => return Some(Lapsed::Uncovered(error)),
            }
            // The sender lives as long as the edge.
            let _ = changes.changed().await;
        }
    }
}

/// Why a certificate that was good is so no longer.
#[derive(Debug)]
pub enum Lapsed {
    /// It is that of another cluster's edges.
    Another(ClusterId),
    /// Nobody vouches for it, or it was revoked.
    Uncovered(TrustError),
}

/// The calendar's time, as certificates want it.
pub fn unix_time() -> UnixTime {
    UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_certs::FleetFiles;
    use causeway_certs::fleet_ca::{authority, issue};
    use futures::FutureExt;

    use super::*;

    fn now() -> i64 {
        unix_time().as_secs().cast_signed()
    }

    #[tokio::test]
    async fn what_a_change_has_uncovered_before_anybody_waited_for_it_is_found_at_once() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let azure: ClusterId = "azure".parse().unwrap();
        let (before, after) = (authority("shop", now()).unwrap(), authority("shop", now()).unwrap());
        let trust = |ca: &causeway_certs::PemPair| {
            let own = issue(ca, "shop", &"aws".parse().unwrap(), now(), 9).unwrap();
            let files = FleetFiles { ca: &ca.cert, cert: &own.cert, key: &own.key };
            Trust::new(Arc::new(FleetTrust::read("shop", files, &[]).unwrap()))
        };
        let theirs = issue(&before, "shop", &azure, now(), 9).unwrap();
        let chain: Vec<_> = rustls::pki_types::pem::PemObject::pem_slice_iter(&theirs.cert).collect::<Result<_, _>>().unwrap();
        let cell = TrustCell::default();
        assert!(cell.lapse(&chain, &azure).now_or_never().is_some_and(|why| why.is_none()), "there is none");
        cell.publish(Some(trust(&before)));
        assert!(cell.lapse(&chain, &azure).now_or_never().is_none());
        assert!(matches!(cell.lapse(&chain, &"google".parse().unwrap()).now_or_never(), Some(Some(Lapsed::Another(_)))));
        let mut waiting = Box::pin(cell.lapse(&chain, &azure));
        assert!(waiting.as_mut().now_or_never().is_none());
        cell.publish(Some(trust(&after)));
        assert!(matches!(waiting.await, Some(Lapsed::Uncovered(_))));
        // The handshake was made under what was before.
        assert!(matches!(cell.lapse(&chain, &azure).now_or_never(), Some(Some(Lapsed::Uncovered(_)))));
    }
}
