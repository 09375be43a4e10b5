//! Files that change under us: the configuration, a folder of manifests, certificates, the geo database.
//!
//! Watching a path by its inode is not enough. An editor renames a new file over the old one; a `ConfigMap` volume swaps
//! the symlink `..data`, in whose folder the file really lies; a file may be away for a moment, or its folder may. So:
//!
//! 1. every folder on the way to a path is watched, through every symlink ([`chain`]);
//! 2. whatever the operating system reports is only a hint to look: a path has changed when its [`Print`] has;
//! 3. hints are awaited to settle, but no longer than a ceiling, and then the folders are resolved anew;
//! 4. every ten seconds we look without a hint, for file systems that send none and for lost ones.
//!
//! The callback hears *may have changed*: a file may be rewritten with what it held before. Whoever reads it compares.
//! Nothing here knows tokio: a callback runs on the watch's own thread.

mod chain;
mod print;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use print::Print;

/// Writers that write in pieces are done when it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Writers that never are quiet are looked at after so long anyway.
const CEILING: Duration = Duration::from_millis(500);
/// How often we look without a hint.
const RECHECK: Duration = Duration::from_secs(10);

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The operating system gives no notifications.
    #[error(
        "starting to watch files failed: {0}; on Linux, raise the sysctl fs.inotify.max_user_instances, \
         which all processes of a user share"
    )]
    Notifications(#[from] notify::Error),
    /// No thread for it.
    #[error("starting the thread that watches files failed: {0}; raise the limit of threads (pids) of this container")]
    Thread(#[from] std::io::Error),
}

/// Watches for as long as it lives. A callback that runs while it is dropped runs to its end.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread may be gone already, after a panic in the callback.
        let _ = self.signals.send(Signal::Stop);
    }
}

#[derive(Debug)]
enum Signal {
    /// Something happened in a folder on the way to a path.
    Hint,
    Stop,
}

/// Calls `changed` with those of `paths` that may have changed, each time some have: files, or folders with the files
/// directly in them. Paths need not exist yet; appearing and disappearing are changes.
///
/// What happens from the return of this function on is noticed: first watch, then read, and no change is lost between.
pub fn watch(
    paths: impl IntoIterator<Item = PathBuf>,
    changed: impl FnMut(&[PathBuf]) + Send + 'static,
) -> Result<Watch, WatchError> {
    let (signals, received) = channel();
    let hint = signals.clone();
    let notifier = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error is a hint too: events may have been lost.
        if event.map_or(true, |event| may_change(event.kind)) {
            let _ = hint.send(Signal::Hint);
        }
    })?;
    let mut watcher = PathWatcher { notifier, folders: BTreeSet::new(), paths: Vec::new(), changed };
    watcher.paths = paths.into_iter().map(|path| (path, Print::default())).collect();
    watcher.follow();
    watcher.look();
    thread::Builder::new().name("file-watch".into()).spawn(move || watcher.run(&received))?;
    Ok(Watch { signals })
}

/// Reading a file must not look like a change of it, or every reload would cause the next.
fn may_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

struct PathWatcher<F> {
    notifier: RecommendedWatcher,
    /// Those that the notifier watches.
    folders: BTreeSet<PathBuf>,
    paths: Vec<(PathBuf, Print)>,
    changed: F,
}

impl<F: FnMut(&[PathBuf])> PathWatcher<F> {
    fn run(mut self, signals: &Receiver<Signal>) {
        loop {
            match signals.recv_timeout(RECHECK) {
                Ok(Signal::Hint) => {
                    if settle(signals).is_break() {
                        return;
                    }
                }
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.follow();
            let changed = self.look();
            if !changed.is_empty() {
                (self.changed)(&changed);
            }
        }
    }

    /// Watches the folders that now lie on the way to the paths, and no others.
    fn follow(&mut self) {
        let wanted: BTreeSet<_> = self.paths.iter().flat_map(|(path, _)| chain::folders(path)).collect();
        for gone in self.folders.difference(&wanted) {
            // It may have been removed, and its watch with it.
            let _ = self.notifier.unwatch(gone);
        }
        // A folder that was removed and made again has the same name and no watch; watching twice is harmless. A folder
        // that cannot be watched is looked at again after `RECHECK`.
        let watched = |folder: &PathBuf| self.notifier.watch(folder, RecursiveMode::NonRecursive).is_ok();
        self.folders = wanted.into_iter().filter(watched).collect();
    }

    /// The paths that differ from what they were when last looked at.
    fn look(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (path, before) in &mut self.paths {
            let now = Print::of(path);
            if *before != now {
                *before = now;
                changed.push(path.clone());
            }
        }
        changed
    }
}

/// Waits until no hint has come for [`QUIET`], at most for [`CEILING`].
fn settle(signals: &Receiver<Signal>) -> std::ops::ControlFlow<()> {
    let deadline = Instant::now() + CEILING;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match signals.recv_timeout(QUIET.min(left)) {
            Ok(Signal::Hint) if !left.is_zero() => {}
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return std::ops::ControlFlow::Break(()),
            Ok(Signal::Hint) | Err(RecvTimeoutError::Timeout) => return std::ops::ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests;
