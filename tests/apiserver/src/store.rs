//! The objects, their history, and what the real server checks and fills in.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::resources::{Resource, built_in};
use crate::selector::Selector;
use crate::status::Status;

/// An object and its bytes.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Value,
    pub(crate) bytes: Bytes,
}

impl Stored {
    fn new(value: Value) -> Arc<Self> {
        let bytes = Bytes::from(value.to_string());
        Arc::new(Self { value, bytes })
    }
}

/// A change, as watches tell it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: String,
    pub(crate) before: Option<Arc<Stored>>,
    pub(crate) after: Option<Arc<Stored>>,
}

/// Namespace and name.
pub(crate) type Name = (String, String);

/// Everything that the server holds.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) resources: Vec<Arc<Resource>>,
    objects: BTreeMap<Arc<Resource>, BTreeMap<Name, Arc<Stored>>>,
    pub(crate) revision: u64,
    /// The revision before the oldest change that is remembered.
    pub(crate) compacted: u64,
    history: VecDeque<Change>,
    /// The rest of lists that were handed out in pages, by their tokens.
    pages: BTreeMap<String, (u64, VecDeque<Arc<Stored>>)>,
    next_page: u64,
    next_uid: u64,
    ahead: time::Duration,
    /// Whether endpoints may be in loopback, where the real server allows none.
    pub(crate) loopback: bool,
}

/// How many changes are remembered, as etcd's compaction would have it.
const HISTORY: usize = 20_000;

/// A part of a list.
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Stored>>,
    pub(crate) revision: u64,
    pub(crate) token: Option<String>,
    pub(crate) remaining: usize,
}

impl Store {
    /// With a clock that is `ahead` by so many seconds.
    pub(crate) fn new(ahead: i64) -> Self {
        Self {
            ahead: time::Duration::seconds(ahead),
            resources: built_in().into_iter().map(Arc::new).collect(),
            objects: BTreeMap::new(),
            revision: 1,
            compacted: 0,
            history: VecDeque::new(),
            pages: BTreeMap::new(),
            next_page: 0,
            next_uid: 0,
            loopback: false,
        }
    }

