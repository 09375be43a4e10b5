//! A cluster that is followed by a Hub, as in an edge, with less patience.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_config::{ClusterId, Kubeconfig, ObjectName, Source};
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::time::Nanos;
use causeway_discovery::kube::{Access, ApiServerSource, Cache, Patience, Stats};
use causeway_discovery::translate::{Key, Kind};
use causeway_discovery::{Clock, Hub, Timing, Update, WantedSecrets};
use causeway_test_apiserver::{ApiServer, Options};
use causeway_tests::PATIENCE;
use tempfile::TempDir;
use tokio::sync::watch;

/// As the default, but for tests: everything is near.
pub(crate) const QUICK: Patience = Patience {
    // But not so near that a busy machine passes for a dead server.
    connect: Duration::from_secs(10),
    silence: Duration::from_millis(800),
    stale: Duration::from_millis(1800),
    tick: Duration::from_millis(20),
    retry: Duration::from_millis(100),
    shortest: Duration::from_millis(20),
    longest: Duration::from_millis(200),
    at_once: Duration::from_millis(200),
    second_list: Duration::from_millis(300),
    by_name: Duration::from_millis(100),
    save: Duration::from_millis(20),
    confirm: Duration::from_millis(50),
};

/// A server, and a Hub that follows it.
pub(crate) struct Followed {
    pub(crate) server: ApiServer,
    pub(crate) hub: Hub,
    pub(crate) wanted: watch::Sender<WantedSecrets>,
    pub(crate) folder: TempDir,
    last: Option<Update>,
}

/// Which of the follower's settings a test changes.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) options: Options,
    pub(crate) patience: Patience,
    pub(crate) namespaces: Option<Vec<Arc<str>>>,
    pub(crate) cached: bool,
    pub(crate) nodes: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self { options: Options::default(), patience: QUICK, namespaces: None, cached: false, nodes: true }
    }
}

pub(crate) fn cluster() -> ClusterId {
    "azure".parse().unwrap()
}

pub(crate) fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || Nanos(start.elapsed().as_nanos() as u64 + 1))
}

impl Followed {
    /// A server with these objects, followed.
    pub(crate) async fn with(objects: &str, setting: Setting) -> Self {
        let server = ApiServer::start(setting.options.clone()).await.unwrap();
        server.apply(objects).unwrap();
        let folder = TempDir::new().unwrap();
        server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
        Self::follow(server, folder, &setting)
    }

    pub(crate) async fn new(objects: &str) -> Self {
        Self::with(objects, Setting::default()).await
    }

