//! API servers that misbehave: nothing that was there is lost, and somebody says why.

use causeway_core::cluster::Freshness;
use causeway_discovery::translate::Kind;
use causeway_test_apiserver::{Fault, Resource};

use crate::support::*;

fn shop() -> String {
    let services = ["shop/web", "shop/api", "shop/cart", "bank/vault"];
    let objects = services.iter().map(|name| service(name) + &slice(name, &["10.1.0.1"]));
    objects.collect::<String>() + &ingress("shop/web", "www.example.com", "web")
}

fn is_stale(state: &causeway_core::cluster::ClusterState) -> bool {
    matches!(state.freshness, Freshness::Stale(_))
}

#[tokio::test]
async fn a_watch_cut_within_an_event_goes_on_without_a_list() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.cut_watches();
    followed.server.apply(&service("shop/new")).unwrap();
    followed
        .until("the change after the cut", |state| {
            assert!(state.objects.services.len() >= 4, "something was lost");
            state.objects.services.len() == 5
        })
        .await;
    let lists: Vec<_> = followed.stats().lists().collect();
    assert!(lists.iter().all(|(_, count)| *count == 1), "{lists:?}");
}

/// The event, as the real server sends it, and the answer, as others do.
#[tokio::test]
async fn a_forgotten_revision_is_listed_anew_without_a_gap() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    for round in 0..2 {
        if round == 1 {
            followed.server.order("/services", Fault::Status(410, None), 1);
        }
        followed.server.compact();
        followed.server.close_watches();
        followed.server.apply(&service(&format!("shop/new-{round}"))).unwrap();
        followed
            .until("the change after the compaction", |state| {
                assert!(state.objects.services.len() >= 4 + round, "something was lost");
                assert!(!is_stale(state));
                state.objects.services.len() == 5 + round
            })
            .await;
    }
    let gone = followed.stats().restarts().find(|(cause, _)| cause.as_str() == "gone").unwrap().1;
    assert!(gone >= 2, "{gone}");
}

/// The server lives and answers everything else, and one watch says nothing more.
#[tokio::test]
async fn a_hung_watch_is_found_though_the_server_answers() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.stall_watches();
    followed.server.apply(&service("shop/new")).unwrap();
    // The stalled watch never tells: without a new one the change would not come.
    followed.until("the change", |state| state.objects.services.len() == 5).await;
    assert!(followed.stats().evidence().watches().1 > 0, "no watch was given up for its silence");
}

#[tokio::test]
async fn a_dark_server_makes_its_cluster_stale_and_costs_no_object() {
    let mut followed = Followed::new(&shop()).await;
    let before = followed.watching().await;
    followed.server.stop();
    let stale = followed.until("staleness", is_stale).await;
    assert_eq!((services(&stale), stale.endpoints.len()), (services(&before), before.endpoints.len()));
    assert!(diagnostics(&stale).contains("not heard of"), "{}", diagnostics(&stale));
    followed.server.apply(&service("shop/new")).unwrap();
    followed.server.restart().await.unwrap();
    let back = followed.until("the return", |state| state.freshness == Freshness::Synced).await;
    assert_eq!(back.objects.services.len(), 5);
    assert_eq!(diagnostics(&back), "");
}

/// Connections stay, and nothing passes: a firewall that lost its state, a stopped process.
#[tokio::test]
async fn frozen_connections_make_it_stale_and_new_ones_bring_it_back() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.freeze(true);
    followed.until("staleness", is_stale).await;
    followed.server.freeze(false);
    followed.until("the return", |state| state.freshness == Freshness::Synced).await;
}

#[tokio::test]
async fn one_kind_that_fails_makes_the_cluster_stale_and_is_named() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.order("/endpointslices", Fault::Status(500, None), usize::MAX);
    followed.server.close_watches();
    let stale = followed.until("staleness", is_stale).await;
    let text = diagnostics(&stale);
    assert!(text.contains("endpointslices") && text.contains("answered 500") && !text.contains("ingresses"), "{text}");
    // What can be followed is.
    followed.server.apply(&service("shop/new")).unwrap();
    followed.until("another kind's change", |state| state.objects.services.len() == 5 && is_stale(state)).await;
    followed.server.no_faults();
    followed.until("the return", |state| state.freshness == Freshness::Synced).await;
}

