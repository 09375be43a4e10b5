//! What is known of a cluster from the tidings of its watches: pure, and told the time.
//!
//! Nothing half goes out: before every watch has listed once (or was refused for good) there is no state but the remembered
//! one, and every later list replaces its kind whole. A list that lacks more than half of what was there is doubted: the old
//! objects stay until a second list, some seconds later, says the same. An API server that lost its database answers such
//! lists, and so does one whose storage is being moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::cluster::ClusterState;
use causeway_core::diagnostics::Diagnostic;
use causeway_core::time::Nanos;

use super::fault::{Cause, Fault};
use super::stats::Stats;
use super::watch::{News, Scope, What};
use super::{Patience, rbac};
use crate::report::Report;
use crate::secret::SecretKind;
use crate::store::{Secrets, Store};
use crate::translate::{Key, Kind, Object, Translated};

/// The objects of a cluster, and how its watches fare.
pub(super) struct Follower {
    cluster: ClusterId,
    store: Store,
    slots: BTreeMap<Scope, Slot>,
    wanted: BTreeSet<Key>,
    /// What is wanted and may not be read.
    refused_secrets: BTreeMap<Key, Fault>,
    /// How much later than a doubted list another one counts.
    second_list: Duration,
    stats: Arc<Stats>,
}

/// One watch.
#[derive(Debug, Default)]
struct Slot {
    progress: Progress,
    /// Since when lists are not believed.
    doubted: Option<Nanos>,
    /// The last fault, until something good comes.
    fault: Option<Fault>,
    /// Since when every attempt fails at once, and when the last one did.
    in_vain: Option<(Nanos, Nanos)>,
    nameless: Vec<Diagnostic>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Nothing came yet.
    #[default]
    Waiting,
    /// A list came.
    Following,
    /// The kind cannot be had.
    Refused,
}

/// What is to be done about a piece of news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    /// The state may have changed.
    Changed,
    /// The list is to be made again in a while.
    ListAgain(Scope),
    /// The client is of no use any more.
    NewClient,
}

impl Follower {
    /// Begins with what is remembered. A list that is doubted is believed when another one, `second_list` later or more, agrees.
    pub(super) fn new(
        cluster: ClusterId,
        scopes: impl IntoIterator<Item = Scope>,
        remembered: Vec<Translated>,
        second_list: Duration,
        stats: Arc<Stats>,
    ) -> Self {
        let mut store = Store::default();
        for object in remembered {
            store.put(object);
        }
        let slots = scopes.into_iter().map(|scope| (scope, Slot::default())).collect();
        Self { cluster, store, slots, wanted: BTreeSet::new(), refused_secrets: BTreeMap::new(), second_list, stats }
    }

    /// The Secrets and `ConfigMap`s to keep from now on.
    pub(super) fn want(&mut self, wanted: BTreeSet<Key>) {
        let unwanted: Vec<_> = self.store.secrets().keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for key in unwanted {
            self.store.remove(&key);
        }
        self.refused_secrets.retain(|key, _| wanted.contains(key));
        self.wanted = wanted;
    }

    /// What is wanted and no watch tells of: it is to be asked for by name.
    pub(super) fn unwatched(&self) -> BTreeSet<Key> {
        let watched = |key: &Key| {
            let of_tls = self.store.secrets().get(key).is_some_and(|secret| secret.kind == SecretKind::Tls);
            let scope = |namespace| self.slots.get(&Scope { kind: Kind::Secret, namespace });
            let slot = scope(None).or_else(|| scope(Some(key.name.namespace.clone())));
            of_tls && slot.is_some_and(|slot| slot.progress == Progress::Following)
        };
        self.wanted.iter().filter(|key| !watched(key)).cloned().collect()
    }

