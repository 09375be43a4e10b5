#![allow(clippy::unwrap_used, clippy::float_cmp)]

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

// Merging

#[test]
fn an_ingress_in_one_cluster_is_served_with_endpoints_of_all() {
    let world = world().shop([1, 2, 3]);
    assert_eq!(world.served_by("www.example.com", "/").unwrap(), "aws shop/web shop/web:80");
    assert_eq!(members(&world), [1, 2, 3]);
}

#[test]
fn the_same_ingress_in_three_clusters_is_one_route_and_home_wins() {
    let mut world = world().shop([1, 1, 1]);
    let home = ingress(&[("www.example.com", "/", "web")]);
    world.ingress(AZURE, "shop/web", home.clone()).ingress(GOOGLE, "shop/web", home).compile();
    assert_eq!(world.snapshot.routes.hosts.len(), 1);
    assert_eq!(world.snapshot.pools.len(), 1);
    assert!(world.diagnostics.is_empty(), "{:?}", world.diagnostics);
    world.ingress(AZURE, "shop/web", ingress(&[("www.example.com", "/other", "web")])).compile();
    assert!(world.served_by("www.example.com", "/").unwrap().starts_with("aws"));
    assert!(world.says("azure: Ingress shop/web: spec.rules: it differs from the same Ingress in aws"));
}

#[test]
fn a_service_without_a_port_elsewhere_is_drift_and_brings_no_endpoints() {
    let mut world = world().shop([1, 1, 1]);
    let mut other = service();
    other.ports[0].port = 81;
    world.service(GOOGLE, "shop/web", other).compile();
    assert_eq!(members(&world), [1, 1, 0]);
    assert!(world.says("google: Service shop/web: spec.ports: it has no port 80 here"));
}

#[test]
fn kube_namespaces_and_excluded_ones_stay_at_home() {
    let mut world = world();
    for namespace in ["kube-system", "private"] {
        for cluster in [AWS, AZURE] {
            let at = format!("{namespace}/web");
            world.service(cluster, &at, service()).endpoints(cluster, &at, vec![endpoint(cluster, 0)]);
            let host = format!("{namespace}-{cluster}.example.com");
            world.ingress(cluster, &format!("{namespace}/web-{cluster}"), ingress(&[(&host, "/", "web")]));
        }
    }
    world.config.sameness.exclude = vec!["private".into()];
    world.compile();
    for namespace in ["kube-system", "private"] {
        assert!(world.served_by(&format!("{namespace}-0.example.com"), "/").is_some());
        assert!(world.served_by(&format!("{namespace}-1.example.com"), "/").is_none(), "azure's own matter");
    }
    assert!(world.snapshot.pools.iter().all(|p| p.members[AZURE].absence == Some(Absence::NotShared)));
}

#[test]
fn a_namespace_of_scope_cluster_keeps_what_is_in_it_at_home() {
    let mut world = world();
    world.service(AZURE, "shop/web", service()).ingress(AZURE, "shop/web", ingress(&[("www.example.com", "/", "web")])).compile();
    assert!(world.served_by("www.example.com", "/").is_some());
    let namespace = |scope| {
        move |objects: &mut Objects| {
            objects.namespaces.insert("shop".into(), Namespace { scope });
        }
    };
    world.objects(AZURE, namespace(Scope::Cluster)).compile();
    assert_eq!(world.served_by("www.example.com", "/"), None);
    world.objects(AZURE, namespace(Scope::Fleet)).compile();
    assert!(world.served_by("www.example.com", "/").is_some());
}

#[test]
fn a_service_of_scope_cluster_is_not_merged() {
    let mut world = world().shop([1, 1, 1]);
    world.service(AZURE, "shop/web", crate::cluster::Service { scope: Scope::Cluster, ..service() }).compile();
    assert_eq!(members(&world), [1, 0, 1]);
}

#[test]
fn a_cluster_that_is_off_loses_routes_and_endpoints() {
    let mut world = world().shop([1, 1, 1]);
    world.ingress(GOOGLE, "shop/asia", ingress(&[("asia.example.com", "/", "web")])).compile();
    assert!(world.served_by("asia.example.com", "/").is_some());
    world.config.clusters[GOOGLE].state = State::Off;
    world.compile();
    assert!(world.served_by("asia.example.com", "/").is_none());
    assert_eq!(members(&world), [1, 1, 0]);
}

#[test]
fn a_draining_cluster_serves_only_when_nobody_else_can() {
    let mut world = world().shop([1, 1, 0]);
    world.config.clusters[AWS].state = State::Drain;
    world.compile();
    assert_eq!(world.shares(None), [0.0, 1.0, 0.0]);
    world.endpoints(AZURE, "shop/web", Vec::new()).compile();
    assert_eq!(world.shares(None), [1.0, 0.0, 0.0]);
}

// Ingress

