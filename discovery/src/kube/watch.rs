//! One kind of object followed, as a task that only tells: lists, changes, faults.
//!
//! kube's `watcher` lists in pages (or as a stream, where the server can), watches from there, opens what the server closes
//! again where it stopped, and lists anew after a 410. Around it: translation on arrival, so that no foreign object outlives
//! its event; the wait after a fault; and the wish for a second list, when the first was not believed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::diagnostics::Diagnostic;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Patience;
use super::evidence::Evidence;
use super::fault::{Cause, Fault};
use crate::translate::{self, Key, Kind, Translated};

/// Which objects one task follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    /// Their kind.
    pub(super) kind: Kind,
    /// Their namespace; `None`: all, or the kind has none.
    pub(super) namespace: Option<Arc<str>>,
}

/// What a task has to tell.
#[derive(Debug)]
pub(super) struct News {
    pub(super) scope: Scope,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Every object, and those of which not even the name can be used.
    Listed(Vec<Translated>, Vec<Diagnostic>),
    /// One is new or different.
    Applied(Translated),
    /// One is gone.
    Deleted(Key),
    /// It did not work, and will be tried again.
    Failed {
        /// Why.
        fault: Fault,
        /// Whether it failed as soon as it was tried again, as the last time.
        in_vain: bool,
    },
}

/// What a task needs.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) cluster: ClusterId,
    pub(super) client: Client,
    pub(super) evidence: Evidence,
    pub(super) patience: Patience,
    pub(super) scope: Scope,
    /// Whether the server can stream a list.
    pub(super) streams: bool,
    pub(super) news: mpsc::Sender<News>,
    /// Rung when the server was heard again: no use in waiting on.
    pub(super) retry: Arc<Notify>,
    /// Rung when the last list was not believed, and is to be made again.
    pub(super) again: Arc<Notify>,
}

/// How long a watch must go well before the next fault counts as a first one.
const GOES_WELL: Duration = Duration::from_mins(1);

/// So many watches one after the other that were opened and failed at once are a reason to list anew: a server may fail at the
/// very change that they go on from.
const IN_VAIN: u32 = 5;

impl Watch {
    /// Follows the objects for as long as it is let run.
    pub(super) async fn run(self) {
        match self.scope.kind {
            Kind::Service => self.follow::<Service>(translate::service).await,
            Kind::EndpointSlice => self.follow::<EndpointSlice>(translate::endpoint_slice).await,
            Kind::Ingress => self.follow::<Ingress>(translate::ingress).await,
            Kind::IngressClass => self.follow_all::<IngressClass>(translate::ingress_class).await,
            Kind::Namespace => self.follow_all::<Namespace>(translate::namespace).await,
            Kind::Secret => self.follow::<Secret>(translate::secret).await,
            Kind::Node => self.follow_all::<Node>(translate::node).await,
            Kind::ConfigMap => self.follow::<ConfigMap>(translate::config_map).await,
        }
    }

    async fn follow<K>(self, translate: Translate<K>)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api = match &self.scope.namespace {
            Some(namespace) => Api::<K>::namespaced(self.client.clone(), namespace),
            None => Api::<K>::all(self.client.clone()),
        };
        self.drive(api, translate).await;
    }

    async fn follow_all<K>(self, translate: Translate<K>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api = Api::<K>::all(self.client.clone());
        self.drive(api, translate).await;
    }

    async fn drive<K>(mut self, api: Api<K>, translate: Translate<K>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut backoff = Backoff::new(self.patience);
        let mut tried = Instant::now();
        let mut failures = 0;
        loop {
            let stream = watcher::watcher(api.clone(), self.config());
            pin_mut!(stream);
            let mut list = List::default();
            let begun_anew = loop {
                let event = tokio::select! {
                    event = stream.next() => event,
                    () = self.again.notified() => break true,
                };
                let what = match event {
                    Some(Ok(event)) => list.take(event, |object| translate(&self.cluster, object)),
                    Some(Err(error)) => {
                        let opened = matches!(error, watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_));
                        let fault = Fault::from(error);
                        if fault.no_streaming() && self.streams {
                            // Nothing is wrong: this server has the gate off.
                            self.streams = false;
                            break true;
                        }
                        let gone = fault.cause == Cause::Gone;
                        let wait = backoff.after(&fault);
                        let in_vain = tried.elapsed() < self.patience.at_once;
                        failures = if in_vain && opened { failures + 1 } else { 0 };
                        if self.tell(What::Failed { fault, in_vain }).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(self.evidence.asked_to_wait()).await;
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = self.retry.notified() => {}
                        }
                        tried = Instant::now();
                        // The watcher lists anew after a 410 event, but not after a 410 answer.
                        if gone || failures >= IN_VAIN {
                            failures = 0;
                            break true;
                        }
                        continue;
                    }
                    None => break false,
                };
                if let Some(what) = what
                    && self.tell(what).await.is_err()
                {
                    return;
                }
            };
            if !begun_anew {
                // The watcher's stream has no end; if it got one, a list is the remedy, but not in a hurry.
                tokio::time::sleep(self.patience.shortest).await;
            }
        }
    }

    fn config(&self) -> watcher::Config {
        let strategy = if self.streams { InitialListStrategy::StreamingList } else { InitialListStrategy::ListWatch };
        let config = watcher::Config { initial_list_strategy: strategy, ..watcher::Config::default() };
        match self.scope.kind {
            Kind::Secret => config.fields("type=kubernetes.io/tls"),
            _ => config,
        }
    }

    async fn tell(&self, what: What) -> Result<(), ()> {
        self.news.send(News { scope: self.scope.clone(), what }).await.map_err(drop)
    }
}

type Translate<K> = fn(&ClusterId, K) -> Result<Translated, Diagnostic>;

/// A list while it comes in.
#[derive(Default)]
struct List {
    objects: Vec<Translated>,
    nameless: Vec<Diagnostic>,
}

impl List {
    fn take<K>(&mut self, event: Event<K>, translate: impl Fn(K) -> Result<Translated, Diagnostic>) -> Option<What> {
        match event {
            Event::Init => *self = Self::default(),
            Event::InitApply(object) => match translate(object) {
                Ok(translated) => self.objects.push(translated),
                Err(diagnostic) => self.nameless.push(diagnostic),
            },
            Event::InitDone => {
                let Self { objects, nameless } = std::mem::take(self);
                return Some(What::Listed(objects, nameless));
            }
            // An API server lets no object without a proper name in.
            Event::Apply(object) => return translate(object).ok().map(What::Applied),
            Event::Delete(object) => return translate(object).ok().map(|translated| What::Deleted(translated.key)),
        }
        None
    }
}

/// How long to wait after faults.
#[derive(Debug)]
struct Backoff {
    patience: Patience,
    next: Duration,
    last: Instant,
}

impl Backoff {
    fn new(patience: Patience) -> Self {
        Self { patience, next: patience.shortest, last: Instant::now() }
    }

    fn after(&mut self, fault: &Fault) -> Duration {
        if self.last.elapsed() > self.next + GOES_WELL {
            self.next = self.patience.shortest;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(self.patience.longest);
        self.last = Instant::now();
        // Full jitter above a half: the edges of a fleet lost the same server at the same moment.
        fault.wait().unwrap_or(Duration::ZERO).max(wait.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}
