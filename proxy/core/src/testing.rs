//! A small world for tests: three clusters, filled by one-liners.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_config as config;
use causeway_config::{Cluster, ClusterId, Config, Coordinates, ObjectName, Peers, Reach, Scope, Source};

use crate::cluster::{
    AppProtocol, ClusterState, Endpoint, Freshness, Ingress, IngressRule, Objects, PathType, PortRef, Service, ServicePort,
    ServiceRef,
};
use crate::compile::{Edge, compile};
use crate::diagnostics::Diagnostic;
use crate::geo::Location;
use crate::health::tick;
use crate::link::{InstanceId, LinkCell};
use crate::peer::{ClusterPeers, Peer};
use crate::plan::{Plan, RequestHead, plan};
use crate::reach::assume;
use crate::snapshot::Snapshot;
use crate::time::Nanos;

pub(crate) const AWS: usize = 0;
pub(crate) const AZURE: usize = 1;
pub(crate) const GOOGLE: usize = 2;
const NAMES: [&str; 3] = ["aws", "azure", "google"];

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) edge: Edge,
    pub(crate) states: Vec<ClusterState>,
    pub(crate) peers: Vec<ClusterPeers>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) now: Nanos,
}

pub(crate) fn id(name: &str) -> ClusterId {
    name.parse().unwrap()
}

pub(crate) fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// As requests have it.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn country(code: &str) -> Option<Location> {
    Some(Location { country: code.parse().unwrap(), subdivision: None })
}

fn cluster(name: &str, lat: f64, lon: f64) -> Cluster {
    Cluster {
        id: id(name),
        coordinates: Some(Coordinates { lat, lon }),
        source: Source::Manifests(name.into()),
        reach: Reach::Direct { plaintext: true },
        peers: Peers::default(),
        pod_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        allow_loopback: false,
        may_serve: None,
        state: config::ClusterState::Active,
        weight: 1.0,
        max_stale: None,
    }
}

/// aws in Virginia (home), azure in Amsterdam, google in Singapore; nothing preferred, nothing served.
pub(crate) fn world() -> World {
    let listener = || config::ClientListener {
        bind: vec!["0.0.0.0:443".parse().unwrap()],
        proxy_protocol: config::ProxyProtocol::default(),
        forwarded_for: Vec::new(),
    };
    let config = Config {
        fleet: config::Fleet { name: "test".into(), tls: None, revoked: Vec::new(), secret: None, siblings: Vec::new() },
        listen: config::Listen {
            http: None,
            plain: config::Plain::default(),
            https: listener(),
            peer: None,
            health: Vec::new(),
            admin: Vec::new(),
        },
        clusters: vec![cluster("aws", 38.9, -77.4), cluster("azure", 52.4, 4.9), cluster("google", 1.35, 103.82)],
        geo: config::Geo::default(),
        hosts: BTreeMap::new(),
        strict_hosts: false,
        ingress_classes: vec!["causeway".into(), "traefik".into()],
        sameness: config::Sameness::default(),
        tls: config::Tls::default(),
        limits: config::Limits::default(),
        upstream: config::Upstream::default(),
        responses: config::Responses::default(),
        access_log: config::AccessLog::default(),
        drain: config::Drain::default(),
        handover: None,
        state_dir: None,
    };
    World {
        edge: Edge {
            home: id("aws"),
            listeners: vec!["0.0.0.0:443".parse().unwrap()],
            addresses: vec!["10.9.9.9".parse().unwrap()],
        },
        states: NAMES.iter().map(|n| ClusterState { freshness: Freshness::Synced, ..ClusterState::syncing(id(n)) }).collect(),
        peers: Vec::new(),
        snapshot: Arc::new(Snapshot::empty(Arc::new(config.clone()))),
        config,
        diagnostics: Vec::new(),
        now: Nanos(1_000_000_000),
    }
}

pub(crate) fn ingress(rules: &[(&str, &str, &str)]) -> Ingress {
    let rule = |&(host, path, service): &(&str, &str, &str)| IngressRule {
        host: host.parse().unwrap(),
        path: path.into(),
        path_type: PathType::Prefix,
        backend: Ok(service_ref(service, 80)),
    };
    Ingress {
        class: Some("causeway".into()),
        legacy_class: None,
        scope: Scope::Fleet,
        created: 0,
        default_backend: None,
        bare_hosts: Vec::new(),
        rules: rules.iter().map(rule).collect(),
        tls: Vec::new(),
    }
}

pub(crate) fn service_ref(service: &str, port: u16) -> ServiceRef {
    ServiceRef { service: service.into(), port: PortRef::Number(port) }
}

