//! Which kind of source a cluster has.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use causeway_config::{ClusterId, Kubeconfig, Source};
use causeway_core::{Diagnostic, Severity};
use causeway_discovery::kube::{Access, ApiServerSource, Cache};
use causeway_discovery::{Clock, ClusterSource, ManifestSource, Publisher, SourceFactory};

/// Set by Kubernetes in every pod.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// Opens the sources of clusters for an edge at home in `home`, which keeps what API servers said in `state_dir`.
pub(super) fn factory(home: ClusterId, state_dir: Option<PathBuf>, clock: Clock) -> SourceFactory {
    let in_a_pod = std::env::var_os(IN_A_POD).is_some();
    Box::new(move |cluster, source| match source {
        Source::Manifests(folder) => Box::new(ManifestSource::new(folder.clone())),
        Source::ApiServer { kubeconfig, namespaces, nodes } => match access(*cluster == home, in_a_pod, kubeconfig.as_ref()) {
            Some(access) => {
                let cache = state_dir.as_deref().map(|folder| Cache::new(folder.join(Path::new("clusters")), cluster.clone()));
                // At home nobody looks for edges by their nodes.
                let nodes = *nodes && *cluster != home;
                Box::new(ApiServerSource::new(access, namespaces.clone(), cache, clock.clone()).with_nodes(nodes))
            }
            None => Box::new(NoAccess),
        },
    })
}

/// How the API server is reached. At home the pod's service account counts before any kubeconfig, which is there for the
/// edges of other clusters; an edge that runs in no pod is at home by name only, and uses it.
fn access(at_home: bool, in_a_pod: bool, kubeconfig: Option<&Kubeconfig>) -> Option<Access> {
    match kubeconfig {
        Some(Kubeconfig { path, context }) if !(at_home && in_a_pod) => {
            Some(Access::Kubeconfig { path: path.clone(), context: context.clone() })
        }
        _ if at_home => Some(Access::InCluster),
        _ => None,
    }
}

/// A cluster that nothing says how to read.
struct NoAccess;

#[async_trait]
impl ClusterSource for NoAccess {
    async fn run(self: Box<Self>, mut publisher: Publisher) {
        let id = publisher.cluster().clone();
        publisher.unavailable(vec![Diagnostic {
            severity: Severity::Error,
            cluster: Some(id.clone()),
            object: "configuration".into(),
            field: format!("clusters.{id}"),
            problem: "cannot be read from here: it is not this edge's home, and has no `kubeconfig`".into(),
            remedy: "give it a `kubeconfig`, which `causeway kubeconfig` writes, or `manifests`".into(),
        }]);
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_account_is_for_pods_at_home() {
        let file = Kubeconfig { path: "/k".into(), context: None };
        let by_file = || Some(Access::Kubeconfig { path: "/k".into(), context: None });
        assert_eq!(access(true, true, Some(&file)), Some(Access::InCluster));
        assert_eq!(access(true, false, Some(&file)), by_file());
        assert_eq!(access(false, true, Some(&file)), by_file());
        assert_eq!(access(true, false, None), Some(Access::InCluster));
        assert_eq!(access(false, true, None), None);
    }
}
