//! A whole edge from files: a configuration, a folder of manifests for each cluster, and an [`App`] on them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway::app::{App, Options, Pace};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{PATIENCE, soon};

/// How often a condition is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// An edge at home in `aws`, and the files that it follows.
pub struct Fleet {
    folder: TempDir,
    app: App,
}

/// The configuration of three clusters that reach each other directly, with `more` behind it.
pub fn configuration(more: &str) -> String {
    let mut text = String::from(
        "listen:\n  http: {bind: '127.0.0.1:0'}\n  https: {bind: '127.0.0.1:0', forwardedFor: [127.0.0.0/8]}\n  \
         health: {bind: '127.0.0.1:0'}\n  admin: {bind: '127.0.0.1:0'}\nclusters:\n",
    );
    for (name, location) in [("aws", "us-east-1"), ("azure", "westeurope"), ("google", "asia-southeast1")] {
        let _ = writeln!(
            text,
            "  {name}: {{location: {location}, manifests: ./{name}, reach: {{direct: {{plaintext: true}}}}, \
             podCIDRs: [127.0.0.0/8], allowLoopbackEndpoints: true}}"
        );
    }
    text + more
}

/// A Service and a slice for each of its endpoints.
pub fn service(at: &str, endpoints: &[SocketAddr]) -> String {
    let (namespace, name) = at.split_once('/').expect("namespace/name");
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{ports: [{{name: web, port: 80}}]}}\n"
    );
    for (n, address) in endpoints.iter().enumerate() {
        let _ = write!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}-{n}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\nports: [{{name: web, port: {}}}]\n\
             endpoints: [{{addresses: [{}], targetRef: {{kind: Pod, uid: {name}-{}}}}}]\n",
            address.port(),
            address.ip(),
            address.port(),
        );
    }
    text
}

/// An Ingress for all of a host; `more` goes into its spec.
pub fn ingress(at: &str, host: &str, service: &str, more: &str) -> String {
    let (namespace, name) = at.split_once('/').expect("namespace/name");
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         ingressClassName: causeway\n  rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, \
         backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]\n{more}"
    )
}

impl Fleet {
    /// Writes the files and starts the edge; ready means that home was read.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        for cluster in crate::world::CLUSTERS {
            std::fs::create_dir(folder.path().join(cluster)).expect("it is new");
        }
        for (path, text) in files {
            std::fs::write(folder.path().join(path), text).expect("there is room");
        }
        let options = Options { config: folder.path().join("causeway.yaml"), home: "aws".into() };
        let app = App::start(options).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(soon("readiness", app.readiness().ready()).await);
        Self { folder, app }
    }

    /// Where clients reach it.
    pub fn https(&self) -> SocketAddr {
        self.app.addresses().https[0]
    }

    /// The edge.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Ends the edge, as SIGTERM does or SIGINT.
    pub async fn stop(self, pace: Pace) {
        self.app.stop(pace).await;
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file whole, as editors and kubelets do.
    ///
    /// # Panics
    /// Where the disk is full.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let new = self.path("new");
        std::fs::write(&new, bytes).expect("there is room");
        std::fs::rename(new, self.path(name)).expect("it is one file system");
    }

    /// Removes a file.
    ///
    /// # Panics
    /// Where it is not there.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("it is there");
    }

    /// What the admin port says.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn admin(&self, path: &str) -> String {
        ask(self.app.addresses().admin[0], path).await
    }

    /// The value of a metric, by its name and labels as they stand there; 0 where it is not.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// Waits until a path of the admin port says `part`.
    ///
    /// # Panics
    /// Where it never does.
    pub async fn until_admin_says(&self, path: &str, part: &str) {
        let mut last = String::new();
        let told = async {
            let mut looks = tokio::time::interval(LOOK);
            while !last.contains(part) {
                looks.tick().await;
                last = self.admin(path).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, told).await.is_ok();
        assert!(done, "{path} never said {part:?}, but:\n{last}");
    }

    /// Waits until a metric is at least `value`.
    ///
    /// # Panics
    /// Where it never is.
    pub async fn until_metric(&self, series: &str, value: f64) {
        let reached = async {
            let mut looks = tokio::time::interval(LOOK);
            while self.metric(series).await < value {
                looks.tick().await;
            }
        };
        soon(series, reached).await;
    }
}

/// What an admin port says.
///
/// # Panics
/// Where it does not answer.
pub async fn ask(admin: SocketAddr, path: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let answer = soon("the admin port", asked).await.expect("it answers");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Waits until `look` is content.
///
/// # Panics
/// Where it never is.
pub async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let seen = async {
        let mut looks = tokio::time::interval(LOOK);
        while !look().await {
            looks.tick().await;
        }
    };
    soon(what, seen).await;
}
