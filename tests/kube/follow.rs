//! Lists and watches while nothing is wrong.

use std::time::Duration;

use causeway_core::cluster::Freshness;
use causeway_test_apiserver::Options;

use crate::support::*;

fn shop() -> String {
    service("shop/web") + &slice("shop/web", &["10.1.0.1", "10.1.0.2"]) + &ingress("shop/web", "www.example.com", "web")
}

#[tokio::test]
async fn a_cluster_is_its_objects_and_follows_their_changes() {
    let mut followed = Followed::new(&shop()).await;
    let state = followed.synced().await;
    assert_eq!(services(&state), ["shop/web"]);
    assert_eq!(state.objects.ingresses.len(), 1);
    assert_eq!(state.endpoints[&name("shop/web")].len(), 2);
    assert_eq!(diagnostics(&state), "");

    followed.server.apply(&slice("shop/web", &["10.1.0.1"])).unwrap();
    let after = followed.until("the smaller slice", |state| state.endpoints[&name("shop/web")].len() == 1).await;
    assert!(std::sync::Arc::ptr_eq(&state.objects, &after.objects), "an endpoint's change must leave the objects shared");
    followed.server.delete("services", "shop", "web").unwrap();
    followed.until("the Service's end", |state| state.objects.services.is_empty()).await;
    followed.server.apply(&(service("shop/api") + &ingress("shop/api", "api.example.com", "api"))).unwrap();
    let state = followed.until("a new Ingress", |state| state.objects.ingresses.len() == 2).await;
    assert_eq!(services(&state), ["shop/api"]);
}

/// Servers before 1.32 list in pages of 500.
#[tokio::test]
async fn old_servers_list_in_pages() {
    let all: String = (0..1201).map(|n| service(&format!("shop/web-{n}"))).collect();
    let setting = Setting { options: Options { version: (1, 31), ..Options::default() }, ..Setting::default() };
    let mut followed = Followed::with(&all, setting).await;
    assert_eq!(services(&followed.synced().await).len(), 1201);
    let lists: Vec<_> = followed
        .server
        .requests()
        .into_iter()
        .filter(|r| r.path.ends_with("/services") && !r.query.contains_key("watch"))
        .collect();
    assert_eq!(lists.len(), 3, "{lists:#?}");
    assert!(lists.iter().all(|list| list.query["limit"] == "500"));
    assert!(lists[1..].iter().all(|list| list.query.contains_key("continue")));
}

#[tokio::test]
async fn new_servers_stream_their_lists() {
    let mut followed = Followed::new(&shop()).await;
    followed.synced().await;
    let requests = followed.server.requests();
    let of_services: Vec<_> = requests.iter().filter(|r| r.path.ends_with("/services")).collect();
    assert_eq!(of_services[0].query["sendInitialEvents"], "true");
    assert_eq!(of_services.len(), 1, "the streamed list goes on as the watch: {of_services:#?}");
}

/// The gate of streamed lists can be off in a server of any version.
#[tokio::test]
async fn a_server_that_refuses_to_stream_lists_in_pages() {
    let setting = Setting { options: Options { streams: false, ..Options::default() }, ..Setting::default() };
    let mut followed = Followed::with(&shop(), setting).await;
    let state = followed.synced().await;
    assert_eq!(services(&state), ["shop/web"]);
    assert_eq!(diagnostics(&state), "");
}

/// Both at first and for a cluster that was known before: the state changes whole.
#[tokio::test]
async fn no_state_is_published_before_every_kind_was_listed() {
    let server = causeway_test_apiserver::ApiServer::start(Options::default()).await.unwrap();
    server.apply(&shop()).unwrap();
    server.order("/ingresses", causeway_test_apiserver::Fault::Status(500, None), 3);
    let folder = tempfile::TempDir::new().unwrap();
    server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
    let mut followed = Followed::follow(server, folder, &Setting::default());
    let state = followed.until("a state", |state| {
        let whole = state.objects.services.len() == 1 && state.objects.ingresses.len() == 1 && state.endpoints.len() == 1;
        let nothing = state.objects.services.is_empty() && state.objects.ingresses.is_empty() && state.endpoints.is_empty();
        assert!(whole || nothing, "half a state: {state:#?}");
        state.freshness == Freshness::Synced
    });
    state.await;
}

/// Bookmarks, and watches that are opened anew where they stopped, list nothing again.
#[tokio::test]
async fn a_closed_watch_goes_on_where_it_stopped() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    for round in 0..3 {
        followed.server.apply(&service(&format!("shop/new-{round}"))).unwrap();
        followed.until("the new Service", |state| state.objects.services.len() == 2 + round).await;
        followed.server.bookmark();
        let opened = followed.stats().evidence().watches().0;
        followed.server.close_watches();
        let stats = followed.stats();
        followed.server.until(|_| stats.evidence().watches().0 >= opened + 5).await;
    }
    let lists: Vec<_> = followed.stats().lists().collect();
    assert!(lists.iter().all(|(_, count)| *count == 1), "{lists:?}");
    assert!(followed.last().clusters[0].freshness == Freshness::Synced);
}

