//! One document: text to value, value to objects.
//!
//! Texts are taken as `kubectl` takes them: `yes` and `on` are booleans, `80` is a number, and neither is a string without quotes.
//! Nothing of a document that may hold a Secret is ever quoted in a message.

use causeway_config::ClusterId;
use causeway_core::diagnostics::Diagnostic;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::super::split::Document;
use super::{Given, Reading, place};
use crate::report::{Report, shown};
use crate::translate::{self, Key, Kind, Translated};

/// Where a text is not what it should be, in lines and columns of that text, from 1.
pub(super) struct SyntaxError {
    place: Option<(usize, usize)>,
    problem: String,
    remedy: &'static str,
}

/// What to make of an `apiVersion` and a `kind`.
enum Meaning {
    /// We read it.
    Ours(Kind),
    /// We read this kind, but not in this version.
    OtherVersion(Kind),
    /// A kind that does not exist in a group that we know.
    Misspelt,
    /// Not for us.
    Other,
}

const SYNTAX: &str = "correct the syntax there; the file's other documents are in effect";

/// The groups that our kinds are of, with their other kinds.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "Binding",
            "ComponentStatus",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "ServiceAccount",
        ],
    ),
    ("networking.k8s.io", &["IPAddress", "NetworkPolicy", "ServiceCIDR"]),
    ("discovery.k8s.io", &[]),
];

/// One document of YAML as a value.
pub(super) fn yaml(text: &str) -> Result<Value, SyntaxError> {
    let options = serde_yaml::options! {
        // What an alias stands for counts at every use: these are what stops a bomb made of aliases.
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 100_000 },
        budget: serde_yaml::budget! {
            // Ten thousand objects in one list, which is more than the size of a file allows.
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_total_scalar_bytes: 32 << 20,
        },
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let (problem, remedy) = yaml_fault(error.without_snippet());
        let place = error.location().map(|at| (at.line() as usize, at.column() as usize)).filter(|at| at.0 > 0);
        SyntaxError { place, problem, remedy }
    })
}

/// What is wrong, in words for those who do not know the parser, and what to do about it.
fn yaml_fault(error: &serde_yaml::Error) -> (String, &'static str) {
    use serde_yaml::Error;
    match error {
        Error::AliasError { error, .. } => yaml_fault(error),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "it holds too much, is nested too deeply, or its aliases stand for too much".to_owned(),
            "split it into several documents, and write out what the aliases stand for",
        ),
        Error::DuplicateMappingKey { key, .. } => (
            format!("the key `{}` stands there for the second time", shown(key.as_deref().unwrap_or("?"))),
            "remove one of the two",
        ),
        other => {
            let message = other.to_string();
            // The place that the parser appends is one of the document, not of the file.
            let message = message.split(" at line ").next().unwrap_or_default();
            (shown(message), SYNTAX)
        }
    }
}

/// One document of JSON as a value.
pub(super) fn json(text: &str) -> Result<Value, SyntaxError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let problem = shown(message.split(" at line ").next().unwrap_or_default());
        SyntaxError { place: Some((error.line(), error.column())), problem, remedy: SYNTAX }
    })
}

