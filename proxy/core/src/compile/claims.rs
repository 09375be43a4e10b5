//! Who may route which host.
//!
//! A host belongs to the namespaces that the configuration names as its `owners`; without owners, to the first namespace
//! that claims it: home first, then the configuration's order of clusters, then the oldest. It keeps all the host's paths.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_config::HostPattern;

use super::fleet::Fleet;
use super::versions::Winner;
use crate::policy::covering;

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
    /// Settles who holds each host that `winners` claim, which must come by precedence.
    pub(super) fn settle(fleet: &'f Fleet<'a>, winners: &[Winner<'a>]) -> Self {
        let mut first = HashMap::new();
        for winner in winners {
            for &host in &winner.hosts {
                if !first.contains_key(host) {
                    first.insert(host.clone(), Arc::clone(&winner.version.name.namespace));
                }
            }
        }
        Self { fleet, first }
    }

    /// Whether a namespace of a cluster may route `host`.
    pub(super) fn check(&self, cluster: usize, namespace: &str, host: &HostPattern) -> Result<(), Refused> {
        permitted(self.fleet, cluster, namespace, host)?;
        match self.first.get(host) {
            Some(first) if !self.has_owners(host) && **first != *namespace => Err(Refused::Taken(Arc::clone(first))),
            _ => Ok(()),
        }
    }

    fn has_owners(&self, host: &HostPattern) -> bool {
        covering(&self.fleet.config.hosts, host).is_some_and(|policy| !policy.owners.is_empty())
    }
}

/// What the configuration alone says.
pub(super) fn permitted(fleet: &Fleet<'_>, cluster: usize, namespace: &str, host: &HostPattern) -> Result<(), Refused> {
    let cluster = fleet.cluster(cluster);
    if cluster.may_serve.as_ref().is_some_and(|may| !may.iter().any(|pattern| pattern.covers(host))) {
        return Err(Refused::MayNotServe);
    }
    match covering(&fleet.config.hosts, host) {
        None if fleet.config.strict_hosts => Err(Refused::Undeclared),
        Some(policy) if !policy.owners.is_empty() && !policy.owners.iter().any(|o| o.is(&cluster.id, namespace)) => {
            Err(Refused::NotAnOwner)
        }
        _ => Ok(()),
    }
}