#[test]
fn ports_by_name_and_number_meet_in_one_pool() {
    let mut world = world().shop([1, 0, 0]);
    let mut by_name = ingress(&[("a.example.com", "/", "web")]);
    by_name.rules[0].backend = Ok(crate::cluster::ServiceRef { service: "web".into(), port: PortRef::Name("web".into()) });
    world.ingress(AWS, "shop/named", by_name).compile();
    assert_eq!(world.snapshot.pools.len(), 1);
}

#[test]
fn a_missing_service_or_port_is_an_error_with_a_remedy_and_a_503() {
    let mut world = world().shop([1, 1, 1]);
    let mut wrong = ingress(&[("a.example.com", "/", "nowhere"), ("b.example.com", "/", "web")]);
    wrong.rules[1].backend = Ok(service_ref("web", 8081));
    world.ingress(AWS, "shop/wrong", wrong).compile();
    assert!(world.says("Service shop/nowhere exists in no cluster; create the Service"));
    assert!(world.says("Service shop/web has no port 8081; it has 80 (`web`)"));
    let refused = plan(&world.snapshot, RequestHead { host: "a.example.com", path: "/" }, None, 0).unwrap_err();
    assert!(matches!(refused, Refusal::NoBackend(_)));
    assert!(world.served_by("www.example.com", "/").is_some(), "the rest serves on");
}

#[test]
fn an_external_name_is_refused() {
    let mut world = world().shop([1, 0, 0]);
    world.service(
        AWS,
        "shop/out",
        crate::cluster::Service {
            external_name: true,
            ports: service().ports,
            scope: Scope::Fleet,
            balancers: Vec::new(),
            tls: None,
        },
    );
    world.ingress(AWS, "shop/out", ingress(&[("out.example.com", "/", "out")])).compile();
    assert!(world.says("ExternalName"));
}

#[test]
fn classes_by_name_by_controller_by_annotation_and_by_default() {
    let class = |name: Option<&str>, legacy: Option<&str>| {
        let mut made = ingress(&[("x.example.com", "/", "web")]);
        (made.class, made.legacy_class) = (name.map(Into::into), legacy.map(Into::into));
        made
    };
    let with = |controller: &str, default: bool| Some(IngressClass { controller: controller.into(), default });
    for (made, object, served) in [
        (class(Some("traefik"), None), None, true),
        (class(Some("nginx"), None), None, false),
        (class(None, Some("traefik")), None, true),
        (class(None, Some("nginx")), None, false),
        (class(Some("nginx"), Some("traefik")), None, false),
        (class(Some("edge"), None), with("causeway.dev/ingress-controller", false), true),
        (class(Some("edge"), None), with("example.com/other", false), false),
        (class(None, None), None, false),
        (class(None, None), with("causeway.dev/ingress-controller", true), true),
        (class(None, None), with("example.com/other", true), false),
    ] {
        let mut world = world().shop([1, 0, 0]);
        if let Some(object) = object {
            Arc::make_mut(&mut world.states[AWS].objects).ingress_classes.insert("edge".into(), object);
        }
        let case = format!("{made:?}");
        world.ingress(AWS, "shop/x", made).compile();
        assert_eq!(world.served_by("x.example.com", "/").is_some(), served, "{case}");
    }
}

#[test]
fn a_default_backend_takes_what_its_own_hosts_do_not_match() {
    let mut world = world().shop([1, 0, 0]);
    world.service(AWS, "shop/fallback", service());
    let mut partial = ingress(&[("a.example.com", "/api", "web")]);
    partial.default_backend = Some(service_ref("fallback", 80));
    world.ingress(AWS, "shop/a", partial).compile();
    assert!(world.served_by("a.example.com", "/other").unwrap().ends_with("shop/fallback:80"));
    assert!(world.served_by("a.example.com", "/api").unwrap().ends_with("shop/web:80"));
    assert!(world.served_by("unknown.example.com", "/").is_none());

    let mut bare = ingress(&[]);
    bare.default_backend = Some(service_ref("fallback", 80));
    bare.bare_hosts = vec!["www.example.com".parse().unwrap(), "bare.example.com".parse().unwrap()];
    world.ingress(AWS, "shop/aaa", bare).compile();
    assert!(world.served_by("bare.example.com", "/x").unwrap().ends_with("shop/fallback:80"));
    assert!(world.served_by("www.example.com", "/x").unwrap().ends_with("shop/web:80"), "an explicit rule comes first");
    assert!(world.served_by("unknown.example.com", "/").is_none(), "rules that were refused make no catch-all");

    let mut catch_all = ingress(&[]);
    catch_all.default_backend = Some(service_ref("fallback", 80));
    catch_all.bare_hosts = vec![causeway_config::HostPattern::Any];
    world.ingress(AWS, "shop/all", catch_all).compile();
    assert!(world.served_by("unknown.example.com", "/").unwrap().ends_with("shop/fallback:80"));
}

