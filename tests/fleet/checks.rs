//! Active health checks: an endpoint that says that it is not well, while it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_tests::fleet::{Fleet, configuration, ingress, service, until};
use causeway_tests::{Answer, Origin};

use super::{WWW, ask};

const CHECK: &str = "hosts: {www.example.com: {healthCheck: {path: '/healthz?deep', interval: 100ms, unhealthyThreshold: 2}}}\n";

/// An origin that is well as long as the flag says so, and serves whatever it says.
async fn origin() -> (Origin, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&well);
    let origin = Origin::start(move |request| match request.line() {
        "GET /healthz?deep" if !says.load(Ordering::Relaxed) => Answer::status(500),
        _ => Answer::ok("served"),
    });
    (origin.await, well)
}

async fn start(more: &str, aws: &Origin, azure: &Origin) -> Fleet {
    let fleet = Fleet::start(&[
        ("causeway.yaml", configuration(more)),
        ("aws/web.yaml", service("shop/web", &[aws.address])),
        ("azure/web.yaml", service("shop/web", &[azure.address])),
        ("google/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ])
    .await;
    fleet.until_admin_says("/routes", WWW).await;
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_its_checks_gets_nothing_until_it_passes_them() {
    let ((aws, well), (azure, _)) = (origin().await, origin().await);
    let fleet = start(CHECK, &aws, &azure).await;
    let served = async || ask(&fleet, WWW, "192.0.2.1").await;
    fleet.until_metric("causeway_health_checks_total{cluster=\"aws\",result=\"passed\"}", 1.0).await;
    assert_eq!(served().await, (200, "aws".to_owned()));
    let request = aws.requests().into_iter().find(|request| request.line() == "GET /healthz?deep").unwrap();
    assert_eq!(request.field("host"), Some(WWW));
    well.store(false, Ordering::Relaxed);
    until("azure", async || served().await.1 == "azure").await;
    assert!(fleet.metric("causeway_health_checks_total{cluster=\"aws\",result=\"failed\"}").await >= 2.0);
    fleet.until_metric("causeway_endpoints{cluster=\"aws\",state=\"unhealthy\"}", 1.0).await;
    fleet.until_metric("causeway_spilled_total{reason=\"unhealthy\"}", 1.0).await;
    let why = format!("/explain?url=https://{WWW}/");
    fleet.until_admin_says(&why, "1 of them by their health checks").await;
    fleet.until_admin_says(&why, "no cluster of the first tier has an endpoint in rotation").await;
    well.store(true, Ordering::Relaxed);
    until("aws again", async || served().await.1 == "aws").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_taken_back_counts_no_longer() {
    let ((aws, well), (azure, _)) = (origin().await, origin().await);
    let fleet = start(CHECK, &aws, &azure).await;
    well.store(false, Ordering::Relaxed);
    until("azure", async || ask(&fleet, WWW, "192.0.2.1").await.1 == "azure").await;
    fleet.write("causeway.yaml", configuration(""));
    until("aws again", async || ask(&fleet, WWW, "192.0.2.1").await.1 == "aws").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_path_a_connection_is_enough() {
    let ((aws, _), (azure, _)) = (origin().await, origin().await);
    let fleet = start("hosts: {www.example.com: {healthCheck: {interval: 100ms, unhealthyThreshold: 1}}}\n", &aws, &azure).await;
    fleet.until_metric("causeway_health_checks_total{cluster=\"azure\",result=\"passed\"}", 1.0).await;
    assert!(azure.requests().is_empty());
    drop(azure);
    fleet.until_metric("causeway_endpoints{cluster=\"azure\",state=\"unhealthy\"}", 1.0).await;
}
