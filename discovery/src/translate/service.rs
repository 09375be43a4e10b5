//! Service (`core/v1`).

use std::sync::Arc;

use causeway_config::ClusterId;
use causeway_core::cluster::{Service, ServicePort};
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::core::v1;

use super::protocol::protocol;
use super::{Family, Key, Kind, Object, Translated, backend, port_number, scope};
use crate::report::Report;

/// Translates a Service. Ports of other transports than TCP are left out without a word: they are not for HTTP.
pub fn service(cluster: &ClusterId, object: v1::Service) -> Result<Translated, Diagnostic> {
    let key = Key::new(cluster, Kind::Service, &object.metadata)?;
    let mut report = Report::new(cluster, &key);
    let scope = scope(object.metadata.annotations.as_ref(), &mut report);
    let spec = object.spec.unwrap_or_default();

    let ports = spec.ports.unwrap_or_default().into_iter().enumerate();
    let ports = ports.filter(|(_, port)| is_tcp(port.protocol.as_deref()));
    let mut ports: Vec<_> = ports.filter_map(|(index, port)| translate_port(index, port, &mut report)).collect();
    // Collected where the object's own, larger ports were.
    ports.shrink_to_fit();
    let tls = backend::tls(&key.name, object.metadata.annotations.as_ref(), &ports, &mut report).map(Arc::new);
    let family = match spec.ip_families.as_deref() {
        Some([first, ..]) if first == "IPv6" => Family::V6,
        _ => Family::V4,
    };
    let balancers =
        object.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress).unwrap_or_default();
    let balancers = balancers.into_iter().filter_map(|entry| entry.ip.or(entry.hostname)).map(Into::into).collect();
    let external_name = spec.type_.as_deref() == Some("ExternalName");
    let service = Service { ports, external_name, scope, balancers, tls };
    Ok(Translated { key, object: Object::Service(Arc::new(service), family), diagnostics: report.into_diagnostics() })
}

/// Absent means TCP.
pub(super) fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("" | "TCP"))
}

fn translate_port(index: usize, port: v1::ServicePort, report: &mut Report<'_>) -> Option<ServicePort> {
    let name = port.name.unwrap_or_default();
    let Some(number) = port_number(port.port) else {
        report.error(
            format_args!("spec.ports[{index}].port"),
            format_args!("{} is not a port", port.port),
            "write a number from 1 to 65535",
        );
        return None;
    };
    let protocol = protocol(port.app_protocol.as_deref(), &name);
    Some(ServicePort { name: name.into(), port: number, protocol })
}
