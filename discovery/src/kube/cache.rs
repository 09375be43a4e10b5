//! The last good state of a cluster on disk, so that an edge can serve while no API server answers.
//!
//! A file a cluster: a line of JSON that says what follows, and the objects in our own words. Never a Secret; keys live in
//! memory only. It is written beside and renamed over, so that a crash leaves the old one, and a file that is damaged, of
//! another version or of another cluster is moved aside and said so, for somebody may want to look at it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use causeway_config::ClusterId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::translate::Translated;

/// Grows whenever an older reader would misread the objects.
const VERSION: u32 = 2;

/// Where one cluster's state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    cluster: ClusterId,
}

/// What a file held.
#[derive(Debug)]
pub struct Remembered {
    /// The objects.
    pub(super) objects: Vec<Translated>,
    /// How long ago they were known to be true, by this machine's own clock.
    pub(super) age: Duration,
}

/// The first line of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    /// What this is: always `causeway cluster state`.
    format: String,
    version: u32,
    cluster: ClusterId,
    /// Of the rest of the file, hexadecimal.
    sha256: String,
}

const FORMAT: &str = "causeway cluster state";

/// The end of the name of a file that is being written.
const BESIDE: &str = "new";

/// A file that is written for longer than this is written by nobody any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// Why a file gives no state.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be read or written.
    #[error("{} cannot be {doing}: {cause}; see that the folder is there and may be written by this user", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// It is no good, and was moved away.
    #[error("{} {problem}; it is now {}, and the cluster's objects come from its API server alone", path.display(), aside.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// Where it is now.
        aside: PathBuf,
    },
}

impl Cache {
    /// Keeps the state of `cluster` in `folder`.
    pub fn new(folder: impl Into<PathBuf>, cluster: ClusterId) -> Self {
        Self { folder: folder.into(), cluster }
    }

    /// What was saved last; `None`: nothing yet. Blocks.
    pub fn load(&self) -> Result<Option<Remembered>, CacheError> {
        self.sweep();
        let path = self.path();
        let read = fs::metadata(&path).and_then(|about| Ok((about.modified()?, fs::read(&path)?)));
        let (modified, bytes) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(CacheError::Io { path, doing: "read", cause }),
        };
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        match decode(&self.cluster, &bytes) {
            Ok(objects) => Ok(Some(Remembered { objects, age })),
            Err(problem) => {
                let aside = path.with_extension("bad");
                Err(match fs::rename(&path, &aside) {
                    Ok(()) => CacheError::Bad { path, problem, aside },
                    Err(cause) => CacheError::Io { path, doing: "moved aside", cause },
                })
            }
        }
    }

    /// Notes that what was saved last is still so. Blocks.
    pub fn confirm(&self) -> Result<(), CacheError> {
        let path = self.path();
        let confirmed = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        confirmed.map_err(|cause| CacheError::Io { path, doing: "written", cause })
    }

    /// Saves `objects`; after a crash the file holds either these or what it held before. Blocks.
    pub fn save(&self, objects: &[Translated]) -> Result<(), CacheError> {
        let path = self.path();
        self.write(&path, objects).map_err(|cause| CacheError::Io { path, doing: "written", cause })
    }

    fn write(&self, path: &Path, objects: &[Translated]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        // Two edges of a node share the folder while one takes the other's place, and neither may write into the other's file.
        let beside = path.with_extension(format!("{:016x}.{BESIDE}", fastrand::u64(..)));
        let written = File::create_new(&beside).and_then(|file| {
            let mut buffered = BufWriter::new(file);
            encode(&self.cluster, objects, &mut buffered)?;
            buffered.into_inner()?.sync_all()
        });
        if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        // The name is safe only when the folder is.
        File::open(&self.folder)?.sync_all()
    }

    /// Removes what a crash left half written, of this cluster.
    fn sweep(&self) {
        let old = |path: &Path| {
            let modified = fs::metadata(path).and_then(|about| about.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED))
        };
        let ours = format!("{}.", self.cluster);
        for path in fs::read_dir(&self.folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&ours) && name.ends_with(&format!(".{BESIDE}")) && old(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.state", self.cluster))
    }
}

/// Writes the checksum before what it is of, so the objects are encoded twice: cheaper than to hold a large cluster's in memory.
fn encode(cluster: &ClusterId, objects: &[Translated], out: &mut impl Write) -> io::Result<()> {
    let mut body = BufWriter::new(Hashing(Sha256::new()));
    serde_json::to_writer(&mut body, objects)?;
    let sha256 = hex(body.into_inner()?.0);
    serde_json::to_writer(&mut *out, &Header { format: FORMAT.into(), version: VERSION, cluster: cluster.clone(), sha256 })?;
    out.write_all(b"\n")?;
    Ok(serde_json::to_writer(out, objects)?)
}

