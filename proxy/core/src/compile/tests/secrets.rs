//! Which certificates are asked for, and for whom.

use super::*;

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
