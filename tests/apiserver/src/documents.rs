//! The documents by which clients such as kubectl learn what the server has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::resources::Resource;
use crate::store::Store;

/// The document at `path`, where there is one.
pub(crate) fn document(store: &Store, version: (u32, u32), path: &str) -> Option<Value> {
    let groups =
        || store.resources.iter().filter(|r| !r.group.is_empty()).map(|r| (&r.group, &r.version)).collect::<BTreeSet<_>>();
    match path {
        "/version" => Some(json!({
            "major": version.0.to_string(), "minor": version.1.to_string(), "gitVersion": format!("v{}.{}.0", version.0, version.1),
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "", "compiler": "", "platform": "linux/amd64",
        })),
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        "/apis" => {
            let all: Vec<_> = groups().into_iter().map(|(group, version)| group_document(group, version)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all}))
        }
        "/openapi/v3" => {
            let mut paths: serde_json::Map<_, _> = groups()
                .into_iter()
                .map(|(group, version)| format!("apis/{group}/{version}"))
                .map(|path| (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=1")})))
                .collect();
            paths.insert("api/v1".into(), json!({"serverRelativeURL": "/openapi/v3/api/v1?hash=1"}));
            Some(json!({"paths": paths}))
        }
        _ => {
            if let Some(rest) = path.strip_prefix("/openapi/v3/") {
                return Some(schema(store, rest));
            }
            let of = |group: &str, version: &str| -> Vec<Value> {
                let all = store.resources.iter().filter(|r| r.group == group && r.version == version);
                all.map(|r| resource_document(r)).collect()
            };
            let list = |api_version: &str, resources: Vec<Value>| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources});
            match path.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
                ["api", "v1"] => Some(list("v1", of("", "v1"))),
                ["apis", group] => {
                    groups().into_iter().find(|(name, _)| *name == group).map(|(group, version)| group_document(group, version))
                }
                ["apis", group, version] => {
                    let resources = of(group, version);
                    (!resources.is_empty()).then(|| list(&format!("{group}/{version}"), resources))
                }
                _ => None,
            }
        }
    }
}

fn group_document(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [version], "preferredVersion": version})
}

fn resource_document(resource: &Resource) -> Value {
    let short: &[&str] = match &*resource.plural {
        "services" => &["svc"],
        "ingresses" => &["ing"],
        "namespaces" => &["ns"],
        "nodes" => &["no"],
        "configmaps" => &["cm"],
        "pods" => &["po"],
        _ => &[],
    };
    json!({
        "shortNames": short,
        "name": resource.plural, "singularName": resource.kind.to_lowercase(), "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
    })
}

/// As much of an `OpenAPI` document as kubectl wants: that fields are validated by the server.
fn schema(store: &Store, of: &str) -> Value {
    let of = of.trim_matches('/');
    let here = store.resources.iter().filter(|r| {
        of == if r.group.is_empty() { format!("api/{}", r.version) } else { format!("apis/{}/{}", r.group, r.version) }
    });
    let paths: serde_json::Map<_, _> = here
        .map(|r| {
            let namespace = if r.namespaced { "namespaces/{namespace}/" } else { "" };
            let gvk = json!({"group": r.group, "version": r.version, "kind": r.kind});
            let parameters = json!([{"name": "fieldValidation", "in": "query"}, {"name": "dryRun", "in": "query"}]);
            let patch = json!({"parameters": parameters, "x-kubernetes-group-version-kind": gvk, "x-kubernetes-action": "patch"});
            (format!("/{of}/{namespace}{}/{{name}}", r.plural), json!({"patch": patch}))
        })
        .collect();
    json!({"openapi": "3.0.0", "info": {"title": "stand-in", "version": "1"}, "paths": paths, "components": {"schemas": {}}})
}
