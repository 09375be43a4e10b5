//! `causeway whoami`: a backend to look at.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::whoami;

#[derive(Debug, Args)]
pub(super) struct Whoami {
    #[command(flatten)]
    args: whoami::Args,
    /// Print the address that it listens on, once it does.
    #[arg(long)]
    print_address: bool,
}

impl Whoami {
    /// Serves until Ctrl-C.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.args.bind).await.with_context(|| format!("listening on {}", self.args.bind))?;
            if self.print_address {
                println!("{}", listener.local_addr()?);
            }
            let interrupted = async { drop(tokio::signal::ctrl_c().await) };
            whoami::serve(listener, self.args.options(), interrupted).await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
