//! `causeway ready`: the exec probe.
//!
//! Where two processes share a machine's ports, as during a handover, whoever asks the health port does not know who answers.
//! This asks with a name: another process's answer is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::admin_client;
use crate::health;

/// The variable by which an edge and its probe know each other.
pub(super) const INSTANCE: &str = "CAUSEWAY_INSTANCE";

#[derive(Debug, Args)]
pub(super) struct Ready {
    /// The configuration file, which says where the health port is.
    #[arg(long, short, env = "CAUSEWAY_CONFIG", default_value = "/etc/causeway/causeway.yaml", value_name = "FILE")]
    config: std::path::PathBuf,
    /// The health port, instead of the configuration's.
    #[arg(long, value_name = "URL")]
    health: Option<String>,
    /// The edge that is meant, by the name that it was started with; else whoever answers.
    #[arg(long, env = INSTANCE, value_name = "ID")]
    instance: Option<String>,
}

impl Ready {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let health = if let Some(url) = &self.health {
            url.trim_end_matches('/').to_owned()
        } else {
            let config = causeway_config::load(&self.config)?.config;
            let address = config.listen.health.first().context("the configuration names no health port")?;
            format!("http://{}", reachable(*address))
        };
        let answer = admin_client::ask_once(&health, "/readyz")?;
        let answered = answer.headers().get(&health::INSTANCE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some(instance) = self.instance.as_deref().filter(|instance| *instance != answered) {
            eprintln!(
                "causeway: not ready: the health port is still, or already, that of another process ({answered}, not {instance})"
            );
            return Ok(ExitCode::FAILURE);
        }
        let text = String::from_utf8_lossy(answer.body());
        if answer.status().is_success() {
            print!("{text}");
            return Ok(ExitCode::SUCCESS);
        }
        eprint!("causeway: not ready: {text}");
        Ok(ExitCode::FAILURE)
    }
}

/// Every address of the machine is, from the machine itself, its loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
