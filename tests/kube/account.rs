//! From the account that `causeway kubeconfig --print-rbac` prints to an edge that reads with its token.

use causeway_discovery::kube::{Access, Account, AccountError};
use causeway_test_apiserver::{ApiServer, Options};
use serde_json::json;

use crate::support::*;

fn account() -> Account {
    Account { namespace: "causeway".into(), name: "causeway-remote".into(), namespaces: None }
}

/// A server with the account, and the operator's access to it.
async fn server(folder: &tempfile::TempDir) -> (ApiServer, Access) {
    let _first_one_counts = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = ApiServer::start(Options::default()).await.unwrap();
    let path = folder.path().join("operator");
    server.write_kubeconfig("operator", &path).unwrap();
    (server, Access::Kubeconfig { path, context: None })
}

/// Does what the controller of a real server does: gives the account a token.
fn issue(server: &ApiServer) {
    server.admit("t0ken", "system:serviceaccount:causeway:causeway-remote");
    let mut secret = account().objects().into_iter().find(|object| object["kind"] == "Secret").unwrap();
    let authority = serde_json::to_value(k8s_openapi::ByteString(server.authority().into_bytes())).unwrap();
    secret["data"] = json!({"token": "dDBrZW4=", "ca.crt": authority});
    server.put(secret).unwrap();
}

#[tokio::test]
async fn what_is_written_is_enough_to_follow_the_cluster() {
    let folder = tempfile::TempDir::new().unwrap();
    let (server, operator) = server(&folder).await;
    for object in account().objects() {
        server.put(object).unwrap();
    }
    issue(&server);
    server.apply(&(service("shop/web") + &slice("shop/web", &["10.1.0.1"]))).unwrap();
    let text = account().kubeconfig(&operator, "azure", None).await.unwrap();
    std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    assert_eq!(services(&followed.synced().await), ["shop/web"]);
    let users: std::collections::BTreeSet<_> = followed.server.requests().into_iter().map(|request| request.user).collect();
    assert!(users.contains("system:serviceaccount:causeway:causeway-remote"), "{users:?}");
}

#[tokio::test]
async fn without_the_account_the_way_to_it_is_told() {
    let folder = tempfile::TempDir::new().unwrap();
    let (_server, operator) = server(&folder).await;
    let error = account().kubeconfig(&operator, "azure", None).await.unwrap_err();
    assert!(matches!(error, AccountError::NoSecret(_)));
    assert!(error.to_string().contains("causeway kubeconfig --print-rbac | kubectl apply -f -"), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_by_its_url_is_found_before_an_edge_finds_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let (server, operator) = server(&folder).await;
    issue(&server);
    let error = account().kubeconfig(&operator, "azure", Some("https://127.0.0.1:1")).await.unwrap_err().to_string();
    assert!(error.contains("does not work at https://127.0.0.1:1") && error.contains("--server"), "{error}");
}
