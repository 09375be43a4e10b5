//! Look-ups in the route table: hosts, paths, and the order of preference for a location.

use causeway_benches::{Size, Traffic, World, location, many_paths};
use causeway_core::route::normal_host;
use divan::{Bencher, black_box};

#[divan::bench(args = [(10, Traffic::Uniform), (100_000, Traffic::Popular), (100_000, Traffic::Uniform)], sample_size = 2048)]
fn host(bencher: Bencher<'_, '_>, (hosts, traffic): (usize, Traffic)) {
    let world = World::new(Size::hosts(hosts));
    let snapshot = world.snapshot();
    let mut rng = fastrand::Rng::with_seed(7);
    bencher.with_inputs(|| world.asked(traffic, &mut rng)).bench_local_refs(|host| {
        black_box(snapshot.routes.hosts.find(host));
    });
}

#[divan::bench(args = [1, 10, 1000])]
fn path(bencher: Bencher<'_, '_>, paths: usize) {
    let snapshot = many_paths(paths).snapshot();
    let entry = snapshot.routes.hosts.iter().next().expect("there is one host");
    let asked: Vec<_> = (0..1024).map(|n| format!("/s/{}/some/thing", n % paths)).collect();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        black_box(entry.paths.find(&asked[turn % asked.len()]));
    });
}

#[divan::bench(args = ["www.example.com", "WWW.Example.COM:8443"])]
fn normalise(authority: &str) {
    drop(black_box(normal_host(black_box(authority))));
}

#[divan::bench(args = ["DE", "BR", "ZA"])]
fn preference(bencher: Bencher<'_, '_>, country: &str) {
    let snapshot = World::new(Size::hosts(1)).snapshot();
    let location = location(country);
    let preferences = &snapshot.policies.default_policy().preferences;
    bencher.bench_local(|| preferences.row(black_box(Some(&location))));
}
