//! What is applied in one cluster is served by every edge, and what is deleted is not any more.

use std::time::{Duration, Instant};

use causeway_test_apiserver::Kind;
use causeway_tests::{Answer, Client, Origin};

use crate::edges::{CLUSTERS, Fleet, NAMESPACE, WWW, ingress, slice};
use crate::network;
use crate::place::everywhere;

const LATE: &str = "late.causeway-test.example.com";

#[test]
fn an_ingress_applied_in_one_cluster_is_served_by_every_edge() {
    everywhere("follow::an_ingress_applied_in_one_cluster_is_served_by_every_edge", async |kind: Kind| {
        let fleet = Fleet::start(kind).await;
        for (position, name) in CLUSTERS.into_iter().enumerate() {
            fleet.clusters[position].access().apply(&ingress("late", LATE)).await.unwrap();
            let added = times(&fleet, 200).await;
            fleet.clusters[position].access().delete(&ingress("late", LATE)).await.unwrap();
            let removed = times(&fleet, 404).await;
            println!("{}: Ingress in {name}: served after {added:?}, gone after {removed:?}", fleet.kind.name());
        }
        fleet.end().await;
    });
}

/// How long after now each edge answers so; the edges are asked at the same time.
async fn times(fleet: &Fleet, status: u16) -> Vec<Duration> {
    let began = Instant::now();
    let mut times = Vec::new();
    let wait = async |position: usize| {
        fleet.until("the change", async || fleet.ask(position, LATE).await == status).await;
        began.elapsed()
    };
    let (a, b, c) = tokio::join!(wait(0), wait(1), wait(2));
    times.extend([a, b, c]);
    times
}

#[test]
fn endpoints_and_secrets_are_followed() {
    everywhere("follow::endpoints_and_secrets_are_followed", async |kind: Kind| {
        let fleet = Fleet::start(kind).await;
        // Another pod takes over in every cluster.
        let mut origins = Vec::new();
        for position in 0..CLUSTERS.len() {
            let origin = Origin::start_at(network::pods_of(position), |_| Answer::ok("new")).await;
            fleet.clusters[position].access().apply(&slice("web", &[origin.address])).await.unwrap();
            origins.push(origin);
        }
        for position in 0..CLUSTERS.len() {
            fleet
                .until("the new pods", async || {
                    let mut client = Client::h1(fleet.https(position), WWW).await;
                    client.get(WWW, "/").await.text() == "new"
                })
                .await;
        }
        // A certificate for the host, by a Secret that the Ingress begins to name.
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![WWW.to_owned()]).unwrap().self_signed(&key).unwrap();
        let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{namespace: {NAMESPACE}, name: web-tls}}\ntype: kubernetes.io/tls\nstringData:\n  \
             tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indented(&certificate.pem()),
            indented(&key.serialize_pem())
        );
        let with_tls = format!("{}  tls: [{{hosts: [{WWW}], secretName: web-tls}}]\n", ingress("web", WWW));
        fleet.clusters[1].access().apply(&(secret.clone() + &with_tls)).await.unwrap();
        for position in 0..CLUSTERS.len() {
            fleet
                .until("the certificate", async || {
                    Client::h1(fleet.https(position), WWW).await.certificate().as_ref() == certificate.der().as_ref()
                })
                .await;
        }
        fleet.clusters[1].access().delete(&secret).await.unwrap();
        fleet.end().await;
    });
}

/// What an operator sees of each cluster: how fresh, when last heard, what was listed, why watches began anew, how much is held.
#[test]
fn the_admin_port_tells_how_each_cluster_is_followed() {
    everywhere("follow::the_admin_port_tells_how_each_cluster_is_followed", async |kind: Kind| {
        let fleet = Fleet::start(kind).await;
        let view: serde_json::Value = serde_json::from_str(&fleet.admin(0, "/snapshot").await).unwrap();
        for (position, name) in CLUSTERS.into_iter().enumerate() {
            assert_eq!(view["clusters"][position]["freshness"], "synced", "{view:#}");
            let told = &view["discovery"][name];
            assert!(told["lastEventSeconds"].as_f64().unwrap() < 120.0, "{told:#}");
            for kind in ["Service", "EndpointSlice", "Ingress", "IngressClass", "Namespace", "Secret"] {
                assert!(told["lists"][kind].as_u64().unwrap() >= 1, "{kind} in {told:#}");
                let lists = format!("causeway_discovery_lists_total{{cluster=\"{name}\",kind=\"{kind}\"}}");
                assert!(fleet.metric(0, &lists).await >= 1.0, "{lists}");
            }
            assert!(told["objects"]["Service"].as_u64().unwrap() >= 1 && told["objects"]["EndpointSlice"].as_u64().unwrap() >= 1);
            assert!(told["watches"]["opened"].as_u64().unwrap() >= 6 && told["requests"].as_u64().unwrap() >= 7, "{told:#}");
            for cause in ["forbidden", "absent", "unauthorized", "gone", "busy", "refused", "network", "doubted"] {
                assert!(told["restarts"][cause].is_u64(), "{cause} in {told:#}");
            }
            assert!(told["bytes"].as_u64().unwrap() > 1000, "{told:#}");
            for (metric, least) in [
                ("causeway_cluster_state{", 1.0),
                ("causeway_cluster_objects{", 2.0),
                ("causeway_discovery_received_bytes_total{", 1000.0),
                ("causeway_discovery_watches_opened_total{", 6.0),
            ] {
                let series = format!("{metric}cluster=\"{name}\"");
                assert!(fleet.metric(0, &series).await >= least, "{series}");
            }
            let series = format!("causeway_discovery_last_event_seconds{{cluster=\"{name}\"}}");
            assert!(fleet.admin(0, "/metrics").await.contains(&series), "{series}");
        }
        // And what went wrong, by its cause.
        if let Some(server) = fleet.clusters[1].stand_in() {
            let gone = "causeway_discovery_faults_total{cluster=\"azure\",cause=\"gone\"}";
            let before = fleet.metric(0, gone).await;
            server.compact();
            server.close_watches();
            fleet.until_metric(0, gone, before + 1.0).await;
        }
        fleet.end().await;
    });
}
