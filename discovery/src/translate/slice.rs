//! `EndpointSlice` (`discovery.k8s.io/v1`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use causeway_config::{ClusterId, ObjectName};
use causeway_core::cluster::Endpoint;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::discovery::v1;

use super::service::is_tcp;
use super::{Key, Kind, Object, Slice, Translated, port_number};
use crate::report::{Report, shown};

/// The label that says whose endpoints these are.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Translates a slice. Slices of one Service are put together later, in `endpoints.rs`.
pub fn endpoint_slice(cluster: &ClusterId, object: v1::EndpointSlice) -> Result<Translated, Diagnostic> {
    let key = Key::new(cluster, Kind::EndpointSlice, &object.metadata)?;
    let mut report = Report::new(cluster, &key);
    let service = object
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(SERVICE_NAME))
        .filter(|name| !name.is_empty())
        .map(|name| ObjectName::new(key.name.namespace.clone(), name.as_str()));

    let mut endpoints = Vec::new();
    // A slice without endpoints loses nobody anything, whatever is wrong with it.
    if !object.endpoints.is_empty() {
        if service.is_none() {
            report.error(
                format_args!("metadata.labels[{SERVICE_NAME}]"),
                "is missing, so that its endpoints belong to no Service",
                "label it with the name of its Service",
            );
        } else if is_ip(&object.address_type, &mut report) {
            let ports = ports(object.ports.unwrap_or_default(), &mut report);
            endpoints = list(&key, &object.endpoints, &ports, &mut report);
        }
    }
    endpoints.sort_by(|a, b| a.place().cmp(&b.place()));
    let slice = Slice { service, endpoints: Arc::new(endpoints) };
    Ok(Translated { key, object: Object::EndpointSlice(Arc::new(slice)), diagnostics: report.into_diagnostics() })
}

/// Whether the slice's addresses are IP addresses. Which of the two families shows in the addresses themselves.
fn is_ip(address_type: &str, report: &mut Report<'_>) -> bool {
    let ip = matches!(address_type, "IPv4" | "IPv6");
    if !ip {
        report.error(
            "addressType",
            format_args!("`{}` is not supported, and its endpoints are left out", shown(address_type)),
            "use slices of type IPv4 or IPv6; for FQDN Kubernetes defines no meaning",
        );
    }
    ip
}

/// Names and numbers of the TCP ports.
fn ports(ports: Vec<v1::EndpointPort>, report: &mut Report<'_>) -> Vec<(Arc<str>, u16)> {
    let ports = ports.into_iter().enumerate().filter(|(_, port)| is_tcp(port.protocol.as_deref()));
    ports
        .filter_map(|(index, port)| {
            let field = format!("ports[{index}].port");
            let Some(number) = port.port else {
                report.error(field, "is missing, which means every port, and is not supported", "name each port with its number");
                return None;
            };
            let Some(number) = port_number(number) else {
                report.error(field, format_args!("{number} is not a port"), "write a number from 1 to 65535");
                return None;
            };
            Some((port.name.unwrap_or_default().into(), number))
        })
        .collect()
}

fn list(key: &Key, endpoints: &[v1::Endpoint], ports: &[(Arc<str>, u16)], report: &mut Report<'_>) -> Vec<Endpoint> {
    let mut listed = Vec::with_capacity(endpoints.len() * ports.len());
    let mut bad: Option<(usize, &str)> = None;
    let mut bad_count = 0;
    for (index, endpoint) in endpoints.iter().enumerate() {
        // "No semantics are defined for additional addresses beyond the first" (EndpointSlice v1, endpoints[].addresses).
        let first = endpoint.addresses.first().map_or("", String::as_str);
        let Ok(address) = first.parse::<IpAddr>() else {
            bad.get_or_insert((index, first));
            bad_count += 1;
            continue;
        };
        let known = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).filter(|uid| !uid.is_empty());
        let uid: Arc<str> = known.map_or_else(|| format!("{}/{address}", key.name.name).into(), Into::into);
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
        let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
        listed.extend(ports.iter().map(|(name, port)| Endpoint {
            port_name: name.clone(),
            address: SocketAddr::new(address, *port),
            uid: uid.clone(),
            known: known.is_some(),
            ready,
            serving,
            terminating,
        }));
    }
    if let Some((index, address)) = bad {
        let others = if bad_count > 1 { format!(", and {} more like it", bad_count - 1) } else { String::new() };
        report.error(
            format_args!("endpoints[{index}].addresses[0]"),
            format_args!("`{}` is not an IP address{others}; such endpoints are left out", shown(address)),
            "write an address in canonical form, such as `10.0.0.7` or `fd00::7`",
        );
    }
    listed
}
