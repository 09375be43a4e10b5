//! A folder of Kubernetes YAML as a cluster: for laboratories, demonstrations and tests, and for `causeway explain`.
//!
//! ```text
//! folder --files::scan--> [File] --split--> documents --read--> Contents --assemble--> Store --> ClusterState
//!                                                                  ^   |
//!                                                                  +---+ what a broken document gave before
//! ```
//!
//! Only `files` and `watch` touch the world; the rest is a function of bytes and of what the same files gave before.

mod files;
mod read;
mod split;
mod watch;

use std::path::Path;

use causeway_config::ClusterId;
use causeway_core::cluster::ClusterState;
use causeway_core::diagnostics::Diagnostic;
use zeroize::Zeroizing;

pub use watch::ManifestSource;

use crate::report::Report;
use crate::store::Secrets;
use read::Contents;

/// Reads a folder once: its state, and all its Secrets.
///
/// A folder that cannot be read is a cluster that never synced, with a diagnostic.
pub fn load(cluster: &ClusterId, folder: &Path) -> (ClusterState, Secrets) {
    match files::scan(folder) {
        Ok(scan) => Contents::default().next(cluster, scan).assemble(cluster),
        Err(fault) => {
            let diagnostics = unreadable(cluster, folder, &fault).into();
            (ClusterState { diagnostics, ..ClusterState::syncing(cluster.clone()) }, Secrets::new())
        }
    }
}

/// Reads one file that is in memory: what [`load`] would say of a folder that holds it alone.
pub fn read(cluster: &ClusterId, path: &Path, bytes: &[u8]) -> (ClusterState, Secrets) {
    let file = files::File { path: path.to_owned(), content: Ok(Zeroizing::new(bytes.to_vec())) };
    let scan = files::Scan { files: vec![file], ..files::Scan::default() };
    Contents::default().next(cluster, scan).assemble(cluster)
}

/// The whole folder is not there, or may not be read.
fn unreadable(cluster: &ClusterId, folder: &Path, fault: &std::io::Error) -> Vec<Diagnostic> {
    let mut report = Report::new(cluster, format_args!("the folder {}", folder.display()));
    report.error(
        "",
        format_args!("cannot be read: {fault}"),
        "create it, or correct `manifests` of this cluster in the configuration; it is watched for",
    );
    report.into_diagnostics()
}
