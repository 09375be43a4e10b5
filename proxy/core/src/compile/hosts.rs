//! The route table: Ingresses of all clusters to hosts, paths and the pools they need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use causeway_config::{HostPattern, ObjectName};

use super::claims::{Claims, Version, hosts, versions};
use super::fleet::Fleet;
use super::ingress::{Rules, Said, translate};
use super::pools::Specs;
use super::secrets::secrets;
use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::Policies;
use crate::route::{HostEntry, HostTable, PathMatch, PathTable, Route, RouteTable};
use crate::snapshot::SecretUse;

pub(super) struct Built {
    pub(super) routes: RouteTable,
    pub(super) secrets: Vec<SecretUse>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

pub(super) fn build(fleet: &Fleet<'_>, policies: &Policies) -> Built {
    let mut diagnostics = configuration(fleet);
    let versions = versions(fleet);
    let claims = Claims::settle(fleet, &versions);
    let winners = winners(fleet, &claims, &versions, &mut diagnostics);

    let mut specs = Specs::new(fleet);
    let mut said: HashMap<HostPattern, Said> = HashMap::new();
    for version in &winners {
        translate(fleet, version, &claims, &mut specs, &mut said, &mut diagnostics);
    }
    let merged = said.into_iter().map(|(host, Said { mut rules, defaults })| {
        conflicts(&rules, |path| format!("spec.rules (host {host}, path {path})"), &mut diagnostics);
        conflicts(&defaults, |_| format!("spec.defaultBackend (host {host})"), &mut diagnostics);
        rules.extend(defaults);
        (host, rules)
    });
    let mut by_host: BTreeMap<HostPattern, Rules> = merged.collect();
    fence_in(fleet, &claims, &mut by_host);

    let secrets = secrets(fleet, &claims, &winners, policies, &by_host);
    let mut table = HostTable::default();
    for (pattern, rules) in by_host {
        let policy = Arc::clone(policies.of(&pattern));
        table.insert(Arc::new(HostEntry { pattern, policy, paths: PathTable::new(rules) }));
    }
    let pools = specs.finish(&mut diagnostics);
    Built { routes: RouteTable { hosts: table, pools }, secrets, diagnostics }
}

/// What the configuration asks for and cannot have.
fn configuration(fleet: &Fleet<'_>) -> Vec<Diagnostic> {
    let unreachable = fleet.order.iter().filter(|&&c| fleet.reach(c).is_none()).map(|&c| {
        let id = &fleet.cluster(c).id;
        Diagnostic {
            severity: Severity::Warning,
            cluster: None,
            object: "configuration".into(),
            field: format!("clusters.{id}.reach"),
            problem: format!("the pods of {id} cannot be reached from here: this version has no peer edges yet"),
            remedy: "set `reach: {direct: ...}` and `podCIDRs` where the clouds share a flat network".into(),
        }
    });
    unreachable.collect()
}

/// One version of each Ingress: the first, by precedence, that may claim any of its hosts; it wins whole. Differences are told.
fn winners<'a>(
    fleet: &Fleet<'a>,
    claims: &Claims<'_, 'a>,
    versions: &[Version<'a>],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Version<'a>> {
    let mut chosen: HashMap<&ObjectName, Version<'a>> = HashMap::new();
    let mut winners = Vec::new();
    let mut refused = Vec::new();
    for version in versions {
        if let Some(winner) = chosen.get(version.name) {
            diagnostics.extend(drift(fleet, winner, version));
        } else if hosts(version.ingress).any(|host| claims.check(version.cluster, &version.name.namespace, host).is_ok()) {
            chosen.insert(version.name, *version);
            winners.push(*version);
        } else {
            refused.push(*version);
        }
    }
    // Refused whole: each claim is told once, by the first version that made it.
    let mut told = BTreeSet::new();
    for version in refused.iter().filter(|v| told.insert(v.name)) {
        let unique: BTreeSet<_> = hosts(version.ingress).collect();
        for host in unique {
            if let Err(refused) = claims.check(version.cluster, &version.name.namespace, host) {
                let id = fleet.cluster(version.cluster).id.as_str();
                let (problem, remedy) = refused.explain(host, id, &version.name.namespace);
                diagnostics.push(version.complaint(
                    fleet,
                    Severity::Error,
                    &format!("spec.rules (host {host})"),
                    problem,
                    remedy,
                ));
            }
        }
    }
    winners
}

fn drift(fleet: &Fleet<'_>, winner: &Version<'_>, other: &Version<'_>) -> Option<Diagnostic> {
    let (a, b) = (winner.ingress, other.ingress);
    let fields = [
        ("spec.rules", a.rules != b.rules),
        ("spec.tls", a.tls != b.tls),
        ("spec.defaultBackend", a.default_backend != b.default_backend),
    ];
    let differing: Vec<_> = fields.iter().filter(|(_, differs)| *differs).map(|(field, _)| *field).collect();
    let winner = &fleet.cluster(winner.cluster).id;
    (!differing.is_empty()).then(|| {
        let problem = format!("it differs from the same Ingress in {winner}, whose version serves here");
        other.complaint(
            fleet,
            Severity::Warning,
            &differing.join(", "),
            problem,
            "apply the same Ingress to both clusters".into(),
        )
    })
}

/// Two rules for one path of a host: the first by precedence serves, the other is told. `field` is where such a rule stands.
fn conflicts(rules: &Rules, field: impl Fn(&PathMatch) -> String, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&PathMatch, &Route> = BTreeMap::new();
    for (path, route) in rules {
        match seen.get(path) {
            Some(first) if first.origin != route.origin => diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                cluster: Some(route.origin.cluster.clone()),
                object: format!("{} {}", route.origin.kind, route.origin.object),
                field: field(path),
                problem: format!(
                    "{} {} in {} has this rule already, and serves it",
                    first.origin.kind, first.origin.object, first.origin.cluster
                ),
                remedy: "remove one of the two rules".into(),
            }),
            Some(_) => {}
            None => drop(seen.insert(path, route)),
        }
    }
}

/// Gives each declared host an entry of its own where only a wildcard serves it: the policy of a host holds for all its
/// requests, whatever rule matches them, and a wildcard of a namespace that does not own the host must not reach it.
fn fence_in(fleet: &Fleet<'_>, claims: &Claims<'_, '_>, by_host: &mut BTreeMap<HostPattern, Rules>) {
    for host in fleet.config.hosts.keys() {
        if by_host.contains_key(host) {
            continue;
        }
        let Some(rules) = crate::policy::covering(by_host, host) else { continue };
        let index = |route: &Route| fleet.config.clusters.iter().position(|c| c.id == route.origin.cluster).unwrap_or_default();
        let may = |route: &Route| claims.permitted(index(route), &route.origin.object.namespace, host).is_ok();
        let rules = rules.iter().filter(|(_, route)| may(route)).cloned().collect();
        by_host.insert(host.clone(), rules);
    }
}
