//! The shell around [`Follower`]: clients, tasks, timers, the disk.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_config::ClusterId;
use causeway_core::cluster::Freshness;
use causeway_core::diagnostics::Diagnostic;
use causeway_core::time::Nanos;
use kube::Client;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use self::told::{of_cache, unanswered, unreachable, unusable};
use super::Patience;
use super::access::{Access, AccessError};
use super::by_name::{self, Answer};
use super::cache::{Cache, CacheError, Remembered};
use super::evidence::Evidence;
use super::fault::Fault;
use super::follower::{Follower, Reaction};
use super::rbac;
use super::stats::Stats;
use super::watch::{News, Scope, Watch};
use crate::debounce::{Debounce, Timing};
use crate::source::{Clock, ClusterSource, Publisher};
use crate::translate::{Key, Kind};

/// How long a burst of events is gathered before a state is made of it.
const BURST: Timing = Timing { quiet: Duration::from_millis(20), ceiling: Duration::from_millis(150) };

/// The version from which servers stream lists by default. Source: KEP-3157.
const STREAMS_FROM: (u32, u32) = (1, 32);

/// A cluster that is an API server.
pub struct ApiServerSource {
    access: Access,
    /// The namespaces to read; `None`: all.
    namespaces: Option<Vec<Arc<str>>>,
    /// Whether nodes are read too.
    nodes: bool,
    cache: Option<Cache>,
    clock: Clock,
    patience: Patience,
    evidence: Evidence,
    stats: Arc<Stats>,
}

impl ApiServerSource {
    /// Watches the API server that `access` leads to: all of it, or only some namespaces.
    pub fn new(access: Access, namespaces: Option<Vec<Arc<str>>>, cache: Option<Cache>, clock: Clock) -> Self {
        let patience = Patience::default();
        let evidence = Evidence::new(clock.clone());
        let stats = Arc::new(Stats::new(evidence.clone()));
        Self { access, namespaces, nodes: false, cache, clock, patience, evidence, stats }
    }

    /// With other waits than usual.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Reads nodes too, if `nodes` says so.
    #[must_use]
    pub fn with_nodes(self, nodes: bool) -> Self {
        Self { nodes, ..self }
    }

    /// What will be watched.
    fn scopes(&self) -> Vec<Scope> {
        let of_kind = |kind: Kind| match &self.namespaces {
            Some(namespaces) if kind.namespaced() => {
                namespaces.iter().map(|namespace| Scope { kind, namespace: Some(namespace.clone()) }).collect()
            }
            _ => vec![Scope { kind, namespace: None }],
        };
        let read = |kind: &Kind| kind.watched() && (self.nodes || *kind != Kind::Node);
        Kind::ALL.into_iter().filter(read).flat_map(of_kind).collect()
    }
}

#[async_trait]
impl ClusterSource for ApiServerSource {
    fn stats(&self) -> Option<Arc<Stats>> {
        Some(self.stats.clone())
    }

    async fn run(self: Box<Self>, publisher: Publisher) {
        let mut run = Run::begin(*self, publisher).await;
        loop {
            let Some(session) = run.connect().await else { continue };
            run.follow(session).await;
        }
    }
}

/// A source that runs, across all its clients.
struct Run {
    cluster: ClusterId,
    source: ApiServerSource,
    publisher: Publisher,
    follower: Follower,
    /// What is wrong with the cache, until it works again.
    cache_fault: Vec<Diagnostic>,
    /// Since when the server, or one of its kinds, was silent for too long, and what is said of it.
    stale: Option<(Nanos, Vec<Diagnostic>)>,
    /// Since when no client could be made.
    offline: Option<Nanos>,
    /// Whether there is something that was not saved.
    unsaved: bool,
    /// When something was saved last, in vain or not; the first time does not wait.
    saved: Option<Instant>,
    /// The saving that goes on, if one does: a large state takes longer than a change may wait.
    saving: JoinSet<Result<(), CacheError>>,
}

