//! API servers that misbehave while clients are served: no request fails for it.
//!
//! Each fault strikes all three servers at once, for as long as a good number of requests takes. Then it ends, and a new Ingress
//! shows that every edge follows again. What edges noticed of a fault is counted from their metrics, so that a fault that never
//! happened is no proof of anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway_test_apiserver::{ApiServer, Fault, Kind, RealServer, Server, TOKEN};
use causeway_tests::Client;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::edges::{CLUSTERS, Fleet, NAMESPACE, WWW, ingress};
use crate::place::where_servers_are_ours;

/// Requests a second, over all edges.
const RATE: u32 = 200;

/// Requests during each fault, at least.
const DURING: usize = 200;

/// Of the stand-in, by names that say what happens.
const OF_STAND_INS: &[(&str, Noticed)] = &[
    ("watches cut within an event", Noticed::AtOnce),
    ("watches stall", Noticed::Later),
    ("slow answers", Noticed::AtOnce),
    ("an empty list", Noticed::AtOnce),
    ("429 with Retry-After", Noticed::AtOnce),
    ("500", Noticed::AtOnce),
    ("410", Noticed::AtOnce),
    ("another authority", Noticed::AtOnce),
    ("half-open connections", Noticed::Later),
    ("a restart", Noticed::AtOnce),
    ("the token is refused", Noticed::AtOnce),
    ("everything is forbidden", Noticed::AtOnce),
];

/// Of a real control plane.
const OF_REAL_SERVERS: &[(&str, Noticed)] = &[
    ("etcd is killed", Noticed::Later),
    ("the server's process is stopped", Noticed::Later),
    ("a restart", Noticed::AtOnce),
    ("410, by compaction and a restart", Noticed::AtOnce),
];

/// When an edge knows that something is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noticed {
    AtOnce,
    /// Silence is not known for what it is before 25 s.
    Later,
}

#[test]
fn no_request_fails_because_an_api_server_misbehaves() {
    where_servers_are_ours("misbehave::no_request_fails_because_an_api_server_misbehaves", async |kind: Kind| {
        let faults = match kind {
            Kind::StandIn => OF_STAND_INS,
            Kind::Real(_) => OF_REAL_SERVERS,
            Kind::Given(_) => unreachable!("they are left out"),
        };
        let mut fleet = Fleet::start(kind).await;
        let load = Load::start(&fleet).await;
        println!("{:<34}{:>9}{:>9}{:>10}   edges follow again after", fleet.kind.name(), "requests", "failed", "noticed");
        for (number, (fault, noticed)) in faults.iter().enumerate() {
            let (sent, failed, seen) = (load.sent(), load.failed(), notices(&fleet).await);
            begin(&mut fleet, fault).await;
            load.until_sent(sent + DURING).await;
            if *noticed == Noticed::AtOnce {
                // And on, until every edge knows of it.
                fleet.until(fault, async || notices(&fleet).await.iter().zip(&seen).all(|(now, before)| now > before)).await;
            }
            let after = notices(&fleet).await;
            end(&mut fleet, fault).await;
            let ended = Instant::now();
            let host = format!("after-{number}.causeway-test.example.com");
            fleet.clusters[number % 3].access().apply(&ingress(&format!("after-{number}"), &host)).await.unwrap();
            for position in 0..CLUSTERS.len() {
                fleet.until_served(position, &host).await;
            }
            let (sent, failed) = (load.sent() - sent, load.failed() - failed);
            let noticed: f64 = after.iter().sum::<f64>() - seen.iter().sum::<f64>();
            println!("  {fault:<32}{sent:>9}{failed:>9}{noticed:>10}   {:.1} s", ended.elapsed().as_secs_f64());
        }
        let (sent, seconds, faults) = load.end().await;
        println!("  {sent} requests in {seconds:.0} s, {} failed", faults.len());
        assert!(faults.is_empty(), "{faults:#?}");
        fleet.end().await;
    });
}

/// What each edge has noticed of its API servers so far: faults, lists, and watches that it opened.
async fn notices(fleet: &Fleet) -> Vec<f64> {
    let mut all = Vec::new();
    for position in 0..CLUSTERS.len() {
        let mut sum = 0.0;
        for name in
            ["causeway_discovery_faults_total{", "causeway_discovery_lists_total{", "causeway_discovery_watches_opened_total{"]
        {
            sum += fleet.metric(position, name).await;
        }
        // A client that cannot be made is told by a diagnostic.
        sum += fleet.admin(position, "/diagnostics").await.matches("cannot be used").count() as f64;
        all.push(sum);
    }
    all
}

