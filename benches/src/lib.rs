//! Fleets of any size, made from numbers: what the benchmarks and the guard on allocations measure with.
//!
//! Three clusters, `aws` (home), `azure` and `google`, over a flat network; preferences by continent; a fence on one host.
//! Everything is built through the same doors as in an edge: the configuration by `parse`, the snapshot by `compile`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use causeway_certs::{Allowed, CertIndex, Certificate, DefaultOffer, Offer, ServerTls, process_tickets, self_signed};
use causeway_config::{ClusterId, Config, HostPattern, ObjectName, Scope};
use causeway_core::cluster::{
    AppProtocol, Endpoint, Freshness, Ingress, IngressRule, Objects, PathType, PortRef, Service, ServicePort, ServiceRef,
};
use causeway_core::{ClusterState, Edge, Location, Nanos, Snapshot, compile, tick};

/// When everything happens, on the core's clock.
pub const NOW: Nanos = Nanos(1_000_000_000);

/// When certificates are made and looked up: 2027-01-15T08:00:00Z.
pub const TODAY: i64 = 1_800_000_000;

const CONFIG: &str = r"
clusters:
  aws:    {location: us-east-1, podCIDRs: [10.0.0.0/8], reach: {direct: {plaintext: true}}}
  azure:  {location: westeurope, podCIDRs: [10.0.0.0/8], reach: {direct: {plaintext: true}}, kubeconfig: azure.yaml}
  google: {location: asia-southeast1, podCIDRs: [10.0.0.0/8], reach: {direct: {plaintext: true}}, kubeconfig: google.yaml}
geo:
  prefer: {continents: {EU: [azure], NA: [aws], AS: [google]}, countries: {BR: [[aws, azure]]}, default: [aws]}
";

const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];

/// How large a fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Ingresses, each with a host of its own and one path.
    pub hosts: usize,
    /// Services, in every cluster; the Ingresses share them evenly.
    pub services: usize,
    /// Endpoints of each Service in each cluster.
    pub endpoints: usize,
    /// In how many clusters each Ingress stands, 1 to 3.
    pub copies: usize,
}

impl Size {
    /// So many hosts, ten to a Service, two endpoints of each in each cluster.
    pub fn hosts(hosts: usize) -> Self {
        Self { hosts, services: hosts.div_ceil(10), endpoints: 2, copies: 1 }
    }

    /// So many routes to as many Services, one endpoint of each in each of the three clusters.
    pub fn routes(routes: usize) -> Self {
        Self { hosts: routes, services: routes, endpoints: 1, copies: 1 }
    }
}

/// Which hosts requests ask for. It decides how much of the table is in the processor's caches.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// All for one: everything is in the caches.
    OneHost,
    /// A few hosts get most of it (Zipf's law, exponent 1), as traffic of the web is.
    Popular,
    /// All alike: next to nothing is in the caches. The worst case.
    Uniform,
}

/// A fleet as one edge knows it.
#[derive(Clone, Debug)]
pub struct World {
    /// How large it is.
    pub size: Size,
    /// Its configuration.
    pub config: Arc<Config>,
    /// The edge.
    pub edge: Edge,
    /// What the clusters hold.
    pub states: Vec<ClusterState>,
}

impl World {
    /// Makes a fleet.
    pub fn new(size: Size) -> Self {
        let config = causeway_config::parse(CONFIG.as_bytes(), Path::new("fleet.yaml")).expect("the text above is valid").config;
        let edge = Edge { home: id("aws"), listeners: vec![SocketAddr::from(([0, 0, 0, 0], 443))], addresses: Vec::new() };
        Self { size, config: Arc::new(config), edge, states: (0..CLUSTERS.len()).map(|c| state(c, size)).collect() }
    }

    /// Compiles from nothing, and ticks.
    pub fn snapshot(&self) -> Snapshot {
        let (snapshot, diagnostics) = self.compile(&Snapshot::empty(Arc::clone(&self.config)));
        causeway_core::reach::assume(&snapshot);
        assert!(diagnostics.is_empty(), "a generated fleet is sound: {}", diagnostics[0]);
        tick(&snapshot, NOW);
        snapshot
    }

    /// Compiles after `previous`.
    pub fn compile(&self, previous: &Snapshot) -> (Snapshot, Vec<causeway_core::Diagnostic>) {
        compile(&self.config, &self.edge, &self.states, &[], previous)
    }

    /// The same fleet after one Service of one cluster got one endpoint more. Everything else is shared, as discovery's `reuse`
    /// hands it on.
    #[must_use]
    pub fn with_endpoint_added(&self) -> Self {
        let mut after = self.clone();
        let service = service_name(self.size.services / 2);
        let all = Arc::make_mut(&mut after.states[1].endpoints);
        let list = Arc::make_mut(all.get_mut(&service).expect("every Service has endpoints"));
        list.push(endpoint(1, self.size.services * self.size.endpoints));
        after
    }

    /// The same fleet after one Ingress of one cluster was given another path.
    #[must_use]
    pub fn with_path_changed(&self) -> Self {
        let mut after = self.clone();
        let objects = Arc::make_mut(&mut after.states[0].objects);
        let ingress = objects.ingresses.values_mut().next().expect("there is a host");
        Arc::make_mut(ingress).rules[0].path = "/moved".into();
        after
    }

