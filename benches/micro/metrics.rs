//! What counting costs: a request's part of it, and a scrape of 10,000 routes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway::metrics::{Metrics, Outcome, Status};
use causeway_config::ClusterId;
use divan::Bencher;

const ROUTES: usize = 10_000;
const OUTCOME: Outcome = Outcome { status: Status::Success, duration: Duration::from_millis(3), received: 0, sent: 103 };

fn clusters() -> [ClusterId; 3] {
    ["aws", "azure", "google"].map(|name| name.parse().expect("a cluster's name"))
}

fn route(n: usize) -> Arc<str> {
    format!("ingress/shop/web-{n}").into()
}

fn published() -> Metrics {
    let [home, ..] = clusters();
    let metrics = Metrics::new(&home, SystemTime::UNIX_EPOCH);
    metrics.publish_routes(&clusters(), (0..ROUTES).map(route));
    metrics
}

/// Finds the counters of a request's route and cluster, and counts it there.
#[divan::bench(threads = [1, 2])]
fn record(bencher: Bencher<'_, '_>) {
    let (metrics, routes, clusters) = (published(), (0..ROUTES).map(route).collect::<Vec<_>>(), clusters());
    bencher.with_inputs(|| fastrand::usize(..ROUTES)).bench_values(|n| {
        metrics.series(Some(&routes[n]), Some(&clusters[n % 3])).record(&OUTCOME);
    });
}

/// The text of a scrape. `asked`: how many of the routes have served a request, at one cluster each.
#[divan::bench(args = [0, 1_000, ROUTES])]
fn encode(bencher: Bencher<'_, '_>, asked: usize) {
    let (metrics, clusters) = (published(), clusters());
    for n in 0..asked {
        metrics.series(Some(&route(n)), Some(&clusters[n % 3])).record(&OUTCOME);
    }
    bencher.bench_local(|| metrics.encode());
}