    /// The kind at a path.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|r| r.group == group && r.version == version && r.plural == plural).cloned()
    }

    /// The kind of a manifest.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|r| r.api_version() == api_version && r.kind == kind).cloned()
    }

    pub(crate) fn get(&self, resource: &Arc<Resource>, name: &Name) -> Option<Arc<Stored>> {
        self.objects.get(resource)?.get(name).cloned()
    }

    pub(crate) fn select(&self, resource: &Arc<Resource>, namespace: Option<&str>, selector: &Selector) -> Vec<Arc<Stored>> {
        let all = self.objects.get(resource).into_iter().flatten();
        all.filter(|((ns, _), _)| namespace.is_none_or(|wanted| wanted == ns))
            .filter(|(_, stored)| selector.is_empty() || selector.matches(&stored.value))
            .map(|(_, stored)| stored.clone())
            .collect()
    }

    /// The first page of a list, or all of it.
    pub(crate) fn list(&mut self, items: Vec<Arc<Stored>>, limit: usize) -> Page {
        let revision = self.revision;
        self.page(items.into(), revision, limit)
    }

    /// The next page. A token that is not known any more is expired.
    pub(crate) fn next_page(&mut self, token: &str, limit: usize) -> Result<Page, Status> {
        let (revision, rest) = self.pages.remove(token).ok_or_else(|| {
            Status::new(
                StatusCode::GONE,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result.",
            )
        })?;
        Ok(self.page(rest, revision, limit))
    }

    fn page(&mut self, mut items: VecDeque<Arc<Stored>>, revision: u64, limit: usize) -> Page {
        let now = if limit == 0 { items.len() } else { limit.min(items.len()) };
        let page = items.drain(..now).collect();
        let remaining = items.len();
        let token = (remaining > 0).then(|| {
            self.next_page += 1;
            let token = format!("page-{}", self.next_page);
            self.pages.insert(token.clone(), (revision, items));
            token
        });
        Page { items: page, revision, token, remaining }
    }

    /// The changes of a kind after a revision.
    pub(crate) fn changes(&self, resource: &Arc<Resource>, after: u64) -> Result<Vec<Change>, Status> {
        if after < self.compacted {
            return Err(Status::gone());
        }
        let first = self.history.partition_point(|change| change.revision <= after);
        Ok(self.history.iter().skip(first).filter(|change| change.resource == *resource).cloned().collect())
    }

    /// Forgets all changes and all pages, as etcd's compaction does.
    pub(crate) fn compact(&mut self) {
        // A revision of its own, so that even the newest one that was handed out is too old.
        self.revision += 1;
        self.forget();
    }

    /// Forgets all changes up to now.
    pub(crate) fn forget(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
        self.pages.clear();
    }

    /// Puts an object where none is.
    pub(crate) fn create(&mut self, resource: &Arc<Resource>, mut value: Value, dry: bool) -> Result<Arc<Stored>, Status> {
        let meta = &mut value["metadata"];
        if meta["name"].as_str().is_none_or(str::is_empty)
            && let Some(prefix) = meta["generateName"].as_str().map(str::to_owned)
        {
            self.next_uid += 1;
            meta["name"] = format!("{prefix}{:05x}", self.next_uid).into();
        }
        let name = name_of(resource, &mut value)?;
        if self.get(resource, &name).is_some() {
            let message = format!("{} \"{}\" already exists", resource.plural, name.1);
            return Err(Status::new(StatusCode::CONFLICT, "AlreadyExists", message));
        }
        check(resource, &value, self.loopback)?;
        self.next_uid += 1;
        let now = (OffsetDateTime::now_utc() + self.ahead).replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
        value["apiVersion"] = resource.api_version().into();
        value["kind"] = resource.kind.clone().into();
        let meta = &mut value["metadata"];
        meta["uid"] = format!("00000000-0000-4000-8000-{:012x}", self.next_uid).into();
        meta["creationTimestamp"] = now.into();
        meta["generation"] = 1.into();
        Ok(self.write(resource, name, None, value, dry))
    }

    /// Replaces an object that is there.
    pub(crate) fn update(
        &mut self,
        resource: &Arc<Resource>,
        name: &Name,
        mut value: Value,
        dry: bool,
    ) -> Result<Arc<Stored>, Status> {
        let before = self.get(resource, name).ok_or_else(|| Status::not_found(&format!("{} \"{}\"", resource.plural, name.1)))?;
        let old = &before.value["metadata"];
        let version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && old["resourceVersion"] != version {
            let message = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Status::new(StatusCode::CONFLICT, "Conflict", message));
        }
        check(resource, &value, self.loopback)?;
        let generation = old["generation"].as_u64().unwrap_or(1) + u64::from(value.get("spec") != before.value.get("spec"));
        let (uid, created) = (old["uid"].clone(), old["creationTimestamp"].clone());
        value["apiVersion"] = resource.api_version().into();
        value["kind"] = resource.kind.clone().into();
        let meta = &mut value["metadata"];
        (meta["uid"], meta["creationTimestamp"], meta["generation"]) = (uid, created, generation.into());
        meta["name"] = name.1.clone().into();
        if resource.namespaced {
            meta["namespace"] = name.0.clone().into();
        }
        meta["resourceVersion"] = old["resourceVersion"].clone();
        if value == before.value {
            return Ok(before);
        }
        Ok(self.write(resource, name.clone(), Some(before), value, dry))
    }

    pub(crate) fn delete(&mut self, resource: &Arc<Resource>, name: &Name, dry: bool) -> Result<Arc<Stored>, Status> {
        let before = self.get(resource, name).ok_or_else(|| Status::not_found(&format!("{} \"{}\"", resource.plural, name.1)))?;
        if dry {
            return Ok(before);
        }
        self.objects.get_mut(resource).expect("the object was found in it").remove(name);
        self.revision += 1;
        let mut last = before.value.clone();
        last["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let last = Stored::new(last);
        self.record(resource, &name.0, Some(last.clone()), None);
        Ok(last)
    }

    fn write(
        &mut self,
        resource: &Arc<Resource>,
        name: Name,
        before: Option<Arc<Stored>>,
        mut value: Value,
        dry: bool,
    ) -> Arc<Stored> {
        let revision = self.revision + 1;
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        let stored = Stored::new(value);
        if !dry {
            self.revision = revision;
            self.record(resource, &name.0, before, Some(stored.clone()));
            self.objects.entry(resource.clone()).or_default().insert(name, stored.clone());
        }
        stored
    }

    fn record(&mut self, resource: &Arc<Resource>, namespace: &str, before: Option<Arc<Stored>>, after: Option<Arc<Stored>>) {
        let change = Change { revision: self.revision, resource: resource.clone(), namespace: namespace.into(), before, after };
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.revision;
        }
    }
}

/// Fills the namespace in, and gives the key.
fn name_of(resource: &Resource, value: &mut Value) -> Result<Name, Status> {
    let meta = &mut value["metadata"];
    let name = meta["name"].as_str().filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| Status::invalid("metadata.name", "metadata.name: Required value: name or generateName is required"))?;
    let name = name.to_owned();
    if !resource.namespaced {
        return Ok((String::new(), name));
    }
    let namespace = meta["namespace"].as_str().unwrap_or("default").to_owned();
    meta["namespace"] = json!(namespace);
    Ok((namespace, name))
}

/// What the real server refuses of the objects that matter here.
/// Source: `validateEndpointSlice` and `ValidateNonSpecialIP` of Kubernetes' API validation.
fn check(resource: &Resource, value: &Value, loopback: bool) -> Result<(), Status> {
    if resource.plural != "endpointslices" {
        return Ok(());
    }
    let endpoints = value["endpoints"].as_array().into_iter().flatten().enumerate();
    for (i, endpoint) in endpoints {
        for (j, address) in endpoint["addresses"].as_array().into_iter().flatten().enumerate() {
            let field = format!("endpoints[{i}].addresses[{j}]");
            let text = address.as_str().unwrap_or_default();
            let Ok(ip) = text.parse::<IpAddr>() else {
                return Err(Status::invalid(&field, format!("{field}: Invalid value: \"{text}\": must be a valid IP address")));
            };
            let problem = match ip {
                ip if ip.is_unspecified() => "may not be unspecified",
                ip if ip.is_loopback() && loopback => continue,
                ip if ip.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)",
                IpAddr::V4(ip) if ip.is_link_local() => "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                IpAddr::V6(ip) if ip.is_unicast_link_local() => "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                ip if ip.is_multicast() => "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
                _ => continue,
            };
            return Err(Status::invalid(&field, format!("{field}: Invalid value: \"{text}\": {problem}")));
        }
    }
    Ok(())
}
