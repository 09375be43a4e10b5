//! What one process hands to the next besides its sockets: what it knows, so that the next is as good from its first request.
//!
//! Secrets are in it: without them, and with an API server that does not answer, the next process would serve the self-signed
//! default where this one served well. They go from memory to memory of one user, over a socket that only this user may open,
//! and are in no log and no `Debug`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use causeway_config::{ClusterId, ObjectName};
use causeway_core::cluster::{ClusterState, Endpoints, Freshness, Objects};
use causeway_core::{Learned, Nanos};
use causeway_discovery::translate::{Key, Kind};
use causeway_discovery::{Secret, SecretKind, SecretsView, Update};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::process_secret::ProcessSecret;

/// What is handed on.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cargo {
    clusters: Vec<Cluster>,
    secrets: Vec<WireSecret>,
    /// What serving has taught.
    pub learned: Learned,
    /// What session tickets and cookies are made of, where no file says it.
    pub secret: Option<ProcessSecret>,
    /// The clusters of which an edge was reached.
    pub linked: BTreeSet<ClusterId>,
}

/// A cluster's last state.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    id: ClusterId,
    /// For how long it had not been heard of, in milliseconds.
    silent_ms: u64,
    objects: Arc<Objects>,
    endpoints: Arc<Endpoints>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSecret {
    cluster: ClusterId,
    name: ObjectName,
    kind: String,
    /// Base64.
    entries: BTreeMap<String, Zeroizing<String>>,
}

impl Cargo {
    /// Packs what is known at `now`.
    pub fn pack(known: &Update, learned: Learned, now: Nanos) -> Self {
        let cluster = |state: &ClusterState| {
            let silent = match state.freshness {
                Freshness::Syncing => return None,
                Freshness::Synced => Duration::ZERO,
                Freshness::Stale(since) => now.since(since),
            };
            let (objects, endpoints) = (Arc::clone(&state.objects), Arc::clone(&state.endpoints));
            Some(Cluster { id: state.cluster.clone(), silent_ms: silent.as_millis() as u64, objects, endpoints })
        };
        let secret = |((cluster, key), secret): (&(ClusterId, Key), &Arc<Secret>)| WireSecret {
            cluster: cluster.clone(),
            name: key.name.clone(),
            kind: secret.kind.to_string(),
            entries: secret.entries().map(|(name, bytes)| (name.to_owned(), STANDARD.encode(bytes.expose()).into())).collect(),
        };
        Self {
            clusters: known.clusters.iter().filter_map(cluster).collect(),
            secrets: known.secrets.iter().map(secret).collect(),
            learned,
            ..Self::default()
        }
    }

    /// The clusters' last states at `now`, as stale: their API servers are this process's to hear.
    pub fn states(&self, now: Nanos) -> Vec<ClusterState> {
        let state = |cluster: &Cluster| ClusterState {
            freshness: Freshness::Stale(now.before(Duration::from_millis(cluster.silent_ms))),
            objects: Arc::clone(&cluster.objects),
            endpoints: Arc::clone(&cluster.endpoints),
            ..ClusterState::syncing(cluster.id.clone())
        };
        self.clusters.iter().map(state).collect()
    }

    /// The Secrets. One that cannot be read is as good as one that was not there.
    pub fn secrets(&self) -> SecretsView {
        let secret = |wire: &WireSecret| {
            let entry =
                |(name, text): (&String, &Zeroizing<String>)| Some((name.clone(), STANDARD.decode(text.as_bytes()).ok()?));
            let kind = SecretKind::from(&*wire.kind);
            let object = if kind == SecretKind::ConfigMap { Kind::ConfigMap } else { Kind::Secret };
            let secret = Secret::from_entries(kind, wire.entries.iter().filter_map(entry));
            ((wire.cluster.clone(), Key { kind: object, name: wire.name.clone() }), Arc::new(secret))
        };
        Arc::new(self.secrets.iter().map(secret).collect())
    }
}

impl fmt::Debug for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cargo")
            .field("clusters", &self.clusters.len())
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_packed_here_is_unpacked_there_and_shows_no_key() {
        let now = Nanos(90_000_000_000);
        let key = ("aws".parse().unwrap(), Key::secret(ObjectName::new("shop", "web-tls")));
        let map = ("aws".parse().unwrap(), Key { kind: Kind::ConfigMap, ..key.1.clone() });
        let entries = [("tls.crt".to_owned(), b"CHAIN".to_vec()), ("tls.key".to_owned(), b"MATERIAL".to_vec())];
        let secret = Arc::new(Secret::from_entries(SecretKind::Tls, entries));
        let roots = Arc::new(Secret::from_entries(SecretKind::ConfigMap, [("ca.crt".to_owned(), b"ROOTS".to_vec())]));
        let synced = ClusterState { freshness: Freshness::Synced, ..ClusterState::syncing("aws".parse().unwrap()) };
        let stale = ClusterState {
            freshness: Freshness::Stale(Nanos(60_000_000_000)),
            ..ClusterState::syncing("azure".parse().unwrap())
        };
        let unknown = ClusterState::syncing("google".parse().unwrap());
        let known = Update {
            clusters: vec![synced, stale, unknown],
            secrets: Arc::new(BTreeMap::from([(key.clone(), Arc::clone(&secret)), (map.clone(), Arc::clone(&roots))])),
        };
        let own = ProcessSecret::draw().unwrap();
        let cargo = Cargo { secret: Some(own.clone()), ..Cargo::pack(&known, Learned::default(), now) };
        let shown = format!("{cargo:?} {cargo:#?} {own:?}");
        assert!(!shown.contains("MATERIAL") && !shown.contains(std::str::from_utf8(own.expose()).unwrap()));
        let cargo: Cargo = serde_json::from_slice(&serde_json::to_vec(&cargo).unwrap()).unwrap();
        assert_eq!(cargo.secret, Some(own));
        assert_eq!((&cargo.secrets()[&key], &cargo.secrets()[&map]), (&secret, &roots));
        let states = cargo.states(Nanos(1_000_000_000_000));
        let freshness: Vec<_> = states.iter().map(|state| (state.cluster.as_str(), state.freshness)).collect();
        let expected = [("aws", 1_000_000_000_000), ("azure", 970_000_000_000)].map(|(id, at)| (id, Freshness::Stale(Nanos(at))));
        assert_eq!(freshness, expected);
    }
}
