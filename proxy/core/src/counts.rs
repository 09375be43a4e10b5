//! How many pods of each pool are in rotation at home: what an edge tells others, and how it tells only what changed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::link::Count;
use crate::peer::Counts;
use crate::pool::{Member, PoolKey};
use crate::snapshot::Snapshot;
use crate::time::Nanos;

/// How many changes are remembered: whoever asks every second misses none of the last minute.
const REMEMBERED: usize = 64;

/// The pods of the home cluster, by pool. Ejected ones are not in rotation, and a cluster where nothing answers has none.
pub fn at_home(snapshot: &Snapshot, now: Nanos) -> Counts {
    let count = |member: &Member| {
        let staying = member.endpoints.iter().filter(|e| !e.terminating);
        let rotation = |ready: bool, ejected: bool| u32::from(ready && !ejected && !member.cell.dark(now));
        staying.fold(Count::default(), |count, e| Count {
            ready: count.ready + rotation(e.ready, e.cell.ejected(now)),
            total: count.total + u32::from(e.cell.counts(now)),
        })
    };
    let pools = snapshot.pools.iter().filter_map(|pool| Some((pool, pool.members.get(snapshot.home)?)));
    let there = pools.filter(|(_, member)| member.absence.is_none());
    there.map(|(pool, member)| (pool.spec.key.clone(), count(member))).collect()
}

/// What changed between two states; `None` is a pool that is gone.
pub type Changes = Vec<(PoolKey, Option<Count>)>;

/// The counts of now, numbered, and their last changes.
#[derive(Debug, Default)]
pub struct Log {
    generation: u64,
    counts: Arc<Counts>,
    /// What led to each generation, the newest last.
    changes: VecDeque<(u64, Vec<PoolKey>)>,
}

/// What to tell whoever knows some generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// These changes bring them up to date.
    Changes(Changes),
    /// They know too little: everything.
    All(Arc<Counts>),
}

impl Log {
    /// Takes note of new counts; a new generation only where they differ.
    pub fn note(&mut self, new: Counts) {
        if self.generation > 0 && *self.counts == new {
            return;
        }
        let changed = changed(&self.counts, &new);
        self.generation += 1;
        self.counts = Arc::new(new);
        self.changes.push_back((self.generation, changed));
        if self.changes.len() > REMEMBERED {
            self.changes.pop_front();
        }
    }

    /// The number of the counts of now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What to tell somebody who knows generation `known`.
    pub fn tell(&self, known: Option<u64>) -> Told {
        let oldest = self.changes.front().map_or(u64::MAX, |(generation, _)| *generation);
        let Some(known) = known.filter(|known| *known + 1 >= oldest && *known <= self.generation) else {
            return Told::All(Arc::clone(&self.counts));
        };
        let since = self.changes.iter().filter(|(generation, _)| *generation > known);
        let mut keys: Vec<&PoolKey> = since.flat_map(|(_, keys)| keys).collect();
        keys.sort();
        keys.dedup();
        Told::Changes(keys.into_iter().map(|key| (key.clone(), self.counts.get(key).copied())).collect())
    }
}

/// What is known of a peer's counts, after it was told `changes`.
pub fn apply(counts: &mut Counts, changes: Changes) {
    for (key, count) in changes {
        match count {
            Some(count) => drop(counts.insert(key, count)),
            None => drop(counts.remove(&key)),
        }
    }
}

fn changed(old: &Counts, new: &Counts) -> Vec<PoolKey> {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    let other = new.iter().filter(|(key, count)| old.get(key) != Some(count)).map(|(key, _)| key);
    gone.chain(other).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AZURE, name, world};

    fn counts(list: &[(&str, u32)]) -> Counts {
        list.iter()
            .map(|(service, ready)| (PoolKey { service: name(service), port: 80 }, Count { ready: *ready, total: 3 }))
            .collect()
    }

    #[test]
    fn only_pods_of_home_count_and_only_those_in_rotation() {
        let mut world = world().shop([3, 2, 1]);
        world.pass(0.1);
        let key = PoolKey { service: name("shop/web"), port: 80 };
        assert_eq!(at_home(&world.snapshot, world.now)[&key], Count { ready: 3, total: 3 });
        let endpoint = &world.snapshot.pools[0].members[0].endpoints[0];
        endpoint.cell.eject(world.now, (std::time::Duration::from_secs(9), std::time::Duration::from_secs(9)), 1.0);
        assert_eq!(at_home(&world.snapshot, world.now)[&key], Count { ready: 2, total: 3 });
        world.objects(0, |objects| objects.services.clear());
        assert!(world.states[AZURE].objects.services.len() == 1);
        world.compile();
        assert_eq!(at_home(&world.snapshot, world.now), Counts::new(), "a pool without a part at home is not named");
    }

    #[test]
    fn whoever_follows_is_told_what_changed_and_ends_up_with_the_same() {
        let mut log = Log::default();
        let states =
            [counts(&[("a/a", 1)]), counts(&[("a/a", 1), ("b/b", 2)]), counts(&[("a/a", 0), ("b/b", 2)]), counts(&[("b/b", 2)])];
        let (mut known, mut generation) = (Counts::new(), None);
        for state in states {
            log.note(state.clone());
            match log.tell(generation) {
                Told::All(all) => known = (*all).clone(),
                Told::Changes(changes) => {
                    assert_eq!(changes.len(), 1);
                    apply(&mut known, changes);
                }
            }
            generation = Some(log.generation());
            assert_eq!(known, state);
        }
        assert_eq!(
            log.tell(Some(1)),
            Told::Changes(vec![
                (PoolKey { service: name("a/a"), port: 80 }, None),
                (PoolKey { service: name("b/b"), port: 80 }, Some(Count { ready: 2, total: 3 })),
            ])
        );
        assert_eq!(log.tell(generation), Told::Changes(Vec::new()));
    }

    #[test]
    fn whoever_knows_too_little_or_what_never_was_is_told_everything() {
        let mut log = Log::default();
        for n in 0..100 {
            log.note(counts(&[("a/a", n)]));
        }
        for known in [None, Some(0), Some(20), Some(101)] {
            assert!(matches!(log.tell(known), Told::All(_)), "{known:?}");
        }
        assert!(matches!(log.tell(Some(60)), Told::Changes(_)));
        log.note(counts(&[("a/a", 99)]));
        assert_eq!(log.generation(), 100, "nothing changed");
    }
}
