//! Pieces of a body on their way to a backend.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

/// The pieces of one body that were handed on.
#[derive(Debug)]
pub(in crate::service) struct Pieces(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    /// How many are out: handed on, and not taken yet.
    out: usize,
    /// When one was taken last, or handed on while none was out.
    moved: Instant,
}

impl Default for Pieces {
    fn default() -> Self {
        Self(Mutex::new(State { out: 0, moved: Instant::now() }))
    }
}

impl Pieces {
    /// A piece in a shell that tells when nobody needs it any more.
    pub(super) fn hand(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        self.change(|state| {
            if state.out == 0 {
                state.moved = Instant::now();
            }
            state.out += 1;
        });
        Bytes::from_owner(Piece { bytes, of: Arc::clone(self) })
    }

    /// Whether any is out, and since when nothing has moved.
    pub(super) fn moved(&self) -> (bool, Instant) {
        let state = self.change(|state| *state);
        (state.out > 0, state.moved)
    }

    /// Returns when some have been out for `patience`, and none was taken.
    pub(in crate::service) async fn stuck(self: Arc<Self>, patience: Duration) {
        loop {
            match self.moved() {
                (true, since) if since + patience <= Instant::now() => return,
                (true, since) => sleep_until(since + patience).await,
                // What is handed on meanwhile has its time still.
                (false, _) => sleep(patience).await,
            }
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Piece {
    bytes: Bytes,
    of: Arc<Pieces>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.of.change(|state| (state.out, state.moved) = (state.out - 1, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_piece_is_out_until_its_last_part_is_dropped() {
        let pieces = Arc::new(Pieces::default());
        let mut whole = pieces.hand(Bytes::from_static(b"hello world"));
        let part = whole.split_to(5);
        assert_eq!((&part[..], &whole[..]), (&b"hello"[..], &b" world"[..]));
        drop(part);
        assert!(pieces.moved().0);
        drop(whole);
        assert!(!pieces.moved().0);
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_is_what_was_not_taken_for_so_long_whatever_was_handed_on_meanwhile() {
        let pieces = Arc::new(Pieces::default());
        let began = Instant::now();
        let stuck = tokio::spawn(Arc::clone(&pieces).stuck(PATIENCE));
        let mut out = Vec::new();
        for second in 0..12_u64 {
            out.push(pieces.hand(Bytes::from_static(b"x")));
            if second == 5 {
                out.remove(0);
            }
            sleep(Duration::from_secs(1)).await;
        }
        stuck.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 15, "ten seconds after the last was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_stuck_where_nothing_is_out() {
        let pieces = Arc::new(Pieces::default());
        drop(pieces.hand(Bytes::from_static(b"x")));
        assert!(tokio::time::timeout(PATIENCE * 10, pieces.stuck(PATIENCE)).await.is_err());
    }
}
