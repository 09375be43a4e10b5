//! Which kind of source a cluster has.

use async_trait::async_trait;
use causeway_config::{ClusterId, Source};
use causeway_core::{Diagnostic, Severity};
use causeway_discovery::{ClusterSource, ManifestSource, Publisher};

/// Opens a cluster's source.
pub(super) fn open(_: &ClusterId, source: &Source) -> Box<dyn ClusterSource> {
    match source {
        Source::Manifests(folder) => Box::new(ManifestSource::new(folder.clone())),
        Source::InCluster | Source::Kubeconfig { .. } => Box::new(ApiServer),
    }
}

/// An API server, which this version cannot watch yet: the cluster says so and stays unsynced.
struct ApiServer;

#[async_trait]
impl ClusterSource for ApiServer {
    async fn run(self: Box<Self>, mut publisher: Publisher) {
        let id = publisher.cluster().clone();
        publisher.unavailable(vec![Diagnostic {
            severity: Severity::Error,
            cluster: Some(id.clone()),
            object: "configuration".into(),
            field: format!("clusters.{id}"),
            problem: "this version cannot watch API servers yet".into(),
            remedy: "give the cluster's objects as a folder: `manifests: DIR`".into(),
        }]);
        std::future::pending::<()>().await;
    }
}
