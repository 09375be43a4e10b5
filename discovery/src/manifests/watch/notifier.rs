//! Tells that something changed in a set of folders, or that the folder which they are in came or went.
//!
//! Single folders are watched, not trees: the walk knows which ones matter, links included. A watch is of an inode, not of
//! a path, so a path that an event names as created, renamed or removed is watched anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Rings a bell when a watched folder changes.
pub(super) struct Notifier {
    folder: PathBuf,
    /// `None` where the system gives no watcher at all.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// Whether everything that should be watched is.
    complete: bool,
    shared: Arc<Mutex<Shared>>,
}

/// What the watcher's thread shares.
#[derive(Default)]
struct Shared {
    /// Paths that may be other inodes than when they were watched.
    replaced: BTreeSet<PathBuf>,
    /// Watched only for the sake of the path that leads to the folder.
    outside: BTreeSet<PathBuf>,
}

impl Notifier {
    /// Watches nothing yet. `bell` rings on every change that may matter to `folder`.
    pub(super) fn new(folder: PathBuf, bell: Arc<Notify>) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let handler = {
            let (folder, shared) = (folder.clone(), shared.clone());
            move |event: notify::Result<notify::Event>| {
                if event.is_err() || event.is_ok_and(|event| matters(&event, &folder, &mut lock(&shared))) {
                    bell.notify_one();
                }
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| tracing::warn!(folder = %folder.display(), %error, "cannot watch; the folder is read every 2 s"))
            .ok();
        Self { folder, watcher, watched: BTreeSet::new(), complete: true, shared }
    }

    /// Watches these folders and the way that leads to them, and nothing else. Returns whether a watch was added: something
    /// may have changed before it stood.
    pub(super) fn watch(&mut self, mut folders: BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let mut outside = BTreeSet::new();
        // The parent tells that the folder goes and comes; where it does not exist, the nearest folder that does.
        if let Some(above) = self.folder.ancestors().skip(1).find(|above| above.is_dir()) {
            outside.insert(above.to_owned());
        }
        outside.retain(|above| !folders.contains(above));
        folders.extend(outside.iter().cloned());

        let replaced = {
            let mut shared = lock(&self.shared);
            shared.outside = outside;
            std::mem::take(&mut shared.replaced)
        };
        let stale: Vec<_> =
            self.watched.iter().filter(|path| replaced.contains(*path) || !folders.contains(*path)).cloned().collect();
        for path in stale {
            // A watch of something that is gone has ended by itself, which is no fault.
            let _ = watcher.unwatch(&path);
            self.watched.remove(&path);
        }
        let mut added = false;
        let was_complete = std::mem::replace(&mut self.complete, true);
        for path in folders.difference(&self.watched.clone()) {
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone());
                    added = true;
                }
                Err(error) => {
                    self.complete = false;
                    if was_complete {
                        tracing::warn!(folder = %path.display(), %error, "cannot watch; the folder is read every 2 s");
                    }
                }
            }
        }
        added
    }

    /// Whether every change will be told.
    pub(super) fn watches_all(&self) -> bool {
        self.watcher.is_some() && self.complete
    }
}

/// Whether the event may change what the folder says; notes which paths must be watched anew.
fn matters(event: &notify::Event, folder: &Path, shared: &mut Shared) -> bool {
    match event.kind {
        // Reading the folder must not be a reason to read it again.
        EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write) => return false,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            shared.replaced.extend(event.paths.iter().cloned());
        }
        _ => {}
    }
    let beside = |path: &Path| path.parent().is_some_and(|parent| shared.outside.contains(parent)) && !folder.starts_with(path);
    event.need_rescan() || event.paths.iter().any(|path| !beside(path))
}

/// The set is whole even if a thread died while it held the lock.
fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
