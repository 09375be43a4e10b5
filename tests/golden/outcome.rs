//! What comes of a case, as short YAML: sorted, and without anything that a clock or a machine would change.

use std::collections::BTreeMap;

use causeway_config::HostPattern;
use causeway_core::explain::{ClusterPart, Decision, Drawn, explain};
use causeway_core::plan::Step;
use causeway_core::view::{BackendView, EndpointView, MemberView, RouteView, view};
use causeway_core::{Edge, Nanos, RequestHead, Snapshot, compile, tick};
use serde::Serialize;

use crate::case::{Case, Request};

/// When every case happens.
const NOW: Nanos = Nanos(1_000_000_000);

#[derive(Serialize)]
struct Outcome {
    /// Host, path and how it is compared, to what serves it.
    routes: Vec<BTreeMap<String, String>>,
    /// By Service and port, then by cluster.
    pools: BTreeMap<String, BTreeMap<String, Part>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<BTreeMap<String, Answer>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<String>,
}

/// A cluster's part in a pool.
#[derive(Serialize)]
#[serde(untagged)]
enum Part {
    Absent(String),
    Endpoints(Vec<String>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Refused(String),
    Decided {
        rule: String,
        pool: String,
        /// Whom it goes to where nothing is to be shared, and why.
        #[serde(skip_serializing_if = "Option::is_none")]
        pick: Option<String>,
        /// Best first; `+` joins equals.
        tiers: String,
        shares: BTreeMap<String, String>,
    },
}

pub(crate) fn render(case: &Case) -> String {
    let listeners = vec!["0.0.0.0:443".parse().expect("an address")];
    let edge = Edge { home: case.home.clone(), listeners, addresses: vec!["10.1.255.1".parse().expect("an address")] };
    let (snapshot, diagnostics) = compile(&case.config, &edge, &case.states, &[], &Snapshot::empty(case.config.clone()));
    causeway_core::reach::assume(&snapshot);
    tick(&snapshot, NOW);
    let view = view(&snapshot, NOW);
    let outcome = Outcome {
        routes: view.routes.iter().map(route).collect(),
        pools: view
            .pools
            .into_iter()
            .map(|(name, pool)| {
                let protocol = (String::from("protocol"), Part::Absent(format!("{:?}", pool.protocol)));
                (name, pool.clusters.iter().map(part).chain([protocol]).collect())
            })
            .collect(),
        requests: case.requests.iter().map(|request| answer(&snapshot, request)).collect(),
        secrets: snapshot
            .secrets
            .iter()
            .map(|used| {
                let list = |hosts: &[HostPattern]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let except = if used.except.is_empty() { String::new() } else { format!(" but {}", list(&used.except)) };
                format!("{} {} for {}{except}", used.cluster, used.secret, list(&used.hosts))
            })
            .collect(),
        diagnostics: diagnostics.iter().map(ToString::to_string).collect(),
    };
    serde_yaml::to_string(&outcome).expect("an outcome is plain data")
}

fn route(route: &RouteView) -> BTreeMap<String, String> {
    let backend = |b: &BackendView| b.pool.clone().or(b.problem.clone()).unwrap_or_default();
    let backends: Vec<_> = route.backends.iter().map(backend).collect();
    let fence = route.fence.as_ref().map(|fence| {
        let names: Vec<_> = fence.iter().map(causeway_config::ClusterId::as_str).collect();
        format!(", only {}", names.join(", "))
    });
    let origin = format!("{} {} of {}", route.origin.kind, route.origin.object, route.origin.cluster);
    let to = format!("{} ({origin}){}", backends.join(", "), fence.unwrap_or_default());
    let exact = if route.exact { " (exact)" } else { "" };
    BTreeMap::from([(format!("{} {}{exact}", route.host, route.path), to)])
}

fn part((cluster, member): (&String, &MemberView)) -> (String, Part) {
    let endpoint = |e: &EndpointView| {
        let marks = [(!e.ready, ", not ready"), (e.terminating, ", terminating")];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        format!("{} {}{marks}", e.address, e.uid)
    };
    let part = match member.absent {
        Some(absence) => Part::Absent(absence.to_string()),
        None => Part::Endpoints(member.endpoints.iter().map(endpoint).collect()),
    };
    (cluster.clone(), part)
}

fn answer(snapshot: &Snapshot, request: &Request) -> BTreeMap<String, Answer> {
    let head = RequestHead { host: &request.host, path: &request.path };
    let explanation = explain(snapshot, head, request.location.as_ref(), NOW, 0);
    let refused = || Answer::Refused(explanation.refused.clone().unwrap_or_default());
    let answer = explanation.decision.as_ref().map_or_else(refused, decided);
    BTreeMap::from([(request.text.clone(), answer)])
}

fn decided(decision: &Decision) -> Answer {
    let tier = |tier: &Vec<_>| tier.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let tiers: Vec<_> = decision.tiers.iter().map(tier).collect();
    let share = |part: &ClusterPart| match &part.passed_over {
        Some(why) if part.share <= 0.0 => why.clone(),
        _ => format!("{:.0} %", part.share * 100.0),
    };
    let forced = |c: &&Drawn| c.step != Step::Drawn;
    Answer::Decided {
        rule: format!("{} {}", decision.rule.0, decision.rule.1),
        pool: decision.pool.to_string(),
        pick: match decision.candidates.first() {
            None => Some("nobody can serve".into()),
            first => first.filter(forced).map(|c| format!("{} ({:?})", c.address, c.step)),
        },
        tiers: format!("{} (by {:?})", tiers.join(", "), decision.preferred_by),
        shares: decision.clusters.iter().map(|part| (part.cluster.to_string(), share(part))).collect(),
    }
}
