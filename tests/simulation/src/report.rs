//! What came of a run: second by second, and what must hold of it.

use std::fmt::Write;

use causeway_core::cell::HOLD_DOWN;

use crate::clouds::CLOUDS;

/// Clients count a request as failed that takes longer, in seconds.
const PATIENCE: f64 = 3.0;

/// A change of a share that is smaller than this is no change of direction.
const RIPPLE: f64 = 0.1;

/// One second of one edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Second {
    /// Requests that came in it, by the cluster that served them.
    pub(crate) served: [u32; 3],
    /// Requests that came in it, and failed or took too long.
    pub(crate) failed: u32,
    /// Tries that were made in it, by cluster.
    pub(crate) tries: [u32; 3],
    /// How long those that came in it took.
    pub(crate) took: Vec<f32>,
}

/// The shares of one tick, by client and cluster.
type Shares = [[f64; 3]; 3];

/// What came of a run: by edge.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: [Vec<Second>; 3],
    pub(crate) shares: [Vec<(f64, Shares)>; 3],
    /// Endpoints that owed answers for too long, added up over all ticks.
    pub(crate) silent: [usize; 3],
}

impl Report {
    pub(crate) fn new(seed: u64, seconds: usize) -> Self {
        Self { seed, seconds: [(); 3].map(|()| vec![Second::default(); seconds]), shares: Default::default(), silent: [0; 3] }
    }

    pub(crate) fn done(&mut self, edge: usize, begun: f64, took: f64, served_by: Option<usize>) {
        let second = &mut self.seconds[edge][begun as usize];
        match served_by {
            Some(cluster) if took <= PATIENCE => second.served[cluster] += 1,
            _ => second.failed += 1,
        }
        second.took.push(took as f32);
    }

    fn during(&self, from: f64, to: f64) -> impl Iterator<Item = &Second> {
        self.seconds.iter().flat_map(move |edge| &edge[from as usize..to as usize])
    }

    /// The part of the requests of this time that failed or took too long.
    pub(crate) fn failed(&self, from: f64, to: f64) -> f64 {
        let failed: u32 = self.during(from, to).map(|second| second.failed).sum();
        let all: usize = self.during(from, to).map(|second| second.took.len()).sum();
        f64::from(failed) / all as f64
    }

    /// Of the requests of this time, how long 99 in 100 took at most.
    pub(crate) fn p99(&self, from: f64, to: f64) -> f64 {
        let mut took: Vec<f32> = self.during(from, to).flat_map(|second| second.took.iter().copied()).collect();
        took.sort_by(f32::total_cmp);
        f64::from(took[took.len() - 1 - took.len() / 100])
    }

    /// Tries that one edge made at a cluster.
    pub(crate) fn tries(&self, edge: usize, cluster: usize, from: f64, to: f64) -> u32 {
        self.seconds[edge][from as usize..to as usize].iter().map(|second| second.tries[cluster]).sum()
    }

    /// Requests that a cluster served for one edge.
    pub(crate) fn served(&self, edge: usize, cluster: usize, from: f64, to: f64) -> u32 {
        self.seconds[edge][from as usize..to as usize].iter().map(|second| second.served[cluster]).sum()
    }

    /// The share of a cluster at some moment.
    pub(crate) fn share(&self, edge: usize, client: usize, cluster: usize, at: f64) -> f64 {
        let (_, shares) = self.shares[edge].iter().rfind(|(time, _)| *time <= at).expect("it has begun");
        shares[client][cluster]
    }

    /// The smallest share that a cluster ever had of the clients near it.
    pub(crate) fn least_share(&self, edge: usize, cluster: usize) -> f64 {
        self.shares[edge].iter().map(|(_, shares)| shares[cluster][cluster]).fold(1.0, f64::min)
    }