    /// Follows a server by the kubeconfig in `folder`.
    pub(crate) fn follow(server: ApiServer, folder: TempDir, setting: &Setting) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (wanted, reader) = watch::channel(WantedSecrets::default());
        let mut hub = hub(folder.path().to_owned(), setting, reader);
        let kubeconfig = Some(Kubeconfig { path: folder.path().join("kubeconfig"), context: None });
        hub.reconfigure([(
            cluster(),
            Source::ApiServer { kubeconfig, namespaces: setting.namespaces.clone(), nodes: setting.nodes },
        )]);
        Self { server, hub, wanted, folder, last: None }
    }

    /// Stops following, and begins anew as another process would.
    pub(crate) fn again(self, setting: &Setting) -> Self {
        let Self { server, folder, hub, .. } = self;
        drop(hub);
        Self::follow(server, folder, setting)
    }

    /// The last state or the next that fits.
    pub(crate) async fn until(&mut self, what: &str, mut fits: impl FnMut(&ClusterState) -> bool) -> ClusterState {
        self.until_update(what, |update| fits(&update.clusters[0])).await.clusters.remove(0)
    }

    /// The last update or the next that fits.
    pub(crate) async fn until_update(&mut self, what: &str, mut fits: impl FnMut(&Update) -> bool) -> Update {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(update) = self.last.clone().filter(&mut fits) {
                    return update;
                }
                self.last = Some(self.hub.next().await);
            }
        });
        let result = waited.await;
        result.unwrap_or_else(|_| panic!("{what} did not happen; last: {:#?}", self.last))
    }

    /// Waits until the cluster is up to date, and gives it.
    pub(crate) async fn synced(&mut self) -> ClusterState {
        self.until("the first state", |state| state.freshness == Freshness::Synced).await
    }

    /// Waits until the cluster is up to date and the server holds a watch of every kind: what befalls open watches befalls all.
    pub(crate) async fn watching(&mut self) -> ClusterState {
        let state = self.synced().await;
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.watched()).count();
        let all = self.server.until(|server| server.open_watches() >= kinds);
        tokio::time::timeout(PATIENCE, all).await.expect("a watch of every kind");
        state
    }

    /// The last update.
    pub(crate) fn last(&self) -> &Update {
        self.last.as_ref().unwrap()
    }

    pub(crate) fn stats(&self) -> Arc<Stats> {
        self.hub.stats()[0].1.clone()
    }

    pub(crate) fn write_kubeconfig(&self, text: &str) {
        std::fs::write(self.folder.path().join("kubeconfig"), text).unwrap();
    }

    /// Wants exactly these Secrets.
    pub(crate) fn want(&self, names: &[&str]) {
        self.want_keys(names.iter().map(|name| Key::secret(name.parse().unwrap())));
    }

    /// Wants exactly these.
    pub(crate) fn want_keys(&self, keys: impl IntoIterator<Item = Key>) {
        self.wanted.send_replace(Arc::new(keys.into_iter().map(|key| (cluster(), key)).collect()));
    }
}

fn hub(folder: PathBuf, setting: &Setting, wanted: watch::Receiver<WantedSecrets>) -> Hub {
    let clock = clock();
    let of_sources = clock.clone();
    let timing = Timing { quiet: Duration::from_millis(5), ceiling: Duration::from_millis(50) };
    let Setting { cached, patience, .. } = setting.clone();
    let factory = Box::new(move |cluster: &ClusterId, source: &Source| {
        let Source::ApiServer { kubeconfig: Some(Kubeconfig { path, context }), namespaces, nodes } = source else {
            unreachable!()
        };
        let access = Access::Kubeconfig { path: path.clone(), context: context.clone() };
        let cache = cached.then(|| Cache::new(cache_folder(&folder), cluster.clone()));
        let source = ApiServerSource::new(access, namespaces.clone(), cache, of_sources.clone());
        Box::new(source.with_nodes(*nodes).with_patience(patience)) as Box<dyn causeway_discovery::ClusterSource>
    });
    Hub::new(factory, wanted, timing, clock)
}

pub(crate) fn cache_folder(folder: &Path) -> PathBuf {
    folder.join("state")
}

pub(crate) fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// The names of the Services.
pub(crate) fn services(state: &ClusterState) -> Vec<String> {
    state.objects.services.keys().map(ToString::to_string).collect()
}

/// The text of all diagnostics.
pub(crate) fn diagnostics(state: &ClusterState) -> String {
    state.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A Service with a port 80.
pub(crate) fn service(name: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{ports: [{{port: 80, name: http}}]}}\n"
    )
}

/// A slice of a Service, named like it, with an endpoint for each address.
pub(crate) fn slice(service: &str, addresses: &[&str]) -> String {
    let (namespace, name) = service.split_once('/').unwrap();
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| format!("{{addresses: ['{address}'], targetRef: {{kind: Pod, name: p, uid: 'uid-{address}'}}}}"))
        .collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {namespace}, name: {name}-1, labels: \
         {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// An Ingress of `host` to a Service in `namespace`.
pub(crate) fn ingress(name: &str, host: &str, service: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{ingressClassName: \
         causeway, rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: \
         {{number: 80}}}}}}}}]}}}}]}}\n"
    )
}
