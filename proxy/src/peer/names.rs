//! Names in DNS, looked up again when their answers have run out.
//!
//! What `/etc/hosts` and `/etc/resolv.conf` say holds here as for everything else on the machine: name servers, search domains,
//! `ndots`. Both are read anew for each look-up, which is seldom. The system's own resolver is not asked since it keeps to itself
//! how long an answer holds. When a look-up fails the addresses that were found last are kept: DNS makes things faster, and must
//! never be needed. All names are looked up side by side, and one that is slow keeps nobody waiting: it is known when it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// For one look-up.
const LOOKUP: Duration = Duration::from_secs(5);

/// How long a round waits for its look-ups. What comes later is known in the next one.
const WAIT: Duration = Duration::from_secs(1);

/// How long a name server may take before the next one is asked; two of them, or two attempts, fit into a look-up.
const ATTEMPT: Duration = Duration::from_secs(2);

/// An answer is used for as long as its record says, but within these: a record of no duration is no reason to ask every second,
/// and one of a day is too long for a load balancer that moved.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);

/// The first pause after a look-up that failed. It doubles with each one more.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where names led to, and when they are to be looked up again.
pub(super) struct Names {
    /// Makes the resolver of one look-up.
    resolver: Box<MakeResolver>,
    known: BTreeMap<String, Known>,
    /// Those that are under way, and the hosts that they are for.
    look_ups: JoinSet<(String, Outcome)>,
    running: BTreeSet<String>,
}

type MakeResolver = dyn Fn() -> Result<TokioResolver, NetError> + Send + Sync;

/// The addresses, and how long they hold; the error is for people.
type Outcome = Result<(BTreeSet<IpAddr>, Duration), String>;

struct Known {
    addresses: Result<BTreeSet<IpAddr>, String>,
    /// Look-ups that failed since the last one that did not.
    failures: u32,
    next: Instant,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Box::new(of_system))
    }
}

impl Names {
    fn new(resolver: Box<MakeResolver>) -> Self {
        Self { resolver, known: BTreeMap::new(), look_ups: JoinSet::new(), running: BTreeSet::new() }
    }

    /// Looks up those of `names`, `NAME` or `NAME:PORT`, that are not known or no longer hold. Other names are forgotten.
    pub(super) async fn look_up<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, now: Instant) {
        let hosts: BTreeSet<&str> = names.into_iter().map(|name| split(name).0).collect();
        self.known.retain(|host, _| hosts.contains(host.as_str()));
        for host in hosts.into_iter().filter(|host| self.known.get(*host).is_none_or(|known| known.next <= now)) {
            let host = host.to_owned();
            if self.running.insert(host.clone()) {
                let resolver = (self.resolver)();
                self.look_ups.spawn(async move {
                    let outcome = look_up(resolver, &host).await;
                    (host, outcome)
                });
            }
        }
        let learning = async {
            while let Some(ended) = self.look_ups.join_next().await {
                let Ok((host, outcome)) = ended else { continue };
                self.running.remove(&host);
                let known = learned(self.known.remove(&host), outcome, now);
                self.known.insert(host, known);
            }
        };
        // Those that take longer go on.
        let _ = tokio::time::timeout(WAIT, learning).await;
    }

    /// The addresses of `NAME` or `NAME:PORT`, as far as they are known. The error is for people.
    pub(super) fn addresses(&self, name: &str, default_port: u16) -> Result<BTreeSet<SocketAddr>, String> {
        let (host, port) = split(name);
        let port = match port.map(str::parse) {
            None => default_port,
            Some(Ok(port)) => port,
            Some(Err(_)) => return Err(format!("{name} cannot be resolved: its port is none")),
        };
        match self.known.get(host).map(|known| &known.addresses) {
            Some(Ok(addresses)) => Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
            Some(Err(why)) => Err(format!("{name} {why}")),
            None => Err(format!("{name} is still being looked up")),
        }
    }
}

/// Host and port.
fn split(name: &str) -> (&str, Option<&str>) {
    name.rsplit_once(':').map_or((name, None), |(host, port)| (host, Some(port)))
}

/// What is known after a look-up.
fn learned(before: Option<Known>, outcome: Outcome, now: Instant) -> Known {
    match (outcome, before) {
        (Ok((addresses, ttl)), _) => Known { addresses: Ok(addresses), failures: 0, next: now + next_after(ttl) },
        (Err(why), before) => {
            let failures = before.as_ref().map_or(0, |known| known.failures).saturating_add(1);
            let addresses = before.and_then(|known| known.addresses.ok()).ok_or(why);
            Known { addresses, failures, next: now + pause_after(failures) }
        }
    }
}

/// When the next look-up is due after an answer that holds for `ttl`.
fn next_after(ttl: Duration) -> Duration {
    ttl.clamp(SHORTEST, LONGEST)
}

/// When the next look-up is due after so many that failed in a row.
fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// The addresses of a name, and how long the shortest-lived record on the way to them holds.
async fn look_up(resolver: Result<TokioResolver, NetError>, host: &str) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| format!("cannot be resolved: {error}");
    let resolver = resolver.map_err(|error| failed(&error))?;
    match tokio::time::timeout(LOOKUP, resolver.lookup_ip(host)).await {
        Ok(Ok(found)) => {
            let addresses: BTreeSet<_> = found.iter().collect();
            let ttl = found.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
            if addresses.is_empty() { Err("has no address".into()) } else { Ok((addresses, Duration::from_secs(ttl.into()))) }
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(format!("cannot be resolved: no answer within {} s", LOOKUP.as_secs())),
    }
}

/// As the system is set up. Without a name server `/etc/hosts` still holds, and one may be on this machine (resolv.conf(5)).
fn of_system() -> Result<TokioResolver, NetError> {
    let (config, options) = read_system_conf().unwrap_or_else(|_| {
        let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
    });
    uncached(config, options)
}

/// A resolver that remembers nothing: when to ask is decided here.
fn uncached(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    options.cache_size = 0;
    options.timeout = options.timeout.min(ATTEMPT);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

#[cfg(test)]
mod tests;
