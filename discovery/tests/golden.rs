//! Manifests in, a cluster's state out: every `golden/NAME.in.yaml` is read as a folder of one file, and what comes out is
//! compared with `golden/NAME.out.yaml`. `UPDATE=1` writes the latter anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use causeway_core::cluster::ClusterState;
use serde::Serialize;

/// A state and a summary of the Secrets: their contents must stand in no file.
#[derive(Serialize)]
struct Dump {
    state: ClusterState,
    secrets: BTreeMap<String, String>,
}

#[test]
fn manifests_become_the_states_that_the_golden_files_show() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE").is_some();
    let mut cases: Vec<_> = fs::read_dir(&golden)
        .expect("the golden folder is part of the repository")
        .map(|entry| entry.expect("a folder that was opened can be listed").path())
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut different = Vec::new();
    for case in cases {
        let found = dump(&fs::read(&case).expect("golden inputs are readable"));
        let expected = case.to_string_lossy().replace(".in.yaml", ".out.yaml");
        if update {
            fs::write(&expected, &found).expect("golden outputs are writable");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            different.push(format!("{expected}; found:\n{found}"));
        }
    }
    assert!(different.is_empty(), "UPDATE=1 accepts the differences in: {}", different.join("\n"));
}

fn dump(manifests: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("the system gives a temporary folder");
    fs::write(folder.path().join("in.yaml"), manifests).expect("a new folder is writable");
    let cluster = "lab".parse().expect("a label is a cluster name");
    let (state, secrets) = causeway_discovery::load(&cluster, folder.path());
    let secrets = secrets.iter().map(|(name, secret)| {
        let pair = match secret.certificate_pair() {
            Ok(pair) => format!("a chain of {} bytes and a key", pair.certificate.expose().len()),
            Err(error) => error.to_string(),
        };
        (name.to_string(), format!("{}: {pair}", secret.kind))
    });
    serde_yaml::to_string(&Dump { state, secrets: secrets.collect() }).expect("a state is plain data")
}
