//! The same Ingress in several clusters: which version speaks for which host.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use causeway_config::{HostPattern, ObjectName};

use super::fleet::Fleet;
use super::permit::{Refused, permitted};
use crate::cluster::{Ingress, Objects};
use crate::diagnostics::{Diagnostic, Severity};
use crate::route::Origin;

/// `spec.controller` of an `IngressClass` that is ours whatever its name.
const CONTROLLER: &str = "causeway.dev/ingress-controller";

/// One cluster's version of an Ingress that this edge is to serve.
#[derive(Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) cluster: usize,
    pub(super) name: &'a ObjectName,
    pub(super) ingress: &'a Ingress,
}

impl Version<'_> {
    /// Where its routes come from.
    pub(super) fn origin(&self, fleet: &Fleet<'_>) -> Origin {
        Origin { kind: "Ingress", object: self.name.clone(), cluster: fleet.cluster(self.cluster).id.clone() }
    }

    /// A host that it claims and may not have.
    pub(super) fn refusal(&self, fleet: &Fleet<'_>, host: &HostPattern, refused: &Refused) -> Diagnostic {
        let (problem, remedy) = refused.explain(host, fleet.cluster(self.cluster).id.as_str(), &self.name.namespace);
        self.complaint(fleet, Severity::Error, &format!("spec.rules (host {host})"), problem, remedy)
    }

    /// Something that is wrong with it.
    pub(super) fn complaint(
        &self,
        fleet: &Fleet<'_>,
        severity: Severity,
        field: &str,
        problem: String,
        remedy: String,
    ) -> Diagnostic {
        Diagnostic {
            severity,
            cluster: Some(fleet.cluster(self.cluster).id.clone()),
            object: format!("Ingress {}", self.name),
            field: field.into(),
            problem,
            remedy,
        }
    }
}

/// Every version of every Ingress that is ours and meant for here, by precedence: home first, then the configuration's
/// order, and in a cluster the oldest, then by name. Timestamps of different clusters are never compared.
pub(super) fn versions<'a>(fleet: &Fleet<'a>) -> Vec<Version<'a>> {
    let mut all = Vec::new();
    for &cluster in &fleet.order {
        let Some(objects) = fleet.objects(cluster) else { continue };
        let begin = all.len();
        all.extend(
            objects
                .ingresses
                .iter()
                .filter(|(name, ingress)| {
                    ours(fleet, objects, ingress) && fleet.meant_for_here(cluster, &name.namespace, ingress.scope)
                })
                .map(|(name, ingress)| Version { cluster, name, ingress }),
        );
        all[begin..].sort_by_key(|v| (v.ingress.created, v.name));
    }
    all
}

/// Ingress classes, as Kubernetes has them: `ingressClassName`, else the legacy annotation, else the cluster's default class.
/// A class is ours if the configuration lists its name, or its `IngressClass` names our controller.
fn ours(fleet: &Fleet<'_>, objects: &Objects, ingress: &Ingress) -> bool {
    let listed = |name: &Arc<str>| fleet.config.ingress_classes.iter().any(|class| **class == **name);
    let class_ours =
        |name: &Arc<str>| listed(name) || objects.ingress_classes.get(name).is_some_and(|c| &*c.controller == CONTROLLER);
    match ingress.class.as_ref().or(ingress.legacy_class.as_ref()) {
        Some(name) => class_ours(name),
        None => objects.ingress_classes.iter().any(|(name, class)| class.default && class_ours(name)),
    }
}

/// A version, and the hosts that it speaks for.
pub(super) struct Winner<'a> {
    pub(super) version: Version<'a>,
    pub(super) hosts: BTreeSet<&'a HostPattern>,
}

/// Chooses for each host of each Ingress the version that speaks for it: by precedence the first of those that the configuration
/// lets route the host at all. That one wins whole: a host that it does not name is not served, whatever later versions say; but
/// a version that may not route a host does not stand in the way of one that may. Refusals and differences are told.
pub(super) fn merge<'a>(fleet: &Fleet<'a>, versions: &[Version<'a>], diagnostics: &mut Vec<Diagnostic>) -> Vec<Winner<'a>> {
    let mut by_name: HashMap<&ObjectName, Vec<&Version<'a>>> = HashMap::new();
    for version in versions {
        by_name.entry(version.name).or_default().push(version);
    }
    let mut winners: Vec<Winner<'a>> = Vec::new();
    let mut first: HashMap<&ObjectName, Version<'a>> = HashMap::new();
    let mut told = HashSet::new();
    for version in versions {
        let mut won = BTreeSet::new();
        for host in hosts(version.ingress).collect::<BTreeSet<_>>() {
            let may = |v: &&&Version<'_>| permitted(fleet, v.cluster, &v.name.namespace, host).is_ok();
            match by_name[version.name].iter().find(may) {
                Some(speaker) if speaker.cluster == version.cluster => drop(won.insert(host)),
                None if told.insert((version.name, host)) => {
                    if let Err(refused) = permitted(fleet, version.cluster, &version.name.namespace, host) {
                        diagnostics.push(version.refusal(fleet, host, &refused));
                    }
                }
                Some(_) | None => {}
            }
        }
        match first.get(version.name) {
            Some(first) => diagnostics.extend(drift(fleet, first, version)),
            None if won.is_empty() => {}
            None => drop(first.insert(version.name, *version)),
        }
        if !won.is_empty() {
            winners.push(Winner { version: *version, hosts: won });
        }
    }
    winners
}

fn drift(fleet: &Fleet<'_>, winner: &Version<'_>, other: &Version<'_>) -> Option<Diagnostic> {
    let (a, b) = (winner.ingress, other.ingress);
    let fields = [
        ("spec.rules", a.rules != b.rules),
        ("spec.tls", a.tls != b.tls),
        ("spec.defaultBackend", a.default_backend != b.default_backend || a.bare_hosts != b.bare_hosts),
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

/// The hosts that an Ingress claims, each perhaps several times. Those without paths are claimed for the default backend.
fn hosts(ingress: &Ingress) -> impl Iterator<Item = &HostPattern> {
    let bare = ingress.bare_hosts.iter().filter(|_| ingress.default_backend.is_some());
    ingress.rules.iter().map(|rule| &rule.host).chain(bare)
}
