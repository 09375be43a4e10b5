//! HTTP: from a request's path to the store and back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::Options;
use crate::auth::{Auth, Wish};
use crate::documents::document;
use crate::faults::{Fault, Freezer, Order};
use crate::patch;
use crate::resources::Resource;
use crate::selector::Selector;
use crate::status::Status;
use crate::store::{Name, Store, Stored};
use crate::watching::{self, Watching};

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// A request that came, for tests to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, decoded.
    pub query: BTreeMap<String, String>,
    /// Who sent it; empty where nobody knows.
    pub user: String,
    /// How it was answered; 0 while a fault keeps it waiting.
    pub status: u16,
}

/// Everything behind the socket.
pub(crate) struct Server {
    store: Mutex<Store>,
    auth: Mutex<Auth>,
    orders: Mutex<Vec<Order>>,
    seen: Mutex<Vec<Seen>>,
    /// Rung whenever a request came or a watch began or ended.
    pub(crate) happened: Notify,
    /// The latest revision.
    pub(crate) revision: watch::Sender<u64>,
    /// What open watches are told to do; the number grows with each command.
    pub(crate) command: watch::Sender<(u64, watching::Command)>,
    pub(crate) open_watches: std::sync::atomic::AtomicUsize,
    pub(crate) freezer: Freezer,
    pub(crate) version: (u32, u32),
    pub(crate) streams: bool,
    pub(crate) bookmarks: Duration,
    /// Whether its clock is wrong.
    skewed: bool,
}

/// Where a request goes.
struct Target {
    resource: Arc<Resource>,
    namespace: Option<String>,
    name: Option<String>,
    status: bool,
}

