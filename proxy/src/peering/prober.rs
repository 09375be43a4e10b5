//! The task that keeps in touch with the edges of other clusters.
//!
//! Once a second it asks each edge that it knows, over one of its lanes in turn, and each lane on which nobody is known yet.
//! What it learns it writes into link cells at once, and publishes who there is and what they count when that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::agreement::Report;
use causeway_core::link::{InstanceId, LinkCell, LinkState};
use causeway_core::peer::{Counts, Peer};
use causeway_core::{ClusterPeers, Diagnostic, Nanos, Severity};
use pingora::apps::ServerApp;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::lapse::Lapse;
use super::probe;
use crate::peer::Peers;
use crate::peer::addresses::{Finder, Found, kept};
use crate::peer::lane::{LANES, Lane};
use crate::peer::protocol::{OLDEST, Probe, VERSION};
use crate::peer::sight::Sight;
use crate::shared::Shared;

/// How often an edge is asked, and how long it may take.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the first answer on a lane may take, which is behind a handshake.
const FIRST: Duration = Duration::from_secs(3);

/// For how long an edge that another one was seen in the place of is used on, by way of that one.
const SUCCEEDED: Duration = Duration::from_secs(1);

/// How long an edge that was lost is remembered: its cell holds what was learned of it.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The prober of one edge.
pub struct Prober<A> {
    home: ClusterId,
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    engine: Arc<A>,
    lanes: Vec<Arc<Lane>>,
    edges: BTreeMap<InstanceId, Known>,
    /// Lanes that are being asked.
    busy: HashSet<(SocketAddr, u8)>,
    /// By cluster, why none of its addresses is known.
    unfound: BTreeMap<ClusterId, String>,
    /// What was wrong with an answer, by cluster and edge.
    odd: BTreeMap<(ClusterId, String), Diagnostic>,
    turn: usize,
    lapse: Lapse,
}

/// An edge that has answered.
struct Known {
    cluster: ClusterId,
    address: SocketAddr,
    link: Arc<LinkCell>,
    counts: Option<(u64, Arc<Counts>)>,
    synced: bool,
    report: Report,
    answered: Nanos,
    /// When another one was seen on the last lane that led to it.
    succeeded: Option<Nanos>,
}

/// How a ping ended.
struct Outcome {
    lane: Arc<Lane>,
    /// Who was thought to be there.
    expected: Option<Arc<InstanceId>>,
    took: Duration,
    answer: Result<Probe, String>,
    /// Whether it was for somebody who waits, and not this second's.
    doubted: bool,
}

