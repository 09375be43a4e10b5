//! `causeway run`: an edge, until it is told to stop.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::Fleet;
use crate::app::{App, Options};

/// How long an edge that was told to stop still takes connections: load balancers need it to notice.
const LEAVE_AFTER: Duration = Duration::from_secs(30);

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
        let home = match &self.fleet.home {
            Some(home) => home.clone(),
            None => self.fleet.home(&causeway_config::load(&self.fleet.config)?.config)?,
        };
        let workers =
            self.workers.map_or_else(std::thread::available_parallelism, |n| n.try_into().map_err(std::io::Error::other))?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers.get()).thread_name("edge").enable_all().build()?;
        runtime.block_on(async {
            let app = App::start(Options { config: self.fleet.config.clone(), home })?;
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

/// Serves until SIGTERM or SIGINT; the former goes on for a while for load balancers' sake, the second of either ends at once.
async fn serve(app: App, end_with_stdin: bool) -> anyhow::Result<ExitCode> {
    let mut abandoned = std::pin::pin!(abandoned(end_with_stdin));
    let (mut term, mut int, mut hup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let leave_after = loop {
        tokio::select! {
            _ = hup.recv() => {
                let reloader = app.reloader();
                tokio::task::spawn_blocking(move || reloader.reload_everything());
            }
            () = app.broken() => anyhow::bail!("the control plane has stopped, as the log says above; start the edge anew"),
            _ = term.recv() => break LEAVE_AFTER,
            _ = int.recv() => break Duration::ZERO,
            () = &mut abandoned => break Duration::ZERO,
        }
    };
    tokio::select! {
        () = app.stop(leave_after) => Ok(ExitCode::SUCCESS),
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
