//! What changes while clients are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use causeway_tests::fleet::{configuration, ingress, until};
use causeway_tests::{Client, client};

use super::{WWW, ask, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_comes_and_goes_with_its_file() {
    let (fleet, _origins) = shop("", vec![]).await;
    assert_eq!(ask(&fleet, "new.example.com", "192.0.2.1").await.0, 404);
    fleet.write("azure/new.yaml", ingress("shop/new", "new.example.com", "web", ""));
    until("the route", async || ask(&fleet, "new.example.com", "192.0.2.1").await.0 == 200).await;
    fleet.remove("azure/new.yaml");
    until("its end", async || ask(&fleet, "new.example.com", "192.0.2.1").await.0 == 404).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_map_is_followed_through_its_symlinks() {
    let (fleet, _origins) = shop("", vec![]).await;
    assert_eq!(ask(&fleet, WWW, "192.0.2.1").await.1, "aws");
    // As a kubelet lays it: the file is a link into `..data`, which is a link to the folder of the moment.
    let folder = fleet.path("");
    for (version, more) in [("..1", ""), ("..2", "responses: {servedBy: false}\n")] {
        std::fs::create_dir(folder.join(version)).unwrap();
        std::fs::write(folder.join(version).join("causeway.yaml"), configuration(more)).unwrap();
        for cluster in ["aws", "azure", "google"] {
            std::os::unix::fs::symlink(folder.join(cluster), folder.join(version).join(cluster)).unwrap();
        }
    }
    std::os::unix::fs::symlink("..1", folder.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/causeway.yaml", folder.join("link")).unwrap();
    std::fs::rename(folder.join("link"), folder.join("causeway.yaml")).unwrap();
    std::os::unix::fs::symlink("..2", folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    until("the new configuration", async || ask(&fleet, WWW, "192.0.2.1").await == (200, "nobody".to_owned())).await;
}

/// The issue's own figure: a reload under load fails no request and closes no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_reloads_under_load_fail_no_request_and_close_no_connection() {
    let (fleet, _origins) = shop("", vec![]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = Vec::new();
    for _ in 0..8 {
        let mut client = Client::h1(fleet.https(), WWW).await;
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        load.push(tokio::spawn(async move {
            // One connection for all: `get` panics when it is closed.
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get(WWW, "/").await.status(), 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut h2 = client::h2(fleet.https(), WWW).await;
    let (stop2, served2) = (Arc::clone(&stop), Arc::clone(&served));
    load.push(tokio::spawn(async move {
        while !stop2.load(Ordering::Relaxed) {
            let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
            let (response, _) = h2.send_request(request, true).unwrap();
            let mut response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            while let Some(data) = response.body_mut().data().await {
                let data = data.unwrap();
                response.body_mut().flow_control().release_capacity(data.len()).unwrap();
            }
            served2.fetch_add(1, Ordering::Relaxed);
        }
    }));
    for round in 0..20_u32 {
        let more = format!("upstream: {{connectTimeout: {}ms}}\n", 1000 + round);
        fleet.write("causeway.yaml", configuration(&more));
        fleet.until_metric("causeway_reloads_total{what=\"config\",result=\"ok\"}", f64::from(round + 1)).await;
        let host = format!("r{round}.example.com");
        fleet.write("aws/routes.yaml", ingress("shop/routes", &host, "web", ""));
        fleet.until_admin_says("/routes", &host).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("every request was answered 200, on the connection of the one before");
    }
    let served = served.load(Ordering::Relaxed);
    println!("{served} requests over 9 connections, 40 reloads, 0 failed, 0 closed");
    assert!(served > 100, "there was load: {served}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaving_edge_lets_requests_finish() {
    let origin =
        causeway_tests::Origin::start(|_| causeway_tests::Answer::Slow("200 OK", std::time::Duration::from_millis(300), "late"))
            .await;
    let files = [
        ("causeway.yaml", configuration("")),
        ("aws/web.yaml", causeway_tests::fleet::service("shop/web", &[origin.address])),
        ("aws/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ];
    let fleet = causeway_tests::fleet::Fleet::start(&files).await;
    let mut client = Client::h1(fleet.https(), WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    origin.wait_for(1).await;
    let (response, ()) = tokio::join!(client.receive(), fleet.stop(causeway::app::Pace::AtOnce));
    assert_eq!((response.status(), response.text().as_str()), (200, "late"));
}
