//! What `deploy/kubernetes` ships: manifests that Kubernetes takes, rights that the code needs and no others, and clusters that
//! differ in their home only.

#![allow(clippy::unwrap_used)]

mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_discovery::kube::{Account, rbac};
use causeway_test_apiserver::{ApiServer, Options};
use k8s_openapi::api::{apps, core, rbac as roles};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder() -> PathBuf {
    root().join("deploy/kubernetes")
}

fn read(path: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(folder().join(path)).unwrap()).unwrap()
}

/// Every object that the base's kustomization lists.
fn objects() -> Vec<Value> {
    let kustomization = read("base/kustomization.yaml");
    let files = kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
    files
        .flat_map(|file| {
            let text = std::fs::read_to_string(folder().join("base").join(file)).unwrap();
            let documents = text.split("\n---\n").map(|document| serde_yaml::from_str::<Value>(document).unwrap());
            documents.collect::<Vec<_>>()
        })
        .collect()
}

fn object(kind: &str, name: &str) -> Value {
    objects().into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
}

fn clusters() -> Vec<String> {
    let text = std::fs::read(folder().join("base/causeway.yaml")).unwrap();
    let parsed = causeway_config::parse(&text, Path::new("causeway.yaml")).unwrap();
    assert_eq!(parsed.warnings, []);
    parsed.config.clusters.iter().map(|cluster| cluster.id.to_string()).collect()
}

/// Reads an object as Kubernetes' own type, which is made from its published schema, and writes it again. A field that the schema
/// does not have is lost on the way, and one of another type is refused.
fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error} in {object:#}"));
    serde_json::to_value(typed).unwrap()
}

#[test]
fn every_field_is_one_that_kubernetes_has() {
    for object in objects() {
        let again = match object["kind"].as_str().unwrap() {
            "Namespace" => through::<core::v1::Namespace>(&object),
            "ServiceAccount" => through::<core::v1::ServiceAccount>(&object),
            "Secret" => through::<core::v1::Secret>(&object),
            "ClusterRole" => through::<roles::v1::ClusterRole>(&object),
            "ClusterRoleBinding" => through::<roles::v1::ClusterRoleBinding>(&object),
            "DaemonSet" => through::<apps::v1::DaemonSet>(&object),
            "Service" => through::<core::v1::Service>(&object),
            other => panic!("no test knows the kind {other}"),
        };
        assert_eq!(object, again, "fields that Kubernetes does not know would be missing on the right");
    }
}

#[tokio::test]
async fn an_api_server_takes_every_object() {
    let server = ApiServer::start(Options::default()).await.unwrap();
    for object in objects() {
        server.put(object).unwrap();
    }
}

#[test]
fn the_rights_are_those_that_the_code_needs() {
    for (name, rules) in rbac::roles() {
        assert_eq!(object("ClusterRole", name)["rules"], json!(rules), "the rules of ClusterRole {name}");
        let role = json!({"apiGroup": rbac::API_GROUP, "kind": "ClusterRole", "name": name});
        let binding = object("ClusterRoleBinding", name);
        assert_eq!(binding["roleRef"], role);
        let subjects: Vec<_> = binding["subjects"].as_array().unwrap().iter().map(|subject| &subject["name"]).collect();
        assert_eq!(subjects, ["causeway", "causeway-remote"]);
    }
    let shipped = objects().into_iter().filter(|object| object["kind"] == "ClusterRole").count();
    assert_eq!(shipped, rbac::roles().len());
}

#[test]
fn the_remote_account_is_the_one_that_the_command_looks_for() {
    let account = Account { namespace: "causeway".into(), name: "causeway-remote".into(), namespaces: None };
    for wanted in
        account.objects().into_iter().filter(|object| ["ServiceAccount", "Secret"].contains(&object["kind"].as_str().unwrap()))
    {
        assert_eq!(object(wanted["kind"].as_str().unwrap(), wanted["metadata"]["name"].as_str().unwrap()), wanted);
    }
}

#[test]
fn clusters_differ_in_their_home_only() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if ["base", "hostnetwork"].contains(&&*name) {
            continue;
        }
        let files: Vec<_> = std::fs::read_dir(folder().join(&name)).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["kustomization.yaml"], "in {name}");
        let home = json!([{"name": "causeway-home", "literals": [format!("home={name}")]}]);
        let expected = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "causeway",
            "resources": ["../base"], "configMapGenerator": home,
        });
        assert_eq!(read(&format!("{name}/kustomization.yaml")), expected);
        found.insert(name);
    }
    assert_eq!(found, clusters().into_iter().collect());
}

