//! Secrets asked for one by one, where no watch tells of them: those that are not of type `kubernetes.io/tls`, and all of
//! them where the account may not list. And `ConfigMap`s, of which a cluster has many and an edge needs a few. A permission to
//! `get` single names is enough.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_config::ClusterId;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use super::fault::Fault;
use crate::translate::{self, Key, Kind, Translated};

/// How many are asked for at a time.
const AT_ONCE: usize = 4;

/// A Secret or `ConfigMap`, or that there is none, or why that cannot be told.
pub(super) struct Answer {
    pub(super) key: Key,
    pub(super) found: Result<Option<Translated>, Fault>,
}

/// Asks for `keys` now, whenever they change, and again every `every` (with 20 % of jitter), for as long as it is let run.
pub(super) async fn ask(
    cluster: ClusterId,
    client: Client,
    mut keys: watch::Receiver<BTreeSet<Key>>,
    answers: mpsc::Sender<Answer>,
    every: Duration,
) {
    loop {
        let now = keys.borrow_and_update().clone();
        let asked = now.into_iter().map(|key| {
            let (client, cluster) = (client.clone(), &cluster);
            async move {
                let found = get(cluster, client, &key).await;
                Answer { key, found }
            }
        });
        let mut asked = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(answer) = asked.next().await {
            if answers.send(answer).await.is_err() {
                return;
            }
        }
        let wait = every.mul_f64(0.8 + fastrand::f64() * 0.4);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = keys.changed() => if changed.is_err() { return },
        }
    }
}

async fn get(cluster: &ClusterId, client: Client, Key { kind, name }: &Key) -> Result<Option<Translated>, Fault> {
    let found = if *kind == Kind::ConfigMap {
        let found = Api::<ConfigMap>::namespaced(client, &name.namespace).get_opt(&name.name).await;
        found.map(|found| found.and_then(|map| translate::config_map(cluster, map).ok()))
    } else {
        let found = Api::<Secret>::namespaced(client, &name.namespace).get_opt(&name.name).await;
        found.map(|found| found.and_then(|secret| translate::secret(cluster, secret).ok()))
    };
    found.map_err(|error| Fault::of_request(&error))
}
