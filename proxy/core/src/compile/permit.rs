//! What the configuration alone says of a claim on a host, whoever else claims it.
//!
//! It comes before versions of one Ingress are compared and before namespaces are: nobody who may not route a host stands in
//! the way of one who may.

use std::sync::Arc;

use causeway_config::HostPattern;

use super::fleet::Fleet;
use crate::policy::covering;

/// Whether a namespace of a cluster may route `host`.
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
