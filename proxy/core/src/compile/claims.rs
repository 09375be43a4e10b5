//! Who may route which host, and which Ingresses are ours at all.
//!
//! A host belongs to the namespaces that the configuration names as its `owners`; without owners, to the first namespace
//! that claims it: home first, then the configuration's order of clusters, then the oldest. It keeps all the host's paths.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_config::{HostPattern, ObjectName};

use super::fleet::Fleet;
use crate::cluster::{Ingress, Objects};
use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::covering;
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

/// Who holds which host.
pub(super) struct Claims<'f, 'a> {
    fleet: &'f Fleet<'a>,
    first: HashMap<HostPattern, Arc<str>>,
}

/// Why a claim on a host is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// `clusters.<c>.mayServe` does not list it.
    MayNotServe,
    /// `hosts.<h>.owners` does not name the namespace.
    NotAnOwner,
    /// `strictHosts` is on and `hosts` does not declare it.
    Undeclared,
    /// Another namespace claimed it first.
    Taken(Arc<str>),
}

impl Refused {
    /// The problem and the remedy, in words.
    pub(super) fn explain(&self, host: &HostPattern, cluster: &str, namespace: &str) -> (String, String) {
        match self {
            Self::MayNotServe => (
                format!("cluster {cluster} may not serve {host}"),
                format!("add the host to clusters.{cluster}.mayServe in the configuration, or remove the rule"),
            ),
            Self::NotAnOwner => (
                format!("{cluster}/{namespace} is not an owner of {host}"),
                format!("add {cluster}/{namespace} to the host's `owners` in the configuration, or remove the rule"),
            ),
            Self::Undeclared => (
                format!("{host} is not declared, and strictHosts is on"),
                format!("declare {host} under `hosts` in the configuration"),
            ),
            Self::Taken(other) => (
                format!("{host} belongs to namespace {other}, which claimed it first"),
                format!("declare the host's `owners` in the configuration, or move the Ingress to namespace {other}"),
            ),
        }
    }
}

impl<'f, 'a> Claims<'f, 'a> {
    /// Settles who holds each host that `versions` claim, which must come by precedence.
    pub(super) fn settle(fleet: &'f Fleet<'a>, versions: &[Version<'a>]) -> Self {
        let mut claims = Self { fleet, first: HashMap::new() };
        for version in versions {
            for host in hosts(version.ingress) {
                if !claims.first.contains_key(host) && claims.permitted(version.cluster, &version.name.namespace, host).is_ok() {
                    claims.first.insert(host.clone(), Arc::clone(&version.name.namespace));
                }
            }
        }
        claims
    }

    /// Whether a namespace of a cluster may route `host`.
    pub(super) fn check(&self, cluster: usize, namespace: &str, host: &HostPattern) -> Result<(), Refused> {
        self.permitted(cluster, namespace, host)?;
        match self.first.get(host) {
            Some(first) if !self.has_owners(host) && **first != *namespace => Err(Refused::Taken(Arc::clone(first))),
            _ => Ok(()),
        }
    }

    fn has_owners(&self, host: &HostPattern) -> bool {
        covering(&self.fleet.config.hosts, host).is_some_and(|policy| !policy.owners.is_empty())
    }

    /// What the configuration alone says.
    pub(super) fn permitted(&self, cluster: usize, namespace: &str, host: &HostPattern) -> Result<(), Refused> {
        let cluster = self.fleet.cluster(cluster);
        if cluster.may_serve.as_ref().is_some_and(|may| !may.iter().any(|pattern| pattern.covers(host))) {
            return Err(Refused::MayNotServe);
        }
        match covering(&self.fleet.config.hosts, host) {
            None if self.fleet.config.strict_hosts => Err(Refused::Undeclared),
            Some(policy) if !policy.owners.is_empty() && !policy.owners.iter().any(|o| o.is(&cluster.id, namespace)) => {
                Err(Refused::NotAnOwner)
            }
            _ => Ok(()),
        }
    }
}

/// The hosts that an Ingress claims, each perhaps several times. A default backend without rules claims any host.
pub(super) fn hosts(ingress: &Ingress) -> impl Iterator<Item = &HostPattern> {
    const ANY: &HostPattern = &HostPattern::Any;
    let catch_all = (ingress.default_backend.is_some() && ingress.rules.is_empty()).then_some(ANY);
    ingress.rules.iter().map(|rule| &rule.host).chain(catch_all)
}
