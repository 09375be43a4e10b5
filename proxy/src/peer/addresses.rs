//! Where the edges of other clusters are: what the configuration says, resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use causeway_config::{ClusterId, Config, NodeAddress, ObjectName, Peers, Reach};
use causeway_core::Snapshot;
use causeway_core::cluster::{Node, Service};
use causeway_core::link::InstanceId;
use tokio::time::Instant;

use super::names::Names;

/// The port of peer listeners, where none is given.
const PORT: u16 = 8444;

/// How many addresses of a cluster are kept in touch with; each edge has its own selection, so that all are by somebody.
pub const KEPT: usize = 8;

/// The addresses of each remote cluster that is reached through its edges, or why there are none.
pub type Found = BTreeMap<ClusterId, Result<BTreeSet<SocketAddr>, String>>;

/// Finds addresses, and remembers names for a while.
#[derive(Default)]
pub struct Finder {
    names: Names,
}

impl Finder {
    /// The addresses of now. Waits for name servers, yet not for slow ones.
    pub async fn find(&mut self, snapshot: &Snapshot, home: &ClusterId) -> Found {
        let config: &Config = &snapshot.config;
        let reached = || config.clusters.iter().filter(|c| c.id != *home && c.reach == Reach::Edge);
        self.names.look_up(reached().flat_map(|c| names(&c.peers, snapshot, &c.id)), Instant::now()).await;
        reached().map(|c| (c.id.clone(), self.of_cluster(&c.peers, snapshot, &c.id))).collect()
    }

    /// Where the other edges of the home cluster are, and this one too perhaps. Nodes are not read at home.
    pub async fn siblings(&mut self, snapshot: &Snapshot, home: &ClusterId) -> Result<BTreeSet<SocketAddr>, String> {
        let config = &snapshot.config;
        let nowhere = || "`fleet.siblings` does not say where other edges of this cluster are".to_owned();
        if config.fleet.siblings.is_empty() {
            let peers = config.clusters.iter().find(|cluster| cluster.id == *home).map(|cluster| &cluster.peers);
            let Some(peers) = peers.filter(|peers| !matches!(peers, Peers::Nodes(_))) else { return Err(nowhere()) };
            self.names.look_up(names(peers, snapshot, home), Instant::now()).await;
            return self.of_cluster(peers, snapshot, home);
        }
        let address = |place: &str| place.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)).or_else(|_| place.parse());
        let places = config.fleet.siblings.iter().map(|place| &**place);
        self.names.look_up(places.clone().filter(|place| address(place).is_err()), Instant::now()).await;
        let (mut found, mut why) = (BTreeSet::new(), nowhere());
        for place in places {
            match address(place).map_or_else(|_| self.names.addresses(place, PORT), |address| Ok(BTreeSet::from([address]))) {
                Ok(addresses) => found.extend(addresses),
                Err(error) => why = error,
            }
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }

    /// Where a cluster's edges are, as far as names are known.
    fn of_cluster(&self, peers: &Peers, snapshot: &Snapshot, cluster: &ClusterId) -> Result<BTreeSet<SocketAddr>, String> {
        match peers {
            Peers::Addresses(addresses) => Ok(addresses.iter().copied().collect()),
            Peers::Dns(name) => self.names.addresses(name, PORT),
            Peers::Service(name) => self.balancers(snapshot.service(cluster, name), name),
            Peers::Nodes(which) => at_nodes(snapshot.nodes(cluster), *which, port(&snapshot.config)),
        }
    }

    /// Where a Service's load balancers are, at the Service's first port.
    fn balancers(&self, service: Option<&Arc<Service>>, name: &ObjectName) -> Result<BTreeSet<SocketAddr>, String> {
        let service = service.ok_or_else(|| format!("`peers.service` names {name}, which the cluster does not have so far"))?;
        let port = service.ports.first().map_or(PORT, |port| port.port);
        let mut found = BTreeSet::new();
        let mut why = format!("Service {name} has no load balancer so far: its status names none");
        for balancer in &service.balancers {
            match balancer.parse::<IpAddr>() {
                Ok(ip) => drop(found.insert(SocketAddr::new(ip, port))),
                Err(_) => match self.names.addresses(balancer, port) {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => why = error,
                },
            }
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }
}

