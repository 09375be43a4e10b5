//! Edges and pods that go away, and come back.

use std::time::Duration;

use causeway_tests::fleet::{service, until};
use causeway_tests::origin::nobody;
use causeway_tests::wan::{Condition, Relay, Shape};
use causeway_tests::{Answer, ByHand, Client, Origin, Peered};

use super::{AWS, AZURE, GOOGLE, WWW, shop};

/// The status of a request at the edge in aws, and the cluster that served.
async fn ask(fleet: &Peered, request: &str) -> (u16, String) {
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    let response = client.request(&format!("{request} HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 0\r\n\r\n")).await;
    (response.status(), response.field("causeway-served-by").unwrap_or("nobody").to_owned())
}

/// The pods in azure that the edge in aws knows of.
async fn behind(fleet: &Peered) -> u64 {
    let view: serde_json::Value = serde_json::from_str(&fleet.admin(AWS, "/snapshot").await).unwrap();
    view["pools"]["shop/web:80"]["clusters"]["azure"]["behind"]["ready"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_edges_are_gone_is_served_by_the_next_and_comes_back() {
    let [azure, google] = [Origin::named("azure").await, Origin::named("google").await];
    let mut fleet = shop([None, Some(&azure), Some(&google)], "geo: {prefer: {default: [azure]}}\n").await;
    let prefer = "geo: {prefer: {default: [azure, google]}, networks: {127.0.0.0/8: US}}\n";
    fleet.configure(prefer);
    until("azure", async || ask(&fleet, "GET /").await == (200, "azure".to_owned())).await;
    fleet.kill(AZURE);
    // From the first request on: a connection that breaks is tried elsewhere before anybody has found out why.
    for _ in 0..20 {
        assert_eq!(ask(&fleet, "GET /").await, (200, "google".to_owned()));
    }
    fleet.until_metric(AWS, "causeway_peer_links{cluster=\"azure\",state=\"down\"}", 1.0).await;
    // Google sees it too: two clusters agree.
    fleet.until_metric(AWS, "causeway_cluster_verdict{cluster=\"azure\",verdict=\"cloud_dead\"}", 1.0).await;
    assert!(fleet.admin(AWS, "/diagnostics").await.contains("no edge of azure answers"));
    assert_eq!(ask(&fleet, "POST /").await, (200, "google".to_owned()));
    fleet.restart(AZURE).await;
    fleet.configure(prefer);
    until("azure again", async || ask(&fleet, "GET /").await == (200, "azure".to_owned())).await;
    fleet.until_metric(AWS, "causeway_cluster_verdict{cluster=\"azure\",verdict=\"alive\"}", 1.0).await;
}

/// A service without a pod at home would be answered 503 in the first moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_ready_once_it_has_reached_the_other_clusters_or_could_not() {
    let google = Origin::named("google").await;
    let mut fleet = shop([None, None, Some(&google)], "").await;
    for _ in 0..3 {
        fleet.restart(AWS).await;
        assert_eq!(ask(&fleet, "GET /").await, (200, "google".to_owned()));
    }
    // Its address refuses connections now.
    fleet.kill(AZURE);
    fleet.restart(AWS).await;
    assert_eq!(ask(&fleet, "GET /").await, (200, "google".to_owned()));
    // This one takes them, and never says a word: it is ready all the same.
    let dark = Relay::start(fleet.peer(GOOGLE), Shape::of(Duration::ZERO), 1);
    dark.set(Condition::Stalled);
    fleet.move_peer(GOOGLE, dark.address);
    fleet.restart(AWS).await;
}

/// Three pings without an answer take three seconds, and a request that waits does not have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_is_cut_before_its_link_is_down() {
    let [azure, google] = [Origin::named("azure").await, Origin::named("google").await];
    let prefer = "geo: {prefer: {default: [azure, google]}, networks: {127.0.0.0/8: US}}\n";
    let fleet = shop([None, Some(&azure), Some(&google)], prefer).await;
    let link = Relay::start(fleet.peer(AZURE), Shape::of(Duration::from_millis(20)), 1);
    fleet.move_peer(AZURE, link.address);
    fleet.until_admin_says(AWS, "/snapshot", &format!("\"address\": \"{}\"", link.address)).await;
    until("azure", async || ask(&fleet, "GET /").await == (200, "azure".to_owned())).await;
    link.set(Condition::Stalled);
    let retries = |reason| format!("causeway_retries_total{{reason=\"{reason}\"}}");
    // Not each goes there: a link that was lost for a moment as it moved begins with a part of them.
    until("a request on its way there", async || {
        assert_eq!(ask(&fleet, "GET /").await, (200, "google".to_owned()));
        fleet.metric(AWS, &retries("reset")).await > 0.0
    })
    .await;
    assert_eq!(fleet.metric(AWS, "causeway_peer_links{cluster=\"azure\",state=\"suspended\"}").await, 1.0);
    // Its other lanes are not tried one after the other.
    assert_eq!(fleet.metric(AWS, &retries("refused")).await, 0.0);
    assert_eq!(fleet.metric(AWS, &retries("reset")).await, 1.0);
}