    /// Takes a piece of news in.
    pub(super) fn take(&mut self, News { scope, what }: News, now: Nanos) -> Reaction {
        let Some(slot) = self.slots.get_mut(&scope) else { return Reaction::Nothing };
        match what {
            What::Listed(list, nameless) => {
                self.stats.listed(scope.kind, now);
                let list: Vec<_> = list.into_iter().filter(|object| keeps(&self.wanted, object)).collect();
                // A watch that lists anew sooner, for reasons of its own, is not the second opinion that was waited for.
                let believed = slot.doubted.is_some_and(|since| now.since(since) >= self.second_list);
                if !believed && drops_more_than_half(&self.store, &scope, &list) {
                    slot.doubted.get_or_insert(now);
                    self.stats.restarted(Cause::Doubted);
                    return Reaction::ListAgain(scope);
                }
                *slot = Slot { progress: Progress::Following, nameless, ..Slot::default() };
                // A watch brought what could not be had by name.
                self.refused_secrets.retain(|key, _| !list.iter().any(|object| object.key == *key));
                let list = with_unlisted(&self.store, &scope, list);
                self.store.replace(scope.kind, scope.namespace.as_deref(), list);
                Reaction::Changed
            }
            What::Applied(object) => {
                slot.works();
                self.stats.event(now);
                self.refused_secrets.remove(&object.key);
                let kept = keeps(&self.wanted, &object);
                if kept && self.store.put(object) { Reaction::Changed } else { Reaction::Nothing }
            }
            What::Deleted(key) => {
                slot.works();
                self.stats.event(now);
                // After a doubted list nothing is believed to be gone.
                if slot.doubted.is_none() && self.store.remove(&key) { Reaction::Changed } else { Reaction::Nothing }
            }
            What::Failed { fault, in_vain } => {
                self.stats.restarted(fault.cause);
                let since = slot.in_vain.filter(|_| in_vain).map_or(now, |(since, _)| since);
                slot.in_vain = Some((since, now));
                let cause = fault.cause;
                let settles = fault.settles();
                let news = slot.fault.as_ref() != Some(&fault);
                slot.fault = Some(fault);
                if settles {
                    slot.progress = Progress::Refused;
                }
                match cause {
                    Cause::Unauthorized => Reaction::NewClient,
                    _ if settles && news => Reaction::Changed,
                    _ => Reaction::Nothing,
                }
            }
        }
    }

    /// What a Secret or `ConfigMap` that was asked for by name turned out to be; `None`: there is none.
    pub(super) fn take_secret(&mut self, key: &Key, found: Option<Translated>, now: Nanos) -> Reaction {
        self.stats.event(now);
        let allowed = self.refused_secrets.remove(key).is_some();
        // Meanwhile a watch may have told something newer, and will not tell it again.
        if !self.unwatched().contains(key) {
            return if allowed { Reaction::Changed } else { Reaction::Nothing };
        }
        let changed = match found {
            Some(object) => keeps(&self.wanted, &object) && self.store.put(object),
            None => self.store.remove(key),
        };
        if changed || allowed { Reaction::Changed } else { Reaction::Nothing }
    }

    /// That it could not be had by name.
    pub(super) fn secret_refused(&mut self, key: &Key, fault: Fault) -> Reaction {
        self.stats.restarted(fault.cause);
        if fault.cause == Cause::Unauthorized {
            return Reaction::NewClient;
        }
        let changed = fault.settles() && self.refused_secrets.insert(key.clone(), fault).is_none();
        if changed { Reaction::Changed } else { Reaction::Nothing }
    }

    /// Whether every watch has listed, or was refused.
    pub(super) fn settled(&self) -> bool {
        self.slots.values().all(|slot| slot.progress != Progress::Waiting)
    }

    /// The watches that were not heard of for `patience.stale`, or that learned nothing from what they heard; `heard` tells when
    /// the server last spoke of them.
    pub(super) fn silent(&self, now: Nanos, patience: &Patience, heard: impl Fn(&Scope) -> Nanos) -> Vec<Diagnostic> {
        let mut report = Report::new(&self.cluster, rbac::OBJECT);
        let stale = patience.stale.as_secs();
        for (scope, slot) in self.slots.iter().filter(|(_, slot)| slot.progress != Progress::Refused) {
            let why = slot.fault.as_ref().map_or_else(String::new, |fault| format!(": {}", crate::report::shown(&fault.text)));
            if now.since(heard(scope)) >= patience.stale {
                report.error(
                    rbac::resource(scope.kind),
                    format_args!("not heard of for over {stale} s{why}"),
                    "see that it runs and can be reached from here; what it said last serves on",
                );
            } else if slot.learns_nothing(now, patience) {
                report.error(
                    rbac::resource(scope.kind),
                    format_args!("is answered, but with nothing of use for over {stale} s{why}"),
                    "see what answers there, and what the API server's log says; what it said last serves on",
                );
            }
        }
        report.into_diagnostics()
    }

