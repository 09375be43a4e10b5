//! Active health checks (`hosts.<h>.healthCheck`): whom to ask when, and what the answers mean. Whoever calls it does the asking.
//!
//! Only endpoints that this edge dials itself are asked: behind another edge, that edge asks. Where several hosts lead to one
//! pool, the first of them that has a check, in the order of their names, speaks for it. What fails its checks is out of rotation
//! as what fails at requests is; unlike that it has no limit, since whoever wrote the check has said what to be well means.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{ClusterId, HealthCheck, HostPattern};

use crate::cell::{ClusterCell, EndpointCell};
use crate::cluster::{AppProtocol, BackendTls};
use crate::pool::{PoolEndpoint, PoolKey, Via};
use crate::snapshot::Snapshot;
use crate::time::Nanos;

/// Which endpoint of which pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checkee {
    /// The pool.
    pub pool: PoolKey,
    /// The endpoint's cluster.
    pub cluster: ClusterId,
    uid: Arc<str>,
    port: u16,
}

impl Checkee {
    pub(crate) fn new(pool: &PoolKey, cluster: &ClusterId, endpoint: &PoolEndpoint) -> Self {
        let (uid, port) = (Arc::clone(&endpoint.uid), endpoint.address.port());
        Self { pool: pool.clone(), cluster: cluster.clone(), uid, port }
    }
}

/// What is asked of one endpoint.
#[derive(Clone, Debug)]
pub struct Check {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: AppProtocol,
    /// How it is believed, where it speaks TLS and its cluster says something of it.
    pub tls: Option<Arc<BackendTls>>,
    /// The host that it is asked for.
    pub host: Arc<str>,
    /// How it is asked.
    pub rules: Arc<HealthCheck>,
    endpoint: Arc<EndpointCell>,
    member: Arc<ClusterCell>,
}

/// Everybody who is to be asked.
pub type Checks = BTreeMap<Checkee, Check>;

/// Finds everybody who is to be asked.
pub fn checks(snapshot: &Snapshot) -> Checks {
    let mut checks = Checks::new();
    let mut checked = vec![false; snapshot.pools.len()];
    let mut hosts: Vec<_> = snapshot.routes.hosts.iter().filter(|entry| entry.policy.health_check.is_some()).collect();
    hosts.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    for entry in hosts {
        let Some(rules) = &entry.policy.health_check else { continue };
        let backends = entry.paths.iter().flat_map(|(_, route)| &route.backends);
        for &position in backends.filter_map(|backend| backend.target.as_ref().ok()) {
            if std::mem::replace(&mut checked[position], true) {
                continue;
            }
            let pool = &snapshot.pools[position];
            let key = &pool.spec.key;
            let host: Arc<str> = match &entry.pattern {
                HostPattern::Exact(name) => name.as_str().into(),
                _ => format!("{}.{}.svc", key.service.name, key.service.namespace).into(),
            };
            for ((cluster, member), tls) in snapshot.clusters.iter().zip(&pool.members).zip(&pool.spec.tls) {
                for endpoint in member.endpoints.iter().filter(|e| e.ready && matches!(e.via, Via::Pod)) {
                    let who = Checkee::new(key, &cluster.id, endpoint);
                    let check = Check {
                        address: endpoint.address,
                        protocol: pool.spec.protocol,
                        tls: tls.clone(),
                        host: Arc::clone(&host),
                        rules: Arc::clone(rules),
                        endpoint: Arc::clone(&endpoint.cell),
                        member: Arc::clone(&member.cell),
                    };
                    checks.insert(who, check);
                }
            }
        }
    }
    checks
}

impl Check {
    /// Notes how a check ended. Whether the endpoint is well, where that has changed by it.
    pub fn note(&self, passed: bool, now: Nanos) -> Option<bool> {
        let thresholds = (self.rules.unhealthy_threshold, self.rules.healthy_threshold);
        let turned = self.endpoint.note_check(passed, thresholds, now);
        if turned {
            self.member.touch();
        }
        turned.then_some(passed)
    }

    /// Nobody asks it any more: what it said counts no longer.
    pub fn forget(&self) {
        if self.endpoint.forget_checks() {
            self.member.touch();
        }
    }
}

