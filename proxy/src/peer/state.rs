//! What the edges of one cluster tell each other: what they know of the cluster that they live in.
//!
//! An edge whose API server is silent, from the start or since a while, takes the word of another one that heard it later: routes
//! and endpoints, as on disk, and never a Secret. Only edges whose certificate names the same cluster are asked and answered;
//! the others have an account there, or none.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use causeway_config::ClusterId;
use causeway_core::Nanos;
use causeway_core::cluster::{ClusterState, Endpoints, Freshness, Objects};
use causeway_core::link::InstanceId;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};

use super::protocol::VERSION;

/// How much later than at the last word a cluster must have been heard of to be worth another snapshot.
const STEP: Duration = Duration::from_secs(30);

/// The answer of `/v1/state`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateAnswer {
    /// The version that is spoken there.
    pub version: u32,
    /// Who answers.
    pub instance: String,
    /// Whose state it is.
    pub cluster: ClusterId,
    /// Grows with each change, in one process.
    pub generation: u64,
    /// For how long the cluster was not heard of there, in milliseconds.
    pub silent_ms: u64,
    /// Nothing where whoever asked knows this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Told>,
}

/// A cluster's objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    objects: Arc<Objects>,
    endpoints: Arc<Endpoints>,
}

/// What another edge of this cluster has said.
#[derive(Clone, Debug)]
pub struct Hearsay {
    /// Who said it.
    pub from: InstanceId,
    /// The generation there.
    pub generation: u64,
    /// When the cluster was heard of there, on this edge's clock.
    pub heard: Nanos,
    told: Told,
}

/// What an edge asks of another one of its cluster.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Everything.
    All,
    /// Everything, unless it is what this process has called by this generation.
    Unless(&'a str, u64),
    /// How fresh it is.
    Brief,
}

/// What edges of one cluster have of each other.
pub struct Siblings {
    /// What this edge knows, for those who ask.
    own: Mutex<(u64, Option<ClusterState>)>,
    /// The state of a generation as it crosses, once somebody has asked for it.
    written: Mutex<(u64, Arc<OnceCell<Bytes>>)>,
    /// Whether this edge's own API server is not heard.
    needed: watch::Sender<bool>,
    /// Why nobody has answered, since others are asked.
    fault: Mutex<Option<String>>,
    hearsay: watch::Sender<Option<Arc<Hearsay>>>,
}

impl Default for Siblings {
    fn default() -> Self {
        Self {
            own: Mutex::default(),
            written: Mutex::default(),
            needed: watch::channel(false).0,
            fault: Mutex::default(),
            hearsay: watch::channel(None).0,
        }
    }
}

impl Siblings {
    /// Says whether others are to be asked.
    pub fn need(&self, needed: bool) {
        self.needed.send_if_modified(|current| std::mem::replace(current, needed) != needed);
    }

    /// Hears whether others are to be asked.
    pub fn needed(&self) -> watch::Receiver<bool> {
        self.needed.subscribe()
    }

    /// Takes note of why nobody answers.
    pub fn note_fault(&self, fault: Option<String>) {
        let mut current = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != fault {
            *current = fault;
            // Whoever tells of it looks again.
            self.hearsay.send_modify(|_| {});
        }
    }

    /// Why nobody answers.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was said last.
    pub fn hearsay(&self) -> Option<Arc<Hearsay>> {
        self.hearsay.borrow().clone()
    }

    /// Hears of what is said.
    pub fn told(&self) -> watch::Receiver<Option<Arc<Hearsay>>> {
        self.hearsay.subscribe()
    }

    /// Takes note of an answer to a question of `now`, or that none counts any more.
    pub fn hear(&self, answer: Option<(InstanceId, StateAnswer)>, now: Nanos) {
        self.hearsay.send_if_modified(|current| {
            let new = answer.and_then(|(from, answer)| Hearsay::new(from, answer, current.as_deref(), now));
            let (before, after) = (current.as_deref().map(Hearsay::what), new.as_ref().map(Hearsay::what));
            let changed = before != after || new.as_ref().is_some_and(|new| current.as_ref().is_some_and(|old| old.older(new)));
            if changed {
                *current = new.map(Arc::new);
            }
            changed
        });
    }

