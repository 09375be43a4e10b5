//! Waiting for others, fairly: what this process was late itself is not held against them.
//!
//! A process that gets no processor for a while finds its timers run out before it has read what came meanwhile. So who wakes late looks
//! once more; and where few wait, time is counted in pieces, of which each counts for no more than it was meant to last.

use std::sync::Arc;
use std::time::Duration;

use causeway_core::pulse;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::shared::Shared;

/// The pieces, and by how much one may be late before that means something.
const PIECE: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(50);

/// Waits for `time`, and a little longer where that ended late.
pub(crate) async fn rest(time: Duration) {
    let due = Instant::now() + time;
    sleep_until(due).await;
    if due.elapsed() > LATE {
        sleep_until(Instant::now() + PIECE).await;
    }
}

/// What comes within `limit`, as this process has lived it.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    let over = async {
        let mut left = limit;
        while !left.is_zero() {
            let piece = left.min(PIECE);
            rest(piece).await;
            left -= piece;
        }
    };
    tokio::select! {
        biased;
        came = what => Some(came),
        () = over => None,
    }
}

/// Beats for the threads that serve requests, on which it has to run.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let pulse = Arc::clone(&shared.snapshot.load().pulse);
    let mut beats = tokio::time::interval(pulse::PERIOD);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        pulse.beat(shared.clock.now());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::oneshot;
    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_answers_nothing_is_waited_for_as_long_as_was_said() {
        let begun = Instant::now();
        assert!(within(LIMIT, std::future::pending::<()>()).await.is_none());
        assert_eq!(begun.elapsed().as_millis(), 1000);
    }

    /// As if the process had stood still, and the answer lain in the socket meanwhile: it takes some turns to be read.
    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_process_stood_still_is_read_before_time_is_up() {
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn(within(LIMIT, answered));
        tokio::task::yield_now().await;
        advance(LIMIT * 3).await;
        tokio::spawn(async move {
            tokio::time::sleep(PIECE / 2).await;
            answer.send("here").unwrap();
        });
        assert_eq!(waiting.await.unwrap(), Some(Ok("here")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_wakes_late_looks_once_more() {
        let begun = Instant::now();
        let waiting = tokio::spawn(rest(PIECE));
        tokio::task::yield_now().await;
        advance(LIMIT).await;
        waiting.await.unwrap();
        assert_eq!(begun.elapsed().as_millis(), (LIMIT + PIECE).as_millis());
    }
}