async fn begin(fleet: &mut Fleet, fault: &str) {
    for cluster in &mut fleet.clusters {
        match &mut cluster.server {
            Server::StandIn(server) => torment(server, fault).await,
            Server::Real(server) => torment_real(server, fault).await,
            Server::Given => unreachable!("they are left out"),
        }
    }
}

async fn torment(server: &ApiServer, fault: &str) {
    match fault {
        "watches cut within an event" => server.cut_watches(),
        "watches stall" => server.stall_watches(),
        "slow answers" => order(server, Fault::Slow(Duration::from_millis(300))),
        "an empty list" => {
            // One for each edge; the list after that has everything.
            server.order("/endpointslices", Fault::EmptyList, CLUSTERS.len());
            server.expire_watches();
        }
        "429 with Retry-After" => order(server, Fault::Status(429, Some(1))),
        "500" => order(server, Fault::Status(500, None)),
        "410" => {
            server.compact();
            server.close_watches();
        }
        "another authority" => {
            server.renew_certificate().unwrap();
            server.restart().await.unwrap();
        }
        "half-open connections" => server.freeze(true),
        "a restart" => server.stop(),
        "the token is refused" => {
            server.revoke(TOKEN);
            server.close_watches();
        }
        "everything is forbidden" => {
            for plural in kinds() {
                server.deny(plural, &["get", "list", "watch"]);
            }
            server.close_watches();
        }
        other => unreachable!("{other} is not in the list"),
    }
}

fn order(server: &ApiServer, fault: Fault) {
    server.order("/", fault, usize::MAX);
    server.close_watches();
}

fn kinds() -> [&'static str; 6] {
    ["services", "endpointslices", "ingresses", "ingressclasses", "namespaces", "secrets"]
}

async fn torment_real(server: &mut RealServer, fault: &str) {
    match fault {
        "etcd is killed" => server.kill_etcd().await.unwrap(),
        "the server's process is stopped" => server.freeze(true).await.unwrap(),
        "a restart" => server.stop().await.unwrap(),
        "410, by compaction and a restart" => {
            server.compact().await.unwrap();
            server.stop().await.unwrap();
        }
        other => unreachable!("{other} is not in the list"),
    }
}

async fn end(fleet: &mut Fleet, fault: &str) {
    for cluster in &mut fleet.clusters {
        match &mut cluster.server {
            Server::StandIn(server) => {
                server.no_faults();
                server.freeze(false);
                server.admit(TOKEN, "reader");
                for plural in kinds() {
                    server.allow(plural);
                }
                match fault {
                    "watches stall" => server.close_watches(),
                    "a restart" => server.restart().await.unwrap(),
                    _ => {}
                }
            }
            Server::Real(server) => match fault {
                "etcd is killed" => server.start_etcd().await.unwrap(),
                "the server's process is stopped" => server.freeze(false).await.unwrap(),
                _ => server.start_again().await.unwrap(),
            },
            Server::Given => unreachable!("they are left out"),
        }
    }
    if fault == "another authority" {
        fleet.write_kubeconfigs();
    }
    for (position, name) in CLUSTERS.into_iter().enumerate() {
        let path = fleet.path(&format!("{name}.kubeconfig"));
        fleet.clusters[position].renew_access(&path).await.unwrap();
    }
}

/// A steady load on every edge: a connection each, kept for all requests.
struct Load {
    began: Instant,
    sent: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    async fn start(fleet: &Fleet) -> Self {
        let (sent, failed, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut clients = Vec::new();
        for (position, home) in CLUSTERS.into_iter().enumerate() {
            let edge = fleet.https(position);
            let mut client = Client::h1(edge, WWW).await;
            let (sent, failed, stop) = (Arc::clone(&sent), Arc::clone(&failed), Arc::clone(&stop));
            clients.push(tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_secs(CLUSTERS.len() as u64) / RATE);
                // What a busy machine held up is made good for: the rate is part of the claim.
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let mut faults = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let began = Instant::now();
                    // It panics where the connection ends or nothing comes, and with it this task and the test.
                    let response = client.get(WWW, "/").await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    if response.status() != 200 || began.elapsed() > Duration::from_secs(5) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        faults.push(format!("{home} after {:?}: {}", began.elapsed(), response.head));
                    }
                }
                faults
            }));
        }
        Self { began: Instant::now(), sent, failed, stop, clients }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    async fn until_sent(&self, count: usize) {
        let enough = async {
            while self.sent() < count {
                assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client was left without an answer in {NAMESPACE}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::edges::PATIENCE, enough).await.expect("requests are answered");
    }

    async fn end(self) -> (usize, f64, Vec<String>) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let mut faults = Vec::new();
        for client in self.clients {
            faults.extend(client.await.expect("every request was answered, on the connection of the one before"));
        }
        (self.sent.load(Ordering::Relaxed), seconds, faults)
    }
}
