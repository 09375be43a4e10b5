//! A cluster as `kubectl` sees it, through its kubeconfig: objects applied and deleted, whoever serves them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::resources::built_in;

/// Who applies, by the words of server-side apply.
const MANAGER: &str = "causeway-tests";

/// A client of one API server.
#[derive(Clone)]
pub struct Access {
    client: Client,
}

impl Access {
    /// By the current context of a kubeconfig.
    pub async fn new(kubeconfig: &Path) -> anyhow::Result<Self> {
        let _first_one_counts = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let read = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)? })
    }

    /// The server's version, as it says it: `v1.34.0`.
    pub async fn version(&self) -> anyhow::Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    /// Whether it says that it is ready.
    pub async fn ready(&self) -> bool {
        let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
        self.client.request_text(request).await.is_ok()
    }

    /// Creates or changes every object of a YAML text, by server-side apply, with the namespaces that they are in.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        self.apply_all(documents(yaml)?, false).await.map(drop)
    }

    /// Asks whether the server would take every object, and changes nothing. The namespaces must be there.
    pub async fn dry_run(&self, objects: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        let mut taken = Vec::new();
        for object in objects {
            taken.push(self.patch(object, true).await?);
        }
        Ok(taken)
    }

    /// Deletes every object of a YAML text; those that are not there are no error.
    pub async fn delete(&self, yaml: &str) -> anyhow::Result<()> {
        for object in documents(yaml)? {
            let (api, name) = self.api(&object)?;
            match api.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                done => drop(done.with_context(|| format!("deleting {}", shown(&object)))?),
            }
        }
        Ok(())
    }

    /// As [`apply`](Self::apply), of objects; namespaces come first.
    pub async fn apply_all(&self, mut objects: Vec<Value>, dry: bool) -> anyhow::Result<Vec<Value>> {
        let is_namespace = |object: &Value| object["kind"] == "Namespace";
        let declared: BTreeSet<_> = objects
            .iter()
            .filter(|o| is_namespace(o))
            .filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        let needed: BTreeSet<_> = objects.iter().filter_map(|o| o["metadata"]["namespace"].as_str().map(str::to_owned)).collect();
        let missing =
            needed.difference(&declared).map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        objects.extend(missing);
        objects.sort_by_key(|object| !is_namespace(object));
        let mut applied = Vec::new();
        for object in objects {
            applied.push(self.patch(object, dry).await?);
        }
        Ok(applied)
    }

    async fn patch(&self, object: Value, dry: bool) -> anyhow::Result<Value> {
        let (api, name) = self.api(&object)?;
        let params = PatchParams { dry_run: dry, ..PatchParams::apply(MANAGER).force() };
        let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
        let applied = applied.with_context(|| format!("applying {}", shown(&object)))?;
        Ok(serde_json::to_value(applied)?)
    }

    fn api(&self, object: &Value) -> anyhow::Result<(Api<DynamicObject>, String)> {
        let (api_version, kind) = (text(object, "apiVersion"), text(object, "kind"));
        let found = built_in().into_iter().find(|r| r.api_version() == api_version && r.kind == kind);
        let Some(resource) = found else { bail!("nothing here knows the kind {api_version} {kind}") };
        let kind_of_kube = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        let resource_of_kube = ApiResource::from_gvk_with_plural(&kind_of_kube, &resource.plural);
        let name = object["metadata"]["name"].as_str().with_context(|| format!("a {kind} without a name"))?.to_owned();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        let client = self.client.clone();
        let api = if resource.namespaced {
            Api::namespaced_with(client, namespace, &resource_of_kube)
        } else {
            Api::all_with(client, &resource_of_kube)
        };
        Ok((api, name))
    }
}

/// The documents of a YAML text; the items of a `List` count as documents.
pub fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    // One by one: parsers bound how much a single text may hold.
    for document in format!("\n{yaml}").split("\n---").filter(|document| !document.trim().is_empty()) {
        let value: Value = serde_yaml::from_str(document).map_err(|error| anyhow::anyhow!("{error}"))?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => all.extend(items.iter().cloned()),
            // Nothing but comments.
            None if value.is_null() => {}
            None => all.push(value),
        }
    }
    Ok(all)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

fn shown(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{} {namespace}/{name}", text(object, "kind")),
        None => format!("{} {name}", text(object, "kind")),
    }
}
