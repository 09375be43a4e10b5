//! Who may route which host.
//!
//! A host belongs to the namespaces that the configuration names as its `owners`; without owners, to the first namespace
//! that claims it: home first, then the configuration's order of clusters, then the oldest. It keeps all the host's paths.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_config::HostPattern;

use super::fleet::Fleet;
use super::permit::{Refused, permitted};
use super::versions::Winner;
use crate::policy::covering;

/// Who holds which host.
pub(super) struct Claims<'f, 'a> {
    fleet: &'f Fleet<'a>,
    first: HashMap<HostPattern, Arc<str>>,
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