/// Takes the checksum of what is written.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The objects, or what is wrong with the file as the end of a sentence that begins with its name.
fn decode(cluster: &ClusterId, bytes: &[u8]) -> Result<Vec<Translated>, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("is no cluster state: it has no first line")?;
    let (header, body) = (&bytes[..end], &bytes[end + 1..]);
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("is no cluster state: {error}"))?;
    if header.format != FORMAT {
        return Err("is no cluster state".into());
    }
    if header.version != VERSION {
        return Err(format!("has version {}, and this program reads version {VERSION}", header.version));
    }
    if header.cluster != *cluster {
        return Err(format!("is the state of cluster {}", header.cluster));
    }
    if header.sha256 != hex(Sha256::new_with_prefix(body)) {
        return Err("is damaged: its checksum is wrong".into());
    }
    serde_json::from_slice(body).map_err(|error| format!("cannot be read: {error}"))
}

fn hex(digest: Sha256) -> String {
    use std::fmt::Write;
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;
    use crate::translate;

    fn cluster(name: &str) -> ClusterId {
        name.parse().unwrap()
    }

    fn objects() -> Vec<Translated> {
        let service: Service = serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web"}})).unwrap();
        vec![translate::service(&cluster("azure"), service).unwrap()]
    }

    fn cache(folder: &Path) -> Cache {
        Cache::new(folder, cluster("azure"))
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert!(cache(folder.path()).load().unwrap().is_none());
        cache(folder.path()).save(&objects()).unwrap();
        assert_eq!(cache(folder.path()).load().unwrap().unwrap().objects, objects());
    }

    /// An older program's, a newer one's, another cluster's, cut short, or anything else.
    #[test]
    fn a_file_that_is_not_ours_to_read_is_set_aside_and_said() {
        let mut good = Vec::new();
        encode(&cluster("azure"), &objects(), &mut good).unwrap();
        let good = String::from_utf8(good).unwrap();
        for (text, said) in [
            (good.replace("\"version\":2", "\"version\":1"), "has version 1, and this program reads version 2"),
            (good.replace("\"version\":2", "\"version\":3"), "has version 3"),
            (good.replace("\"cluster\":\"azure\"", "\"cluster\":\"aws\""), "is the state of cluster aws"),
            (good[..good.len() - 1].to_owned(), "checksum is wrong"),
            (good[..20].to_owned(), "has no first line"),
            (String::new(), "has no first line"),
            ("{}\n".to_owned(), "is no cluster state"),
            (good.replacen(FORMAT, "something else", 1), "is no cluster state"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("azure.state");
            fs::write(&path, &text).unwrap();
            let error = cache(folder.path()).load().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("azure.bad"), "{error}");
            assert!(!path.exists());
            assert_eq!(fs::read_to_string(path.with_extension("bad")).unwrap(), text);
            // And the next start is none with a fault.
            assert!(cache(folder.path()).load().unwrap().is_none());
        }
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept_away_and_what_another_edge_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            File::create_new(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let left = file("azure.0000000000000001.new", Duration::from_hours(2));
        let kept = [
            file("azure.0000000000000002.new", Duration::from_secs(2)),
            file("azure-2.0000000000000003.new", Duration::from_hours(2)),
            file("azure.bad", Duration::from_hours(2)),
        ];
        cache(folder.path()).save(&objects()).unwrap();
        cache(folder.path()).load().unwrap();
        assert!(!left.exists());
        assert!(kept.iter().all(|path| path.exists()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "saving leaves one file behind");
    }

    /// The time of a file is this machine's own, and a clock that was set back makes nothing young for ever.
    #[test]
    fn a_file_from_the_future_is_one_of_now() {
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path()).save(&objects()).unwrap();
        let file = File::options().append(true).open(folder.path().join("azure.state")).unwrap();
        for (time, age) in [
            (SystemTime::now() + Duration::from_hours(24), Duration::ZERO),
            (SystemTime::now() - Duration::from_hours(24), Duration::from_hours(24)),
        ] {
            file.set_modified(time).unwrap();
            let loaded = cache(folder.path()).load().unwrap().unwrap();
            assert!(loaded.age >= age && loaded.age < age + Duration::from_mins(1), "{:?}", loaded.age);
        }
    }
}