pub(crate) fn service() -> Service {
    Service {
        ports: vec![ServicePort { name: "web".into(), port: 80, protocol: AppProtocol::Http }],
        external_name: false,
        scope: Scope::Fleet,
        balancers: Vec::new(),
        tls: None,
    }
}

pub(crate) fn endpoint(cluster: usize, n: usize) -> Endpoint {
    Endpoint {
        port_name: "web".into(),
        address: format!("10.{cluster}.{}.{}:8080", n / 250, n % 250 + 1).parse().unwrap(),
        uid: format!("pod-{cluster}-{n}").into(),
        known: true,
        ready: true,
        serving: true,
        terminating: false,
    }
}

impl World {
    pub(crate) fn objects(&mut self, cluster: usize, change: impl FnOnce(&mut Objects)) -> &mut Self {
        change(Arc::make_mut(&mut self.states[cluster].objects));
        self
    }

    pub(crate) fn ingress(&mut self, cluster: usize, at: &str, ingress: Ingress) -> &mut Self {
        self.objects(cluster, |o| drop(o.ingresses.insert(name(at), Arc::new(ingress))))
    }

    pub(crate) fn service(&mut self, cluster: usize, at: &str, service: Service) -> &mut Self {
        self.objects(cluster, |o| drop(o.services.insert(name(at), Arc::new(service))))
    }

    pub(crate) fn endpoints(&mut self, cluster: usize, at: &str, endpoints: Vec<Endpoint>) -> &mut Self {
        Arc::make_mut(&mut self.states[cluster].endpoints).insert(name(at), Arc::new(endpoints));
        self
    }

    /// A Service `shop/web` with so many ready endpoints in each cluster, and in aws an Ingress for www.example.com.
    pub(crate) fn shop(mut self, counts: [usize; 3]) -> Self {
        for (cluster, count) in counts.into_iter().enumerate() {
            self.service(cluster, "shop/web", service());
            self.endpoints(cluster, "shop/web", (0..count).map(|n| endpoint(cluster, n)).collect());
        }
        self.ingress(AWS, "shop/web", ingress(&[("www.example.com", "/", "web")]));
        self.compile();
        self
    }

    /// Reaches azure and google through edges: so many each, all of whose links are up.
    pub(crate) fn through_edges(&mut self, counts: [usize; 2]) -> &mut Self {
        let file = || "/fleet".into();
        self.config.fleet.tls = Some(config::FleetTls { ca: file(), cert: file(), key: file() });
        self.peers.clear();
        for (cluster, count) in [AZURE, GOOGLE].into_iter().zip(counts) {
            self.config.clusters[cluster].reach = Reach::Edge;
            let peer = |n: usize| {
                let link = Arc::new(LinkCell::default());
                link.answered(Duration::from_millis(80));
                let address = format!("203.0.113.{}:8444", 10 * cluster + n).parse().unwrap();
                Peer { instance: InstanceId::parse(&format!("{}-{n}", NAMES[cluster])).unwrap(), address, link }
            };
            let peers = Arc::new((0..count).map(peer).collect());
            self.peers.push(ClusterPeers { cluster: id(NAMES[cluster]), peers, counts: None });
        }
        self
    }

    /// Compiles and ticks, as publishing does, in a world where every pod can be reached.
    pub(crate) fn compile(&mut self) -> &mut Self {
        let (snapshot, diagnostics) =
            compile(&Arc::new(self.config.clone()), &self.edge, &self.states, &self.peers, &self.snapshot);
        assume(&snapshot);
        tick(&snapshot, self.now);
        self.snapshot = Arc::new(snapshot);
        self.diagnostics = diagnostics;
        self
    }

    pub(crate) fn pass(&mut self, seconds: f64) -> &mut Self {
        self.now = Nanos(self.now.0 + (seconds * 1e9) as u64);
        tick(&self.snapshot, self.now);
        self
    }

    pub(crate) fn plan(&self, host: &str, path: &str, location: Option<&Location>, seed: u64) -> Plan {
        plan(&self.snapshot, RequestHead { host, path }, location, seed).unwrap()
    }

    /// The share of each cluster for a client.
    pub(crate) fn shares(&self, location: Option<&Location>) -> Vec<f64> {
        self.plan("www.example.com", "/", location, 0).shares().collect()
    }

    /// Who serves: the Ingress's cluster and name, by host and path.
    pub(crate) fn served_by(&self, host: &str, path: &str) -> Option<String> {
        let plan = plan(&self.snapshot, RequestHead { host, path }, None, 0).ok()?;
        Some(format!("{} {} {}", plan.route.origin.cluster, plan.route.origin.object, plan.pool.spec.key))
    }

    pub(crate) fn says(&self, part: &str) -> bool {
        self.diagnostics.iter().any(|d| d.to_string().contains(part))
    }
}
