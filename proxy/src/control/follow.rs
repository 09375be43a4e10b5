//! The configuration file: read at start, followed ever after.
//!
//! A good new file is taken whole; a bad one is refused whole, logged and counted, and the old one serves on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use causeway_config::{Config, ConfigErrors, ConfigHash, DefaultCertificate, HomeError, Parsed, Watch, WatchError};
use tokio::sync::mpsc;

use super::Event;
use crate::metrics::{Metrics, Reload, ReloadResult};

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is faulty.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The home cluster is not in it.
    #[error("{0}; say with --home or CAUSEWAY_HOME in which cluster this edge lives")]
    Home(#[from] HomeError),
}

/// A configuration file and what it said last.
pub struct ConfigFile {
    path: PathBuf,
    home: String,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    current: Arc<Mutex<Current>>,
    events: Option<mpsc::Sender<Event>>,
    watches: Vec<Watch>,
    /// The files that the configuration names, and their watch.
    named: Option<(BTreeSet<PathBuf>, Watch)>,
}

struct Current {
    config: Arc<Config>,
    hash: ConfigHash,
}

impl ConfigFile {
    /// Reads a file for an edge whose home is `home`. `parsed` is what it said.
    pub fn new(path: PathBuf, home: &str, parsed: Parsed, metrics: Arc<Metrics>) -> Self {
        let config = Arc::new(parsed.config);
        let current = Arc::new(Mutex::new(Current { config: Arc::clone(&config), hash: parsed.hash }));
        Self { path, home: home.into(), config, metrics, current, events: None, watches: Vec::new(), named: None }
    }

    /// Reads and checks a file; logs its warnings.
    pub fn read(path: &Path, home: &str) -> Result<Parsed, StartError> {
        let parsed = causeway_config::load(path)?;
        parsed.config.home(home)?;
        for warning in &parsed.warnings {
            tracing::warn!("{}", warning.display(path));
        }
        Ok(parsed)
    }

    /// Tells the configuration in use from others.
    pub(super) fn hash(&self) -> ConfigHash {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).hash
    }

    /// What it said when the edge started.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Sends every good change from now on. Changes of the file are noticed by themselves; [`reload`](Reloader::reload) looks
    /// now.
    pub(super) fn follow(&mut self, events: mpsc::Sender<Event>) {
        self.events = Some(events);
        let reloader = self.reloader();
        let watch = causeway_config::watch([self.path.clone()], move |_| reloader.reload());
        self.watches.extend(kept(watch));
    }

    /// A handle that reads the file again: for SIGHUP.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            path: self.path.clone(),
            home: self.home.clone(),
            metrics: Arc::clone(&self.metrics),
            current: Arc::clone(&self.current),
            events: self.events.clone(),
        }
    }

    /// Watches the files that a configuration names: certificates and the geo database. A watch that stands is kept, since
    /// what happens between two watches is seen by neither.
    pub(super) fn watch_named_files(&mut self, config: &Config) {
        let default = match &config.tls.default {
            Some(DefaultCertificate::Files(file)) => Some(file),
            _ => None,
        };
        let pairs = config.tls.files.iter().chain(default);
        let fleet = config.fleet.tls.iter().flat_map(|tls| [tls.ca.clone(), tls.cert.clone(), tls.key.clone()]);
        let named = pairs.flat_map(|file| [file.cert.clone(), file.key.clone()]);
        let paths: BTreeSet<PathBuf> = named.chain(config.geo.database.clone()).chain(fleet).collect();
        if self.named.as_ref().is_some_and(|(watched, _)| *watched == paths) {
            return;
        }
        self.named = None;
        if let (false, Some(events)) = (paths.is_empty(), self.events.clone()) {
            let watch = causeway_config::watch(paths.clone(), move |changed| {
                // The control plane is gone only when the process is.
                let _ = events.blocking_send(Event::Files(changed.to_vec()));
            });
            self.named = kept(watch).map(|watch| (paths, watch));
        }
    }
}

fn kept(watch: Result<Watch, WatchError>) -> Option<Watch> {
    watch.inspect_err(|error| tracing::error!(%error, "files are not watched; send SIGHUP after a change")).ok()
}

/// Reads the configuration file again.
#[derive(Clone)]
pub struct Reloader {
    path: PathBuf,
    home: String,
    metrics: Arc<Metrics>,
    current: Arc<Mutex<Current>>,
    events: Option<mpsc::Sender<Event>>,
}

impl Reloader {
    /// Reads it now, and takes it if it is good and new. Must not be called from within a runtime: it reads a file, and may wait.
    pub fn reload(&self) {
        // Held while reading and sending, so that of two readers the later one has the last word. A panic while it was held
        // would have been in a comparison; what it holds is whole.
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match ConfigFile::read(&self.path, &self.home) {
            Ok(parsed) if parsed.hash == current.hash => {}
            Ok(parsed) => self.take(parsed, &mut current),
            Err(error) => {
                self.metrics.reload(Reload::Config, ReloadResult::Error);
                tracing::error!(path = %self.path.display(), "the new configuration is refused, and the old one serves on:\n{error}");
            }
        }
    }

    /// Reads it now, and every file that it names: what SIGHUP asks for. As [`reload`](Self::reload), not from a runtime.
    pub fn reload_everything(&self) {
        self.reload();
        self.send(Event::Reread);
    }

    fn take(&self, parsed: Parsed, current: &mut Current) {
        let config = Arc::new(parsed.config);
        for field in causeway_config::restart_needed(&current.config, &config) {
            tracing::warn!("{field} changed, which takes effect with the next start of this process");
        }
        *current = Current { config: Arc::clone(&config), hash: parsed.hash };
        self.metrics.reload(Reload::Config, ReloadResult::Ok);
        tracing::info!(hash = %parsed.hash, "configuration reloaded");
        self.send(Event::Config(config));
    }

    fn send(&self, event: Event) {
        if let Some(events) = &self.events {
            // The control plane is gone only when the process is.
            let _ = events.blocking_send(event);
        }
    }
}
