//! Ingress (`networking.k8s.io/v1`).
//!
//! What is wrong with one rule, path or host costs that one alone.

use std::sync::Arc;

use causeway_config::{ClusterId, HostPattern};
use causeway_core::cluster::{Ingress, IngressRule, IngressTls, PathType, PortRef, ServiceRef};
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::api::networking::v1;

use super::{Key, Kind, Object, Translated, port_number, scope};
use crate::report::{Report, shown};

/// The annotation of the time before `spec.ingressClassName`.
const LEGACY_CLASS: &str = "kubernetes.io/ingress.class";

/// Translates an Ingress.
pub fn ingress(cluster: &ClusterId, object: v1::Ingress) -> Result<Translated, Diagnostic> {
    let key = Key::new(cluster, Kind::Ingress, &object.metadata)?;
    let mut report = Report::new(cluster, &key);
    let annotations = object.metadata.annotations.as_ref();
    let legacy_class = annotations.and_then(|all| all.get(LEGACY_CLASS)).filter(|class| !class.is_empty());
    let legacy_class = legacy_class.map(|class| class.as_str().into());
    let scope = scope(annotations, &mut report);
    let spec = object.spec.unwrap_or_default();

    let default_backend = spec.default_backend.and_then(|named| {
        backend(named)
            .inspect_err(|what| {
                report.error(
                    "spec.defaultBackend",
                    format_args!("is {what}, and only Services can be backends"),
                    "name a Service and its port",
                );
            })
            .ok()
    });
    let (mut rules, mut bare_hosts) = (Vec::new(), Vec::new());
    let said = spec.rules.unwrap_or_default();
    if said.is_empty() {
        bare_hosts.push(HostPattern::Any);
    }
    for (index, rule) in said.into_iter().enumerate() {
        translate_rule(index, rule, default_backend.is_some(), (&mut rules, &mut bare_hosts), &mut report);
    }
    let tls = spec.tls.unwrap_or_default().into_iter().enumerate();
    let tls = tls.filter_map(|(index, entry)| translate_tls(index, entry, &mut report));
    let mut tls: Vec<_> = tls.collect();
    // There are many Ingresses of one rule, and they stay.
    rules.shrink_to_fit();
    bare_hosts.shrink_to_fit();
    tls.shrink_to_fit();

    let ingress = Ingress {
        class: spec.ingress_class_name.filter(|class| !class.is_empty()).map(Into::into),
        legacy_class,
        scope,
        created: object.metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
        default_backend,
        rules,
        bare_hosts,
        tls,
    };
    Ok(Translated { key, object: Object::Ingress(Arc::new(ingress)), diagnostics: report.into_diagnostics() })
}

fn translate_rule(
    index: usize,
    rule: v1::IngressRule,
    default_backend: bool,
    (rules, bare_hosts): (&mut Vec<IngressRule>, &mut Vec<HostPattern>),
    report: &mut Report<'_>,
) {
    let field = format!("spec.rules[{index}]");
    let Some(host) = host(rule.host.as_deref().unwrap_or_default(), || format!("{field}.host"), report) else { return };
    let Some(http) = rule.http else {
        // "If unspecified, the rule defaults to a http catch-all" (Ingress v1, spec.rules[].http): to the default backend.
        if !default_backend {
            report.warning(
                format_args!("{field}.http"),
                "is missing, and there is no default backend that the host could go to",
                "write paths, or `spec.defaultBackend`",
            );
        }
        bare_hosts.push(host);
        return;
    };
    if http.paths.is_empty() {
        report.warning(format_args!("{field}.http.paths"), "is empty, so that the rule serves nothing", "write a path");
    }
    for (index, entry) in http.paths.into_iter().enumerate() {
        let field = format!("{field}.http.paths[{index}]");
        let Some((path, path_type)) = path(&field, entry.path.as_deref(), &entry.path_type, report) else { continue };
        rules.push(IngressRule { host: host.clone(), path, path_type, backend: backend(entry.backend) });
    }
}

