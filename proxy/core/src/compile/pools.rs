//! Pools: one Service by namespace and name in all clusters, to endpoints with their cells.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use causeway_config::{ClusterState as State, ObjectName};

use super::fleet::{Fleet, SEED, Way};
use super::versions::Version;
use crate::cell::{ClusterCell, EndpointCell, RetryBudget};
use crate::cluster::{Endpoint, Endpoints, PortRef, Service, ServiceRef, forbidden_range};
use crate::diagnostics::{Diagnostic, Severity};
use crate::link::Count;
use crate::peer::ClusterPeers;
use crate::pool::{Absence, Member, Pool, PoolEndpoint, PoolKey, PoolSpec, Shares, Via, tag};
use crate::route::RouteTable;
use crate::share::Rows;
use crate::snapshot::Snapshot;

/// Collects the pools that routes need, each once.
pub(super) struct Specs<'f, 'a> {
    fleet: &'f Fleet<'a>,
    positions: HashMap<PoolKey, usize>,
    pools: Vec<PoolSpec>,
    diagnostics: Vec<Diagnostic>,
}

impl<'f, 'a> Specs<'f, 'a> {
    pub(super) fn new(fleet: &'f Fleet<'a>) -> Self {
        Self { fleet, positions: HashMap::new(), pools: Vec::new(), diagnostics: Vec::new() }
    }

    pub(super) fn finish(self, diagnostics: &mut Vec<Diagnostic>) -> Vec<PoolSpec> {
        diagnostics.extend(self.diagnostics);
        self.pools
    }

    /// The pool that `version` means by `backend`, or problem and remedy. A port's name is looked up in the version's own cluster,
    /// else in the first cluster that has the Service.
    pub(super) fn resolve(&mut self, version: &Version<'_>, backend: &ServiceRef) -> Result<usize, (String, String)> {
        let name = ObjectName::new(Arc::clone(&version.name.namespace), Arc::clone(&backend.service));
        let by_cluster = self.services(&name);
        let own_first = std::iter::once(&version.cluster).chain(self.fleet.order.iter().filter(|&&c| c != version.cluster));
        let services: Vec<&Service> = own_first.filter_map(|&c| by_cluster[c].ok()).collect();
        if services.is_empty() {
            return Err((
                format!("Service {name} exists in no cluster"),
                "create the Service, or correct the backend's name".into(),
            ));
        }
        if services.iter().all(|s| s.external_name) {
            return Err((
                format!("Service {name} is of type ExternalName, which would let a namespace send requests anywhere"),
                "use a Service with endpoints".into(),
            ));
        }
        let matches = |s: &Service| {
            s.ports
                .iter()
                .find(|p| match &backend.port {
                    PortRef::Number(number) => p.port == *number,
                    PortRef::Name(name) => p.name == *name,
                })
                .map(|p| p.port)
        };
        let port = services.iter().find_map(|s| matches(s)).ok_or_else(|| {
            let wanted = match &backend.port {
                PortRef::Number(number) => number.to_string(),
                PortRef::Name(name) => format!("`{name}`"),
            };
            let ports: Vec<_> = services[0]
                .ports
                .iter()
                .map(|p| if p.name.is_empty() { p.port.to_string() } else { format!("{} (`{}`)", p.port, p.name) })
                .collect();
            let there = if ports.is_empty() { "it has no TCP port".to_owned() } else { format!("it has {}", ports.join(", ")) };
            (format!("Service {name} has no port {wanted}; {there}"), "correct the backend's port, or the Service".to_owned())
        })?;
        let key = PoolKey { service: name, port };
        if let Some(&position) = self.positions.get(&key) {
            return Ok(position);
        }
        let spec = self.spec(&key, version.cluster, &by_cluster);
        self.positions.insert(key, self.pools.len());
        self.pools.push(spec);
        Ok(self.pools.len() - 1)
    }

