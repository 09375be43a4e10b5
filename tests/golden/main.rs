//! The whole pure pipeline by example: a configuration and Kubernetes YAML in; routes, pools, decisions, wanted Secrets and
//! diagnostics out.
//!
//! ```text
//! cases/NAME.in.yaml --case--> Config, a folder a cluster --discovery::load--> ClusterState --compile, tick--> Snapshot
//!                                                       cases/NAME.out.yaml <--outcome--
//! ```
//!
//! Each case shows one rule, which its first lines state. `UPDATE=1 cargo test -p causeway-tests --test golden` writes the
//! outputs anew: then read the difference, since this test only knows that something changed.

mod case;
mod outcome;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const INPUT: &str = ".in.yaml";
const OUTPUT: &str = ".out.yaml";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/cases")
}

/// The names of the cases that have a file ending in `suffix`.
fn cases(suffix: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the cases are part of the repository");
    let names = entries.map(|entry| entry.expect("an open folder can be listed").file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect()
}

#[test]
fn every_case_comes_out_as_its_file_shows() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = Vec::new();
    for name in cases(INPUT) {
        let input = fs::read_to_string(folder().join(format!("{name}{INPUT}"))).expect("inputs are UTF-8");
        let found = outcome::render(&case::Case::read(&name, &input));
        let output = folder().join(format!("{name}{OUTPUT}"));
        if update {
            fs::write(&output, &found).expect("outputs are writable");
        } else if fs::read_to_string(&output).unwrap_or_default() != found {
            different.push(format!("{}; found:\n{found}", output.display()));
        }
    }
    assert!(different.is_empty(), "UPDATE=1 accepts the differences in: {}", different.join("\n"));
}

#[test]
fn no_output_is_left_of_a_case_that_went() {
    let orphans: Vec<_> = cases(OUTPUT).difference(&cases(INPUT)).cloned().collect();
    assert!(orphans.is_empty(), "delete the outputs of {orphans:?}");
}

#[test]
fn every_case_begins_with_the_rule_that_it_shows() {
    for name in cases(INPUT) {
        let input = fs::read_to_string(folder().join(format!("{name}{INPUT}"))).expect("inputs are UTF-8");
        let first = input.lines().next().unwrap_or_default();
        let means_something = ["# home: ", "# request: ", "# cluster: "].iter().any(|prefix| first.starts_with(prefix));
        assert!(first.starts_with("# ") && first.len() > 20 && !means_something, "{name}: say the rule in the first line");
    }
}
