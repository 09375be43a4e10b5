//! Which folders must be watched so that no change of a path goes unseen.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Symlinks followed for one path; Linux itself gives up after as many (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The folders in which an entry stands that `path` depends on: the parent of the path itself, the parents of every
/// symlink on the way, and, for a folder, itself and what its entries link to. Of a part that does not exist, the nearest
/// folder that does. Parents that hold no symlink and no missing part are left out: renaming `/etc` is not watched.
pub(super) fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let resolved = walk(path, &mut folders);
    if let Some(folder) = resolved.filter(|p| p.is_dir()) {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_symlink()) {
                walk(&entry.path(), &mut folders);
            }
        }
        folders.insert(folder);
    }
    folders
}

/// Resolves `path` step by step; `None` where it does not exist (yet).
fn walk(path: &Path, folders: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut todo: Vec<PathBuf> = split(&absolute);
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let is_last = todo.is_empty();
        if let Ok(target) = std::fs::read_link(&next) {
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            folders.insert(at.clone());
            // An absolute target replaces `at` when joined.
            todo.extend(split(&target));
            continue;
        }
        let exists = next.symlink_metadata().is_ok();
        if (is_last || !exists) && !at.as_os_str().is_empty() {
            folders.insert(at.clone());
        }
        if !exists {
            return None;
        }
        at = next;
    }
    Some(at)
}

/// The parts of a path, last first.
fn split(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter(|c| *c != Component::CurDir);
    parts.map(|c| PathBuf::from(c.as_os_str())).rev().collect()
}
