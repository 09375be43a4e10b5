#![allow(clippy::unwrap_used, clippy::float_cmp)]

use super::*;
use crate::cell::{Attempt, Due, EJECT_AFTER};
use crate::cluster::Endpoint;
use crate::testing::*;

fn some_ready(cluster: usize, total: usize, ready: usize) -> Vec<Endpoint> {
    (0..total).map(|n| Endpoint { ready: n < ready, serving: n < ready, ..endpoint(cluster, n) }).collect()
}

/// As many gateway failures in a row as it takes.
fn fail(endpoint: &crate::pool::PoolEndpoint, member: &Member, world: &World) {
    for _ in 0..EJECT_AFTER {
        let (endpoint, cluster) = (std::sync::Arc::clone(&endpoint.cell), std::sync::Arc::clone(&member.cell));
        Attempt::begin(endpoint, cluster, Due::Answer, world.now).failed(world.now);
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
    assert_eq!(world.shares(None)[AWS], 0.0, "not at once: it may be gone again in a moment");
    let first = world.pass(2.1).shares(None)[AWS];
    ask(&world, AWS, 0, 1, 2, 200);
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
                candidate.begin(Due::Answer, world.now).failed(world.now);
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
    world.pass(33.1);
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
            let mut attempt = candidate.begin(Due::Answer, world.now);
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
    world.plan("www.example.com", "/", None, 0).next(world.now).unwrap().begin(Due::Answer, world.now).failed(world.now);
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
                    candidate.begin(Due::Answer, world.now).failed(world.now);
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

/// `count` requests to an endpoint, of which every `nth` is answered by `status` and the others well.
fn ask(world: &World, cluster: usize, endpoint: usize, count: usize, nth: usize, status: u16) {
    let member = &world.snapshot.pools[0].members[cluster];
    let cell = &member.endpoints[endpoint].cell;
    for n in 1..=count {
        let (cell, cluster) = (std::sync::Arc::clone(cell), std::sync::Arc::clone(&member.cell));
        let status = if n % nth == 0 { status } else { 200 };
        Attempt::begin(cell, cluster, Due::Answer, world.now).answered(status, world.now);
    }
}

fn ejected(world: &World, cluster: usize) -> Vec<bool> {
    world.snapshot.pools[0].members[cluster].endpoints.iter().map(|e| e.cell.ejected(world.now)).collect()
}

#[test]
fn who_succeeds_less_than_four_times_of_five_is_ejected_once_twenty_requests_tell() {
    let mut world = world().shop([4, 0, 0]);
    for endpoint in 1..4 {
        ask(&world, AWS, endpoint, 50, 100, 500);
    }
    ask(&world, AWS, 0, 19, 3, 500);
    assert_eq!(ejected(world.pass(0.1), AWS), [false; 4]);
    ask(&world, AWS, 0, 2, 3, 500);
    assert_eq!(ejected(world.pass(0.1), AWS), [true, false, false, false]);
}

#[test]
fn where_all_fail_alike_the_application_is_to_blame_and_nobody_ejected() {
    let mut world = world().shop([4, 4, 0]);
    for cluster in [AWS, AZURE] {
        for endpoint in 0..4 {
            ask(&world, cluster, endpoint, 40, 2, 500);
        }
    }
    world.pass(0.1);
    assert_eq!((ejected(&world, AWS), ejected(&world, AZURE)), (vec![false; 4], vec![false; 4]));
    assert_eq!(world.shares(None)[AWS], 1.0);
}

#[test]
fn a_cluster_whose_gateway_fails_too_often_is_left_alone_if_another_does_better() {
    let mut world = world().shop([4, 4, 0]);
    let half_fail = |world: &World, cluster: usize| {
        for endpoint in 0..4 {
            // The last one of each is answered well: they fail by turns, not in a row.
            ask(world, cluster, endpoint, 41, 2, 503);
        }
    };
    half_fail(&world, AWS);
    half_fail(&world, AZURE);
    assert_eq!(world.pass(0.1).shares(None)[AWS], 1.0, "the other does no better");
    let mut world = crate::testing::world().shop([4, 4, 0]);
    half_fail(&world, AWS);
    assert_eq!(world.pass(0.1).shares(None), [0.0, 1.0, 0.0]);
}

#[test]
fn ejections_last_about_thirty_seconds_and_not_all_the_same() {
    let mut ends = std::collections::BTreeSet::new();
    for n in 0..20 {
        let mut world = world().shop([2, 0, 0]);
        world.pass(f64::from(n) / 7.0);
        fail(&world.snapshot.pools[0].members[AWS].endpoints[0], &world.snapshot.pools[0].members[AWS], &world);
        world.pass(0.1);
        let begin = world.now;
        while ejected(&world, AWS)[0] {
            world.pass(0.5);
        }
        let lasted = world.now.since(begin).as_secs_f64();
        assert!((27.0..=33.5).contains(&lasted), "{lasted}");
        ends.insert((lasted * 10.0) as u64);
    }
    assert!(ends.len() > 3, "{ends:?}");
}

#[test]
fn a_silent_cluster_gets_nothing_new_and_comes_back_whole_if_it_was_only_slow() {
    let mut world = world().shop([2, 2, 0]);
    let mut owed: Vec<Attempt> = (0..2)
        .flat_map(|endpoint| {
            let member = &world.snapshot.pools[0].members[AWS];
            let cell = &member.endpoints[endpoint].cell;
            let begin =
                || Attempt::begin(std::sync::Arc::clone(cell), std::sync::Arc::clone(&member.cell), Due::Answer, world.now);
            [begin(), begin()]
        })
        .collect();
    assert_eq!(world.pass(0.2).shares(None)[AWS], 1.0);
    assert_eq!(world.pass(0.2).shares(None), [0.0, 1.0, 0.0], "long before any of them times out");
    for attempt in &mut owed {
        attempt.answered(200, world.now);
    }
    assert_eq!(world.pass(0.1).shares(None)[AWS], 0.0, "not back and forth");
    assert_eq!(world.pass(2.1).shares(None)[AWS], 1.0);
}

/// Eight owed answers close a cluster long before twenty tries have failed: it must not be sent as many again two seconds later.
#[test]
fn a_silent_cluster_that_says_nothing_meanwhile_is_asked_by_one_request_at_a_time() {
    let mut world = world().shop([2, 2, 0]);
    let begin = |world: &World| {
        let member = &world.snapshot.pools[0].members[AWS];
        Attempt::begin(
            std::sync::Arc::clone(&member.endpoints[0].cell),
            std::sync::Arc::clone(&member.cell),
            Due::Answer,
            world.now,
        )
    };
    let asked = |world: &World| {
        let drawn = |seed| world.plan("www.example.com", "/", None, seed).next(world.now).unwrap();
        (0..300).map(drawn).filter(|candidate| candidate.cluster == AWS).count()
    };
    let mut owed: Vec<Attempt> = (0..8).map(|_| begin(&world)).collect();
    world.pass(0.5);
    assert_eq!(asked(&world), 0);
    world.pass(0.5);
    owed[0].answered(503, world.now);
    for attempt in &mut owed[1..] {
        attempt.failed(world.now);
    }
    assert!(!world.snapshot.pools[0].members[AWS].cell.gone(), "these went there before it was silent");
    world.pass(0.1).pass(2.1);
    assert!((1..60).contains(&asked(&world)), "a few of a hundred find out");
    let mut probe = begin(&world);
    assert_eq!(asked(&world), 0, "one is enough");
    world.pass(0.2);
    probe.failed(world.now);
    assert_eq!(world.pass(0.1).shares(None)[AWS], 0.0);
    assert_eq!(world.pass(1.5).shares(None)[AWS], 0.0, "it is left alone");
    let mut probe = begin(world.pass(1.0));
    probe.answered(200, world.now);
    assert!(world.pass(0.1).shares(None)[AWS] < 0.5, "and comes back by and by");
}

#[test]
fn a_recovery_that_is_completed_makes_the_next_darkness_short_again() {
    let mut world = world().shop([1, 1, 0]);
    let darken = |world: &mut World| {
        fail(&world.snapshot.pools[0].members[AWS].endpoints[0], &world.snapshot.pools[0].members[AWS], world);
        world.pass(0.1);
        (1..60).find(|_| world.pass(1.0).shares(None)[AWS] > 0.0).unwrap()
    };
    assert_eq!([darken(&mut world), darken(&mut world), darken(&mut world)], [2, 4, 6], "it flaps");
    ask(&world, AWS, 0, 1, 2, 200);
    world.pass(0.1).pass(30.1);
    assert_eq!(darken(&mut world), 2);
}

#[test]
fn a_cluster_on_probation_gets_one_request_a_second_until_one_is_answered() {
    let mut world = world().shop([3, 3, 0]);
    for endpoint in &world.snapshot.pools[0].members[AWS].endpoints {
        fail(endpoint, &world.snapshot.pools[0].members[AWS], &world);
    }
    world.pass(0.1).pass(2.1);
    let drawn = |world: &World| -> Vec<_> {
        (0..300).map(|seed| world.plan("www.example.com", "/", None, seed).next(world.now).unwrap()).collect()
    };
    let probe = drawn(&world).into_iter().find(|candidate| candidate.cluster == AWS).unwrap();
    let mut probe = probe.begin(Due::Answer, world.now);
    assert!(drawn(&world).iter().all(|candidate| candidate.cluster == AZURE), "one is enough to find out");
    probe.answered(200, world.pass(0.1).now);
    world.pass(0.1);
    let back = drawn(&world).iter().filter(|candidate| candidate.cluster == AWS).count();
    assert!((15..80).contains(&back), "a tenth, overprovisioned: {back} of 300");
}

#[test]
fn a_probe_that_fails_leaves_the_cluster_alone_for_longer() {
    let mut world = world().shop([3, 3, 0]);
    for endpoint in &world.snapshot.pools[0].members[AWS].endpoints {
        fail(endpoint, &world.snapshot.pools[0].members[AWS], &world);
    }
    world.pass(0.1).pass(2.1);
    let member = &world.snapshot.pools[0].members[AWS];
    let (cell, cluster) = (std::sync::Arc::clone(&member.endpoints[0].cell), std::sync::Arc::clone(&member.cell));
    Attempt::begin(cell, cluster, Due::Answer, world.now).failed(world.now);
    let dark: Vec<bool> = (0..5).map(|_| world.pass(1.0).shares(None)[AWS] <= 0.0).collect();
    assert_eq!(dark, [true, true, true, true, false]);
}

#[test]
fn of_a_large_cluster_not_every_endpoint_must_fail_five_times() {
    let mut world = world().shop([100, 100, 0]);
    let member = &world.snapshot.pools[0].members[AWS];
    let try_at = |n: usize| {
        let cell = std::sync::Arc::clone(&member.endpoints[n].cell);
        Attempt::begin(cell, std::sync::Arc::clone(&member.cell), Due::Answer, world.now)
    };
    (0..19).for_each(|n| try_at(n).failed(world.now));
    try_at(50).answered(200, world.now);
    try_at(19).failed(world.now);
    assert!(!member.cell.gone(), "somebody answered");
    (20..39).for_each(|n| try_at(n).failed(world.now));
    assert_eq!(world.pass(0.1).shares(None)[AWS], 0.0);
}

#[test]
fn of_a_large_cluster_not_every_endpoint_must_be_silent_itself() {
    let mut world = world().shop([100, 100, 0]);
    let member = &world.snapshot.pools[0].members[AWS];
    let begin = |n: usize| {
        let cell = std::sync::Arc::clone(&member.endpoints[n].cell);
        Attempt::begin(cell, std::sync::Arc::clone(&member.cell), Due::Answer, world.now)
    };
    let _owed: Vec<Attempt> = (0..8).map(begin).collect();
    assert_eq!(world.pass(0.2).shares(None)[AWS], 1.0);
    assert_eq!(world.pass(0.2).shares(None)[AWS], 0.0);
}

#[test]
fn what_an_edge_that_was_late_itself_did_not_hear_is_nobodys_silence() {
    let late = |beats: &[u64]| {
        let mut world = world().shop([2, 2, 0]);
        let member = &world.snapshot.pools[0].members[AWS];
        let begin = |n: usize| {
            let cell = std::sync::Arc::clone(&member.endpoints[n % 2].cell);
            Attempt::begin(cell, std::sync::Arc::clone(&member.cell), Due::Answer, world.now)
        };
        let owed: Vec<Attempt> = (0..8).map(begin).collect();
        let from = world.now;
        for ms in beats {
            world.snapshot.pulse.beat(from.after(Duration::from_millis(*ms)));
        }
        let drawn = |world: &World| {
            let plans = (0..20).map(|seed| world.plan("www.example.com", "/", None, seed).next(world.now).unwrap().cluster);
            plans.filter(|cluster| *cluster == AWS).count()
        };
        world.now = from.after(Duration::from_millis(400));
        let before = drawn(&world);
        world.pass(0.0);
        let after = world.shares(None)[AWS];
        // It runs again, and still nothing comes.
        for ms in (400..=900).step_by(50) {
            world.snapshot.pulse.beat(from.after(Duration::from_millis(ms)));
        }
        let then = world.pass(0.5).shares(None)[AWS];
        drop(owed);
        (before, after, then)
    };
    let on_time: Vec<u64> = (0..=400).step_by(50).collect();
    assert_eq!(late(&on_time), (0, 0.0, 0.0));
    assert_eq!(late(&[]), (0, 0.0, 0.0), "nobody beats");
    assert_eq!(late(&[0]), (20, 1.0, 0.0), "asleep until now: neither in choosing nor for shares");
    assert_eq!(late(&[0, 50, 390]), (20, 1.0, 0.0), "it has woken just now");
}