impl Server {
    pub(crate) fn new(options: &Options) -> Self {
        let Options { version, streams, bookmarks, ahead, .. } = *options;
        Self {
            store: Mutex::new(Store::new(ahead)),
            auth: Mutex::default(),
            orders: Mutex::default(),
            seen: Mutex::default(),
            happened: Notify::new(),
            revision: watch::channel(1).0,
            command: watch::channel((0, watching::Command::Go)).0,
            open_watches: 0.into(),
            freezer: Freezer::default(),
            version,
            streams,
            bookmarks,
            skewed: ahead != 0,
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn auth(&self) -> MutexGuard<'_, Auth> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells watches that there is something new.
    pub(crate) fn published(&self) {
        let revision = self.store().revision;
        self.revision.send_replace(revision);
    }

    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let query = query(request.uri().query().unwrap_or_default());
        let path = request.uri().path().to_owned();
        let user = self.auth().user(request.headers());
        let at = {
            let mut seen = self.seen();
            seen.push(Seen {
                method: request.method().to_string(),
                path: path.clone(),
                query: query.clone(),
                user: user.clone().unwrap_or_default(),
                status: 0,
            });
            seen.len() - 1
        };
        self.happened.notify_waiters();
        let fault = self.fault(&path);
        if let Some(Fault::Slow(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let answered = match (fault, user) {
            (Some(Fault::Stall), _) => std::future::pending().await,
            (Some(Fault::Status(code, retry_after)), _) => Err(Status::of_code(code, retry_after)),
            (_, Err(status)) => Err(status),
            (Some(Fault::Nothing), _) => Ok(json_response(StatusCode::OK, "")),
            (fault, Ok(user)) => self.clone().serve(request, &path, &query, &user, fault == Some(Fault::EmptyList)).await,
        };
        let mut response = answered.unwrap_or_else(|status| error(&status));
        if self.skewed {
            response.headers_mut().insert(header::DATE, HeaderValue::from_static("Tue, 01 Jan 2999 00:00:00 GMT"));
        }
        if let Some(seen) = self.seen().get_mut(at) {
            seen.status = response.status().as_u16();
        }
        self.happened.notify_waiters();
        Ok(response)
    }

    /// The fault that is ordered for a path, if it is not used up.
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut orders = self.orders();
        let order = orders.iter_mut().find(|order| order.times > 0 && path.contains(&order.path))?;
        order.times = order.times.saturating_sub(1);
        Some(order.fault)
    }

    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        path: &str,
        query: &BTreeMap<String, String>,
        user: &str,
        empty: bool,
    ) -> Result<Response<Body>, Status> {
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return Ok(Response::new(full("ok")));
        }
        if let Some(found) = document(&self.store(), self.version, path) {
            return Ok(json_response(StatusCode::OK, found.to_string()));
        }
        let target = self.target(path).ok_or_else(Status::no_such_path)?;
        let get = |name: &str| query.get(name).map(String::as_str);
        let is_watch = matches!(get("watch"), Some("true" | "1"));
        let verb = match (request.method(), &target.name) {
            (&Method::GET, Some(_)) => "get",
            (&Method::GET, None) if is_watch => "watch",
            (&Method::GET, None) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            _ => {
                return Err(Status::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "MethodNotAllowed",
                    "the server does not allow this method",
                ));
            }
        };
        let wish = Wish {
            verb,
            group: &target.resource.group,
            plural: &target.resource.plural,
            namespaced: target.resource.namespaced,
            namespace: target.namespace.as_deref(),
        };
        self.auth().check(user, &wish)?;
        let dry = get("dryRun") == Some("All");
        match (verb, &target.name) {
            ("watch", _) => Watching::begin(self, target.resource, target.namespace, query, empty),
            ("list", _) => self.list(&target, query, empty),
            ("get", Some(name)) => {
                let key = target.key(name);
                let found = self.store().get(&target.resource, &key).ok_or_else(|| not_found(&target, name))?;
                Ok(json_response(StatusCode::OK, found.bytes.clone()))
            }
            ("delete", Some(name)) => {
                let gone = self.store().delete(&target.resource, &target.key(name), dry)?;
                self.published();
                Ok(json_response(StatusCode::OK, gone.bytes.clone()))
            }
            _ => self.write(verb, target, request, dry, get("fieldManager")).await,
        }
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>, empty: bool) -> Result<Response<Body>, Status> {
        let limit = query.get("limit").and_then(|n| n.parse().ok()).unwrap_or(0);
        let selector = selector(query)?;
        let page = {
            let mut store = self.store();
            if let Some(token) = query.get("continue").filter(|token| !token.is_empty()) {
                store.next_page(token, limit)?
            } else {
                let items = store.select(&target.resource, target.namespace.as_deref(), &selector);
                store.list(if empty { Vec::new() } else { items }, limit)
            }
        };
        let mut meta = json!({"resourceVersion": page.revision.to_string()});
        if let Some(token) = page.token {
            meta["continue"] = token.into();
            meta["remainingItemCount"] = page.remaining.into();
        }
        let mut body = BytesMut::new();
        let head = format!(
            "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{meta},\"items\":[",
            target.resource.kind,
            target.resource.api_version()
        );
        body.extend_from_slice(head.as_bytes());
        for (i, item) in page.items.iter().enumerate() {
            if i > 0 {
                body.extend_from_slice(b",");
            }
            body.extend_from_slice(&item.bytes);
        }
        body.extend_from_slice(b"]}");
        Ok(json_response(StatusCode::OK, body.freeze()))
    }

    async fn write(
        &self,
        verb: &str,
        target: Target,
        request: Request<Incoming>,
        dry: bool,
        manager: Option<&str>,
    ) -> Result<Response<Body>, Status> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map_err(|error| Status::bad_request(error.to_string()))?.to_bytes();
        let mut value = parse(&kind, &body)?;
        let (stored, code) = match (verb, &target.name) {
            ("create", _) => {
                if let Some(namespace) = &target.namespace {
                    value["metadata"]["namespace"] = namespace.clone().into();
                }
                (self.store().create(&target.resource, value, dry)?, StatusCode::CREATED)
            }
            ("update", Some(name)) => (self.replace(&target, name, &value, dry)?, StatusCode::OK),
            ("patch", Some(name)) => self.patch(&target, name, &kind, value, dry, manager)?,
            _ => return Err(Status::no_such_path()),
        };
        self.published();
        Ok(json_response(code, stored.bytes.clone()))
    }

    /// The status is written by its own path, and by no other.
    fn replace(&self, target: &Target, name: &str, value: &Value, dry: bool) -> Result<Arc<Stored>, Status> {
        let key = target.key(name);
        let mut store = self.store();
        let before = store.get(&target.resource, &key).ok_or_else(|| not_found(target, name))?;
        let mut next = if target.status { before.value.clone() } else { value.clone() };
        let status = if target.status { value.get("status") } else { before.value.get("status") };
        match status {
            Some(status) => next["status"] = status.clone(),
            None => drop(next.as_object_mut().map(|fields| fields.remove("status"))),
        }
        store.update(&target.resource, &key, next, dry)
    }

    fn patch(
        &self,
        target: &Target,
        name: &str,
        kind: &str,
        value: Value,
        dry: bool,
        manager: Option<&str>,
    ) -> Result<(Arc<Stored>, StatusCode), Status> {
        let key = target.key(name);
        let apply = kind.starts_with("application/apply-patch");
        let before = self.store().get(&target.resource, &key);
        let Some(before) = before else {
            if !apply {
                return Err(not_found(target, name));
            }
            let mut value = value;
            (value["metadata"]["name"], value["metadata"]["namespace"]) = (name.into(), target.namespace.clone().into());
            own(&mut value, manager);
            return Ok((self.store().create(&target.resource, value, dry)?, StatusCode::CREATED));
        };
        let mut next = before.value.clone();
        // A patch of the present object never conflicts, unless it names a version itself.
        let version = value["metadata"]["resourceVersion"].clone();
        match kind {
            _ if kind.starts_with("application/merge-patch") || apply => patch::merge(&mut next, value),
            _ if kind.starts_with("application/strategic-merge-patch") => patch::strategic(&mut next, value),
            _ => {
                return Err(Status::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "UnsupportedMediaType",
                    format!("no patch of type {kind}"),
                ));
            }
        }
        if apply {
            own(&mut next, manager);
        }
        next["metadata"]["resourceVersion"] = version;
        Ok((self.replace(target, name, &next, dry)?, StatusCode::OK))
    }

    fn target(&self, path: &str) -> Option<Target> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest != ["status"] => {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (plural, None, false),
            [plural, name] => (plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (plural, Some((*name).to_owned()), true),
            _ => return None,
        };
        let resource = self.store().resource(group, version, plural)?;
        Some(Target { resource, namespace, name, status })
    }
}

