//! `explain`: the same decision once more, with its reasons.
//!
//! It goes through [`plan`] and [`Plan::next`](crate::plan::Plan::next) like any request, so that it cannot tell a
//! different story; what it adds is why each cluster was passed over.

use std::net::SocketAddr;
use std::sync::Arc;

use causeway_config::{ClusterId, ClusterState as State};
use serde::Serialize;

use crate::cell::Closed;
use crate::geo::{Location, Rule};
use crate::plan::{Candidate, Plan, RequestHead, Step, Target, matched, plan};
use crate::pool::PoolKey;
use crate::route::Origin;
use crate::snapshot::Snapshot;
use crate::time::Nanos;

/// Everything about one decision. Serialises to what `causeway explain --json` prints.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The host asked for.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// Where the client is.
    pub location: Option<Location>,
    /// The cluster this edge lives in.
    pub home: ClusterId,
    /// The decision, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why there is none, if there is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Host pattern and path of the rule.
    pub rule: (String, String),
    /// The object that the rule came from.
    pub route: Origin,
    /// Where it leads.
    pub pool: PoolKey,
    /// Which rule of the preference spoke.
    pub preferred_by: Rule,
    /// Cluster names, best first.
    pub tiers: Vec<Vec<ClusterId>>,
    /// Every cluster of the fleet, and its part in this.
    pub clusters: Vec<ClusterPart>,
    /// Why the pick is in none of the clusters that the client prefers, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spilled: Option<String>,
    /// Why the request is answered 503, if nobody could serve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unserved: Option<&'static str>,
    /// The endpoints in the order in which they would be tried; the first is the pick.
    pub candidates: Vec<Drawn>,
}

/// A cluster's part in a decision.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPart {
    /// Which one.
    pub cluster: ClusterId,
    /// Its tier, from 0; none outside the fence or off.
    pub tier: Option<usize>,
    /// Its share of such clients' requests, 0 to 1.
    pub share: f64,
    /// Endpoints in rotation.
    pub ready: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Average time to response headers from here, in milliseconds.
    pub latency_ms: f64,
    /// Why it gets nothing new although it has endpoints, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// The part of its capacity that is used while it recovers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovering: Option<f64>,
    /// Its endpoints that are out of rotation for having failed.
    pub ejected: usize,
    /// Those of them that fail their health checks.
    pub unhealthy: usize,
    /// Its pods that no connection from here could be made to so far.
    pub unreached: usize,
    /// Its endpoints that owe answers for too long.
    pub silent: usize,
    /// Why it was passed over, if it was.
    pub passed_over: Option<String>,
}

/// A candidate, as seen at the moment of the draw.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawn {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is a pod, or an edge of its cluster that picks one.
    pub target: Target,
    /// How it was come by.
    pub step: Step,
    /// Peak EWMA of the time to response headers, in milliseconds.
    pub latency_ms: f64,
    /// Requests on their way to it.
    pub in_flight: u32,
    /// Latency x (in-flight + 1) / slow start, in milliseconds.
    pub cost_ms: f64,
}

/// Explains what would happen to a request now.
pub fn explain(snapshot: &Snapshot, head: RequestHead<'_>, location: Option<&Location>, now: Nanos, seed: u64) -> Explanation {
    let (decision, refused) = match plan(snapshot, head, location, seed) {
        Ok(plan) => (Some(decide(snapshot, head, plan, now)), None),
        Err(refusal) => (None, Some(refusal.to_string())),
    };
    Explanation {
        host: head.host.into(),
        path: head.path.into(),
        location: location.cloned(),
        home: snapshot.home().clone(),
        decision,
        refused,
    }
}

fn decide(snapshot: &Snapshot, head: RequestHead<'_>, mut plan: Plan, now: Nanos) -> Decision {
    let shares: Vec<f64> = plan.shares().collect();
    let candidates: Vec<Candidate> = std::iter::from_fn(|| plan.next(now)).collect();
    let pick = candidates.first().map(|c| c.cluster);
    let id = |c: &usize| snapshot.clusters[*c].id.clone();
    let (host, path) = matched(snapshot, head).map(|(host, path)| (host, path.to_string())).unwrap_or_default();
    Decision {
        rule: (host, path),
        route: plan.route.origin.clone(),
        pool: plan.pool.spec.key.clone(),
        preferred_by: plan.row.1,
        tiers: plan.tiers().iter().map(|tier| tier.iter().map(id).collect()).collect(),
        spilled: candidates.first().and_then(|c| c.spill).map(|spill| spill.to_string()),
        unserved: candidates.is_empty().then(|| unserved(&plan)),
        clusters: (0..snapshot.clusters.len()).map(|c| part(snapshot, &plan, c, shares[c], pick, now)).collect(),
        candidates: candidates
            .iter()
            .map(|c| Drawn {
                cluster: c.cluster_id.clone(),
                address: c.address,
                target: c.target.clone(),
                step: c.step,
                latency_ms: c.cell().latency(now) * 1e3,
                in_flight: c.cell().in_flight(),
                cost_ms: c.cell().cost(now) * 1e3,
            })
            .collect(),
    }
}

