//! What several clusters say of one thing becomes one.

use super::*;

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
