//! What is special about a host, ready for use: which clusters may see it, whom it prefers, how TLS must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::{ClientCertificates, ClusterId, HealthCheck, HostPattern, RateLimit, SessionPersistence, TlsVersion};
use serde::Serialize;

use crate::geo::Preferences;

/// A host's policy. Hosts that share all of it share one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which tiers serve whom. The fence is already applied to them.
    pub preferences: Preferences,
    /// What TLS must be.
    pub tls: TlsPolicy,
    /// Whether and how a client's requests stay with the endpoint that served its first.
    pub session: Option<SessionPersistence>,
    /// How many requests of one client the host takes.
    pub rate_limit: Option<RateLimit>,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
    /// How endpoints are asked whether they are well.
    pub health_check: Option<Arc<HealthCheck>>,
}

/// What the TLS connection must be over which a host is asked for. A connection made under one policy is not used under
/// another: such a request is answered 421 (RFC 9110 section 15.5.20).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The residency fence: the clusters that may see a request.
    pub fence: Option<Arc<[ClusterId]>>,
    /// Whose certificates clients show.
    pub clients: Option<ClientCertificates>,
    /// Whether TLS must not end at this edge: it never loads the key.
    pub elsewhere: bool,
}

/// Policies by host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub(crate) declared: BTreeMap<HostPattern, Arc<Policy>>,
    pub(crate) default: Arc<Policy>,
}

impl Policies {
    /// The policy of a host in normal form: what the configuration declares for it, for its wildcard or for any.
    pub fn of_host(&self, host: &str) -> &Arc<Policy> {
        if self.declared.is_empty() {
            return &self.default;
        }
        match host.parse() {
            Ok(name) => self.of(&HostPattern::Exact(name)),
            Err(_) => &self.default,
        }
    }

    /// The policy of a pattern: the most specific declaration that covers it.
    pub fn of(&self, pattern: &HostPattern) -> &Arc<Policy> {
        covering(&self.declared, pattern).unwrap_or(&self.default)
    }

    /// The policy of hosts that nothing is declared for.
    pub fn default_policy(&self) -> &Arc<Policy> {
        &self.default
    }
}

/// The value of the most specific pattern that covers `pattern`: itself, its one-label wildcard, or any.
pub(crate) fn covering<'a, T>(map: &'a BTreeMap<HostPattern, T>, pattern: &HostPattern) -> Option<&'a T> {
    // Most fleets declare no host, and all ask this for every rule they have.
    if map.is_empty() {
        return None;
    }
    let wildcard = || match pattern {
        HostPattern::Exact(name) => {
            let (_, parent) = name.as_str().split_once('.')?;
            map.get(&HostPattern::Wildcard(parent.parse().ok()?))
        }
        _ => None,
    };
    map.get(pattern).or_else(wildcard).or_else(|| map.get(&HostPattern::Any))
}
