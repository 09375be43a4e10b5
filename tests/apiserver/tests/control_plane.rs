//! What starts and torments real control planes, tried on programs that only take their arguments: what can be known of it where
//! there is no kube-apiserver.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use causeway_test_apiserver::{Access, Kind, Server, documents};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: web}\nspec: {ports: [{port: 80}]}\n";

/// A folder with `etcd` and `kube-apiserver`, which are this crate's own program.
fn assets(folder: &Path) {
    for (name, command) in [("etcd", "fake-etcd"), ("kube-apiserver", "fake-kube-apiserver")] {
        let path = folder.join(name);
        let program = env!("CARGO_BIN_EXE_causeway-test-apiserver");
        std::fs::write(&path, format!("#!/bin/sh\nexec '{program}' {command} -- \"$@\"\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn a_control_plane_starts_suffers_and_keeps_its_objects() {
    let folder = tempfile::TempDir::new().unwrap();
    assets(folder.path());
    let kubeconfig = folder.path().join("kubeconfig");
    let mut cluster = Kind::Real(folder.path().into()).start(0, "aws", &kubeconfig).await.unwrap();
    let access = Access::new(&kubeconfig).await.unwrap();
    access.apply(SERVICE).await.unwrap();
    let Server::Real(server) = &mut cluster.server else { unreachable!("it was asked for") };
    server.kill_etcd().await.unwrap();
    server.start_etcd().await.unwrap();
    server.freeze(true).await.unwrap();
    let frozen = tokio::time::timeout(std::time::Duration::from_millis(300), access.version()).await;
    assert!(frozen.is_err(), "a stopped process answered: {frozen:?}");
    server.freeze(false).await.unwrap();
    access.version().await.unwrap();
    server.compact().await.unwrap();
    server.stop().await.unwrap();
    assert!(access.version().await.is_err());
    server.start_again().await.unwrap();
    let again = access.dry_run(documents(SERVICE).unwrap()).await.unwrap();
    assert_eq!(again[0]["metadata"]["namespace"], "shop");
    assert!(again[0]["metadata"]["uid"].is_string(), "the Service is there no more: {again:?}");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let started = Kind::Real(folder.path().into()).start(0, "aws", &folder.path().join("kubeconfig")).await;
    let error = format!("{:#}", started.err().unwrap());
    assert!(error.contains("etcd cannot be started; KUBEBUILDER_ASSETS names a folder"), "{error}");
}
