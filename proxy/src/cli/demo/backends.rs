//! The pods of the three clouds: a whoami on each address that the clouds' endpoint slices name.
//!
//! Each cloud has a runtime of its own, so that it can go dark as clouds do: at once, with everything that it was doing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;

use super::fleet::{CLUSTERS, Network};
use crate::whoami::{self, Options, Page};

/// How long the tasks of a cloud may take to notice that it is gone; they never compute for long.
const GOING_DARK: Duration = Duration::from_secs(5);

/// One cloud's pods.
pub(super) struct Cloud {
    name: &'static str,
    pods: Vec<Pod>,
    runtime: Option<Runtime>,
}

struct Pod {
    name: String,
    address: SocketAddr,
    page: Page,
}

/// Starts the pods of all clouds, whose manifests are in `folder`, in the first of the `networks` that has room for them.
pub(super) fn start(folder: &Path, networks: impl IntoIterator<Item = Network>) -> anyhow::Result<(Network, Vec<Cloud>)> {
    let mut clouds = CLUSTERS.iter().map(|name| Cloud::read(name, &folder.join(name))).collect::<anyhow::Result<Vec<_>>>()?;
    let mut refused = None;
    for network in networks {
        let bound = clouds.iter().map(|cloud| cloud.bind(|pod| network.moved(pod))).collect::<io::Result<Vec<_>>>();
        match bound {
            Ok(sockets) => {
                for (cloud, sockets) in clouds.iter_mut().zip(sockets) {
                    cloud.pods.iter_mut().for_each(|pod| pod.address = network.moved(pod.address));
                    cloud.serve(sockets)?;
                }
                return Ok((network, clouds));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => refused = Some(error),
            Err(error) => {
                return Err(error)
                    .context("the pods need addresses such as 127.1.2.21, which are this machine's own on Linux only");
            }
        }
    }
    match refused {
        Some(error) => Err(error).context("no network has room for the pods; end what listens on 0.0.0.0:8080"),
        None => bail!("there is no network to try"),
    }
}

impl Cloud {
    fn read(name: &'static str, folder: &Path) -> anyhow::Result<Self> {
        let (state, _) = causeway_discovery::load(&name.parse()?, folder);
        let mut pods = Vec::new();
        for (service, endpoints) in state.endpoints.iter() {
            let page = if &*service.name == "wordpress" { Page::Wordpress } else { Page::Facts };
            let named = endpoints.iter().enumerate();
            pods.extend(named.map(|(n, e)| Pod { name: format!("{}-{n}", service.name), address: e.address, page }));
        }
        Ok(Self { name, pods, runtime: None })
    }

    /// How many pods it has.
    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// Goes dark: when this returns, connections to its pods are refused, and those that stood are cut.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(GOING_DARK)).await?;
        }
        Ok(())
    }

    /// Comes back, on the same addresses.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let sockets = self.bind(|pod| pod).with_context(|| format!("the pods of {} cannot come back", self.name))?;
        self.serve(sockets)
    }

    fn bind(&self, at: impl Fn(SocketAddr) -> SocketAddr) -> io::Result<Vec<TcpListener>> {
        self.pods.iter().map(|pod| TcpListener::bind(at(pod.address))).collect()
    }

    fn serve(&mut self, sockets: Vec<TcpListener>) -> anyhow::Result<()> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name(self.name).enable_all().build()?;
        let entered = runtime.enter();
        for (pod, socket) in self.pods.iter().zip(sockets) {
            socket.set_nonblocking(true)?;
            let options = Options {
                name: pod.name.clone(),
                cluster: Some(self.name.to_owned()),
                hostname: pod.address.ip().to_string(),
                page: pod.page,
                h2c: false,
            };
            runtime.spawn(whoami::serve(tokio::net::TcpListener::from_std(socket)?, options, std::future::pending()));
        }
        drop(entered);
        self.runtime = Some(runtime);
        Ok(())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It may happen within the demo's own runtime, where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
