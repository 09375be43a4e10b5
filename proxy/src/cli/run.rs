//! `causeway run`: an edge, until it is told to stop.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::Fleet;
use crate::app::{App, Options, Pace};

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    fleet: Fleet,
    /// Threads that serve clients; one for each core unless said otherwise.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The form of the log, which goes to standard error. The variable `RUST_LOG` chooses what is logged.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
    /// Print where each listener listens, as a line of JSON on standard output, once all do.
    #[arg(long)]
    print_addresses: bool,
    /// A name that tells this process from any other on the machine, for `causeway ready`. In Kubernetes, the pod's UID.
    #[arg(long, env = super::ready::INSTANCE, value_name = "ID")]
    instance: Option<String>,
    /// End, at once, when standard input does: for programs that start edges, so that none outlives them.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    Text,
    Json,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.log();
        small_pages();
        let home = match &self.fleet.home {
            Some(home) => home.clone(),
            None => self.fleet.home(&causeway_config::load(&self.fleet.config)?.config)?,
        };
        let workers =
            self.workers.map_or_else(std::thread::available_parallelism, |n| n.try_into().map_err(std::io::Error::other))?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers.get()).thread_name("edge").enable_all().build()?;
        runtime.block_on(async {
            let options = Options { config: self.fleet.config.clone(), home };
            let app = match &self.instance {
                Some(instance) => App::start_as(options, instance)?,
                None => App::start(options)?,
            };
            if self.print_addresses {
                println!("{}", serde_json::to_string(app.addresses())?);
            }
            serve(app, self.end_with_stdin).await
        })
    }

    fn log(&self) {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| "info,pingora_core=warn,pingora_proxy=error".into());
        let terminal = std::io::stderr().is_terminal();
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
        let json = match self.log_format {
            LogFormat::Auto => !terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        if json { logs.json().init() } else { logs.init() }
    }
}

/// Keeps the kernel from backing memory with huge pages unasked (`PR_SET_THP_DISABLE`): of each it fills two mebibytes where a few
/// kibibytes are used, which made an edge of 10,000 hosts larger by a quarter. Where it cannot, it is that larger.
fn small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Set by Kubernetes in every pod.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// Serves until SIGTERM or SIGINT, or until another process has taken over. SIGTERM goes on for a while for load balancers' sake,
/// the second of either ends at once.
async fn serve(app: App, end_with_stdin: bool) -> anyhow::Result<ExitCode> {
    let mut abandoned = std::pin::pin!(abandoned(end_with_stdin));
    let (mut term, mut int, mut hup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let mut succeeded = false;
    let pace = loop {
        tokio::select! {
            _ = hup.recv() => {
                let reloader = app.reloader();
                tokio::task::spawn_blocking(move || reloader.reload_everything());
            }
            why = app.broken() => anyhow::bail!("{why}"),
            () = app.succeeded() => {
                succeeded = true;
                break Pace::AtOnce;
            }
            _ = term.recv() => break Pace::Graceful,
            _ = int.recv() => break Pace::AtOnce,
            () = &mut abandoned => break Pace::AtOnce,
        }
    };
    let mut stopping = std::pin::pin!(app.stop(pace));
    if succeeded {
        // A pod whose edge has ended by itself would be started again, and take over from its own successor: it waits to be told.
        let pod = std::env::var_os(IN_A_POD).is_some();
        let ended = async {
            stopping.as_mut().await;
            if pod {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = ended => return Ok(ExitCode::SUCCESS),
            () = &mut abandoned => return Ok(ExitCode::FAILURE),
            // The first of these is the one that any process gets, and changes nothing here.
            _ = term.recv() => tracing::info!("told to end, and already about to"),
            _ = int.recv() => tracing::info!("told to end, and already about to"),
        }
    }
    tokio::select! {
        () = stopping => Ok(ExitCode::SUCCESS),
        _ = term.recv() => Ok(ExitCode::FAILURE),
        _ = int.recv() => Ok(ExitCode::FAILURE),
    }
}

/// Waits for the end of standard input, if that is wanted; else for ever.
async fn abandoned(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (reading, ended) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: one of the runtime's would be waited for at shutdown, by whoever ends for another reason.
    std::thread::spawn(move || {
        // Whatever it cannot read any more has ended too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(reading);
    });
    // The error is the reader's end.
    let _ = ended.await;
}
