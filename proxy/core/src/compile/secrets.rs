//! Which Secrets may serve certificates, and for which hosts.
//!
//! A certificate says by itself which names it covers, so a Secret must be told which of them it may answer: the hosts that
//! its Ingress routes, and below a wildcard or a catch-all never a host that belongs to somebody else. Otherwise a namespace
//! could put a name of another's into a certificate of its own, and answer for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use causeway_config::{HostPattern, ObjectName, Scope};

use super::claims::Claims;
use super::fleet::Fleet;
use super::ingress::Rules;
use super::permit::permitted;
use super::versions::Winner;
use crate::policy::Policies;
use crate::snapshot::SecretUse;

/// The Secrets, best first: by precedence of cluster, those that Ingresses name before those that the configuration names.
pub(super) fn secrets(
    fleet: &Fleet<'_>,
    claims: &Claims<'_, '_>,
    winners: &[Winner<'_>],
    policies: &Policies,
    served: &BTreeMap<HostPattern, Rules>,
) -> Vec<SecretUse> {
    let known = Known::new(served.keys().chain(fleet.config.hosts.keys()));
    let here = |host: &HostPattern| !policies.of(host).tls.elsewhere;
    let wanted = wanted(winners);
    let mut uses = Vec::new();
    for &cluster in &fleet.order {
        for (secret, hosts) in &wanted {
            let may = |host: &HostPattern| here(host) && claims.check(cluster, &secret.namespace, host).is_ok();
            let hosts: Vec<_> = hosts.iter().filter(|host| may(host)).cloned().collect();
            if !hosts.is_empty() && fleet.meant_for_here(cluster, &secret.namespace, Scope::Fleet) {
                let except = known.below(&hosts, |host| !may(host));
                uses.push(SecretUse { cluster: fleet.cluster(cluster).id.clone(), secret: secret.clone(), hosts, except });
            }
        }
    }
    for &cluster in &fleet.order {
        for secret in &fleet.config.tls.secrets {
            if !fleet.meant_for_here(cluster, &secret.namespace, Scope::Fleet) {
                continue;
            }
            // The configuration's own word: it needs no Ingress, and gives way to `owners` and `mayServe` alone.
            let hosts = fleet.cluster(cluster).may_serve.clone().unwrap_or_else(|| vec![HostPattern::Any]);
            let may = |host: &HostPattern| here(host) && permitted(fleet, cluster, &secret.namespace, host).is_ok();
            let except = known.below(&hosts, |host| !may(host));
            uses.push(SecretUse { cluster: fleet.cluster(cluster).id.clone(), secret: secret.clone(), hosts, except });
        }
    }
    uses
}

/// The Secrets that Ingresses name, each with those of its hosts that the Ingress routes.
fn wanted(winners: &[Winner<'_>]) -> BTreeMap<ObjectName, BTreeSet<HostPattern>> {
    let mut wanted: BTreeMap<ObjectName, BTreeSet<HostPattern>> = BTreeMap::new();
    for Winner { version, hosts } in winners {
        for tls in &version.ingress.tls {
            let Some(secret) = &tls.secret else { continue };
            let name = ObjectName::new(Arc::clone(&version.name.namespace), Arc::clone(secret));
            let named = |routed: &HostPattern| -> Vec<HostPattern> {
                if tls.hosts.is_empty() {
                    return vec![routed.clone()];
                }
                let both = tls.hosts.iter().filter_map(|host| {
                    let narrower = if host.covers(routed) { Some(routed) } else { routed.covers(host).then_some(host) };
                    narrower.cloned()
                });
                both.collect()
            };
            wanted.entry(name).or_default().extend(hosts.iter().copied().flat_map(named));
        }
    }
    wanted
}

/// Every host that is served or declared, to be found by what a wildcard covers.
struct Known<'h> {
    all: Vec<&'h HostPattern>,
    by_parent: HashMap<&'h str, Vec<&'h HostPattern>>,
}

impl<'h> Known<'h> {
    fn new(patterns: impl Iterator<Item = &'h HostPattern>) -> Self {
        let all: BTreeSet<&HostPattern> = patterns.filter(|p| **p != HostPattern::Any).collect();
        let mut by_parent: HashMap<&str, Vec<&HostPattern>> = HashMap::new();
        for pattern in &all {
            if let HostPattern::Exact(name) = pattern
                && let Some((_, parent)) = name.as_str().split_once('.')
            {
                by_parent.entry(parent).or_default().push(pattern);
            }
        }
        Self { all: all.into_iter().collect(), by_parent }
    }

    /// The known hosts strictly below `patterns` that are somebody else's.
    fn below(&self, patterns: &[HostPattern], foreign: impl Fn(&HostPattern) -> bool) -> Vec<HostPattern> {
        let mut found = BTreeSet::new();
        for pattern in patterns {
            let below: &[&HostPattern] = match pattern {
                HostPattern::Exact(_) => &[],
                HostPattern::Wildcard(suffix) => self.by_parent.get(suffix.as_str()).map_or(&[], Vec::as_slice),
                HostPattern::Any => &self.all,
            };
            found.extend(below.iter().filter(|host| foreign(host)).map(|&host| host.clone()));
        }
        found.into_iter().collect()
    }
}