/// The link lives, and so does every ping over its other connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_of_several_that_leads_nowhere_is_cut() {
    let (azure, google) = (ByHand::new().await, Origin::named("google").await);
    let more = "geo: {prefer: {default: [azure, google]}, networks: {127.0.0.0/8: US}}\nlimits: {http2: {streams: 1}}\n";
    let fleet = shop([None, None, Some(&google)], more).await;
    fleet.write("azure/web.yaml", service("shop/web", &[azure.address]));
    let link = Relay::start(fleet.peer(AZURE), Shape::of(Duration::from_millis(20)), 1);
    fleet.move_peer(AZURE, link.address);
    fleet.until_admin_says(AWS, "/snapshot", &format!("\"address\": \"{}\"", link.address)).await;
    until("azure", async || behind(&fleet).await == 1).await;
    // As large as nothing else that crosses, and not too large to be sent again. Its connection has no room for a ping.
    let body = "x".repeat(40_000);
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 40000\r\n\r\n{body}")).await;
    let mut first = azure.request().await;
    first.body(40_000).await;
    link.forget_those_with_more_than(40_000);
    let again = async {
        let mut again = azure.request().await;
        again.body(40_000).await;
        again.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        std::future::pending::<()>().await;
    };
    let response = tokio::select! {
        response = client.receive() => response,
        () = again => unreachable!("it does not end"),
    };
    assert_eq!(response.status(), 200);
    assert_eq!(fleet.metric(AWS, "causeway_peer_links{cluster=\"azure\",state=\"up\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_reached_no_pod_is_tried_in_another_cluster_whatever_its_method() {
    let google = Origin::named("google").await;
    let fleet =
        shop([None, None, Some(&google)], "geo: {prefer: {default: [azure, google]}, networks: {127.0.0.0/8: US}}\n").await;
    fleet.write("azure/web.yaml", service("shop/web", &[nobody().await]));
    fleet.until_admin_says(AWS, "/snapshot", "\"ready\": 1").await;
    for _ in 0..3 {
        assert_eq!(ask(&fleet, "POST /").await, (200, "google".to_owned()));
    }
    assert_eq!(google.requests().len(), 3, "each came once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_come_and_go_are_counted_by_the_edge_that_sees_them() {
    let azure = Origin::start(|_| Answer::ok("azure")).await;
    let fleet = shop([None, Some(&azure), None], "").await;
    until("one", async || behind(&fleet).await == 1).await;
    let more = Origin::named("azure").await;
    fleet.write("azure/web.yaml", service("shop/web", &[azure.address, more.address]));
    until("two", async || behind(&fleet).await == 2).await;
    fleet.remove("azure/web.yaml");
    until("none", async || ask(&fleet, "GET /").await.0 == 503).await;
}
