//! An API server as a program, for demonstrations: the stand-in, or a real one where `KUBEBUILDER_ASSETS` says where it is.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use causeway_test_apiserver::{Access, ApiServer, Cluster, Kind, Options, Server, documents, fakes};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// An API server that keeps objects, lists and watches them, and runs nothing; and the two things that kubectl does to it.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be an API server until SIGTERM or SIGINT; says on standard output when it is ready.
    Serve(Serve),
    /// Create or change the objects of a file, as `kubectl apply` does.
    Apply(Objects),
    /// Delete the objects of a file, as `kubectl delete` does.
    Delete(Objects),
    /// Take etcd's arguments, and its place.
    #[command(hide = true, disable_help_flag = true)]
    FakeEtcd(Anything),
    /// Take kube-apiserver's arguments, and its place.
    #[command(hide = true, disable_help_flag = true)]
    FakeKubeApiserver(Anything),
}

#[derive(Debug, Args)]
struct Serve {
    /// The name of cluster and context in the kubeconfig.
    #[arg(long, default_value = "stand-in")]
    cluster: String,
    /// Where to write a kubeconfig that leads here.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where the stand-in listens; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Files of YAML, or folders of them, whose objects are there from the start.
    #[arg(long)]
    load: Vec<PathBuf>,
    /// End when standard input does, as the child of a program that may be killed.
    #[arg(long)]
    stdin: bool,
}

#[derive(Debug, Args)]
struct Objects {
    #[arg(long)]
    kubeconfig: PathBuf,
    /// A file of YAML.
    #[arg(short, long)]
    filename: PathBuf,
}

#[derive(Debug, Args)]
struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(run(Program::parse().command));
    // Not waited for: a thread may read standard input for ever.
    runtime.shutdown_background();
    ended
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) => self::serve(serve).await,
        Command::Apply(Objects { kubeconfig, filename }) => {
            Access::new(&kubeconfig).await?.apply(&read(&filename)?).await?;
            say(&format!("{} applied", filename.display()))
        }
        Command::Delete(Objects { kubeconfig, filename }) => {
            Access::new(&kubeconfig).await?.delete(&read(&filename)?).await?;
            say(&format!("{} deleted", filename.display()))
        }
        Command::FakeEtcd(Anything { arguments }) => fakes::etcd(&arguments).await,
        Command::FakeKubeApiserver(Anything { arguments }) => fakes::kube_apiserver(&arguments).await,
    }
}

async fn serve(args: Serve) -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let kind = Kind::own();
    let cluster = match kind {
        Kind::StandIn => {
            let server = ApiServer::start(Options { bind: args.bind, ..Options::default() }).await?;
            server.write_kubeconfig(&args.cluster, &args.kubeconfig)?;
            Cluster::of(Server::StandIn(Box::new(server)), &args.kubeconfig).await?
        }
        _ => kind.start(0, &args.cluster, &args.kubeconfig).await?,
    };
    let mut objects = Vec::new();
    for path in &args.load {
        load(&mut objects, path)?;
    }
    cluster.access().apply_all(objects, false).await?;
    let version = cluster.access().version().await?;
    let address = cluster.address().map(|address| address.to_string());
    say(&serde_json::json!({"cluster": args.cluster, "address": address, "server": kind.name(), "version": version}).to_string())?;
    let parent_gone = async {
        if !args.stdin {
            std::future::pending::<()>().await;
        }
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = parent_gone => {}
    }
    Ok(())
}

fn load(objects: &mut Vec<Value>, path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        return entries.iter().try_for_each(|entry| load(objects, entry));
    }
    if path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml"))) {
        objects.extend(documents(&read(path)?).with_context(|| format!("{} cannot be loaded", path.display()))?);
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
