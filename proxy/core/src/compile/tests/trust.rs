//! Who may route, serve and be reached.

use super::*;

#[test]
fn the_first_namespace_that_claims_a_host_keeps_it() {
    let mut world = world().shop([1, 0, 0]);
    world.service(AZURE, "thief/web", service());
    world.ingress(AZURE, "thief/web", ingress(&[("www.example.com", "/steal", "web")])).compile();
    assert!(world.served_by("www.example.com", "/steal").unwrap().starts_with("aws shop/web"));
    assert!(world.says("azure: Ingress thief/web: spec.rules (host www.example.com): www.example.com belongs to namespace shop"));
}

#[test]
fn owners_decide_whatever_the_order() {
    let mut world = world().shop([1, 1, 0]);
    world.service(AZURE, "bank/web", service()).ingress(AZURE, "bank/web", ingress(&[("bank.example.com", "/", "web")]));
    world.ingress(AWS, "shop/fake", ingress(&[("bank.example.com", "/", "web")]));
    world.config.hosts.insert("bank.example.com".parse().unwrap(), fence(&[], &["azure/bank"]));
    world.compile();
    assert!(world.served_by("bank.example.com", "/").unwrap().starts_with("azure bank/web"));
    assert!(world.says("aws/shop is not an owner of bank.example.com"));
}

#[test]
fn a_version_whose_claims_are_refused_does_not_shadow_one_that_is_entitled() {
    let mut world = world().shop([1, 1, 0]);
    world.service(AWS, "bank/web", service()).service(AZURE, "bank/web", service());
    for cluster in [AWS, AZURE] {
        world.ingress(cluster, "bank/web", ingress(&[("bank.example.com", "/", "web")]));
    }
    world.config.hosts.insert("bank.example.com".parse().unwrap(), fence(&[], &["azure/bank"]));
    world.compile();
    assert!(world.served_by("bank.example.com", "/").unwrap().starts_with("azure bank/web"));
}

#[test]
fn a_version_that_says_nothing_of_an_owned_host_does_not_take_it_away() {
    let mut world = world().shop([1, 1, 0]);
    world.service(AWS, "bank/web", service()).service(AZURE, "bank/web", service());
    world.ingress(AWS, "bank/web", ingress(&[("junk.example.com", "/", "web")]));
    world.ingress(AZURE, "bank/web", ingress(&[("bank.example.com", "/", "web"), ("junk.example.com", "/old", "web")]));
    world.config.hosts.insert("bank.example.com".parse().unwrap(), fence(&[], &["azure/bank"]));
    world.compile();
    assert!(world.served_by("bank.example.com", "/").unwrap().starts_with("azure bank/web"));
    assert!(world.served_by("junk.example.com", "/old").unwrap().starts_with("aws bank/web"), "home's version wins whole");
}

#[test]
fn a_version_that_lost_claims_nothing() {
    let mut world = world().shop([1, 1, 0]);
    world.ingress(AZURE, "shop/web", ingress(&[("www.example.com", "/", "web"), ("old.example.com", "/", "web")]));
    world.service(AZURE, "new/web", service()).ingress(AZURE, "new/web", ingress(&[("old.example.com", "/", "web")])).compile();
    assert!(world.served_by("old.example.com", "/").unwrap().starts_with("azure new/web"));
}

#[test]
fn a_cluster_claims_only_what_it_may_serve() {
    let mut world = world().shop([1, 0, 0]);
    world.config.clusters[GOOGLE].may_serve = Some(vec!["*.asia.example.com".parse().unwrap()]);
    world
        .ingress(GOOGLE, "asia/web", ingress(&[("shop.asia.example.com", "/", "web"), ("other.example.com", "/", "web")]))
        .compile();
    assert_ne!(
        plan(&world.snapshot, RequestHead { host: "shop.asia.example.com", path: "/" }, None, 0).err(),
        Some(Refusal::UnknownHost)
    );
    assert_eq!(
        plan(&world.snapshot, RequestHead { host: "other.example.com", path: "/" }, None, 0).unwrap_err(),
        Refusal::UnknownHost
    );
    assert!(world.says("cluster google may not serve other.example.com"));
}

#[test]
fn strict_hosts_refuses_what_is_not_declared() {
    let mut world = world().shop([1, 0, 0]);
    world.config.strict_hosts = true;
    world.compile();
    assert!(world.served_by("www.example.com", "/").is_none());
    assert!(world.says("www.example.com is not declared, and strictHosts is on"));
    world.config.hosts.insert("*.example.com".parse().unwrap(), HostPolicy::default());
    world.compile();
    assert!(world.served_by("www.example.com", "/").is_some());
}

#[test]
fn a_wildcard_route_does_not_get_around_a_declared_hosts_owners_or_fence() {
    let mut world = world().shop([1, 1, 1]);
    world.ingress(AWS, "shop/wild", ingress(&[("*.example.com", "/", "web")]));
    world.config.hosts.insert("bank.example.com".parse().unwrap(), fence(&["azure"], &["azure/bank"]));
    world.config.hosts.insert("fenced.example.com".parse().unwrap(), fence(&["aws"], &[]));
    world.compile();
    assert!(world.served_by("other.example.com", "/").is_some());
    let bank = plan(&world.snapshot, RequestHead { host: "bank.example.com", path: "/" }, None, 0);
    assert_eq!(bank.unwrap_err(), Refusal::UnknownPath);
    assert_eq!(world.plan("fenced.example.com", "/", None, 0).tiers(), [Box::from([AWS])]);
}

#[test]
fn addresses_that_no_pod_can_have_are_refused_and_told_once() {
    let at =
        |address: &str| crate::cluster::Endpoint { address: address.parse().unwrap(), uid: address.into(), ..endpoint(AWS, 0) };
    for address in [
        "127.0.0.1:8080",
        "169.254.169.254:80",
        "[fe80::1]:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:169.254.169.254]:80",
        "[fd00:ec2::254]:80",
        "168.63.129.16:80",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "10.9.9.9:443",
        "192.0.2.1:8080",
    ] {
        let mut world = world().shop([1, 0, 0]);
        world.endpoints(AWS, "shop/web", vec![at(address), at(address), endpoint(AWS, 7)]).compile();
        assert_eq!(members(&world)[AWS], 1, "{address}");
        assert!(world.says("is refused: it is"), "{address}");
        assert!(world.says("and 1 more; correct the endpoint"), "{address}");
    }
}

#[test]
fn loopback_is_taken_where_it_is_allowed_but_never_this_edge_itself() {
    let mut world = world().shop([0, 0, 0]);
    world.config.clusters[AWS].allow_loopback = true;
    world.config.clusters[AWS].pod_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    let at =
        |address: &str| crate::cluster::Endpoint { address: address.parse().unwrap(), uid: address.into(), ..endpoint(AWS, 0) };
    world.endpoints(AWS, "shop/web", vec![at("127.0.0.1:8080"), at("127.0.0.1:443")]).compile();
    assert_eq!(members(&world)[AWS], 1);
    assert!(world.says("127.0.0.1:443 is refused: it is this edge itself"));
}

#[test]
fn a_cluster_reached_by_peer_edges_is_told_and_not_used() {
    let mut world = world().shop([1, 1, 1]);
    world.config.clusters[GOOGLE].reach = causeway_config::Reach::Edge;
    world.config.clusters[AZURE].reach = causeway_config::Reach::Direct { plaintext: false };
    world.compile();
    assert_eq!(members(&world), [1, 0, 0], "plain HTTP does not cross without leave either");
    assert!(world.says("clusters.google.reach"));
}
