//! One decision, and the candidates that it draws.
//!
//! The host's text is made just before, as a request's head has just been parsed; what of the table is in the processor's
//! caches is decided by [`Traffic`].

use causeway_benches::{NOW, Size, Traffic, World, location};
use causeway_core::cell::Due;
use causeway_core::{Location, RequestHead, Snapshot, plan};
use divan::{Bencher, black_box};

/// How many hosts there are, and which of them are asked for.
const CASES: [(usize, Traffic); 4] =
    [(10, Traffic::Uniform), (100_000, Traffic::OneHost), (100_000, Traffic::Popular), (100_000, Traffic::Uniform)];

/// Benches `work` with the heads of requests.
fn requests(bencher: Bencher<'_, '_>, (hosts, traffic): (usize, Traffic), work: impl Fn(&Snapshot, RequestHead<'_>, u64)) {
    let world = World::new(Size::hosts(hosts));
    let snapshot = world.snapshot();
    let mut rng = fastrand::Rng::with_seed(7);
    bencher
        .with_inputs(|| (world.asked(traffic, &mut rng), rng.u64(..)))
        .bench_local_refs(|(host, seed)| work(&snapshot, RequestHead { host, path: "/cart/items" }, *seed));
}

// The plan is dropped inside: it holds counted references, and a request pays for giving them back too.
fn decide(bencher: Bencher<'_, '_>, case: (usize, Traffic), location: Option<&Location>) {
    requests(bencher, case, |snapshot, head, seed| drop(black_box(plan(snapshot, head, black_box(location), seed))));
}

#[divan::bench(args = CASES, sample_size = 2048)]
fn without_location(bencher: Bencher<'_, '_>, case: (usize, Traffic)) {
    decide(bencher, case, None);
}

#[divan::bench(args = CASES, sample_size = 2048)]
fn with_location(bencher: Bencher<'_, '_>, case: (usize, Traffic)) {
    decide(bencher, case, Some(&location("DE")));
}

/// The plan, its first candidate, and the mark that a request is on its way there.
#[divan::bench(args = CASES, sample_size = 2048)]
fn and_first_candidate(bencher: Bencher<'_, '_>, case: (usize, Traffic)) {
    let germany = location("DE");
    requests(bencher, case, |snapshot, head, seed| {
        let mut plan = plan(snapshot, head, Some(&germany), seed).expect("every host has a route");
        let candidate = plan.next(NOW).expect("every pool has endpoints");
        drop(black_box(candidate.begin(Due::Answer, NOW)));
    });
}

#[divan::bench]
fn of_an_unknown_host(bencher: Bencher<'_, '_>) {
    let snapshot = World::new(Size::hosts(100_000)).snapshot();
    let head = RequestHead { host: "nobody.example.org", path: "/" };
    bencher.bench_local(|| plan(&snapshot, black_box(head), None, 1).is_err());
}

/// `next` alone: the first candidate; and with the second one, after a failure.
#[divan::bench(args = [1, 2])]
fn next(bencher: Bencher<'_, '_>, draws: usize) {
    let world = World::new(Size::hosts(10));
    let snapshot = world.snapshot();
    let mut rng = fastrand::Rng::with_seed(7);
    bencher
        .with_inputs(|| {
            let host = world.asked(Traffic::Uniform, &mut rng);
            plan(&snapshot, RequestHead { host: &host, path: "/" }, None, rng.u64(..)).expect("every host has a route")
        })
        .bench_local_refs(|plan| (0..draws).map(|_| plan.next(NOW)).last());
}
