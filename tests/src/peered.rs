//! Edges that reach each other's pods through each other: several whole edges in one process, with certificates of a fleet.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway::app::{App, Options};
use causeway_certs::{Certificate, FleetFiles, FleetTrust, PemPair, ServerTls, fleet_ca, process_tickets};
use causeway_config::ClusterId;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fleet::{ask, until};
use crate::world::CLUSTERS;
use crate::{PATIENCE, soon};

/// How often a condition is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// The fleet's name.
const FLEET: &str = "shop";

/// Certificates live for so many days.
const DAYS: u32 = 30;

/// Three edges, one in each cluster.
pub struct Peered {
    folder: TempDir,
    /// The authority that all trust.
    pub ca: PemPair,
    edges: Vec<Option<App>>,
    more: String,
}

/// Seconds since 1970.
///
/// # Panics
/// Before that.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs().cast_signed()
}

/// A certificate for the edges of a cluster.
///
/// # Panics
/// Where none can be made.
pub fn certificate(ca: &PemPair, cluster: &str, now: i64) -> PemPair {
    let cluster: ClusterId = cluster.parse().expect("a cluster's name");
    fleet_ca::issue(ca, FLEET, &cluster, now, DAYS).expect("it can be made")
}

/// The SHA-256 of a certificate, in hexadecimal digits.
///
/// # Panics
/// Where it is none.
pub fn fingerprint(cert: &[u8], key: &[u8]) -> String {
    let tls = ServerTls::new(process_tickets().expect("there is randomness"));
    Certificate::from_pem(cert, key, &tls).expect("it is one").fingerprint().to_string()
}

/// An authority.
///
/// # Panics
/// Where none can be made.
pub fn authority() -> PemPair {
    fleet_ca::authority(FLEET, now()).expect("it can be made")
}

impl Peered {
    /// Writes the files, starts the edges and tells them where the others are. `more` stands at the end of the configuration.
    ///
    /// # Panics
    /// Where one does not start.
    pub async fn start(files: &[(&str, String)], more: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let ca = authority();
        for cluster in CLUSTERS {
            std::fs::create_dir(folder.path().join(cluster)).expect("it is new");
            std::fs::create_dir(folder.path().join(format!("edge-{cluster}"))).expect("it is new");
        }
        for (path, text) in files {
            std::fs::write(folder.path().join(path), text).expect("there is room");
        }
        let mut fleet = Self { folder, ca, edges: Vec::new(), more: more.into() };
        for cluster in CLUSTERS {
            let pair = certificate(&fleet.ca, cluster, now());
            fleet.trust(cluster, &fleet.ca.cert, &pair);
            fleet.write(&format!("edge-{cluster}/causeway.yaml"), configuration(&[], more));
        }
        for cluster in CLUSTERS {
            let app = fleet.launch(cluster);
            fleet.edges.push(Some(app));
        }
        for app in fleet.edges.iter().flatten() {
            assert!(soon("readiness", app.readiness().ready()).await);
        }
        fleet.introduce();
        fleet
    }

    fn launch(&self, cluster: &str) -> App {
        let config = self.path(&format!("edge-{cluster}/causeway.yaml"));
        App::start(Options { config, home: cluster.into() }).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Starts one more edge in a cluster, whose configuration is that cluster's as `edit` leaves it; returns its position.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn another(&mut self, n: usize, edit: impl FnOnce(String) -> String) -> usize {
        let (position, cluster) = (self.edges.len(), CLUSTERS[n]);
        let folder = format!("edge-{cluster}-{position}");
        std::fs::create_dir(self.path(&folder)).expect("it is new");
        for file in ["tls.key", "tls.crt", "ca.crt"] {
            let from = self.path(&format!("edge-{cluster}/{file}"));
            std::fs::copy(from, self.path(&format!("{folder}/{file}"))).expect("there is room");
        }
        let text = std::fs::read_to_string(self.path(&format!("edge-{cluster}/causeway.yaml"))).expect("it is there");
        self.write(&format!("{folder}/causeway.yaml"), edit(text));
        let options = Options { config: self.path(&format!("{folder}/causeway.yaml")), home: cluster.into() };
        let app = App::start(options).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(soon("readiness", app.readiness().ready()).await);
        self.edges.push(Some(app));
        position
    }

    /// Writes the configuration anew, with the addresses of the edges that run.
    pub fn introduce(&self) {
        self.configure(&self.more);
    }

    /// Takes a certificate back, by its fingerprint.
    pub fn revoke(&self, fingerprint: &str) {
        for cluster in CLUSTERS {
            let name = format!("edge-{cluster}/causeway.yaml");
            let text = std::fs::read_to_string(self.path(&name)).expect("it is there");
            self.write(&name, text.replacen("fleet: {", &format!("fleet: {{revoked: ['{fingerprint}'], "), 1));
        }
    }

    /// The edges of the others call that of a cluster at another address.
    pub fn move_peer(&self, n: usize, address: SocketAddr) {
        for cluster in CLUSTERS {
            let name = format!("edge-{cluster}/causeway.yaml");
            let text = std::fs::read_to_string(self.path(&name)).expect("it is there");
            self.write(&name, text.replace(&format!("'{}'", self.peer(n)), &format!("'{address}'")));
        }
    }

    /// The same with another end of the configuration.
    pub fn configure(&self, more: &str) {
        let peers: Vec<_> =
            (0..CLUSTERS.len()).filter_map(|n| self.edges[n].as_ref().map(|app| (n, app.addresses().peer[0]))).collect();
        for cluster in CLUSTERS {
            self.write(&format!("edge-{cluster}/causeway.yaml"), configuration(&peers, more));
        }
    }

