//! A handover in a fleet: edges of other clusters must not notice it, nor must clients whose requests cross to them.

use std::fmt::Write as _;
use std::net::SocketAddr;

use causeway_tests::fleet::{ingress, service, until};
use causeway_tests::peered::{authority, certificate, now};
use causeway_tests::process::{EdgeProcess, get};
use causeway_tests::{Client, Origin};
use tempfile::TempDir;

use super::PROGRAM;
use super::load::{self, Load};

/// Its only pod is in azure: an edge in aws sends its requests across.
const NEAR: &str = "near.example.com";
/// Its only pod is in aws.
const FAR: &str = "far.example.com";

/// Two clusters, with an edge's folder for each.
struct Pair {
    folder: TempDir,
    pods: [Origin; 2],
}

impl Pair {
    async fn new() -> Self {
        let pair = Self { folder: tempfile::tempdir().unwrap(), pods: [load::origin().await, load::origin().await] };
        let ca = authority();
        for cluster in ["aws", "azure"] {
            std::fs::create_dir(pair.path(cluster)).unwrap();
            std::fs::create_dir(pair.path(&format!("edge-{cluster}"))).unwrap();
            let own = certificate(&ca, cluster, now());
            pair.write(&format!("edge-{cluster}/ca.crt"), &ca.cert);
            pair.write(&format!("edge-{cluster}/tls.crt"), &own.cert);
            pair.write(&format!("edge-{cluster}/tls.key"), &*own.key);
        }
        pair.write("aws/web.yaml", service("shop/far", &[pair.pods[0].address]));
        pair.write("azure/web.yaml", service("shop/near", &[pair.pods[1].address]));
        pair.write("aws/near.yaml", ingress("shop/near", NEAR, "near", ""));
        pair.write("aws/far.yaml", ingress("shop/far", FAR, "far", ""));
        pair
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path("new"), bytes).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Writes the configuration of both edges, with the addresses of their peer ports as far as they are known.
    fn configure(&self, peers: [Option<SocketAddr>; 2]) {
        let of = |peer: Option<SocketAddr>| peer.map_or(String::new(), |at| format!(", peers: {{addresses: ['{at}']}}"));
        let mut clusters = String::new();
        for (name, peer) in ["aws", "azure"].iter().zip(peers) {
            let manifests = format!("manifests: ../{name}, podCIDRs: [127.0.0.0/8], allowLoopbackEndpoints: true");
            let _ = writeln!(clusters, "  {name}: {{{manifests}{}}}", of(peer));
        }
        for cluster in ["aws", "azure"] {
            let text = format!(
                "fleet: {{name: shop, tls: {{ca: ca.crt, cert: tls.crt, key: tls.key}}}}\n{}  peer: {{bind: '127.0.0.1:0'}}\n\
                 clusters:\n{clusters}stateDir: off\ndrain: {{timeout: 10m}}\nhandover: {{socket: ./h.sock}}\n",
                super::LISTEN
            );
            self.write(&format!("edge-{cluster}/causeway.yaml"), text);
        }
    }

    async fn serving(&self, home: &str, instance: &str) -> EdgeProcess {
        let config = self.path(&format!("edge-{home}/causeway.yaml"));
        let started = EdgeProcess::start(PROGRAM, &config, home, instance).await;
        let process = started.unwrap_or_else(|(status, log)| panic!("{status}\n{log}"));
        process.ready().await;
        process
    }
}

/// Waits until a request for a host is served by this edge.
async fn served(edge: &EdgeProcess, host: &str) {
    until(host, async || Client::h1(edge.addresses.https[0], host).await.get(host, "/").await.status() == 200).await;
}

/// Upgrades the edge in aws under load of its own clients, whose pods are in azure, and of azure's, whose pods are in aws.
async fn upgrades(count: usize, h1: usize, h2: usize) {
    let pair = Pair::new().await;
    pair.configure([None; 2]);
    let aws = pair.serving("aws", "i0").await;
    let azure = pair.serving("azure", "azure").await;
    pair.configure([Some(aws.addresses.peer[0]), Some(azure.addresses.peer[0])]);
    served(&aws, NEAR).await;
    served(&azure, FAR).await;
    let out = Load::start(aws.addresses.https[0], NEAR, h1, h2);
    let back = Load::start(azure.addresses.https[0], FAR, h1, h2);
    let mut old = vec![aws];
    for n in 1..=count {
        out.pass(10).await;
        back.pass(10).await;
        let new = pair.serving("aws", &format!("i{n}")).await;
        assert_eq!(new.addresses.peer, old[0].addresses.peer, "the peer port's socket is handed over too");
        until("the old one's end to begin", async || old[n - 1].log().contains("leaving")).await;
        old.push(new);
    }
    out.pass(10).await;
    back.pass(10).await;
    for (which, load) in [("out of", out), ("into", back)] {
        let summary = load.end().await;
        println!("{count} upgrades, {which} the cluster: {summary}");
        assert_eq!((summary.failed, summary.refused), (0, 0), "{which} the cluster: {summary}\n{}", azure.log());
    }
    let last = old.pop().unwrap();
    // The edges before are given up, and the last one is linked.
    until("one link", async || {
        let metrics = get(azure.addresses.admin[0], "/metrics").await.unwrap_or_default();
        metrics.contains("causeway_peer_links{cluster=\"aws\",state=\"up\"} 1\n")
    })
    .await;
    for mut process in old {
        let status = process.ended().await;
        assert!(status.success(), "{status}\n{}", process.log());
    }
    drop(last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_upgrades_cost_no_request_that_crosses_between_clouds() {
    upgrades(2, 8, 2).await;
}

/// As many upgrades as among clients of one edge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: `make handover` runs it"]
async fn ten_upgrades_cost_no_request_that_crosses_between_clouds() {
    upgrades(10, 32, 4).await;
}