/// What lives as long as one client: tasks that end with it, and what they say.
struct Session {
    client: Client,
    fingerprint: [u8; 32],
    again: BTreeMap<Scope, Arc<Notify>>,
    news: mpsc::Receiver<News>,
    answers: mpsc::Receiver<Answer>,
    by_name: watch::Sender<BTreeSet<Key>>,
    retry: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Run {
    /// Publishes what is remembered, so that a dark API server is no reason not to serve.
    async fn begin(source: ApiServerSource, publisher: Publisher) -> Self {
        let cluster = publisher.cluster().clone();
        let (remembered, cache_fault) = remembered(&cluster, source.cache.clone()).await;
        let age = remembered.as_ref().map(|remembered| remembered.age);
        let objects = remembered.map(|remembered| remembered.objects).unwrap_or_default();
        let follower =
            Follower::new(cluster.clone(), source.scopes(), objects, source.patience.second_list, source.stats.clone());
        let mut run = Self {
            cluster,
            source,
            publisher,
            follower,
            cache_fault,
            stale: None,
            offline: None,
            unsaved: false,
            saved: None,
            saving: JoinSet::new(),
        };
        run.want();
        if let Some(age) = age {
            run.stale = Some(((run.source.clock)().before(age), Vec::new()));
            run.publish();
        }
        run
    }

    /// Makes a client and asks the server for its version, which every account may know: so far nothing is watched, and
    /// what is wrong is said once and not by every watch.
    async fn connect(&mut self) -> Option<Session> {
        let access = self.source.access.clone();
        let fingerprint = blocking(move || access.fingerprint()).await;
        let now = (self.source.clock)();
        let offline = *self.offline.get_or_insert(now);
        // Who was up to date a moment ago is not stale yet.
        let grace =
            if self.follower.settled() { self.source.patience.stale.saturating_sub(now.since(offline)) } else { Duration::ZERO };
        let attempt = attempt(self.source.access.clone(), self.source.evidence.clone(), self.source.patience);
        tokio::pin!(attempt);
        let made = tokio::select! {
            biased;
            made = &mut attempt => made,
            // A program that gives tokens may take its time, or for ever.
            () = tokio::time::sleep(grace.max(self.source.patience.connect)) => {
                self.unavailable(unanswered(&self.cluster));
                attempt.await
            }
        };
        let problem = match made {
            Ok((client, streams)) => return Some(self.open(client, fingerprint, streams)),
            Err(NotMade::Unusable(error)) => unusable(&self.cluster, &error),
            Err(NotMade::Unreachable(error)) => unreachable(&self.cluster, &error),
        };
        if !self.follower.settled() || (self.source.clock)().since(offline) >= self.source.patience.stale {
            self.unavailable(problem);
        }
        self.wait_for_change(fingerprint).await;
        None
    }

    fn unavailable(&mut self, problem: Vec<Diagnostic>) {
        self.publisher.unavailable(problem.into_iter().chain(self.cache_fault.iter().cloned()).collect());
    }

    /// Waits a while, or until other credentials are there. Meanwhile Secrets that nobody wants any more are let go.
    async fn wait_for_change(&mut self, fingerprint: [u8; 32]) {
        let until = Instant::now() + self.source.patience.retry.mul_f64(0.8 + fastrand::f64() * 0.4);
        while Instant::now() < until {
            tokio::select! {
                () = tokio::time::sleep(self.source.patience.tick) => {}
                () = self.publisher.wanted_changed() => {
                    self.want();
                    continue;
                }
            }
            let access = self.source.access.clone();
            if blocking(move || access.fingerprint()).await != fingerprint {
                return;
            }
        }
    }

    /// Starts the watches. They list anew; what they listed before stays until they have.
    fn open(&mut self, client: Client, fingerprint: [u8; 32], streams: bool) -> Session {
        self.offline = None;
        // Room for a burst; a full channel slows the watches down, and through them the server.
        let (sender, news) = mpsc::channel(1024);
        let (answer_sender, answers) = mpsc::channel(64);
        let (by_name, keys) = watch::channel(self.follower.unwatched());
        let mut session = Session {
            client: client.clone(),
            fingerprint,
            again: BTreeMap::new(),
            news,
            answers,
            by_name,
            retry: Arc::new(Notify::new()),
            tasks: JoinSet::new(),
        };
        for scope in self.source.scopes() {
            let again = Arc::new(Notify::new());
            self.source.evidence.listen_for(&rbac::path(&scope));
            session.again.insert(scope.clone(), again.clone());
            let watch = Watch {
                cluster: self.cluster.clone(),
                client: client.clone(),
                evidence: self.source.evidence.clone(),
                patience: self.source.patience,
                scope,
                streams,
                news: sender.clone(),
                retry: session.retry.clone(),
                again,
            };
            session.tasks.spawn(watch.run());
        }
        session.tasks.spawn(by_name::ask(self.cluster.clone(), client, keys, answer_sender, self.source.patience.by_name));
        session
    }

    /// Follows the cluster until the credentials change or are refused.
    async fn follow(&mut self, mut session: Session) {
        let bell = Notify::new();
        let mut burst = Debounce::new(BURST);
        let mut ticks = tokio::time::interval(self.source.patience.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = (self.source.clock)();
        let mut asked = Instant::now();
        loop {
            let reaction = tokio::select! {
                Some(news) = session.news.recv() => self.follower.take(news, (self.source.clock)()),
                Some(answer) = session.answers.recv() => self.take_answer(answer),
                Some(ended) = session.tasks.join_next() => match ended {
                    Ok(()) => Reaction::Nothing,
                    // A watch that broke would be missed by nobody; with new ones, its kind is listed again.
                    Err(_panicked_and_logged) => Reaction::NewClient,
                },
                () = burst.settled(&bell) => {
                    if self.follower.settled() {
                        self.publish();
                        session.ask_by_name(self.follower.unwatched());
                    }
                    Reaction::Nothing
                }
                Some(Ok(saved)) = self.saving.join_next() => {
                    self.take_saved(saved);
                    Reaction::Nothing
                }
                () = self.publisher.wanted_changed() => {
                    self.want();
                    session.ask_by_name(self.follower.unwatched());
                    Reaction::Changed
                }
                _ = ticks.tick() => {
                    if self.credentials_changed(&session).await {
                        return;
                    }
                    let now = (self.source.clock)();
                    // A session that has only begun was not silent yet.
                    let heard = |scope: &Scope| self.source.evidence.heard(&rbac::path(scope)).unwrap_or(began);
                    let silent = self.follower.silent(now, &self.source.patience, heard);
                    let lost = !silent.is_empty() || self.follower.unreached(now, &self.source.patience);
                    if lost && asked.elapsed() >= self.source.patience.retry {
                        asked = Instant::now();
                        session.ask_whether_back();
                    }
                    if self.silence(silent, now) {
                        Reaction::Changed
                    } else {
                        self.save();
                        Reaction::Nothing
                    }
                }
            };
            match reaction {
                Reaction::Nothing => {}
                Reaction::Changed => bell.notify_one(),
                Reaction::NewClient => {
                    // Not at once: a server that refuses everybody is not to be flooded.
                    tokio::time::sleep(self.source.patience.retry.mul_f64(fastrand::f64())).await;
                    return;
                }
                Reaction::ListAgain(scope) => {
                    bell.notify_one();
                    let again = session.again.get(&scope).cloned().expect("every scope has its bell");
                    let second_list = self.source.patience.second_list;
                    session.tasks.spawn(async move {
                        tokio::time::sleep(second_list).await;
                        again.notify_one();
                    });
                }
            }
        }
    }

    fn take_answer(&mut self, Answer { key, found }: Answer) -> Reaction {
        match found {
            Ok(found) => self.follower.take_secret(&key, found, (self.source.clock)()),
            Err(fault) => self.follower.secret_refused(&key, fault),
        }
    }

    async fn credentials_changed(&self, session: &Session) -> bool {
        let access = self.source.access.clone();
        blocking(move || access.fingerprint()).await != session.fingerprint
    }

    fn want(&mut self) {
        let wanted = self.publisher.wanted();
        self.follower.want(wanted);
        self.publisher.publish_secrets(self.follower.secrets());
    }

    /// Takes note of which watches are silent. Tells whether that is news.
    fn silence(&mut self, silent: Vec<Diagnostic>, now: Nanos) -> bool {
        let before = self.stale.take();
        if silent.is_empty() {
            let mended = before.as_ref().is_some_and(|(_, diagnostics)| !diagnostics.is_empty());
            self.stale = before.filter(|_| !mended);
            return mended;
        }
        let news = before.as_ref().is_none_or(|(_, diagnostics)| *diagnostics != silent);
        if news && !self.follower.settled() {
            self.publisher.unavailable(silent.clone());
        }
        self.stale = Some((before.map_or(now, |(since, _)| since), silent));
        news
    }

    fn publish(&mut self) {
        // What was only remembered is up to date as soon as everything was listed.
        self.stale = self.stale.take().filter(|(_, silent)| !silent.is_empty() || !self.follower.settled());
        let mut state = self.follower.state();
        let diagnostics = Arc::make_mut(&mut state.diagnostics);
        diagnostics.extend(self.cache_fault.iter().cloned());
        if let Some((since, silent)) = &self.stale {
            state.freshness = Freshness::Stale(*since);
            diagnostics.extend(silent.iter().cloned());
        } else {
            self.unsaved = true;
        }
        self.publisher.publish_shared(state);
        self.publisher.publish_secrets(self.follower.secrets());
    }

    /// Saves what was published up to date, now and then, or notes that it still is so.
    fn save(&mut self) {
        let up_to_date = self.stale.is_none() && self.follower.settled() && self.saving.is_empty();
        let Some(cache) = self.source.cache.clone().filter(|_| up_to_date) else { return };
        let wait = if self.unsaved { self.source.patience.save } else { self.source.patience.confirm };
        if self.saved.is_some_and(|saved| saved.elapsed() < wait) {
            return;
        }
        let objects = self.unsaved.then(|| self.follower.objects());
        self.unsaved = false;
        self.saved = Some(Instant::now());
        self.saving.spawn_blocking(move || objects.map_or_else(|| cache.confirm(), |objects| cache.save(&objects)));
    }

    fn take_saved(&mut self, saved: Result<(), CacheError>) {
        // What could not be saved, or is not there any more, is still to be.
        self.unsaved |= saved.is_err();
        let fault = saved.err().map(|error| of_cache(&self.cluster, &error.to_string())).unwrap_or_default();
        if fault != self.cache_fault {
            self.cache_fault = fault;
            self.publish();
        }
    }
}

impl Session {
    fn ask_by_name(&self, keys: BTreeSet<Key>) {
        self.by_name.send_if_modified(|before| {
            let changed = *before != keys;
            *before = keys;
            changed
        });
    }

    /// Asks for the version; an answer lets every watch that waits try again at once.
    fn ask_whether_back(&mut self) {
        let (client, retry) = (self.client.clone(), self.retry.clone());
        self.tasks.spawn(async move {
            if client.apiserver_version().await.is_ok() {
                retry.notify_waiters();
            }
        });
    }
}

/// Why there is no session.
enum NotMade {
    Unusable(AccessError),
    Unreachable(kube::Error),
}

/// A client of a server that answers, and whether that streams lists.
async fn attempt(access: Access, evidence: Evidence, patience: Patience) -> Result<(Client, bool), NotMade> {
    let client = access.client(&evidence, &patience).await.map_err(NotMade::Unusable)?;
    match client.apiserver_version().await {
        Ok(version) => Ok((client, streams(&version.major, &version.minor))),
        Err(error) if Fault::of_request(&error).settles() => Ok((client, false)),
        Err(error) => Err(NotMade::Unreachable(error)),
    }
}

/// What was saved last, and what is wrong with the cache.
async fn remembered(cluster: &ClusterId, cache: Option<Cache>) -> (Option<Remembered>, Vec<Diagnostic>) {
    let Some(cache) = cache else { return (None, Vec::new()) };
    match blocking(move || cache.load()).await {
        Ok(remembered) => (remembered, Vec::new()),
        Err(error) => (None, of_cache(cluster, &error.to_string())),
    }
}

/// Whether a server of this version streams lists.
fn streams(major: &str, minor: &str) -> bool {
    // Some providers say `32+`.
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    number(major).zip(number(minor)).is_some_and(|version| version >= STREAMS_FROM)
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and takes this task along.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::streams;

    #[test]
    fn servers_stream_lists_from_a_version_on() {
        assert!(streams("1", "32") && streams("1", "34+") && streams("2", "0"));
        assert!(!streams("1", "31") && !streams("1", "") && !streams("", "40"));
    }
}
