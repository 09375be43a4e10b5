//! A snapshot without an edge: from the configuration and its folders of manifests, as an edge of that home would compile it.

use std::sync::Arc;

use causeway_config::{Config, Source};
use causeway_core::cluster::ClusterState;
use causeway_core::{Diagnostic, Edge, Nanos, Snapshot, compile, tick};

use super::Fleet;

pub(super) struct Offline {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Snapshot,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Fleet {
    /// Reads and compiles everything. A cluster that is no folder is left out, and said to be on standard error.
    pub(super) fn offline(&self) -> anyhow::Result<Offline> {
        let config = Arc::new(causeway_config::load(&self.config)?.config);
        let home = config.home(&self.home(&config)?)?.id.clone();
        let states: Vec<ClusterState> = config
            .clusters
            .iter()
            .map(|cluster| match &cluster.source {
                Source::Manifests(folder) => causeway_discovery::load(&cluster.id, folder).0,
                Source::ApiServer { .. } => {
                    eprintln!(
                        "causeway: {} is not a folder of manifests, and is left out; ask a running edge with --admin URL",
                        cluster.id
                    );
                    ClusterState::syncing(cluster.id.clone())
                }
            })
            .collect();
        let edge = Edge { home, listeners: Vec::new(), addresses: Vec::new() };
        let (snapshot, diagnostics) = compile(&config, &edge, &states, &[], &Snapshot::empty(Arc::clone(&config)));
        causeway_core::reach::assume(&snapshot);
        tick(&snapshot, Nanos(0));
        Ok(Offline { config, snapshot, diagnostics })
    }
}
