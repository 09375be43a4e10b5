//! On whom a test runs, and where: each kind of servers in turn, each in a process and a network of its own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use causeway_test_apiserver::{ASSETS, KUBECONFIGS, Kind};

use crate::network;

/// Says in a process of a test's own which kind it is for.
const KIND: &str = "CAUSEWAY_TEST_KIND";

/// Runs a scenario on every kind of servers that can be had. `test` is the calling test's name with its module's.
pub(crate) fn everywhere<F: Future<Output = ()>>(test: &str, scenario: impl Fn(Kind) -> F) {
    on(&Kind::all(), test, scenario);
}

/// As [`everywhere`], but not on clusters that are only given: nobody stops or torments those.
pub(crate) fn where_servers_are_ours<F: Future<Output = ()>>(test: &str, scenario: impl Fn(Kind) -> F) {
    let (given, ours): (Vec<_>, Vec<_>) = Kind::all().into_iter().partition(|kind| matches!(kind, Kind::Given(_)));
    on(&ours, test, scenario);
    if !given.is_empty() {
        println!("NOT RUN on given: {test} would harm clusters that are somebody else's");
    }
}

fn on<F: Future<Output = ()>>(kinds: &[Kind], test: &str, scenario: impl Fn(Kind) -> F) {
    if let Ok(name) = std::env::var(KIND) {
        let kind = kinds.iter().find(|kind| kind.name() == name).unwrap().clone();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(scenario(kind));
        return;
    }
    for kind in kinds {
        let program = std::env::current_exe().unwrap();
        // Those that are given live outside of any network of ours.
        let mut command = if matches!(kind, Kind::Given(_)) { Command::new(program) } else { network::command(&program) };
        let status = command.args([test, "--exact", "--nocapture"]).env(KIND, kind.name()).status().unwrap();
        assert!(status.success(), "{test} failed on {}: {status}", kind.name());
        note(kind.name(), test);
    }
    for (name, variable) in [("envtest", ASSETS), ("given", KUBECONFIGS)] {
        if std::env::var_os(variable).is_none() {
            println!("NOT RUN on {name}: {variable} is not set");
        }
    }
}

/// For the summary at the end of `make test`.
fn note(kind: &str, test: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers");
    std::fs::create_dir_all(&folder).unwrap();
    let mut file = File::options().create(true).append(true).open(folder.join(kind)).unwrap();
    writeln!(file, "{test}").unwrap();
}
