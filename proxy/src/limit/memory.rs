//! The memory watermark: how much of what the process may use is in use.

use std::fs;

use causeway_config::MemoryLimit;

/// What of a control group's limit may be in use before new connections are refused.
const AUTO: f64 = 0.85;

/// The watermark in bytes, if there is one.
pub(super) fn watermark(limit: MemoryLimit) -> Option<u64> {
    match limit {
        MemoryLimit::Off => None,
        MemoryLimit::Bytes(bytes) => Some(bytes),
        MemoryLimit::Auto => {
            // In a container's own namespace the group's files are at the root (cgroups(7), version 2, then version 1).
            let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
            auto(files.iter().find_map(|file| fs::read_to_string(file).ok())?.trim())
        }
    }
}

fn auto(limit: &str) -> Option<u64> {
    // Version 1 says "none" by a number near the largest one.
    let bytes = limit.parse::<u64>().ok().filter(|bytes| *bytes < 1 << 60)?;
    Some((bytes as f64 * AUTO) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_lies_below_the_groups_limit_where_it_has_one() {
        assert_eq!(auto("1000000000"), Some(850_000_000));
        assert_eq!(auto("max"), None);
        assert_eq!(auto("9223372036854771712"), None);
        assert_eq!(watermark(MemoryLimit::Bytes(7)), Some(7));
        assert_eq!(watermark(MemoryLimit::Off), None);
    }
}
