//! Secrets asked for one by one, where no watch tells of them: those that are not of type `kubernetes.io/tls`, and all of
//! them where the account may not list. A permission to `get` single names is enough.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_config::{ClusterId, ObjectName};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use super::fault::Fault;
use crate::translate::{self, Translated};

/// How many are asked for at a time.
const AT_ONCE: usize = 4;

/// A Secret, or that there is none, or why that cannot be told.
pub(super) struct Answer {
    pub(super) name: ObjectName,
    pub(super) found: Result<Option<Translated>, Fault>,
}

/// Asks for `names` now, whenever they change, and again every `every` (with 20 % of jitter), for as long as it is let run.
pub(super) async fn ask(
    cluster: ClusterId,
    client: Client,
    mut names: watch::Receiver<BTreeSet<ObjectName>>,
    answers: mpsc::Sender<Answer>,
    every: Duration,
) {
    loop {
        let now = names.borrow_and_update().clone();
        let asked = now.into_iter().map(|name| {
            let (client, cluster) = (client.clone(), &cluster);
            async move {
                let found = get(cluster, client, &name).await;
                Answer { name, found }
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
            changed = names.changed() => if changed.is_err() { return },
        }
    }
}

async fn get(cluster: &ClusterId, client: Client, name: &ObjectName) -> Result<Option<Translated>, Fault> {
    let api = Api::<Secret>::namespaced(client, &name.namespace);
    match api.get_opt(&name.name).await {
        Ok(found) => Ok(found.and_then(|secret| translate::secret(cluster, secret).ok())),
        Err(error) => Err(Fault::of_request(&error)),
    }
}
