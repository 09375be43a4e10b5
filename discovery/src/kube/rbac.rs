//! The permissions that a source needs: the one list that the watches, the messages and the shipped `ClusterRole` come from.

use serde_json::{Value, json};

use super::fault::Cause;
use super::watch::Scope;
use crate::translate::Kind;

/// How messages name an API server.
pub(super) const OBJECT: &str = "the API server";

/// What is done with a kind that is watched, and with one that is asked for by name.
const VERBS: [&str; 3] = ["get", "list", "watch"];
const BY_NAME: [&str; 1] = ["get"];

/// The API group of roles and bindings.
pub const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The version of roles and bindings.
pub const API_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// What a source needs: names of roles, and their `rules`, a rule a kind.
///
/// Secrets and `ConfigMap`s have a role of their own, so that it can be left out: an account without it, or with `get` on single
/// names, is served too, only more slowly. Nodes have one since they are read only where `peers` does not say where a cluster's edges are.
pub fn roles() -> [(&'static str, Vec<Value>); 3] {
    let of = |role: &'static str| (role, Kind::ALL.into_iter().filter(|kind| self::role(*kind) == role).map(rule).collect());
    ["causeway", "causeway-secrets", "causeway-nodes"].map(of)
}

fn role(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret | Kind::ConfigMap => "causeway-secrets",
        Kind::Node => "causeway-nodes",
        _ => "causeway",
    }
}

/// The rules that a Role can grant: those of kinds that lie in namespaces.
pub(super) fn namespaced(rules: &[Value]) -> Vec<Value> {
    let of_cluster: Vec<_> = Kind::ALL.into_iter().filter(|kind| !kind.namespaced()).map(rule).collect();
    rules.iter().filter(|rule| !of_cluster.contains(rule)).cloned().collect()
}

fn rule(kind: Kind) -> Value {
    let verbs: &[&str] = if kind.watched() { &VERBS } else { &BY_NAME };
    json!({"apiGroups": [group(kind)], "resources": [resource(kind)], "verbs": verbs})
}

/// `services`: the name of a kind in paths and rules.
pub(super) fn resource(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "services",
        Kind::EndpointSlice => "endpointslices",
        Kind::Ingress => "ingresses",
        Kind::IngressClass => "ingressclasses",
        Kind::Namespace => "namespaces",
        Kind::Secret => "secrets",
        Kind::Node => "nodes",
        Kind::ConfigMap => "configmaps",
    }
}

/// The API group of a kind; empty for the core.
fn group(kind: Kind) -> &'static str {
    kind.api_version().rsplit_once('/').map_or("", |(group, _)| group)
}

/// Where a scope's objects are listed and watched.
pub(super) fn path(scope: &Scope) -> String {
    let version = scope.kind.api_version();
    let root = if version.contains('/') { "apis" } else { "api" };
    let namespace = scope.namespace.as_ref().map_or_else(String::new, |namespace| format!("namespaces/{namespace}/"));
    format!("/{root}/{version}/{namespace}{}", resource(scope.kind))
}

/// What to do about a kind that cannot be had.
pub(super) fn remedy(scope: &Scope, cause: Cause) -> String {
    let (resource, group) = (resource(scope.kind), group(scope.kind));
    match (&scope.namespace, cause) {
        (_, Cause::Absent) => {
            format!("the API server has no `{resource}` in group `{group}`: use Kubernetes 1.21 or newer; it is asked again")
        }
        (None, _) if scope.kind == Kind::Node => {
            "let a ClusterRole grant get, list and watch on `nodes`, or say in `peers` of this cluster where its edges are; it is \
             asked again"
                .to_owned()
        }
        (Some(namespace), _) => {
            format!(
                "let a Role in namespace {namespace} grant get, list and watch on `{resource}` in group `{group}`; it is asked again"
            )
        }
        (None, _) => format!(
            "let a ClusterRole grant get, list and watch on `{resource}` in group `{group}`, or name the `namespaces` of this cluster \
             that may be read; it is asked again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_where_kube_asks() {
        use kube::Resource;
        let path = |kind, namespace: Option<&str>| path(&Scope { kind, namespace: namespace.map(Into::into) });
        assert_eq!(path(Kind::Service, None), k8s_openapi::api::core::v1::Service::url_path(&(), None));
        let of_kube = k8s_openapi::api::networking::v1::Ingress::url_path(&(), Some("shop"));
        assert_eq!(path(Kind::Ingress, Some("shop")), of_kube);
    }

    #[test]
    fn every_kind_has_a_rule_that_only_reads() {
        let [(_, others), (_, secrets), (_, nodes)] = roles();
        assert_eq!(others.len() + secrets.len() + nodes.len(), Kind::ALL.len());
        for rule in others.iter().chain(&secrets).chain(&nodes) {
            let watched = rule["resources"] != json!(["configmaps"]);
            assert_eq!(rule["verbs"], if watched { json!(["get", "list", "watch"]) } else { json!(["get"]) });
        }
        assert_eq!(others[0], json!({"apiGroups": [""], "resources": ["services"], "verbs": VERBS}));
        assert_eq!(others[1]["apiGroups"], json!(["discovery.k8s.io"]));
        assert_eq!(secrets[0]["resources"], json!(["secrets"]));
        assert_eq!(secrets[1]["resources"], json!(["configmaps"]));
    }
}