    /// A cluster's Service, if it takes part here.
    fn service(&self, cluster: usize, name: &ObjectName) -> Result<&'a Service, Absence> {
        if self.fleet.cluster(cluster).state == State::Off {
            return Err(Absence::Off);
        }
        let service = self.fleet.objects(cluster).and_then(|objects| objects.services.get(name)).ok_or(Absence::NoService)?;
        if self.fleet.meant_for_here(cluster, &name.namespace, service.scope) { Ok(service) } else { Err(Absence::NotShared) }
    }

    /// What every cluster has under a name, by index.
    fn services(&self, name: &ObjectName) -> Vec<Result<&'a Service, Absence>> {
        (0..self.fleet.config.clusters.len()).map(|cluster| self.service(cluster, name)).collect()
    }

    fn spec(&mut self, key: &PoolKey, first: usize, services: &[Result<&'a Service, Absence>]) -> PoolSpec {
        let port = |service: &Result<&'a Service, Absence>| {
            let service = (*service)?;
            service.ports.iter().find(|p| p.port == key.port && !service.external_name).ok_or(Absence::NoService)
        };
        let ports: Vec<_> = services.iter().map(port).collect();
        let in_order = std::iter::once(first).chain(self.fleet.order.iter().copied());
        let protocol = in_order.filter_map(|c| ports[c].as_ref().ok()).map(|p| p.protocol).next().unwrap_or_default();
        let mut drifts = Vec::new();
        for (cluster, service) in services.iter().enumerate() {
            const SAME: &str = "apply the same Service to every cluster";
            let in_clear = self.fleet.way(cluster) == Way::Direct { plaintext: false } && !protocol.is_tls();
            let (field, problem, remedy) = match (&ports[cluster], service) {
                (Ok(port), _) if port.protocol != protocol => {
                    let (here, number) = (port.protocol, key.port);
                    let problem =
                        format!("port {number} speaks {here:?} here, and {protocol:?} elsewhere: its endpoints take no part");
                    ("spec.ports", problem, SAME)
                }
                (Ok(_), _) if in_clear => {
                    let problem = "its backends speak no TLS, and `reach: direct` crosses between clouds only with it";
                    let remedy = "serve TLS (`appProtocol: https`), or set `plaintext: true` in the configuration";
                    ("spec.ports", problem.to_owned(), remedy)
                }
                (Err(_), Ok(service)) if service.external_name => {
                    ("spec.type", "it is of type ExternalName here, and has endpoints elsewhere".to_owned(), SAME)
                }
                (Err(_), Ok(_)) => ("spec.ports", format!("it has no port {} here, which it has elsewhere", key.port), SAME),
                _ => continue,
            };
            drifts.push(Diagnostic {
                severity: Severity::Warning,
                cluster: Some(self.fleet.cluster(cluster).id.clone()),
                object: format!("Service {}", key.service),
                field: field.into(),
                problem,
                remedy: remedy.into(),
            });
        }
        let clusters = ports
            .into_iter()
            .enumerate()
            .map(|(c, port)| match (port, self.fleet.way(c)) {
                (Ok(port), _) if port.protocol != protocol => Err(Absence::OtherProtocol),
                (Ok(_), Way::None) => Err(Absence::Unreachable),
                (Ok(port), way) if way.carries_plaintext() || protocol.is_tls() => Ok(Arc::clone(&port.name)),
                (Ok(_), _) => Err(Absence::Unreachable),
                (Err(absence), _) => Err(absence),
            })
            .collect();
        self.diagnostics.extend(drifts);
        let tls = |service: &Result<&'a Service, Absence>| service.ok().filter(|_| protocol.is_tls())?.tls.clone();
        PoolSpec { key: key.clone(), protocol, clusters, tls: services.iter().map(tls).collect() }
    }
}

/// Builds every pool of the table; where neither the pool's description nor its endpoints changed, the previous one.
pub(super) fn build(
    fleet: &Fleet<'_>,
    routes: &Arc<RouteTable>,
    rows: &Arc<Rows>,
    endpoints: &[Arc<Endpoints>],
    same_config: bool,
    previous: &Snapshot,
) -> Box<[Arc<Pool>]> {
    let same_table = Arc::ptr_eq(routes, &previous.routes);
    // With the same configuration clusters stand where they stood.
    let changed: Vec<BTreeSet<&ObjectName>> = if same_config {
        previous.endpoints.iter().zip(endpoints).map(|(old, new)| changed(old, new)).collect()
    } else {
        Vec::new()
    };
    let links: Vec<Links<'_>> = (0..fleet.config.clusters.len())
        .map(|c| Links::new(previous.peers.get(c).and_then(Option::as_ref), fleet.peers(c)))
        .collect();
    let same_endpoints = |spec: &PoolSpec| {
        let same = |(cluster, part): (usize, &Result<Arc<str>, Absence>)| {
            part.is_err() || (!changed[cluster].contains(&spec.key.service) && !links[cluster].changed(&spec.key))
        };
        spec.clusters.iter().enumerate().all(same)
    };
    let by_key: HashMap<&PoolKey, &Arc<Pool>> =
        if same_table { HashMap::new() } else { previous.pools.iter().map(|pool| (&pool.spec.key, pool)).collect() };
    let before =
        |position: usize, spec: &PoolSpec| if same_table { previous.pools.get(position) } else { by_key.get(&spec.key).copied() };
    let builder = Builder { fleet, rows, endpoints, previous };
    let build = |(position, spec): (usize, &PoolSpec)| {
        let old = before(position, spec);
        match old {
            Some(old)
                if same_config
                    && Arc::ptr_eq(rows, &old.shares.rows)
                    && (same_table || old.spec == *spec)
                    && same_endpoints(spec) =>
            {
                Arc::clone(old)
            }
            _ => Arc::new(builder.pool(spec, old)),
        }
    };
    routes.pools.iter().enumerate().map(build).collect()
}

