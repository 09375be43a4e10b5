//! One program for all targets; `FUZZ_TARGET` says which one it is. `make fuzz` builds and runs it.
#![no_main]

use std::sync::LazyLock;

use causeway::fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let names = TARGETS.map(|(known, _)| known).join(", ");
    found.unwrap_or_else(|| panic!("FUZZ_TARGET is none of {names}")).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
