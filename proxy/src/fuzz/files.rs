//! Files: whatever is in one is taken or refused with a place, the same each time, and what is taken compiles.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use causeway_config::Config;
use causeway_core::cluster::Freshness;
use causeway_core::{ClusterState, Edge, Snapshot, compile};

pub(super) fn config(data: &[u8]) {
    let read = || causeway_config::parse(data, Path::new("causeway.yaml"));
    let lines = 1 + data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    match (read(), read()) {
        (Ok(one), Ok(other)) => assert_eq!(one.config, other.config),
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert!(!one.errors.is_empty());
            for fault in &one.errors {
                assert!((fault.line as usize) <= lines, "{fault:?} of {lines} lines");
                assert!(!fault.message.is_empty() && !fault.remedy.is_empty(), "{fault:?}");
            }
        }
        (one, other) => panic!("once {one:?}, once {other:?}"),
    }
}

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let text = b"clusters: {aws: {manifests: ./aws, podCIDRs: [10.0.0.0/8]}}\n";
    Arc::new(causeway_config::parse(text, Path::new("causeway.yaml")).expect("it is one").config)
});

pub(super) fn manifests(data: &[u8]) {
    let config = &*CONFIG;
    let home = &config.clusters[0].id;
    let (state, secrets) = causeway_discovery::read(home, Path::new("all.yaml"), data);
    let (again, _) = causeway_discovery::read(home, Path::new("all.yaml"), data);
    assert_eq!((&state.objects, &state.endpoints, &state.diagnostics), (&again.objects, &again.endpoints, &again.diagnostics));
    for secret in secrets.values() {
        // Whatever a pair is made of, asking for it is no panic.
        let _ = secret.certificate_pair();
    }
    let state = ClusterState { freshness: Freshness::Synced, ..state };
    let edge = Edge { home: home.clone(), listeners: Vec::new(), addresses: Vec::new() };
    let (snapshot, _) = compile(config, &edge, &[state], &[], &Snapshot::empty(Arc::clone(config)));
    for entry in snapshot.routes.hosts.iter() {
        assert!(!entry.pattern.to_string().is_empty());
    }
}
