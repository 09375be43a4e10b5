#![allow(clippy::unwrap_used, clippy::float_cmp)]

use super::*;
use crate::cell::EJECT_AFTER;
use crate::cluster::Endpoint;
use crate::testing::*;

fn some_ready(cluster: usize, total: usize, ready: usize) -> Vec<Endpoint> {
    (0..total).map(|n| Endpoint { ready: n < ready, serving: n < ready, ..endpoint(cluster, n) }).collect()
}

/// As many gateway failures in a row as it takes.
fn fail(endpoint: &crate::pool::PoolEndpoint, member: &Member, world: &World) {
    for _ in 0..EJECT_AFTER {
        let (endpoint, cluster) = (std::sync::Arc::clone(&endpoint.cell), std::sync::Arc::clone(&member.cell));
        crate::cell::Attempt::begin(endpoint, cluster, world.now).failed(world.now);
    }
}

#[test]
fn two_tiers_half_ready_serve_seven_and_three_tenths() {
    let mut world = world().shop([10, 10, 0]);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 10, 5)).endpoints(AZURE, "shop/web", some_ready(AZURE, 10, 5)).compile();
    let shares = world.shares(None);
    assert!((shares[AWS] - 0.7).abs() < 1e-6 && (shares[AZURE] - 0.3).abs() < 1e-6, "{shares:?}");
}

#[test]
fn scaling_from_ten_to_twenty_spills_nothing_until_five_minutes_have_passed() {
    let mut world = world().shop([10, 10, 0]);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 20, 10)).compile();
    assert_eq!(world.shares(None)[AWS], 1.0);
    world.pass(299.0);
    assert_eq!(world.shares(None)[AWS], 1.0);
    world.pass(2.0);
    let shares = world.shares(None);
    assert!((shares[AWS] - 0.7).abs() < 1e-6, "pods that never start are missing capacity: {shares:?}");
}

#[test]
fn a_dark_cluster_gets_nothing_and_ramps_when_it_comes_back() {
    let mut world = world().shop([4, 4, 0]);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 4, 0)).compile();
    assert_eq!(world.shares(None)[AWS], 0.0);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 4, 4)).compile();
    let first = world.shares(None)[AWS];
    assert!(first > 0.0 && first < 0.2, "{first}");
    let mut before = first;
    for _ in 0..30 {
        let share = world.pass(1.0).shares(None)[AWS];
        assert!(share >= before, "it only grows");
        before = share;
    }
    assert_eq!(world.pass(1.0).shares(None)[AWS], 1.0);
}

#[test]
fn five_gateway_failures_in_a_row_eject_for_thirty_seconds() {
    let mut world = world().shop([4, 0, 0]);
    let failing = world.snapshot.pools[0].members[AWS].endpoints[1].clone();
    let address = failing.address;
    let mut failed = 0;
    for seed in 0.. {
        let mut plan = world.plan("www.example.com", "/", None, seed);
        while let Some(candidate) = plan.next(world.now) {
            if candidate.address == address {
                candidate.begin(world.now).failed(world.now);
                failed += 1;
            }
        }
        if failed >= EJECT_AFTER {
            break;
        }
    }
    world.pass(0.1);
    let meets = |world: &World| {
        (0..100).any(|seed| world.plan("www.example.com", "/", None, seed).next(world.now).unwrap().address == address)
    };
    assert!(!meets(&world));
    world.pass(30.1);
    assert!(failing.cell.consecutive_failures() == 0 && !failing.cell.ejected(world.now));
}

#[test]
fn at_most_half_of_a_clusters_endpoints_are_ejected_while_the_rest_answers() {
    let mut world = world().shop([4, 0, 0]);
    let pool = std::sync::Arc::clone(&world.snapshot.pools[0]);
    let good = pool.members[AWS].endpoints[0].address;
    for seed in 0..200 {
        let mut plan = world.plan("www.example.com", "/", None, seed);
        while let Some(candidate) = plan.next(world.now) {
            let attempt = candidate.begin(world.now);
            if candidate.address == good { attempt.answered(200, world.now) } else { attempt.failed(world.now) }
        }
    }
    world.pass(0.1);
    assert_eq!(pool.members[AWS].endpoints.iter().filter(|e| e.cell.ejected(world.now)).count(), 2);
}

