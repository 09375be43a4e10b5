//! The fleet's own certificates, read and read again: `fleet.tls` and `fleet.revoked`.
//!
//! Files that cannot be used change nothing: the trust in use serves on, and a diagnostic says what is wrong. An edge that
//! never had any serves its own cluster and those it reaches directly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway_config::{ClusterId, Config, ConfigHash};
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::{ClusterPeers, Diagnostic, Severity, Snapshot};
use tokio::sync::watch;

use crate::metrics::{Certificate, CertificateSource, Metrics, Reload, ReloadResult};
use crate::peer::state::Hearsay;
use crate::peer::trust::{Trust, unix_time};
use crate::peer::{Peers, addresses};

pub(super) struct FleetFiles {
    home: ClusterId,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    /// Why the files that there are now are not in use: problem and remedy.
    unusable: Option<(String, String)>,
}

impl FleetFiles {
    pub(super) fn new(home: ClusterId, peers: Arc<Peers>, metrics: Arc<Metrics>) -> Self {
        Self { home, peers, metrics, unusable: None }
    }

    /// Reads the files. Takes milliseconds, on the control plane's own thread.
    pub(super) fn load(&mut self, config: &Config) {
        match Trust::load(config) {
            Ok(trust) => {
                self.unusable = None;
                if self.peers.trust.publish(trust) {
                    self.metrics.reload(Reload::Fleet, ReloadResult::Ok);
                    tracing::info!("the fleet's certificates are in use");
                }
            }
            Err(error) => {
                let new = Some((error.problem(), error.remedy().to_owned()));
                if self.unusable != new {
                    self.metrics.reload(Reload::Fleet, ReloadResult::Error);
                    self.unusable = new;
                }
            }
        }
    }

    pub(super) fn note_config(&self, hash: ConfigHash) {
        self.peers.config_hash.store(Some(Arc::new(hash)));
    }

    /// Hears of it when something new is known of other edges.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Vec<ClusterPeers>>> {
        self.peers.known.subscribe()
    }

    /// Hears of it when another edge of this cluster has told what it knows.
    pub(super) fn told(&self) -> watch::Receiver<Option<Arc<Hearsay>>> {
        self.peers.siblings.told()
    }

    /// Takes another edge's word for the home cluster where this edge knows less, and keeps what it knows itself for others that ask.
    pub(super) fn share(&self, clusters: &mut [ClusterState]) {
        let Some(home) = clusters.iter_mut().find(|state| state.cluster == self.home) else { return };
        self.peers.siblings.need(home.freshness != Freshness::Synced);
        // What it has heard itself, and not what others have told it: a word that goes round would never grow old.
        self.peers.siblings.know(home);
        if let Some(better) = self.peers.siblings.hearsay().and_then(|hearsay| hearsay.better(home)) {
            *home = better;
        }
    }

    /// What is known of other edges.
    pub(super) fn peers(&self) -> Arc<Vec<ClusterPeers>> {
        Arc::clone(&self.peers.known.borrow())
    }

    /// The clusters of which no edge could be reached, and those whose edges nobody can look for, although the cluster has `told`
    /// all.
    pub(super) fn hopeless(&self, snapshot: &Snapshot, told: &BTreeSet<ClusterId>) -> BTreeSet<ClusterId> {
        let nowhere = |cluster: &&ClusterId| !addresses::can_be_found(snapshot, cluster);
        self.peers.roster.unreachable().into_iter().chain(told.iter().filter(nowhere).cloned()).collect()
    }

    /// What is wrong with the fleet's certificates and with other edges.
    pub(super) fn diagnostics(&self, config: &Config) -> Vec<Diagnostic> {
        let mut all = self.peers.diagnostics.load().to_vec();
        let tell = |problem: String, remedy: &str| Diagnostic {
            severity: Severity::Error,
            cluster: None,
            object: "configuration".into(),
            field: "fleet.tls".into(),
            problem,
            remedy: remedy.into(),
        };
        if let Some(fault) = self.peers.siblings.fault() {
            all.push(Diagnostic {
                severity: Severity::Warning,
                field: "fleet.siblings".into(),
                ..tell(
                    format!("no other edge of this cluster tells what it knows while this edge's API server is silent: {fault}"),
                    "mend the API server; for the next time, say in `fleet.siblings` where other edges of the cluster are",
                )
            });
        }
        if let Some((problem, remedy)) = &self.unusable {
            all.push(tell(format!("{problem}; what was in use before stays"), remedy));
        }
        let trust = self.peers.trust.load().filter(|_| config.fleet.tls.is_some());
        if let Some(fault) = trust.and_then(|trust| trust.fleet.faults(&self.home, unix_time())) {
            let problem = format!("other edges will not believe this one: {fault}");
            all.push(tell(problem, "issue the certificate of this cluster with `causeway ca issue`, and put it here"));
        }
        all
    }

    pub(super) fn for_metrics(&self) -> Option<Certificate> {
        let trust = self.peers.trust.load()?;
        let not_after = Duration::from_secs(trust.fleet.validity().not_after.max(0).cast_unsigned());
        let name = trust.fleet.name_of(&self.home).into();
        Some(Certificate { name, source: CertificateSource::Fleet, not_after: SystemTime::UNIX_EPOCH + not_after })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_core::Nanos;
    use causeway_core::link::InstanceId;

    use super::*;
    use crate::peer::state::Question;

    #[test]
    fn what_another_edge_has_told_is_used_and_not_told_on() {
        let home: ClusterId = "aws".parse().unwrap();
        let metrics = Arc::new(Metrics::new(&home, SystemTime::now()));
        let fleet = FleetFiles::new(home.clone(), Arc::default(), metrics);
        let (siblings, own) = (&fleet.peers.siblings, ClusterState::syncing(home));
        let at = |second: u64| Nanos(second * 1_000_000_000);
        let other = crate::peer::state::Siblings::default();
        other.know(&ClusterState { freshness: Freshness::Stale(at(90)), ..own.clone() });
        let told = other.tell(&InstanceId::of(2), Question::All, at(100)).unwrap();
        siblings.hear(Some((InstanceId::of(2), told)), at(100));
        let mut clusters = [own];
        fleet.share(&mut clusters);
        assert_eq!(clusters[0].freshness, Freshness::Stale(at(90)));
        assert!(siblings.tell(&InstanceId::of(1), Question::All, at(101)).is_none(), "it has heard nothing itself");
    }
}
