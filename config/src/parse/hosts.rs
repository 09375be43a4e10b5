//! `hosts`: owners, residency fences and preferences by host.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Check;
use super::tls::version;
use super::values;
use crate::error::FaultKind;
use crate::ids::{ClusterId, HostPattern, Owner};
use crate::model::{Cluster, ClusterState, HealthCheck, HostPolicy, Preference, Reach, SessionPersistence, Terminate};
use crate::raw::{At, Entries, RawDuration, RawHealthCheck, RawHost, RawSessionPersistence, RawTerminate};
use crate::tree::NodeId;

/// The shortest pause between two health checks of an endpoint.
const SHORTEST: Duration = Duration::from_millis(100);

impl Check<'_> {
    pub(super) fn hosts(&self, raw: &At<Entries<RawHost>>, clusters: &[Cluster]) -> BTreeMap<HostPattern, HostPolicy> {
        let mut hosts = BTreeMap::new();
        for (key, raw) in raw.get().map(|e| e.0.as_slice()).unwrap_or_default() {
            let policy = raw.given().map(|(at, raw)| self.host(at, raw, clusters));
            let Some(host) = self.value(key, host_pattern) else { continue };
            if hosts.contains_key(&host) {
                self.report.fault(
                    key.node(),
                    FaultKind::Conflict,
                    format!("there are two policies for `{host}`"),
                    "keep one of the two; case and a dot at the end make no difference",
                );
            }
            hosts.extend(policy.map(|policy| (host, policy)));
        }
        hosts
    }

    fn host(&self, at: NodeId, raw: &RawHost, clusters: &[Cluster]) -> HostPolicy {
        let allow = self.fence(&raw.allow, clusters);
        let terminate = match raw.terminate.given() {
            None | Some((_, RawTerminate::Anywhere)) => Terminate::Anywhere,
            Some((at, RawTerminate::Inside)) => {
                if !raw.allow.is_given() {
                    self.report.fault(
                        at,
                        FaultKind::Conflict,
                        "`terminate: inside` without `allow` has no fence to be inside of",
                        "name the clusters of the fence in `allow`",
                    );
                }
                Terminate::Inside
            }
        };
        let prefer = self.preference(&raw.prefer);
        if let (Some(allow), Some(prefer)) = (&allow, &prefer) {
            self.warn_outside(raw.prefer.node_or(at), allow, prefer);
        }
        HostPolicy {
            owners: self.owners(&raw.owners),
            allow,
            terminate,
            prefer,
            min_tls: raw.min_tls.get().copied().map(version),
            client_certificates: self.client_certificates(&raw.client_certificates),
            rate_limit: self.rate_limit(&raw.rate_limit),
            max_body: self.max_body(&raw.max_body),
            session_persistence: raw.session_persistence.get().map(|raw| self.session_persistence(raw)),
            health_check: raw.health_check.given().map(|(at, raw)| self.health_check(at, raw).into()),
        }
    }

    fn health_check(&self, at: NodeId, raw: &RawHealthCheck) -> HealthCheck {
        let duration = |raw: &At<RawDuration>, default: Duration| {
            let given = raw.given().and_then(|(at, RawDuration(text))| self.text(at, text, values::positive_duration));
            given.unwrap_or(default)
        };
        let interval = duration(&raw.interval, Duration::from_secs(5));
        let timeout = duration(&raw.timeout, Duration::from_secs(1).min(interval));
        if timeout > interval {
            let remedy = "let `timeout` be as long as `interval` at most";
            self.report.fault(
                raw.timeout.node_or(at),
                FaultKind::Conflict,
                "a check would begin before the last one ended",
                remedy,
            );
        }
        if interval < SHORTEST {
            let remedy = "write 100ms or more";
            self.report.fault(raw.interval.node(), FaultKind::BadValue, "endpoints would be asked without a pause", remedy);
        }
        if raw.status.is_given() && !raw.path.is_given() {
            let remedy = "add `path`, or remove `status`";
            self.report.fault(raw.status.node(), FaultKind::Conflict, "without a `path` there is no status to expect", remedy);
        }
        let status = raw.status.is_given().then(|| self.whole(&raw.status, 200..=599, 200) as u16);
        HealthCheck {
            path: raw.path.given().and_then(|(at, path)| self.text(at, path, check_path)),
            status,
            interval,
            timeout,
            unhealthy_threshold: self.whole(&raw.unhealthy_threshold, 1..=100, 3),
            healthy_threshold: self.whole(&raw.healthy_threshold, 1..=100, 2),
        }
    }

    fn session_persistence(&self, raw: &RawSessionPersistence) -> SessionPersistence {
        let name = raw.session_name.given().and_then(|(at, name)| self.text(at, name, cookie_name));
        let timeout = raw.absolute_timeout.given();
        SessionPersistence {
            session_name: name.unwrap_or_else(|| "causeway-session".into()),
            absolute_timeout: timeout.and_then(|(at, RawDuration(text))| self.text(at, text, values::positive_duration)),
        }
    }

    fn owners(&self, raw: &At<Vec<At<String>>>) -> Vec<Owner> {
        let Some((at, texts)) = raw.given() else { return Vec::new() };
        if texts.is_empty() {
            self.report.fault(
                at,
                FaultKind::BadValue,
                "`owners` names nobody",
                "name who may route this host, or remove the field: then the first namespace that claims it may",
            );
        }
        let mut owners = Vec::new();
        for text in texts {
            let Some(owner) = self.value(text, values::name::<Owner>) else { continue };
            if let Some(cluster) = &owner.cluster {
                self.cluster_name(text.node(), cluster.as_str());
            }
            owners.push(owner);
        }
        owners
    }

    fn fence(&self, raw: &At<Vec<At<String>>>, clusters: &[Cluster]) -> Option<Vec<ClusterId>> {
        let (at, names) = raw.given()?;
        if names.is_empty() {
            self.report.fault(
                at,
                FaultKind::BadValue,
                "this fence lets no cluster in, so the host would never be served",
                "name the clusters that may see its requests, or remove `allow` for no fence",
            );
        }
        let mut seen = HashSet::new();
        let mut allow = Vec::new();
        for name in names {
            let Some(id) = self.cluster_ref(name) else { continue };
            let cluster = clusters.iter().find(|c| c.id == id);
            if cluster.is_some_and(|c| c.reach == Reach::Direct { plaintext: true }) {
                self.report.warn(
                    name.node(),
                    format!(
                        "`{id}` is reached in plaintext, which a fenced host refuses: only {id}'s own edges will serve it there"
                    ),
                    format!("set clusters.{id}.reach to `edge`, or to `direct` with backends that speak TLS"),
                );
            }
            if !seen.insert(id.clone()) {
                let message = format!("`{id}` stands twice in this fence");
                self.report.fault(name.node(), FaultKind::Conflict, message, "keep one of the two");
            }
            allow.push(id);
        }
        let on = |id: &ClusterId| clusters.iter().any(|c| c.id == *id && c.state != ClusterState::Off);
        if !allow.is_empty() && !allow.iter().any(on) {
            self.report.warn(
                at,
                "every cluster inside this fence is off, so that the host is served by nobody",
                "let a cluster in that is on, or set `state` of one of them to `active`",
            );
        }
        Some(allow)
    }

    fn warn_outside(&self, at: NodeId, allow: &[ClusterId], prefer: &Preference) {
        let rules = prefer.subdivisions.values().chain(prefer.countries.values()).chain(prefer.continents.values());
        let named = rules.chain(&prefer.default).flatten().flatten();
        let outside: HashSet<_> = named.filter(|c| !allow.contains(c)).collect();
        let mut outside: Vec<_> = outside.into_iter().map(ClusterId::as_str).collect();
        outside.sort_unstable();
        if !outside.is_empty() {
            self.report.warn(
                at,
                format!("{} is preferred here but outside the fence of `allow`", crate::error::enumerate(outside)),
                "the fence wins: remove it from `prefer`, or let it in",
            );
        }
    }
}

/// The path and query of a health check, as they are sent.
fn check_path(text: &str) -> Result<Arc<str>, values::Refusal> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !text.starts_with('/') || !plain || text.len() > 1024 {
        return Err(("this is not a path".into(), "write one that begins with `/`, in ASCII, such as `/healthz`".into()));
    }
    Ok(text.into())
}

/// A token (RFC 6265 section 4.1.1).
fn cookie_name(text: &str) -> Result<Arc<str>, values::Refusal> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(("this is not a cookie's name".into(), "use up to 64 letters, digits and hyphens, such as `session`".into()));
    }
    Ok(text.into())
}

/// As a pattern of Ingress, but an empty key is a slip rather than "any".
fn host_pattern(text: &str) -> Result<HostPattern, values::Refusal> {
    match text {
        "" => Err(("the host is empty".into(), "write a host name, or \"*\" for every host that no other entry names".into())),
        _ => values::name(text),
    }
}
