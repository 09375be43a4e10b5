//! The files of a folder: found, told apart and read.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Files longer than this are refused, in bytes: 16 MiB, ten times what an API server lets an object have.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// A file, or a folder within the folder that could not be listed.
#[derive(Debug)]
pub(super) struct File {
    /// Below the folder.
    pub(super) path: PathBuf,
    /// What it holds; wiped when dropped, since it may be a key.
    pub(super) content: Result<Zeroizing<Vec<u8>>, Fault>,
}

/// Why something within the folder cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// Longer than [`MAX_FILE`].
    TooLong,
    /// What the system says.
    Io(io::Error),
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In the order of their paths.
    pub(super) files: Vec<File>,
    /// Every folder that a change may happen in, the folder itself among them.
    pub(super) folders: BTreeSet<PathBuf>,
}

/// Reads every `*.yaml`, `*.yml` and `*.json` below `folder`, each once however many links lead to it.
///
/// Hidden names are passed over: editors keep their copies there, and a mounted `ConfigMap` its generations (`..data`), to
/// which links beside them lead. Fails if the folder itself cannot be listed.
pub(super) fn scan(folder: &Path) -> io::Result<Scan> {
    let mut walk = Walk { folder, seen: BTreeSet::new(), scan: Scan::default() };
    walk.enter(folder)?;
    Ok(walk.scan)
}

struct Walk<'a> {
    folder: &'a Path,
    /// Real paths of what was read: links can lead to one file twice, and in circles.
    seen: BTreeSet<PathBuf>,
    scan: Scan,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        self.seen.insert(fs::canonicalize(folder)?);
        self.scan.folders.insert(folder.to_owned());
        for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
            let path = folder.join(name);
            if let Err(fault) = self.visit(&path) {
                // It may have gone since the listing; then it is simply not there.
                if fault.kind() != io::ErrorKind::NotFound {
                    self.push(&path, Err(Fault::Io(fault)));
                }
            }
        }
        Ok(())
    }

    fn visit(&mut self, path: &Path) -> io::Result<()> {
        let meta = fs::metadata(path)?;
        let wanted = meta.is_dir() || (meta.is_file() && is_manifest(path));
        // Anything else has no business here, and opening a pipe would wait for ever.
        if !wanted {
            return Ok(());
        }
        let real = fs::canonicalize(path)?;
        if self.seen.contains(&real) {
            return Ok(());
        }
        if meta.is_dir() {
            return self.enter(path);
        }
        // Behind a link, the file changes in a folder that the walk may never see.
        if let Some(parent) = real.parent().filter(|parent| !self.seen.contains(*parent)) {
            self.scan.folders.insert(parent.to_owned());
        }
        self.seen.insert(real);
        let content = read(path)?;
        self.push(path, content);
        Ok(())
    }

    fn push(&mut self, path: &Path, content: Result<Zeroizing<Vec<u8>>, Fault>) {
        let path = path.strip_prefix(self.folder).unwrap_or(path).to_owned();
        self.scan.files.push(File { path, content });
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
}

fn read(path: &Path) -> io::Result<Result<Zeroizing<Vec<u8>>, Fault>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut file = fs::File::open(path)?;
    // Room for all of it at once: a vector that grows leaves copies behind that are not wiped.
    bytes.reserve_exact(file.metadata()?.len().min(MAX_FILE) as usize + 1);
    file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > MAX_FILE { Err(Fault::TooLong) } else { Ok(bytes) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn paths(folder: &Path) -> Vec<String> {
        scan(folder).unwrap().files.iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn manifests_of_all_folders_are_read_in_the_order_of_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for name in ["z.yml", "b/c/x.json", "a.yaml", "notes.txt", ".hidden.yaml", "b/y.yaml", "x.yaml~"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(paths(dir.path()), ["a.yaml", "b/c/x.json", "b/y.yaml", "z.yml"]);
    }

    #[test]
    fn a_mounted_config_map_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..2026_01_01")).unwrap();
        fs::write(dir.path().join("..2026_01_01/a.yaml"), "a").unwrap();
        symlink("..2026_01_01", dir.path().join("..data")).unwrap();
        symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
        symlink("a.yaml", dir.path().join("b.yaml")).unwrap();
        assert_eq!(paths(dir.path()), ["a.yaml"]);
    }

    #[test]
    fn links_in_circles_and_links_to_nothing_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        symlink("..", dir.path().join("inner/up")).unwrap();
        symlink("nowhere", dir.path().join("lost.yaml")).unwrap();
        symlink("self.yaml", dir.path().join("self.yaml")).unwrap();
        fs::write(dir.path().join("inner/a.yaml"), "").unwrap();
        let found = scan(dir.path()).unwrap().files;
        let readable: Vec<_> = found.iter().filter(|file| file.content.is_ok()).map(|file| file.path.clone()).collect();
        assert_eq!(readable, [PathBuf::from("inner/a.yaml")]);
        assert!(matches!(&found[..], [_, File { content: Err(Fault::Io(_)), .. }]), "a link to itself is a fault: {found:?}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::File::create(dir.path().join("long.yaml")).unwrap().set_len(MAX_FILE + 1).unwrap();
        fs::File::create(dir.path().join("most.yaml")).unwrap().set_len(MAX_FILE).unwrap();
        let found = scan(dir.path()).unwrap().files;
        assert!(matches!(found[0].content, Err(Fault::TooLong)));
        assert!(found[1].content.is_ok());
    }
}
