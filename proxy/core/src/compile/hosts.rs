//! The route table: Ingresses of all clusters to hosts, paths and the pools they need.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use causeway_config::HostPattern;

use super::claims::Claims;
use super::fleet::{Fleet, Way};
use super::ingress::{Rules, Said, translate};
use super::permit::permitted;
use super::pools::Specs;
use super::secrets::secrets;
use super::versions::{merge, versions};
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
    let winners = merge(fleet, &versions, &mut diagnostics);
    let claims = Claims::settle(fleet, &winners);

    let mut specs = Specs::new(fleet);
    let mut said: HashMap<HostPattern, Said> = HashMap::new();
    for winner in &winners {
        translate(fleet, winner, &claims, &mut specs, &mut said, &mut diagnostics);
    }
    let merged = said.into_iter().map(|(host, Said { mut rules, defaults })| {
        conflicts(&rules, |path| format!("spec.rules (host {host}, path {path})"), &mut diagnostics);
        conflicts(&defaults, |_| format!("spec.defaultBackend (host {host})"), &mut diagnostics);
        rules.extend(defaults);
        (host, rules)
    });
    let mut by_host: BTreeMap<HostPattern, Rules> = merged.collect();
    fence_in(fleet, &mut by_host);

    let secrets = secrets(fleet, &claims, &winners, policies, &by_host);
    let mut table = HostTable::default();
    for (pattern, rules) in by_host {
        let policy = Arc::clone(policies.of(&pattern));
        table.insert(Arc::new(HostEntry { pattern, policy, paths: PathTable::new(rules) }));
    }
    let pools = specs.finish(&mut diagnostics);
    Built { routes: RouteTable::new(table, pools), secrets, diagnostics }
}

/// What the configuration asks for and cannot have.
fn configuration(fleet: &Fleet<'_>) -> Vec<Diagnostic> {
    let unreachable = fleet.order.iter().filter(|&&c| fleet.way(c) == Way::None).map(|&c| {
        let id = &fleet.cluster(c).id;
        Diagnostic {
            severity: Severity::Warning,
            cluster: None,
            object: "configuration".into(),
            field: format!("clusters.{id}.reach"),
            problem: format!("the pods of {id} cannot be reached from here: `reach` is `edge`, and edges need certificates to know each other"),
            remedy: "make them with `causeway ca` and name them in `fleet.tls`; or, where the clouds share a flat network, set `reach: {direct: ...}` and `podCIDRs`".into(),
        }
    });
    unreachable.collect()
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
fn fence_in(fleet: &Fleet<'_>, by_host: &mut BTreeMap<HostPattern, Rules>) {
    for host in fleet.config.hosts.keys() {
        if by_host.contains_key(host) {
            continue;
        }
        let Some(rules) = crate::policy::covering(by_host, host) else { continue };
        let index = |route: &Route| fleet.config.clusters.iter().position(|c| c.id == route.origin.cluster).unwrap_or_default();
        let may = |route: &Route| permitted(fleet, index(route), &route.origin.object.namespace, host).is_ok();
        let rules = rules.iter().filter(|(_, route)| may(route)).cloned().collect();
        by_host.insert(host.clone(), rules);
    }
}
