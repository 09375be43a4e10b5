//! A fleet of three clusters, filled by one-liners and compiled to a snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_config as config;
use causeway_config::{ClientListener, Cluster, Config, ObjectName, Reach, Scope, Source};
use causeway_core::cluster::{
    AppProtocol, BackendTls, Endpoint, Freshness, Ingress, IngressRule, PathType, PortRef, Service, ServicePort, ServiceRef,
    Trust,
};
use causeway_core::{ClusterState, Nanos, Snapshot, compile, tick};

/// The clusters, in order; the first is home.
pub const CLUSTERS: [&str; 3] = ["aws", "azure", "google"];

/// A fleet.
#[derive(Clone, Debug)]
pub struct World {
    /// Its configuration; change it as a test needs.
    pub config: Config,
    states: Vec<ClusterState>,
    backend_tls: Option<Arc<BackendTls>>,
    services: usize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Three clusters that serve nothing.
    pub fn new() -> Self {
        let listener = || ClientListener {
            bind: vec!["127.0.0.1:0".parse().expect("an address")],
            proxy_protocol: config::ProxyProtocol::default(),
            forwarded_for: Vec::new(),
        };
        let config = Config {
            fleet: config::Fleet { name: "test".into(), tls: None, revoked: Vec::new(), secret: None, siblings: Vec::new() },
            listen: config::Listen {
                http: Some(listener()),
                plain: config::Plain::default(),
                https: listener(),
                peer: None,
                health: Vec::new(),
                admin: Vec::new(),
            },
            clusters: CLUSTERS.iter().map(|name| cluster(name)).collect(),
            geo: config::Geo::default(),
            hosts: BTreeMap::new(),
            strict_hosts: false,
            ingress_classes: vec!["causeway".into()],
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
        let synced = |name: &&str| ClusterState {
            freshness: Freshness::Synced,
            ..ClusterState::syncing(name.parse().expect("a cluster's name"))
        };
        Self { config, states: CLUSTERS.iter().map(synced).collect(), backend_tls: None, services: 0 }
    }

    /// Changes the configuration.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// How backends of the Services that follow are believed.
    #[must_use]
    pub fn believing(self, trust: Trust, hostname: Option<&str>) -> Self {
        Self { backend_tls: Some(Arc::new(BackendTls { trust, hostname: hostname.map(Into::into) })), ..self }
    }

    /// Serves `host` over HTTP/1.1 from endpoints in the home cluster.
    #[must_use]
    pub fn serve(self, host: &str, endpoints: &[SocketAddr]) -> Self {
        self.route(host, "/", AppProtocol::Http, &[endpoints])
    }

    /// Has a rule for `host` whose backend is nothing that can serve.
    ///
    /// # Panics
    /// On a host that is none.
    #[must_use]
    pub fn broken(self, host: &str) -> Self {
        let mut world = self.serve(host, &[]);
        for ingress in Arc::make_mut(&mut world.states[0].objects).ingresses.values_mut() {
            for rule in &mut Arc::make_mut(ingress).rules {
                if rule.host == host.parse().expect("a host") {
                    rule.backend = Err("a StorageBucket".into());
                }
            }
        }
        world
    }

    /// Serves a path of `host` from endpoints by cluster, in the order of [`CLUSTERS`].
    ///
    /// # Panics
    /// On a host or path that is none.
    #[must_use]
    pub fn route(mut self, host: &str, path: &str, protocol: AppProtocol, endpoints: &[&[SocketAddr]]) -> Self {
        let name = ObjectName::new("shop", format!("web-{}", self.services));
        self.services += 1;
        let service = Arc::new(Service {
            ports: vec![ServicePort { name: "web".into(), port: 80, protocol }],
            external_name: false,
            balancers: Vec::new(),
            tls: self.backend_tls.clone(),
            scope: Scope::Fleet,
        });
        for (state, endpoints) in self.states.iter_mut().zip(endpoints) {
            Arc::make_mut(&mut state.objects).services.insert(name.clone(), Arc::clone(&service));
            let endpoints = endpoints.iter().map(|address| endpoint(*address)).collect();
            Arc::make_mut(&mut state.endpoints).insert(name.clone(), Arc::new(endpoints));
        }
        let rule = IngressRule {
            host: host.parse().expect("a host"),
            path: path.into(),
            path_type: PathType::Prefix,
            backend: Ok(ServiceRef { service: Arc::clone(&name.name), port: PortRef::Number(80) }),
        };
        let ingress = Ingress {
            class: Some("causeway".into()),
            legacy_class: None,
            scope: Scope::Fleet,
            created: 0,
            default_backend: None,
            bare_hosts: Vec::new(),
            rules: vec![rule],
            tls: Vec::new(),
        };
        Arc::make_mut(&mut self.states[0].objects).ingresses.insert(name, Arc::new(ingress));
        self
    }

    /// What requests are decided by.
    pub fn snapshot(&self) -> Snapshot {
        let config = Arc::new(self.config.clone());
        let edge = causeway_core::Edge {
            home: CLUSTERS[0].parse().expect("a cluster's name"),
            listeners: Vec::new(),
            addresses: Vec::new(),
        };
        let (snapshot, _) = compile(&config, &edge, &self.states, &[], &Snapshot::empty(Arc::clone(&config)));
        // Nobody is there to find out, and all of them are on this machine.
        causeway_core::reach::assume(&snapshot);
        tick(&snapshot, Nanos(0));
        snapshot
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        id: name.parse().expect("a cluster's name"),
        coordinates: None,
        source: Source::Manifests(name.into()),
        reach: Reach::Direct { plaintext: true },
        peers: causeway_config::Peers::default(),
        pod_cidrs: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_loopback: true,
        may_serve: None,
        state: config::ClusterState::Active,
        weight: 1.0,
        max_stale: None,
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        port_name: "web".into(),
        address,
        uid: format!("pod-{address}").into(),
        known: true,
        ready: true,
        serving: true,
        terminating: false,
    }
}
