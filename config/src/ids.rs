//! Names, checked once at the border and cheap to clone ever after.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not the name it was taken for. `remedy` is written for the person who wrote the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}: {remedy}")]
pub struct InvalidName {
    /// What was written.
    pub found: String,
    /// What should have stood there, with its article: "a host name".
    pub expected: &'static str,
    /// What to write instead.
    pub remedy: String,
}

impl InvalidName {
    pub(crate) fn new(found: &str, expected: &'static str, remedy: impl Into<String>) -> Self {
        // A megabyte of nonsense in a name must not become a megabyte of log.
        let found = found.chars().take(100).collect();
        Self { found, expected, remedy: remedy.into() }
    }
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
    };
}

/// A cluster's name in the fleet: a DNS label (RFC 1123), since certificates carry it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(Arc<str>);
text_newtype!(ClusterId);

impl<'de> serde::Deserialize<'de> for ClusterId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for ClusterId {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        if is_lower_label(s) {
            Ok(Self(s.into()))
        } else {
            Err(InvalidName::new(
                s,
                "a cluster name",
                "use 1 to 63 lower-case letters, digits and inner hyphens, such as `aws` or `eu-west`",
            ))
        }
    }
}

/// An object that holds the certificates of authorities, in its entry `ca.crt`: displayed as `Secret shop/ca`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaRef {
    /// A Secret.
    Secret(ObjectName),
    /// A `ConfigMap`.
    ConfigMap(ObjectName),
}

impl CaRef {
    /// Its name.
    pub fn name(&self) -> &ObjectName {
        match self {
            Self::Secret(name) | Self::ConfigMap(name) => name,
        }
    }
}

impl fmt::Display for CaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "Secret {name}"),
            Self::ConfigMap(name) => write!(f, "ConfigMap {name}"),
        }
    }
}

/// A host name in normal form: lower case, without port and trailing dot; or an IP address in its shortest form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);
text_newtype!(HostName);

impl HostName {
    /// Whether it is an IP address rather than a name.
    pub fn is_ip(&self) -> bool {
        self.0.parse::<IpAddr>().is_ok()
    }
}

impl FromStr for HostName {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let invalid = |remedy: &str| Err(InvalidName::new(s, "a host name", remedy));
        // An IPv6 address stands in brackets in URLs and Host headers (RFC 3986 section 3.2.2), and without elsewhere.
        let bare = s.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(s).parse::<Ipv6Addr>() {
            return Ok(Self(ip.to_string().into()));
        }
        let name = s.strip_suffix('.').unwrap_or(s).to_ascii_lowercase();
        if let Ok(ip) = name.parse::<Ipv4Addr>() {
            return Ok(Self(ip.to_string().into()));
        }
        if !is_domain(&name) {
            return invalid(&host_remedy(s));
        }
        // The last label of a name is never a number, so that no address can hide in one (RFC 1123 section 2.1).
        if name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
            return invalid(
                "an IPv4 address has four numbers from 0 to 255 without leading zeros; a name does not end in a number",
            );
        }
        Ok(Self(name.into()))
    }
}

/// What the author of a wrong host name most likely has to change.
fn host_remedy(s: &str) -> String {
    let general = "use labels of letters, digits and inner hyphens, such as `www.example.com`";
    match s {
        _ if s.contains("://") => "leave out the scheme: write only the host, such as `www.example.com`".to_owned(),
        _ if s.contains('/') => "leave out the path: write only the host, such as `www.example.com`".to_owned(),
        _ if !s.is_ascii() => {
            "write it in punycode (RFC 3492), as DNS and certificates do: `xn--bcher-kva.example` for `bücher.example`".to_owned()
        }
        _ if s.contains('*') => "`*` may only stand for the whole first label: `*.example.com`".to_owned(),
        _ => match s.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && is_domain(host) => {
                format!("leave out the port: `{host}`")
            }
            _ if s.len() > 253 => "a host name has at most 253 characters".to_owned(),
            _ => general.to_owned(),
        },
    }
}

