//! The small values: durations, networks, addresses, paths, names, and lists of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::Check;
use crate::error::{FaultKind, enumerate, suggest};
use crate::ids::{ClusterId, InvalidName, is_domain, is_lower_label};
use crate::raw::At;
use crate::tree::{NodeId, shorten};

/// Why a text is not the value it stands for: what is wrong, and what would be right.
pub(super) type Refusal = (String, String);

impl Check<'_> {
    /// `text` as a value, if given and right; a wrong one is reported.
    pub(super) fn value<T>(&self, text: &At<String>, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        let (at, text) = text.given()?;
        self.text(at, text, parse)
    }

    pub(super) fn text<T>(&self, at: NodeId, text: &str, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        parse(text).map_err(|(message, remedy)| self.report.fault(at, FaultKind::BadValue, message, remedy)).ok()
    }

    /// The right ones of a list; `None` where there is no list.
    pub(super) fn list<T>(&self, list: &At<Vec<At<String>>>, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<Vec<T>> {
        Some(list.get()?.iter().filter_map(|item| self.value(item, &parse)).collect())
    }

    /// Reports a required field that is absent.
    pub(super) fn need<T>(&self, parent: NodeId, name: &str, field: &At<T>, remedy: &str) {
        if !field.is_given() {
            self.report.fault(parent, FaultKind::MissingField, format!("`{name}` is missing"), remedy);
        }
    }

    /// A file or folder; relative ones start from the configuration's folder.
    pub(super) fn path(&self, text: &At<String>) -> Option<PathBuf> {
        self.value(text, |text| match text {
            "" => Err(("the path is empty".into(), "write a path, absolute or relative to this file's folder".into())),
            _ if text.contains('\0') => Err(("the path contains a zero byte".into(), "write a path without it".into())),
            _ => Ok(self.base.join(text)),
        })
    }

    /// The name of a cluster that exists.
    pub(super) fn cluster_ref(&self, text: &At<String>) -> Option<ClusterId> {
        let (at, name) = text.given()?;
        self.cluster_name(at, name)
    }

    /// As [`Self::cluster_ref`], for a name that is part of a text.
    pub(super) fn cluster_name(&self, at: NodeId, name: &str) -> Option<ClusterId> {
        let names = self.names.as_ref()?;
        if !names.contains(&name) {
            let otherwise = format!("the clusters of this file are {}", enumerate(names.iter().copied()));
            self.report.fault(
                at,
                FaultKind::UnknownCluster,
                format!("there is no cluster `{}`", shorten(name)),
                suggest(name, names.iter().copied(), &otherwise),
            );
        }
        name.parse().ok()
    }

    /// Networks of a list that must name one when given.
    pub(super) fn networks(&self, list: &At<Vec<At<String>>>) -> Vec<IpNet> {
        if list.get().is_some_and(Vec::is_empty) {
            let at = list.node();
            self.report.fault(at, FaultKind::BadValue, "this list names no network", "name one, or remove the field");
        }
        self.list(list, network).unwrap_or_default()
    }
}

/// A name that parses by itself.
pub(super) fn name<T: FromStr<Err = InvalidName>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|e: InvalidName| (format!("`{}` is not {}", shorten(&e.found), e.expected), e.remedy))
}

/// An ingress class, which is the name of a Kubernetes object.
pub(super) fn class_name(text: &str) -> Result<String, Refusal> {
    object_part(text, "an ingress class", is_domain)
}

/// A namespace of Kubernetes.
pub(super) fn namespace(text: &str) -> Result<String, Refusal> {
    object_part(text, "a namespace", is_lower_label)
}

fn object_part(text: &str, what: &str, valid: fn(&str) -> bool) -> Result<String, Refusal> {
    if valid(text) && !text.bytes().any(|b| b.is_ascii_uppercase() || b == b'_') {
        Ok(text.to_owned())
    } else {
        Err((format!("`{}` is not the name of {what}", shorten(text)), "use lower-case letters, digits and inner hyphens".into()))
    }
}

