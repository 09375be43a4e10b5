//! Ingresses as routes.

use super::*;

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
