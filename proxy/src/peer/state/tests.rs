#![allow(clippy::unwrap_used)]

use super::*;

fn at(seconds: u64) -> Nanos {
    Nanos((1000 + seconds) * 1_000_000_000)
}

fn id(n: u128) -> InstanceId {
    InstanceId::of(n)
}

fn state(freshness: Freshness) -> ClusterState {
    ClusterState { freshness, ..ClusterState::syncing("aws".parse().unwrap()) }
}

/// What another edge that knows `state` says at `now`, as it crosses.
fn told(state: &ClusterState, now: Nanos) -> StateAnswer {
    let other = Siblings::default();
    other.know(state);
    let answer = other.tell(&id(2), None, now).unwrap();
    serde_json::from_slice(&serde_json::to_vec(&answer).unwrap()).unwrap()
}

#[test]
fn another_edges_word_counts_where_it_is_newer() {
    let own = Siblings::default();
    own.hear(Some((id(2), told(&state(Freshness::Stale(at(50))), at(60)))), at(70));
    let hearsay = own.hearsay().unwrap();
    assert_eq!(hearsay.heard, at(60), "it was silent for ten seconds there, and the clocks differ");
    let better = |freshness| hearsay.better(&state(freshness)).map(|state| state.freshness);
    assert_eq!(better(Freshness::Syncing), Some(Freshness::Stale(at(60))));
    assert_eq!(better(Freshness::Stale(at(59))), Some(Freshness::Stale(at(60))));
    assert_eq!(better(Freshness::Stale(at(61))), None);
    assert_eq!(better(Freshness::Synced), None);
}

#[test]
fn what_is_known_is_not_told_again_and_still_counts() {
    let other = Siblings::default();
    other.know(&state(Freshness::Synced));
    let own = Siblings::default();
    let mut told = own.told();
    own.hear(other.tell(&id(2), None, at(1)).map(|answer| (id(2), answer)), at(1));
    assert!(told.has_changed().unwrap());
    told.mark_unchanged();
    let again = other.tell(&id(2), Some((id(2).as_str(), 1)), at(10)).unwrap();
    assert!(again.state.is_none());
    own.hear(Some((id(2), again)), at(10));
    assert!(!told.has_changed().unwrap(), "nothing is new, and a snapshot is not made for it");
    let later = other.tell(&id(2), Some((id(2).as_str(), 1)), at(40)).unwrap();
    own.hear(Some((id(2), later)), at(40));
    assert_eq!(own.hearsay().unwrap().heard, at(40));
    // Another process counts anew, and its numbers mean something else.
    assert!(other.tell(&id(3), Some((id(2).as_str(), 1)), at(40)).unwrap().state.is_some());
    own.hear(None, at(41));
    assert!(own.hearsay().is_none());
}

#[test]
fn who_knows_nothing_says_nothing() {
    let own = Siblings::default();
    assert!(own.tell(&id(1), None, at(0)).is_none());
    own.know(&state(Freshness::Syncing));
    assert!(own.tell(&id(1), None, at(0)).is_none());
}
