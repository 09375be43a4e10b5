//! The last good state on disk.

use std::time::Instant;

use causeway_core::cluster::Freshness;

use crate::support::*;

fn shop() -> String {
    service("shop/web") + &slice("shop/web", &["10.1.0.1"]) + &ingress("shop/web", "www.example.com", "web")
}

fn setting() -> Setting {
    Setting { cached: true, ..Setting::default() }
}

/// Waits until what is saved names something.
async fn saved(followed: &Followed, needle: &str) {
    let path = cache_folder(followed.folder.path()).join("azure.state");
    let wait = async {
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains(needle)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    causeway_tests::soon("saving", wait).await;
}

#[tokio::test]
async fn an_edge_starts_from_what_was_saved_while_the_server_is_dark() {
    let mut followed = Followed::with(&shop(), setting()).await;
    let before = followed.synced().await;
    saved(&followed, "www.example.com").await;
    followed.server.stop();
    let started = Instant::now();
    let mut followed = followed.again(&setting());
    let state = followed.until("the remembered state", |state| state.freshness != Freshness::Syncing).await;
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert!(matches!(state.freshness, Freshness::Stale(_)));
    assert_eq!((&state.objects, &state.endpoints), (&before.objects, &before.endpoints));
    let state = followed.until("the reason", |state| !state.diagnostics.is_empty()).await;
    assert!(diagnostics(&state).contains("cannot be used"), "{}", diagnostics(&state));
    followed.server.apply(&service("shop/new")).unwrap();
    followed.server.restart().await.unwrap();
    let back = followed.until("the return", |state| state.freshness == Freshness::Synced).await;
    assert_eq!((back.objects.services.len(), diagnostics(&back).as_str()), (2, ""));
}

/// A server that lost everything while the edge was down is doubted all the same.
#[tokio::test]
async fn what_was_saved_counts_when_a_list_is_doubted() {
    let mut followed = Followed::with(&shop(), setting()).await;
    followed.synced().await;
    saved(&followed, "www.example.com").await;
    followed.server.order("/services", causeway_test_apiserver::Fault::EmptyList, 1);
    let mut followed = followed.again(&setting());
    followed
        .until("a state up to date", |state| {
            assert!(state.freshness == Freshness::Syncing || state.objects.services.len() == 1, "an empty list was believed");
            state.freshness == Freshness::Synced
        })
        .await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said() {
    let mut followed = Followed::with(&shop(), setting()).await;
    followed.synced().await;
    saved(&followed, "www.example.com").await;
    followed.server.stop();
    let folder = cache_folder(followed.folder.path());
    let path = folder.join("azure.state");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("www.example.com", "evil.example.com")).unwrap();
    let mut followed = followed.again(&setting());
    let state = followed.until("the diagnostic", |state| !state.diagnostics.is_empty()).await;
    assert_eq!(state.freshness, Freshness::Syncing);
    assert!(diagnostics(&state).contains("checksum"), "{}", diagnostics(&state));
    assert!(folder.join("azure.bad").exists());
    followed.server.restart().await.unwrap();
    followed.synced().await;
}

#[tokio::test]
async fn no_secret_is_ever_saved() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {namespace: shop, name: web-tls}\ntype: kubernetes.io/tls\n\
                  data: {tls.crt: Yw==, tls.key: U0VDUkVUS0VZ}\n";
    let mut followed = Followed::with(&(shop() + secret), setting()).await;
    followed.want(&["shop/web-tls"]);
    followed.synced().await;
    followed.server.apply(&service("shop/later")).unwrap();
    saved(&followed, "shop/later").await;
    for file in std::fs::read_dir(cache_folder(followed.folder.path())).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("web-tls") && !text.contains("SECRETKEY") && !text.contains("U0VDUkVUS0VZ"));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said_and_costs_nothing() {
    let (mut followed, blocked) = {
        let followed = Followed::with(&shop(), Setting::default()).await;
        // A file where the folder should be.
        let blocked = cache_folder(followed.folder.path());
        std::fs::write(&blocked, "").unwrap();
        (followed.again(&setting()), blocked)
    };
    let state = followed.until("the diagnostic", |state| diagnostics(state).contains("cannot be")).await;
    assert!(diagnostics(&state).contains("see that the folder is there"), "{}", diagnostics(&state));
    followed.until("serving all the same", |state| state.freshness == Freshness::Synced && services(state) == ["shop/web"]).await;
    std::fs::remove_file(blocked).unwrap();
    followed.server.apply(&service("shop/new")).unwrap();
    followed.until("the mending", |state| diagnostics(state).is_empty() && services(state).len() == 2).await;
}
