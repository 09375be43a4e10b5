//! Parsing the configuration.

use std::path::Path;

use causeway_benches::configuration;
use divan::Bencher;

/// `hosts`: how many hosts have a policy.
#[divan::bench(args = [0, 1000])]
fn parse(bencher: Bencher<'_, '_>, hosts: usize) {
    let text = match hosts {
        0 => "clusters: {home: {}}".to_owned(),
        _ => configuration(hosts),
    };
    bencher.bench_local(|| causeway_config::parse(text.as_bytes(), Path::new("fleet.yaml")).expect("generated text is valid"));
}
