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
    let answer = other.tell(&id(2), Question::All, now).unwrap();
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
    own.hear(other.tell(&id(2), Question::All, at(1)).map(|answer| (id(2), answer)), at(1));
    assert!(told.has_changed().unwrap());
    told.mark_unchanged();
    let again = other.tell(&id(2), Question::Unless(id(2).as_str(), 1), at(10)).unwrap();
    assert!(again.state.is_none());
    own.hear(Some((id(2), again)), at(10));
    assert!(!told.has_changed().unwrap(), "nothing is new, and a snapshot is not made for it");
    let later = other.tell(&id(2), Question::Unless(id(2).as_str(), 1), at(40)).unwrap();
    own.hear(Some((id(2), later)), at(40));
    assert_eq!(own.hearsay().unwrap().heard, at(40));
    // Another process counts anew, and its numbers mean something else.
    assert!(other.tell(&id(3), Question::Unless(id(2).as_str(), 1), at(40)).unwrap().state.is_some());
    own.hear(None, at(41));
    assert!(own.hearsay().is_none());
}

#[test]
fn who_knows_nothing_says_nothing() {
    let own = Siblings::default();
    assert!(own.tell(&id(1), Question::All, at(0)).is_none());
    own.know(&state(Freshness::Syncing));
    assert!(own.tell(&id(1), Question::All, at(0)).is_none());
}

#[tokio::test]
async fn a_state_is_written_once_for_all_who_ask_for_it() {
    let own = Siblings::default();
    let mut known = state(Freshness::Synced);
    own.know(&known);
    let ask = || own.tell(&id(1), Question::All, at(0)).unwrap();
    let written = own.write(ask()).await.unwrap();
    let read: StateAnswer = serde_json::from_slice(&written).unwrap();
    assert!(read.state.is_some() && read.generation == 1);
    let cell = own.written(1);
    let before = cell.get().unwrap().as_ptr();
    own.write(ask()).await.unwrap();
    assert_eq!(own.written(1).get().unwrap().as_ptr(), before);
    known.objects = Arc::default();
    own.know(&known);
    own.write(ask()).await.unwrap();
    assert_ne!(own.written(2).get().unwrap().as_ptr(), before, "another generation is another state");
}

#[tokio::test]
async fn who_asks_how_fresh_it_is_gets_no_state() {
    let own = Siblings::default();
    own.know(&state(Freshness::Stale(at(1))));
    let answer = own.tell(&id(1), Question::Brief, at(3)).unwrap();
    assert!(answer.state.is_none() && answer.silent_ms == 2000);
    let written = own.write(answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&written).contains("state"));
}

#[test]
fn what_is_no_newer_than_what_is_known_is_not_worth_asking_for() {
    let own = Siblings::default();
    assert!(own.newer(at(1)));
    own.know(&state(Freshness::Stale(at(5))));
    assert!(own.newer(at(6)) && !own.newer(at(5)));
}
