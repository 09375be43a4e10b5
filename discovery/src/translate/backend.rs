//! Annotations of a Service that say how its backends are believed, where they speak TLS.

use std::collections::BTreeMap;

use causeway_config::{CaRef, HostName, ObjectName};
use causeway_core::cluster::{BackendTls, ServicePort, Trust};

use crate::report::{Report, shown};

/// The authorities, in a Secret or in a `ConfigMap`: `NAME`, or `NAMESPACE/NAME`.
const CA_SECRET: &str = "causeway.dev/backend-ca-secret";
const CA_CONFIG_MAP: &str = "causeway.dev/backend-ca-configmap";

/// The name that certificates must be for, and that is asked for (SNI).
const HOSTNAME: &str = "causeway.dev/backend-hostname";

/// What the annotations of the Service `of` say; `None` where they say nothing. Whatever cannot be understood lets nobody be
/// believed: who named authorities did not mean the machine's.
pub(super) fn tls(
    of: &ObjectName,
    annotations: Option<&BTreeMap<String, String>>,
    ports: &[ServicePort],
    report: &mut Report<'_>,
) -> Option<BackendTls> {
    let said = |name: &str| annotations.and_then(|all| all.get(name)).map(String::as_str);
    let (secret, config_map, hostname) = (said(CA_SECRET), said(CA_CONFIG_MAP), said(HOSTNAME));
    let named = [(CA_SECRET, secret), (CA_CONFIG_MAP, config_map), (HOSTNAME, hostname)];
    let (first, _) = named.into_iter().find(|(_, said)| said.is_some())?;
    if ports.iter().all(|port| !port.protocol.is_tls()) {
        report.warning(
            field(first),
            "has no effect: none of the ports speaks TLS",
            "write `appProtocol: https`, or `grpcs`, at the port, or remove the annotation",
        );
        return None;
    }
    let trust = match (secret, config_map) {
        (None, None) => Trust::System,
        (Some(name), None) => object(of, CA_SECRET, name, report).map_or(Trust::Nobody, |name| Trust::Ca(CaRef::Secret(name))),
        (None, Some(name)) => {
            object(of, CA_CONFIG_MAP, name, report).map_or(Trust::Nobody, |name| Trust::Ca(CaRef::ConfigMap(name)))
        }
        (Some(_), Some(_)) => {
            report.error(
                field(CA_CONFIG_MAP),
                format_args!("stands beside `{CA_SECRET}`, and nothing says which is meant: its backends are not called"),
                "keep one of the two",
            );
            Trust::Nobody
        }
    };
    let Some(text) = hostname else { return Some(BackendTls { trust, hostname: None }) };
    if let Ok(name) = text.parse::<HostName>() {
        return Some(BackendTls { trust, hostname: Some(name.as_str().into()) });
    }
    report.error(
        field(HOSTNAME),
        format_args!("`{}` is not a host name: its backends are not called", shown(text)),
        "write the name that their certificates are for, such as `web.shop.svc`",
    );
    Some(BackendTls { trust: Trust::Nobody, hostname: None })
}

fn object(of: &ObjectName, annotation: &str, text: &str, report: &mut Report<'_>) -> Option<ObjectName> {
    let full = if text.contains('/') { text.to_owned() } else { format!("{}/{text}", of.namespace) };
    full.parse()
        .inspect_err(|_| {
            report.error(
                field(annotation),
                format_args!("`{}` is not the name of an object: its backends are not called", shown(text)),
                "write `NAME`, or `NAMESPACE/NAME`",
            );
        })
        .ok()
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_core::cluster::AppProtocol;

    use super::*;

    fn read(annotations: &[(&str, &str)], protocol: AppProtocol) -> (Option<BackendTls>, Vec<String>) {
        let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cluster = "aws".parse().unwrap();
        let mut report = Report::new(&cluster, "Service shop/web");
        let ports = [ServicePort { name: "web".into(), port: 443, protocol }];
        let tls = tls(&ObjectName::new("shop", "web"), Some(&annotations), &ports, &mut report);
        (tls, report.into_diagnostics().into_iter().map(|d| format!("{}: {}", d.field, d.problem)).collect())
    }

    #[test]
    fn a_name_without_a_namespace_is_of_the_services_own() {
        let ca = |annotations: &[(&str, &str)]| read(annotations, AppProtocol::Https).0.unwrap().trust;
        assert_eq!(ca(&[(CA_SECRET, "ca")]), Trust::Ca(CaRef::Secret(ObjectName::new("shop", "ca"))));
        assert_eq!(
            ca(&[(CA_CONFIG_MAP, "pki/roots.example")]),
            Trust::Ca(CaRef::ConfigMap(ObjectName::new("pki", "roots.example")))
        );
        let named = read(&[(HOSTNAME, "Web.Shop.svc")], AppProtocol::Https).0.unwrap();
        assert_eq!((named.trust, named.hostname.as_deref()), (Trust::System, Some("web.shop.svc")));
        assert_eq!(read(&[], AppProtocol::Https), (None, Vec::new()));
    }

    #[test]
    fn what_cannot_be_understood_lets_nobody_be_believed() {
        for (annotations, place) in [
            (&[(CA_SECRET, "ca"), (CA_CONFIG_MAP, "ca")][..], CA_CONFIG_MAP),
            (&[(CA_SECRET, "no name")], CA_SECRET),
            (&[(CA_SECRET, "")], CA_SECRET),
            (&[(CA_CONFIG_MAP, "a/b/c")], CA_CONFIG_MAP),
            (&[(CA_SECRET, "ca"), (HOSTNAME, "https://web")], HOSTNAME),
            (&[(HOSTNAME, "")], HOSTNAME),
        ] {
            let (tls, said) = read(annotations, AppProtocol::Https);
            assert_eq!(tls.unwrap().trust, Trust::Nobody, "{annotations:?}");
            assert!(said.len() == 1 && said[0].starts_with(&field(place)), "{said:?}");
        }
    }

    #[test]
    fn where_no_port_speaks_tls_it_is_said_to_be_of_no_use() {
        let (tls, said) = read(&[(CA_SECRET, "ca")], AppProtocol::H2c);
        assert!(tls.is_none() && said[0].contains("no effect"), "{said:?}");
    }
}
