//! A cluster for a test, whoever serves it: the stand-in, a real control plane, or one that was given.
//!
//! | variable | what then is tested, besides the stand-in |
//! |---|---|
//! | `KUBEBUILDER_ASSETS` | real control planes, from etcd and kube-apiserver in that folder |
//! | `CAUSEWAY_TEST_KUBECONFIGS` | the clusters that three kubeconfigs lead to, separated by `:` |

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::access::Access;
use crate::real::RealServer;
use crate::{ApiServer, Options};

/// The folder with etcd and kube-apiserver.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The kubeconfigs of clusters that are there already.
pub const KUBECONFIGS: &str = "CAUSEWAY_TEST_KUBECONFIGS";

/// Who serves clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The stand-in.
    StandIn,
    /// Control planes from the programs in this folder.
    Real(PathBuf),
    /// Clusters that somebody else runs.
    Given(Vec<PathBuf>),
}

/// A cluster.
pub struct Cluster {
    /// What can be done to it that a client cannot.
    pub server: Server,
    access: Access,
}

/// Who serves a cluster.
pub enum Server {
    /// The stand-in.
    StandIn(Box<ApiServer>),
    /// A control plane of our own.
    Real(Box<RealServer>),
    /// Somebody else's.
    Given,
}

impl Kind {
    /// Every kind that can be had here.
    pub fn all() -> Vec<Self> {
        Self::said_by(|name| std::env::var_os(name))
    }

    /// What can be started here: a real control plane if there is one.
    pub fn own() -> Self {
        Self::all().into_iter().find(|kind| matches!(kind, Self::Real(_))).unwrap_or(Self::StandIn)
    }

    fn said_by(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Self> {
        let said = |name| variable(name).filter(|value| !value.is_empty());
        let real = said(ASSETS).map(|folder| Self::Real(folder.into()));
        let given = said(KUBECONFIGS).map(|paths| Self::Given(std::env::split_paths(&paths).collect()));
        std::iter::once(Self::StandIn).chain(real).chain(given).collect()
    }

    /// What reports call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandIn => "stand-in",
            Self::Real(_) => "envtest",
            Self::Given(_) => "given",
        }
    }

    /// Starts the cluster at `position` of a fleet, or finds it, and writes a kubeconfig whose context is called `name`.
    pub async fn start(&self, position: usize, name: &str, kubeconfig: &Path) -> anyhow::Result<Cluster> {
        let server = match self {
            Self::StandIn => {
                let server = ApiServer::start(Options::default()).await?;
                server.write_kubeconfig(name, kubeconfig)?;
                Server::StandIn(Box::new(server))
            }
            Self::Real(assets) => {
                let server = RealServer::start(assets).await?;
                std::fs::write(kubeconfig, server.kubeconfig(name))?;
                Server::Real(Box::new(server))
            }
            Self::Given(paths) => {
                let Some(path) = paths.get(position) else {
                    bail!("{KUBECONFIGS} names {} kubeconfigs, and a fleet needs three", paths.len())
                };
                std::fs::copy(path, kubeconfig).with_context(|| format!("{} cannot be read", path.display()))?;
                Server::Given
            }
        };
        Cluster::of(server, kubeconfig).await
    }
}

impl Cluster {
    /// Of a server that a kubeconfig leads to.
    pub async fn of(server: Server, kubeconfig: &Path) -> anyhow::Result<Self> {
        Ok(Self { access: Access::new(kubeconfig).await?, server })
    }

    /// Where it listens, as far as we know.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.server {
            Server::StandIn(server) => Some(server.address()),
            Server::Real(server) => Some(server.address()),
            Server::Given => None,
        }
    }

    /// What clients can do.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Connects anew, by a kubeconfig that may say something else now.
    pub async fn renew_access(&mut self, kubeconfig: &Path) -> anyhow::Result<()> {
        self.access = Access::new(kubeconfig).await?;
        Ok(())
    }

    /// The stand-in behind it, if it is one.
    pub fn stand_in(&self) -> Option<&ApiServer> {
        match &self.server {
            Server::StandIn(server) => Some(server),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_tested() {
        assert_eq!(Kind::said_by(|_| None), [Kind::StandIn]);
        assert_eq!(Kind::said_by(|_| Some(OsString::new())), [Kind::StandIn]);
        let all = Kind::said_by(|name| Some(if name == ASSETS { "/assets".into() } else { "/a:/b:/c".into() }));
        let given = Kind::Given(["/a", "/b", "/c"].map(PathBuf::from).into());
        assert_eq!(all, [Kind::StandIn, Kind::Real("/assets".into()), given]);
    }
}