    /// Waits until every edge has an answer from an edge of every other cluster.
    pub async fn met(&self) {
        for (n, cluster) in CLUSTERS.iter().enumerate() {
            for other in CLUSTERS.iter().filter(|other| *other != cluster) {
                self.until_metric(n, &format!("causeway_peer_links{{cluster=\"{other}\",state=\"up\"}}"), 1.0).await;
            }
        }
    }

    /// An edge, by the position of its cluster.
    ///
    /// # Panics
    /// Where it was ended.
    pub fn edge(&self, n: usize) -> &App {
        self.edges[n].as_ref().expect("it runs")
    }

    /// Where clients reach an edge.
    pub fn https(&self, n: usize) -> SocketAddr {
        self.edge(n).addresses().https[0]
    }

    /// Where edges reach an edge.
    pub fn peer(&self, n: usize) -> SocketAddr {
        self.edge(n).addresses().peer[0]
    }

    /// Ends an edge at once.
    pub fn kill(&mut self, n: usize) {
        self.edges[n] = None;
    }

    /// Starts an edge again, as another instance.
    pub async fn restart(&mut self, n: usize) {
        let app = self.launch(CLUSTERS[n]);
        assert!(soon("readiness", app.readiness().ready()).await);
        self.edges[n] = Some(app);
        self.introduce();
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file whole.
    ///
    /// # Panics
    /// Where the disk is full.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let (new, path) = (self.path("new"), self.path(name));
        std::fs::write(&new, bytes).expect("there is room");
        std::fs::rename(new, path).expect("it is one file system");
    }

    /// Removes a file.
    ///
    /// # Panics
    /// Where it is not there.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("it is there");
    }

    /// Gives an edge its certificates.
    pub fn trust(&self, cluster: &str, authorities: &[u8], own: &PemPair) {
        self.write(&format!("edge-{cluster}/tls.key"), &*own.key);
        self.write(&format!("edge-{cluster}/tls.crt"), &own.cert);
        self.write(&format!("edge-{cluster}/ca.crt"), authorities);
    }

    /// What an edge's admin port says.
    pub async fn admin(&self, n: usize, path: &str) -> String {
        ask(self.edge(n).addresses().admin[0], path).await
    }

    /// Waits until a path of an edge's admin port says `part`.
    pub async fn until_admin_says(&self, n: usize, path: &str, part: &str) {
        let mut last = String::new();
        let told = async {
            let mut looks = tokio::time::interval(LOOK);
            while !last.contains(part) {
                looks.tick().await;
                last = self.admin(n, path).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, told).await.is_ok();
        assert!(done, "{path} of {} never said {part:?}, but:\n{last}", CLUSTERS[n]);
    }

    /// The value of a metric of an edge, by its name and labels as they stand there; 0 where it is not.
    pub async fn metric(&self, n: usize, series: &str) -> f64 {
        let text = self.admin(n, "/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// Waits until a metric of an edge is at least `value`.
    pub async fn until_metric(&self, n: usize, series: &str, value: f64) {
        until(series, async || self.metric(n, series).await >= value).await;
    }

    /// A connection to an edge's peer port, as an edge of `cluster` that `ca` vouches for would make it.
    ///
    /// # Errors
    /// Where it is refused; with TLS 1.3 that may also show only with the first read.
    ///
    /// # Panics
    /// Where the edge does not listen.
    pub async fn call(&self, n: usize, ca: &PemPair, cluster: &str, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let own = certificate(ca, cluster, now());
        // The caller believes the fleet's authority, whoever vouches for itself.
        let files = FleetFiles { ca: &self.ca.cert, cert: &own.cert, key: &own.key };
        let trust = std::sync::Arc::new(FleetTrust::read(FLEET, files, &[]).expect("they are good"));
        let name = trust.name_of(&CLUSTERS[n].parse().expect("a cluster's name"));
        let stream = TcpStream::connect(self.peer(n)).await.expect("it listens");
        let name = rustls::pki_types::ServerName::try_from(name).expect("a host name");
        TlsConnector::from(trust.client(&[alpn.as_bytes()])).connect(name, stream).await
    }
}

/// The configuration of three clusters that reach each other through edges.
fn configuration(peers: &[(usize, SocketAddr)], more: &str) -> String {
    let mut text = format!(
        "fleet: {{name: {FLEET}, tls: {{ca: ca.crt, cert: tls.crt, key: tls.key}}}}\n\
         listen:\n  http: {{bind: '127.0.0.1:0'}}\n  https: {{bind: '127.0.0.1:0', forwardedFor: [127.0.0.0/8]}}\n  \
         peer: {{bind: '127.0.0.1:0'}}\n  health: {{bind: '127.0.0.1:0'}}\n  admin: {{bind: '127.0.0.1:0'}}\nclusters:\n",
    );
    for (n, (name, location)) in [("aws", "us-east-1"), ("azure", "westeurope"), ("google", "asia-southeast1")].iter().enumerate()
    {
        let addresses: Vec<_> = peers.iter().filter(|(c, _)| *c == n).map(|(_, address)| format!("'{address}'")).collect();
        let peers =
            if addresses.is_empty() { String::new() } else { format!(", peers: {{addresses: [{}]}}", addresses.join(", ")) };
        let _ = writeln!(
            text,
            "  {name}: {{location: {location}, manifests: ../{name}, allowLoopbackEndpoints: true, podCIDRs: [127.0.0.0/8]{peers}}}"
        );
    }
    text + more
}
