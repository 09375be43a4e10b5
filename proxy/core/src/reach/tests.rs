#![allow(clippy::unwrap_used)]
use super::*;
use crate::compile::compile;
use crate::health::tick;
use crate::plan::Step;
use crate::testing::*;

/// The shop with nobody reached so far.
fn shop(pods: [usize; 3]) -> World {
    let mut world = world().shop([0, 0, 0]);
    for (cluster, count) in pods.into_iter().enumerate() {
        world.endpoints(cluster, "shop/web", (0..count).map(|n| endpoint(cluster, n)).collect());
    }
    let config = Arc::new(world.config.clone());
    let (snapshot, _) = compile(&config, &world.edge, &world.states, &world.peers, &world.snapshot);
    tick(&snapshot, world.now);
    world.snapshot = Arc::new(snapshot);
    world
}

fn drawn(world: &World) -> (usize, Step) {
    let candidate = world.plan("www.example.com", "/", None, 1).next(world.now).unwrap();
    (candidate.cluster, candidate.step)
}

fn of(due: &[(Checkee, SocketAddr)], cluster: &str) -> usize {
    due.iter().filter(|(who, _)| who.cluster.as_str() == cluster).count()
}

#[test]
fn a_pod_elsewhere_gets_nothing_before_it_was_reached() {
    let mut world = shop([1, 2, 0]);
    let mut reaching = Reaching::default();
    reaching.follow(&world.snapshot, world.now);
    let due = reaching.due(world.now);
    assert_eq!((of(&due, "aws"), of(&due, "azure")), (0, 2), "at home its cluster's word is enough");
    let mut drawn = Vec::new();
    let mut plan = world.plan("www.example.com", "/", country("DE").as_ref(), 1);
    while let Some(candidate) = plan.next(world.now) {
        drawn.push((candidate.cluster, candidate.step == Step::Panic));
    }
    assert_eq!(drawn, [(AWS, false), (AZURE, true), (AZURE, true)], "last of all it may be tried");
    reaching.note(&due[0].0, true, world.now, &mut fastrand::Rng::with_seed(1));
    world.pass(0.1);
    let members = &world.snapshot.pools[0].members;
    assert_eq!(members[AZURE].endpoints.iter().filter(|e| e.reachable()).count(), 1);
    assert!(world.shares(None)[AZURE] >= 0.0);
}

#[test]
fn where_nobody_was_reached_yet_a_request_goes_there_and_its_answer_counts() {
    let world = shop([0, 1, 0]);
    assert_eq!(drawn(&world), (AZURE, Step::Panic));
    let candidate = world.plan("www.example.com", "/", None, 1).next(world.now).unwrap();
    candidate.begin(crate::cell::Due::Answer, world.now).answered(200, world.now);
    tick(&world.snapshot, world.now);
    assert_ne!(drawn(&world).1, Step::Panic);
    let mut reaching = Reaching::default();
    reaching.follow(&world.snapshot, world.now);
    assert!(reaching.due(world.now).is_empty());
}

#[test]
fn pods_that_were_not_reached_yet_are_no_lost_capacity() {
    let mut world = world().shop([0, 4, 4]);
    world.endpoints(AZURE, "shop/web", (0..40).map(|n| endpoint(AZURE, n)).collect());
    let before = world.shares(None);
    let (snapshot, _) = compile(&Arc::new(world.config.clone()), &world.edge, &world.states, &world.peers, &world.snapshot);
    world.snapshot = Arc::new(snapshot);
    world.pass(0.1);
    let after = world.shares(None);
    assert!((before[AZURE] - after[AZURE]).abs() < 0.01, "{before:?} {after:?}");
}

#[test]
fn only_so_many_of_a_cluster_are_asked_at_a_time_and_others_do_not_wait_for_them() {
    let world = shop([0, 500, 3]);
    let (mut reaching, mut rng) = (Reaching::default(), fastrand::Rng::with_seed(1));
    reaching.follow(&world.snapshot, world.now);
    let first = reaching.due(world.now);
    assert_eq!((of(&first, "azure"), of(&first, "google")), (AT_ONCE, 3));
    assert!(reaching.due(world.now).is_empty(), "until one has ended");
    for (who, _) in &first {
        reaching.note(who, false, world.now, &mut rng);
    }
    let second = reaching.due(world.now);
    assert_eq!((of(&second, "azure"), of(&second, "google")), (AT_ONCE, 0), "those that failed wait");
    assert!(first.iter().all(|asked| !second.contains(asked)));
}

#[test]
fn who_fails_is_asked_ever_more_seldom_and_forgotten_when_it_is_gone() {
    let mut world = shop([1, 1, 0]);
    let (mut reaching, mut rng) = (Reaching::default(), fastrand::Rng::with_seed(1));
    reaching.follow(&world.snapshot, world.now);
    assert!(reaching.fresh());
    let mut times = Vec::new();
    for second in 0..600_u64 {
        let now = world.now.after(Duration::from_secs(second));
        reaching.follow(&world.snapshot, now);
        let said = reaching.next().is_some_and(|next| next <= now);
        let due = reaching.due(now);
        assert_eq!(said, !due.is_empty(), "who sleeps until then misses nobody, and wakes for somebody");
        assert!(due.is_empty() || reaching.next().is_none(), "nobody else waits");
        for (who, _) in due {
            times.push(second);
            reaching.note(&who, false, now, &mut rng);
        }
    }
    assert!(!reaching.fresh());
    assert!((10..20).contains(&times.len()), "{times:?}");
    let asked = reaching.due(world.now.after(Duration::from_secs(700)));
    world.endpoints(AZURE, "shop/web", Vec::new()).compile();
    reaching.follow(&world.snapshot, world.now.after(Duration::from_secs(700)));
    reaching.note(&asked[0].0, false, world.now.after(Duration::from_secs(701)), &mut rng);
    assert!(reaching.due(world.now.after(Duration::from_secs(2000))).is_empty());
}
