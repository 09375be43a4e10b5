//! The tick over 10,000 pools, which comes ten times a second.

use std::time::Duration;

use causeway_benches::{NOW, Size, World, host};
use causeway_core::cell::Due;
use causeway_core::{Nanos, RequestHead, Snapshot, plan, tick};
use divan::Bencher;

const POOLS: usize = 10_000;
const PERIOD: Duration = causeway_core::health::PERIOD;

fn settled() -> Snapshot {
    let snapshot = World::new(Size::routes(POOLS)).snapshot();
    tick(&snapshot, NOW.after(PERIOD));
    snapshot
}

#[divan::bench]
fn idle(bencher: Bencher<'_, '_>) {
    let snapshot = settled();
    let mut now = NOW;
    bencher.bench_local(|| {
        now = now.after(PERIOD);
        tick(&snapshot, now);
    });
}

/// Every pool has answered a request since the last tick.
#[divan::bench]
fn all_touched(bencher: Bencher<'_, '_>) {
    let snapshot = settled();
    let hosts: Vec<_> = (0..POOLS).map(host).collect();
    let mut now = NOW;
    bencher
        .with_inputs(|| {
            now = now.after(PERIOD);
            for host in &hosts {
                let mut plan = plan(&snapshot, RequestHead { host, path: "/" }, None, now.0).expect("every host has a route");
                let candidate = plan.next(now).expect("every pool has endpoints");
                candidate.begin(Due::Answer, now).answered(200, now);
            }
            now
        })
        .bench_local_values(|now: Nanos| tick(&snapshot, now));
}