/// A host of a rule or of `spec.tls`.
fn host(text: &str, field: impl FnOnce() -> String, report: &mut Report<'_>) -> Option<HostPattern> {
    text.parse::<HostPattern>()
        .inspect_err(|_| {
            report.error(
                field(),
                format_args!("`{}` is not a host name or wildcard", shown(text)),
                "write a name without scheme, port and path, such as `www.example.com` or `*.example.com`",
            );
        })
        .ok()
}

/// The path in normal form, and how it is compared.
fn path(field: &str, path: Option<&str>, path_type: &str, report: &mut Report<'_>) -> Option<(Arc<str>, PathType)> {
    let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
    let mut refuse = |problem: &str, remedy: &str| {
        report.error(format_args!("{field}.path"), format_args!("`{}` {problem}", shown(path)), remedy);
    };
    if !path.starts_with('/') {
        refuse("does not begin with `/`", "write the whole path");
        return None;
    }
    if path_type != "ImplementationSpecific" && has_odd_elements(path) {
        refuse("has elements that no request's path has once it is normalised", "write it without `//`, `/./`, `/../` and `%2f`");
        return None;
    }
    let path_type = match path_type {
        "Exact" => return Some((path.into(), PathType::Exact)),
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => {
            if path.contains(['*', '(', '[', '^', '|', '\\']) {
                report.warning(
                    format_args!("{field}.path"),
                    format_args!("`{}` looks like a pattern, and is taken to the letter, as a prefix", shown(path)),
                    "write the prefix itself, with `pathType: Prefix`",
                );
            }
            PathType::Prefix
        }
        "" => {
            report.warning(format_args!("{field}.pathType"), "is missing, and `Prefix` is assumed", "write `Prefix` or `Exact`");
            PathType::Prefix
        }
        other => {
            report.error(
                format_args!("{field}.pathType"),
                format_args!("`{}` is not a way to compare paths", shown(other)),
                "write `Prefix` or `Exact`",
            );
            return None;
        }
    };
    // A prefix is compared element by element: a slash at its end says nothing (Ingress v1, pathType).
    let prefix = path.trim_end_matches('/');
    Some((if prefix.is_empty() { "/" } else { prefix }.into(), path_type))
}

/// What the API server refuses in paths of the types Exact and Prefix.
fn has_odd_elements(path: &str) -> bool {
    ["//", "/./", "/../", "%2f", "%2F"].iter().any(|odd| path.contains(odd)) || path.ends_with("/.") || path.ends_with("/..")
}

/// Who serves, or what stands there instead, as the end of the sentence "the backend is ...".
fn backend(backend: v1::IngressBackend) -> Result<ServiceRef, Arc<str>> {
    if let Some(resource) = backend.resource {
        let group =
            resource.api_group.filter(|group| !group.is_empty()).map_or_else(String::new, |group| format!("{}/", shown(&group)));
        return Err(format!("the resource {group}{} {}", shown(&resource.kind), shown(&resource.name)).into());
    }
    let service = backend.service.filter(|service| !service.name.is_empty()).ok_or("nothing")?;
    let port = service.port.unwrap_or_default();
    let port = match (port.number, port.name.filter(|name| !name.is_empty())) {
        (_, Some(name)) => PortRef::Name(name.into()),
        (Some(number), None) => PortRef::Number(
            port_number(number).ok_or_else(|| format!("Service {} at {number}, which is not a port", shown(&service.name)))?,
        ),
        (None, None) => return Err(format!("Service {} without a port", shown(&service.name)).into()),
    };
    Ok(ServiceRef { service: service.name.into(), port })
}

/// An entry of `spec.tls` whose hosts are all refused is left out: without hosts it would mean something else.
fn translate_tls(index: usize, entry: v1::IngressTLS, report: &mut Report<'_>) -> Option<IngressTls> {
    let listed = entry.hosts.unwrap_or_default();
    let named = listed.iter().enumerate();
    let hosts: Vec<_> = named.filter_map(|(at, text)| host(text, || format!("spec.tls[{index}].hosts[{at}]"), report)).collect();
    if hosts.is_empty() && !listed.is_empty() {
        return None;
    }
    Some(IngressTls { hosts, secret: entry.secret_name.filter(|name| !name.is_empty()).map(Into::into) })
}
