//! Clusters that are reached through their edges.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

use std::collections::BTreeSet;
use std::sync::Arc;

use causeway_config::{CaRef, ClusterId, HostPolicy, ObjectName};

use crate::cluster::{AppProtocol, BackendTls, Trust};
use crate::link::{Count, LinkCell};
use crate::peer::Counts;
use crate::plan::{Refusal, Target, plan_at_home};
use crate::pool::{Absence, PoolKey};
use crate::testing::*;

const AMERICA: &str = "US";

fn key() -> PoolKey {
    PoolKey { service: name("shop/web"), port: 80 }
}

fn link(world: &World, cluster: usize, n: usize) -> Arc<LinkCell> {
    Arc::clone(&world.peers[cluster - 1].peers[n].link)
}

/// Home without a pod, so that all requests leave it.
fn away() -> World {
    let mut world = world().shop([0, 3, 2]);
    world.through_edges([2, 1]).compile();
    world
}

fn first(world: &World, seed: u64) -> (String, Target) {
    let candidate = world.plan("www.example.com", "/", country(AMERICA).as_ref(), seed).next(world.now).unwrap();
    (candidate.cluster_id.to_string(), candidate.target)
}

#[test]
fn the_endpoints_of_a_cluster_behind_edges_are_its_edges() {
    let world = away();
    let member = &world.snapshot.pools[0].members[AZURE];
    assert_eq!(member.endpoints.iter().map(|e| &*e.uid).collect::<Vec<_>>(), ["azure-0", "azure-1"]);
    assert_eq!(member.behind, Some(Count { ready: 3, total: 3 }), "as its EndpointSlices say");
    let (cluster, target) = first(&world, 1);
    assert!(matches!(&target, Target::Peer(instance) if instance.as_str().starts_with(&cluster)), "{target:?}");
    assert!(world.diagnostics.is_empty(), "{:?}", world.diagnostics);
}

#[test]
fn pods_at_home_and_of_flat_networks_are_reached_as_before() {
    let mut world = world().shop([1, 1, 1]);
    world.through_edges([1, 1]);
    world.config.clusters[GOOGLE].reach = causeway_config::Reach::Direct { plaintext: true };
    world.compile();
    let members = &world.snapshot.pools[0].members;
    assert_eq!([AWS, AZURE, GOOGLE].map(|c| members[c].behind.is_some()), [false, true, false]);
    assert_eq!(&*members[GOOGLE].endpoints[0].uid, "pod-2-0");
}

#[test]
fn an_edge_that_answers_knows_better_than_the_slices() {
    let mut world = away();
    world.peers[0].counts = Some(Arc::new(Counts::from([(key(), Count { ready: 1, total: 4 })])));
    let before = world.snapshot.generation;
    world.compile();
    assert_eq!(world.snapshot.pools[0].members[AZURE].behind, Some(Count { ready: 1, total: 4 }));
    assert!(world.snapshot.generation > before);
    let before = Arc::clone(&world.snapshot.pools[0]);
    world.compile();
    assert!(Arc::ptr_eq(&before, &world.snapshot.pools[0]), "nothing new was said");
    world.peers[0].counts = Some(Arc::default());
    world.compile();
    assert_eq!(world.snapshot.pools[0].members[AZURE].behind, Some(Count::default()), "what it does not name it has not");
}

#[test]
fn a_missed_ping_takes_an_edge_out_of_new_picks_at_once_and_its_cluster_out_of_shares_after_three() {
    let mut world = away();
    link(&world, GOOGLE, 0).missed();
    for seed in 0..50 {
        assert_eq!(first(&world, seed).0, "azure", "no new pick over a link in doubt");
    }
    let down = |world: &World, cluster, n| {
        assert!((0..3).map(|_| link(world, cluster, n).missed()).filter(|changed| *changed).count() > 0);
    };
    down(&world, AZURE, 0);
    world.pass(0.1);
    let (_, target) = first(&world, 3);
    assert!(matches!(&target, Target::Peer(instance) if instance.as_str() == "azure-1"), "{target:?}");
    down(&world, GOOGLE, 0);
    down(&world, AZURE, 1);
    world.pass(0.1);
    assert_eq!(world.shares(None), [0.0, 0.0, 0.0], "every link is down");
    link(&world, AZURE, 1).answered(std::time::Duration::from_millis(70));
    world.pass(0.1);
    assert_eq!(world.shares(None)[AZURE], 1.0);
}

#[test]
fn cells_follow_the_instance_and_not_the_address() {
    let mut world = away();
    let cell = |world: &World, n: usize| Arc::clone(&world.snapshot.pools[0].members[AZURE].endpoints[n].cell);
    let old = [cell(&world, 0), cell(&world, 1)];
    let peers = Arc::make_mut(&mut world.peers[0].peers);
    let addresses = [peers[1].address, peers[0].address];
    (peers[0].address, peers[1].address) = (addresses[0], addresses[1]);
    world.compile();
    assert!((0..2).all(|n| Arc::ptr_eq(&cell(&world, n), &old[n])));
}

