//! `causeway demo`: three clouds, their edges and their backends on this machine, and what they do.
//!
//! ```text
//! fleet (files) --> backends (pods, in this process) <----+
//!        |   (--kube: servers, three processes)           |
//!        \--------> edges (three processes) --------------+-- client, traffic <-- scenes --judged by--> expect
//! ```
//!
//! Everything is real but the distance: Kubernetes YAML as people write it, `causeway run` as it runs in a cluster, requests
//! over sockets, certificates that are verified. With `--once` it is a test of the whole.

mod backends;
mod client;
mod edges;
mod expect;
mod fleet;
mod namespace;
mod scenes;
mod screen;
mod servers;
mod stage;
mod traffic;

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::expect::{Client, WWW};
use self::fleet::Read;
use self::screen::Screen;
use self::stage::Stage;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Show everything once and end: exits 0 if all was as it should be.
    #[arg(long)]
    once: bool,
    /// Read the clouds from three API servers instead of folders: stand-ins, or real ones where the variable
    /// `KUBEBUILDER_ASSETS` names a folder with etcd and kube-apiserver. Runs in a network namespace of its own.
    #[arg(long)]
    kube: bool,
    /// Ports from N on: https N to N+2, http N+10 to N+12, health from N+20, admin from N+30, peer from N+40; chosen by
    /// the kernel otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65_493))]
    port_base: Option<u16>,
    /// Leave the files and logs in place at the end. Where something went wrong, they stay anyway.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.kube {
            servers::program()?;
            namespace::enter()?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.show())
    }

    async fn show(self) -> anyhow::Result<ExitCode> {
        let mut stop = Stop::new()?;
        let mut screen = Screen::new();
        screen.say("Causeway, the demo: three clouds, an edge in each, on this machine.");
        let read = if self.kube { Read::Servers } else { Read::Folders };
        let mut stage = tokio::select! {
            started = Stage::start(self.port_base, read, &mut screen) => started?,
            () = stop.asked() => return Ok(ExitCode::FAILURE),
        };
        let played = tokio::select! {
            played = scenes::play(&mut stage, &mut screen) => played,
            () = stop.asked() => {
                stage.end(self.keep).await;
                return Ok(ExitCode::FAILURE);
            }
        };
        let good = played.is_ok() && screen.faults().is_empty();
        if let Err(error) = &played {
            screen.expect("the demo came to its end", vec![format!("{error:#}")]);
        }
        if !good {
            screen.say("\nNot everything was as it should be:");
            screen.faults().iter().for_each(|fault| screen.line(fault));
            stage.edges.iter().for_each(|edge| screen.line(&format!("log of the edge in {}: {}", edge.home, edge.log.display())));
        } else if self.once {
            screen.say("\nEverything was as it should be.");
        }
        if !self.once {
            invite(&stage, &screen);
            stop.asked().await;
            screen.say("\nEnding.");
        }
        if let Some(folder) = stage.end(self.keep || !good).await {
            screen.say(&format!("The files stay in {}", folder.display()));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What there is to try while the fleet is up.
fn invite(stage: &Stage, screen: &Screen) {
    let folder = stage.folder();
    let [aws, azure, google] = &stage.edges[..] else { return };
    let client = Client::Singapore.address();
    screen.say("\nThe fleet stays up until Ctrl-C. Try:");
    screen.line("");
    if !stage.servers.is_empty() {
        screen.aside("# in another terminal, enter the network that all of this is in");
        screen.line(&namespace::how_to_enter());
    }
    screen.aside("# a client in Singapore, at the edge in aws");
    let port = aws.https.port();
    screen.line(&format!("curl --cacert {} --resolve {WWW}:{port}:127.0.0.1 \\", folder.certificate().display()));
    screen.line(&format!("     -H 'X-Forwarded-For: {client}' https://{WWW}:{port}/"));
    screen.aside("# as one tests an ingress before DNS leads to it, at the edge in google");
    screen.line(&format!("curl -k -H 'Host: {WWW}' https://{}/", google.https));
    screen.aside("# why, at the edge in azure; /snapshot, /routes, /diagnostics and /metrics tell more");
    screen.line(&format!("curl 'http://{}/explain?url=https://{WWW}/&client={client}'", azure.admin));
    screen.line("");
    if stage.servers.is_empty() {
        screen.aside("What the clouds hold; edit a file, and every edge follows:");
        screen.line(&folder.manifests().display().to_string());
    } else {
        screen.aside("What the clouds hold; change it, and every edge follows:");
        for server in &stage.servers {
            screen.line(&format!("kubectl --kubeconfig {} get ingresses --all-namespaces", server.kubeconfig.display()));
        }
    }
    screen.aside("The edges:");
    for edge in &stage.edges {
        screen.line(&format!(
            "{:<8}https://{}   admin http://{}   log {}",
            edge.home,
            edge.https,
            edge.admin,
            edge.log.display()
        ));
    }
}

/// Ctrl-C, or whoever else wants an end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
