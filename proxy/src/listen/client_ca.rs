//! The authorities of hosts that ask for client certificates: from objects that the control plane follows, or from files.
//!
//! A file is looked at when a handshake needs it, and again after a while: such hosts are few, and a file that is replaced
//! counts within seconds. A file that cannot be used lets nobody in; one that could be used before stays in use, since files are
//! written in pieces. Objects are written whole: one that is missing or broken lets nobody in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_certs::ClientAuthorities;
use causeway_config::{ClientCa, ClientCertificates};
use tracing::warn;

use crate::authorities::AuthoritiesCell;

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(5);

/// Where they are looked for.
#[derive(Default)]
pub struct ClientCas {
    objects: AuthoritiesCell,
    files: Mutex<HashMap<(PathBuf, bool), Read>>,
}

struct Read {
    at: Instant,
    bytes: Vec<u8>,
    usable: Option<ClientAuthorities>,
}

impl ClientCas {
    /// With the objects that the control plane publishes.
    pub fn new(objects: AuthoritiesCell) -> Self {
        Self { objects, files: Mutex::default() }
    }

    /// The authorities of a host; `None` where there are none that can be used.
    pub fn of(&self, settings: &ClientCertificates) -> Option<ClientAuthorities> {
        match &settings.ca {
            ClientCa::File(file) => self.of_file(file, settings.optional),
            ClientCa::Object(object) => {
                let objects = self.objects.load();
                let known = objects.clients.get(object)?;
                Some(if settings.optional { known.optional.clone() } else { known.required.clone() })
            }
        }
    }

    fn of_file(&self, path: &Path, optional: bool) -> Option<ClientAuthorities> {
        let key = (path.to_owned(), optional);
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get_mut(&key);
        if let Some(read) = before.as_ref().filter(|read| read.at.elapsed() < FRESH) {
            return read.usable.clone();
        }
        let file = path.display();
        let bytes = std::fs::read(path)
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
        let usable = ClientAuthorities::from_pem(&bytes, optional)
            .inspect_err(|error| warn!(%file, %error, "clientCertificates.ca holds no authorities that can be used"))
            .ok()
            .or_else(|| known.get(&key).and_then(|read| read.usable.clone()));
        known.insert(key, Read { at: Instant::now(), bytes, usable: usable.clone() });
        usable
    }
}
