//! A manifest changes under traffic: a new host in one cluster, served by every edge.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::try_join_all;
use http::Version;

use super::super::client::{Connection, Trust};
use super::super::expect::{Client, NEW_HOST, Tally, WITHOUT_AZURE};
use super::super::fleet;
use super::super::screen::Screen;
use super::super::stage::Stage;
use super::super::traffic::Traffic;

/// How long a change may take to reach every edge; a fifth of a second is usual.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// From one attempt to the next.
const LOOK: Duration = Duration::from_millis(5);

/// Requests at each edge before the change.
pub(super) const BEFORE: usize = 10;

/// The file that is edited, and what is added to it.
const FILE: &str = "azure/ingresses.yaml";

pub(super) async fn play(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene(&format!("An Ingress for {NEW_HOST} is added in azure, then taken away"));
    let mut traffic = Traffic::start(&stage.edges, &stage.devfest, Client::Germany);
    let mut faults = Vec::new();
    if !traffic.until(PATIENCE, |edge| edge.len() >= BEFORE).await {
        faults.push("before the change, traffic did not flow".into());
    }
    let path = stage.folder().manifests().join(FILE);
    let before = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;

    let after = format!("{before}---\n{}", ingress());
    let comes = stage.https().map(|edge| appears(edge, &stage.devfest));
    let (added, mut connections) = Box::pin(change(&path, &after, comes)).await?;
    screen.line(&format!("added    {}", times(&added)));
    let goes = connections.iter_mut().map(disappears);
    let (removed, _) = change(&path, &before, goes).await?;
    screen.line(&format!("removed  {}", times(&removed)));

    let samples = traffic.samples();
    drop(traffic);
    for (position, edge) in stage.edges.iter().enumerate() {
        // Azure has just been back: its share is still growing.
        faults.extend(Tally::of(&samples[position]).faults(
            edge.home,
            "while routes changed",
            &["azure", WITHOUT_AZURE[position]],
        ));
    }
    screen.aside("from writing the file to the first verified 200, and to the first 404 on that same connection");
    let sent: usize = samples.iter().map(Vec::len).sum();
    screen.expect(&format!("{sent} requests to another host meanwhile, none failed"), faults);
    Ok(())
}

/// Writes a file, and watches for what comes of it at each edge; returns how long that took.
async fn change<T>(
    path: &Path,
    text: &str,
    watches: impl IntoIterator<Item = impl Future<Output = anyhow::Result<T>>>,
) -> anyhow::Result<(Vec<Duration>, Vec<T>)> {
    fleet::write(path, text)?;
    let written = Instant::now();
    let watches = watches.into_iter().map(|watch| async { watch.await.map(|seen| (written.elapsed(), seen)) });
    let all = tokio::time::timeout(PATIENCE, try_join_all(watches)).await;
    let all = all.with_context(|| {
        format!("the change of {} did not reach every edge within {} s", path.display(), PATIENCE.as_secs())
    })??;
    Ok(all.into_iter().unzip())
}

/// Waits until an edge serves the new host with its certificate; each attempt is a client of its own.
pub(super) async fn appears(edge: SocketAddr, trust: &Trust) -> anyhow::Result<Connection> {
    loop {
        // Before, the edge shows its self-signed default, which nobody believes in.
        if let Ok(mut connection) = trust.connect(edge, NEW_HOST, Version::HTTP_11).await {
            let answer = connection.ask(NEW_HOST, Client::Germany.address()).await?;
            match answer.status {
                200 => {
                    answer.served_by().map_err(anyhow::Error::msg)?;
                    return Ok(connection);
                }
                404 => {}
                status => bail!("{NEW_HOST} was answered {status} by {edge}: {}", answer.body),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the host is unknown again, on a connection from when it was not.
pub(super) async fn disappears(connection: &mut Connection) -> anyhow::Result<()> {
    loop {
        let answer = connection.ask(NEW_HOST, Client::Germany.address()).await?;
        match answer.status {
            404 => return Ok(()),
            200 => tokio::time::sleep(LOOK).await,
            status => bail!("{NEW_HOST} was answered {status}: {}", answer.body),
        }
    }
}

pub(super) fn ingress() -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\n\
         kind: Ingress\n\
         metadata: {{namespace: devfest, name: new}}\n\
         spec:\n  \
           ingressClassName: causeway\n  \
           tls: [{{hosts: [{NEW_HOST}], secretName: devfest-tls}}]\n  \
           rules:\n    \
             - host: {NEW_HOST}\n      \
               http:\n        \
                 paths:\n          \
                   - {{path: /, pathType: Prefix, backend: {{service: {{name: whoami, port: {{name: http}}}}}}}}\n"
    )
}

fn times(times: &[Duration]) -> String {
    let each = fleet::CLUSTERS.iter().zip(times).map(|(home, time)| format!("edge in {home} {} ms", time.as_millis()));
    each.collect::<Vec<_>>().join("   ")
}
