//! The arrows between the crates, held by a test: docs/architecture.md says why they point where they do.
//!
//! Every rule is a function from a graph to what breaks it, so that each is shown twice: that this workspace keeps it, and
//! (in `broken`) that a workspace that breaks it is caught.

mod defaults;
mod graph;
mod named;

use graph::Graph;

/// Which of our crates each may be built with; a crate that is not listed here is one that nobody has thought about.
const ARROWS: &[(&str, &[&str])] = &[
    ("causeway-config", &[]),
    ("causeway-core", &["causeway-config"]),
    ("causeway-certs", &["causeway-config"]),
    ("causeway-discovery", &["causeway-config", "causeway-core"]),
    ("causeway", &["causeway-certs", "causeway-config", "causeway-core", "causeway-discovery"]),
    // It plays the other side, and so knows none of us.
    ("causeway-test-apiserver", &[]),
    ("causeway-simulation", &["causeway-config", "causeway-core"]),
    (
        "causeway-tests",
        &["causeway", "causeway-certs", "causeway-config", "causeway-core", "causeway-discovery", "causeway-test-apiserver"],
    ),
    // What Causeway is measured against, and so nothing of ours.
    ("causeway-bare-engine", &[]),
    ("causeway-benches", &["causeway", "causeway-certs", "causeway-config", "causeway-core", "causeway-discovery"]),
];

/// What the core must not be able to name: runtimes, clients, sockets, clusters and TLS.
const IMPURE: &[&str] = &["tokio", "async-std", "smol", "futures", "hyper", "h2", "rustls", "kube", "kube-client", "k8s-openapi"];

/// Crates whose types cross crates: two versions of one would be two types of one name that do not meet.
const SINGLE: &[&str] = &["kube", "kube-core", "k8s-openapi", "rustls", "rustls-pki-types", "hyper", "http", "tokio", "arc-swap"];

fn arrows_that_point_back(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for member in graph.members() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member) else {
            broken.push(format!("{member} has no line in ARROWS: say what it may depend on"));
            continue;
        };
        for arrow in graph.arrows(member).iter().filter(|arrow| !allowed.contains(arrow)) {
            broken.push(format!("{member} depends on {arrow}"));
        }
    }
    broken
}

fn users_of_the_binary(graph: &Graph) -> Vec<String> {
    let inner = graph.members().filter(|m| !["causeway", "causeway-tests", "causeway-benches"].contains(m));
    inner.filter(|m| graph.arrows_of_any_kind(m).contains("causeway")).map(str::to_owned).collect()
}

fn meetings_of_discovery_and_certs(graph: &Graph) -> Vec<String> {
    let pairs = [("causeway-discovery", "causeway-certs"), ("causeway-certs", "causeway-discovery")];
    let meets = |(a, b): &(&str, &str)| graph.closure(a).contains(b) || graph.arrows_of_any_kind(a).contains(b);
    pairs.iter().filter(|pair| meets(pair)).map(|(a, b)| format!("{a} reaches {b}")).collect()
}

fn impurities_of_the_core(graph: &Graph) -> Vec<String> {
    let impure = |name: &&str| IMPURE.contains(name) || name.starts_with("pingora") || name.starts_with("kube-");
    graph.closure("causeway-core").into_iter().filter(impure).map(str::to_owned).collect()
}

fn doubles(graph: &Graph) -> Vec<String> {
    let versions = SINGLE.iter().map(|name| (name, graph.versions(name)));
    versions.filter(|(_, v)| v.len() > 1).map(|(name, v)| format!("{name}: {}", v.join(", "))).collect()
}

#[track_caller]
fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn arrows_point_from_the_binary_to_config() {
    assert_none(&arrows_that_point_back(&Graph::of_this_workspace()));
}

#[test]
fn only_tests_and_benches_use_the_binary() {
    assert_none(&users_of_the_binary(&Graph::of_this_workspace()));
}

#[test]
fn discovery_and_certs_never_meet() {
    assert_none(&meetings_of_discovery_and_certs(&Graph::of_this_workspace()));
}

#[test]
fn the_core_cannot_name_a_runtime_a_client_or_the_engine() {
    assert_none(&impurities_of_the_core(&Graph::of_this_workspace()));
}

#[test]
fn crates_whose_types_cross_crates_have_one_version() {
    assert_none(&doubles(&Graph::of_this_workspace()));
}

/// Workspaces that break the rules.
mod broken {
    use serde_json::{Value, json};

    use super::*;

    /// Our crates, `extra` packages (name, version) and arrows (from, to, kind); ids are `name` or `name version`.
    fn workspace(extra: &[(&str, &str)], arrows: &[(&str, &str, Value)]) -> Graph {
        let members: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
        let ours = members.iter().map(|name| json!({"id": name, "name": name, "version": "0.1.0"}));
        let theirs = extra.iter().map(|(name, v)| json!({"id": format!("{name} {v}"), "name": name, "version": v}));
        let nodes =
            arrows.iter().map(|(from, to, kind)| json!({"id": from, "deps": [{"pkg": to, "dep_kinds": [{"kind": kind}]}]}));
        Graph::parse(&json!({
            "packages": ours.chain(theirs).collect::<Vec<_>>(),
            "workspace_members": members,
            "resolve": {"nodes": nodes.collect::<Vec<_>>()},
        }))
    }

    #[test]
    fn an_arrow_that_points_back_is_caught() {
        let graph = workspace(&[], &[("causeway-config", "causeway-core", Value::Null)]);
        assert_eq!(arrows_that_point_back(&graph), ["causeway-config depends on causeway-core"]);
    }

    #[test]
    fn a_dev_dependency_on_the_binary_is_caught() {
        let graph = workspace(&[], &[("causeway-core", "causeway", json!("dev"))]);
        assert_eq!(users_of_the_binary(&graph), ["causeway-core"]);
        assert!(arrows_that_point_back(&graph).is_empty(), "a dev-dependency is in no binary");
    }

    #[test]
    fn a_meeting_of_discovery_and_certs_behind_a_third_crate_is_caught() {
        let third = &[("go-between", "1.0.0")];
        let way = [("causeway-discovery", "go-between 1.0.0", Value::Null), ("go-between 1.0.0", "causeway-certs", Value::Null)];
        assert_eq!(meetings_of_discovery_and_certs(&workspace(third, &way)), ["causeway-discovery reaches causeway-certs"]);
    }

    #[test]
    fn a_runtime_deep_below_the_core_is_caught_and_one_in_its_tests_is_not() {
        let packages = &[("helper", "1.0.0"), ("tokio", "1.0.0")];
        let deep = [("causeway-core", "helper 1.0.0", Value::Null), ("helper 1.0.0", "tokio 1.0.0", Value::Null)];
        assert_eq!(impurities_of_the_core(&workspace(packages, &deep)), ["tokio"]);
        let tests_only = [("causeway-core", "tokio 1.0.0", json!("dev"))];
        assert!(impurities_of_the_core(&workspace(packages, &tests_only)).is_empty());
    }

    #[test]
    fn two_versions_of_one_crate_are_caught() {
        let graph = workspace(&[("http", "0.2.12"), ("http", "1.5.0")], &[]);
        assert_eq!(doubles(&graph), ["http: 0.2.12, 1.5.0"]);
    }
}