    /// Whether a watch waits for a server that could not be reached a moment ago.
    pub(super) fn unreached(&self, now: Nanos, patience: &Patience) -> bool {
        let waits = |slot: &Slot| slot.in_vain.is_some_and(|(_, last)| now.since(last) <= patience.longest);
        self.slots.values().any(|slot| slot.fault.as_ref().is_some_and(|fault| fault.cause == Cause::Network) && waits(slot))
    }

    /// The state now, with what is wrong with the watches that were refused or doubted.
    pub(super) fn state(&mut self) -> ClusterState {
        let mut report = Report::new(&self.cluster, rbac::OBJECT);
        for (scope, slot) in &self.slots {
            if slot.doubted.is_some() {
                report.warning(
                    rbac::resource(scope.kind),
                    "its last list lacks more than half of what was there, and is not believed before a second one agrees",
                    "see whether the API server has lost its data; if the objects were deleted, nothing is to be done",
                );
            }
            let Some(fault) = slot.fault.as_ref().filter(|_| slot.progress == Progress::Refused) else { continue };
            // Secrets are then asked for by name.
            if scope.kind != Kind::Secret {
                report.warning(rbac::resource(scope.kind), crate::report::shown(&fault.text), rbac::remedy(scope, fault.cause));
            }
        }
        for (key, fault) in &self.refused_secrets {
            let resource = rbac::resource(key.kind);
            report.warning(
                format_args!("{resource}/{}", key.name),
                crate::report::shown(&fault.text),
                format_args!(
                    "let a Role in namespace {} grant get on `{resource}`, or on this name; it is asked again",
                    key.name.namespace
                ),
            );
        }
        let mut more = report.into_diagnostics();
        more.extend(self.slots.values().flat_map(|slot| slot.nameless.iter().cloned()));
        for kind in Kind::ALL {
            self.stats.holds(kind, self.store.count(kind));
        }
        self.store.state(self.cluster.clone(), more)
    }

    /// The wanted Secrets and `ConfigMap`s.
    pub(super) fn secrets(&self) -> &Secrets {
        self.store.secrets()
    }

    /// What is worth remembering: everything but Secrets, and what stands in for them.
    pub(super) fn objects(&self) -> Vec<Translated> {
        self.store.objects().filter(|object| !object.key.kind.on_demand()).cloned().collect()
    }
}

impl Slot {
    /// Something good came.
    fn works(&mut self) {
        (self.fault, self.in_vain) = (None, None);
    }

    /// Whether attempts have failed for long, each as soon as it was made. A success brings no news of its own where nothing
    /// changes: it is what follows when the next fault is overdue.
    fn learns_nothing(&self, now: Nanos, patience: &Patience) -> bool {
        self.in_vain.is_some_and(|(since, last)| {
            last.since(since) >= patience.stale && now.since(last) <= patience.longest + patience.silence
        })
    }
}

/// Whether an object is held at all: of Secrets and `ConfigMap`s only those that somebody wants.
fn keeps(wanted: &BTreeSet<Key>, object: &Translated) -> bool {
    !object.key.kind.on_demand() || wanted.contains(&object.key)
}

/// Secrets of other types than the watched one are not in a list, and no less there.
fn with_unlisted(store: &Store, scope: &Scope, mut list: Vec<Translated>) -> Vec<Translated> {
    if scope.kind == Kind::Secret {
        let of_others = |object: &&Translated| matches!(&object.object, Object::Secret(s) if s.kind != SecretKind::Tls);
        let unlisted = store.objects().filter(|object| object.key.kind == Kind::Secret).filter(of_others);
        list.extend(unlisted.cloned());
    }
    list
}

fn drops_more_than_half(store: &Store, scope: &Scope, list: &[Translated]) -> bool {
    let listed: BTreeSet<&Key> = list.iter().map(|object| &object.key).collect();
    let unlisted = with_unlisted(store, scope, Vec::new()).len();
    let before = store.keys(scope.kind, scope.namespace.as_deref()).count() - unlisted;
    let kept = store.keys(scope.kind, scope.namespace.as_deref()).filter(|key| listed.contains(key)).count();
    (before - kept.min(before)) * 2 > before
}

#[cfg(test)]
mod tests;
