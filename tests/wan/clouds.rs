//! The three clouds: backends, API servers, relays between them, and the edges.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use causeway::app::Addresses;
use causeway_test_apiserver::{ApiServer, Options};
use causeway_tests::backend::Backend;
use causeway_tests::fleet::{ingress, until};
use causeway_tests::peered;
use causeway_tests::process::{EdgeProcess, get};
use causeway_tests::traffic::Calls;
use causeway_tests::wan::{Condition, Relay, Shape};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_edge-under-test");
const CLOUDS: [(&str, &str); 3] = [("aws", "us-east-1"), ("azure", "westeurope"), ("google", "asia-southeast1")];
const BACKENDS: usize = 2;
const WEB: &str = "www.example.com";
const RPC: &str = "rpc.example.com";

/// The cloud that faults happen to.
const VICTIM: usize = 1;

/// A client of each part of the world, and the networks by which they are known.
const CLIENTS: [&str; 3] = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
const GEO: &str = "geo:\n  networks: {192.0.2.0/24: US, 198.51.100.0/24: DE, 203.0.113.0/24: SG}\n  \
                   prefer: {continents: {NA: [aws], EU: [azure], AS: [google]}}\n";

/// The round trip between two clouds, in milliseconds.
fn rtt(a: usize, b: usize) -> Duration {
    Duration::from_millis(match a.abs_diff(b) * 10 + a.min(b) {
        10 => 80,
        11 => 160,
        _ => 20,
    })
}

/// How the pods of other clouds are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// At their own addresses.
    Direct,
    /// Through the other clouds' edges.
    Edge,
}

/// What happens to a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All its backends die at once.
    BackendsKilled,
    /// Nothing passes between it and the others.
    LinkCut,
    /// Connections to it are accepted, and nothing is answered.
    LinkStalled,
    /// What is sent to it arrives, and no answer comes back.
    LinkHalfOpen,
    /// Its edge is killed.
    EdgeKilled,
    /// Nobody can ask its API server.
    ApiServerAway,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] =
        [Self::BackendsKilled, Self::LinkCut, Self::LinkStalled, Self::LinkHalfOpen, Self::EdgeKilled, Self::ApiServerAway];
}

/// All of it.
pub(crate) struct Clouds {
    folder: TempDir,
    reach: Reach,
    /// By cloud.
    backends: Vec<Vec<Backend>>,
    /// By edge and cloud: the view of that cloud's API server, and the way to it.
    servers: Vec<Vec<(ApiServer, Option<Relay>)>>,
    /// By edge and cloud: the ways to its backends, or to its edge; none at home.
    pods: Vec<Vec<Vec<Relay>>>,
    edges: Vec<Option<EdgeProcess>>,
    addresses: Vec<Addresses>,
    in_rotation: Arc<[AtomicBool]>,
}

impl Clouds {
    /// Starts everything, and waits until every edge serves every cloud.
    pub(crate) async fn start(reach: Reach) -> Self {
        let mut clouds = Self {
            folder: tempfile::tempdir().unwrap(),
            reach,
            backends: Vec::new(),
            servers: Vec::new(),
            pods: Vec::new(),
            edges: Vec::new(),
            addresses: Vec::new(),
            in_rotation: CLOUDS.iter().map(|_| AtomicBool::new(true)).collect(),
        };
        for _ in CLOUDS {
            let mut backends = Vec::new();
            for _ in 0..BACKENDS {
                backends.push(Backend::start().await);
            }
            clouds.backends.push(backends);
        }
        if reach == Reach::Edge {
            clouds.certify();
        }
        for edge in 0..CLOUDS.len() {
            clouds.connect(edge).await;
            let any = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
            let listen = Addresses { http: any.clone(), https: any.clone(), peer: any.clone(), health: any.clone(), admin: any };
            let process = clouds.launch(edge, &listen).await;
            clouds.addresses.push(process.addresses.clone());
            clouds.edges.push(Some(process));
        }
        if reach == Reach::Edge {
            clouds.introduce();
        }
        for edge in clouds.edges.iter().flatten() {
            serving(edge, reach).await;
        }
        clouds
    }

    /// The fleet's authority, and a certificate of it for each edge.
    fn certify(&self) {
        let ca = peered::authority();
        std::fs::write(self.path("ca.crt"), &ca.cert).unwrap();
        for (name, _) in CLOUDS {
            let pair = peered::certificate(&ca, name, peered::now());
            std::fs::write(self.path(&format!("{name}.crt")), &pair.cert).unwrap();
            std::fs::write(self.path(&format!("{name}.key")), &pair.key).unwrap();
        }
    }

