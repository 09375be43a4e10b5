//! Waits until a burst of news is over, but not for ever.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a burst of changes is waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A burst is over when nothing changed for this long.
    pub quiet: Duration,
    /// No change waits longer than this, however long the burst; and bursts do not end more often than this, however short
    /// the quiet between them.
    pub ceiling: Duration,
}

/// Together with what a source gathers (0.15 s) and a compilation takes, half a second from a change to its effect.
impl Default for Timing {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(50), ceiling: Duration::from_millis(200) }
    }
}

/// A burst that is being waited out. It keeps its place when the wait is cancelled.
#[derive(Debug)]
pub(crate) struct Debounce {
    timing: Timing,
    /// When the burst began, and when it was last added to.
    burst: Option<(Instant, Instant)>,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Debounce {
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, burst: None, ended: None }
    }

    /// Returns once `bell` rang and then fell silent, or once it rang for as long as the ceiling. Safe to cancel: the next
    /// call goes on where this one stopped.
    pub(crate) async fn settled(&mut self, bell: &Notify) {
        loop {
            let Some((began, last)) = self.burst else {
                bell.notified().await;
                let now = Instant::now();
                self.burst = Some((now, now));
                continue;
            };
            let over = (last + self.timing.quiet).min(began + self.timing.ceiling);
            let due = self.ended.map_or(over, |ended| over.max(ended + self.timing.ceiling));
            tokio::select! {
                // The clock first: a bell that never stops must not get past the ceiling.
                biased;
                () = tokio::time::sleep_until(due) => break,
                () = bell.notified() => self.burst = Some((began, Instant::now())),
            }
        }
        self.burst = None;
        self.ended = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const TIMING: Timing = Timing { quiet: Duration::from_millis(50), ceiling: Duration::from_millis(500) };

    /// Rings every `every` for `times` times, and says how long the first wait took.
    async fn wait(every: Duration, times: u32) -> Duration {
        let bell = Arc::new(Notify::new());
        let began = Instant::now();
        let ringer = tokio::spawn({
            let bell = bell.clone();
            async move {
                for _ in 0..times {
                    bell.notify_one();
                    tokio::time::sleep(every).await;
                }
            }
        });
        Debounce::new(TIMING).settled(&bell).await;
        ringer.abort();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_waits_for_the_quiet_time() {
        assert_eq!(wait(Duration::from_secs(9), 1).await, TIMING.quiet);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_waited_out() {
        assert_eq!(wait(Duration::from_millis(40), 3).await, Duration::from_millis(80 + 50));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_burst_is_cut_at_the_ceiling() {
        assert_eq!(wait(Duration::from_millis(10), 10_000).await, TIMING.ceiling);
    }

    #[tokio::test(start_paused = true)]
    async fn bursts_end_no_more_often_than_the_ceiling() {
        let bell = Notify::new();
        let mut debounce = Debounce::new(TIMING);
        bell.notify_one();
        debounce.settled(&bell).await;
        let ended = Instant::now();
        bell.notify_one();
        debounce.settled(&bell).await;
        assert_eq!(ended.elapsed(), TIMING.ceiling);
        tokio::time::sleep(TIMING.ceiling).await;
        let calm = Instant::now();
        bell.notify_one();
        debounce.settled(&bell).await;
        assert_eq!(calm.elapsed(), TIMING.quiet, "after a calm nothing waits longer than it must");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_goes_on_where_it_stopped() {
        let bell = Notify::new();
        let mut debounce = Debounce::new(TIMING);
        bell.notify_one();
        let began = Instant::now();
        let cancelled = tokio::time::timeout(Duration::from_millis(30), debounce.settled(&bell)).await;
        assert!(cancelled.is_err());
        debounce.settled(&bell).await;
        assert_eq!(began.elapsed(), TIMING.quiet);
    }
}