/// A kind that never changes is told by bookmarks how far the server is. Without them its watch would go on from a revision that
/// is forgotten while other kinds change, and be listed anew for nothing.
#[tokio::test]
async fn a_bookmark_keeps_a_quiet_kind_from_being_listed_anew() {
    let mut followed = Followed::new(&shop()).await;
    followed.watching().await;
    for round in 0..3 {
        followed.server.apply(&service(&format!("shop/new-{round}"))).unwrap();
    }
    followed.until("the new Services", |state| state.objects.services.len() == 4).await;
    let stats = followed.stats();
    let bytes = stats.evidence().bytes();
    followed.server.bookmark();
    // One for each of six watches, of some 100 bytes; and what was sent is taken in before a watch can end.
    causeway_tests::fleet::until("the bookmarks", async || stats.evidence().bytes() >= bytes + 6 * 100).await;
    followed.server.forget_history();
    let opened = stats.evidence().watches().0;
    followed.server.close_watches();
    followed.server.until(|_| stats.evidence().watches().0 >= opened + 6).await;
    followed.server.apply(&service("shop/last")).unwrap();
    followed.until("the last Service", |state| state.objects.services.len() == 5).await;
    let lists: Vec<_> = followed.stats().lists().collect();
    assert!(lists.iter().all(|(_, count)| *count == 1), "{lists:?}");
}

/// Neither a server in the future nor one in the past is followed any differently, nor is it less fresh.
#[tokio::test]
async fn the_clock_of_a_server_does_not_matter() {
    for (years, year) in [(900, "29"), (-50, "19")] {
        let setting = Setting { options: Options { ahead: years * 365 * 86_400, ..Options::default() }, ..Setting::default() };
        let mut followed = Followed::with(&shop(), setting).await;
        let created = followed.server.objects("services")[0]["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
        assert!(created.starts_with(year), "{created}");
        let state = followed.watching().await;
        assert_eq!((services(&state), diagnostics(&state)), (vec!["shop/web".into()], String::new()));
        followed.server.apply(&service("shop/later")).unwrap();
        followed.until("the change", |state| state.objects.services.len() == 2 && state.freshness == Freshness::Synced).await;
        followed.server.stop();
        followed.until("staleness", |state| matches!(state.freshness, Freshness::Stale(_))).await;
        followed.server.restart().await.unwrap();
        followed.until("the return", |state| state.freshness == Freshness::Synced).await;
    }
}

/// A quiet cluster is opened anew after each silence, and that is no reason to call it stale.
#[tokio::test]
async fn a_quiet_cluster_stays_synced() {
    let mut followed = Followed::new(&shop()).await;
    followed.synced().await;
    let stats = followed.stats();
    let rounds = tokio::time::timeout(Duration::from_secs(20), followed.server.until(|_| stats.evidence().watches().1 > 15));
    tokio::select! {
        done = rounds => done.unwrap(),
        update = followed.hub.next() => panic!("nothing changed, and yet: {update:#?}"),
    }
}

#[tokio::test]
async fn only_the_named_namespaces_are_asked_for() {
    let setting = Setting { namespaces: Some(vec!["shop".into(), "bank".into()]), ..Setting::default() };
    let objects = shop() + &service("bank/vault") + &service("other/thing");
    let server = causeway_test_apiserver::ApiServer::start(Options::default()).await.unwrap();
    server.apply(&objects).unwrap();
    server.only_namespaces(Some(&["shop", "bank"]));
    let folder = tempfile::TempDir::new().unwrap();
    server.write_kubeconfig("azure", &folder.path().join("kubeconfig")).unwrap();
    let mut followed = Followed::follow(server, folder, &setting);
    let state = followed.synced().await;
    assert_eq!(services(&state), ["bank/vault", "shop/web"]);
    // Classes have no namespace, and are not needed.
    let text = diagnostics(&state);
    assert!(text.contains("ingressclasses") && !text.contains("services"), "{text}");
}

/// Nodes are a cluster's own business, unless its edges are to be found at them.
#[tokio::test]
async fn nodes_are_read_only_where_somebody_looks_for_edges_at_them() {
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: ip-10-0-0-7.ec2.internal}\nstatus: {addresses: [{type: InternalIP, \
                address: 10.0.0.7}], conditions: [{type: Ready, status: 'True'}]}\n";
    for nodes in [true, false] {
        let setting = Setting { nodes, ..Setting::default() };
        let mut followed = Followed::with(&(shop() + node), setting).await;
        let state = followed.synced().await;
        let found: Vec<_> = state.objects.nodes.values().map(|node| (node.ready, node.internal)).collect();
        assert_eq!(found, if nodes { vec![(true, "10.0.0.7".parse().ok())] } else { vec![] });
        let asked = followed.server.requests().iter().any(|request| request.path.ends_with("/nodes"));
        assert_eq!(asked, nodes);
    }
}
