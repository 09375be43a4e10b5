//! Three clusters, and an edge at home in each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway::app::{App, Options};
use causeway_test_apiserver::{ApiServer, Cluster, Kind};
use causeway_tests::{Answer, Client, Origin, soon};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::network;

pub(crate) const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];

/// Where everything of ours is in clusters that may hold other things.
pub(crate) const NAMESPACE: &str = "causeway-test";

pub(crate) const WWW: &str = "www.causeway-test.example.com";

/// How long real servers may take for what the stand-in does at once.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How often a condition is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// The clusters with a Service `web` in each, an Ingress for [`WWW`] in azure, and their edges.
pub(crate) struct Fleet {
    pub(crate) kind: Kind,
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) edges: Vec<App>,
    _origins: Vec<Origin>,
    folder: TempDir,
}

impl Fleet {
    /// Starts everything, and waits until every edge serves [`WWW`] from all clusters.
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let (mut clusters, mut origins) = (Vec::new(), Vec::new());
        for (position, name) in CLUSTERS.into_iter().enumerate() {
            let cluster = kind.start(position, name, &kubeconfig(folder.path(), name)).await.unwrap();
            let origin = Origin::start_at(network::pods_of(position), move |_| Answer::ok(name)).await;
            // What an earlier run left in clusters that stay.
            cluster.access().delete(&ingress("late", "late.causeway-test.example.com")).await.unwrap();
            cluster.access().apply(&(service("web") + &slice("web", &[origin.address]))).await.unwrap();
            clusters.push(cluster);
            origins.push(origin);
        }
        clusters[1].access().apply(&ingress("web", WWW)).await.unwrap();
        let edges = CLUSTERS.iter().map(|home| edge(folder.path(), home)).collect();
        let fleet = Self { kind, clusters, edges, _origins: origins, folder };
        for position in 0..CLUSTERS.len() {
            fleet.until_served(position, WWW).await;
            for name in CLUSTERS {
                fleet
                    .until_metric(position, &format!("causeway_cluster_state{{cluster=\"{name}\",state=\"synced\"}}"), 1.0)
                    .await;
            }
        }
        fleet
    }

    pub(crate) fn stand_ins(&self) -> impl Iterator<Item = &ApiServer> {
        self.clusters.iter().filter_map(Cluster::stand_in)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_kubeconfigs(&self) {
        for (server, name) in self.stand_ins().zip(CLUSTERS) {
            server.write_kubeconfig(name, &kubeconfig(self.folder.path(), name)).unwrap();
        }
    }

    /// Ends an edge, and starts another one with its home, files and memory.
    pub(crate) fn start_again(&mut self, position: usize) {
        drop(self.edges.remove(position));
        self.edges.insert(position, edge(self.folder.path(), CLUSTERS[position]));
    }

    pub(crate) fn https(&self, position: usize) -> SocketAddr {
        self.edges[position].addresses().https[0]
    }

    /// What an edge answers for `/` of a host.
    pub(crate) async fn ask(&self, position: usize, host: &str) -> u16 {
        Client::h1(self.https(position), host).await.get(host, "/").await.status()
    }

    pub(crate) async fn until_served(&self, position: usize, host: &str) {
        self.until(&format!("{host} at the edge in {}", CLUSTERS[position]), async || self.ask(position, host).await == 200)
            .await;
    }

    pub(crate) async fn until_metric(&self, position: usize, series: &str, value: f64) {
        self.until(series, async || self.metric(position, series).await >= value).await;
    }

    /// The sum of all series that begin with `prefix`.
    pub(crate) async fn metric(&self, position: usize, prefix: &str) -> f64 {
        let text = self.admin(position, "/metrics").await;
        let values =
            text.lines().filter(|line| line.starts_with(prefix)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// What the admin port of an edge says.
    pub(crate) async fn admin(&self, position: usize, path: &str) -> String {
        let asked = async {
            let mut stream = TcpStream::connect(self.edges[position].addresses().admin[0]).await?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await?;
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let answer = soon("the admin port", asked).await.unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut look: impl FnMut() -> F) {
        let seen = async {
            while !look().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            for (position, home) in CLUSTERS.into_iter().enumerate() {
                println!("{home}: {}", self.admin(position, "/diagnostics").await);
            }
            panic!("{what} did not happen within {PATIENCE:?}");
        }
    }

    /// Takes away what clusters that stay would keep.
    pub(crate) async fn end(self) {
        if self.kind.name() == "given" {
            for cluster in &self.clusters {
                let all = ingress("web", WWW) + &ingress("late", "l") + &service("web") + &slice("web", &[]);
                cluster.access().delete(&all).await.unwrap();
            }
        }
    }
}

fn kubeconfig(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.kubeconfig"))
}

/// An edge that has begun; it is not awaited.
fn edge(folder: &Path, home: &str) -> App {
    let networks = network::pod_networks();
    let clusters = CLUSTERS.into_iter().zip(["us-east-1", "westeurope", "asia-southeast1"]).map(|(name, location)| {
        format!(
            "  {name}: {{location: {location}, kubeconfig: ./{name}.kubeconfig, reach: {{direct: {{plaintext: true}}}}, \
             podCIDRs: [{networks}]}}\n"
        )
    });
    let text = format!(
        "listen:\n  http: {{bind: '127.0.0.1:0'}}\n  https: {{bind: '127.0.0.1:0'}}\n  health: {{bind: '127.0.0.1:0'}}\n  \
         admin: {{bind: '127.0.0.1:0'}}\nstateDir: ./state-{home}\nclusters:\n{}",
        clusters.collect::<Vec<_>>().concat()
    );
    let path = folder.join(format!("{home}.yaml"));
    std::fs::write(&path, text).unwrap();
    App::start(Options { config: path, home: home.into() }).unwrap_or_else(|error| panic!("{error:#}"))
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: {NAMESPACE}, name: {name}}}\n\
         spec: {{ports: [{{port: 80, name: http}}]}}\n"
    )
}

pub(crate) fn slice(service: &str, endpoints: &[SocketAddr]) -> String {
    let port = endpoints.first().map_or(80, SocketAddr::port);
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|at| {
            let target = format!("{{kind: Pod, namespace: {NAMESPACE}, name: pod, uid: 'uid-{at}'}}");
            format!("{{addresses: ['{}'], conditions: {{ready: true}}, targetRef: {target}}}", at.ip())
        })
        .collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {NAMESPACE}, name: {service}-1, labels: \
         {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\nports: [{{name: http, port: {port}, protocol: TCP}}]\n\
         endpoints: [{}]\n",
        endpoints.join(", ")
    )
}

pub(crate) fn ingress(name: &str, host: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: {NAMESPACE}, name: {name}}}\nspec:\n  \
         ingressClassName: causeway\n  rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: \
         {{name: web, port: {{number: 80}}}}}}}}]}}}}]\n"
    )
}
