//! A real control plane: etcd and kube-apiserver from a folder, as controller-runtime's envtest has them.
//!
//! No controller runs, so that nothing makes endpoints, fills tokens in or ends namespaces: what is in it is what was applied.
//! Whatever can go wrong here without help from inside the server: etcd is killed, the server is stopped and continued, or
//! starts anew after a compaction, so that neither of both remembers what watches go on from.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::access::Access;
use crate::tls::Pems;
use crate::{TOKEN, kubeconfig};

/// How long either program may take to be ready; half a minute is much for them on a busy machine.
const READY: Duration = Duration::from_mins(2);

/// How often they are asked meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// How long a server that was asked to end may take.
const END: Duration = Duration::from_secs(20);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// etcd and a kube-apiserver, which end when this is dropped.
pub struct RealServer {
    assets: PathBuf,
    folder: TempDir,
    pems: Pems,
    etcd_port: u16,
    peer_port: u16,
    port: u16,
    etcd: Child,
    server: Child,
}

impl RealServer {
    /// Starts both from the programs in `assets`, and waits until they are ready.
    pub async fn start(assets: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("causeway-control-plane-").tempdir()?;
        let pems = Pems::make(LOOPBACK)?;
        let signer = KeyPair::generate()?;
        for (name, text) in [
            ("ca.crt", pems.authority.clone()),
            ("tls.crt", pems.certificate.clone()),
            ("tls.key", pems.key.clone()),
            ("accounts.key", signer.serialize_pem()),
            ("accounts.pub", signer.public_key_pem()),
            ("tokens.csv", format!("{TOKEN},admin,admin,\"system:masters\"\n")),
        ] {
            fs::write(folder.path().join(name), text)?;
        }
        let [etcd_port, peer_port, port] = free_ports()?;
        let assets = assets.to_owned();
        let etcd = spawn(&assets, "etcd", folder.path(), &etcd_arguments(folder.path(), etcd_port, peer_port))?;
        let server = spawn(&assets, "kube-apiserver", folder.path(), &server_arguments(folder.path(), etcd_port, port))?;
        let mut started = Self { assets, folder, pems, etcd_port, peer_port, port, etcd, server };
        started.ready().await?;
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (LOOPBACK, self.port).into()
    }

    /// A kubeconfig for everything.
    pub fn kubeconfig(&self, name: &str) -> String {
        kubeconfig(self.address(), &self.pems.authority, name, TOKEN)
    }

    /// Kills etcd; the server goes on without it until [`start_etcd`](Self::start_etcd).
    pub async fn kill_etcd(&mut self) -> anyhow::Result<()> {
        self.etcd.kill().await.context("killing etcd")
    }

    /// Starts etcd with what it had, and waits until the server is ready again.
    pub async fn start_etcd(&mut self) -> anyhow::Result<()> {
        let arguments = etcd_arguments(self.folder.path(), self.etcd_port, self.peer_port);
        self.etcd = spawn(&self.assets, "etcd", self.folder.path(), &arguments)?;
        self.ready().await
    }

    /// Stops the server's process where it is, or lets it go on: its connections stay open, and nothing passes.
    pub async fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        signal(&self.server, if frozen { "STOP" } else { "CONT" })?;
        // Its threads stop one by one, and one that still runs still answers.
        for _ in 0..500 {
            if !frozen || stopped(&self.server)? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the server does not stop")
    }