#[test]
fn exact_paths_come_before_prefixes_across_ingresses() {
    let mut world = world().shop([1, 0, 0]);
    world.service(AWS, "shop/exact", service());
    let mut exact = ingress(&[("www.example.com", "/login", "exact")]);
    exact.rules[0].path_type = PathType::Exact;
    world.ingress(AWS, "shop/zz", exact).compile();
    assert!(world.served_by("www.example.com", "/login").unwrap().ends_with("shop/exact:80"));
    assert!(world.served_by("www.example.com", "/login/").unwrap().ends_with("shop/web:80"));
}

#[test]
fn two_rules_for_one_path_the_oldest_serves_and_the_other_is_told() {
    let mut world = world().shop([1, 0, 0]);
    let mut newer = ingress(&[("www.example.com", "/", "web")]);
    newer.created = 100;
    world.ingress(AWS, "shop/aaa", newer).compile();
    assert!(world.served_by("www.example.com", "/").unwrap().starts_with("aws shop/web "));
    assert!(
        world.says("Ingress shop/aaa: spec.rules (host www.example.com, path /): Ingress shop/web in aws has this rule already")
    );
}

// Trust

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

// Certificates

#[test]
fn a_secret_serves_only_hosts_that_its_namespace_may_route_there() {
    let mut world = world().shop([1, 1, 1]);
    let mut with_tls = ingress(&[("www.example.com", "/", "web"), ("bank.example.com", "/", "web")]);
    with_tls.tls = vec![crate::cluster::IngressTls { hosts: Vec::new(), secret: Some("cert".into()) }];
    world.ingress(AWS, "shop/web", with_tls.clone()).ingress(AZURE, "shop/web", with_tls);
    world.config.hosts.insert("bank.example.com".parse().unwrap(), fence(&[], &["azure/shop"]));
    world.compile();
    let uses: Vec<String> =
        world.snapshot.secrets.iter().map(|s| format!("{} {} {:?}", s.cluster, s.secret, s.hosts.len())).collect();
    assert_eq!(uses, ["aws shop/cert 1", "azure shop/cert 2", "google shop/cert 1"]);
}

#[test]
fn a_secret_never_serves_a_host_that_its_ingress_does_not_route_or_that_is_anothers() {
    let mut world = world().shop([1, 1, 1]);
    world.ingress(AWS, "bank/web", ingress(&[("bank.example.com", "/", "web")]));
    let thief = |rules: &[(&str, &str, &str)], tls: &[&str]| {
        let hosts = tls.iter().map(|h| h.parse().unwrap()).collect();
        crate::cluster::Ingress { tls: vec![crate::cluster::IngressTls { hosts, secret: Some("evil".into()) }], ..ingress(rules) }
    };
    let uses = |world: &World| -> Vec<String> {
        let uses = world.snapshot.secrets.iter().filter(|s| s.cluster == id("aws"));
        uses.map(|s| format!("{} {:?} but {:?}", s.secret, s.hosts, s.except)).collect()
    };
    world
        .ingress(AWS, "thief/web", thief(&[("mine.example.com", "/", "web")], &["*", "*.example.com", "bank.example.com"]))
        .compile();
    assert_eq!(uses(&world), [r#"thief/evil [Exact("mine.example.com")] but []"#]);
    world.ingress(AWS, "thief/web", thief(&[("*.example.com", "/", "web")], &[])).compile();
    assert_eq!(
        uses(&world),
        [r#"thief/evil [Wildcard("example.com")] but [Exact("bank.example.com"), Exact("www.example.com")]"#]
    );
    let catch_all = crate::cluster::Ingress {
        default_backend: Some(service_ref("web", 80)),
        bare_hosts: vec![causeway_config::HostPattern::Any],
        ..thief(&[], &[])
    };
    world.ingress(AWS, "thief/web", catch_all).compile();
    assert_eq!(uses(&world), [r#"thief/evil [Any] but [Exact("bank.example.com"), Exact("www.example.com")]"#]);
}

#[test]
fn a_key_that_must_stay_inside_the_fence_is_not_asked_for_outside() {
    let mut world = world().shop([1, 1, 1]);
    let mut with_tls = ingress(&[("bank.example.com", "/", "web")]);
    with_tls.tls =
        vec![crate::cluster::IngressTls { hosts: vec!["bank.example.com".parse().unwrap()], secret: Some("cert".into()) }];
    world.ingress(AZURE, "bank/web", with_tls);
    let policy = HostPolicy { terminate: Terminate::Inside, ..fence(&["azure"], &[]) };
    world.config.hosts.insert("bank.example.com".parse().unwrap(), policy);
    world.compile();
    assert!(world.snapshot.secrets.is_empty());
    assert!(world.snapshot.policies.of_host("bank.example.com").tls.elsewhere);
    world.edge.home = id("azure");
    world.snapshot = Arc::new(Snapshot::empty(Arc::new(world.config.clone())));
    world.compile();
    assert!(!world.snapshot.secrets.is_empty());
    assert!(!world.snapshot.policies.of_host("bank.example.com").tls.elsewhere);
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
