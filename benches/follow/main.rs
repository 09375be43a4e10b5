//! What it costs to follow three API servers: memory, processor time, and the time until a change is published.
//!
//! The servers live in a process of their own, which this program starts from itself, so that what is measured here is the
//! follower alone: sources, Hub and `compile`, as the edge runs them, with the last good state saved to disk.

mod measure;
mod servers;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use causeway_config::{ClusterId, Config, Kubeconfig, Source};
use causeway_core::cluster::Freshness;
use causeway_core::{Edge, Nanos, Snapshot, compile};
use causeway_discovery::kube::{Access, ApiServerSource, Cache};
use causeway_discovery::{Clock, Hub, Timing, Update, WantedSecrets};
use clap::Parser;
use measure::Latencies;
use servers::Servers;

/// As the edge's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what following three API servers costs.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Services in each cluster, each with one `EndpointSlice` and, in the first cluster, an Ingress.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Endpoints of each Service.
    #[arg(long, default_value_t = 5)]
    endpoints: usize,
    /// Endpoint changes a second, over all clusters.
    #[arg(long, default_value_t = 2_000)]
    changes: u32,
    /// How long to change endpoints, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Be the servers; for the program itself.
    #[arg(long, hide = true)]
    serve: bool,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The clusters of the fleet; home comes first.
pub(crate) const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];

/// How often memory is looked at while endpoints change.
const ROUNDS: usize = 10;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // As the edge's control plane: one thread, beside the data plane's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.serve {
        runtime.block_on(servers::serve(&args))?;
        return Ok(ExitCode::SUCCESS);
    }
    let _first_one_counts = rustls::crypto::aws_lc_rs::default_provider().install_default();
    runtime.block_on(follow(&args))
}

/// The edge's control plane without what it publishes to.
struct Follower {
    hub: Hub,
    config: Arc<Config>,
    edge: Edge,
    snapshot: Snapshot,
    /// Nothing is wanted; but if nobody could want anything any more, the sources would rest.
    _wanted: tokio::sync::watch::Sender<WantedSecrets>,
}

async fn follow(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let empty = measure::memory()?;
    let mut servers = Servers::start(args, folder.path()).await?;
    let mut follower = Follower::new(folder.path())?;
    println!("{} Services, {} endpoints in each of {} clusters", args.services, args.services * args.endpoints, CLUSTERS.len());

    let (began, cpu) = (Instant::now(), measure::cpu()?);
    while !synced(&follower.next().await) {}
    let (took, cpu) = (began.elapsed(), measure::cpu()?.saturating_sub(cpu));
    let millis = |duration: Duration| duration.as_millis();
    println!("first state of all     {:>8} ms, {} ms of processor time", millis(took), millis(cpu));
    println!("memory                 {:>8.1} MiB above the {:.1} MiB of an empty program", measure::memory()? - empty, empty);

    let before = measure::memory()?;
    let (began, cpu) = (Instant::now(), measure::cpu()?);
    servers.churn().await?;
    let mut latencies = Latencies::default();
    let mut updates = 0_u32;
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS {
        let end = tokio::time::sleep(Duration::from_secs(args.seconds) / ROUNDS as u32);
        tokio::pin!(end);
        loop {
            tokio::select! {
                update = follower.next() => {
                    updates += 1;
                    latencies.take(servers::newest_mark(&update.clusters[0]));
                }
                () = &mut end => break,
            }
        }
        rounds.push(measure::memory()? - empty);
    }
    let (took, cpu) = (began.elapsed(), measure::cpu()?.saturating_sub(cpu));
    let changes = servers.changes().await?;
    println!("changes                {:>8.0} a second, {updates} times published", changes as f64 / took.as_secs_f64());
    println!("processor time         {:>8.1} % of a core", cpu.as_secs_f64() / took.as_secs_f64() * 100.0);
    println!("change until published {latencies}");
    println!("memory                 {:>8.1} MiB more than before the changes", measure::memory()? - before);
    let rounds: Vec<_> = rounds.iter().map(|mib| format!("{mib:.0}")).collect();
    println!("after each tenth       {} MiB", rounds.join(" "));
    println!("peak                   {:>8.1} MiB", measure::peak()? - empty);
    Ok(ExitCode::SUCCESS)
}

fn synced(update: &Update) -> bool {
    update.clusters.iter().all(|state| state.freshness == Freshness::Synced)
}

impl Follower {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let names = CLUSTERS.map(|name| format!("  {name}: {{manifests: /nowhere}}\n")).concat();
        let text = format!("clusters:\n{names}");
        let parsed = causeway_config::parse(text.as_bytes(), Path::new("bench.yaml"));
        let config = Arc::new(parsed.map_err(|errors| anyhow::anyhow!("{errors}"))?.config);
        let start = Instant::now();
        let clock: Clock = Arc::new(move || Nanos(0).after(start.elapsed()));
        let (wanted, reader) = tokio::sync::watch::channel(WantedSecrets::default());
        let (state, of_sources) = (folder.join("state"), clock.clone());
        let factory = Box::new(move |cluster: &ClusterId, source: &Source| {
            let Source::ApiServer { kubeconfig: Some(Kubeconfig { path, context }), .. } = source else {
                unreachable!("every source below is an API server")
            };
            let access = Access::Kubeconfig { path: path.clone(), context: context.clone() };
            let cache = Cache::new(state.clone(), cluster.clone());
            Box::new(ApiServerSource::new(access, None, Some(cache), of_sources.clone())) as Box<_>
        });
        let mut hub = Hub::new(factory, reader, Timing::default(), clock);
        hub.reconfigure(config.clusters.iter().map(|cluster| {
            let path = servers::kubeconfig(folder, cluster.id.as_str());
            (
                cluster.id.clone(),
                Source::ApiServer { kubeconfig: Some(Kubeconfig { path, context: None }), namespaces: None, nodes: false },
            )
        }));
        let home = config.clusters[0].id.clone();
        let edge = Edge { home, listeners: Vec::new(), addresses: Vec::new() };
        let snapshot = Snapshot::empty(Arc::clone(&config));
        Ok(Self { hub, config, edge, snapshot, _wanted: wanted })
    }

    /// The next update, compiled.
    async fn next(&mut self) -> Update {
        let update = self.hub.next().await;
        self.snapshot = compile(&self.config, &self.edge, &update.clusters, &[], &self.snapshot).0;
        update
    }
}

/// Everything that may fail here fails for one reason: the machine.
pub(crate) fn machine<T>(value: Option<T>) -> anyhow::Result<T> {
    value.context("/proc says something else than Linux does")
}
