//! Who may come in: connections in total and per client, handshakes, memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use causeway_config::{Limits, MemoryLimit};

use super::keyed::Keyed;
use super::{ClientKey, memory};
use crate::metrics::{RefusalReason, resident_bytes};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Parts of the map of clients, so that accepting on many cores does not queue at one lock.
const SHARDS: usize = 16;

/// The doorkeeper; one for all of an edge's client listeners.
#[derive(Debug, Default)]
pub struct Gate {
    open: AtomicU32,
    clients: [Mutex<HashMap<ClientKey, u32>>; SHARDS],
    hasher: RandomState,
    handshakes: ArcSwapOption<(u32, Keyed<ClientKey>)>,
    shedding: AtomicBool,
}

/// A connection that was let in. Dropping it makes room for another.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    client: Option<ClientKey>,
}

impl Gate {
    /// Lets a connection in whose client is not known yet.
    pub fn enter(self: &Arc<Self>, limits: &Limits) -> Result<Pass, RefusalReason> {
        if self.shedding.load(Relaxed) {
            return Err(RefusalReason::Memory);
        }
        let pass = Pass { gate: Arc::clone(self), client: None };
        let before = self.open.fetch_add(1, Relaxed);
        // Dropping the pass takes the count back.
        if limits.connections.is_some_and(|most| before >= most) { Err(RefusalReason::Connections) } else { Ok(pass) }
    }

    /// Takes one of a client's handshakes.
    pub fn handshake(&self, limits: &Limits, client: IpAddr) -> Result<(), RefusalReason> {
        let Some(most) = limits.handshakes_per_client else { return Ok(()) };
        let mut current = self.handshakes.load_full();
        if current.as_ref().is_none_or(|current| current.0 != most) {
            // Two that notice a change at once make two; one of them stays.
            current = Some(Arc::new((most, Keyed::new(most, Duration::from_secs(1), most))));
            self.handshakes.store(current.clone());
        }
        let taken = current.is_none_or(|current| current.1.take(&client.into()).is_ok());
        if taken { Ok(()) } else { Err(RefusalReason::Handshakes) }
    }

    /// Looks at the process's memory for as long as the gate lives; `limit` tells the limit of the moment.
    pub async fn watch_memory(gate: Weak<Self>, limit: impl Fn() -> MemoryLimit) {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let Some(gate) = gate.upgrade() else { return };
            let over = memory::watermark(limit()).is_some_and(|mark| resident_bytes().is_some_and(|used| used > mark));
            if gate.shedding.swap(over, Relaxed) != over {
                if over {
                    tracing::warn!("memory is short: new connections are refused");
                } else {
                    tracing::info!("memory suffices again: new connections are let in");
                }
            }
        }
    }

    /// Whether memory is short.
    pub fn is_shedding(&self) -> bool {
        self.shedding.load(Relaxed)
    }

    fn clients(&self, key: &ClientKey) -> std::sync::MutexGuard<'_, HashMap<ClientKey, u32>> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.clients[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Tells whose connection it is.
    pub fn of_client(&mut self, limits: &Limits, client: IpAddr) -> Result<(), RefusalReason> {
        let Some(most) = limits.connections_per_client else { return Ok(()) };
        let key = client.into();
        let mut clients = self.gate.clients(&key);
        let open = clients.entry(key).or_insert(0);
        if *open >= most {
            return Err(RefusalReason::ClientConnections);
        }
        *open += 1;
        drop(clients);
        self.client = Some(key);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Relaxed);
        let Some(key) = self.client else { return };
        let mut clients = self.gate.clients(&key);
        if let Some(open) = clients.get_mut(&key) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits() -> Limits {
        Limits { connections: Some(3), connections_per_client: Some(2), handshakes_per_client: Some(2), ..Limits::default() }
    }

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn connections_are_limited_in_total_and_come_back() {
        let gate = Arc::new(Gate::default());
        let mut passes: Vec<Pass> = (0..3).map(|_| gate.enter(&limits()).unwrap()).collect();
        assert_eq!(gate.enter(&limits()).unwrap_err(), RefusalReason::Connections);
        passes.pop();
        assert!(gate.enter(&limits()).is_ok());
    }

    #[test]
    fn connections_are_limited_per_client_and_nothing_of_them_is_kept() {
        let gate = Arc::new(Gate::default());
        let enter = |client| {
            let mut pass = gate.enter(&Limits { connections: None, ..limits() }).unwrap();
            pass.of_client(&limits(), client).map(|()| pass)
        };
        let passes = [enter(ONE).unwrap(), enter(ONE).unwrap()];
        assert_eq!(enter(ONE).unwrap_err(), RefusalReason::ClientConnections);
        assert!(enter(OTHER).is_ok());
        drop(passes);
        assert!(enter(ONE).is_ok());
        assert!(gate.clients.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert_eq!(gate.open.load(Relaxed), 0);
    }

    #[test]
    fn handshakes_are_limited_per_client_and_a_new_limit_counts_at_once() {
        let gate = Gate::default();
        // The third may come half a second later; a machine that is held up for longer gives it back.
        let taken = (0..100).filter(|_| gate.handshake(&limits(), ONE).is_ok()).count();
        assert!((2..100).contains(&taken), "{taken}");
        assert!(gate.handshake(&limits(), OTHER).is_ok());
        let off = Limits { handshakes_per_client: None, ..limits() };
        assert!((0..100).all(|_| gate.handshake(&off, ONE).is_ok()));
        let more = Limits { handshakes_per_client: Some(50), ..limits() };
        assert!((0..50).all(|_| gate.handshake(&more, ONE).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn short_memory_lets_nobody_in_until_there_is_more() {
        let gate = Arc::new(Gate::default());
        let limit = Arc::new(Mutex::new(MemoryLimit::Bytes(1)));
        let shared = Arc::clone(&limit);
        let watching = tokio::spawn(Gate::watch_memory(Arc::downgrade(&gate), move || *shared.lock().unwrap()));
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!(gate.enter(&limits()).unwrap_err(), RefusalReason::Memory);
        *limit.lock().unwrap() = MemoryLimit::Off;
        tokio::time::sleep(LOOK * 2).await;
        assert!(gate.enter(&limits()).is_ok());
        drop(gate);
        watching.await.unwrap();
    }
}
