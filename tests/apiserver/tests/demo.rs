//! `causeway demo --kube` as people run it: three API servers of this crate's program, three edges, kubectl where there is one.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

/// The binary, which is built beside this crate's program whenever the whole workspace is.
fn causeway() -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_causeway-test-apiserver")).with_file_name("causeway");
    assert!(program.exists(), "{} is missing: run `cargo build --bin causeway` first", program.display());
    let mut command = Command::new(program);
    command.args(["demo", "--kube", "--once"]).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn row<'a>(output: &'a str, beginning: &str) -> Vec<Vec<&'a str>> {
    let rows = output.lines().filter_map(|line| line.trim_start().strip_prefix(beginning));
    rows.map(|row| row.split("ms").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}

#[test]
fn an_ingress_applied_in_one_cluster_is_served_by_all_three_edges() {
    let output = causeway().output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    // On a busy machine times are shown, and not judged.
    assert_eq!(out.matches("   ok ").count() + out.matches("   not judged: all edges follow").count(), 9, "{out}");
    // The tool's own time, and each edge's.
    for what in ["applied", "deleted"] {
        let rows = row(&out, what);
        assert_eq!(rows.len(), 3, "{out}");
        assert!(rows.iter().all(|row| row.len() == 4 && row.iter().all(|cell| cell.parse::<u32>().is_ok())), "{rows:?}");
    }
    for server in ["servers  aws 127.0.0.1:", "pods     aws", "on 10.64.1.*"] {
        assert!(out.contains(server), "{server} in\n{out}");
    }
}
