//! An edge as a process of its own, as it runs in a pod.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use causeway::app::Addresses;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};

use crate::fleet::until;
use crate::soon;

/// A running edge; it is killed when it is dropped, and ends by itself when the test does.
#[derive(Debug)]
pub struct EdgeProcess {
    /// Where it listens.
    pub addresses: Addresses,
    /// Its name.
    pub instance: String,
    child: Child,
    /// It ends when this does, and waiting for it would close the child's own handle.
    _stdin: ChildStdin,
    log: PathBuf,
}

/// A command of the program at `program`, without what a developer has set for an edge of their own.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for variable in ["RUST_LOG", "CAUSEWAY_CONFIG", "CAUSEWAY_HOME", "CAUSEWAY_INSTANCE", "KUBERNETES_SERVICE_HOST"] {
        command.env_remove(variable);
    }
    command
}

impl EdgeProcess {
    /// Starts one with the configuration at `config`, and waits until it says where it listens. It logs beside the file.
    ///
    /// # Errors
    /// How it ended, and what it logged, where it ends instead.
    ///
    /// # Panics
    /// Where it does neither.
    pub async fn start(program: &str, config: &Path, home: &str, instance: &str) -> Result<Self, (ExitStatus, String)> {
        let log = config.with_file_name(format!("{instance}.log"));
        let mut child =
            command(program, &["run", "--print-addresses", "--end-with-stdin", "--log-format", "text", "--workers", "1"])
                .args(["--home", home, "--instance", instance, "--config"])
                .arg(config)
                .env("NO_COLOR", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(std::fs::File::create(&log).expect("there is room"))
                .kill_on_drop(true)
                .spawn()
                .expect("the program is there");
        let stdin = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        soon("its addresses", output.read_line(&mut line)).await.expect("it writes text");
        let Ok(addresses) = serde_json::from_str(&line) else {
            let status = soon("its end", child.wait()).await.expect("it is our child");
            return Err((status, std::fs::read_to_string(log).expect("it is there")));
        };
        // A full pipe would hold up its access log.
        tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
        Ok(Self { addresses, instance: instance.to_owned(), child, _stdin: stdin, log })
    }

    /// Waits until `/readyz` says that this very process is ready.
    ///
    /// # Panics
    /// Where it never does.
    pub async fn ready(&self) {
        let mine = format!("causeway-instance: {}\r\n", self.instance);
        until("readiness", async || {
            let answer = get(self.addresses.health[0], "/readyz").await.unwrap_or_default();
            answer.starts_with("HTTP/1.1 200") && answer.contains(&mine)
        })
        .await;
    }

    /// Sends a signal, as kill(1) does.
    ///
    /// # Panics
    /// Where there is no kill(1).
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("there is kill");
        assert!(sent.success());
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        soon("its end", self.child.wait()).await.expect("it is our child")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// What a port answers to a GET, head and body.
///
/// # Errors
/// Where it does not answer.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
