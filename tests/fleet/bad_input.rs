//! Bad input, while an edge serves: it is told with object, field and remedy, and nothing is lost.

use causeway::app::{App, Options};
use causeway_tests::fleet::{configuration, ingress, service};

use super::{WWW, ask, shop};

/// What is written into a cluster's folder, and what `/diagnostics` must say of it.
fn manifests() -> Vec<(&'static str, &'static str, String, Vec<&'static str>)> {
    let bomb: Vec<_> = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}]", n - 1)).collect();
    let bomb = bomb.join("\n");
    let ten_megabytes = format!("{}# {}\n", service("shop/big", &[]), "x".repeat(20 << 20));
    vec![
        ("broken YAML", "azure/bad.yaml", "kind: Service\n  metadata: [\n".into(), vec!["bad.yaml", "line 2", "remedy"]),
        (
            "a missing Service",
            "azure/bad.yaml",
            ingress("shop/bad", "a.example.com", "nowhere", ""),
            vec![
                "Ingress shop/bad",
                "spec.rules (host a.example.com, path /)",
                "Service shop/nowhere exists in no cluster",
                "create the Service",
            ],
        ),
        (
            "a missing port",
            "azure/bad.yaml",
            ingress("shop/bad", "a.example.com", "web", "").replace("number: 80", "number: 81"),
            vec!["Ingress shop/bad", "Service shop/web has no port 81; it has 80", "correct the backend's port"],
        ),
        (
            "another's host",
            "google/bad.yaml",
            ingress("thief/bad", WWW, "web", ""),
            vec!["Ingress thief/bad", "host www.example.com", "belongs to namespace shop", "declare the host's `owners`"],
        ),
        (
            "a conflict between clusters",
            "aws/bad.yaml",
            ingress("shop/aaa", WWW, "web", ""),
            vec!["Ingress shop/web", "has this rule already", "remove one of the two rules"],
        ),
        (
            "duplicate keys",
            "azure/bad.yaml",
            "kind: Service\nkind: Service\n".into(),
            vec!["bad.yaml", "line 2, column 1", "for the second time", "remove one of the two"],
        ),
        ("anchors that explode", "azure/bad.yaml", format!("a0: &a0 x\n{bomb}"), vec!["bad.yaml", "remedy"]),
        ("twenty megabytes", "azure/bad.yaml", ten_megabytes, vec!["bad.yaml", "16 MiB"]),
        (
            "a Secret that does not exist",
            "azure/bad.yaml",
            ingress("shop/bad", "a.example.com", "web", "  tls: [{secretName: gone}]\n"),
            vec!["Secret shop/gone", "no cluster has it", "kubectl create secret tls"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_a_manifest_is_told_and_what_was_served_is_served_on() {
    let (fleet, _origins) = shop("", vec![]).await;
    for (what, file, text, parts) in manifests() {
        println!("{what}");
        fleet.write(file, text);
        for part in parts {
            fleet.until_admin_says("/diagnostics", part).await;
        }
        assert_eq!(ask(&fleet, WWW, "192.0.2.1").await.0, 200, "{what}");
        fleet.remove(file);
        fleet.until_admin_says("/diagnostics", "[]").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_configuration_is_refused_whole_and_the_old_one_serves_on() {
    let (fleet, _origins) = shop("", vec![]).await;
    let refused = "causeway_reloads_total{what=\"config\",result=\"error\"}";
    let faulty = [
        ("broken YAML", "clusters: [\n".to_owned()),
        ("an unknown field", configuration("oops: 1\n")),
        ("a network twice", configuration("geo: {networks: {10.0.0.0/8: DE, 10.0.0.0/08: US}}\n")),
        ("duplicate keys", configuration("strictHosts: true\nstrictHosts: false\n")),
        ("ten megabytes", configuration(&format!("# {}\n", "x".repeat(10 << 20)))),
        ("without home", configuration("").replace("  aws:", "  amazon:")),
        ("empty", String::new()),
    ];
    for (number, (what, text)) in faulty.into_iter().enumerate() {
        println!("{what}");
        fleet.write("causeway.yaml", text);
        fleet.until_metric(refused, (number + 1) as f64).await;
        assert_eq!(ask(&fleet, WWW, "192.0.2.1").await.0, 200, "{what}");
    }
    fleet.write("causeway.yaml", configuration("responses: {servedBy: false}\n"));
    fleet.until_metric("causeway_reloads_total{what=\"config\",result=\"ok\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_names_listener_address_and_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("causeway.yaml");
    std::fs::write(&file, configuration("").replacen("https: {bind: '127.0.0.1:0'", &format!("https: {{bind: '{address}'"), 1))
        .unwrap();
    let error = App::start(Options { config: file, home: "aws".into() }).err().expect("the port is taken").to_string();
    assert!(error.contains("listen.https") && error.contains(&address) && error.contains("choose another port"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_starts_without_its_geo_database_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("country.mmdb");
    std::fs::write(&database, "not a database").unwrap();
    let (fleet, _origins) = shop(&format!("geo: {{database: {}}}\n", database.display()), vec![]).await;
    assert_eq!(ask(&fleet, WWW, "192.0.2.1").await, (200, "aws".to_owned()));
    assert!(fleet.metric("causeway_reloads_total{what=\"geo\",result=\"error\"}").await >= 1.0);
}
