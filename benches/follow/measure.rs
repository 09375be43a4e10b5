//! What the system says of this process, and how old changes are when they are seen.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::machine;
use crate::servers::MARK_EVERY;

/// Resident memory in MiB.
pub(crate) fn memory() -> anyhow::Result<f64> {
    of_status("VmRSS:")
}

/// The most that resident memory ever was, in MiB.
pub(crate) fn peak() -> anyhow::Result<f64> {
    of_status("VmHWM:")
}

fn of_status(field: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = machine(text.lines().find_map(|line| line.strip_prefix(field)))?;
    Ok(machine(line.split_whitespace().next())?.parse::<f64>()? / 1024.0)
}

/// Processor time of all threads, user and system. The kernel counts it in hundredths of a second (proc(5), `utime`).
pub(crate) fn cpu() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name, and may hold anything.
    let (_, rest) = machine(text.rsplit_once(')'))?;
    let ticks: Vec<u64> = rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

/// Ages of changes when they were published.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    newest: Option<Duration>,
    all: Vec<Duration>,
}

impl Latencies {
    /// A state was published that holds the change made at `newest`. All marks since the one before were first seen with it.
    pub(crate) fn take(&mut self, newest: Option<Duration>) {
        let now = crate::servers::now();
        let Some(newest) = newest.filter(|newest| self.newest.is_none_or(|before| before < *newest)) else { return };
        let mut mark = self.newest.map_or(newest, |before| before + MARK_EVERY);
        while mark <= newest {
            self.all.push(now.saturating_sub(mark));
            mark += MARK_EVERY;
        }
        self.newest = Some(newest);
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.all.clone();
        all.sort();
        let at = |part: f64| all.get(((all.len().saturating_sub(1)) as f64 * part) as usize).map_or(0, Duration::as_millis);
        write!(f, "{:>8} ms median, {} ms p99, {} ms at most, of {} marks", at(0.5), at(0.99), at(1.0), all.len())
    }
}
