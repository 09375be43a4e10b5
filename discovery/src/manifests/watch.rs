//! A folder followed: every change of it becomes a new state.

mod notifier;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_config::ClusterId;
use tokio::sync::Notify;

use super::files::{self, Scan};
use super::read::Contents;
use super::unreadable;
use crate::debounce::{Debounce, Timing};
use crate::source::{ClusterSource, Publisher};
use crate::store::Secrets;
use notifier::Notifier;

/// Writing a file takes several steps, and a file half written would say half of what it means.
const BURST: Timing = Timing { quiet: Duration::from_millis(50), ceiling: Duration::from_millis(500) };

/// How often the folder is read without any event: network file systems tell nothing of what others do.
const RESCAN: Duration = Duration::from_secs(10);

/// The same, where the system refuses to watch: out of watches, most often.
const RESCAN_UNWATCHED: Duration = Duration::from_secs(2);

/// A cluster that is a folder of Kubernetes YAML.
#[derive(Debug)]
pub struct ManifestSource {
    folder: PathBuf,
}

impl ManifestSource {
    /// Follows `folder`. It need not exist yet, and may go and come back.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        // Made absolute, so that its parent can be watched; fails for an empty path only, which no folder has.
        Self { folder: std::path::absolute(&folder).unwrap_or(folder) }
    }
}

#[async_trait]
impl ClusterSource for ManifestSource {
    async fn run(self: Box<Self>, mut publisher: Publisher) {
        let bell = Arc::new(Notify::new());
        let mut burst = Debounce::new(BURST);
        let mut follower = Follower {
            cluster: publisher.cluster().clone(),
            notifier: Notifier::new(self.folder.clone(), bell.clone()),
            folder: self.folder,
            contents: Contents::default(),
        };
        let mut secrets = Secrets::new();
        // Whether what was read last is what is published.
        let mut current = false;
        loop {
            let found;
            (follower, found) = read(follower).await;
            match found {
                // Thousands of objects are not put together anew only to find that none has changed.
                Ok(contents) if current && contents.is(&follower.contents) => {}
                Ok(contents) => {
                    follower.contents = contents;
                    current = true;
                    let (state, all) = follower.contents.assemble(&follower.cluster);
                    publisher.publish(state);
                    secrets = all;
                    publisher.publish_secrets(&secrets);
                }
                Err(fault) => {
                    current = false;
                    publisher.unavailable(unreadable(&follower.cluster, &follower.folder, &fault));
                }
            }
            let rescan = tokio::time::sleep(if follower.notifier.watches_all() { RESCAN } else { RESCAN_UNWATCHED });
            tokio::pin!(rescan);
            loop {
                tokio::select! {
                    () = burst.settled(&bell) => break,
                    () = &mut rescan => break,
                    () = publisher.wanted_changed() => publisher.publish_secrets(&secrets),
                }
            }
        }
    }
}

/// What is known of a folder from one reading to the next.
struct Follower {
    cluster: ClusterId,
    folder: PathBuf,
    notifier: Notifier,
    contents: Contents,
}

impl Follower {
    /// Watches first and reads afterwards, so that no change falls between the two.
    fn read(&mut self) -> io::Result<Contents> {
        let scan = loop {
            let scan = files::scan(&self.folder);
            let folders = scan.as_ref().map(|scan| scan.folders.clone()).unwrap_or_default();
            if !self.notifier.watch(folders) {
                break scan;
            }
        };
        scan.map(|scan: Scan| self.contents.next(&self.cluster, scan))
    }
}

/// Reads on a thread that may block.
async fn read(mut follower: Follower) -> (Follower, io::Result<Contents>) {
    let task = tokio::task::spawn_blocking(move || {
        let found = follower.read();
        (follower, found)
    });
    match task.await {
        Ok(read) => read,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and takes this task along.
            Err(_) => std::future::pending().await,
        },
    }
}
