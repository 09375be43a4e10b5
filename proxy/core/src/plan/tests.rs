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
            let cluster = Arc::new(crate::cell::ClusterCell::new(crate::cell::SLOW_START));
            Attempt::begin(Arc::clone(&slow.cell), cluster, Due::Nothing, world.now)
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

/// Two requests that an endpoint owes answers to.
fn owed(world: &World, cluster: usize, endpoint: usize) -> [Attempt; 2] {
    let member = &world.snapshot.pools[0].members[cluster];
    let cell = &member.endpoints[endpoint].cell;
    [(); 2].map(|()| Attempt::begin(Arc::clone(cell), Arc::clone(&member.cell), Due::Answer, world.now))
}

#[test]
fn an_endpoint_that_owes_answers_gets_no_new_requests_until_it_gives_one() {
    let mut world = world().shop([2, 2, 0]);
    let mut owed = owed(&world, AWS, 0);
    let member = &world.snapshot.pools[0].members[AWS];
    let busy = || Attempt::begin(Arc::clone(&member.endpoints[1].cell), Arc::clone(&member.cell), Due::Nothing, world.now);
    let _busy: Vec<Attempt> = (0..99).map(|_| busy()).collect();
    let silent = world.snapshot.pools[0].members[AWS].endpoints[0].address;
    let meets = |world: &World| {
        (0..200).any(|seed| world.plan("www.example.com", "/", None, seed).next(world.now).unwrap().address == silent)
    };
    assert!(meets(world.pass(0.2)), "a quarter of a second is no silence yet");
    assert!(!meets(world.pass(0.2)));
    owed[0].answered(200, world.now);
    assert!(meets(&world));
}

#[test]
fn where_all_of_a_cluster_is_silent_the_next_request_goes_to_another_before_any_tick() {
    let mut world = world().shop([2, 2, 0]);
    let _owed = [owed(&world, AWS, 0), owed(&world, AWS, 1)];
    world.now = world.now.after(std::time::Duration::from_millis(400));
    for seed in 0..50 {
        let candidate = world.plan("www.example.com", "/", None, seed).next(world.now).unwrap();
        assert_eq!((candidate.cluster, candidate.step), (AZURE, Step::NextCluster));
    }
}

#[test]
fn where_everything_is_silent_somebody_is_tried_all_the_same() {
    let mut world = world().shop([1, 1, 0]);
    let _owed = [owed(&world, AWS, 0), owed(&world, AZURE, 0)];
    let mut plan = world.pass(2.0).plan("www.example.com", "/", None, 1);
    let drawn: Vec<usize> = std::iter::from_fn(|| plan.next(world.now)).map(|c| c.cluster).collect();
    assert_eq!(drawn, [AWS, AZURE]);
}

#[test]
fn a_cluster_that_is_left_alone_comes_after_all_others() {
    let mut world = world().shop([2, 1, 1]);
    world.config.geo.prefer.default = Some(vec![vec![id("aws"), id("azure"), id("google")]]);
    world.compile();
    world.snapshot.pools[0].members[AZURE].cell.darken(world.now);
    world.pass(0.1);
    for seed in 0..50 {
        let mut plan = world.plan("www.example.com", "/", country("BR").as_ref(), seed);
        let drawn: Vec<usize> = std::iter::from_fn(|| plan.next(world.now)).map(|c| c.cluster).collect();
        assert_eq!((drawn.len(), drawn[3]), (4, AZURE), "{drawn:?}");
    }
}

#[test]
fn a_plan_knows_whether_anything_is_left() {
    let world = world().shop([1, 1, 0]);
    let mut plan = world.plan("www.example.com", "/", None, 1);
    let left: Vec<bool> = std::iter::from_fn(|| plan.next(world.now).map(|_| plan.more())).collect();
    assert_eq!(left, [true, false]);
}

#[test]
fn after_a_cluster_was_silent_as_a_whole_the_second_try_is_elsewhere() {
    let world = world().shop([3, 3, 0]);
    for seed in 0..50 {
        let mut plan = world.plan("www.example.com", "/", None, seed);
        let first = plan.next(world.now).unwrap();
        plan.leave_cluster();
        assert_eq!([first.cluster, plan.next(world.now).unwrap().cluster], [AWS, AZURE]);
    }
    let world = crate::testing::world().shop([3, 0, 0]);
    let mut plan = world.plan("www.example.com", "/", None, 1);
    plan.next(world.now).unwrap();
    plan.leave_cluster();
    assert_eq!(plan.next(world.now).unwrap().cluster, AWS, "if there is anybody elsewhere");
}

#[test]
fn a_session_is_where_it_was_as_long_as_that_endpoint_is_well() {
    let mut world = world().shop([3, 3, 0]);
    let endpoint = world.snapshot.pools[0].members[AZURE].endpoints[1].clone();
    let first = |world: &World, seed| {
        let mut plan = world.plan("www.example.com", "/", None, seed);
        plan.stick(&id("azure"), endpoint.tag);
        plan.next(world.now).unwrap()
    };
    for seed in 0..50 {
        let candidate = first(&world, seed);
        assert_eq!((candidate.address, candidate.step, candidate.tag), (endpoint.address, Step::Sticky, endpoint.tag));
    }
    endpoint.cell.eject(world.now, crate::health::EJECTION, 1.0);
    assert_eq!(first(&world, 1).cluster, AZURE, "its cluster at least, where its data may be");
    world.config.hosts.insert(
        "www.example.com".parse().unwrap(),
        causeway_config::HostPolicy { allow: Some(vec![id("aws")]), ..Default::default() },
    );
    world.compile();
    assert_eq!(first(&world, 1).cluster, AWS, "a fence that came later holds");
}

#[test]
fn a_draining_cluster_keeps_its_sessions_and_takes_no_new_ones() {
    let mut world = world().shop([2, 2, 0]);
    world.config.clusters[AWS].state = causeway_config::ClusterState::Drain;
    world.compile();
    let tag = world.snapshot.pools[0].members[AWS].endpoints[0].tag;
    let first = |tag| {
        let mut plan = world.plan("www.example.com", "/", None, 1);
        plan.stick(&id("aws"), tag);
        plan.next(world.now).unwrap().cluster
    };
    assert_eq!((first(tag), first(tag + 1)), (AWS, AZURE));
}
