//! The names in a certificate, and how a host is compared with them.

use std::borrow::Cow;
use std::net::IpAddr;

use causeway_config::HostPattern;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// What a certificate is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// DNS names, sorted, each once. Never [`HostPattern::Any`].
    pub(crate) hosts: Vec<HostPattern>,
    /// IP addresses, sorted, each once.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Names {
    /// The subject alternative names; the common name only where there are none (RFC 6125 section 6.4.4).
    ///
    /// Names that no client can ask for are passed over: `*`, `w*.example.com`, addresses written as DNS names.
    pub(crate) fn of(cert: &X509Certificate<'_>) -> Result<Self, String> {
        let mut names = Self::default();
        let mut alternative = false;
        if let Some(extension) = cert.subject_alternative_name().map_err(|e| e.to_string())? {
            for name in &extension.value.general_names {
                match name {
                    GeneralName::DNSName(name) => {
                        alternative = true;
                        names.hosts.extend(host(name));
                    }
                    GeneralName::IPAddress(octets) => {
                        alternative = true;
                        names.addresses.extend(address(octets));
                    }
                    _ => {}
                }
            }
        }
        if !alternative {
            names.hosts.extend(cert.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).filter_map(host));
        }
        names.hosts.sort();
        names.hosts.dedup();
        names.addresses.sort();
        names.addresses.dedup();
        Ok(names)
    }

    /// Whether a client that asked for `host` takes a certificate with these names.
    pub(crate) fn cover(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.binary_search(&address).is_ok();
        }
        let host = normal(host);
        let suffix = parent(&host);
        self.hosts.iter().any(|name| match name {
            HostPattern::Exact(name) => name.as_str() == host,
            HostPattern::Wildcard(name) => suffix == Some(name.as_str()),
            HostPattern::Any => false,
        })
    }
}

/// `host` in lower case and without its trailing dot. Allocates only for upper case.
pub(crate) fn normal(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// What stands behind the one label that a wildcard is for (RFC 6125 section 6.4.3).
pub(crate) fn parent(host: &str) -> Option<&str> {
    host.split_once('.').filter(|(label, suffix)| !label.is_empty() && !suffix.is_empty()).map(|(_, suffix)| suffix)
}

fn host(name: &str) -> Option<HostPattern> {
    name.parse().ok().filter(|pattern| match pattern {
        HostPattern::Exact(host) => !host.is_ip(),
        HostPattern::Wildcard(_) => true,
        HostPattern::Any => false,
    })
}

/// RFC 5280 section 4.2.1.6: 4 or 16 octets in network order.
fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests;
