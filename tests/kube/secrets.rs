//! Which Secrets are read, and how.

use std::collections::BTreeSet;

use causeway_discovery::Update;
use causeway_discovery::translate::{Key, Kind};
use causeway_test_apiserver::{ApiServer, Options};

use crate::support::*;

fn secret(name: &str, kind: &str, certificate: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    // `c` and `k` in base64, as the real server keeps it.
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{namespace: {namespace}, name: {name}}}\ntype: {kind}\ndata: {{tls.crt: {certificate}, tls.key: aw==}}\n"
    )
}

fn all() -> String {
    secret("shop/web-tls", "kubernetes.io/tls", "Yw==")
        + &secret("shop/other-tls", "kubernetes.io/tls", "Yw==")
        + &secret("shop/opaque", "Opaque", "Yw==")
        + &service("shop/web")
}

async fn until_secrets(followed: &mut Followed, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|n| name(n)).collect();
    let names = |update: &Update| update.secrets.keys().map(|(_, key)| key.name.clone()).collect::<BTreeSet<_>>();
    followed.until_update("the Secrets", |update| names(update) == expected).await;
}

fn certificate(followed: &Update, of: &str) -> Vec<u8> {
    let secret = &followed.secrets[&(cluster(), Key::secret(name(of)))];
    secret.certificate_pair().unwrap().certificate.expose().to_vec()
}

#[tokio::test]
async fn only_wanted_secrets_leave_and_only_tls_ones_are_listed() {
    let mut followed = Followed::new(&all()).await;
    followed.synced().await;
    followed.want(&["shop/web-tls"]);
    until_secrets(&mut followed, &["shop/web-tls"]).await;
    followed.want(&["shop/web-tls", "shop/opaque", "shop/missing"]);
    until_secrets(&mut followed, &["shop/web-tls", "shop/opaque"]).await;
    followed.want(&["shop/opaque"]);
    until_secrets(&mut followed, &["shop/opaque"]).await;
    let requests = followed.server.requests();
    let bulk = requests.iter().filter(|r| r.path == "/api/v1/secrets");
    assert!(bulk.clone().count() > 0 && bulk.clone().all(|r| r.query["fieldSelector"] == "type=kubernetes.io/tls"));
    assert!(!requests.iter().any(|r| r.path.ends_with("/other-tls")), "a Secret that nobody wants was asked for");
}

#[tokio::test]
async fn a_renewed_certificate_arrives_by_watch_and_by_name() {
    let mut followed = Followed::new(&all()).await;
    followed.want(&["shop/web-tls", "shop/opaque"]);
    followed.synced().await;
    until_secrets(&mut followed, &["shop/web-tls", "shop/opaque"]).await;
    for (of, kind) in [("shop/web-tls", "kubernetes.io/tls"), ("shop/opaque", "Opaque")] {
        followed.server.apply(&secret(of, kind, "bmV3")).unwrap();
        followed.until_update("the renewal", |update| certificate(update, of) == b"new").await;
    }
    followed.server.delete("secrets", "shop", "opaque").unwrap();
    until_secrets(&mut followed, &["shop/web-tls"]).await;
}

#[tokio::test]
async fn an_account_that_may_not_list_secrets_gets_them_by_name() {
    let server = ApiServer::start(Options::default()).await.unwrap();
    server.apply(&all()).unwrap();
    server.deny("secrets", &["list", "watch"]);
    let folder = tempfile::TempDir::new().unwrap();
    server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    followed.want(&["shop/web-tls"]);
    let state = followed.synced().await;
    assert_eq!(diagnostics(&state), "", "this is no fault");
    until_secrets(&mut followed, &["shop/web-tls"]).await;
    // And where not even that is allowed, it is said.
    followed.server.deny("secrets", &["get"]);
    let state = followed.until("the diagnostic", |state| !state.diagnostics.is_empty()).await;
    assert!(diagnostics(&state).contains("let a Role in namespace shop grant get on `secrets`"), "{}", diagnostics(&state));
    followed.server.allow("secrets");
    followed.until("the mending", |state| state.diagnostics.is_empty()).await;
}

/// A cluster has many `ConfigMap`s, and all that an edge needs of them is named.
#[tokio::test]
async fn config_maps_are_only_ever_asked_for_by_name() {
    let map = |text: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{namespace: shop, name: ca}}\ndata: {{ca.crt: {text}, other: x}}\n"
        )
    };
    let mut followed = Followed::new(&(map("one") + &secret("shop/ca", "Opaque", "Yw=="))).await;
    let key = Key { kind: Kind::ConfigMap, name: name("shop/ca") };
    followed.synced().await;
    followed.want_keys([key.clone()]);
    let of = |update: &Update| Some(update.secrets.get(&(cluster(), key.clone()))?.authorities().unwrap().to_vec());
    followed.until_update("the ConfigMap", |update| of(update).as_deref() == Some(b"one")).await;
    assert_eq!(followed.last().secrets.len(), 1, "the Secret of that name is another object");
    followed.server.apply(&map("two")).unwrap();
    followed.until_update("the change", |update| of(update).as_deref() == Some(b"two")).await;
    followed.server.deny("configmaps", &["get"]);
    let state = followed.until("the diagnostic", |state| !state.diagnostics.is_empty()).await;
    assert!(diagnostics(&state).contains("let a Role in namespace shop grant get on `configmaps`"), "{}", diagnostics(&state));
    followed.server.allow("configmaps");
    followed.until("the mending", |state| state.diagnostics.is_empty()).await;
    followed.server.delete("configmaps", "shop", "ca").unwrap();
    followed.until_update("its end", |update| update.secrets.is_empty()).await;
    let requests = followed.server.requests();
    let of_maps: BTreeSet<_> = requests.iter().filter(|r| r.path.contains("configmaps")).map(|r| r.path.as_str()).collect();
    assert_eq!(of_maps, BTreeSet::from(["/api/v1/namespaces/shop/configmaps/ca"]));
}