/// What a rule's host may be: one name, one label below a name, or anything.
///
/// Source: Ingress `spec.rules[].host`, Gateway API `Hostname`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `www.example.com`
    Exact(HostName),
    /// `*.example.com`, kept without `*.`; it stands for exactly one label in an Ingress.
    Wildcard(HostName),
    /// No host, or `*`: any host that nothing else names.
    Any,
}

impl HostPattern {
    /// Whether every host that `other` can match is matched by `self` too; a wildcard covers deeper wildcards' names
    /// only where one label stands between, as in certificates (RFC 6125 section 6.4.3).
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Wildcard(suffix), Self::Exact(name)) => {
                name.as_str().split_once('.').is_some_and(|(_, rest)| rest == suffix.as_str())
            }
            (a, b) => a == b,
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        match s {
            "" | "*" => Ok(Self::Any),
            _ => match s.strip_prefix("*.") {
                Some(rest) => match rest.parse::<HostName>() {
                    Ok(suffix) if suffix.is_ip() => {
                        Err(InvalidName::new(s, "", "an address has no names below it: leave out the `*.`"))
                    }
                    suffix => suffix.map(Self::Wildcard),
                },
                None => s.parse().map(Self::Exact),
            },
        }
        .map_err(|e: InvalidName| InvalidName {
            found: s.chars().take(100).collect(),
            expected: "a host name or wildcard",
            remedy: e.remedy,
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl serde::Serialize for HostPattern {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for HostPattern {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A namespaced Kubernetes object: `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// Joins the two halves; objects that an API server accepted need no second check.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl FromStr for ObjectName {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        match s.split_once('/') {
            Some((namespace, name)) if is_lower_label(namespace) && is_domain(name) => Ok(Self::new(namespace, name)),
            _ => Err(InvalidName::new(s, "an object's name", "write `namespace/name`")),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for ObjectName {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Reads what `Serialize` wrote, a cluster-wide object's empty namespace included.
impl<'de> serde::Deserialize<'de> for ObjectName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        let (namespace, name) = text.split_once('/').ok_or_else(|| serde::de::Error::custom("not `namespace/name`"))?;
        Ok(Self::new(namespace, name))
    }
}

/// Who may route a host: a namespace of one cluster (`azure/bank`), or of any (`*/bank`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster, or any.
    pub cluster: Option<ClusterId>,
    /// The namespace.
    pub namespace: Arc<str>,
}

impl Owner {
    /// Whether this entry speaks of `namespace` in `cluster`.
    pub fn is(&self, cluster: &ClusterId, namespace: &str) -> bool {
        self.cluster.as_ref().is_none_or(|c| c == cluster) && &*self.namespace == namespace
    }
}

impl FromStr for Owner {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new(s, "an owner", "write `cluster/namespace`, or `*/namespace` for any cluster");
        let (cluster, namespace) = s.split_once('/').ok_or_else(invalid)?;
        if !is_lower_label(namespace) {
            return Err(invalid());
        }
        let cluster = match cluster {
            "*" => None,
            name => Some(name.parse().map_err(|_| invalid())?),
        };
        Ok(Self { cluster, namespace: namespace.into() })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster.as_ref().map_or("*", ClusterId::as_str), self.namespace)
    }
}

/// How far an object reaches: annotation `causeway.dev/scope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only its own cluster's edges know it.
    Cluster,
    /// The whole fleet does.
    #[default]
    Fleet,
}

/// A DNS label of RFC 1123: 1 to 63 letters, digits and inner hyphens.
pub(crate) fn is_label(s: &str) -> bool {
    (1..=63).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !s.starts_with('-')
        && !s.ends_with('-')
}

/// A label as Kubernetes has them in names: without upper case.
pub(crate) fn is_lower_label(s: &str) -> bool {
    is_label(s) && !s.bytes().any(|b| b.is_ascii_uppercase())
}

/// A sequence of labels, at most 253 bytes. Underscores are let through inside labels: real host names have them.
pub(crate) fn is_domain(s: &str) -> bool {
    s.len() <= 253 && s.split('.').all(|label| is_label(&label.replace('_', "x")))
}

#[cfg(test)]
mod tests;