#[test]
fn the_pod_has_what_the_edge_looks_for() {
    let daemon_set = object("DaemonSet", "causeway");
    let pod = &daemon_set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let text = std::fs::read(folder().join("base/causeway.yaml")).unwrap();
    let config = causeway_config::parse(&text, Path::new("causeway.yaml")).unwrap().config;
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].as_u64().unwrap()
    };
    assert_eq!(port("https"), u64::from(config.listen.https.bind[0].port()));
    assert_eq!(port("http"), u64::from(config.listen.http.as_ref().unwrap().bind[0].port()));
    assert_eq!(port("health"), u64::from(config.listen.health[0].port()));
    assert_eq!(port("peer"), u64::from(config.listen.peer.as_ref().unwrap()[0].port()));
    let mounts: BTreeMap<_, _> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| (mount["name"].as_str().unwrap(), Path::new(mount["mountPath"].as_str().unwrap())))
        .collect();
    assert_eq!(mounts["state"], config.state_dir.as_deref().unwrap());
    assert_eq!(mounts["run"], config.handover.as_ref().unwrap().socket.parent().unwrap());
    assert_eq!(mounts["config"], Path::new("/etc/causeway"), "where `causeway run` looks for causeway.yaml");
    let fleet = config.fleet.tls.as_ref().unwrap();
    for (file, entry) in [(&fleet.ca, "ca.crt"), (&fleet.cert, "tls.crt"), (&fleet.key, "tls.key")] {
        assert_eq!(*file, mounts["fleet"].join(entry), "as `causeway ca issue` names them");
    }
    let service = object("Service", "peer");
    for cluster in &config.clusters {
        let named = format!("{}/peer", service["metadata"]["namespace"].as_str().unwrap());
        assert_eq!(cluster.peers, causeway_config::Peers::Service(named.parse().unwrap()));
        let causeway_config::Source::ApiServer { kubeconfig: Some(kubeconfig), .. } = &cluster.source else { panic!() };
        assert_eq!(kubeconfig.path, mounts["kubeconfigs"].join(cluster.id.as_str()));
    }
    // Drain: 30 s in which load balancers notice, 60 s for what is under way.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 90);
}

/// An object of the base as the component for the nodes' own network leaves it.
fn on_the_host_network(kind: &str) -> Value {
    let mut patched = object(kind, "causeway");
    let component = read("hostnetwork/kustomization.yaml");
    let patch = component["patches"].as_array().unwrap().iter().find(|patch| patch["target"]["kind"] == kind).unwrap();
    let patch = read(&format!("hostnetwork/{}", patch["path"].as_str().unwrap()));
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}

#[test]
fn on_the_nodes_own_network_one_pod_can_follow_another() {
    let daemon_set = on_the_host_network("DaemonSet");
    assert_eq!(daemon_set, through::<apps::v1::DaemonSet>(&daemon_set));
    let service = on_the_host_network("Service");
    assert_eq!(service, through::<core::v1::Service>(&service));
    let pod = &daemon_set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    // With a declared port a node takes one pod only, and the update would have nowhere to begin.
    assert!(pod["hostNetwork"].as_bool().unwrap() && container["ports"].is_null());
    assert_eq!(daemon_set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], 1);
    // Whoever holds the sockets answers on the health port.
    let probes = ["readinessProbe", "livenessProbe", "startupProbe"].map(|probe| &container[probe]);
    assert!(probes.iter().all(|probe| probe["httpGet"].is_null() && probe["tcpSocket"].is_null()));
    assert_eq!(probes[0]["exec"]["command"], json!(["causeway", "ready"]));
    let instance = container["env"].as_array().unwrap().iter().find(|env| env["name"] == "CAUSEWAY_INSTANCE").unwrap();
    assert_eq!(instance["valueFrom"]["fieldRef"]["fieldPath"], "metadata.uid");
    // The two meet in a folder of the node.
    let volumes = pod["volumes"].as_array().unwrap();
    let run = volumes.iter().find(|volume| volume["name"] == "run").unwrap();
    assert!(run["hostPath"]["path"].is_string() && run["emptyDir"].is_null());
    let targets: Vec<_> = service["spec"]["ports"].as_array().unwrap().iter().map(|port| &port["targetPort"]).collect();
    assert!(targets.iter().all(|target| target.is_u64()), "{targets:?}");
}

/// kustomize itself, where it is at hand.
#[test]
fn kustomize_builds_every_cluster() {
    for cluster in clusters() {
        let Ok(built) = Command::new("kubectl").arg("kustomize").arg(folder().join(&cluster)).output() else {
            println!("NOT RUN: kubectl is not here to build deploy/kubernetes/{cluster}");
            return;
        };
        let text = String::from_utf8(built.stdout).unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let objects: Vec<Value> = text.split("\n---\n").map(|document| serde_yaml::from_str(document).unwrap()).collect();
        let kinds: BTreeSet<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert!(kinds.is_superset(&BTreeSet::from(["ConfigMap", "DaemonSet", "Namespace", "Service"])), "{kinds:?}");
        let home = objects.iter().find(|object| !object["data"]["home"].is_null()).unwrap();
        assert_eq!(home["data"]["home"], json!(cluster));
    }
}

/// How a folder is reached from another; both are absolute and without links.
fn from_to(from: &Path, to: &Path) -> PathBuf {
    let up: PathBuf = from.components().skip(1).map(|_| "..").collect();
    up.join(to.strip_prefix("/").unwrap())
}

#[test]
fn kustomize_lays_the_component_over_a_cluster() {
    let own = tempfile::tempdir().unwrap();
    let here = std::fs::canonicalize(own.path()).unwrap();
    let there = from_to(&here, &std::fs::canonicalize(folder()).unwrap());
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{0}/aws]\ncomponents: [{0}/hostnetwork]\n",
        there.display()
    );
    std::fs::write(here.join("kustomization.yaml"), text).unwrap();
    let Ok(built) = Command::new("kubectl").arg("kustomize").arg(&here).output() else {
        println!("NOT RUN: kubectl is not here to build deploy/kubernetes/hostnetwork");
        return;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let text = String::from_utf8(built.stdout).unwrap();
    let objects: Vec<Value> = text.split("\n---\n").map(|document| serde_yaml::from_str(document).unwrap()).collect();
    let built = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    assert_eq!(built["spec"]["template"]["spec"]["hostNetwork"], json!(true));
    let label = objects.iter().find(|object| object["kind"] == "Namespace").unwrap();
    assert_eq!(label["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
}
