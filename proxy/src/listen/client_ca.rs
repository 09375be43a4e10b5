//! The authorities of hosts that ask for client certificates, from files that may change.
//!
//! They are looked at when a handshake needs them, and again after a while: such hosts are few, and a file that is replaced
//! counts within seconds. A file that cannot be used lets nobody in; one that could be used before stays in use.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_certs::ClientAuthorities;
use causeway_config::ClientCertificates;
use tracing::warn;

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(5);

/// What was read.
#[derive(Debug, Default)]
pub struct ClientCas(Mutex<HashMap<ClientCertificates, Read>>);

#[derive(Debug)]
struct Read {
    at: Instant,
    bytes: Vec<u8>,
    usable: Option<ClientAuthorities>,
}

impl ClientCas {
    /// The authorities of a host; `None` where there are none that can be used.
    pub fn of(&self, settings: &ClientCertificates) -> Option<ClientAuthorities> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get_mut(settings);
        if let Some(read) = before.as_ref().filter(|read| read.at.elapsed() < FRESH) {
            return read.usable.clone();
        }
        let file = settings.ca.display();
        let bytes = std::fs::read(&settings.ca)
            .inspect_err(
                |error| warn!(%file, %error, "clientCertificates.ca cannot be read: check that it exists and is readable"),
            )
            .unwrap_or_default();
        if let Some(read) = before
            && read.bytes == bytes
        {
            read.at = Instant::now();
            return read.usable.clone();
        }
        let usable = ClientAuthorities::from_pem(&bytes, settings.optional)
            .inspect_err(|error| warn!(%file, %error, "clientCertificates.ca holds no authorities that can be used"))
            .ok()
            .or_else(|| known.get(settings).and_then(|read| read.usable.clone()));
        known.insert(settings.clone(), Read { at: Instant::now(), bytes, usable: usable.clone() });
        usable
    }
}
