//! The fleet of the demo, running: files, backends, edges.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use tempfile::TempDir;

use super::backends::{self, Cloud};
use super::client::Trust;
use super::edges::{self, Edge};
use super::fleet::{self, CLUSTERS, Certificates, Network, Ports, Read};
use super::screen::Screen;
use super::servers::{self, Server};

/// Everything that runs. Dropping it ends it.
pub(super) struct Stage {
    pub(super) edges: Vec<Edge>,
    pub(super) clouds: Vec<Cloud>,
    /// The certificate of the Secret `devfest-tls`, and of `bank-tls`.
    pub(super) devfest: Trust,
    pub(super) bank: Trust,
    /// The clouds' API servers; none where folders stand for them.
    pub(super) servers: Vec<Server>,
    folder: Folder,
}

/// The folder of a demo: its files go with it, unless they are wanted.
pub(super) struct Folder {
    temporary: TempDir,
}

impl Folder {
    fn new() -> anyhow::Result<Self> {
        // It will hold private keys; tempfile makes it readable for its owner only.
        let temporary = tempfile::Builder::new().prefix("causeway-demo-").tempdir().context("making a folder for the demo")?;
        Ok(Self { temporary })
    }

    pub(super) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// What the clusters hold: a folder for each.
    pub(super) fn manifests(&self) -> PathBuf {
        self.path().join("fleet")
    }

    /// What the edge in a cluster reads.
    pub(super) fn config(&self, home: &str) -> PathBuf {
        self.manifests().join(format!("causeway-{home}.yaml"))
    }

    /// The certificate of devfest's hosts, for `curl --cacert`.
    pub(super) fn certificate(&self) -> PathBuf {
        self.path().join("devfest.crt")
    }
}

impl Stage {
    /// Starts everything, and waits for it.
    pub(super) async fn start(port_base: Option<u16>, read: Read, screen: &mut Screen) -> anyhow::Result<Self> {
        edges::check_ports(port_base)?;
        screen.scene("The fleet");
        let folder = Folder::new()?;
        let (manifests, certificates) = (folder.manifests(), Certificates::make()?);
        fleet::write_manifests(&manifests)?;
        let (network, clouds) = match read {
            Read::Folders => backends::start(&manifests, Network::candidates(std::process::id()))?,
            Read::Servers => backends::start(&manifests, [Network::of_a_namespace()])?,
        };
        fleet::write_moved(&manifests, network)?;
        fleet::write_secrets(&manifests, &certificates)?;
        fleet::write(&folder.certificate(), &String::from_utf8_lossy(&certificates.devfest.cert))?;
        fleet::write_edge_certificates(&manifests, &certificates)?;
        let configure = |peers| {
            (0..).zip(CLUSTERS).try_for_each(|(position, home)| {
                fleet::write_config(&folder.config(home), home, network, Ports::of(port_base, position), read, peers)
            })
        };
        configure(None)?;
        screen.line(&format!("files    {}", folder.path().display()));
        screen.line(&format!("pods     {}", pods(network, &clouds)));
        let servers = match read {
            Read::Folders => Vec::new(),
            Read::Servers => servers::start(&manifests).await?,
        };
        if let Some(server) = servers.first() {
            let each: Vec<_> = servers.iter().map(|server| format!("{} {}", server.cluster, server.address)).collect();
            screen.line(&format!("servers  {}", each.join("   ")));
            screen.aside(&format!("Kubernetes API: {}", server.what));
        }
        let began = Instant::now();
        let edges = edges::start(folder.path(), |home| folder.config(home), |peers| configure(Some(peers))).await?;
        let names: Vec<_> = edges.iter().map(|edge| format!("{} {}", edge.home, edge.https)).collect();
        screen.line(&format!("edges    {}", names.join("   ")));
        screen.aside("clouds are reached through their edges, by mutual TLS");
        screen.aside(&format!("all three know all three clouds after {} ms", began.elapsed().as_millis()));
        let (devfest, bank) = (Trust::new(&certificates.devfest.cert)?, Trust::new(&certificates.bank.cert)?);
        Ok(Self { edges, clouds, devfest, bank, servers, folder })
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The edge of a cluster's own, by the cluster's position.
    pub(super) fn https(&self) -> [SocketAddr; 3] {
        [self.edges[0].https, self.edges[1].https, self.edges[2].https]
    }

    /// Ends everything in order; returns the folder if it shall stay.
    pub(super) async fn end(self, keep: bool) -> Option<PathBuf> {
        let Self { edges, clouds, servers, folder, .. } = self;
        edges::end(edges).await;
        servers::end(servers).await;
        drop(clouds);
        keep.then(|| folder.temporary.keep())
    }
}

fn pods(network: Network, clouds: &[Cloud]) -> String {
    let networks = (1..).zip(CLUSTERS.iter().zip(clouds));
    let each = networks
        .map(|(third, (name, cloud))| format!("{name} {} on {}.{}.{third}.*", cloud.pods(), network.first, network.number));
    format!("{}, port {}", each.collect::<Vec<_>>().join("   "), network.port)
}
