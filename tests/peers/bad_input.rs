//! What is wrong with the fleet around an edge: each is said, with what to do, and service goes on.

use causeway_tests::peered::{certificate, now};
use causeway_tests::{Client, Origin, Peered};

use super::{AWS, AZURE, WWW, shop};

const TEN_MINUTES: i64 = 600;

async fn ask(fleet: &Peered, host: &str) -> u16 {
    Client::h1(fleet.https(AWS), host).await.get(host, "/").await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_may_differ_by_ten_minutes_and_a_certificate_from_too_far_ahead_is_said() {
    let [aws, azure] = [Origin::named("aws").await, Origin::named("azure").await];
    let mut fleet = shop([Some(&aws), Some(&azure), None], "").await;
    for skew in [TEN_MINUTES, -TEN_MINUTES] {
        fleet.trust("azure", &fleet.ca.cert, &certificate(&fleet.ca, "azure", now() + skew));
        fleet.restart(AZURE).await;
        fleet.met().await;
        assert!(!fleet.admin(AZURE, "/diagnostics").await.contains("will not believe"), "{skew}");
    }
    fleet.trust("azure", &fleet.ca.cert, &certificate(&fleet.ca, "azure", now() + 12 * TEN_MINUTES));
    fleet.until_admin_says(AZURE, "/diagnostics", "is not valid yet: one of the two clocks is wrong").await;
    fleet.restart(AZURE).await;
    fleet.until_admin_says(AWS, "/diagnostics", "set the clock of whichever side is wrong").await;
    assert_eq!(ask(&fleet, WWW).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_whose_clusters_cannot_be_reached_is_said_and_other_hosts_are_served() {
    let [aws, azure] = [Origin::named("aws").await, Origin::named("azure").await];
    let bank = "bank.example.com";
    let mut fleet = shop([Some(&aws), Some(&azure), None], &format!("hosts: {{{bank}: {{allow: [azure]}}}}\n")).await;
    fleet.write("azure/bank.yaml", causeway_tests::fleet::ingress("shop/bank", bank, "web", ""));
    fleet.until_admin_says(AWS, "/routes", bank).await;
    assert_eq!(ask(&fleet, bank).await, 200);
    fleet.kill(AZURE);
    fleet.until_admin_says(AWS, "/diagnostics", "no edge of azure answers").await;
    assert_eq!((ask(&fleet, bank).await, ask(&fleet, WWW).await), (503, 200));
    fleet.until_metric(AWS, "causeway_refusals_total{reason=\"fence\"}", 1.0).await;
    let why = fleet.admin(AWS, &format!("/explain?url=https://{bank}/")).await;
    assert!(why.contains("outside the host's fence"), "{why}");
}