impl<A> Prober<A>
where
    A: ServerApp + Send + Sync + 'static,
{
    /// A prober for an edge at home in `home`.
    pub fn new(home: ClusterId, shared: Arc<Shared>, engine: Arc<A>) -> Self {
        let peers = Arc::clone(&shared.peers);
        Self {
            home,
            shared,
            peers,
            engine,
            lanes: Vec::new(),
            edges: BTreeMap::new(),
            busy: HashSet::new(),
            unfound: BTreeMap::new(),
            odd: BTreeMap::new(),
            turn: 0,
            lapse: Lapse::default(),
        }
    }

    /// Runs until the returned task is aborted.
    pub async fn run(mut self) {
        let (found, mut addresses) = watch::channel(Found::new());
        let finding = find(self.home.clone(), Arc::clone(&self.shared), found);
        let (outcomes, mut ended) = mpsc::channel(64);
        let mut trust = self.peers.trust.changes();
        self.lapse.changed(self.peers.trust.load().as_ref(), &self.lanes);
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let serving = async {
            loop {
                tokio::select! {
                    Ok(()) = addresses.changed() => {
                        let found = addresses.borrow_and_update().clone();
                        self.keep(&found);
                        self.ask(&outcomes);
                    }
                    Some(outcome) = ended.recv() => {
                        self.learn(outcome);
                        while let Ok(outcome) = ended.try_recv() {
                            self.learn(outcome);
                        }
                        self.publish();
                    }
                    () = self.peers.doubts.notified() => self.ask_doubted(&outcomes),
                    // Under another trust every lane has to prove itself anew.
                    Ok(()) = trust.changed() => {
                        self.lapse.changed(self.peers.trust.load().as_ref(), &self.lanes);
                        self.ask(&outcomes);
                    }
                    _ = ticks.tick() => {
                        self.forget();
                        self.lapse.tick(self.peers.trust.load().as_ref(), &self.lanes);
                        self.cut_deaf();
                        self.ask(&outcomes);
                        self.publish();
                    }
                }
            }
        };
        tokio::select! {
            () = serving => {}
            () = finding => {}
        }
    }

    /// Makes lanes to new addresses, and gives up those to old ones.
    fn keep(&mut self, found: &Found) {
        let mut wanted = BTreeSet::new();
        self.unfound.clear();
        for (cluster, addresses) in found {
            match addresses {
                Ok(addresses) => {
                    wanted.extend(kept(addresses, &self.peers.instance).into_iter().map(|address| (cluster.clone(), address)));
                }
                Err(why) => drop(self.unfound.insert(cluster.clone(), why.clone())),
            }
        }
        let stays = |lane: &Arc<Lane>| wanted.contains(&(lane.cluster.clone(), lane.address));
        let mut lanes: Vec<_> = self.lanes.iter().filter(|lane| stays(lane)).cloned().collect();
        let there: HashSet<_> = lanes.iter().map(|lane| (lane.cluster.clone(), lane.address)).collect();
        for (cluster, address) in wanted.iter().filter(|wanted| !there.contains(*wanted)) {
            lanes.extend((0..LANES).map(|index| Lane::new(cluster.clone(), *address, index)));
        }
        self.lanes.clone_from(&lanes);
        self.peers.roster.keep(lanes);
        let clusters: BTreeSet<_> = found.keys().collect();
        self.edges.retain(|_, edge| clusters.contains(&edge.cluster));
        self.odd.retain(|(cluster, _), _| clusters.contains(cluster));
    }

    /// Ends connections that lead nowhere, whatever other ones of their lanes do.
    fn cut_deaf(&self) {
        for lane in &self.lanes {
            let ended = lane.cut_deaf();
            if ended > 0 {
                tracing::info!(?lane, connections = ended, "ended: nothing comes back on them");
            }
        }
    }

    /// Sends this second's pings.
    fn ask(&mut self, outcomes: &mpsc::Sender<Outcome>) {
        self.turn = self.turn.wrapping_add(1);
        let mut by_instance: BTreeMap<Arc<InstanceId>, Vec<&Arc<Lane>>> = BTreeMap::new();
        let mut unknown: BTreeMap<SocketAddr, Vec<&Arc<Lane>>> = BTreeMap::new();
        let mut known_addresses = HashSet::new();
        for lane in &self.lanes {
            if let Some(instance) = lane.instance() {
                known_addresses.insert(lane.address);
                by_instance.entry(instance).or_default().push(lane);
            } else {
                unknown.entry(lane.address).or_default().push(lane);
            }
        }
        let mut chosen: Vec<Arc<Lane>> = Vec::new();
        chosen.extend(by_instance.values().map(|lanes| Arc::clone(lanes[self.turn % lanes.len()])));
        for (address, lanes) in unknown {
            // Where nobody answers one knock a second is enough.
            let all = known_addresses.contains(&address);
            chosen.extend(
                lanes.iter().enumerate().filter(|(n, _)| all || *n == self.turn % lanes.len()).map(|(_, l)| Arc::clone(l)),
            );
        }
        chosen.extend(self.lanes.iter().filter(|lane| lane.has_stranger()).cloned());
        for lane in chosen {
            self.ping(lane, false, outcomes);
        }
    }

    /// Asks the lanes on which somebody hears nothing, at once: until this second's pings have come back, and then two more, is too
    /// long to wait for whoever could be served elsewhere.
    fn ask_doubted(&mut self, outcomes: &mpsc::Sender<Outcome>) {
        let doubted: Vec<_> = self.lanes.iter().filter(|lane| lane.doubted()).cloned().collect();
        for lane in doubted {
            self.ping(lane, true, outcomes);
        }
    }

    fn ping(&mut self, lane: Arc<Lane>, doubted: bool, outcomes: &mpsc::Sender<Outcome>) {
        let Some(trust) = self.peers.trust.load() else { return };
        if !self.busy.insert((lane.address, lane.index)) {
            return;
        }
        let expected = lane.instance();
        let known = expected.as_ref().and_then(|i| self.edges.get(&**i)?.counts.as_ref()).map(|(generation, _)| *generation);
        let patience = if expected.is_some() { PERIOD } else { FIRST };
        let (engine, outcomes, name) = (Arc::clone(&self.engine), outcomes.clone(), trust.fleet.name_of(&lane.cluster));
        let (clock, metrics) = (self.shared.clock, Arc::clone(&self.shared.metrics));
        tokio::spawn(async move {
            let begun = clock.now();
            let answer = probe::ask(&engine, &metrics, &lane, &name, known, patience).await;
            let took = clock.now().since(begun);
            // Nobody listens once the edge has ended.
            let _ = outcomes.send(Outcome { lane, expected, took, answer, doubted }).await;
        });
    }

    fn learn(&mut self, outcome: Outcome) {
        let Outcome { lane, expected, took, answer, doubted } = outcome;
        self.busy.remove(&(lane.address, lane.index));
        let answer = answer.and_then(|probe| self.check(&lane, probe));
        // Whoever began to wait while it was asked is answered by that too.
        let waited_for = lane.asked() || doubted;
        match answer {
            Ok((instance, probe)) => {
                lane.note_fault(None);
                lane.tell(true);
                if lane.seen(Some(&instance)) {
                    self.peers.roster.sort();
                }
                if let Some(before) = expected.filter(|before| **before != instance) {
                    self.left(&before);
                }
                self.heard(&lane, instance, probe, took);
            }
            Err(why) => {
                // Before its requests fail, so that they know why.
                lane.tell(false);
                if waited_for && expected.is_some() {
                    lane.cut();
                }
                // What failed in making a connection says more than that there was no answer.
                if lane.fault().is_none() || expected.is_none() {
                    let deeper = lane.fault();
                    lane.note_fault(Some(deeper.unwrap_or(why)));
                }
                let Some(instance) = expected else { return };
                let Some(edge) = self.edges.get(&*instance) else { return };
                if doubted {
                    edge.link.doubted();
                } else {
                    edge.link.missed();
                }
                if edge.link.state() == LinkState::Down {
                    self.give_up(&instance);
                }
            }
        }
    }

    /// Whether an answer is from an edge that can be used.
    fn check(&mut self, lane: &Lane, probe: Probe) -> Result<(InstanceId, Probe), String> {
        let key = (lane.cluster.clone(), lane.address.to_string());
        let instance = probe.instance().ok_or_else(|| "its instance id is none".to_owned())?;
        if probe.cluster != lane.cluster {
            return Err(format!("it is an edge of {}, and was looked for as one of {}", probe.cluster, lane.cluster));
        }
        if !probe.understood() {
            let problem = format!(
                "the edge at {} speaks version {} of the peer protocol, understands {} on, and is not used: this edge speaks \
                 {VERSION} and understands {OLDEST} on",
                lane.address, probe.version, probe.oldest
            );
            let remedy = "upgrade the older of the two; between neighbouring versions a fleet can be upgraded edge by edge";
            self.odd.insert(key, diagnostic(Severity::Error, &lane.cluster, "peers", problem.clone(), remedy.into()));
            return Err(problem);
        }
        if self.edges.get(&instance).is_some_and(|edge| edge.cluster != lane.cluster) {
            return Err(format!("it claims to be {instance}, which is an edge of another cluster"));
        }
        let own = self.peers.config_hash.load().as_ref().map(ToString::to_string);
        let differs = probe.config_hash.is_some() && own.is_some() && probe.config_hash != own;
        if differs {
            let problem = format!("the edge {instance} in {} runs with another configuration than this one", lane.cluster);
            let remedy = "roll the same file out to every cluster; while it is rolled out this is to be expected";
            self.odd.insert(key, diagnostic(Severity::Warning, &lane.cluster, "", problem, remedy.into()));
        } else {
            self.odd.remove(&key);
        }
        Ok((instance, probe))
    }

    fn heard(&mut self, lane: &Lane, instance: InstanceId, probe: Probe, took: Duration) {
        let now = self.shared.clock.now();
        let report = Report { instance: instance.clone(), cluster: probe.cluster, heard: now, views: probe.views };
        let edge = self.edges.entry(instance).or_insert_with(|| Known {
            cluster: lane.cluster.clone(),
            address: lane.address,
            link: Arc::default(),
            counts: None,
            synced: false,
            report: report.clone(),
            answered: now,
            succeeded: None,
        });
        // Where it was found first, as long as it is there: several addresses may lead to it.
        if !self.lanes.iter().any(|lane| lane.address == edge.address) {
            edge.address = lane.address;
        }
        (edge.synced, edge.report, edge.answered, edge.succeeded) = (probe.synced, report, now, None);
        if let Some(counts) = probe.counts {
            let known = edge.counts.as_ref().map(|(generation, counts)| (*generation, &**counts));
            let unchanged = counts.since.is_some_and(|since| since == counts.generation);
            if !unchanged || known.is_none() {
                edge.counts = counts.applied(known).map(|(generation, counts)| (generation, Arc::new(counts)));
            }
        }
        edge.link.answered(took);
    }

    /// Nobody is known to be behind an edge's lanes any more, and what is on them is not waited for.
    fn give_up(&self, instance: &InstanceId) {
        for lane in self.lanes.iter().filter(|lane| lane.instance().as_deref() == Some(instance)) {
            lane.cut();
            lane.seen(None);
        }
        self.peers.roster.sort();
    }

    /// A lane no longer leads to this edge. If it was the last one, the edge is given up in a while: whoever was seen there has
    /// to get into the snapshot first, and serves in its place until then.
    fn left(&mut self, instance: &InstanceId) {
        let reached = self.lanes.iter().any(|lane| lane.instance().as_deref() == Some(instance));
        if let (false, Some(edge)) = (reached, self.edges.get_mut(instance)) {
            edge.succeeded = Some(self.shared.clock.now());
        }
    }

    /// Gives up edges that no lane leads to, since nobody pings them, and forgets those that are gone for long.
    fn forget(&mut self) {
        let now = self.shared.clock.now();
        let reached: HashSet<Arc<InstanceId>> = self.lanes.iter().filter_map(|lane| lane.instance()).collect();
        for (_, edge) in self.edges.iter().filter(|(instance, _)| !reached.contains(*instance)) {
            if edge.succeeded.is_none_or(|at| now.since(at) >= SUCCEEDED) {
                edge.link.lost();
            }
        }
        self.edges.retain(|_, edge| edge.link.state() != LinkState::Down || now.since(edge.answered) < REMEMBERED);
    }

    /// Publishes what changed.
    fn publish(&self) {
        let known: Vec<ClusterPeers> = self.clusters().map(|cluster| self.cluster_peers(&cluster)).collect();
        let reports = self.edges.values().map(|edge| edge.report.clone()).collect();
        self.peers.sight.store(Arc::new(Sight::new(&self.home, &known, reports)));
        let diagnostics = self.diagnose(&known);
        let told = **self.peers.diagnostics.load() != diagnostics;
        if told {
            self.peers.diagnostics.store(Arc::new(diagnostics));
        }
        let judged = self.peers.sight.load().judged(&self.home, self.shared.clock.now());
        let verdicts: Vec<_> = judged.into_iter().map(|(cluster, seen)| (cluster, seen.verdict)).collect();
        self.shared.metrics.peers(&known, &verdicts);
        self.peers.known.send_if_modified(|current| {
            let changed = **current != known;
            if changed {
                *current = Arc::new(known);
            }
            changed || told
        });
    }

    /// The clusters that are reached through edges.
    fn clusters(&self) -> impl Iterator<Item = ClusterId> + '_ {
        let of_lanes = self.lanes.iter().map(|lane| lane.cluster.clone());
        of_lanes.chain(self.unfound.keys().cloned()).collect::<BTreeSet<_>>().into_iter()
    }

    /// Its counts are those of one edge, the same as long as it lives: of two that are a moment apart in what they have seen,
    /// taking turns would look like pods that come and go.
    fn cluster_peers(&self, cluster: &ClusterId) -> ClusterPeers {
        let edges = || self.edges.iter().filter(|(_, edge)| edge.cluster == *cluster);
        let peer = |(instance, edge): (&InstanceId, &Known)| Peer {
            instance: instance.clone(),
            address: edge.address,
            link: Arc::clone(&edge.link),
        };
        let mut speakers: Vec<_> = edges().filter(|(_, edge)| edge.counts.is_some()).collect();
        speakers.sort_by_key(|(instance, edge)| (edge.link.state() == LinkState::Down, !edge.synced, *instance));
        let counts = speakers.first().and_then(|(_, edge)| edge.counts.as_ref()).map(|(_, counts)| Arc::clone(counts));
        ClusterPeers { cluster: cluster.clone(), peers: Arc::new(edges().map(peer).collect()), counts }
    }

    fn diagnose(&self, known: &[ClusterPeers]) -> Vec<Diagnostic> {
        let mut all: Vec<Diagnostic> = self.odd.values().cloned().collect();
        for (cluster, why) in &self.unfound {
            let problem = format!("the edges of {cluster} are not found: {why}");
            let remedy = "correct it; until then what the cluster serves is not used from here";
            all.push(diagnostic(Severity::Error, cluster, "peers", problem, remedy.into()));
        }
        for known in known {
            let up = known.peers.iter().any(|peer| peer.link.state() != LinkState::Down);
            let lanes: Vec<_> = self.lanes.iter().filter(|lane| lane.cluster == known.cluster).collect();
            if up || lanes.is_empty() {
                continue;
            }
            let faults: HashMap<SocketAddr, String> =
                lanes.iter().filter_map(|lane| Some((lane.address, lane.fault()?))).collect();
            let Some((address, fault)) = faults.iter().min() else { continue };
            let problem = format!("no edge of {} answers; {address}: {fault}", known.cluster);
            all.push(diagnostic(Severity::Error, &known.cluster, "peers", problem, remedy(fault)));
        }
        all.sort();
        all
    }
}

