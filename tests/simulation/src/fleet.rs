//! What the clusters hold, as discovery would tell it, and the configuration.

use std::path::Path;
use std::sync::Arc;

use causeway_config::{Config, ObjectName, Scope};
use causeway_core::cluster::{
    AppProtocol, Endpoint, Freshness, Ingress, IngressRule, Objects, PathType, PortRef, Service, ServicePort, ServiceRef,
};
use causeway_core::{ClusterState, Edge, Location, Nanos, Snapshot, compile, tick};

use crate::clouds::CLOUDS;

pub(crate) const HOST: &str = "www.example.com";

const FLEET: &str = "
clusters:
  aws:    {location: us-east-1, manifests: ./aws, reach: {direct: {plaintext: true}}, podCIDRs: [10.0.0.0/16]}
  azure:  {location: westeurope, manifests: ./azure, reach: {direct: {plaintext: true}}, podCIDRs: [10.1.0.0/16]}
  google: {location: asia-southeast1, manifests: ./google, reach: {direct: {plaintext: true}}, podCIDRs: [10.2.0.0/16]}
geo: {prefer: {continents: {NA: [aws], EU: [azure], AS: [google]}}}
";

/// A client near each cloud.
pub(crate) fn client(cloud: usize) -> Location {
    Location { country: ["US", "DE", "SG"][cloud].parse().expect("a country"), subdivision: None }
}

/// The fleet's objects.
pub(crate) struct Fleet {
    pub(crate) config: Arc<Config>,
    pub(crate) states: Vec<ClusterState>,
}

fn service() -> ObjectName {
    "shop/web".parse().expect("a name")
}

impl Fleet {
    pub(crate) fn new(pods: usize) -> Self {
        let config = causeway_config::parse(FLEET.as_bytes(), Path::new("fleet.yaml")).expect("it is right").config;
        let mut objects = Objects::default();
        let port = ServicePort { name: "web".into(), port: 80, protocol: AppProtocol::Http };
        let web = Service { ports: vec![port], external_name: false, scope: Scope::Fleet, balancers: Vec::new(), tls: None };
        objects.services.insert(service(), Arc::new(web));
        let rule = IngressRule {
            host: HOST.parse().expect("a host"),
            path: "/".into(),
            path_type: PathType::Prefix,
            backend: Ok(ServiceRef { service: "web".into(), port: PortRef::Number(80) }),
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
        objects.ingresses.insert(service(), Arc::new(ingress));
        let objects = Arc::new(objects);
        let state = |name: &&str| ClusterState {
            freshness: Freshness::Synced,
            objects: Arc::clone(&objects),
            ..ClusterState::syncing(name.parse().expect("a cluster"))
        };
        let mut fleet = Self { config: Arc::new(config), states: CLOUDS.iter().map(state).collect() };
        for cloud in 0..CLOUDS.len() {
            fleet.set_pods(cloud, (0..pods).map(|pod| endpoint(cloud, pod)));
        }
        fleet
    }

    /// What the cloud's API server says of its pods from now on.
    pub(crate) fn set_pods(&mut self, cloud: usize, pods: impl IntoIterator<Item = Endpoint>) {
        let pods = Arc::new(pods.into_iter().collect());
        Arc::make_mut(&mut self.states[cloud].endpoints).insert(service(), pods);
    }

    pub(crate) fn compile(&self, home: usize, previous: &Snapshot, now: Nanos) -> Snapshot {
        let home = CLOUDS[home].parse().expect("a cluster");
        let edge = Edge { home, listeners: Vec::new(), addresses: Vec::new() };
        let (snapshot, _) = compile(&self.config, &edge, &self.states, &[], previous);
        tick(&snapshot, now);
        snapshot
    }
}

/// A ready pod, whose address tells which one it is.
pub(crate) fn endpoint(cloud: usize, pod: usize) -> Endpoint {
    Endpoint {
        port_name: "web".into(),
        address: format!("10.{cloud}.{}.{}:8080", pod / 250, pod % 250).parse().expect("an address"),
        uid: format!("pod-{cloud}-{pod}").into(),
        known: true,
        ready: true,
        serving: true,
        terminating: false,
    }
}

/// The other way round.
pub(crate) fn pod(address: std::net::SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[2]) * 250 + usize::from(ip.octets()[3]),
        std::net::IpAddr::V6(_) => unreachable!("pods have IPv4 addresses"),
    }
}