/// A whole number and a unit.
pub(super) fn duration(text: &str) -> Result<Duration, Refusal> {
    let wrong = || (format!("`{}` is not a duration", shorten(text)), duration_remedy(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let total = number.checked_mul(milliseconds).filter(|ms| *ms <= MAX_DURATION);
    total.map(Duration::from_millis).ok_or_else(|| (format!("`{text}` is longer than ten years"), "write a shorter one".into()))
}

/// Ten years, in milliseconds: far from the overflow of any clock's arithmetic.
const MAX_DURATION: u64 = 10 * 366 * 24 * 3600 * 1000;

fn duration_remedy(text: &str) -> String {
    let general = "write a whole number and a unit (ms, s, m or h), such as `250ms`, `30s`, `10m` or `1h`";
    if !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("add the unit: `{text}s` for seconds, `{text}ms` for milliseconds");
    }
    match text.strip_suffix('d').map(|days| days.parse::<u32>().map(|d| u64::from(d) * 24)) {
        Some(Ok(hours)) => format!("write days as hours: `{hours}h`"),
        _ => general.to_owned(),
    }
}

/// A duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, Refusal> {
    match duration(text)? {
        Duration::ZERO => Err(("no time at all is left".into(), "write a duration above zero".into())),
        duration => Ok(duration),
    }
}

/// A network in normal form: no host bits, no IPv4 in IPv6 clothes (clients are compared after unmapping).
pub(super) fn network(text: &str) -> Result<IpNet, Refusal> {
    let Ok(net) = text.parse::<IpNet>() else {
        let remedy = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => format!("write `{ip}/32` for this one address"),
            Ok(IpAddr::V6(ip)) => format!("write `{ip}/128` for this one address"),
            Err(_) => "write an address and a prefix length, such as `10.20.0.0/16` or `2001:db8::/32`".to_owned(),
        };
        return Err((format!("`{}` is not a network", shorten(text)), remedy));
    };
    if net != net.trunc() {
        return Err((format!("`{net}` has bits set beyond its prefix length"), format!("write `{}`", net.trunc())));
    }
    if let IpNet::V6(v6) = net
        && let (Some(v4), Some(length)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(plain) = Ipv4Net::new(v4, length)
    {
        return Err((format!("`{text}` is an IPv4 network written as IPv6"), format!("write `{plain}`")));
    }
    Ok(net)
}

/// An address and a port to listen on.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| {
        let message = format!("`{}` is not an address with a port", shorten(text));
        let port = |text: &str| text.parse::<u16>().ok();
        let remedy = match (port(text.strip_prefix("*:").or(text.strip_prefix(':')).unwrap_or(text)), text.parse::<IpAddr>()) {
            (Some(port), _) => format!("write `0.0.0.0:{port}` for every IPv4 address, `[::]:{port}` for every IPv6 one"),
            (_, Ok(IpAddr::V4(ip))) => format!("add the port: `{ip}:443`"),
            (_, Ok(IpAddr::V6(ip))) => format!("write it in brackets, with a port: `[{ip}]:443`"),
            _ if text.rsplit_once(':').is_some_and(|(ip, _)| ip.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()) => {
                "a port is a number from 0 to 65535".to_owned()
            }
            _ => {
                "write an IP address and a port, such as `0.0.0.0:443` or `[::]:443`; host names are not resolved here".to_owned()
            }
        };
        (message, remedy)
    })
}

/// Whether two sockets cannot be bound at once. An IPv6 wildcard does not take IPv4 too: listeners set `IPV6_V6ONLY`.
pub(super) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (a.ip() == b.ip() || any(a.ip()) || any(b.ip()))
}

/// Whether everybody is in there.
pub(super) fn is_everybody(net: &IpNet) -> bool {
    net.prefix_len() == 0
}

/// A DNS name with an optional port, for peers.
/// A DNS name or an address, each with a port or without.
pub(super) fn place(text: &str) -> Result<String, Refusal> {
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0) {
        return Ok(text.to_owned());
    }
    dns_name(text)
}

pub(super) fn dns_name(text: &str) -> Result<String, Refusal> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|p| p.parse::<u16>().map_or(true, |p| p == 0)) {
        return Err((
            format!("`{}` does not end in a port", shorten(text)),
            "write `NAME:PORT` with a port from 1 to 65535".into(),
        ));
    }
    if host.parse::<IpAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
        return Err((format!("`{}` is an address, not a DNS name", shorten(text)), "use `addresses` for fixed addresses".into()));
    }
    name::<crate::ids::HostName>(host)?;
    Ok(text.to_owned())
}
