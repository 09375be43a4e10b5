//! `kubectl apply` in one cloud, and every edge serves it: the reload scene of a fleet that is read from API servers.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;

use super::super::expect::{Client, NEW_HOST, Tally, WITHOUT_AZURE};
use super::super::fleet::{self, CLUSTERS};
use super::super::screen::Screen;
use super::super::servers::{self, Change, Server, Verb};
use super::super::stage::Stage;
use super::super::traffic::Traffic;
use super::reload::{BEFORE, appears, disappears, ingress};

/// How often it is applied and deleted. A busy machine makes some rounds slow; none is made fast by it.
const ROUNDS: usize = 3;

/// Within this every edge shall follow.
const WITHIN: Duration = Duration::from_millis(500);

/// A machine on which one request takes so long has other work, and says nothing of how quick edges are.
const BUSY: Duration = Duration::from_millis(200);

/// How long a change may take to reach every edge on such a machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn play(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    let azure = stage.servers.iter().find(|server| server.cluster == "azure").context("azure has no API server")?;
    screen.scene(&format!("An Ingress for {NEW_HOST} is applied in azure, and deleted again"));
    let mut traffic = Traffic::start(&stage.edges, &stage.devfest, Client::Germany);
    let mut faults = Vec::new();
    if !traffic.until(PATIENCE, |edge| edge.len() >= BEFORE).await {
        faults.push("before the change, traffic did not flow".into());
    }
    let file = stage.folder().path().join("new.yaml");
    fleet::write(&file, &ingress())?;

    let mut slowest = Vec::new();
    for round in 1..=ROUNDS {
        let comes = stage.https().map(|edge| async move { appears(edge, &stage.devfest).await.map(|c| (Instant::now(), c)) });
        let (applied, seen) = Box::pin(both(azure, Verb::Apply, &file, comes)).await?;
        let (at, mut connections): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        if round == 1 {
            let heads = CLUSTERS.map(|home| format!("{:<16}", format!("edge in {home}"))).concat();
            screen.line(&format!("{:<12}{:<16}{heads}", "", format!("{} took", short(applied.tool))));
        }
        let added = row(screen, "applied", &applied, &at);
        let goes = connections.iter_mut().map(|connection| async { disappears(connection).await.map(|()| Instant::now()) });
        let (deleted, at) = Box::pin(both(azure, Verb::Delete, &file, goes)).await?;
        let removed = row(screen, "deleted", &deleted, &at);
        slowest.push(added.max(removed));
    }

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
    screen.aside("from the API server's word that it is done to the first verified 200, and to the first 404");
    let best = slowest.into_iter().min().unwrap_or(PATIENCE);
    let request = samples.iter().flatten().map(|sample| sample.took).max().unwrap_or_default();
    let claim = format!("all edges follow within {} ms (the best of {ROUNDS} rounds)", WITHIN.as_millis());
    if best > WITHIN && request > BUSY {
        screen.line(&format!("not judged: {claim}; this machine is busy, a request took {} ms", request.as_millis()));
    } else {
        let late = (best > WITHIN).then(|| format!("the best of {ROUNDS} rounds took {} ms", best.as_millis()));
        screen.expect(&claim, late.into_iter().collect());
    }
    let sent: usize = samples.iter().map(Vec::len).sum();
    screen.expect(&format!("{sent} requests to another host meanwhile, none failed"), faults);
    Ok(())
}

/// Makes a change while every edge is watched for what comes of it.
async fn both<T>(
    server: &Server,
    verb: Verb,
    file: &std::path::Path,
    watches: impl IntoIterator<Item = impl Future<Output = anyhow::Result<T>>>,
) -> anyhow::Result<(Change, Vec<T>)> {
    let seen = async {
        let all = tokio::time::timeout(PATIENCE, try_join_all(watches)).await;
        all.with_context(|| format!("not every edge followed within {} s", PATIENCE.as_secs()))?
    };
    tokio::try_join!(servers::change(server, verb, file), seen)
}

/// Shows a round; returns the slowest edge's time.
fn row(screen: &Screen, what: &str, change: &Change, at: &[Instant]) -> Duration {
    // An edge may be quicker than the tool's own last words.
    let times: Vec<_> = at.iter().map(|at| at.saturating_duration_since(change.said)).collect();
    let cell = |time: &Duration| format!("{:<16}", format!("{} ms", time.as_millis()));
    let cells: Vec<_> = std::iter::once(&change.took).chain(&times).map(cell).collect();
    screen.line(&format!("{what:<12}{}", cells.concat()));
    times.into_iter().max().unwrap_or_default()
}

fn short(tool: &str) -> &str {
    if tool == "kubectl" { tool } else { "applying" }
}
