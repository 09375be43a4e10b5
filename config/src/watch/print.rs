//! A cheap fingerprint: whether a path may hold something else than when we last looked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

/// What a path was. A file's identity and times, not its bytes: a geo database is large, and looked at often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Print {
    /// Not there, or not to be read.
    #[default]
    Absent,
    File(Stamp),
    /// The files directly in a folder, symlinks followed.
    Folder(BTreeMap<OsString, Option<Stamp>>),
}

/// Changes with every write, rename and replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and the time of the last change of either content or attributes, in seconds and nanoseconds:
    /// unlike `modified` it cannot be set back by whoever copies a file.
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

impl Print {
    pub(super) fn of(path: &Path) -> Self {
        let Ok(metadata) = path.metadata() else { return Self::Absent };
        if !metadata.is_dir() {
            return Self::File(Stamp::of(&metadata));
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        // Folders in it are not looked into, so that their times mean nothing: only that they are there.
        let stamp = |path: &Path| path.metadata().ok().filter(|m| !m.is_dir()).map(|m| Stamp::of(&m));
        Self::Folder(entries.map(|entry| (entry.file_name(), stamp(&entry.path()))).collect())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