    /// Keeps what is known of the own cluster.
    pub fn know(&self, home: &ClusterState) {
        let mut own = self.own();
        let (generation, known) = &mut *own;
        let same =
            |known: &ClusterState| Arc::ptr_eq(&known.objects, &home.objects) && Arc::ptr_eq(&known.endpoints, &home.endpoints);
        *generation += u64::from(!known.as_ref().is_some_and(same));
        *known = Some(home.clone());
    }

    /// What is said to an edge of this cluster; nothing where nothing is known.
    pub fn tell(&self, instance: &InstanceId, question: Question<'_>, now: Nanos) -> Option<StateAnswer> {
        let own = self.own();
        let (generation, state) = (own.0, own.1.as_ref()?);
        let silent = match state.freshness {
            Freshness::Syncing => return None,
            Freshness::Synced => Duration::ZERO,
            Freshness::Stale(since) => now.since(since),
        };
        let wanted = match question {
            Question::All => true,
            Question::Unless(who, known) => (who, known) != (instance.as_str(), generation),
            Question::Brief => false,
        };
        let told = || Told { objects: Arc::clone(&state.objects), endpoints: Arc::clone(&state.endpoints) };
        Some(StateAnswer {
            version: VERSION,
            instance: instance.to_string(),
            cluster: state.cluster.clone(),
            generation,
            silent_ms: silent.as_millis() as u64,
            state: wanted.then(told),
        })
    }

    /// An answer as it crosses. What takes long, the state, is written once for each generation, and where it holds up no request.
    pub async fn write(&self, mut answer: StateAnswer) -> io::Result<Bytes> {
        let state = answer.state.take();
        let mut text = serde_json::to_vec(&answer)?;
        if let Some(state) = state {
            let state = self.written(answer.generation).get_or_try_init(|| write(state)).await?.clone();
            let end = text.pop();
            text.reserve(state.len() + 16);
            text.extend_from_slice(b",\"state\":");
            text.extend_from_slice(&state);
            text.extend(end);
        }
        Ok(text.into())
    }

    fn written(&self, generation: u64) -> Arc<OnceCell<Bytes>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.0 != generation {
            *written = (generation, Arc::default());
        }
        Arc::clone(&written.1)
    }

    /// Whether what was heard at a moment is newer than what this edge knows by itself.
    pub fn newer(&self, heard: Nanos) -> bool {
        self.own().1.as_ref().is_none_or(|own| newer(heard, own.freshness))
    }

    /// What a panic would have left here is whole.
    fn own(&self) -> MutexGuard<'_, (u64, Option<ClusterState>)> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hearsay {
    /// An answer without a state says that what was said before still is so.
    fn new(from: InstanceId, answer: StateAnswer, before: Option<&Self>, now: Nanos) -> Option<Self> {
        let known = || before.filter(|before| before.what() == (&from, answer.generation)).map(|before| before.told.clone());
        let told = match answer.state {
            Some(told) => told,
            None => known()?,
        };
        let heard = now.before(Duration::from_millis(answer.silent_ms));
        Some(Self { from, generation: answer.generation, heard, told })
    }

    fn what(&self) -> (&InstanceId, u64) {
        (&self.from, self.generation)
    }

    /// Whether another word of the same is so much newer that it counts.
    fn older(&self, new: &Self) -> bool {
        new.heard.since(self.heard) >= STEP
    }

    /// What is said, where it is newer than what is known here. It is stale: its API server is another edge's to hear.
    pub fn better(&self, own: &ClusterState) -> Option<ClusterState> {
        let Told { objects, endpoints } = self.told.clone();
        newer(self.heard, own.freshness).then(|| ClusterState {
            freshness: Freshness::Stale(self.heard),
            objects,
            endpoints,
            ..own.clone()
        })
    }
}

fn newer(heard: Nanos, own: Freshness) -> bool {
    match own {
        Freshness::Syncing => true,
        Freshness::Stale(since) => heard > since,
        Freshness::Synced => false,
    }
}

async fn write(state: Told) -> io::Result<Bytes> {
    let text = tokio::task::spawn_blocking(move || serde_json::to_vec(&state)).await??;
    Ok(text.into())
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
