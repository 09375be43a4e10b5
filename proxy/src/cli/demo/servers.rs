//! The API servers of `--kube`: three processes of a program that is no part of this one, since only demonstrations and tests
//! have a use for it. `make demo` builds it beside this program.
//!
//! They end as the edges do, when the demo's end of their standard input closes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::fleet::{CLUSTERS, kubeconfig};

const PROGRAM: &str = "causeway-test-apiserver";

/// How long they may take to start: real ones need a quarter of a minute.
const START: Duration = Duration::from_mins(2);

/// How long they may take to end.
const END: Duration = Duration::from_secs(5);

/// An API server that serves a cloud's objects.
pub(super) struct Server {
    pub(super) cluster: &'static str,
    pub(super) address: String,
    /// Which one: `stand-in, v1.34.0`.
    pub(super) what: String,
    pub(super) kubeconfig: PathBuf,
    process: Child,
}

/// What it says when it is ready.
#[derive(Deserialize)]
struct Ready {
    address: String,
    server: String,
    version: String,
}

/// Where the program is.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("finding this program, to find its neighbour")?;
    let program = here.with_file_name(PROGRAM);
    if !program.exists() {
        bail!(
            "{} is missing: `make demo ARGS=--kube` builds it, and so does `cargo build --package {PROGRAM}`",
            program.display()
        );
    }
    Ok(program)
}

/// Starts one for each cluster, with what lies in its folder below `folder`; writes kubeconfigs there.
pub(super) async fn start(folder: &Path) -> anyhow::Result<Vec<Server>> {
    let program = program()?;
    // All are begun before one is waited for.
    let mut begun = Vec::new();
    for cluster in CLUSTERS {
        let process = Command::new(&program)
            .args(["serve", "--stdin", "--cluster", cluster, "--kubeconfig"])
            .arg(kubeconfig(folder, cluster))
            .arg("--load")
            .arg(folder.join(cluster))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        begun.push((cluster, process));
    }
    let mut servers = Vec::new();
    for (cluster, process) in begun {
        let ready = tokio::time::timeout(START, ready(folder, cluster, process)).await;
        servers.push(ready.with_context(|| format!("the API server of {cluster} was not ready within {} s", START.as_secs()))??);
    }
    Ok(servers)
}

async fn ready(folder: &Path, cluster: &'static str, mut process: Child) -> anyhow::Result<Server> {
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("its output is not piped")?).read_line(&mut line).await?;
    let ready =
        serde_json::from_str(&line).with_context(|| format!("the API server of {cluster} did not start; what it says is above"));
    let Ready { address, server, version } = ready?;
    Ok(Server { cluster, address, what: format!("{server}, {version}"), kubeconfig: kubeconfig(folder, cluster), process })
}

/// Applies or deletes the objects of a file: by kubectl where there is one, else by the servers' own program.
pub(super) async fn change(server: &Server, verb: Verb, file: &Path) -> anyhow::Result<Change> {
    let word = match verb {
        Verb::Apply => "apply",
        Verb::Delete => "delete",
    };
    let (tool, mut command) = if has_kubectl().await {
        let mut command = Command::new("kubectl");
        // What it learns of a server that lives for a minute is for nobody else.
        command.arg(word).arg("--cache-dir").arg(file.with_extension("cache"));
        ("kubectl", command)
    } else {
        let mut command = Command::new(program()?);
        command.arg(word);
        (PROGRAM, command)
    };
    command.arg("--kubeconfig").arg(&server.kubeconfig).arg("--filename").arg(file);
    let began = Instant::now();
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("its output is not piped")?).read_line(&mut line).await?;
    let said = Instant::now();
    let status = process.wait().await?;
    if !status.success() || line.is_empty() {
        bail!("{tool} {word} ended with {status}; what it says is above");
    }
    Ok(Change { tool, took: said.duration_since(began), said })
}

/// What is done to a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Apply,
    Delete,
}

/// A change that the API server has taken.
pub(super) struct Change {
    /// Who made it.
    pub(super) tool: &'static str,
    /// From its start until it said so.
    pub(super) took: Duration,
    /// When it said so.
    pub(super) said: Instant,
}

async fn has_kubectl() -> bool {
    let asked = Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.await.is_ok_and(|status| status.success())
}

/// Ends all of them.
pub(super) async fn end(mut servers: Vec<Server>) {
    for server in &mut servers {
        drop(server.process.stdin.take());
    }
    let deadline = Instant::now() + END;
    for server in &mut servers {
        // Whoever has not ended by then is killed when it is dropped.
        let _ = tokio::time::timeout_at(deadline.into(), server.process.wait()).await;
    }
}