/// The names by which a cluster's edges are found.
fn names<'s>(peers: &'s Peers, snapshot: &'s Snapshot, cluster: &ClusterId) -> Vec<&'s str> {
    match peers {
        Peers::Dns(name) => vec![name],
        Peers::Service(name) => {
            let balancers = snapshot.service(cluster, name).into_iter().flat_map(|service| &service.balancers);
            balancers.map(|balancer| &**balancer).filter(|balancer| balancer.parse::<IpAddr>().is_err()).collect()
        }
        Peers::Addresses(_) | Peers::Nodes(_) => Vec::new(),
    }
}

/// Whether there is a place where edges of a cluster can be looked for, as far as the cluster has told.
pub fn can_be_found(snapshot: &Snapshot, cluster: &ClusterId) -> bool {
    let Some(known) = snapshot.config.clusters.iter().find(|known| known.id == *cluster) else { return false };
    match &known.peers {
        Peers::Dns(_) => true,
        Peers::Addresses(addresses) => !addresses.is_empty(),
        Peers::Service(name) => snapshot.service(cluster, name).is_some(),
        Peers::Nodes(_) => snapshot.nodes(cluster).next().is_some(),
    }
}

/// The port of peer listeners: the configuration is the same in every cluster.
fn port(config: &Config) -> u16 {
    let mut own = config.listen.peer.iter().flatten().map(SocketAddr::port);
    own.find(|port| *port != 0).unwrap_or(PORT)
}