    /// Ends the server.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        signal(&self.server, "TERM")?;
        if tokio::time::timeout(END, self.server.wait()).await.is_err() {
            self.server.kill().await?;
        }
        Ok(())
    }

    /// Starts the server again, and waits until it is ready.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let arguments = server_arguments(self.folder.path(), self.etcd_port, self.port);
        self.server = spawn(&self.assets, "kube-apiserver", self.folder.path(), &arguments)?;
        self.ready().await
    }

    /// Compacts etcd up to now. A server that starts after that remembers no earlier revision either, and answers 410.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let found = self.ask_etcd("/v3/kv/range", &json!({"key": "AA=="})).await?;
        let revision = found["header"]["revision"].as_str().context("etcd tells no revision")?;
        let compacted = self.ask_etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await;
        match compacted {
            // It has been so already.
            Err(error) if format!("{error:#}").contains("has been compacted") => Ok(()),
            done => done.map(drop),
        }
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let path = self.folder.path().join("kubeconfig");
        fs::write(&path, self.kubeconfig("here"))?;
        let access = Access::new(&path).await?;
        let ready = async {
            loop {
                for (name, process) in [("etcd", &mut self.etcd), ("kube-apiserver", &mut self.server)] {
                    if let Some(status) = process.try_wait()? {
                        bail!("{name} ended: {status}; it said: {}", last_words(self.folder.path(), name));
                    }
                }
                if access.ready().await {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(READY, ready).await {
            Ok(done) => done,
            Err(_) => {
                bail!("not ready after {READY:?}; kube-apiserver said: {}", last_words(self.folder.path(), "kube-apiserver"))
            }
        }
    }

    /// By the gateway that etcd has from JSON over HTTP to its own protocol.
    async fn ask_etcd(&self, path: &str, question: &Value) -> anyhow::Result<Value> {
        let asked = async {
            let stream = TcpStream::connect((LOOPBACK, self.etcd_port)).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::post(path).header("host", "etcd").body(Full::new(Bytes::from(question.to_string())))?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            if !status.is_success() {
                bail!("etcd answered {status}: {}", String::from_utf8_lossy(&body));
            }
            Ok(serde_json::from_slice(&body)?)
        };
        tokio::time::timeout(END, asked).await.context("etcd does not answer")?
    }
}

fn etcd_arguments(folder: &Path, port: u16, peer_port: u16) -> Vec<OsString> {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut data = OsString::from("--data-dir=");
    data.push(folder.join("etcd"));
    let text = [
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ];
    std::iter::once(data).chain(text.map(OsString::from)).collect()
}

fn server_arguments(folder: &Path, etcd_port: u16, port: u16) -> Vec<OsString> {
    let file = |flag: &str, name: &str| {
        let mut argument = OsString::from(format!("--{flag}="));
        argument.push(folder.join(name));
        argument
    };
    let files = [
        file("cert-dir", "certificates"),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "tls.crt"),
        file("tls-private-key-file", "tls.key"),
        file("token-auth-file", "tokens.csv"),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
    ];
    let text = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        format!("--service-account-issuer=https://127.0.0.1:{port}/"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        // Its own Service would have an endpoint in loopback, which it refuses.
        "--endpoint-reconciler-type=none".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--authorization-mode=RBAC".into(),
        "--allow-privileged=true".into(),
        // It waits for what a controller makes, and none runs.
        "--disable-admission-plugins=ServiceAccount".into(),
    ];
    files.into_iter().chain(text.map(OsString::from)).collect()
}

/// Starts a program, which says what it has to say to a file.
fn spawn(assets: &Path, name: &str, folder: &Path, arguments: &[OsString]) -> anyhow::Result<Child> {
    let log = fs::File::options().create(true).append(true).open(folder.join(format!("{name}.log")))?;
    Command::new(assets.join(name))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "{} cannot be started; KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver",
                assets.join(name).display()
            )
        })
}

fn last_words(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

fn signal(process: &Child, name: &str) -> anyhow::Result<()> {
    let id = process.id().context("the server has ended")?;
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status()?;
    if !sent.success() {
        bail!("SIG{name} cannot be sent to the server");
    }
    Ok(())
}

/// Whether no thread of a process runs (proc(5), `State`).
fn stopped(process: &Child) -> anyhow::Result<bool> {
    let id = process.id().context("the server has ended")?;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        if !status.lines().any(|line| line.starts_with("State:\tT")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ports that were free a moment ago: these programs cannot be told to take any and say which.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind((LOOPBACK, 0))).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
