//! Rate limits of hosts: so many requests of one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use causeway_config::{RateKey, RateLimit};
use http::HeaderMap;

use super::ClientKey;
use super::keyed::Keyed;

/// What tells clients apart. Values of headers are kept as hashes: they may be long, and secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Client(ClientKey),
    Header(u64),
    /// Those without the header.
    Nobody,
}

/// What was taken so far, for each host. It outlives reloads of everything but the limit itself.
#[derive(Debug, Default)]
pub struct RateLimits {
    hosts: RwLock<HashMap<Box<str>, Arc<Host>>>,
    hasher: std::hash::RandomState,
}

#[derive(Debug)]
struct Host {
    limit: RateLimit,
    taken: Keyed<Key>,
}

/// Hosts that are remembered; a wildcard policy could have any number. Beyond them all is forgotten at once, which gives each
/// client its burst again.
const MOST_HOSTS: usize = 10_000;

impl RateLimits {
    /// Takes one request; or says how long to wait.
    pub fn take(&self, host: &str, limit: &RateLimit, client: IpAddr, headers: &HeaderMap) -> Result<(), Duration> {
        let key = match &limit.by {
            RateKey::Client => Key::Client(client.into()),
            RateKey::Header(name) => headers
                .get(name)
                .map_or(Key::Nobody, |value| Key::Header(std::hash::BuildHasher::hash_one(&self.hasher, value.as_bytes()))),
        };
        self.host(host, limit).taken.take(&key)
    }

    fn host(&self, host: &str, limit: &RateLimit) -> Arc<Host> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host).filter(|known| known.limit == *limit) {
            return Arc::clone(known);
        }
        drop(hosts);
        let fresh = Arc::new(Host { limit: limit.clone(), taken: Keyed::new(limit.requests, limit.per, limit.burst) });
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host).filter(|known| known.limit == *limit) {
            return Arc::clone(known);
        }
        if hosts.len() >= MOST_HOSTS {
            hosts.clear();
        }
        hosts.insert(host.into(), Arc::clone(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn limit(by: RateKey) -> RateLimit {
        RateLimit { requests: 2, per: Duration::from_hours(1), burst: 2, by }
    }

    #[test]
    fn clients_are_told_apart_by_address_or_header_and_hosts_by_name() {
        let limits = RateLimits::default();
        let headers = |key: &str| HeaderMap::from_iter([("x-api-key".parse().unwrap(), key.parse().unwrap())]);
        let (by_client, by_key) = (limit(RateKey::Client), limit(RateKey::Header("x-api-key".into())));
        let ok = |host, limit: &RateLimit, client, headers: &HeaderMap| limits.take(host, limit, client, headers).is_ok();
        let none = HeaderMap::new();
        assert!(ok("a", &by_client, CLIENT, &none) && ok("a", &by_client, CLIENT, &headers("x")));
        assert!(!ok("a", &by_client, CLIENT, &headers("y")));
        assert!(ok("a", &by_client, "192.0.2.2".parse().unwrap(), &none));
        assert!(ok("b", &by_client, CLIENT, &none));
        for key in ["x", "y"] {
            assert!(ok("c", &by_key, CLIENT, &headers(key)) && ok("c", &by_key, CLIENT, &headers(key)));
            assert!(!ok("c", &by_key, CLIENT, &headers(key)));
        }
        assert!(ok("c", &by_key, CLIENT, &none) && ok("c", &by_key, CLIENT, &none));
        assert!(!ok("c", &by_key, CLIENT, &none));
    }

    #[test]
    fn another_limit_begins_anew() {
        let limits = RateLimits::default();
        let none = HeaderMap::new();
        let narrow = RateLimit { burst: 1, ..limit(RateKey::Client) };
        assert!(limits.take("a", &narrow, CLIENT, &none).is_ok());
        assert!(limits.take("a", &narrow, CLIENT, &none).is_err());
        assert!(limits.take("a", &limit(RateKey::Client), CLIENT, &none).is_ok());
    }
}
