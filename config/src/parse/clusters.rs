//! `clusters`: where each is, how it is read and how it is reached.

use std::time::Duration;

use ipnet::IpNet;

use super::Check;
use super::values::{self, socket};
use crate::error::{FaultKind, suggest};
use crate::geography::Coordinates;
use crate::ids::{HostPattern, ObjectName};
use crate::model::{Cluster, ClusterState, Kubeconfig, NodeAddress, Peers, Reach, Source};
use crate::raw::{
    At, Entries, RawCluster, RawClusterState, RawCoordinates, RawLocation, RawMaxStale, RawNodeAddress, RawPeers, RawReach,
    RawReachWord,
};
use crate::regions;
use crate::tree::{NodeId, Tree, shorten};

/// One hour: long enough for an upgrade of a control plane, short enough that pod addresses are rarely reused.
const DEFAULT_MAX_STALE: Duration = Duration::from_hours(1);

/// The largest fleet. Every edge watches every cluster, and some checks compare each with each.
pub(super) const MAX_CLUSTERS: usize = 1000;

impl Check<'_> {
    pub(super) fn clusters(&self, raw: &At<Entries<RawCluster>>) -> Vec<Cluster> {
        let Some((at, Entries(entries))) = raw.given() else {
            self.need(Tree::ROOT, "clusters", raw, "name at least one cluster, such as `clusters: {home: {}}`");
            return Vec::new();
        };
        if entries.is_empty() {
            self.report.fault(at, FaultKind::BadValue, "`clusters` names no cluster", "name at least one, such as `home: {}`");
        }
        if entries.len() > MAX_CLUSTERS {
            let message = format!("`clusters` names {} clusters, and a fleet has at most {MAX_CLUSTERS}", entries.len());
            self.report.fault(at, FaultKind::TooLarge, message, "divide them into several fleets");
            return Vec::new();
        }
        let clusters: Vec<_> = entries.iter().filter_map(|(name, raw)| self.cluster(name, raw, entries.len() > 1)).collect();
        self.warn_overlaps(&clusters, entries);
        if !clusters.is_empty() && clusters.iter().all(|c| c.state != ClusterState::Active || c.weight == 0.0) {
            let remedy = "leave at least one cluster `active` with a weight above 0";
            self.report.warn(at, "every cluster is drained, off or weighs nothing", remedy);
        }
        clusters
    }

    fn cluster(&self, name: &At<String>, raw: &At<RawCluster>, others: bool) -> Option<Cluster> {
        let id = self.value(name, values::name);
        let (at, raw) = raw.given()?;
        let pod_cidrs = self.networks(&raw.pod_cidrs);
        let reach = self.reach(at, raw);
        let peers = self.peers(&raw.peers);
        let nodes = reach == Reach::Edge && matches!(peers, Peers::Nodes(_));
        if raw.allow_loopback_endpoints.get() == Some(&true) {
            self.report.warn(
                raw.allow_loopback_endpoints.node(),
                "this cluster may send clients to any port of the edge's own machine",
                "use it for demonstrations on one machine only",
            );
        }
        let cluster = Cluster {
            coordinates: self.location(&raw.location),
            source: self.source(at, raw, others, nodes),
            reach,
            peers,
            pod_cidrs,
            allow_loopback: raw.allow_loopback_endpoints.get().copied().unwrap_or(false),
            may_serve: self.list(&raw.may_serve, values::name::<HostPattern>),
            state: match raw.state.get() {
                None | Some(RawClusterState::Active) => ClusterState::Active,
                Some(RawClusterState::Drain) => ClusterState::Drain,
                Some(RawClusterState::Off) => ClusterState::Off,
            },
            weight: self.weight(&raw.weight),
            max_stale: self.max_stale(&raw.max_stale),
            id: id?,
        };
        Some(cluster)
    }

    fn location(&self, raw: &At<RawLocation>) -> Option<Coordinates> {
        let (at, location) = raw.given()?;
        match location {
            RawLocation::Region(name) => self.text(at, name, |name| {
                regions::coordinates(name).ok_or_else(|| {
                    let otherwise = "give its coordinates in degrees: `{lat: 50.1, lon: 8.7}`";
                    (
                        format!("`{}` is no region of AWS, Azure or Google that Causeway knows", shorten(name)),
                        suggest(name, regions::names(), otherwise),
                    )
                })
            }),
            RawLocation::Point(RawCoordinates { lat, lon }) => {
                let [lat, lon] = [("lat", lat, 90.0), ("lon", lon, 180.0)].map(|(name, degrees, limit)| {
                    self.need(at, name, degrees, "coordinates are `{lat: 50.1, lon: 8.7}`, in degrees");
                    let (at, degrees) = degrees.given()?;
                    if !(-limit..=limit).contains(degrees) {
                        self.report.fault(
                            at,
                            FaultKind::BadValue,
                            format!("{degrees} is not between -{limit} and {limit}"),
                            "write degrees; north and east are positive",
                        );
                    }
                    Some(*degrees)
                });
                Some(Coordinates { lat: lat?, lon: lon? })
            }
        }
    }

    fn source(&self, at: NodeId, raw: &RawCluster, others: bool, nodes: bool) -> Source {
        let kubeconfig = self.path(&raw.kubeconfig);
        let manifests = self.path(&raw.manifests);
        if raw.kubeconfig.is_given() && raw.manifests.is_given() {
            self.report.fault(
                raw.manifests.node(),
                FaultKind::Conflict,
                "both `kubeconfig` and `manifests` are given",
                "keep `kubeconfig` for an API server, or `manifests` for a folder of files",
            );
        }
        if raw.context.is_given() && !raw.kubeconfig.is_given() {
            self.report.fault(
                raw.context.node(),
                FaultKind::Conflict,
                "`context` is given without a `kubeconfig` that it could be in",
                "add `kubeconfig`, or remove `context`",
            );
        }
        if others && !raw.kubeconfig.is_given() && !raw.manifests.is_given() {
            self.report.warn(
                at,
                "neither `kubeconfig` nor `manifests` is given, so edges of the other clusters cannot read this one",
                "give a `kubeconfig` for them; edges at home in this cluster ignore it",
            );
        }
        let namespaces = self.list(&raw.namespaces, values::namespace);
        if raw.namespaces.is_given() && raw.manifests.is_given() {
            self.report.fault(
                raw.namespaces.node(),
                FaultKind::Conflict,
                "`namespaces` restricts what is read of an API server, and `manifests` are none",
                "remove it, or the files of other namespaces",
            );
        }
        if raw.namespaces.get().is_some_and(Vec::is_empty) {
            let remedy = "name the namespaces to read, or remove the field to read all";
            self.report.fault(
                raw.namespaces.node(),
                FaultKind::BadValue,
                "no namespace is named, so nothing would be read",
                remedy,
            );
        }
        match manifests {
            Some(folder) => Source::Manifests(folder),
            None => Source::ApiServer {
                kubeconfig: kubeconfig.map(|path| Kubeconfig { path, context: raw.context.get().cloned() }),
                namespaces: namespaces.map(|names| names.into_iter().map(Into::into).collect()),
                nodes,
            },
        }
    }

    fn reach(&self, at: NodeId, raw: &RawCluster) -> Reach {
        let reach = match raw.reach.given() {
            None | Some((_, RawReach::Word(RawReachWord::Edge))) => return Reach::Edge,
            Some((_, RawReach::Word(RawReachWord::Direct))) => Reach::Direct { plaintext: false },
            Some((at, RawReach::Settings(settings))) => {
                if !settings.direct.is_given() {
                    self.need(at, "direct", &settings.direct, "write `edge`, `direct` or `{direct: {plaintext: true}}`");
                    return Reach::Edge;
                }
                let plaintext = settings.direct.get().map(|d| &d.plaintext);
                if let Some((at, true)) = plaintext.and_then(At::given) {
                    self.report.warn(
                        at,
                        "requests to this cluster's pods cross between the clouds unencrypted",
                        "use it only where the network in between encrypts, as a VPN does",
                    );
                }
                Reach::Direct { plaintext: plaintext.and_then(At::get).copied().unwrap_or(false) }
            }
        };
        if !raw.pod_cidrs.is_given() {
            self.report.fault(
                raw.reach.node_or(at),
                FaultKind::Conflict,
                "`direct` without `podCIDRs` would let this cluster send requests to any address",
                "name the networks of its pods in `podCIDRs`",
            );
        }
        reach
    }

    fn peers(&self, raw: &At<RawPeers>) -> Peers {
        let Some((at, RawPeers { dns, service, addresses, nodes })) = raw.given() else { return Peers::default() };
        let given = [dns.is_given(), service.is_given(), addresses.is_given(), nodes.is_given()];
        let given = given.into_iter().filter(|given| *given).count();
        if given != 1 {
            let found = if given == 0 { "none" } else { "more than one" };
            self.report.fault(
                at,
                FaultKind::Conflict,
                format!("{found} of `dns`, `service`, `addresses` and `nodes` is given"),
                "give exactly one of them, or remove `peers` for the addresses of the cluster's nodes",
            );
        }
        if addresses.get().is_some_and(Vec::is_empty) {
            self.report.fault(addresses.node(), FaultKind::BadValue, "this list has no address", "name the edges' addresses");
        }
        let dns = self.value(dns, values::dns_name).map(Peers::Dns);
        let service = self.value(service, values::name::<ObjectName>).map(Peers::Service);
        let addresses = self.list(addresses, |text| match socket(text)? {
            address if address.port() == 0 => Err((format!("`{address}` has no port"), format!("write `{}:8444`", address.ip()))),
            address => Ok(address),
        });
        let nodes = nodes.get().map(|address| match address {
            RawNodeAddress::Internal => NodeAddress::Internal,
            RawNodeAddress::External => NodeAddress::External,
        });
        dns.or(service).or(addresses.map(Peers::Addresses)).or(nodes.map(Peers::Nodes)).unwrap_or_default()
    }

    fn weight(&self, raw: &At<f64>) -> f64 {
        let Some((at, weight)) = raw.given() else { return 1.0 };
        if !weight.is_finite() || *weight < 0.0 {
            self.report.fault(
                at,
                FaultKind::BadValue,
                format!("{weight} is no weight"),
                "write 0 or more: 1 is normal, 0.1 a tenth, 0 nothing new",
            );
        }
        *weight
    }

    fn max_stale(&self, raw: &At<RawMaxStale>) -> Option<Duration> {
        let Some((at, RawMaxStale(text))) = raw.given() else { return Some(DEFAULT_MAX_STALE) };
        if text == "forever" {
            self.report.warn(
                at,
                "addresses that are never forgotten may belong to other pods one day",
                "keep it only where a dark API server must not cost traffic, and watch for stale clusters",
            );
            return None;
        }
        self.text(at, text, |text| {
            values::positive_duration(text).map_err(|(message, remedy)| (message, format!("{remedy}; or `forever`")))
        })
    }

    /// On a flat network one address must belong to one cluster.
    fn warn_overlaps(&self, clusters: &[Cluster], raw: &[(At<String>, At<RawCluster>)]) {
        let overlap = |a: &Cluster, b: &Cluster| {
            let contains = |x: &IpNet, y: &IpNet| x.contains(y) || y.contains(x);
            a.pod_cidrs.iter().any(|x| b.pod_cidrs.iter().any(|y| contains(x, y)))
        };
        let is_direct = |c: &Cluster| matches!(c.reach, Reach::Direct { .. });
        for (i, later) in clusters.iter().enumerate() {
            for earlier in &clusters[..i] {
                let entry = raw.iter().find(|(name, _)| name.get().is_some_and(|n| n == later.id.as_str()));
                if let Some((_, cluster)) = entry
                    && (is_direct(later) || is_direct(earlier))
                    && overlap(later, earlier)
                {
                    self.report.warn(
                        cluster.get().map_or(cluster.node(), |c| c.pod_cidrs.node()),
                        format!("these networks overlap with those of `{}`, and one of the two is reached directly", earlier.id),
                        "give the clusters networks of their own, or reach both through their edges",
                    );
                }
            }
        }
    }
}