#[tokio::test]
async fn a_list_that_lost_more_than_half_is_not_believed_once() {
    let mut followed = Followed::new(&shop()).await;
    followed.synced().await;
    // In pages, where a whole list can be answered wrongly.
    followed.server.order("/services", Fault::EmptyList, 1);
    followed.server.expire_watches();
    let stats = followed.stats();
    let doubted =
        |stats: &causeway_discovery::kube::Stats| stats.restarts().find(|(cause, _)| cause.as_str() == "doubted").unwrap().1;
    followed
        .until("a doubt, or nothing at all", |state| {
            assert_eq!(state.objects.services.len(), 4, "an empty list was believed");
            diagnostics(state).contains("more than half") || doubted(&stats) > 0
        })
        .await;
    let mended = followed.until("the second list", |state| diagnostics(state).is_empty()).await;
    assert_eq!(mended.objects.services.len(), 4);
}

#[tokio::test]
async fn a_second_list_that_agrees_is_believed() {
    let mut followed = Followed::new(&shop()).await;
    followed.synced().await;
    followed.server.order("/services", Fault::EmptyList, 2);
    followed.server.expire_watches();
    followed.until("the belief", |state| state.objects.services.is_empty()).await;
    assert!(followed.stats().restarts().any(|(cause, count)| cause.as_str() == "doubted" && count == 1));
}

#[tokio::test]
async fn a_forbidden_kind_is_named_with_its_rule_and_comes_on_when_granted() {
    let server = causeway_test_apiserver::ApiServer::start(causeway_test_apiserver::Options::default()).await.unwrap();
    server.apply(&shop()).unwrap();
    server.deny("ingresses", &["*"]);
    let folder = tempfile::TempDir::new().unwrap();
    server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    let state = followed.synced().await;
    assert_eq!((state.objects.services.len(), state.objects.ingresses.len()), (4, 0));
    let text = diagnostics(&state);
    assert!(
        text.contains("cannot") && text.contains("grant get, list and watch on `ingresses` in group `networking.k8s.io`"),
        "{text}"
    );
    followed.server.allow("ingresses");
    let state = followed.until("the Ingress", |state| state.objects.ingresses.len() == 1).await;
    assert_eq!(diagnostics(&state), "");
}

/// What it could read until then stays.
#[tokio::test]
async fn a_permission_that_is_taken_away_costs_no_object() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.deny("ingresses", &["*"]);
    followed.server.close_watches();
    let state = followed.until("the diagnostic", |state| diagnostics(state).contains("ingresses")).await;
    assert_eq!(state.objects.ingresses.len(), 1);
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_named_and_comes_on_when_it_is() {
    let server = causeway_test_apiserver::ApiServer::start(causeway_test_apiserver::Options::default()).await.unwrap();
    server.apply(&(service("shop/web") + &slice("shop/web", &["10.1.0.1"]))).unwrap();
    server.uninstall("ingresses");
    let folder = tempfile::TempDir::new().unwrap();
    server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    let state = followed.synced().await;
    assert!(diagnostics(&state).contains("has no `ingresses`"), "{}", diagnostics(&state));
    followed.server.install(Resource::new("networking.k8s.io", "v1", "ingresses", "Ingress", true));
    followed.server.apply(&ingress("shop/web", "www.example.com", "web")).unwrap();
    followed.until("the Ingress", |state| state.objects.ingresses.len() == 1 && diagnostics(state).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_given_it() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    followed.server.order("/services", Fault::Status(429, Some(1)), 1);
    let before = std::time::Instant::now();
    followed.server.close_watches();
    // The watch was still open a moment ago, and might have told.
    followed.server.until(|server| server.requests().iter().any(|request| request.status == 429)).await;
    followed.server.apply(&service("shop/new")).unwrap();
    followed.until("the change", |state| state.objects.services.len() == 5).await;
    assert!(before.elapsed().as_millis() >= 950, "{:?}", before.elapsed());
}

/// As some load balancers do with what they take for idle. Neither lists nor watches may come without a pause.
#[tokio::test]
async fn a_server_that_closes_every_watch_at_once_is_not_asked_without_end() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    let stats = followed.stats();
    let (opened, began) = (stats.evidence().watches().0, std::time::Instant::now());
    followed.server.order("/", Fault::Nothing, usize::MAX);
    followed.server.close_watches();
    followed.server.until(|_| began.elapsed() > QUICK.shortest * 20).await;
    let (opened, pauses) = (stats.evidence().watches().0 - opened, began.elapsed().as_secs_f64() / QUICK.shortest.as_secs_f64());
    assert!(opened as f64 <= Kind::ALL.len() as f64 * (pauses + 2.0), "{opened} watches in the time of {pauses:.1} pauses");
    followed.server.no_faults();
    followed.server.apply(&service("shop/new")).unwrap();
    followed.until("the change", |state| state.objects.services.len() == 5).await;
}
