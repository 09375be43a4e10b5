//! The three API servers: a child process that keeps the objects and changes them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use causeway_core::ClusterState;
use causeway_test_apiserver::{ApiServer, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{Args, CLUSTERS};

/// How often the endpoint changes that tells the time.
pub(crate) const MARK_EVERY: Duration = Duration::from_millis(20);

/// The Service whose only endpoint's address tells when it was written.
const MARK: &str = "mark";

const NAMESPACE: &str = "shop";

/// The child.
pub(crate) struct Servers {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Servers {
    /// Starts it, and waits until its objects are there and the kubeconfigs are in `folder`.
    pub(crate) async fn start(args: &Args, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .args(["--services", &args.services.to_string(), "--endpoints", &args.endpoints.to_string()])
            .args(["--changes", &args.changes.to_string()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("stdin was piped")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout was piped")?).lines();
        let mut servers = Self { _child: child, stdin, stdout };
        servers.answer().await?;
        Ok(servers)
    }

    /// Lets endpoints change from now on.
    pub(crate) async fn churn(&mut self) -> anyhow::Result<()> {
        self.stdin.write_all(b"churn\n").await?;
        Ok(())
    }

    /// Ends the changes, and tells how many there were.
    pub(crate) async fn changes(&mut self) -> anyhow::Result<u64> {
        self.stdin.write_all(b"end\n").await?;
        Ok(self.answer().await?.parse()?)
    }

    async fn answer(&mut self) -> anyhow::Result<String> {
        self.stdout.next_line().await?.context("the servers are gone")
    }
}

/// Where a cluster's kubeconfig lies.
pub(crate) fn kubeconfig(folder: &Path, cluster: &str) -> PathBuf {
    folder.join(format!("{cluster}.kubeconfig"))
}

/// The time of day; both processes have the same.
pub(crate) fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // As much as fits into three bytes of an address, in milliseconds.
    Duration::from_millis((since.as_millis() % (1 << 24)) as u64)
}

/// When the newest mark that a state holds was made.
pub(crate) fn newest_mark(state: &ClusterState) -> Option<Duration> {
    let endpoints = state.endpoints.iter().find(|(name, _)| &*name.name == MARK)?.1;
    match endpoints.first()?.address.ip() {
        IpAddr::V4(address) => {
            let [_, a, b, c] = address.octets();
            Some(Duration::from_millis(u64::from(u32::from_be_bytes([0, a, b, c]))))
        }
        IpAddr::V6(_) => None,
    }
}

/// Is the servers, until standard input ends.
pub(crate) async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for cluster in CLUSTERS {
        let server = ApiServer::start(Options::default()).await?;
        for n in 0..args.services {
            server.put(service(&name(n)))?;
            server.put(slice(&name(n), (0..args.endpoints).map(|e| address(n * args.endpoints + e))))?;
            if cluster == CLUSTERS[0] {
                server.put(ingress(&name(n)))?;
            }
        }
        server.put(service(MARK))?;
        server.write_kubeconfig(cluster, &kubeconfig(Path::new("."), cluster))?;
        servers.push(server);
    }
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.as_deref() != Some("churn") {}
    tokio::select! {
        changes = churn(args, &servers) => changes?,
        end = count(&mut lines) => end?,
    }
    Ok(())
}

/// How many changes there were, across the two branches below.
static CHANGES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

async fn count(lines: &mut Lines<BufReader<tokio::io::Stdin>>) -> anyhow::Result<()> {
    lines.next_line().await?;
    println!("{}", CHANGES.load(std::sync::atomic::Ordering::Relaxed));
    Ok(())
}

/// Gives one endpoint after another a new address, at the rate that was asked for.
async fn churn(args: &Args, servers: &[ApiServer]) -> anyhow::Result<()> {
    let per_round = (f64::from(args.changes) * MARK_EVERY.as_secs_f64()) as usize;
    let mut rounds = tokio::time::interval(MARK_EVERY);
    for round in 0.. {
        rounds.tick().await;
        for change in round * per_round..(round + 1) * per_round {
            let n = change * 7919 % args.services;
            let server = &servers[change % servers.len()];
            let others = (1..args.endpoints).map(|e| address(n * args.endpoints + e));
            server.put(slice(&name(n), std::iter::once(address(5_000_000 + change)).chain(others)))?;
        }
        servers[0].put(slice(MARK, [Ipv4Addr::from(0x0a00_0000 | now().as_millis() as u32)].into_iter()))?;
        CHANGES.fetch_add(per_round as u64 + 1, std::sync::atomic::Ordering::Relaxed);
    }
    Ok(())
}

fn name(n: usize) -> String {
    format!("shop-{n}")
}

fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0b00_0000 + n as u32 % 0x00ff_ffff)
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(name),
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    })
}

fn slice(name: &str, addresses: impl Iterator<Item = Ipv4Addr>) -> Value {
    let mut metadata = metadata(name);
    metadata["labels"]["kubernetes.io/service-name"] = name.into();
    let endpoint = |address: Ipv4Addr| {
        json!({
            "addresses": [address.to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("ip-10-20-30-{}.ec2.internal", address.octets()[3]),
            "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": format!("{name}-{address}"), "uid": format!("f00dfeed-0000-4000-8000-{:012}", u32::from(address))},
            "zone": "us-east-1a",
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "endpoints": addresses.map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn ingress(name: &str) -> Value {
    let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata(name),
        "spec": {
            "ingressClassName": "causeway",
            "rules": [{"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    })
}

/// What objects of real clusters carry along and the edge has no use for.
fn metadata(name: &str) -> Value {
    json!({
        "namespace": NAMESPACE, "name": name,
        "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "shop-1.2.3"},
        "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": NAMESPACE},
        "managedFields": [{
            "manager": "helm", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:meta.helm.sh/release-name": {}}, "f:labels": {".": {}, "f:helm.sh/chart": {}}}, "f:spec": {"f:ports": {}, "f:selector": {}}},
        }],
    })
}