    /// A host that some client asks for.
    pub fn asked(&self, traffic: Traffic, rng: &mut fastrand::Rng) -> String {
        let hosts = self.size.hosts;
        host(match traffic {
            Traffic::OneHost => 0,
            // The n-th most popular host gets about 1/n of the requests. Popularity has nothing to do with place in the table.
            Traffic::Popular => (hosts as f64).powf(rng.f64()) as usize * 7919 % hosts,
            Traffic::Uniform => rng.usize(..hosts),
        })
    }
}

/// A fleet of one host with so many paths, `/s/0` and on.
pub fn many_paths(paths: usize) -> World {
    let mut world = World::new(Size { hosts: 1, services: 1, endpoints: 1, copies: 1 });
    let objects = Arc::make_mut(&mut world.states[0].objects);
    let ingress = objects.ingresses.values_mut().next().expect("there is one host");
    let ingress = Arc::make_mut(ingress);
    let rule = ingress.rules[0].clone();
    ingress.rules = (0..paths).map(|n| IngressRule { path: format!("/s/{n}").into(), ..rule.clone() }).collect();
    world
}

/// Where a client in `country` is.
pub fn location(country: &str) -> Location {
    Location { country: country.parse().expect("the callers' countries exist"), subdivision: None }
}

/// The `n`-th host.
pub fn host(n: usize) -> String {
    format!("shop-{n}.example.com")
}

/// An index of so many certificates, one name each.
pub fn certificates(count: usize) -> CertIndex {
    let tls = ServerTls::new(process_tickets().expect("the system has randomness"));
    let certificate = |name: &str| {
        let pem = self_signed(&[name], TODAY).expect("generated names are valid");
        Arc::new(Certificate::from_pem(&pem.cert, &pem.key, &tls).expect("a certificate made here can be read"))
    };
    let offer = |n: usize| Offer {
        source: format!("Secret aws:shop/{n}"),
        rank: 0,
        hosts: Allowed::Any,
        except: Vec::new(),
        certificate: Ok(certificate(&host(n))),
    };
    let default = DefaultOffer { source: "default".into(), certificate: certificate("causeway.invalid") };
    CertIndex::build((0..count).map(offer).collect(), default, TODAY).0
}

/// A configuration that declares so many hosts, as YAML.
pub fn configuration(hosts: usize) -> String {
    let declared = (0..hosts).map(|n| format!("  {}: {{owners: [\"*/shop\"], minTLS: \"1.3\"}}\n", host(n)));
    std::iter::once(format!("{CONFIG}hosts:\n")).chain(declared).collect()
}

fn state(cluster: usize, size: Size) -> ClusterState {
    let service = || {
        let port = ServicePort { name: "http".into(), port: 80, protocol: AppProtocol::Http };
        Arc::new(Service { ports: vec![port], external_name: false, scope: Scope::Fleet, balancers: Vec::new(), tls: None })
    };
    let copies = |n: &usize| (n + CLUSTERS.len() - cluster) % CLUSTERS.len() < size.copies;
    let objects = Objects {
        services: (0..size.services).map(|n| (service_name(n), service())).collect(),
        ingresses: (0..size.hosts).filter(copies).map(|n| (name(n, "web"), Arc::new(ingress(n, size)))).collect(),
        ingress_classes: BTreeMap::new(),
        namespaces: BTreeMap::new(),
        nodes: BTreeMap::new(),
    };
    let endpoints = |n: usize| (0..size.endpoints).map(|e| endpoint(cluster, n * size.endpoints + e)).collect::<Vec<_>>();
    ClusterState {
        freshness: Freshness::Synced,
        objects: Arc::new(objects),
        endpoints: Arc::new((0..size.services).map(|n| (service_name(n), Arc::new(endpoints(n)))).collect()),
        ..ClusterState::syncing(id(CLUSTERS[cluster]))
    }
}

fn ingress(n: usize, size: Size) -> Ingress {
    let host: HostPattern = host(n).parse().expect("a generated host is valid");
    let service = ServiceRef { service: service_name(n % size.services).name, port: PortRef::Number(80) };
    Ingress {
        class: Some("causeway".into()),
        legacy_class: None,
        scope: Scope::Fleet,
        created: 0,
        default_backend: None,
        bare_hosts: Vec::new(),
        rules: vec![IngressRule { host, path: "/".into(), path_type: PathType::Prefix, backend: Ok(service) }],
        tls: Vec::new(),
    }
}

fn endpoint(cluster: usize, n: usize) -> Endpoint {
    let [_, high, middle, low] = (n as u32).to_be_bytes();
    // 10.CLUSTER+HIGH.MIDDLE.LOW: sixteen clusters of 2^20 pods.
    let address = Ipv4Addr::new(10, (cluster as u8) << 4 | high, middle, low);
    Endpoint {
        port_name: "http".into(),
        address: SocketAddr::from((address, 8080)),
        uid: format!("pod-{cluster}-{n:08}-4f6c-4b5e-9d7a-0123456789ab").into(),
        known: true,
        ready: true,
        serving: true,
        terminating: false,
    }
}

fn service_name(n: usize) -> ObjectName {
    name(n, "api")
}

/// All Services lie in the namespace of their Ingresses, as Ingress demands.
fn name(n: usize, kind: &str) -> ObjectName {
    ObjectName::new("shop", format!("{kind}-{n}"))
}

fn id(name: &str) -> ClusterId {
    name.parse().expect("the callers' names are labels")
}
