//! An edge as in a pod: its home is read by the service account that Kubernetes puts into the pod's files.

use std::path::Path;
use std::time::Duration;

use causeway::app::{App, Options};
use causeway_test_apiserver::{ApiServer, TOKEN};
use causeway_tests::{Answer, Client, Origin};

use crate::edges::{PATIENCE, WWW, ingress, service, slice};
use crate::network;

const TEST: &str = "pod::home_is_read_by_the_service_account_whose_token_and_authority_change";

/// Where Kubernetes puts them.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API server is, which a pod is told by its environment. In a network of our own every port is free.
const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 6443);

/// Tokens of pods live for an hour, and the kubelet writes new ones in time; authorities change, too.
#[test]
fn home_is_read_by_the_service_account_whose_token_and_authority_change() {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(in_a_pod());
    }
    let Some(mut command) = network::pod(&std::env::current_exe().unwrap()) else {
        println!("NOT RUN: nothing like a pod can be made here, for want of mount and network namespaces");
        return;
    };
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", SERVER.1.to_string());
    let status = command.args([TEST, "--exact", "--nocapture"]).status().unwrap();
    assert!(status.success(), "{status}");
}

async fn in_a_pod() {
    let options = causeway_test_apiserver::Options { bind: SERVER.into(), ..Default::default() };
    let server = ApiServer::start(options).await.unwrap();
    let origin = Origin::start_at(network::pods_of(0), |_| Answer::ok("pod")).await;
    server.apply(&(service("web") + &slice("web", &[origin.address]) + &ingress("web", WWW))).unwrap();
    account(&server, TOKEN);
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("causeway.yaml");
    let listen = "listen: {http: {bind: '127.0.0.1:0'}, https: {bind: '127.0.0.1:0'}, health: {bind: '127.0.0.1:0'}, \
                  admin: {bind: '127.0.0.1:0'}}";
    std::fs::write(&config, format!("{listen}\nstateDir: ./state\nclusters: {{aws: {{}}}}\n")).unwrap();
    let edge = App::start(Options { config, home: "aws".into() }).unwrap();
    until_served(&edge, WWW).await;

    server.admit("second", "system:serviceaccount:causeway:causeway");
    account(&server, "second");
    server.revoke(TOKEN);
    server.close_watches();
    server.apply(&ingress("token", "token.example.com")).unwrap();
    until_served(&edge, "token.example.com").await;

    server.renew_certificate().unwrap();
    server.restart().await.unwrap();
    account(&server, "second");
    server.apply(&ingress("authority", "authority.example.com")).unwrap();
    until_served(&edge, "authority.example.com").await;
    assert!(server.requests().iter().any(|request| request.user == "system:serviceaccount:causeway:causeway"));
}

fn account(server: &ApiServer, token: &str) {
    std::fs::write(Path::new(ACCOUNT).join("token"), token).unwrap();
    std::fs::write(Path::new(ACCOUNT).join("ca.crt"), server.authority()).unwrap();
    std::fs::write(Path::new(ACCOUNT).join("namespace"), "causeway").unwrap();
}

async fn until_served(edge: &App, host: &str) {
    let served = async {
        while Client::h1(edge.addresses().https[0], host).await.get(host, "/").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap_or_else(|_| panic!("{host} is not served"));
}