#[test]
fn inside_a_tier_the_nearer_cluster_gets_more() {
    let mut world = world().shop([4, 4, 4]);
    world.config.geo.prefer.default = Some(vec![vec![id("aws"), id("azure")]]);
    world.compile();
    let shares = world.shares(country("BR").as_ref());
    assert!(shares[AWS] > 2.0 * shares[AZURE] && shares[AZURE] > 0.1, "{shares:?}");
    assert_eq!(shares[GOOGLE], 0.0);
}

#[test]
fn a_weight_of_zero_takes_nothing_new() {
    let mut world = world().shop([4, 4, 0]);
    world.config.clusters[AWS].weight = 0.0;
    world.compile();
    assert_eq!(world.shares(None), [0.0, 1.0, 0.0]);
}

#[test]
fn an_idle_pool_is_settled_and_an_outcome_wakes_it() {
    let mut world = world().shop([2, 0, 0]);
    let pool = std::sync::Arc::clone(&world.snapshot.pools[0]);
    world.pass(0.1);
    assert!(pool.settled.load(Relaxed) && !pool.members[AWS].cell.take_touched());
    world.plan("www.example.com", "/", None, 0).next(world.now).unwrap().begin(world.now).failed(world.now);
    assert!(pool.members[AWS].cell.take_touched());
}

#[test]
fn a_cluster_where_nothing_answers_is_left_alone_and_tried_again_later() {
    let mut world = world().shop([4, 4, 0]);
    let fail_everywhere = |world: &World| {
        for seed in 0..200 {
            let mut plan = world.plan("www.example.com", "/", None, seed);
            while let Some(candidate) = plan.next(world.now) {
                if candidate.cluster == AWS {
                    candidate.begin(world.now).failed(world.now);
                }
            }
        }
    };
    fail_everywhere(&world);
    world.pass(0.1);
    assert_eq!(world.shares(None), [0.0, 1.0, 0.0], "demoted whole, whatever the limit of ejections");
    world.pass(2.1);
    let tried = world.shares(None)[AWS];
    assert!(tried > 0.0 && tried < 0.2, "a few requests find out: {tried}");
    fail_everywhere(&world);
    world.pass(0.1);
    world.pass(2.1);
    assert_eq!(world.shares(None)[AWS], 0.0, "the second time it is left alone for longer");
}

#[test]
fn one_bad_pod_of_two_is_ejected_and_the_other_serves() {
    let mut world = world().shop([2, 2, 0]);
    let pool = std::sync::Arc::clone(&world.snapshot.pools[0]);
    let bad = &pool.members[AWS].endpoints[0];
    fail(bad, &pool.members[AWS], &world);
    world.pass(0.1);
    assert!(bad.cell.ejected(world.now));
    assert!((world.shares(None)[AWS] - 0.7).abs() < 1e-6);
}

#[test]
fn unready_pods_do_not_raise_the_number_that_may_be_ejected() {
    let mut world = world().shop([0, 0, 0]);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 10, 3)).compile();
    let pool = std::sync::Arc::clone(&world.snapshot.pools[0]);
    for endpoint in &pool.members[AWS].endpoints[..2] {
        fail(endpoint, &pool.members[AWS], &world);
    }
    world.pass(0.1);
    assert_eq!(pool.members[AWS].endpoints.iter().filter(|e| e.cell.ejected(world.now)).count(), 1);
}

#[test]
fn draining_and_weightless_clusters_take_nothing_new_while_others_can() {
    let mut world = world().shop([10, 4, 4]);
    world.endpoints(AWS, "shop/web", some_ready(AWS, 10, 5));
    world.config.clusters[AZURE].state = causeway_config::ClusterState::Drain;
    world.config.clusters[GOOGLE].weight = 0.0;
    world.compile();
    assert_eq!(world.shares(None), [1.0, 0.0, 0.0], "half a cluster is more than one that goes away");
    world.endpoints(AWS, "shop/web", Vec::new()).compile();
    assert_eq!(world.shares(None)[AWS], 0.0);
    assert!(world.shares(None).iter().sum::<f64>() > 0.99, "but better than nobody");
}