/// Where the edges are of which each node has one. Nodes that are not ready are left out, unless none is: then it is more likely
/// that their cluster's control plane sees none of them, and pings tell more.
fn at_nodes<'a>(nodes: impl Iterator<Item = &'a Node>, which: NodeAddress, port: u16) -> Result<BTreeSet<SocketAddr>, String> {
    let address = |node: &Node| match which {
        NodeAddress::Any => node.external.or(node.internal),
        NodeAddress::Internal => node.internal,
        NodeAddress::External => node.external,
    };
    let (mut ready, mut all, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
    for node in nodes {
        count += 1;
        let found = address(node).map(|ip| SocketAddr::new(ip, port));
        all.extend(found);
        ready.extend(found.filter(|_| node.ready));
    }
    match (count, all.is_empty()) {
        (0, _) => {
            Err("none of its nodes is known so far: they are asked for since `peers` does not say where its edges are".into())
        }
        (_, true) => Err(format!("none of its {count} nodes has an address that is wanted: see `peers.nodes`")),
        _ => Ok(if ready.is_empty() { all } else { ready }),
    }
}

/// The addresses that this edge keeps in touch with: those of the highest weight under its own hash (rendezvous hashing,
/// Thaler and Ravishankar 1998). A change of one address changes no other's place.
pub fn kept(addresses: &BTreeSet<SocketAddr>, own: &InstanceId) -> Vec<SocketAddr> {
    let weight = |address: &SocketAddr| {
        let mut hasher = DefaultHasher::new();
        (own, address).hash(&mut hasher);
        hasher.finish()
    };
    let mut all: Vec<SocketAddr> = addresses.iter().copied().collect();
    all.sort_by_key(|address| std::cmp::Reverse((weight(address), *address)));
    all.truncate(KEPT);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use causeway_config::Scope;
    use causeway_core::cluster::{AppProtocol, ServicePort};

    use super::*;

    fn addresses(count: u8) -> BTreeSet<SocketAddr> {
        (0..count).map(|n| SocketAddr::from(([10, 0, 0, n], 8444))).collect()
    }

    #[test]
    fn of_many_edges_each_keeps_eight_and_all_are_kept_by_somebody() {
        let all = addresses(40);
        let mut by_somebody = BTreeSet::new();
        for own in 0..60 {
            let kept = kept(&all, &InstanceId::of(own));
            assert_eq!(kept.len(), KEPT);
            by_somebody.extend(kept);
        }
        assert_eq!(by_somebody, all);
    }

    #[test]
    fn an_edge_more_moves_at_most_one_place() {
        let (own, few) = (InstanceId::of(7), addresses(20));
        let before: BTreeSet<_> = kept(&few, &own).into_iter().collect();
        let after: BTreeSet<_> = kept(&addresses(21), &own).into_iter().collect();
        assert!(before.difference(&after).count() <= 1);
    }

    #[test]
    fn nodes_are_called_at_the_address_that_is_wanted_and_only_those_that_are_ready() {
        let ip = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        let node = |ready, internal, external| Node { ready, internal: ip(internal), external };
        let nodes = [node(true, 1, ip(101)), node(true, 2, None), node(false, 3, ip(103))];
        let found = |nodes: &[Node], which| {
            at_nodes(nodes.iter(), which, 9).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(found(&nodes, NodeAddress::Any).unwrap(), ["10.0.0.2:9", "10.0.0.101:9"]);
        assert_eq!(found(&nodes, NodeAddress::Internal).unwrap(), ["10.0.0.1:9", "10.0.0.2:9"]);
        assert_eq!(found(&nodes, NodeAddress::External).unwrap(), ["10.0.0.101:9"]);
        assert_eq!(found(&nodes[2..], NodeAddress::Any).unwrap(), ["10.0.0.103:9"], "where none is ready all are asked");
        assert!(found(&nodes[1..2], NodeAddress::External).unwrap_err().contains("`peers.nodes`"));
        assert!(found(&[], NodeAddress::Any).unwrap_err().contains("none of its nodes is known"));
    }

    #[tokio::test]
    async fn a_services_load_balancers_are_found_by_address_and_by_name() {
        let service = |balancers: &[&str]| {
            let port = ServicePort { name: "peer".into(), port: 9444, protocol: AppProtocol::default() };
            let balancers = balancers.iter().map(|balancer| Arc::from(*balancer)).collect();
            Arc::new(Service { ports: vec![port], external_name: false, scope: Scope::Fleet, balancers, tls: None })
        };
        let name = "causeway/peer".parse().unwrap();
        let mut finder = Finder::default();
        finder.names.look_up(["localhost"], Instant::now()).await;
        let found = finder.balancers(Some(&service(&["203.0.113.9", "localhost"])), &name).unwrap();
        assert!(found.contains(&"203.0.113.9:9444".parse().unwrap()));
        assert!(found.iter().any(|address| address.ip().is_loopback() && address.port() == 9444), "{found:?}");
        let why = finder.balancers(Some(&service(&[])), &name).unwrap_err();
        assert!(why.contains("has no load balancer so far"), "{why}");
    }

    #[tokio::test]
    async fn fixed_addresses_and_names_are_found_and_what_is_not_is_said() {
        let text = b"clusters:\n  home: {}\n  a: {peers: {addresses: ['10.0.0.1:8444', '10.0.0.2:9']}}\n  b: {peers: {dns: localhost}}\n  \
                     c: {}\n  d: {peers: {dns: 'nowhere.invalid:1'}}\n  e: {reach: direct, podCIDRs: [10.0.0.0/8]}\n  f: {peers: {service: causeway/peer}}\n";
        let config = causeway_config::parse(text, Path::new("f")).unwrap().config;
        let snapshot = Snapshot::empty(Arc::new(config));
        let found = Finder::default().find(&snapshot, &"home".parse().unwrap()).await;
        let of = |name: &str| found.get(&name.parse::<ClusterId>().unwrap());
        assert_eq!(of("a").unwrap().as_ref().unwrap().len(), 2);
        assert!(of("b").unwrap().as_ref().unwrap().iter().all(|a| a.ip().is_loopback() && a.port() == PORT));
        assert!(of("c").unwrap().as_ref().unwrap_err().contains("none of its nodes is known so far"));
        assert!(of("d").unwrap().as_ref().unwrap_err().contains("nowhere.invalid:1"));
        assert!(of("f").unwrap().as_ref().unwrap_err().contains("causeway/peer, which the cluster does not have so far"));
        assert!(of("e").is_none() && of("home").is_none());
    }
}
