//! What an edge answers to edges besides the hop: a closed list.
//!
//! | path | what |
//! |---|---|
//! | `/v1/probe` | the answer to a ping: who this is, its pods, its views |
//! | `/v1/view` | its views of the clusters alone |
//! | `/v1/state` | what it knows of its cluster, to edges of the same one: routes and endpoints, no Secret |
//! | `/v1/challenge` | ACME: nothing yet |
//!
//! Nothing here holds a private key, or leads to one.

use causeway_config::ClusterId;
use causeway_core::cluster::Freshness;
use causeway_core::{Nanos, Snapshot};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Peers;
use super::protocol::{BRIEF, CountsAnswer, INSTANCE, KNOWN, OLDEST, Probe, VERSION};
use super::state::{Question, StateAnswer};

/// What is answered.
pub(crate) enum Answer {
    /// This.
    Value(StatusCode, Value),
    /// A state, which takes some time to write.
    State(StateAnswer),
}

impl Peers {
    /// Answers an edge that lives in a cluster of the configuration.
    pub(crate) fn answer(&self, path: &str, from: &ClusterId, headers: &HeaderMap, snapshot: &Snapshot, now: Nanos) -> Answer {
        match path {
            "/v1/state" if from != snapshot.home() => {
                Answer::Value(StatusCode::FORBIDDEN, json!({"error": "an edge tells its state to edges of its own cluster only"}))
            }
            "/v1/state" => self.state(headers, now),
            "/v1/probe" => {
                let known = headers.get(KNOWN).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
                Answer::Value(StatusCode::OK, json!(self.probe(snapshot, known, now)))
            }
            "/v1/view" => Answer::Value(StatusCode::OK, json!({"version": VERSION, "views": self.sight.load().own})),
            "/v1/challenge" => Answer::Value(StatusCode::NOT_FOUND, json!({"error": "this edge answers no ACME challenge"})),
            _ => Answer::Value(
                StatusCode::NOT_FOUND,
                json!({"error": "the peer port answers /v1/probe, /v1/view, /v1/state and /v1/challenge"}),
            ),
        }
    }

    fn state(&self, headers: &HeaderMap, now: Nanos) -> Answer {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let question = match (text(&INSTANCE), text(&KNOWN)) {
            (_, Some(BRIEF)) => Question::Brief,
            (Some(instance), Some(known)) => {
                known.parse().map_or(Question::All, |generation| Question::Unless(instance, generation))
            }
            _ => Question::All,
        };
        match self.siblings.tell(&self.instance, question, now) {
            Some(answer) => Answer::State(answer),
            None => Answer::Value(StatusCode::NOT_FOUND, json!({"error": "this edge knows nothing of its cluster yet"})),
        }
    }

    fn probe(&self, snapshot: &Snapshot, known: Option<u64>, now: Nanos) -> Probe {
        let (generation, told) = self.counts(snapshot, known, now);
        let home: &ClusterId = snapshot.home();
        let freshness = snapshot.clusters.get(snapshot.home).map_or(Freshness::Syncing, |home| home.freshness);
        Probe {
            version: VERSION,
            oldest: OLDEST,
            instance: self.instance.to_string(),
            cluster: home.clone(),
            software: env!("CARGO_PKG_VERSION").into(),
            config_hash: self.config_hash.load().as_ref().map(ToString::to_string),
            synced: freshness == Freshness::Synced,
            // Before anything was read there is nothing to count, and "none" would be believed.
            counts: (freshness != Freshness::Syncing).then(|| CountsAnswer::new(generation, known, told)),
            views: self.sight.load().own.clone(),
        }
    }
}