/// What changed of the edges of one cluster since the last time.
enum Links<'e> {
    /// Who they are, or whether they count pods: every pool of the cluster is built anew.
    All,
    /// At most what they say of these pools.
    Pools(BTreeSet<&'e PoolKey>),
}

impl<'e> Links<'e> {
    fn new(old: Option<&'e ClusterPeers>, new: Option<&'e ClusterPeers>) -> Self {
        match (old, new) {
            (None, None) => Self::Pools(BTreeSet::new()),
            (Some(old), Some(new)) if Arc::ptr_eq(&old.peers, &new.peers) || old.peers == new.peers => {
                match (&old.counts, &new.counts) {
                    (None, None) => Self::Pools(BTreeSet::new()),
                    (Some(old), Some(new)) => Self::Pools(changed(old, new)),
                    _ => Self::All,
                }
            }
            _ => Self::All,
        }
    }

    fn changed(&self, key: &PoolKey) -> bool {
        match self {
            Self::All => true,
            Self::Pools(keys) => keys.contains(key),
        }
    }
}

/// The keys whose values are not the same in both. Walks the two side by side: where one pod of ten thousand Services came,
/// that is much cheaper than looking each of them up.
fn changed<'e, K: Ord, V: PartialEq>(old: &'e Arc<BTreeMap<K, V>>, new: &'e Arc<BTreeMap<K, V>>) -> BTreeSet<&'e K> {
    let mut changed = BTreeSet::new();
    if Arc::ptr_eq(old, new) {
        return changed;
    }
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let Some(order) = match (old.peek(), new.peek()) {
        (Some((a, _)), Some((b, _))) => Some(a.cmp(b)),
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    } {
        let gone = if order.is_le() { old.next() } else { None };
        let came = if order.is_ge() { new.next() } else { None };
        match (gone, came) {
            (Some((_, a)), Some((_, b))) if a == b => {}
            (gone, came) => changed.extend(gone.or(came).map(|(name, _)| name)),
        }
    }
    changed
}

struct Builder<'b, 'a> {
    fleet: &'b Fleet<'a>,
    rows: &'b Arc<Rows>,
    endpoints: &'b [Arc<Endpoints>],
    previous: &'b Snapshot,
}

impl Builder<'_, '_> {
    fn pool(&self, spec: &PoolSpec, old: Option<&Arc<Pool>>) -> Pool {
        let mut refused = Vec::new();
        let clusters = self.fleet.config.clusters.len();
        let members =
            (0..clusters).map(|cluster| self.member(cluster, spec, self.old_member(cluster, old), &mut refused)).collect();
        Pool {
            spec: spec.clone(),
            members,
            refused,
            shares: Shares::new(Arc::clone(self.rows), clusters),
            budget: old.map_or_else(|| Arc::new(RetryBudget::new()), |old| Arc::clone(&old.budget)),
            settled: AtomicBool::new(false),
        }
    }