/// As the refusal's counter has it: `fence`, or `no_endpoint`.
fn unserved(plan: &Plan) -> &'static str {
    match plan.policy.tls.fence {
        Some(_) => "nobody inside this host's residency fence (`allow`) can serve it now",
        None => "no backend of this Service can serve it now",
    }
}

fn part(snapshot: &Snapshot, plan: &Plan, cluster: usize, share: f64, pick: Option<usize>, now: Nanos) -> ClusterPart {
    let member = &plan.pool.members[cluster];
    let tier = plan.tiers().iter().position(|tier| tier.contains(&cluster));
    let in_rotation = member.endpoints.iter().filter(|e| e.ready && !e.cell.ejected(now) && e.reachable()).count();
    let (ready, endpoints) = match member.behind {
        Some(behind) => (if in_rotation > 0 { behind.ready as usize } else { 0 }, behind.total as usize),
        None => (in_rotation, member.endpoints.len()),
    };
    let (closed, recovering) = (member.cell.closed(now), member.cell.recovering(now));
    let silent = member.endpoints.iter().filter(|e| e.ready && !e.cell.ejected(now) && e.cell.silent(&member.cell, now)).count();
    let unhealthy = member.endpoints.iter().filter(|e| e.cell.unhealthy()).count();
    let unreached = member.endpoints.iter().filter(|e| e.ready && e.cell.unreached()).count();
    let info = &snapshot.clusters[cluster];
    let fenced = plan.policy.tls.fence.as_ref().is_some_and(|fence: &Arc<[ClusterId]>| !fence.contains(&info.id));
    let passed_over = match (pick, member.absence) {
        (Some(pick), _) if pick == cluster => None,
        _ if fenced => Some("it is outside the host's fence (`allow`)".to_owned()),
        (_, Some(absence)) => Some(absence.to_string()),
        _ if info.state == State::Off => Some("it is off".to_owned()),
        _ if tier.is_none() => Some("the host is fenced, and the way there is plaintext".to_owned()),
        _ if endpoints == 0 => Some("it has no endpoint".to_owned()),
        _ if member.endpoints.is_empty() => {
            Some("none of its edges has answered yet, and its pods are reached through them".to_owned())
        }
        _ if ready == 0 && unreached > 0 => Some(format!(
            "none of its endpoints is in rotation: {unreached} are not yet reached, no connection from here has been made"
        )),
        _ if member.endpoints.iter().all(|e| !e.reachable()) => Some("the links to its edges are down".to_owned()),
        _ if closed == Some(Closed::Dark) => Some("nothing in it answered, and it is left alone for seconds".to_owned()),
        _ if closed == Some(Closed::Silent) => Some("it owes answers for too long, and gets nothing new".to_owned()),
        _ if closed == Some(Closed::Probed) => {
            Some("it was left alone, and a request is finding out whether it answers again".to_owned())
        }
        _ if ready == 0 && unhealthy > 0 => {
            Some(format!("none of its endpoints is in rotation, and {unhealthy} of them by their health checks"))
        }
        _ if ready == 0 => Some("none of its endpoints is in rotation".to_owned()),
        _ if silent == in_rotation => Some("all of its endpoints owe answers for too long".to_owned()),
        _ if info.weight <= 0.0 => Some("its weight is 0".to_owned()),
        _ if share <= 0.0 => Some("clusters of a better tier take everything".to_owned()),
        _ => match recovering {
            Some(part) => Some(format!("it recovers, and has {:.0} % of its capacity; another was drawn", part * 100.0)),
            None => Some("another cluster was drawn by share".to_owned()),
        },
    };
    ClusterPart {
        cluster: info.id.clone(),
        tier,
        share,
        ready,
        endpoints,
        latency_ms: member.cell.latency(now) * 1e3,
        closed,
        recovering,
        ejected: member.endpoints.iter().filter(|e| e.cell.ejected(now)).count(),
        unhealthy,
        unreached,
        silent,
        passed_over,
    }
}
