//! The reference fleet: out of the binary, onto disk, into a network of its own.
//!
//! The files are those of deploy/examples/reference-fleet, whose README says what may be moved and how. They are compiled in,
//! so that the binary alone can show what it does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use causeway_certs::{PemPair, fleet_ca, self_signed};

use super::expect::{BANK, NEW_HOST, WWW};

/// The clusters, each also an edge's home, in the order of the configuration.
pub(super) const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];

macro_rules! reference_fleet {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../deploy/examples/reference-fleet/", $path)))),*]
    };
}

/// What each cluster holds, by path.
const MANIFESTS: &[(&str, &str)] = reference_fleet![
    "aws/namespaces.yaml",
    "aws/whoami.yaml",
    "aws/wordpress.yaml",
    "azure/ingresses.yaml",
    "azure/ledger.yaml",
    "azure/namespaces.yaml",
    "azure/whoami.yaml",
    "azure/wordpress.yaml",
    "google/ledger.yaml",
    "google/namespaces.yaml",
    "google/whoami.yaml",
    "google/wordpress.yaml",
];

const CONFIG: &str = include_str!("../../../../deploy/examples/reference-fleet/causeway.yaml");

/// The first number of every pod's address in the files.
const LOOPBACK: u8 = 127;

/// The port of every pod in the files.
const POD_PORT: u16 = 8080;

/// The hosts of the Secret `devfest-tls`. The last one is no host of the fleet before the demo makes it one.
const DEVFEST: [&str; 3] = ["devfest.example.com", WWW, NEW_HOST];

/// The fleet's name in the files, and for how many days its edges get certificates.
const FLEET: &str = "devfest";
const DAYS: u32 = 30;

/// Where the pods are: the first two numbers of their addresses, and their port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) first: u8,
    pub(super) number: u8,
    pub(super) port: u16,
}

/// From where edges read what a cluster holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A folder of manifests.
    Folders,
    /// An API server.
    Servers,
}

impl Network {
    /// All that may be tried, those first that another demo will hardly have begun with. A workstation may well have something
    /// on 0.0.0.0:8080, which takes the port on every network; then it is another port.
    pub(super) fn candidates(start: u32) -> impl Iterator<Item = Self> {
        let numbers = move || (0..254).map(move |i| (1 + (start % 254 + i) % 254) as u8);
        [POD_PORT, 18080, 28080]
            .into_iter()
            .flat_map(move |port| numbers().map(move |number| Self { first: LOOPBACK, number, port }))
    }

    /// In a network namespace of our own, where API servers take the pods' addresses for some of a real network.
    pub(super) fn of_a_namespace() -> Self {
        Self { first: 10, number: 64, port: POD_PORT }
    }

    /// Where a pod of the files is in this network.
    pub(super) fn moved(self, pod: SocketAddr) -> SocketAddr {
        match pod.ip() {
            IpAddr::V4(ip) => {
                let [_, _, c, d] = ip.octets();
                (Ipv4Addr::new(self.first, self.number, c, d), self.port).into()
            }
            IpAddr::V6(_) => pod,
        }
    }

    fn manifest(self, text: &str) -> String {
        text.replace("127.0.", &self.prefix()).replace(&POD_PORT.to_string(), &self.port.to_string())
    }

    /// Only the pods' networks: listeners stay on 127.0.0.1.
    fn config(self, text: &str) -> String {
        let line = |line: &str| if line.contains("podCIDRs:") { line.replace("127.0.", &self.prefix()) } else { line.to_owned() };
        text.lines().map(|text| line(text) + "\n").collect()
    }

    fn prefix(self) -> String {
        format!("{}.{}.", self.first, self.number)
    }
}

/// The ports of one edge; 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) https: u16,
    pub(super) http: u16,
    pub(super) health: u16,
    pub(super) admin: u16,
    pub(super) peer: u16,
}

impl Ports {
    /// Those of the edge at a position, if they shall begin at `base`: see `--port-base`.
    pub(super) fn of(base: Option<u16>, position: u16) -> Self {
        base.map_or_else(Self::default, |base| Self {
            https: base + position,
            http: base + 10 + position,
            health: base + 20 + position,
            admin: base + 30 + position,
            peer: base + 40 + position,
        })
    }

    /// With what each is for.
    pub(super) fn all(self) -> [(&'static str, u16); 5] {
        [("https", self.https), ("http", self.http), ("health", self.health), ("admin", self.admin), ("peer", self.peer)]
    }

    fn config(self, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        for (written, port) in [("8443", self.https), ("8000", self.http), ("8081", self.health), ("9900", self.admin)] {
            let bind = format!("bind: \"127.0.0.1:{written}\"");
            ensure!(text.matches(&bind).count() == 1, "the reference fleet's configuration has not one listener with {bind}");
            text = text.replace(&bind, &format!("bind: \"127.0.0.1:{port}\""));
        }
        Ok(text.replace("\nlisten:\n", &format!("\nlisten:\n  peer: {{bind: \"127.0.0.1:{}\"}}\n", self.peer)))
    }
}

/// The certificates of the two Secrets; and of the edges, in the order of the clusters, by an authority of the fleet's own.
pub(super) struct Certificates {
    pub(super) devfest: PemPair,
    pub(super) bank: PemPair,
    authority: PemPair,
    edges: Vec<PemPair>,
}

impl Certificates {
    /// Makes both, with new keys.
    pub(super) fn make() -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs().cast_signed();
        let authority = fleet_ca::authority(FLEET, now)?;
        let issue = |cluster: &str| Ok(fleet_ca::issue(&authority, FLEET, &cluster.parse()?, now, DAYS)?);
        let edges = CLUSTERS.into_iter().map(issue).collect::<anyhow::Result<_>>()?;
        Ok(Self { devfest: self_signed(&DEVFEST, now)?, bank: self_signed(&[BANK], now)?, authority, edges })
    }
}

