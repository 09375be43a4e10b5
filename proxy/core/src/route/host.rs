//! Hosts: exact before wildcard before any, and no falling through from one to the next.
//!
//! A namespace that owns a host owns all its paths (docs/architecture.md), so a path that an exact host does not have is
//! not looked for under a wildcard that may belong to somebody else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use causeway_config::{HostName, HostPattern};

use super::path::PathTable;
use crate::policy::Policy;

/// Everything served under one host pattern.
#[derive(Debug)]
pub struct HostEntry {
    /// The pattern.
    pub pattern: HostPattern,
    /// What is special about it.
    pub policy: Arc<Policy>,
    /// Its paths.
    pub paths: PathTable,
}

/// Host patterns to what is served there.
#[derive(Debug, Default)]
pub struct HostTable {
    exact: HashMap<HostName, Arc<HostEntry>>,
    wildcard: HashMap<HostName, Arc<HostEntry>>,
    any: Option<Arc<HostEntry>>,
}

impl HostTable {
    /// Adds an entry under its pattern, in place of one that stood there.
    pub fn insert(&mut self, entry: Arc<HostEntry>) {
        match entry.pattern.clone() {
            HostPattern::Exact(name) => drop(self.exact.insert(name, entry)),
            HostPattern::Wildcard(suffix) => drop(self.wildcard.insert(suffix, entry)),
            HostPattern::Any => self.any = Some(entry),
        }
    }

    /// The entry that serves `host`, which must be in normal form (see [`normal_host`]).
    pub fn find(&self, host: &str) -> Option<&Arc<HostEntry>> {
        if let Some(entry) = self.exact.get(host) {
            return Some(entry);
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        parent.and_then(|parent| self.wildcard.get(parent)).or(self.any.as_ref())
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<HostEntry>> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.any)
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len() + usize::from(self.any.is_some())
    }

    /// Whether nothing is served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The host of an authority (`Host`, `:authority`; RFC 9110 section 7.2, RFC 3986 section 3.2.2) in normal form: lower case,
/// without port and trailing dot, an IPv6 address without brackets. `None` if it is no host at all. Borrows where nothing changes.
pub fn normal_host(authority: &str) -> Option<Cow<'_, str>> {
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
        return is_port(port).then(|| Cow::Owned(address.to_string()));
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let host = host.strip_suffix('.').unwrap_or(host);
    let fits = is_port(port) && host.len() <= 253 && host.split('.').all(is_label);
    fits.then(|| {
        if host.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
    })
}

/// A label as [`HostName`] takes it, so that whatever is looked up could have been declared.
fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !label.is_empty() && label.len() <= 63 && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn table(patterns: &[&str]) -> HostTable {
        let mut table = HostTable::default();
        for pattern in patterns {
            let entry = HostEntry { pattern: pattern.parse().unwrap(), policy: Arc::default(), paths: PathTable::default() };
            table.insert(Arc::new(entry));
        }
        table
    }

    fn found(table: &HostTable, host: &str) -> Option<String> {
        table.find(host).map(|entry| entry.pattern.to_string())
    }

    #[test]
    fn exact_before_wildcard_before_any() {
        let table = table(&["*", "*.example.com", "www.example.com"]);
        assert_eq!(found(&table, "www.example.com").unwrap(), "www.example.com");
        assert_eq!(found(&table, "api.example.com").unwrap(), "*.example.com");
        assert_eq!(found(&table, "example.com").unwrap(), "*");
    }

    #[test]
    fn a_wildcard_matches_exactly_one_label() {
        let table = table(&["*.example.com"]);
        assert_eq!(found(&table, "a.b.example.com"), None);
        assert_eq!(found(&table, "example.com"), None);
    }

    #[test]
    fn authorities_come_down_to_one_form() {
        for (authority, host) in [
            ("www.example.com", Some("www.example.com")),
            ("WWW.Example.COM:8443", Some("www.example.com")),
            ("www.example.com.", Some("www.example.com")),
            ("www.example.com.:443", Some("www.example.com")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:443", Some("::1")),
            ("[::1]", Some("::1")),
            ("my_host", Some("my_host")),
            ("", None),
            (".", None),
            (":80", None),
            ("a..b", None),
            ("a..", None),
            ("-a.example.com", None),
            ("[2001:db8:0::1]", Some("2001:db8::1")),
            ("a b", None),
            ("user@host", None),
            ("host:port", None),
            ("[::1", None),
            ("[::1]x", None),
            ("a/b", None),
        ] {
            assert_eq!(normal_host(authority).as_deref(), host, "{authority}");
        }
    }

    fn naive(patterns: &[String], host: &str) -> Option<String> {
        let rank = |pattern: &str| match pattern {
            _ if pattern == host => Some(0),
            "*" => Some(2),
            _ => {
                let suffix = pattern.strip_prefix('*')?;
                let label = host.strip_suffix(suffix)?;
                (!label.is_empty() && !label.contains('.')).then_some(1)
            }
        };
        let mut ranked: Vec<_> = patterns.iter().filter_map(|p| Some((rank(p)?, p))).collect();
        ranked.sort();
        ranked.first().map(|(_, p)| (*p).clone())
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_naive_search(
            patterns in proptest::collection::vec("(\\*|((\\*\\.)?[ab](\\.[ab]){0,3}))", 0..12),
            host in "[ab](\\.[ab]){0,3}",
        ) {
            let table = table(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(found(&table, &host), naive(&patterns, &host));
        }

        #[test]
        fn a_normal_host_is_its_own_normal_form(authority in "[A-Za-z0-9.:\\[\\]-]{0,20}") {
            if let Some(host) = normal_host(&authority)
                && !host.contains(':')
            {
                prop_assert_eq!(normal_host(&host), Some(host.clone()));
            }
        }
    }
}
