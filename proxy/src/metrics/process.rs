//! What the process costs, under the names that every Prometheus client library gives it.
//!
//! Read from `/proc` at each scrape (proc(5)); where there is none, as on a developer's Mac, these are left out.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture that the standard library
/// supports on Linux, whatever the kernel's own tick is.
const USER_HZ: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "When the process started, in seconds since 1970.";
        encoder.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?.encode_gauge(&started)?;
        if let Some(seconds) = cpu_seconds() {
            encoder
                .encode_descriptor("process_cpu_seconds", "Processor time, user and system.", None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        }
        if let Some(bytes) = resident_bytes() {
            encoder
                .encode_descriptor("process_resident_memory_bytes", "Memory in use, in bytes.", None, MetricType::Gauge)?
                .encode_gauge(&bytes)?;
        }
        if let Ok(fds) = fs::read_dir("/proc/self/fd") {
            // Reading the folder takes a descriptor of its own.
            let open = fds.count().saturating_sub(1) as u64;
            encoder
                .encode_descriptor("process_open_fds", "Open file descriptors.", None, MetricType::Gauge)?
                .encode_gauge(&open)?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> Option<f64> {
    parse_cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some((user + system) / USER_HZ)
}

/// Memory in use; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    parse_resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_resident_bytes(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kilobytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_with_a_parenthesis() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 4 0 100 1 2 3";
        assert!((parse_cpu_seconds(stat).unwrap() - 3.0).abs() < f64::EPSILON);
        assert_eq!(parse_cpu_seconds("7 (short) S 1"), None);
    }

    #[test]
    fn resident_memory_is_told_in_bytes() {
        assert_eq!(parse_resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(parse_resident_bytes("Name:\tx\n"), None);
    }
}
