#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::*;

fn cluster_of(world: &World, location: Option<&Location>, seed: u64) -> usize {
    world.plan("www.example.com", "/", location, seed).next(world.now).unwrap().cluster
}

#[test]
fn equal_arguments_give_equal_plans() {
    let world = world().shop([9, 9, 9]);
    let draw = || -> Vec<_> {
        let mut plan = world.plan("www.example.com", "/", None, 42);
        std::iter::from_fn(|| plan.next(world.now)).map(|c| c.address).collect()
    };
    assert_eq!(draw(), draw());
}

#[test]
fn requests_follow_the_shares_within_two_percent() {
    let mut world = world().shop([10, 10, 10]);
    let half = |cluster: usize| (0..10).map(|n| crate::cluster::Endpoint { ready: n < 5, ..endpoint(cluster, n) }).collect();
    world.endpoints(AWS, "shop/web", half(AWS)).endpoints(AZURE, "shop/web", half(AZURE)).compile();
    let requests = 20_000;
    let mut count = [0.0; 3];
    for seed in 0..requests {
        count[cluster_of(&world, None, seed)] += 1.0 / requests as f64;
    }
    for (found, expected) in count.iter().zip([0.7, 0.3, 0.0]) {
        assert!((found - expected).abs() < 0.02, "{count:?}");
    }
}

#[test]
fn after_a_failure_same_cluster_then_the_next_tiers_and_never_the_same_endpoint() {
    let world = world().shop([3, 3, 3]);
    for seed in 0..200 {
        let mut plan = world.plan("www.example.com", "/", None, seed);
        let drawn: Vec<Candidate> = std::iter::from_fn(|| plan.next(world.now)).collect();
        let clusters: Vec<usize> = drawn.iter().take(4).map(|c| c.cluster).collect();
        assert_eq!(clusters, [AWS, AWS, AZURE, GOOGLE]);
        let mut addresses: Vec<_> = drawn.iter().map(|c| c.address).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), drawn.len());
        assert_eq!(drawn.len(), MOST, "and then whatever was not tried");
    }
}

#[test]
fn a_cluster_with_one_endpoint_is_not_tried_twice() {
    let world = world().shop([1, 1, 0]);
    let mut plan = world.plan("www.example.com", "/", None, 1);
    let drawn: Vec<usize> = std::iter::from_fn(|| plan.next(world.now)).map(|c| c.cluster).collect();
    assert_eq!(drawn, [AWS, AZURE]);
}

#[test]
fn of_two_choices_the_cheaper_is_taken() {
    let world = world().shop([2, 0, 0]);
    let slow = &world.snapshot.pools[0].members[AWS].endpoints[0];
    let held: Vec<_> = (0..10)
        .map(|_| {
            Attempt::begin(Arc::clone(&slow.cell), Arc::new(crate::cell::ClusterCell::new(crate::cell::SLOW_START)), world.now)
        })
        .collect();
    for seed in 0..100 {
        let chosen = world.plan("www.example.com", "/", None, seed).next(world.now).unwrap();
        assert_ne!(chosen.address, slow.address);
    }
    drop(held);
}

#[test]
fn pods_that_still_serve_on_their_way_out_are_the_last_resort() {
    let mut world = world().shop([1, 0, 0]);
    let leaving = crate::cluster::Endpoint { ready: false, serving: true, terminating: true, ..endpoint(AWS, 0) };
    world.endpoints(AWS, "shop/web", vec![leaving.clone()]).compile();
    let chosen = world.plan("www.example.com", "/", None, 0).next(world.now).unwrap();
    assert_eq!(chosen.step, Step::Panic);
    world.endpoints(AWS, "shop/web", vec![leaving, endpoint(AWS, 1)]).compile();
    for seed in 0..50 {
        assert_eq!(world.plan("www.example.com", "/", None, seed).next(world.now).unwrap().step, Step::Drawn);
    }
}

#[test]
fn unready_pods_that_do_not_serve_are_never_tried() {
    let mut world = world().shop([1, 0, 0]);
    let starting = crate::cluster::Endpoint { ready: false, serving: false, ..endpoint(AWS, 0) };
    world.endpoints(AWS, "shop/web", vec![starting]).compile();
    assert!(world.plan("www.example.com", "/", None, 0).next(world.now).is_none());
}

#[test]
fn the_explanation_tells_the_plans_own_story() {
    let mut world = world().shop([2, 2, 0]);
    world.config.hosts.insert(
        "www.example.com".parse().unwrap(),
        causeway_config::HostPolicy { allow: Some(vec![id("aws"), id("google")]), ..Default::default() },
    );
    world.compile();
    let head = RequestHead { host: "www.example.com", path: "/x" };
    for seed in 0..20 {
        let explained = crate::explain::explain(&world.snapshot, head, None, world.now, seed).decision.unwrap();
        let drawn = world.plan("www.example.com", "/x", None, seed).next(world.now).unwrap();
        assert_eq!(explained.candidates[0].address, drawn.address);
        let why = |c: usize| explained.clusters[c].passed_over.as_deref();
        assert_eq!(why(AWS), None);
        assert_eq!(why(AZURE), Some("it is outside the host's fence (`allow`)"));
        assert_eq!(why(GOOGLE), Some("the host is fenced, and the way there is plaintext"));
    }
}

#[test]
fn before_every_cluster_is_read_an_unknown_host_is_not_yet_a_404() {
    let mut world = world();
    let head = RequestHead { host: "www.example.com", path: "/" };
    assert_eq!(plan(&world.snapshot, head, None, 0).unwrap_err(), Refusal::Starting);
    world.states[GOOGLE].freshness = Freshness::Syncing;
    world.compile();
    assert_eq!(plan(&world.snapshot, head, None, 0).unwrap_err(), Refusal::Starting);
    world.states[GOOGLE].freshness = Freshness::Synced;
    world.compile();
    assert_eq!(plan(&world.snapshot, head, None, 0).unwrap_err(), Refusal::UnknownHost);
}