    /// Lays the ways between edges, whose addresses are known only now, and tells the edges.
    fn introduce(&mut self) {
        for edge in 0..CLOUDS.len() {
            for cloud in (0..CLOUDS.len()).filter(|cloud| *cloud != edge) {
                let target = self.addresses[cloud].peer[0];
                self.pods[edge][cloud] = vec![Relay::start(target, Shape::of(rtt(edge, cloud)), (edge * 10 + cloud) as u64)];
            }
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for edge in 0..CLOUDS.len() {
            let any = vec![any];
            self.configure(
                edge,
                &Addresses { http: any.clone(), https: any.clone(), peer: any.clone(), health: any.clone(), admin: any },
            );
        }
    }

    /// The ways from an edge to all clouds.
    async fn connect(&mut self, edge: usize) {
        let (mut servers, mut pods) = (Vec::new(), Vec::new());
        for (cloud, (name, _)) in CLOUDS.iter().enumerate() {
            let seed = (edge * 10 + cloud) as u64;
            let shape = Shape::of(rtt(edge, cloud));
            let relays: Vec<_> = if edge == cloud || self.reach == Reach::Edge {
                Vec::new()
            } else {
                self.backends[cloud].iter().map(|backend| Relay::start(backend.address, shape, seed)).collect()
            };
            let addresses: Vec<_> = if relays.is_empty() {
                self.backends[cloud].iter().map(|backend| backend.address).collect()
            } else {
                relays.iter().map(|relay| relay.address).collect()
            };
            let server = ApiServer::start(Options::default()).await.unwrap();
            server.allow_loopback_endpoints();
            server.apply(&objects(&addresses)).unwrap();
            if cloud == VICTIM {
                // Applied in one cloud, and in the one that breaks.
                server.apply(&ingress("shop/web", WEB, "web", "")).unwrap();
                server.apply(&ingress("shop/rpc", RPC, "rpc", "")).unwrap();
            }
            let relay = (edge != cloud).then(|| Relay::start(server.address(), shape, seed));
            let mut kubeconfig = server.kubeconfig(name, causeway_test_apiserver::TOKEN);
            if let Some(relay) = &relay {
                kubeconfig = kubeconfig.replace(&server.address().to_string(), &relay.address.to_string());
            }
            std::fs::write(self.path(&format!("{}-{name}.kubeconfig", CLOUDS[edge].0)), kubeconfig).unwrap();
            servers.push((server, relay));
            pods.push(relays);
        }
        self.servers.push(servers);
        self.pods.push(pods);
    }

    /// Writes an edge's configuration.
    fn configure(&self, edge: usize, listen: &Addresses) -> PathBuf {
        let home = CLOUDS[edge].0;
        let mut text = format!(
            "listen:\n  http: {{bind: '{}'}}\n  https: {{bind: '{}', forwardedFor: [127.0.0.0/8]}}\n  health: {{bind: '{}'}}\n  \
             admin: {{bind: '{}'}}\n",
            listen.http[0], listen.https[0], listen.health[0], listen.admin[0]
        );
        if self.reach == Reach::Edge {
            let _ = writeln!(
                text,
                "  peer: {{bind: '{}'}}\nfleet: {{name: shop, tls: {{ca: ./ca.crt, cert: ./{home}.crt, key: ./{home}.key}}}}",
                listen.peer[0]
            );
        }
        let _ = write!(text, "stateDir: off\ndrain: {{lameDuck: 0s}}\n{GEO}clusters:\n");
        for (cloud, (name, location)) in CLOUDS.into_iter().enumerate() {
            let ways = self.pods.get(edge).map_or(&[][..], |pods| &pods[cloud]);
            let reach = match self.reach {
                Reach::Direct => "reach: {direct: {plaintext: true}}".to_owned(),
                Reach::Edge if ways.is_empty() => "reach: edge".to_owned(),
                Reach::Edge => format!("reach: edge, peers: {{addresses: ['{}']}}", ways[0].address),
            };
            let _ = writeln!(
                text,
                "  {name}: {{location: {location}, kubeconfig: ./{home}-{name}.kubeconfig, {reach}, podCIDRs: [127.0.0.0/8], \
                 allowLoopbackEndpoints: true}}"
            );
        }
        let config = self.path(&format!("{home}.yaml"));
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), &config).unwrap();
        config
    }

    async fn launch(&self, edge: usize, listen: &Addresses) -> EdgeProcess {
        let home = CLOUDS[edge].0;
        let started = EdgeProcess::start(PROGRAM, &self.configure(edge, listen), home, home).await;
        started.unwrap_or_else(|(status, log)| panic!("{home}: {status}\n{log}"))
    }

    /// Whom traffic calls.
    pub(crate) fn calls(&self) -> Calls {
        Calls {
            edges: self.addresses.iter().map(|addresses| addresses.https[0]).collect(),
            in_rotation: Arc::clone(&self.in_rotation),
            clients: CLIENTS.map(str::to_owned).to_vec(),
            web: WEB.into(),
            rpc: RPC.into(),
        }
    }

    /// Breaks something.
    pub(crate) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::BackendsKilled => {
                if self.reach == Reach::Direct {
                    // Where nobody listens connections are refused, whatever lies between.
                    self.ways_to_the_victim(Condition::Refused);
                }
                self.backends[VICTIM].iter().for_each(Backend::kill);
            }
            Fault::LinkCut => self.links_of_the_victim(Condition::Cut),
            Fault::LinkStalled => self.links_of_the_victim(Condition::Stalled),
            Fault::LinkHalfOpen => self.links_of_the_victim(Condition::HalfOpen),
            Fault::EdgeKilled => {
                if self.reach == Reach::Edge {
                    self.ways_to_the_victim(Condition::Refused);
                }
                drop(self.edges[VICTIM].take());
            }
            Fault::ApiServerAway => self.servers.iter().for_each(|servers| servers[VICTIM].0.stop()),
        }
    }

    /// Mends it.
    pub(crate) async fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::BackendsKilled => {
                for backend in &self.backends[VICTIM] {
                    backend.revive().await;
                }
                self.ways_to_the_victim(Condition::Up);
            }
            Fault::LinkCut | Fault::LinkStalled | Fault::LinkHalfOpen => self.links_of_the_victim(Condition::Up),
            Fault::EdgeKilled => {
                // Load balancers found out long ago, and send nobody until it is ready.
                self.in_rotation[VICTIM].store(false, Relaxed);
                let edge = self.launch(VICTIM, &self.addresses[VICTIM]).await;
                edge.ready().await;
                self.ways_to_the_victim(Condition::Up);
                self.in_rotation[VICTIM].store(true, Relaxed);
                self.edges[VICTIM] = Some(edge);
            }
            Fault::ApiServerAway => {
                for servers in &self.servers {
                    servers[VICTIM].0.restart().await.unwrap();
                }
            }
        }
    }

    /// What leads to its pods, or to its edge.
    fn ways_to_the_victim(&self, condition: Condition) {
        self.pods.iter().flat_map(|clouds| &clouds[VICTIM]).for_each(|relay| relay.set(condition));
    }

    /// All that passes between the victim and the others, in both directions.
    fn links_of_the_victim(&self, condition: Condition) {
        for edge in 0..CLOUDS.len() {
            for cloud in (0..CLOUDS.len()).filter(|cloud| (edge == VICTIM) != (*cloud == VICTIM)) {
                self.pods[edge][cloud].iter().for_each(|relay| relay.set(condition));
                self.servers[edge][cloud].1.iter().for_each(|relay| relay.set(condition));
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Waits until an edge knows all clouds and the routes, and the edges of the other clouds where those lead to pods.
async fn serving(edge: &EdgeProcess, reach: Reach) {
    edge.ready().await;
    let admin = edge.addresses.admin[0];
    until("the fleet", async || {
        let (metrics, routes) = (get(admin, "/metrics").await.unwrap(), get(admin, "/routes").await.unwrap());
        let synced = |name| metrics.contains(&format!("causeway_cluster_state{{cluster=\"{name}\",state=\"synced\"}} 1"));
        let met = |name: &str| {
            let up = format!("causeway_peer_links{{cluster=\"{name}\",state=\"up\"}} 1");
            reach == Reach::Direct || name == edge.instance || metrics.contains(&up)
        };
        CLOUDS.iter().all(|(name, _)| synced(name) && met(name)) && routes.contains(WEB) && routes.contains(RPC)
    })
    .await;
}

/// The same Services in every cloud, over the same pods.
fn objects(addresses: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (service, protocol) in [("web", "http"), ("rpc", "kubernetes.io/h2c")] {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {service}, namespace: shop}}\n\
             spec: {{ports: [{{name: web, port: 80, appProtocol: {protocol}}}]}}\n"
        );
        for (n, address) in addresses.iter().enumerate() {
            let _ = write!(
                text,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: {service}-{n}, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}\n\
                 addressType: IPv4\nports: [{{name: web, port: {}}}]\n\
                 endpoints: [{{addresses: [{}], conditions: {{ready: true}}, targetRef: {{kind: Pod, uid: {service}-{n}}}}}]\n",
                address.port(),
                address.ip(),
            );
        }
    }
    text
}
