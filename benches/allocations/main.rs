//! What must not need the heap does not, and what must cost one pool does not cost all: counted, not timed, so that it is
//! the same on every machine and under every load.

use std::sync::Arc;

use allocation_counter::measure;
use causeway_benches::{NOW, Size, World, host, location};
use causeway_core::cell::Due;
use causeway_core::{RequestHead, Snapshot, plan, tick};

/// The heap is a lock and a cache miss on the way of every request; a decision has no need of it.
#[test]
fn a_request_is_planned_and_its_candidates_drawn_without_the_heap() {
    let snapshot = World::new(Size::hosts(100)).snapshot();
    let (germany, host) = (location("DE"), host(42));
    for location in [None, Some(&germany)] {
        let counted = measure(|| {
            let mut plan = plan(&snapshot, RequestHead { host: &host, path: "/cart" }, location, 1).expect("there is a route");
            drop(plan.next(NOW).expect("there are endpoints").begin(Due::Answer, NOW));
            drop(plan.next(NOW).expect("there is a second one").begin(Due::Answer, NOW));
        });
        assert_eq!(counted.count_total, 0);
    }
}

#[test]
fn a_request_for_an_unknown_host_is_refused_without_the_heap() {
    let snapshot = World::new(Size::hosts(100)).snapshot();
    let counted = measure(|| assert!(plan(&snapshot, RequestHead { host: "nobody.test", path: "/" }, None, 1).is_err()));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_idle_tick_needs_no_heap() {
    let snapshot = World::new(Size::routes(100)).snapshot();
    tick(&snapshot, NOW);
    assert_eq!(measure(|| assert!(!tick(&snapshot, NOW))).count_total, 0);
}

/// How often the heap is asked while `change` is compiled into a fleet of so many routes.
fn allocations(routes: usize, change: impl Fn(&World) -> World) -> u64 {
    let world = World::new(Size::routes(routes));
    let previous = world.snapshot();
    let world = change(&world);
    measure(|| drop(world.compile(&previous))).count_total
}

#[test]
fn an_endpoint_change_costs_the_same_in_a_small_fleet_and_in_a_large_one() {
    assert_eq!(allocations(2000, World::with_endpoint_added), allocations(20, World::with_endpoint_added));
}

#[test]
fn finding_that_nothing_changed_costs_the_same_in_a_small_fleet_and_in_a_large_one() {
    assert_eq!(allocations(2000, World::clone), allocations(20, World::clone));
}

#[test]
fn compiling_from_nothing_costs_in_proportion_to_the_routes() {
    let from_nothing = |routes: usize| {
        let world = World::new(Size::routes(routes));
        let nothing = Snapshot::empty(Arc::clone(&world.config));
        measure(|| drop(world.compile(&nothing))).count_total
    };
    let (small, large) = (from_nothing(100), from_nothing(2000));
    assert!(large < 20 * small + small, "{small} for 100 routes, {large} for 2000");
}
