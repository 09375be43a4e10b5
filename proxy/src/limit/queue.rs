//! How many requests a pool is given at a time, and the short queue before it.
//!
//! The count is the pool's own, which its cells keep anyway; a queue exists only while somebody waits in it, so that a request
//! to a pool that has room costs a sum of a few numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_config::Concurrency;
use causeway_core::pool::{Pool, PoolKey};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The queues of all pools.
#[derive(Debug, Default)]
pub struct Queues {
    waiting: AtomicU32,
    pools: Mutex<HashMap<PoolKey, Queue>>,
}

#[derive(Debug)]
struct Queue {
    /// Nobody ever takes a permit out of turn: one is added for each request that ends.
    bell: Arc<Semaphore>,
    waiting: u32,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is its turn.
    Now,
    /// The queue is full, or the wait was too long.
    Never,
}

impl Queues {
    /// Waits until the pool has room.
    pub async fn turn(&self, pool: &Pool, limits: Concurrency) -> Turn {
        let Some(most) = limits.requests else { return Turn::Now };
        if pool.in_flight() < most {
            return Turn::Now;
        }
        let Some(place) = self.place(&pool.spec.key, limits.pending) else { return Turn::Never };
        let deadline = Instant::now() + limits.pending_timeout;
        while pool.in_flight() >= most {
            match tokio::time::timeout_at(deadline, place.bell.acquire()).await {
                Ok(Ok(permit)) => permit.forget(),
                Ok(Err(_)) | Err(_) => return Turn::Never,
            }
        }
        Turn::Now
    }

    /// Tells that a request to a pool has ended.
    pub fn ended(&self, key: &PoolKey) {
        if self.waiting.load(Relaxed) > 0
            && let Some(queue) = self.pools().get(key)
        {
            queue.bell.add_permits(1);
        }
    }

    /// Whether nobody waits anywhere.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Relaxed) == 0
    }

    fn place(&self, key: &PoolKey, most: u32) -> Option<Place<'_>> {
        let mut pools = self.pools();
        let queue = pools.entry(key.clone()).or_insert_with(|| Queue { bell: Arc::new(Semaphore::new(0)), waiting: 0 });
        if queue.waiting >= most {
            if queue.waiting == 0 {
                pools.remove(key);
            }
            return None;
        }
        queue.waiting += 1;
        self.waiting.fetch_add(1, Relaxed);
        Some(Place { queues: self, key: key.clone(), bell: Arc::clone(&queue.bell) })
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<PoolKey, Queue>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rings for who waits for a pool, when a request to it has ended: drop it after all that counts the request as in flight.
#[derive(Debug)]
pub struct Ended {
    queues: Arc<Queues>,
    pool: PoolKey,
}

impl Ended {
    /// For a request to this pool.
    pub fn of(queues: Arc<Queues>, pool: PoolKey) -> Self {
        Self { queues, pool }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.queues.ended(&self.pool);
    }
}

/// A place in a queue. Dropping it leaves the queue.
struct Place<'a> {
    queues: &'a Queues,
    key: PoolKey,
    bell: Arc<Semaphore>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queues.waiting.fetch_sub(1, Relaxed);
        let mut pools = self.queues.pools();
        if let Some(queue) = pools.get_mut(&self.key) {
            queue.waiting -= 1;
            if queue.waiting == 0 {
                pools.remove(&self.key);
            }
        }
    }
}