impl Reading<'_> {
    /// Reads one document; whatever is wrong with it stays in it.
    pub(super) fn document(&mut self, document: Document<'_>, parse: fn(&str) -> Result<Value, SyntaxError>) {
        match parse(document.text) {
            Ok(mut value) => self.object(&mut value, document.number, ""),
            Err(SyntaxError { place: at, problem, remedy }) => {
                let line = document.first_line + at.map_or(0, |(line, _)| line.saturating_sub(1));
                let column = at.map_or(1, |(_, column)| column);
                let problem = if document.text.contains("Secret") { "it is not well formed" } else { problem.as_str() };
                self.lost_unnamed = true;
                self.error(
                    place(self.path, document.number),
                    "",
                    &format!("cannot be read at line {line}, column {column}: {problem}"),
                    remedy,
                );
            }
        }
    }

    /// An object, or a list of them. `within` is the field of the document that it stands in.
    fn object(&mut self, value: &mut Value, document: usize, within: &str) {
        let Value::Object(map) = value else {
            if !value.is_null() {
                self.not_an_object(document, within, "it is no mapping");
            }
            return;
        };
        let (Some(api_version), Some(kind)) = (text(map, "apiVersion"), text(map, "kind")) else {
            return self.not_an_object(document, within, "it has no `apiVersion` and `kind`");
        };
        if let Some(of) = kind.strip_suffix("List")
            && matches!(map.get("items"), None | Some(Value::Null | Value::Array(_)))
        {
            // Items of a typed list may leave out what the list's own kind says.
            let implied = (!of.is_empty()).then(|| (api_version, of.to_owned()));
            return self.list(map, document, within, implied.as_ref());
        }
        match meaning(&api_version, &kind) {
            Meaning::Ours(kind) => {
                self.ours(kind, map, document, within);
                if kind == Kind::Secret {
                    map.values_mut().for_each(wipe);
                }
            }
            Meaning::Other => {}
            Meaning::OtherVersion(kind) => {
                self.lose(kind, map);
                let object = self.name_or_place(kind, map, document);
                self.error(
                    object,
                    &join(within, "apiVersion"),
                    &format!("`{}` is not supported", shown(&api_version)),
                    &format!("convert it to `{}`; `kubectl convert` does it", kind.api_version()),
                );
            }
            Meaning::Misspelt => {
                self.lost_unnamed = true;
                let mut report = Report::new(self.cluster, place(self.path, document));
                report.warning(
                    join(within, "kind"),
                    format_args!("there is no kind `{}` in `{}`", shown(&kind), shown(&api_version)),
                    "correct `kind` or `apiVersion`",
                );
                self.diagnostics.append(&mut report.into_diagnostics());
            }
        }
    }

    fn list(&mut self, list: &mut Map<String, Value>, document: usize, within: &str, implied: Option<&(String, String)>) {
        let Some(Value::Array(items)) = list.get_mut("items") else { return };
        for (index, item) in items.iter_mut().enumerate() {
            if let (Value::Object(item), Some((api_version, kind))) = (&mut *item, implied) {
                item.entry("apiVersion").or_insert_with(|| api_version.as_str().into());
                item.entry("kind").or_insert_with(|| kind.as_str().into());
            }
            self.object(item, document, &join(within, &format!("items[{index}]")));
        }
    }

    fn ours(&mut self, kind: Kind, map: &Map<String, Value>, document: usize, within: &str) {
        match translate_map(self.cluster, kind, map) {
            Ok(Ok(translated)) => self.given.push(Given { document, translated }),
            Ok(Err(nameless)) => {
                self.lost_unnamed = true;
                let field = join(within, &nameless.field);
                self.diagnostics.push(Diagnostic { object: place(self.path, document), field, ..nameless });
            }
            Err(fault) => {
                self.lose(kind, map);
                let object = self.name_or_place(kind, map, document);
                let field = join(within, &fault.path().to_string());
                let problem = match kind {
                    // The message quotes what it found.
                    Kind::Secret => "is not of the type that it should be".to_owned(),
                    _ => shown(&fault.inner().to_string()),
                };
                self.error(
                    object,
                    &field,
                    &format!("{problem} ({})", place(self.path, document)),
                    &format!(
                        "correct it; `kubectl explain {}` tells the types (texts that look like numbers or booleans need quotes)",
                        kind.as_str().to_lowercase()
                    ),
                );
            }
        }
    }

    fn not_an_object(&mut self, document: usize, within: &str, why: &str) {
        self.lost_unnamed = true;
        let mut report = Report::new(self.cluster, place(self.path, document));
        report.warning(
            within,
            format_args!("is not a Kubernetes object: {why}"),
            "write `apiVersion` and `kind`, or keep the file in another folder",
        );
        self.diagnostics.append(&mut report.into_diagnostics());
    }

    /// Notes that an object stands here which cannot be read.
    fn lose(&mut self, kind: Kind, map: &Map<String, Value>) {
        match key(self.cluster, kind, map) {
            Some(key) => drop(self.lost.insert(key)),
            None => self.lost_unnamed = true,
        }
    }

    fn name_or_place(&self, kind: Kind, map: &Map<String, Value>, document: usize) -> String {
        key(self.cluster, kind, map).map_or_else(|| place(self.path, document), |key| key.to_string())
    }
}

/// Reads a mapping as its kind's type, and translates that. The outer error is one of types, the inner one of names.
fn translate_map(
    cluster: &ClusterId,
    kind: Kind,
    map: &Map<String, Value>,
) -> Result<Result<Translated, Diagnostic>, serde_path_to_error::Error<serde_json::Error>> {
    fn typed<T: DeserializeOwned>(map: &Map<String, Value>) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
        serde_path_to_error::deserialize(map)
    }
    Ok(match kind {
        Kind::Service => translate::service(cluster, typed(map)?),
        Kind::EndpointSlice => translate::endpoint_slice(cluster, typed(map)?),
        Kind::Ingress => translate::ingress(cluster, typed(map)?),
        Kind::IngressClass => translate::ingress_class(cluster, typed(map)?),
        Kind::Namespace => translate::namespace(cluster, typed(map)?),
        Kind::Secret => translate::secret(cluster, typed(map)?),
        Kind::Node => translate::node(cluster, typed(map)?),
        Kind::ConfigMap => translate::config_map(cluster, typed(map)?),
    })
}

fn meaning(api_version: &str, kind: &str) -> Meaning {
    let (group, _) = api_version.split_once('/').unwrap_or(("", api_version));
    for ours in Kind::ALL.into_iter().filter(|ours| ours.as_str() == kind) {
        let (our_group, _) = ours.api_version().split_once('/').unwrap_or_default();
        if api_version == ours.api_version() {
            return Meaning::Ours(ours);
        }
        // Ingress began its life in `extensions`.
        if group == our_group || (ours == Kind::Ingress && group == "extensions") {
            return Meaning::OtherVersion(ours);
        }
    }
    match GROUPS.iter().find(|(known, _)| *known == group) {
        Some((_, kinds)) if !kinds.contains(&kind) => Meaning::Misspelt,
        _ => Meaning::Other,
    }
}

/// The object's name, where at least that can be read.
fn key(cluster: &ClusterId, kind: Kind, map: &Map<String, Value>) -> Option<Key> {
    let metadata = map.get("metadata")?.as_object()?;
    let meta = ObjectMeta { name: text(metadata, "name"), namespace: text(metadata, "namespace"), ..ObjectMeta::default() };
    Key::new(cluster, kind, &meta).ok()
}

fn text(map: &Map<String, Value>, field: &str) -> Option<String> {
    map.get(field)?.as_str().map(str::to_owned)
}

fn join(within: &str, field: &str) -> String {
    match (within, field) {
        ("", field) => field.to_owned(),
        (within, "" | ".") => within.to_owned(),
        (within, field) => format!("{within}.{field}"),
    }
}

/// Overwrites every text in a value that held a Secret.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