/// Writes what the clusters hold, as it is in the repository.
pub(super) fn write_manifests(folder: &Path) -> anyhow::Result<()> {
    write_moved(folder, Network { first: LOOPBACK, number: 0, port: POD_PORT })
}

/// Writes what the clusters hold, with the pods in another network.
pub(super) fn write_moved(folder: &Path, network: Network) -> anyhow::Result<()> {
    for (path, text) in MANIFESTS {
        write(&folder.join(path), &network.manifest(text))?;
    }
    Ok(())
}

/// Writes the Secrets that the Ingresses name, in the two forms that people use.
pub(super) fn write_secrets(folder: &Path, certificates: &Certificates) -> anyhow::Result<()> {
    let Certificates { devfest, bank, .. } = certificates;
    let devfest = secret("devfest", "devfest-tls", "Opaque", ["devfest.example.com.crt", "devfest.example.com.key"], devfest);
    let bank = secret("bank", "bank-tls", "kubernetes.io/tls", ["tls.crt", "tls.key"], bank);
    write(&folder.join("azure/devfest-tls.yaml"), &devfest)?;
    write(&folder.join("azure/bank-tls.yaml"), &bank)
}

/// Writes what edges show each other, and by which authority they know each other, beside the configurations.
pub(super) fn write_edge_certificates(folder: &Path, certificates: &Certificates) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy;
    write(&folder.join("fleet-ca.crt"), &text(&certificates.authority.cert))?;
    for (home, pair) in CLUSTERS.into_iter().zip(&certificates.edges) {
        write(&folder.join(format!("{home}.crt")), &text(&pair.cert))?;
        write(&folder.join(format!("{home}.key")), &text(&pair.key))?;
    }
    Ok(())
}

/// Writes the configuration for the edge in `home`. All differ in their listeners and certificates only. `peers` is where the edges
/// of the clusters are, once that is known.
pub(super) fn write_config(
    path: &Path,
    home: &str,
    network: Network,
    ports: Ports,
    read: Read,
    peers: Option<[SocketAddr; 3]>,
) -> anyhow::Result<()> {
    let text = through_edges(&ports.config(&network.config(CONFIG))?, home, peers)?;
    match read {
        Read::Folders => write(path, &text),
        Read::Servers => write(path, &from_servers(&text)?),
    }
}

/// The path of a cluster's kubeconfig, beside the configurations.
pub(super) fn kubeconfig(folder: &Path, cluster: &str) -> PathBuf {
    folder.join(format!("{cluster}.kubeconfig"))
}

/// The configuration with clouds that are reached through their edges, by mutual TLS, as real ones are.
fn through_edges(text: &str, home: &str, peers: Option<[SocketAddr; 3]>) -> anyhow::Result<String> {
    let name = format!("fleet: {{name: {FLEET}}}\n");
    ensure!(text.matches(&name).count() == 1, "the reference fleet's configuration has not one line {name}");
    let tls = format!("fleet: {{name: {FLEET}, tls: {{ca: ./fleet-ca.crt, cert: ./{home}.crt, key: ./{home}.key}}}}\n");
    let mut text = text.replace(&name, &tls);
    for position in 0..CLUSTERS.len() {
        let reach = "    reach: {direct: {plaintext: true}}\n";
        ensure!(text.contains(reach), "the reference fleet's configuration has a cluster without {reach}");
        let edges = peers.map_or_else(String::new, |peers| format!("    peers: {{addresses: [\"{}\"]}}\n", peers[position]));
        text = text.replacen(reach, &edges, 1);
    }
    Ok(text)
}

/// The configuration with API servers in place of folders, and without what only loopback needs.
fn from_servers(text: &str) -> anyhow::Result<String> {
    let mut text = text.replace("    allowLoopbackEndpoints: true\n", "");
    for cluster in CLUSTERS {
        let folder = format!("manifests: ./{cluster}\n");
        ensure!(text.matches(&folder).count() == 1, "the reference fleet's configuration has not one cluster with {folder}");
        text = text.replace(&folder, &format!("kubeconfig: ./{cluster}.kubeconfig\n"));
    }
    Ok(text)
}

/// A file and the folder that it is in.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    written.with_context(|| format!("writing {}", path.display()))
}

fn secret(namespace: &str, name: &str, kind: &str, [cert, key]: [&str; 2], pair: &PemPair) -> String {
    let indented = |pem: &[u8]| String::from_utf8_lossy(pem).trim_end().replace('\n', "\n    ");
    let head = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: {namespace}\n  name: {name}\ntype: {kind}\n");
    format!("{head}stringData:\n  {cert}: |\n    {}\n  {key}: |\n    {}\n", indented(&pair.cert), indented(&pair.key))
}

#[cfg(test)]
#[path = "fleet/tests.rs"]
mod tests;
