//! The three edges: this same program, a process each, as in a fleet.
//!
//! They end with the demo, however it ends. Each holds a pipe from it as standard input and ends when that closes, which the
//! kernel sees to even when the demo is killed; and whoever does not is killed when its handle is dropped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::error::Elapsed;

use super::client;
use super::expect::{BANK, WWW};
use super::fleet::{CLUSTERS, Ports};
use crate::app::Addresses;

/// How long an edge may take to start: a second, on a machine that has nothing else to do.
const START: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// How long an edge may take to end what it is doing.
const END: Duration = Duration::from_secs(2);

/// Lines of an edge's log that are shown when it could not start.
const LAST_WORDS: usize = 10;

/// An edge that serves.
pub(super) struct Edge {
    /// The cluster that it lives in.
    pub(super) home: &'static str,
    pub(super) https: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Where it logs.
    pub(super) log: PathBuf,
    process: Child,
}

/// An edge whose process runs.
struct Starting {
    home: &'static str,
    log: PathBuf,
    process: Child,
    stdout: BufReader<ChildStdout>,
}

/// Fails for the first port that somebody else has: what the edge itself would say is in a log.
pub(super) fn check_ports(base: Option<u16>) -> anyhow::Result<()> {
    for (position, home) in (0..).zip(CLUSTERS) {
        for (listener, port) in Ports::of(base, position).all() {
            let bound = std::net::TcpListener::bind(("127.0.0.1", port));
            bound.map(drop).with_context(|| {
                format!("port {port}, for {listener} of the edge in {home}, cannot be had; choose another --port-base")
            })?;
        }
    }
    Ok(())
}

/// Starts all of them, tells each where the others are (`introduce`, by the addresses of their peer ports), and waits until each knows
/// the whole fleet. Configurations and logs are in `folder`.
pub(super) async fn start(
    folder: &Path,
    config: impl Fn(&str) -> PathBuf,
    introduce: impl FnOnce([SocketAddr; 3]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Edge>> {
    // All are begun before one is waited for.
    let starting = CLUSTERS.map(|home| Starting::begin(home, &config(home), folder.join(format!("edge-{home}.log"))));
    let mut bound = Vec::new();
    for edge in starting {
        let mut edge = edge?;
        let addresses = tokio::time::timeout(START, edge.addresses()).await;
        let addresses = edge.explained(addresses).await?;
        bound.push((edge, addresses));
    }
    let peers: Vec<_> = bound.iter().map(|(_, addresses)| first(&addresses.peer)).collect::<anyhow::Result<_>>()?;
    introduce(peers.try_into().expect("an edge for each cluster"))?;
    let mut edges = Vec::new();
    for (mut edge, addresses) in bound {
        let ready = tokio::time::timeout(START, edge.knows_the_fleet(&addresses)).await;
        edge.explained(ready).await?;
        edges.push(edge.serving(&addresses)?);
    }
    Ok(edges)
}

impl Starting {
    fn begin(home: &'static str, config: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program, to start edges with it")?;
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut process = Command::new(program)
            .args(["run", "--end-with-stdin", "--print-addresses", "--log-format", "text", "--home", home, "--config"])
            .arg(config)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            // Ctrl-C is for the demo alone, which ends its edges in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting an edge")?;
        let stdout = process.stdout.take().context("an edge's output is not piped")?;
        Ok(Self { home, log, process, stdout: BufReader::new(stdout) })
    }

    /// What came of waiting for it, with the reason where it is to be had.
    async fn explained<T>(&mut self, waited: Result<anyhow::Result<T>, Elapsed>) -> anyhow::Result<T> {
        match waited {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                // It has ended, or is about to.
                let status = tokio::time::timeout(END, self.process.wait()).await;
                let status = status.ok().and_then(Result::ok).map_or_else(String::new, |status| format!(" ({status})"));
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let words = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n    ");
                Err(error.context(format!("the edge in {} did not start{status}; its log ends:\n    {words}\n", self.home)))
            }
            Err(_) => {
                bail!("the edge in {} was not ready within {} s; its log: {}", self.home, START.as_secs(), self.log.display())
            }
        }
    }

    /// Where it listens.
    async fn addresses(&mut self) -> anyhow::Result<Addresses> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).await?;
        serde_json::from_str(&line).context("it printed no addresses")
    }

    /// Waits until it serves the whole fleet.
    async fn knows_the_fleet(&mut self, addresses: &Addresses) -> anyhow::Result<()> {
        let (health, admin) = (first(&addresses.health)?, first(&addresses.admin)?);
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended: {status}");
            }
            if client::get(health, "/readyz").await?.head.status == StatusCode::OK
                && knows_all(self.home, &client::get(admin, "/metrics").await?.body)
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn serving(self, addresses: &Addresses) -> anyhow::Result<Edge> {
        let (https, http, admin) = (first(&addresses.https)?, first(&addresses.http)?, first(&addresses.admin)?);
        let Self { home, log, process, mut stdout } = self;
        let mut output = tokio::fs::File::from_std(File::options().append(true).open(&log)?);
        // The access log goes there, where somebody switches it on; a full pipe would make the edge drop lines of it.
        tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut output).await });
        Ok(Edge { home, https, http, admin, log, process })
    }
}

/// An edge is ready as soon as it knows its home; here, the others and their edges are to be seen as well, and what azure's Secrets hold.
fn knows_all(home: &str, metrics: &str) -> bool {
    let certificate =
        |host| metrics.contains(&format!("causeway_certificate_expiry_timestamp_seconds{{name=\"{host}\",source=\"secret\"}}"));
    let synced = |name| metrics.contains(&format!("causeway_cluster_state{{cluster=\"{name}\",state=\"synced\"}} 1"));
    let linked = |name| name == home || metrics.contains(&format!("causeway_peer_links{{cluster=\"{name}\",state=\"up\"}} 1"));
    CLUSTERS.into_iter().all(|name| synced(name) && linked(name)) && [WWW, BANK].into_iter().all(certificate)
}

fn first(addresses: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    addresses.first().copied().context("an edge has one listener less than the reference fleet's configuration")
}

/// Ends all of them.
pub(super) async fn end(mut edges: Vec<Edge>) {
    for edge in &mut edges {
        drop(edge.process.stdin.take());
    }
    let deadline = Instant::now() + END;
    for edge in &mut edges {
        // Whoever has not ended by then is killed when it is dropped.
        let _ = tokio::time::timeout_at(deadline.into(), edge.process.wait()).await;
    }
}
