//! One Ingress to routes: what Kubernetes means by it, in the shape of an `HTTPRoute`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use causeway_config::HostPattern;

use super::claims::Claims;
use super::fleet::Fleet;
use super::pools::Specs;
use super::versions::{Version, Winner};
use crate::cluster::{PathType, ServiceRef};
use crate::diagnostics::{Diagnostic, Severity};
use crate::route::{Backend, PathMatch, Route};

/// The rules of a host, by precedence.
pub(super) type Rules = Vec<(PathMatch, Arc<Route>)>;

/// What Ingresses say of a host.
#[derive(Default)]
pub(super) struct Said {
    pub(super) rules: Rules,
    /// Default backends, as rules for `/`: they come after every rule, whichever Ingress it stands in.
    pub(super) defaults: Rules,
}

pub(super) fn translate(
    fleet: &Fleet<'_>,
    winner: &Winner<'_>,
    claims: &Claims<'_, '_>,
    specs: &mut Specs<'_, '_>,
    by_host: &mut HashMap<HostPattern, Said>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Winner { version, hosts } = winner;
    let mut accepted = BTreeSet::new();
    for &host in hosts {
        match claims.check(version.cluster, &version.name.namespace, host) {
            Ok(()) => drop(accepted.insert(host)),
            Err(refused) => diagnostics.push(version.refusal(fleet, host, &refused)),
        }
    }

    let mut routes = Routes { fleet, version, specs, diagnostics, made: HashMap::new() };
    for rule in version.ingress.rules.iter().filter(|rule| accepted.contains(&rule.host)) {
        let path = match rule.path_type {
            PathType::Exact => PathMatch::exact(&rule.path),
            PathType::Prefix => PathMatch::prefix(&rule.path),
        };
        let route = routes.to(rule.backend.as_ref(), || format!("spec.rules (host {}, path {path})", rule.host));
        by_host.entry(rule.host.clone()).or_default().rules.push((path, route));
    }
    // A default backend takes what no rule matches of the Ingress's own hosts; without rules, what no host matches.
    if let Some(backend) = &version.ingress.default_backend {
        let route = routes.to(Ok(backend), || "spec.defaultBackend".to_owned());
        for host in accepted {
            by_host.entry(host.clone()).or_default().defaults.push((PathMatch::prefix("/"), Arc::clone(&route)));
        }
    }
}

/// Makes routes of one Ingress; equal backends share one.
struct Routes<'r, 'f, 's, 'a> {
    fleet: &'r Fleet<'f>,
    version: &'r Version<'r>,
    specs: &'r mut Specs<'s, 'a>,
    diagnostics: &'r mut Vec<Diagnostic>,
    made: HashMap<ServiceRef, Arc<Route>>,
}

impl Routes<'_, '_, '_, '_> {
    /// The route to `backend`, which stands at `field`.
    fn to(&mut self, backend: Result<&ServiceRef, &Arc<str>>, field: impl FnOnce() -> String) -> Arc<Route> {
        if let Ok(backend) = backend
            && let Some(route) = self.made.get(backend)
        {
            return Arc::clone(route);
        }
        let target = match backend {
            Ok(service) => self.specs.resolve(self.version, service),
            Err(what) => Err((format!("its backend is {what}"), "name a Service; other backends are not supported".to_owned())),
        };
        let target = target.map_err(|(problem, remedy)| {
            self.diagnostics.push(self.version.complaint(self.fleet, Severity::Error, &field(), problem.clone(), remedy));
            problem.into()
        });
        let route = Arc::new(Route {
            label: format!("ingress/{}", self.version.name).into(),
            origin: self.version.origin(self.fleet),
            backends: Box::new([Backend { weight: 1, target }]),
        });
        if let Ok(backend) = backend {
            self.made.insert(backend.clone(), Arc::clone(&route));
        }
        route
    }
}
