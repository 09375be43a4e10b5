//! An edge that starts while every API server is down.

use std::time::{Duration, Instant};

use causeway_test_apiserver::{Kind, Server};

use crate::edges::{CLUSTERS, Fleet, PATIENCE, WWW, ingress};
use crate::place::where_servers_are_ours;

/// The issue's own figure.
const READY_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn an_edge_is_ready_from_memory_while_every_api_server_is_down() {
    where_servers_are_ours("boot::an_edge_is_ready_from_memory_while_every_api_server_is_down", async |kind: Kind| {
        let mut fleet = Fleet::start(kind).await;
        let saved = |fleet: &Fleet, home: &str, cluster: &str| fleet.path(&format!("state-{home}/clusters/{cluster}.state"));
        for cluster in CLUSTERS {
            let path = saved(&fleet, "azure", cluster);
            fleet
                .until("saving", async || {
                    std::fs::read_to_string(&path).is_ok_and(|text| cluster != "azure" || text.contains(WWW))
                })
                .await;
        }
        stop(&mut fleet).await;
        let began = Instant::now();
        fleet.start_again(1);
        let ready = tokio::time::timeout(PATIENCE, fleet.edges[1].readiness().ready()).await;
        let took = began.elapsed();
        assert_eq!(ready, Ok(true));
        assert!(took < READY_WITHIN, "ready after {took:?}");
        // Not a moment later: whoever is ready serves.
        assert_eq!(fleet.ask(1, WWW).await, 200);
        println!("{}: ready after {took:?} with all API servers down", fleet.kind.name());
        for cluster in CLUSTERS {
            fleet.until_metric(1, &format!("causeway_cluster_state{{cluster=\"{cluster}\",state=\"stale\"}}"), 1.0).await;
        }
        fleet.until("the reason", async || fleet.admin(1, "/diagnostics").await.matches("cannot be used").count() >= 3).await;
        assert_eq!(fleet.ask(1, WWW).await, 200);
        start(&mut fleet).await;
        fleet.clusters[2].access().apply(&ingress("late", "late.causeway-test.example.com")).await.unwrap();
        fleet.until_served(1, "late.causeway-test.example.com").await;
        fleet.end().await;
    });
}

async fn stop(fleet: &mut Fleet) {
    for cluster in &mut fleet.clusters {
        match &mut cluster.server {
            Server::StandIn(server) => server.stop(),
            Server::Real(server) => server.stop().await.unwrap(),
            Server::Given => unreachable!("they are left out"),
        }
    }
}

async fn start(fleet: &mut Fleet) {
    for cluster in &mut fleet.clusters {
        match &mut cluster.server {
            Server::StandIn(server) => server.restart().await.unwrap(),
            Server::Real(server) => server.start_again().await.unwrap(),
            Server::Given => unreachable!("they are left out"),
        }
    }
}
