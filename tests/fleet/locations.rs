//! Where clients are, and who serves them.

use causeway_tests::fleet::until;
use mmdb_writer::{IpVersion, Writer};
use serde_json::json;

use super::{WWW, ask, shop};

const PREFER: &str = "  prefer: {continents: {NA: [aws], EU: [azure], AS: [google]}}\n";

fn database(country: &str) -> Vec<u8> {
    let mut writer = Writer::builder("Test-Country").ip_version(IpVersion::V6).build();
    writer.insert("198.51.100.0/24".parse::<ipnet::IpNet>().unwrap(), &json!({"country": {"iso_code": country}})).unwrap();
    writer.to_bytes().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_in_one_cluster_is_served_from_the_cloud_that_suits_the_client_and_fails_over() {
    let networks = "geo:\n  networks: {198.51.100.0/24: DE, 203.0.113.0/24: SG, 192.0.2.0/24: US}\n";
    let (fleet, [aws, azure, google]) = shop(&format!("{networks}{PREFER}"), vec![]).await;
    for (from, cloud) in [("198.51.100.1", "azure"), ("203.0.113.1", "google"), ("192.0.2.1", "aws"), ("100.64.0.1", "aws")] {
        assert_eq!(ask(&fleet, WWW, from).await, (200, cloud.to_owned()), "{from}");
    }
    drop(azure);
    // Connections that stand may still be served.
    until("azure's end", async || {
        let (status, cloud) = ask(&fleet, WWW, "198.51.100.1").await;
        assert_eq!(status, 200, "failover happens within the request");
        cloud != "azure"
    })
    .await;
    drop((aws, google));
    until("everybody's end", async || ask(&fleet, WWW, "198.51.100.1").await == (503, "nobody".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_is_taken_and_a_broken_one_leaves_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    std::fs::write(&path, database("DE")).unwrap();
    let (fleet, _origins) = shop(&format!("geo:\n  database: {}\n{PREFER}", path.display()), vec![]).await;
    assert_eq!(ask(&fleet, WWW, "198.51.100.1").await.1, "azure");
    std::fs::write(&path, database("SG")).unwrap();
    until("the new database", async || ask(&fleet, WWW, "198.51.100.1").await.1 == "google").await;
    std::fs::write(&path, b"\x00garbage").unwrap();
    fleet.until_metric("causeway_reloads_total{what=\"geo\",result=\"error\"}", 1.0).await;
    assert_eq!(ask(&fleet, WWW, "198.51.100.1").await.1, "google");
}