impl Target {
    fn key(&self, name: &str) -> Name {
        (self.namespace.clone().unwrap_or_default(), name.to_owned())
    }
}

/// Notes who applied, as server-side apply does, without its fields: nothing here resolves conflicts.
fn own(value: &mut Value, manager: Option<&str>) {
    value["metadata"]["managedFields"] = json!([{
        "manager": manager.unwrap_or("unknown"), "operation": "Apply", "apiVersion": value["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": {},
    }]);
}

fn not_found(target: &Target, name: &str) -> Status {
    Status::not_found(&format!("{} \"{name}\"", target.resource.plural))
}

pub(crate) fn selector(query: &BTreeMap<String, String>) -> Result<Selector, Status> {
    let get = |name: &str| query.get(name).map(String::as_str);
    Selector::parse(get("fieldSelector"), get("labelSelector")).map_err(Status::bad_request)
}

fn parse(kind: &str, body: &[u8]) -> Result<Value, Status> {
    if kind.contains("protobuf") {
        let message =
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml";
        return Err(Status::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    if kind.contains("yaml") {
        let text = std::str::from_utf8(body).map_err(|error| Status::bad_request(error.to_string()))?;
        return serde_yaml::from_str(text).map_err(|error| Status::bad_request(error.to_string()));
    }
    serde_json::from_slice(body).map_err(|error| Status::bad_request(error.to_string()))
}

fn query(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error(status: &Status) -> Response<Body> {
    let mut response = json_response(status.code, status.json().to_string());
    if let Some(seconds) = status.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
