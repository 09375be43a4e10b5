//! What active health checks have found at an endpoint.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Checks in a row that ended alike, and what follows from them. An endpoint that was not checked yet is well: its cluster says so.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    in_a_row: AtomicU32,
    last_failed: AtomicBool,
    unhealthy: AtomicBool,
}

impl Checked {
    /// Whether so many checks have failed that the endpoint gets nothing.
    pub(crate) fn unhealthy(&self) -> bool {
        self.unhealthy.load(Relaxed)
    }

    /// Notes a check. `thresholds`: how many must fail in a row, and how many pass. Whether that turned anything.
    pub(crate) fn note(&self, passed: bool, thresholds: (u32, u32)) -> bool {
        let same = self.last_failed.swap(!passed, Relaxed) != passed;
        let count = if same { self.in_a_row.load(Relaxed).saturating_add(1) } else { 1 };
        self.in_a_row.store(count, Relaxed);
        let enough = count >= if passed { thresholds.1 } else { thresholds.0 };
        enough && self.unhealthy.swap(!passed, Relaxed) == passed
    }

    /// Forgets all of it: nobody checks any more. Whether that turned anything.
    pub(crate) fn forget(&self) -> bool {
        self.in_a_row.store(0, Relaxed);
        self.unhealthy.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_so_many_in_a_row_each_way() {
        let checked = Checked::default();
        let turned: Vec<bool> = [false, false, true, false, false, false, false, true, false, true, true, true]
            .map(|passed| checked.note(passed, (3, 2)))
            .to_vec();
        let at: Vec<usize> = turned.iter().enumerate().filter(|(_, turned)| **turned).map(|(n, _)| n).collect();
        assert_eq!(at, [5, 10], "three failures in a row, then two that pass");
        assert!(!checked.unhealthy());
        assert!(!checked.forget());
    }
}
