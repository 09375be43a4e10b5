//! `causeway kubeconfig`: how edges of the other clusters come to read this one.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use causeway_config::ClusterId;
use causeway_discovery::kube::{Access, Account};
use clap::Args;

/// Write the kubeconfig by which edges of the other clusters read a cluster.
///
/// The account must be there first. `--print-rbac` prints it, for `kubectl apply`; deploy/kubernetes has it too. It may read what
/// Causeway reads and nothing else, and its token does not expire: delete the Secret to end it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  causeway kubeconfig --print-rbac | kubectl --context azure apply -f -
  causeway kubeconfig --cluster azure --context azure --out azure.kubeconfig")]
pub(super) struct Kubeconfig {
    /// The cluster's name in the configuration of the fleet.
    #[arg(long, value_name = "CLUSTER", required_unless_present = "print_rbac")]
    cluster: Option<ClusterId>,
    /// Your own kubeconfig, which may read the account's Secret. Default: KUBECONFIG, else ~/.kube/config.
    #[arg(long = "kubeconfig", value_name = "FILE")]
    own: Option<PathBuf>,
    /// The context in it. Default: its current one.
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// The API server's URL as the other clusters reach it. Default: the one in your kubeconfig.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The namespace of the account.
    #[arg(long, value_name = "NAMESPACE", default_value = "causeway")]
    namespace: String,
    /// The name of the account.
    #[arg(long, value_name = "NAME", default_value = "causeway-remote")]
    account: String,
    /// Where to write; standard output by default. The file must not be there yet.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the account, its roles and their bindings instead, as YAML for `kubectl apply -f -`.
    #[arg(long)]
    print_rbac: bool,
    /// With --print-rbac: let it read only these namespaces, by Roles. Give the cluster the same `namespaces`.
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',', requires = "print_rbac")]
    only: Option<Vec<String>>,
}

impl Kubeconfig {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let account = Account { namespace: self.namespace, name: self.account, namespaces: self.only };
        let (text, cluster) = match self.cluster {
            Some(cluster) if !self.print_rbac => {
                let path = self.own.map_or_else(own, Ok)?;
                let operator = Access::Kubeconfig { path, context: self.context };
                // Only this command needs it: an edge installs its own.
                let _first_one_counts = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let text = runtime.block_on(account.kubeconfig(&operator, cluster.as_str(), self.server.as_deref()))?;
                (text, Some(cluster))
            }
            _ => (account.manifest(), None),
        };
        match &self.out {
            None => print!("{text}"),
            Some(path) => {
                write_private(path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
                if let Some(cluster) = cluster {
                    eprintln!("wrote {}; give it to the edges as `clusters.{cluster}.kubeconfig`", path.display());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The operator's kubeconfig, as `kubectl` looks for it; of a list the first one counts.
fn own() -> anyhow::Result<PathBuf> {
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty())
        && let Some(first) = std::env::split_paths(&list).next()
    {
        return Ok(first);
    }
    let home = std::env::var_os("HOME").context("neither KUBECONFIG nor HOME is set; say --kubeconfig")?;
    Ok(Path::new(&home).join(".kube/config"))
}

/// A token lies in it: nobody else may read it, and nothing is overwritten.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
