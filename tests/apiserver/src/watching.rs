//! Watches: a stream of changes from a revision on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval};

use crate::resources::Resource;
use crate::selector::Selector;
use crate::server::{Body, Server, json_response, selector};
use crate::status::Status;
use crate::store::Change;

/// What open watches are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing special.
    Go,
    /// End as a server that shuts down does.
    Close,
    /// Break off in the middle of an event.
    Cut,
    /// Say nothing more, and stay open.
    Stall,
    /// Send a bookmark now.
    Bookmark,
    /// Tell that the revision is gone.
    Gone,
}

/// An open watch.
pub(crate) struct Watching {
    server: Arc<Server>,
    resource: Arc<Resource>,
    namespace: Option<String>,
    selector: Selector,
    /// Everything up to here was told.
    revision: u64,
    ready: VecDeque<Bytes>,
    news: watch::Receiver<u64>,
    commands: watch::Receiver<(u64, Command)>,
    until: Option<Instant>,
    bookmarks: Option<Interval>,
    ended: bool,
}

impl Watching {
    pub(crate) fn begin(
        server: Arc<Server>,
        resource: Arc<Resource>,
        namespace: Option<String>,
        query: &BTreeMap<String, String>,
        empty: bool,
    ) -> Result<Response<Body>, Status> {
        let get = |name: &str| query.get(name).map(String::as_str);
        let selector = selector(query)?;
        let initial = get("sendInitialEvents") == Some("true");
        if initial && !server.streams {
            let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return Err(Status::invalid("sendInitialEvents", message));
        }
        let news = server.revision.subscribe();
        let commands = server.command.subscribe();
        let wants_bookmarks = get("allowWatchBookmarks") == Some("true");
        let mut ready = VecDeque::new();
        let from = get("resourceVersion").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let revision = {
            let store = server.store();
            let latest = store.revision;
            // Without a revision, and with 0, a watch begins with what there is.
            if initial || from == 0 {
                let all = if empty { Vec::new() } else { store.select(&resource, namespace.as_deref(), &selector) };
                ready.extend(all.iter().map(|stored| event("ADDED", &stored.bytes)));
                if initial && wants_bookmarks {
                    ready.push_back(bookmark(&resource, latest, true));
                }
                latest
            } else if from < store.compacted {
                // The real server answers 200 and an event.
                return Ok(json_response(StatusCode::OK, gone()));
            } else {
                from
            }
        };
        let timeout = get("timeoutSeconds").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let bookmarks = wants_bookmarks.then(|| tokio::time::interval_at(Instant::now() + server.bookmarks, server.bookmarks));
        server.open_watches.fetch_add(1, Ordering::SeqCst);
        server.happened.notify_waiters();
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let watching =
            Self { server, resource, namespace, selector, revision, ready, news, commands, until, bookmarks, ended: false };
        let stream = stream::unfold(watching, |mut watching| async move {
            let bytes = watching.next().await?;
            Some((bytes.map(Frame::data), watching))
        });
        let mut response = Response::new(StreamBody::new(stream).boxed());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            if self.ended {
                return None;
            }
            // A command comes before every change that was made after it.
            if self.commands.has_changed().ok()? && !self.obey().await {
                return None;
            }
            self.gather();
            if self.ready.is_empty() && !self.wait().await {
                return None;
            }
        }
    }

    /// Waits for a change, a command or the time for a bookmark. False: this watch is over.
    async fn wait(&mut self) -> bool {
        let bookmark_due = async {
            match &mut self.bookmarks {
                Some(interval) => drop(interval.tick().await),
                None => std::future::pending().await,
            }
        };
        let over = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let mut commands = self.commands.clone();
        tokio::select! {
            changed = self.news.changed() => changed.is_ok(),
            changed = commands.changed() => changed.is_ok(),
            () = bookmark_due => {
                self.ready.push_back(bookmark(&self.resource, self.revision, false));
                true
            }
            () = over => false,
        }
    }

    /// Does what it was told. False: this watch is over.
    async fn obey(&mut self) -> bool {
        let (_, command) = *self.commands.borrow_and_update();
        match command {
            Command::Go => {}
            Command::Close => return false,
            Command::Cut => {
                self.ended = true;
                self.ready.push_back(Bytes::from_static(b"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Serv"));
            }
            Command::Stall => {
                // Until the next command.
                if self.commands.changed().await.is_err() {
                    return false;
                }
                self.commands.mark_changed();
            }
            Command::Bookmark => {
                self.gather();
                self.ready.push_back(bookmark(&self.resource, self.revision, false));
            }
            Command::Gone => {
                self.ended = true;
                self.ready.push_back(gone());
            }
        }
        true
    }

    /// Takes what changed since.
    fn gather(&mut self) {
        let (changes, latest) = {
            let store = self.server.store();
            (store.changes(&self.resource, self.revision), store.revision)
        };
        if let Ok(changes) = changes {
            let events: Vec<_> = changes.iter().filter_map(|change| self.event(change)).collect();
            self.ready.extend(events);
            self.revision = latest;
        } else {
            self.ended = true;
            self.ready.push_back(gone());
        }
    }

    fn event(&self, change: &Change) -> Option<Bytes> {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != change.namespace) {
            return None;
        }
        let fits = |value: &Value| self.selector.matches(value);
        let before = change.before.as_ref().filter(|stored| fits(&stored.value));
        let after = change.after.as_ref().filter(|stored| fits(&stored.value));
        match (before, after) {
            (None, None) => None,
            (None, Some(new)) => Some(event("ADDED", &new.bytes)),
            (Some(_), Some(new)) => Some(event("MODIFIED", &new.bytes)),
            (Some(old), None) => {
                // The last state that fitted, with the revision at which it stopped to.
                let mut value = old.value.clone();
                value["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(event("DELETED", value.to_string().as_bytes()))
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.server.open_watches.fetch_sub(1, Ordering::SeqCst);
        self.server.happened.notify_waiters();
    }
}

fn event(kind: &str, object: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(object.len() + 40);
    bytes.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    bytes.extend_from_slice(object);
    bytes.extend_from_slice(b"}\n");
    bytes.freeze()
}

fn bookmark(resource: &Resource, revision: u64, end: bool) -> Bytes {
    let annotations = if end { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    let meta = json!({"resourceVersion": revision.to_string(), "annotations": annotations});
    let object = json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": meta});
    event("BOOKMARK", object.to_string().as_bytes())
}

fn gone() -> Bytes {
    event("ERROR", Status::gone().json().to_string().as_bytes())
}
