//! Client address in, location out: known networks first, then an `.mmdb` database file.
//!
//! The engine asks [`LocatorCell::locate`] once per request; the answer goes into the plan. The cell holds one
//! [`Locator`], which is replaced whole when the configuration or the database file changes, so that no request ever
//! sees the networks of one configuration beside the database of another.
//!
//! The file is read into memory rather than mapped: a mapped file that somebody truncates in place kills the process
//! with SIGBUS at the next look-up, and cloud storage tools do truncate in place.

mod record;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use causeway_config::{Country, Geo};
use causeway_core::geo::Location;
use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use prefix_trie::joint::map::JointPrefixMap;

use crate::metrics::{Metrics, Reload, ReloadResult};
use record::Record;

/// How many networks of a new file are decoded, in address order, before it is trusted.
const PROBED_NETWORKS: usize = 1_000;

/// Why a database file is not used. The message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// Reading the file failed.
    #[error("cannot read the geo database {path}: {source}; check `geo.database` and that this user may read the file")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("the geo database {path} is not a regular file; let `geo.database` name an .mmdb file")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Its structure is broken, or it is another kind of file.
    #[error(
        "the geo database {path} is damaged, cut short or not in MaxMind's format: {source}; fetch it again (unpacked, \
         ending in .mmdb) and put it in place by renaming"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over.
        source: MaxMindDbError,
    },
    /// It is a sound database of something else, such as networks' owners.
    #[error("the geo database {path} ({kind}) names no country for any network that was tried; use a country or city database")]
    NoCountries {
        /// The file.
        path: PathBuf,
        /// Its `database_type`.
        kind: String,
    },
}

/// An opened database, of the nested schema or a flat one.
#[derive(Debug)]
pub struct GeoDb {
    reader: Reader<Vec<u8>>,
}

impl GeoDb {
    /// Reads and checks a file. Blocks on the disk: call it outside the data plane.
    ///
    /// A file is trusted once its metadata, its first networks and look-ups spread over IPv4 decode without a fault, and
    /// one of them names a country.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let read = |source| GeoError::Read { path: path.into(), source };
        if !fs::metadata(path).map_err(read)?.is_file() {
            return Err(GeoError::NotAFile { path: path.into() });
        }
        let bytes = fs::read(path).map_err(read)?;
        let invalid = |source| GeoError::Invalid { path: path.into(), source };
        let db = Self { reader: Reader::from_source(bytes).map_err(invalid)? };
        if db.probe().map_err(invalid)? {
            Ok(db)
        } else {
            let kind = db.reader.metadata().database_type.chars().take(100).collect();
            Err(GeoError::NoCountries { path: path.into(), kind })
        }
    }

    /// Where an address is used; `None` for unknown. The address is looked up as it stands.
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        // A damaged record that the probe did not meet makes one client unknown, which serving goes on around.
        self.try_locate(address).ok().flatten()
    }

    /// The file's `database_type`, such as `GeoLite2-Country`.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When its maker built it, if it tells a time that exists.
    pub fn built(&self) -> Option<SystemTime> {
        self.reader.metadata().build_time().ok()
    }

    fn try_locate(&self, address: IpAddr) -> Result<Option<Location>, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        Ok(self.reader.lookup(address)?.decode::<Record<'_>>()?.and_then(|record| record.location()))
    }

    /// Whether any of the tried networks has a location.
    fn probe(&self) -> Result<bool, MaxMindDbError> {
        let mut found = false;
        for network in self.reader.networks(WithinOptions::default())?.take(PROBED_NETWORKS) {
            found |= network?.decode::<Record<'_>>()?.is_some_and(|record| record.location().is_some());
        }
        for first in 0..=u8::MAX {
            found |= self.try_locate(IpAddr::from([first, 77, 1, 1]))?.is_some();
        }
        Ok(found)
    }
}

/// Everything that a location is decided by.
#[derive(Default)]
pub struct Locator {
    /// Known networks; the longest prefix wins.
    networks: JointPrefixMap<IpNet, Country>,
    db: Option<Arc<GeoDb>>,
}

impl Locator {
    /// Puts known networks (`geo.networks`) before a database.
    pub fn new(networks: &[(IpNet, Country)], db: Option<Arc<GeoDb>>) -> Self {
        Self { networks: networks.iter().copied().collect(), db }
    }

    /// Where a client is; `None` for unknown.
    ///
    /// An IPv4-mapped address counts as the IPv4 one, since it is one that came in by a dual-stack socket. Addresses
    /// that carry another in their bits (6to4, NAT64) are taken for themselves: the inner address is the sender's claim.
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        let address = address.to_canonical();
        match self.networks.get_lpm(&IpNet::from(address)) {
            Some((_, country)) => Some(Location { country: *country, subdivision: None }),
            None => self.db.as_ref()?.locate(address),
        }
    }

    /// The database in use.
    pub fn database(&self) -> Option<&GeoDb> {
        self.db.as_deref()
    }
}

/// The locator in use.
#[derive(Default)]
pub struct LocatorCell {
    current: ArcSwap<Locator>,
}

impl LocatorCell {
    /// Where a client is; `None` for unknown. Never blocks.
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        self.current.load().locate(address)
    }

    /// Takes a configuration, and the file that it names as that stands now: at start, at every reload and when the
    /// file changes. Blocks on the disk.
    ///
    /// A file that cannot be used leaves the database that was there before in use, and the error returned has been
    /// logged and counted by then; the known networks are taken all the same. Callers take turns.
    pub fn apply(&self, geo: &Geo, metrics: &Metrics) -> Result<(), GeoError> {
        let Some(path) = &geo.database else {
            self.current.store(Locator::new(&geo.networks, None).into());
            return Ok(());
        };
        match GeoDb::open(path) {
            Ok(db) => {
                tracing::info!(path = %path.display(), kind = db.kind(), "geo database loaded");
                self.current.store(Locator::new(&geo.networks, Some(Arc::new(db))).into());
                metrics.reload(Reload::Geo, ReloadResult::Ok);
                Ok(())
            }
            Err(error) => {
                let kept = self.current.load().db.clone();
                self.current.store(Locator::new(&geo.networks, kept).into());
                tracing::error!(%error, "geo database not loaded; the one before stays in use, if there was one");
                metrics.reload(Reload::Geo, ReloadResult::Error);
                Err(error)
            }
        }
    }
}
