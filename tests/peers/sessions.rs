//! Sessions that stay with a pod behind another cluster's edges.

use causeway_tests::fleet::{service, until};
use causeway_tests::{Client, Origin, Peered};

use super::{AWS, AZURE, WWW, shop};

/// Asks at the edge in aws; who answered, and the cookie that was set.
async fn ask(fleet: &Peered, cookie: Option<&str>) -> (String, Option<String>) {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    let request = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{cookie}\r\n");
    let response = Client::h1(fleet.https(AWS), WWW).await.request(&request).await;
    assert_eq!(response.status(), 200, "{}", response.head);
    assert!(!response.head.to_ascii_lowercase().contains("causeway-session:"), "what edges tell each other stays between them");
    let set = response.field("set-cookie").map(|value| value.split(';').next().unwrap_or_default().to_owned());
    (response.text(), set)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stays_with_its_pod_behind_the_edges_of_another_cluster() {
    let names = ["one", "two", "three", "four"];
    let mut pods = Vec::new();
    for name in names {
        pods.push(Origin::named(name).await);
    }
    let mut addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let fleet = shop([None, None, None], &format!("hosts: {{{WWW}: {{sessionPersistence: {{sessionName: s}}}}}}\n")).await;
    fleet.write("azure/web.yaml", service("shop/web", &addresses));
    fleet.until_admin_says(AWS, "/snapshot", "\"ready\": 4").await;
    let (first, cookie) = ask(&fleet, None).await;
    let cookie = cookie.expect("the first answer says where the session is");
    for _ in 0..20 {
        assert_eq!(ask(&fleet, Some(&cookie)).await, (first.clone(), None));
    }
    fleet.until_metric(AWS, "causeway_tries_total{step=\"sticky\"}", 20.0).await;
    fleet.until_metric(AZURE, "causeway_tries_total{step=\"sticky\"}", 20.0).await;
    // Its pod goes: another of the same cluster, and the cookie says so.
    let gone = names.iter().position(|name| *name == first).unwrap();
    addresses.remove(gone);
    fleet.write("azure/web.yaml", service("shop/web", &addresses));
    until("the pod's end", async || ask(&fleet, Some(&cookie)).await.0 != first).await;
    let (second, moved) = ask(&fleet, Some(&cookie)).await;
    let moved = moved.expect("it has moved");
    assert!(moved.starts_with("s=azure."), "{moved}");
    assert_eq!(ask(&fleet, Some(&moved)).await, (second, None));
}