#[test]
fn a_new_edge_is_assumed_to_be_as_fast_as_its_pings() {
    let world = away();
    let latency = world.snapshot.pools[0].members[AZURE].endpoints[0].cell.latency(world.now);
    assert!((latency - 0.110).abs() < 1e-9, "80 ms there and back, and 30 for the pod: {latency}");
}

#[test]
fn without_certificates_there_are_no_edges_and_it_is_said() {
    let mut world = world().shop([1, 1, 1]);
    world.through_edges([1, 1]);
    world.config.fleet.tls = None;
    world.compile();
    assert_eq!(world.snapshot.pools[0].members[AZURE].absence, Some(Absence::Unreachable));
    assert!(
        world.says("configuration: clusters.azure.reach: the pods of azure cannot be reached from here"),
        "{:?}",
        world.diagnostics
    );
}

#[test]
fn authorities_of_backends_are_needed_where_this_edge_calls_them_itself() {
    let mut world = world().shop([1, 1, 1]);
    for cluster in [AWS, AZURE, GOOGLE] {
        let mut service = service();
        service.ports[0].protocol = AppProtocol::Https;
        let trust = Trust::Ca(CaRef::Secret(name("shop/ca")));
        service.tls = Some(Arc::new(BackendTls { trust, hostname: None }));
        world.service(cluster, "shop/web", service);
    }
    let needed = |world: &World| {
        let of = |((cluster, ca), services): (&(ClusterId, CaRef), &BTreeSet<ObjectName>)| {
            format!("{cluster} {ca} {}", services.first().unwrap())
        };
        world.snapshot.backend_authorities().iter().map(of).collect::<Vec<_>>()
    };
    let all = ["aws", "azure", "google"].map(|cluster| format!("{cluster} Secret shop/ca shop/web"));
    assert_eq!(needed(world.compile()), all);
    assert_eq!(needed(world.through_edges([1, 1]).compile()), all[..1]);
    let candidate = world.plan("www.example.com", "/", None, 0).next(world.now).unwrap();
    assert!(candidate.tls.is_some());
}

// The receiving side

#[test]
fn a_peer_serves_from_its_home_and_from_nowhere_else() {
    let mut world = world().shop([2, 3, 3]);
    world.through_edges([1, 1]).compile();
    let mut plan = plan_at_home(&world.snapshot, "www.example.com", &key(), 7).unwrap();
    let drawn: Vec<_> = std::iter::from_fn(|| plan.next(world.now)).map(|c| (c.cluster_id.to_string(), c.target)).collect();
    assert_eq!(drawn, [("aws".to_owned(), Target::Pod), ("aws".to_owned(), Target::Pod)]);
}

#[test]
fn a_peer_serves_only_what_its_own_routes_lead_to() {
    let world = world().shop([1, 1, 1]);
    let other = PoolKey { service: name("shop/secret"), port: 80 };
    assert_eq!(plan_at_home(&world.snapshot, "www.example.com", &other, 7).unwrap_err(), Refusal::UnknownPool(other));
    assert!(plan_at_home(&world.snapshot, "www.example.com", &key(), 7).is_ok());
}

#[test]
fn a_peer_holds_the_fence_itself() {
    let mut world = world().shop([1, 1, 1]);
    let policy = HostPolicy { allow: Some(vec![id("azure")]), ..HostPolicy::default() };
    world.config.hosts.insert("www.example.com".parse().unwrap(), policy);
    world.compile();
    assert_eq!(plan_at_home(&world.snapshot, "www.example.com", &key(), 7).unwrap_err(), Refusal::Fenced);
}

#[test]
fn who_is_nearest_is_measured_and_the_order_follows() {
    let mut world = world().shop([0, 1, 1]);
    world.through_edges([1, 1]);
    world.compile();
    let order = |world: &World| -> Vec<Vec<usize>> {
        world.plan("www.example.com", "/", None, 0).tiers().iter().map(|tier| tier.to_vec()).collect()
    };
    assert_eq!(order(&world), [vec![AWS], vec![AZURE], vec![GOOGLE]], "by the great circle");
    for _ in 0..50 {
        link(&world, GOOGLE, 0).answered(std::time::Duration::from_millis(20));
    }
    let moved: Vec<bool> = (0..40)
        .map(|_| {
            world.now = world.now.after(std::time::Duration::from_secs(1));
            crate::tick(&world.snapshot, world.now)
        })
        .collect();
    assert_eq!(moved.iter().filter(|moved| **moved).count(), 1, "once, and after half a minute");
    assert_eq!(order(&world)[1], [AZURE], "until it is compiled anew");
    world.compile();
    assert_eq!(order(&world), [vec![AWS], vec![GOOGLE], vec![AZURE]]);
    let before = world.snapshot.generation;
    world.compile();
    assert_eq!(world.snapshot.generation, before, "and nothing moves by itself");
}
