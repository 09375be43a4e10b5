#![allow(clippy::unwrap_used, clippy::float_cmp)]

mod ingress;
mod merging;
mod secrets;
mod trust;

use causeway_config::{ClusterState as State, HostPolicy, Preference, Scope, Terminate};

use super::*;
use crate::cluster::{IngressClass, Namespace, Objects, PathType, PortRef};
use crate::plan::{Refusal, RequestHead, plan};
use crate::pool::Absence;
use crate::testing::*;

fn fence(allow: &[&str], owners: &[&str]) -> HostPolicy {
    HostPolicy {
        owners: owners.iter().map(|o| o.parse().unwrap()).collect(),
        allow: (!allow.is_empty()).then(|| allow.iter().map(|c| id(c)).collect()),
        ..HostPolicy::default()
    }
}

fn members(world: &World) -> Vec<usize> {
    world.snapshot.pools[0].members.iter().map(|m| m.endpoints.len()).collect()
}

// Sharing

#[test]
fn nothing_is_published_when_nothing_changed() {
    let mut world = world().shop([1, 1, 1]);
    let before = Arc::clone(&world.snapshot);
    world.compile();
    assert_eq!(world.snapshot.generation, before.generation);
    let objects = (*world.states[AZURE].objects).clone();
    world.states[AZURE].objects = Arc::new(objects);
    world.compile();
    assert_eq!(world.snapshot.generation, before.generation, "equal objects at another address are no change");
}

#[test]
fn an_endpoint_change_rebuilds_one_pool_and_keeps_the_routes() {
    let mut world = world().shop([2, 2, 2]);
    world.service(AWS, "shop/other", service()).endpoints(AWS, "shop/other", vec![endpoint(AWS, 100)]);
    world.ingress(AWS, "shop/other", ingress(&[("other.example.com", "/", "other")])).compile();
    let before = Arc::clone(&world.snapshot);
    world.endpoints(AZURE, "shop/web", vec![endpoint(AZURE, 0)]).compile();
    let after = &world.snapshot;
    assert_eq!(after.generation, before.generation + 1);
    assert!(Arc::ptr_eq(&after.routes, &before.routes));
    let kept = before.pools.iter().zip(&after.pools).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!((kept, after.pools.len()), (1, 2));
}

#[test]
fn cells_follow_the_pod_and_not_its_address() {
    let mut world = world().shop([2, 0, 0]);
    let cell = |world: &World, at: usize| Arc::clone(&world.snapshot.pools[0].members[AWS].endpoints[at].cell);
    let first = cell(&world, 0);
    let moved = crate::cluster::Endpoint { address: "10.0.0.99:8080".parse().unwrap(), ..endpoint(AWS, 0) };
    let reused = crate::cluster::Endpoint { uid: "another".into(), ..endpoint(AWS, 0) };
    world.endpoints(AWS, "shop/web", vec![reused, moved]).compile();
    assert!(!Arc::ptr_eq(&cell(&world, 0), &first), "the address was reused by another pod");
    assert!(Arc::ptr_eq(&cell(&world, 1), &first), "the pod moved and is still itself");
}

#[test]
fn cells_survive_a_new_order_of_clusters() {
    let mut world = world().shop([1, 1, 1]);
    let cell = Arc::clone(&world.snapshot.pools[0].members[GOOGLE].endpoints[0].cell);
    world.config.clusters.reverse();
    world.compile();
    assert!(Arc::ptr_eq(&world.snapshot.pools[0].members[0].endpoints[0].cell, &cell));
}

// Preferences

#[test]
fn the_most_specific_rule_names_the_tiers() {
    let mut world = world().shop([1, 1, 1]);
    let tiers = |names: &[&str]| -> causeway_config::Tiers { names.iter().map(|n| vec![id(n)]).collect() };
    world.config.geo.prefer = Preference {
        subdivisions: [("US-CA".parse().unwrap(), tiers(&["google"]))].into(),
        countries: [("US".parse().unwrap(), tiers(&["aws"]))].into(),
        continents: [("NA".parse().unwrap(), tiers(&["azure"])), ("EU".parse().unwrap(), tiers(&["azure", "google"]))].into(),
        default: Some(tiers(&["google"])),
    };
    world.compile();
    let order = |location: Option<crate::geo::Location>| -> Vec<usize> {
        let plan = world.plan("www.example.com", "/", location.as_ref(), 0);
        plan.tiers().iter().map(|tier| tier[0]).collect()
    };
    let california = crate::geo::Location { country: "US".parse().unwrap(), subdivision: Some("US-CA".parse().unwrap()) };
    assert_eq!(order(Some(california)), [GOOGLE, AWS, AZURE], "who is not named follows, nearest to this edge first");
    assert_eq!(order(country("US")), [AWS, AZURE, GOOGLE]);
    assert_eq!(order(country("CA")), [AZURE, AWS, GOOGLE]);
    assert_eq!(order(country("DE")), [AZURE, GOOGLE, AWS]);
    assert_eq!(order(country("BR")), [GOOGLE, AWS, AZURE]);
    assert_eq!(order(None), [AWS, AZURE, GOOGLE], "an unknown location counts as home");
}

#[test]
fn without_rules_the_nearest_come_first_and_near_equals_share_a_tier() {
    let mut world = world().shop([1, 1, 1]);
    world.edge.home = id("azure");
    world.config.clusters[GOOGLE].coordinates = Some(causeway_config::Coordinates { lat: 53.3, lon: -6.3 });
    world.snapshot = Arc::new(Snapshot::empty(Arc::new(world.config.clone())));
    world.compile();
    let plan = world.plan("www.example.com", "/", country("BR").as_ref(), 0);
    assert_eq!(plan.tiers(), [Box::from([AZURE]), Box::from([GOOGLE]), Box::from([AWS])], "Dublin is over 10 ms from Amsterdam");
}

#[test]
fn a_fenced_host_does_not_cross_in_plaintext_and_is_served_at_home() {
    let mut world = world().shop([1, 1, 1]);
    world.config.hosts.insert("www.example.com".parse().unwrap(), fence(&["aws", "azure"], &[]));
    world.compile();
    assert_eq!(world.plan("www.example.com", "/", None, 0).tiers(), [Box::from([AWS])]);
    world.config.clusters[AZURE].reach = causeway_config::Reach::Direct { plaintext: false };
    world.compile();
    assert_eq!(world.plan("www.example.com", "/", None, 0).tiers(), [Box::from([AWS]), Box::from([AZURE])]);
}

#[test]
fn a_fence_is_never_left_even_when_nobody_inside_can_serve() {
    let mut world = world().shop([5, 1, 5]);
    world.config.hosts.insert("www.example.com".parse().unwrap(), fence(&["azure"], &[]));
    world.endpoints(AZURE, "shop/web", Vec::new()).compile();
    for seed in 0..100 {
        assert!(world.plan("www.example.com", "/", country("US").as_ref(), seed).next(world.now).is_none());
    }
}