    /// The cluster's part of the old pool. Positions may have moved with the configuration: the name decides.
    fn old_member<'o>(&self, cluster: usize, old: Option<&'o Arc<Pool>>) -> Option<&'o Member> {
        let old = old?;
        let id = &self.fleet.cluster(cluster).id;
        let position = self.previous.clusters.iter().position(|info| info.id == *id)?;
        old.members.get(position)
    }

    fn member(&self, cluster: usize, spec: &PoolSpec, old: Option<&Member>, refused: &mut Vec<Diagnostic>) -> Member {
        let seed = self.fleet.latency_seed(cluster);
        let cell = old.map_or_else(|| Arc::new(ClusterCell::judged_by(&self.previous.pulse, seed)), |old| Arc::clone(&old.cell));
        let port = match &spec.clusters[cluster] {
            Ok(port) => port,
            Err(absence) => {
                return Member { absence: Some(*absence), endpoints: Box::default(), behind: None, ready: Box::default(), cell };
            }
        };
        let known: HashMap<(&str, u16), &Arc<EndpointCell>> =
            old.into_iter().flat_map(|old| old.endpoints.iter()).map(|e| ((&*e.uid, e.address.port()), &e.cell)).collect();
        let cell_of = |uid: &str, port: u16, new: &dyn Fn() -> EndpointCell| {
            known.get(&(uid, port)).map_or_else(|| Arc::new(new()), |&cell| Arc::clone(cell))
        };
        let mut refusals = Refusals::default();
        let pods = self.endpoints[cluster].get(&spec.key.service).into_iter().flat_map(|list| list.iter());
        let pods = pods.filter(|endpoint| endpoint.port_name == *port);
        if self.fleet.way(cluster) == Way::Edges {
            let peers = self.fleet.peers(cluster);
            let counts = peers.and_then(|known| known.counts.as_ref());
            let behind = counts.map_or_else(|| count(pods), |counts| counts.get(&spec.key).copied().unwrap_or_default());
            let endpoints: Box<[PoolEndpoint]> = peers
                .into_iter()
                .flat_map(|known| known.peers.iter())
                .map(|peer| PoolEndpoint {
                    address: peer.address,
                    via: Via::Peer(peer.instance.clone(), Arc::clone(&peer.link)),
                    uid: peer.instance.as_str().into(),
                    tag: tag(peer.instance.as_str(), peer.address.port()),
                    ready: true,
                    last_resort: false,
                    terminating: false,
                    cell: cell_of(peer.instance.as_str(), peer.address.port(), &|| {
                        EndpointCell::new(peer.link.rtt().map_or(seed, |rtt| SEED + rtt))
                    }),
                })
                .collect();
            let ready = (0..endpoints.len() as u32).collect();
            return Member { absence: None, endpoints, behind: Some(behind), ready, cell };
        }
        let new = || if cluster == self.fleet.home { EndpointCell::new(seed) } else { EndpointCell::unproven(seed) };
        let endpoints: Box<[PoolEndpoint]> = pods
            .filter(|endpoint| match self.refuse(cluster, endpoint.address) {
                Some(why) => refusals.add(endpoint.address, why),
                None => true,
            })
            .map(|e| PoolEndpoint {
                address: e.address,
                via: Via::Pod,
                uid: Arc::clone(&e.uid),
                tag: tag(&e.uid, e.address.port()),
                ready: e.ready,
                last_resort: !e.ready && e.serving,
                terminating: e.terminating,
                cell: cell_of(&e.uid, e.address.port(), &new),
            })
            .collect();
        refused.extend(refusals.tell(self.fleet, cluster, spec));
        let ready = endpoints.iter().enumerate().filter(|(_, e)| e.ready).map(|(position, _)| position as u32).collect();
        Member { absence: None, endpoints, behind: None, ready, cell }
    }

    /// Why no pod can be at this address, if none can. An address in a cluster's objects is that cluster's word only: it must
    /// not lead to the machine itself, to a cloud's metadata, or into a loop.
    fn refuse(&self, index: usize, address: SocketAddr) -> Option<&'static str> {
        let cluster = self.fleet.cluster(index);
        let ip = address.ip().to_canonical();
        if let Some(range) = forbidden_range(ip) {
            return Some(range);
        }
        if self.is_own_listener(ip, address.port()) {
            return Some("this edge itself");
        }
        if ip.is_loopback() && !cluster.allow_loopback {
            return Some("a loopback address");
        }
        let outside = !cluster.pod_cidrs.iter().any(|net| net.contains(&ip));
        (outside && (!cluster.pod_cidrs.is_empty() || index != self.fleet.home)).then_some("outside the cluster's podCIDRs")
    }

    fn is_own_listener(&self, ip: IpAddr, port: u16) -> bool {
        let own = |ip: IpAddr| ip.is_loopback() || self.fleet.edge.addresses.contains(&ip);
        self.fleet
            .edge
            .listeners
            .iter()
            .any(|l| l.port() == port && (l.ip().to_canonical() == ip || (l.ip().is_unspecified() && own(ip))))
    }
}

/// How many pods a cluster's own objects speak of.
fn count<'e>(pods: impl Iterator<Item = &'e Endpoint>) -> Count {
    let staying = pods.filter(|pod| !pod.terminating);
    staying.fold(Count::default(), |count, pod| Count { ready: count.ready + u32::from(pod.ready), total: count.total + 1 })
}

/// Refused addresses of one Service in one cluster: one diagnostic, however many there are.
#[derive(Default)]
struct Refusals {
    first: Option<(SocketAddr, &'static str)>,
    count: usize,
}

impl Refusals {
    fn add(&mut self, address: SocketAddr, why: &'static str) -> bool {
        self.first.get_or_insert((address, why));
        self.count += 1;
        false
    }

    fn tell(&self, fleet: &Fleet<'_>, cluster: usize, spec: &PoolSpec) -> Option<Diagnostic> {
        let (address, why) = self.first?;
        let id = &fleet.cluster(cluster).id;
        let more = if self.count > 1 { format!(", and {} more", self.count - 1) } else { String::new() };
        Some(Diagnostic {
            severity: Severity::Error,
            cluster: Some(id.clone()),
            object: format!("EndpointSlice of Service {}", spec.key.service),
            field: "endpoints[].addresses".into(),
            problem: format!("{address} is refused: it is {why}{more}"),
            remedy: format!("correct the endpoint, or clusters.{id}.podCIDRs in the configuration"),
        })
    }
}
