//! Pods of other clusters that are reached directly: one that no way leads to gets nothing, whatever its cluster says.

use causeway_tests::Origin;
use causeway_tests::fleet::{Fleet, configuration, ingress, service, until};
use causeway_tests::origin::nobody;

use super::{WWW, ask};

const GERMAN: &str = "192.0.2.1";
const PREFER: &str = "geo:\n  networks: {192.0.2.0/24: DE}\n  prefer: {continents: {EU: [azure, aws]}}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_elsewhere_comes_into_rotation_when_it_was_reached() {
    let (aws, azure) = (Origin::named("aws").await, Origin::named("azure").await);
    let fleet = Fleet::start(&[
        ("causeway.yaml", configuration(PREFER)),
        ("aws/web.yaml", service("shop/web", &[aws.address])),
        ("azure/web.yaml", service("shop/web", &[nobody().await])),
        ("google/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ])
    .await;
    fleet.until_admin_says("/routes", WWW).await;
    fleet.until_metric("causeway_endpoints{cluster=\"azure\",state=\"unreached\"}", 1.0).await;
    for _ in 0..20 {
        assert_eq!(ask(&fleet, WWW, GERMAN).await, (200, "aws".to_owned()));
    }
    assert!(fleet.metric("causeway_retries_total{reason=\"connect\"}").await < 1.0, "nobody was sent there");
    fleet.until_admin_says(&format!("/explain?url=https://{WWW}/&client={GERMAN}"), "1 are not yet reached").await;
    fleet.write("azure/web.yaml", service("shop/web", &[azure.address]));
    until("azure", async || ask(&fleet, WWW, GERMAN).await.1 == "azure").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_has_asked_each_pod_before_it_is_ready() {
    let azure = Origin::named("azure").await;
    let fleet = Fleet::start(&[
        ("causeway.yaml", configuration(PREFER)),
        ("aws/web.yaml", service("shop/web", &[])),
        ("azure/web.yaml", service("shop/web", &[azure.address])),
        ("aws/ingress.yaml", ingress("shop/web", WWW, "web", "")),
    ])
    .await;
    fleet.until_admin_says("/routes", WWW).await;
    assert!(fleet.app().readiness().ready().await);
    assert_eq!(ask(&fleet, WWW, GERMAN).await, (200, "azure".to_owned()));
}