    /// All tries of an edge, and for how many requests.
    pub(crate) fn all_tries(&self, edge: usize) -> (usize, usize) {
        let seconds = &self.seconds[edge];
        let tries: u32 = seconds.iter().flat_map(|second| second.tries).sum();
        (tries as usize, seconds.iter().map(|second| second.took.len()).sum())
    }

    /// No share changes its direction twice within a hold-down, whatever happens: traffic does not swing to and fro.
    pub(crate) fn assert_steady(&self) {
        let rows = (0..3).flat_map(|edge| (0..3).flat_map(move |client| (0..3).map(move |cluster| (edge, client, cluster))));
        for (edge, client, cluster) in rows {
            let mut turns = Turns::default();
            for (time, shares) in &self.shares[edge] {
                let since_last = turns.see(*time, shares[client][cluster]);
                assert!(
                    since_last.is_none_or(|since| since >= HOLD_DOWN.as_secs_f64() - 0.15),
                    "seed {}: at {time:.1} s the share of {} for clients near {} at the edge in {} turns {:.1} s after it turned last\n{self}",
                    self.seed,
                    CLOUDS[cluster],
                    CLOUDS[client],
                    CLOUDS[edge],
                    since_last.unwrap_or_default(),
                );
            }
        }
    }

    /// A cluster that comes back takes its clients over by and by.
    pub(crate) fn assert_ramps(&self, edge: usize, cluster: usize, healed: f64) {
        let after = || self.shares[edge].iter().filter(|(time, _)| *time >= healed).map(|(time, s)| (*time, s[cluster][cluster]));
        let context = |what: &str| format!("seed {}: {what}, edge {}\n{self}", self.seed, CLOUDS[edge]);
        // A probe that was on its way as it healed can fail yet.
        let gone = after().filter(|(_, share)| *share <= 0.0).map(|(time, _)| time).next_back().unwrap_or(healed);
        let back = after().find(|(time, share)| *time > gone && *share > 0.0);
        let (first, begins) = back.unwrap_or_else(|| panic!("{}", context("it never returns")));
        assert!(begins <= 0.2, "{}", context("it returns all at once"));
        assert!(first - healed <= 13.0, "{}", context("it is found out too late"));
        let mut before = 0.0;
        for (_, share) in after().filter(|(time, _)| *time >= first) {
            assert!(share >= before - 0.01, "{}", context("it falls back"));
            before = share;
        }
        assert!(before > 0.99, "{}", context("it does not get everything back"));
    }
}

/// The turning points of a series.
#[derive(Debug, Default)]
struct Turns {
    extreme: f64,
    up: Option<bool>,
    last: Option<f64>,
    begun: bool,
}

impl Turns {
    /// The time since the last turn, if this is one.
    fn see(&mut self, time: f64, value: f64) -> Option<f64> {
        if !self.begun {
            (self.begun, self.extreme) = (true, value);
        }
        let moved = value - self.extreme;
        let up = match self.up {
            Some(up) if (moved > 0.0) == up => {
                self.extreme = value;
                return None;
            }
            _ if moved.abs() < RIPPLE => return None,
            _ => moved > 0.0,
        };
        let turned = self.up.is_some();
        (self.up, self.extreme) = (Some(up), value);
        let since = if turned { self.last.map(|last| time - last) } else { None };
        self.last = Some(time);
        since
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::from("second");
        for edge in CLOUDS {
            write!(text, "  | {:<42}", format!("edge in {edge}: aws/azure/google failed p99"))?;
        }
        writeln!(f, "{text}")?;
        for second in 0..self.seconds[0].len() {
            let mut line = format!("{second:>6}");
            for edge in &self.seconds {
                let Second { served: [a, b, c], failed, took, .. } = &edge[second];
                let mut took = took.clone();
                took.sort_by(f32::total_cmp);
                let p99 = took.get(took.len().saturating_sub(1 + took.len() / 100)).copied().unwrap_or_default();
                write!(line, "  | {a:>5}/{b:>5}/{c:>5} {failed:>8} {:>8.0} ms   ", p99 * 1000.0)?;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
