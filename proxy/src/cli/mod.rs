//! The command line. Each command is a file; what they do together stands elsewhere.

mod admin_client;
mod ca;
mod check;
mod demo;
mod explain;
mod kubeconfig;
mod offline;
mod ready;
mod routes;
mod run;
mod whoami;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// One edge over many clouds: a reverse proxy for applications that run in several Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an edge.
    Run(run::Run),
    /// Check a configuration file and tell everything that is wrong with it; exits 1 if something is.
    Check(check::Check),
    /// Explain where a request would go, and why.
    Explain(explain::Explain),
    /// List the routes.
    Routes(routes::Routes),
    Kubeconfig(kubeconfig::Kubeconfig),
    Ca(ca::Ca),
    /// Ask the edge that runs beside this command whether it is ready; exits 1 if it is not. For exec probes.
    Ready(ready::Ready),
    /// Run three small clouds, their edges and their backends on this machine, and show what they do.
    Demo(demo::Demo),
    /// Run the little backend that tells where it was served.
    Whoami(whoami::Whoami),
}

/// Which configuration, and which of its clusters is home.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fleet {
    /// The configuration file of the fleet.
    #[arg(long, short, env = "CAUSEWAY_CONFIG", default_value = "/etc/causeway/causeway.yaml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The cluster that this edge lives in, by its name in the configuration.
    #[arg(long, env = "CAUSEWAY_HOME", value_name = "CLUSTER")]
    pub(crate) home: Option<String>,
}

impl Fleet {
    /// Home as given; a fleet of one cluster needs none.
    pub(crate) fn home(&self, config: &causeway_config::Config) -> anyhow::Result<String> {
        match (&self.home, &config.clusters[..]) {
            (Some(home), _) => Ok(home.clone()),
            (None, [only]) => Ok(only.id.to_string()),
            (None, clusters) => {
                let names: Vec<_> = clusters.iter().map(|c| c.id.as_str()).collect();
                anyhow::bail!("in which cluster does this edge live? say --home or CAUSEWAY_HOME: one of {}", names.join(", "))
            }
        }
    }
}

impl Cli {
    /// Does what was asked. An error is told in full, causes and all.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Run(run) => run.run(),
            Command::Check(check) => Ok(check.run()),
            Command::Explain(explain) => explain.run(),
            Command::Routes(routes) => routes.run(),
            Command::Kubeconfig(kubeconfig) => kubeconfig.run(),
            Command::Ca(ca) => ca.run(),
            Command::Ready(ready) => ready.run(),
            Command::Demo(demo) => demo.run(),
            Command::Whoami(whoami) => whoami.run(),
        };
        done.unwrap_or_else(|error| {
            eprintln!("causeway: {error:#}");
            ExitCode::FAILURE
        })
    }
}
