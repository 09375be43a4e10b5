//! `clusters.<c>.state`, changed while clients are served.

use causeway_tests::fleet::{configuration, until};

use super::{WWW, ask, shop};

/// The configuration with a state for a cluster.
fn with(cluster: &str, state: &str) -> String {
    configuration("").replace(&format!("  {cluster}: {{"), &format!("  {cluster}: {{state: {state}, "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_drained_switched_off_and_taken_back_without_a_restart() {
    // The Ingress is google's alone, and clients from nowhere are served at home, in aws.
    let (fleet, _origins) = shop("", vec![]).await;
    assert_eq!(ask(&fleet, WWW, "192.0.2.1").await, (200, "aws".to_owned()));

    fleet.write("causeway.yaml", with("aws", "drain"));
    until("the drain of aws", async || {
        let (status, cloud) = ask(&fleet, WWW, "192.0.2.1").await;
        assert_eq!(status, 200, "a drain fails no request");
        cloud != "aws"
    })
    .await;

    // Off takes its routes along: no cluster but google names this host.
    fleet.write("causeway.yaml", with("google", "off"));
    until("the end of google's routes", async || ask(&fleet, WWW, "192.0.2.1").await.0 == 404).await;
    fleet.write("causeway.yaml", with("google", "drain"));
    until("google's routes, while it drains", async || ask(&fleet, WWW, "192.0.2.1").await == (200, "aws".to_owned())).await;

    fleet.write("causeway.yaml", configuration(""));
    until("all of it", async || fleet.admin("/snapshot").await.matches("\"active\"").count() >= 3).await;
    assert_eq!(ask(&fleet, WWW, "192.0.2.1").await, (200, "aws".to_owned()));
}
