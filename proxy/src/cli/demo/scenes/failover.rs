//! A cloud goes dark under traffic, and comes back.

use std::time::{Duration, Instant};

use http::Version;

use super::super::expect::{BANK, Client, FENCED, Sample, Tally, WITHOUT_AZURE};
use super::super::screen::Screen;
use super::super::stage::Stage;
use super::super::traffic::{Samples, Traffic};

/// Requests at each edge: before, meanwhile, and after the first that the cloud serves again.
const BEFORE: usize = 25;
const DARK: usize = 100;
const BACK: usize = 50;

/// How long each part may take; at 50 requests a second it is a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

/// The cloud's position.
const AZURE: usize = 1;

pub(super) async fn play(stage: &mut Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("Azure goes dark while a client in Germany sends 50 requests a second to each edge");
    let mut traffic = Traffic::start(&stage.edges, &stage.devfest, Client::Germany);
    let mut faults = Vec::new();
    if !traffic.until(PATIENCE, |edge| edge.len() >= BEFORE).await {
        faults.push("before azure went dark, traffic did not flow".into());
    }

    let stopping = Instant::now();
    stage.clouds[AZURE].stop().await?;
    let dark = Instant::now();
    if !traffic.until(PATIENCE, |edge| since(edge, dark).count() >= DARK).await {
        faults.push(format!("with azure dark, fewer than {DARK} requests were answered within {} s", PATIENCE.as_secs()));
    }
    let fenced = fence(stage).await;
    let returning = Instant::now();
    stage.clouds[AZURE].start()?;
    if !traffic.until(PATIENCE, |edge| returned(edge, returning).is_some_and(|first| since(edge, first).count() >= BACK)).await {
        faults.push(format!("azure serves again, and {} s later has not got its requests back", PATIENCE.as_secs()));
    }
    let samples = traffic.samples();
    drop(traffic);

    screen.line(&format!("{:<16}{:<12}{:>6}{:>8}   {:<24}{}", "", "edge in", "sent", "failed", "served by", "slowest"));
    for part in [Part::Well, Part::GoingDark, Part::Dark, Part::Back] {
        for ((edge, samples), other) in stage.edges.iter().zip(&samples).zip(WITHOUT_AZURE) {
            let tally = Tally::of(samples.iter().filter(|sample| part == Part::of(sample, stopping, dark, returning)));
            // Going dark mostly takes less time than passes from one request to the next.
            if part == Part::GoingDark && tally.sent == 0 {
                continue;
            }
            screen.line(&row(part.title(), edge.home, &tally));
            faults.extend(tally.faults(edge.home, part.title(), &part.servers(other)));
        }
    }
    tell(&samples, stopping, returning, screen);
    let sent: usize = samples.iter().map(Vec::len).sum();
    screen.expect(&format!("{sent} requests, none failed: failover happens within the request"), faults);
    screen.expect("bank.example.com may not leave azure: 503 meanwhile, though google has pods of it", fenced);
    Ok(())
}

/// What is wrong with the fence while nobody inside it serves.
async fn fence(stage: &Stage) -> Vec<String> {
    let mut faults = Vec::new();
    for edge in &stage.edges {
        let asked = async {
            let mut connection = stage.bank.connect(edge.https, BANK, Version::HTTP_11).await?;
            connection.ask(BANK, Client::Singapore.address()).await?.served_by_or_fenced().map_err(anyhow::Error::msg)
        };
        match asked.await {
            Ok(answer) if answer == FENCED => {}
            Ok(answer) => faults.push(format!("with azure dark, {BANK} at the edge in {}: {answer}", edge.home)),
            Err(error) => faults.push(format!("with azure dark, {BANK} at the edge in {}: {error:#}", edge.home)),
        }
    }
    faults
}

/// The parts of the scene. A request belongs to the last one that it reached into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Well,
    GoingDark,
    Dark,
    Back,
}

impl Part {
    fn of(sample: &Sample, stopping: Instant, dark: Instant, returning: Instant) -> Self {
        let ended = sample.began + sample.took;
        if ended >= returning {
            Self::Back
        } else if sample.began >= dark {
            Self::Dark
        } else if ended >= stopping {
            Self::GoingDark
        } else {
            Self::Well
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Well => "all well",
            Self::GoingDark => "going dark",
            Self::Dark => "azure dark",
            Self::Back => "azure is back",
        }
    }

    /// Who may serve, where `other` does without azure.
    fn servers(self, other: &'static str) -> Vec<&'static str> {
        match self {
            Self::Well => vec!["azure"],
            Self::Dark => vec![other],
            Self::GoingDark | Self::Back => vec!["azure", other],
        }
    }
}

fn row(when: &str, edge: &str, tally: &Tally) -> String {
    let (sent, failed) = (tally.sent, tally.failures.len());
    format!("{when:<16}{edge:<12}{sent:>6}{failed:>8}   {:<24}{:.1} ms", tally.servers(), millis(tally.slowest))
}

/// How long until others served, and until azure did again: the slowest edge.
fn tell(samples: &Samples, stopping: Instant, returning: Instant, screen: &Screen) {
    let slowest =
        |of: &dyn Fn(&[Sample]) -> Option<Duration>| samples.iter().filter_map(|edge| of(edge)).max().unwrap_or_default();
    let over = slowest(&|edge| {
        let other = edge.iter().find(|s| s.began + s.took >= stopping && s.served_by.as_ref().is_ok_and(|c| c != "azure"))?;
        Some((other.began + other.took).saturating_duration_since(stopping))
    });
    let back = slowest(&|edge| returned(edge, returning).map(|first| first.saturating_duration_since(returning)));
    screen.aside(&format!(
        "the slowest edge: another cloud answers after {:.0} ms; azure, once it is back, after {:.0} ms",
        millis(over),
        millis(back)
    ));
}

/// The requests begun since then.
fn since(edge: &[Sample], then: Instant) -> impl Iterator<Item = &Sample> {
    edge.iter().rev().take_while(move |sample| sample.began >= then)
}

/// When azure first served again.
fn returned(edge: &[Sample], returning: Instant) -> Option<Instant> {
    let first = edge.iter().find(|s| s.began + s.took >= returning && s.served_by.as_deref() == Ok("azure"))?;
    Some(first.began + first.took)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
