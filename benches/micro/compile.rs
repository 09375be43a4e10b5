//! Compiling 10,000 routes with 30,000 endpoints in three clusters: from nothing, and after the changes that clusters make.

use std::sync::Arc;

use causeway_benches::{Size, World};
use causeway_core::{ClusterState, Snapshot};
use causeway_discovery::reuse;
use divan::Bencher;

const ROUTES: usize = 10_000;

/// `copies`: in how many clusters each Ingress stands.
#[divan::bench(args = [1, 3])]
fn from_nothing(bencher: Bencher<'_, '_>, copies: usize) {
    let world = World::new(Size { copies, ..Size::routes(ROUTES) });
    let nothing = Snapshot::empty(Arc::clone(&world.config));
    bencher.bench_local(|| world.compile(&nothing));
}

fn after(bencher: Bencher<'_, '_>, change: impl FnOnce(&World) -> World) {
    let world = World::new(Size::routes(ROUTES));
    let previous = world.snapshot();
    let world = change(&world);
    bencher.bench_local(|| world.compile(&previous));
}

#[divan::bench]
fn after_nothing(bencher: Bencher<'_, '_>) {
    after(bencher, World::clone);
}

#[divan::bench]
fn after_an_endpoint(bencher: Bencher<'_, '_>) {
    after(bencher, World::with_endpoint_added);
}

#[divan::bench]
fn after_a_route(bencher: Bencher<'_, '_>) {
    after(bencher, World::with_path_changed);
}

/// What comes before it in discovery: finding out that of a new state of one cluster only one Service's endpoints are new.
#[divan::bench]
fn reuse_of_a_state(bencher: Bencher<'_, '_>) {
    let size = Size::routes(ROUTES);
    let old = World::new(size).states.swap_remove(1);
    bencher
        .with_inputs(|| World::new(size).with_endpoint_added().states.swap_remove(1))
        .bench_local_values(|new: ClusterState| reuse(&old, new));
}
