//! Whether a server takes the objects of `deploy/kubernetes`: asked by server-side dry run, which changes nothing.

use std::path::Path;

use causeway_test_apiserver::{Kind, documents};
use serde_json::{Value, json};

use crate::edges::{CLUSTERS, NAMESPACE};
use crate::place::everywhere;

#[test]
fn a_server_would_take_every_manifest() {
    everywhere("manifests::a_server_would_take_every_manifest", async |kind: Kind| {
        let folder = tempfile::TempDir::new().unwrap();
        let cluster = kind.start(0, CLUSTERS[0], &folder.path().join("kubeconfig")).await.unwrap();
        let place = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        cluster.access().apply_all(vec![place], false).await.unwrap();
        let objects = shipped();
        let taken = cluster.access().dry_run(objects.clone()).await.unwrap();
        assert_eq!(taken.len(), objects.len());
        for object in &taken {
            println!("{}: {} {}", kind.name(), object["kind"], object["metadata"]["name"]);
        }
        if kind == Kind::StandIn {
            println!("the stand-in has no schemas: they are held against Kubernetes' own elsewhere");
            assert!(cluster.stand_in().unwrap().objects("daemonsets").is_empty(), "a dry run wrote something");
        }
    });
}

/// The objects, in a namespace that is there: a dry run makes none.
fn shipped() -> Vec<Value> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/base");
    let kustomization: Value = serde_yaml::from_str(&std::fs::read_to_string(base.join("kustomization.yaml")).unwrap()).unwrap();
    let files = kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
    let mut all: Vec<_> = files.flat_map(|file| documents(&std::fs::read_to_string(base.join(file)).unwrap()).unwrap()).collect();
    for object in &mut all {
        if object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = NAMESPACE.into();
        }
    }
    all
}