/// What to do about a link that does not work.
fn remedy(fault: &str) -> String {
    let says = |part: &str| fault.contains(part);
    let remedy = if says("Expired") || says("expired") || says("NotValidYet") || says("not valid yet") {
        "issue a new certificate with `causeway ca issue`, or set the clock of whichever side is wrong"
    } else if says("UnknownIssuer") || says("UnknownCA") || says("BadSignature") || says("DecryptError") {
        "the two sides trust different authorities: put both authorities into fleet.tls.ca of every cluster while one is replaced"
    } else if says("Revoked") || says("revoked") {
        "fleet.revoked names the certificate: issue another one"
    } else if says("NotValidForName") || says("AccessDenied") || says("is an edge of") {
        "another cluster's edges are at this address, or the fleet's name differs: correct `peers` or `fleet.name`"
    } else {
        "see whether its edges run, and whether the network lets this edge reach their peer port"
    };
    remedy.into()
}

fn diagnostic(severity: Severity, cluster: &ClusterId, field: &str, problem: String, remedy: String) -> Diagnostic {
    let field = if field.is_empty() { "all of it".to_owned() } else { format!("clusters.{cluster}.{field}") };
    Diagnostic { severity, cluster: None, object: "configuration".into(), field, problem, remedy }
}

/// Looks for addresses, again and again.
async fn find(home: ClusterId, shared: Arc<Shared>, found: watch::Sender<Found>) {
    let mut finder = Finder::default();
    let mut looks = tokio::time::interval(PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let snapshot = shared.snapshot.load_full();
        let new = finder.find(&snapshot, &home).await;
        drop(snapshot);
        found.send_if_modified(|current| {
            let changed = *current != new;
            if changed {
                *current = new;
            }
            changed
        });
    }
}