/// When who is to be asked next.
#[derive(Debug, Default)]
pub struct Schedule(BTreeMap<Checkee, Nanos>);

impl Schedule {
    /// Whom to ask now. A new one is asked within an interval, and later ones a tenth sooner or later: edges that started together,
    /// and endpoints that came together, drift apart.
    pub fn due(&mut self, checks: &Checks, now: Nanos, rng: &mut fastrand::Rng) -> Vec<Checkee> {
        self.0.retain(|who, _| checks.contains_key(who));
        let mut due = Vec::new();
        for (who, check) in checks {
            let interval = check.rules.interval;
            let next = self.0.entry(who.clone()).or_insert_with(|| now.after(interval.mul_f64(rng.f64())));
            if *next <= now {
                *next = now.after(jittered(interval, rng));
                due.push(who.clone());
            }
        }
        due
    }

    /// When somebody is to be asked next.
    pub fn next(&self) -> Option<Nanos> {
        self.0.values().min().copied()
    }
}

fn jittered(interval: Duration, rng: &mut fastrand::Rng) -> Duration {
    interval.mul_f64(0.9 + 0.2 * rng.f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_config::HostPolicy;

    use super::*;
    use crate::testing::*;

    fn rules() -> HealthCheck {
        HealthCheck {
            path: Some("/healthz".into()),
            status: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            unhealthy_threshold: 2,
            healthy_threshold: 1,
        }
    }

    fn checked(pods: [usize; 3]) -> World {
        let mut world = world().shop(pods);
        let policy = HostPolicy { health_check: Some(Arc::new(rules())), ..HostPolicy::default() };
        world.config.hosts.insert("www.example.com".parse().unwrap(), policy);
        world.compile();
        world
    }

    #[test]
    fn nobody_is_asked_unless_a_policy_says_so() {
        let world = world().shop([2, 1, 0]);
        assert!(checks(&world.snapshot).is_empty());
        assert_eq!(checks(&checked([2, 1, 0]).snapshot).len(), 3);
    }

    #[test]
    fn who_fails_is_out_of_rotation_without_a_limit_and_comes_back() {
        let world = checked([2, 1, 0]);
        let now = world.now;
        let all = checks(&world.snapshot);
        let here: Vec<_> = all.iter().filter(|(who, _)| who.cluster.as_str() == "aws").map(|(_, check)| check).collect();
        for check in &here {
            assert_eq!((check.note(false, now), check.note(false, now)), (None, Some(false)));
        }
        crate::health::tick(&world.snapshot, now);
        let drawn = |now| world.plan("www.example.com", "/", None, 1).next(now).unwrap().cluster;
        assert_eq!(drawn(now), AZURE, "all of a cluster may fail");
        for check in &here {
            assert_eq!(check.note(true, now), Some(true));
        }
        crate::health::tick(&world.snapshot, now);
        let late = now.after(Duration::from_mins(1));
        crate::health::tick(&world.snapshot, late);
        assert!(world.shares(None)[AWS] > 0.0, "as a cluster that was left alone comes back: by a request that finds out");
        here[0].note(false, now);
        here[0].note(false, now);
        here[0].forget();
        assert!(!here[0].endpoint.unhealthy(), "nobody would ever find out that it is well");
    }

    #[test]
    fn each_is_asked_once_an_interval_and_not_all_at_once() {
        let world = checked([20, 20, 20]);
        let all = checks(&world.snapshot);
        let (mut schedule, mut rng) = (Schedule::default(), fastrand::Rng::with_seed(7));
        let mut asked: BTreeMap<Checkee, usize> = BTreeMap::new();
        let mut most = 0;
        for step in 0..600 {
            let now = world.now.after(Duration::from_millis(100 * step));
            let said = schedule.next().is_none_or(|next| next <= now);
            let due = schedule.due(&all, now, &mut rng);
            assert!(said || due.is_empty(), "who sleeps until somebody is due misses nobody");
            most = most.max(due.len());
            for who in due {
                *asked.entry(who).or_default() += 1;
            }
        }
        assert_eq!(asked.len(), all.len());
        assert!(asked.values().all(|times| (5..=7).contains(times)), "{asked:?}");
        assert!(most <= 6, "{most} of {} at the same moment", all.len());
    }
}
