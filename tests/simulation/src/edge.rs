//! One edge, and the requests on their way through it: what the engine's glue does, without an engine.

use causeway_core::cell::{Attempt, Due, Ear};
use causeway_core::reach::Reaching;
use causeway_core::retry::{Tries, Wait};
use causeway_core::{Candidate, Nanos, Plan, RequestHead, Snapshot, plan};

use crate::clouds::{CLOUDS, Clouds, Fate};
use crate::fleet::{Fleet, HOST, client, pod};

pub(crate) struct Edge {
    pub(crate) home: usize,
    pub(crate) snapshot: Snapshot,
    reaching: Reaching,
    /// Until when it gets no processor.
    pub(crate) starved: Nanos,
}

/// A request on its way. All are idempotent, and have no body.
pub(crate) struct Request {
    pub(crate) edge: usize,
    pub(crate) begun: Nanos,
    plan: Plan,
    tries: Tries,
    current: Option<(Candidate, Attempt)>,
    ear: Option<Ear>,
}

/// Why a try failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    Unconnected,
    Reset,
    Overdue,
}

impl Edge {
    pub(crate) fn new(home: usize, fleet: &Fleet, now: Nanos) -> Self {
        let snapshot = fleet.compile(home, &Snapshot::empty(std::sync::Arc::clone(&fleet.config)), now);
        let mut edge = Self { home, snapshot, reaching: Reaching::default(), starved: Nanos(0) };
        edge.reaching.follow(&edge.snapshot, now);
        edge
    }

    /// Takes what API servers have told.
    pub(crate) fn learn(&mut self, fleet: &Fleet, now: Nanos) {
        self.snapshot = fleet.compile(self.home, &self.snapshot, now);
        self.reaching.follow(&self.snapshot, now);
    }

    /// Connects to pods that it has not reached so far.
    pub(crate) fn reach(&mut self, clouds: &Clouds, now: Nanos, rng: &mut fastrand::Rng) {
        for (who, address) in self.reaching.due(now) {
            let cloud = CLOUDS.iter().position(|cloud| *cloud == who.cluster.as_str()).expect("a cloud");
            self.reaching.note(&who, clouds.connects(self.home, cloud, pod(address)), now, rng);
        }
    }

    pub(crate) fn request(&self, client_at: usize, seed: u64, now: Nanos) -> Request {
        let head = RequestHead { host: HOST, path: "/" };
        let plan = plan(&self.snapshot, head, Some(&client(client_at)), seed).expect("there is a route");
        let mut tries = Tries::default();
        tries.complete(&self.snapshot.config.upstream, now);
        Request { edge: self.home, begun: now, plan, tries, current: None, ear: None }
    }

    /// How many endpoints owe answers for too long.
    pub(crate) fn silent(&self, now: Nanos) -> usize {
        let members = self.snapshot.pools.iter().flat_map(|pool| &pool.members);
        members.map(|member| member.endpoints.iter().filter(|e| e.cell.silent(&member.cell, now)).count()).sum()
    }

    /// What each cluster gets of the requests of clients near a cloud.
    pub(crate) fn shares(&self, client_at: usize) -> [f64; 3] {
        let head = RequestHead { host: HOST, path: "/" };
        let plan = plan(&self.snapshot, head, Some(&client(client_at)), 0).expect("there is a route");
        let shares: Vec<f64> = plan.shares().collect();
        std::array::from_fn(|cluster| shares[cluster])
    }
}

impl Request {
    /// Begins the next try; which cloud and pod, or `None` where the client is told that nobody can serve it.
    pub(crate) fn next(&mut self, snapshot: &Snapshot, now: Nanos) -> Option<(usize, usize)> {
        let candidate = self.tries.next(&snapshot.config.upstream, &mut self.plan, now)?;
        self.tries.made += 1;
        let found = (candidate.cluster, pod(candidate.address));
        let attempt = candidate.begin(Due::Answer, now);
        self.ear = Some(attempt.ear());
        self.current = Some((candidate, attempt));
        debug_assert!(found.0 < CLOUDS.len());
        Some(found)
    }

    /// Which try this is.
    pub(crate) fn made(&self) -> u32 {
        self.tries.made
    }

    /// How long the answer is waited for.
    pub(crate) fn wait(&self, snapshot: &Snapshot, fate: Fate, now: Nanos) -> Wait {
        let limits = &snapshot.config.upstream;
        if fate == Fate::Unconnected {
            return Wait { most: limits.connect_timeout, in_silence: limits.connect_timeout };
        }
        let (_, attempt) = self.current.as_ref().expect("a try is going on");
        self.tries.wait(limits, Some(&self.plan), attempt, true, now)
    }

    /// Whether the endpoint was heard since this was asked last.
    pub(crate) fn heard(&mut self) -> bool {
        self.ear.as_mut().is_some_and(Ear::heard)
    }

    pub(crate) fn answered(&mut self, now: Nanos) {
        let (_, attempt) = self.current.as_mut().expect("a try is going on");
        attempt.answered(200, now);
    }

    /// The try has failed; whether another one may be made.
    pub(crate) fn failed(&mut self, failure: Failure, now: Nanos) -> bool {
        let (_, attempt) = self.current.as_mut().expect("a try is going on");
        match failure {
            Failure::Unconnected => {
                attempt.failed(now);
                self.tries.unconnected += 1;
            }
            Failure::Reset => attempt.failed(now),
            Failure::Overdue => self.tries.overdue(attempt, Some(&mut self.plan), now),
        }
        failure == Failure::Unconnected || self.plan.pool.spend_retry()
    }
}
