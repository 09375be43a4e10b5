#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::*;

/// Longer than any machine needs; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A watch whose calls can be awaited.
fn watched(paths: &[PathBuf]) -> (Watch, Receiver<Vec<PathBuf>>) {
    let (tx, rx) = channel();
    let watch = watch(paths.to_vec(), move |changed| tx.send(changed.to_vec()).unwrap()).unwrap();
    (watch, rx)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// Waits until `path` was reported and reads as `text`: one act may be reported in several steps.
fn await_text(changes: &Receiver<Vec<PathBuf>>, path: &Path, text: Option<&str>) {
    loop {
        let named = changes.recv_timeout(PATIENCE).expect("the change is reported");
        assert!(named.iter().all(|n| n == path), "{named:?}");
        if fs::read_to_string(path).ok().as_deref() == text {
            return;
        }
    }
}

#[test]
fn a_file_written_in_place_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("causeway.yaml");
    write(&file, "one");
    let (_watch, changes) = watched(std::slice::from_ref(&file));
    write(&file, "two");
    await_text(&changes, &file, Some("two"));
    // Same length: only the times tell.
    write(&file, "six");
    await_text(&changes, &file, Some("six"));
}

#[test]
fn a_file_renamed_over_is_reported_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("causeway.yaml");
    write(&file, "0");
    let (_watch, changes) = watched(std::slice::from_ref(&file));
    for text in ["1", "2", "3"] {
        let new = dir.path().join(".new");
        write(&new, text);
        fs::rename(&new, &file).unwrap();
        await_text(&changes, &file, Some(text));
    }
}

#[test]
fn deletion_and_return_are_reported_even_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("etc");
    let file = folder.join("causeway.yaml");
    let (_watch, changes) = watched(std::slice::from_ref(&file));
    for text in ["first", "second"] {
        fs::create_dir(&folder).unwrap();
        write(&file, text);
        await_text(&changes, &file, Some(text));
        fs::remove_dir_all(&folder).unwrap();
        await_text(&changes, &file, None);
    }
}

#[cfg(unix)]
#[test]
fn a_config_map_volume_swapping_its_data_link_is_reported() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let version = |n: &str| {
        fs::create_dir(dir.path().join(n)).unwrap();
        write(&dir.path().join(n).join("causeway.yaml"), n);
    };
    version("..1");
    symlink("..1", dir.path().join("..data")).unwrap();
    let file = dir.path().join("causeway.yaml");
    symlink("..data/causeway.yaml", &file).unwrap();
    let (_watch, changes) = watched(std::slice::from_ref(&file));
    for n in ["..2", "..3"] {
        version(n);
        symlink(n, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        await_text(&changes, &file, Some(n));
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_to_where_it_points_now() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| {
        fs::create_dir(dir.path().join(name)).unwrap();
        dir.path().join(name).join("real")
    });
    write(&a, "a1");
    write(&b, "b1");
    let link = dir.path().join("link");
    symlink(&a, &link).unwrap();
    let (_watch, changes) = watched(std::slice::from_ref(&link));
    write(&a, "a2");
    await_text(&changes, &link, Some("a2"));
    fs::remove_file(&link).unwrap();
    symlink(&b, &link).unwrap();
    await_text(&changes, &link, Some("b1"));
    write(&b, "b2");
    await_text(&changes, &link, Some("b2"));
}

#[test]
fn a_folder_reports_files_that_come_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_path_buf();
    let (_watch, changes) = watched(std::slice::from_ref(&folder));
    let file = folder.join("ingress.yaml");
    write(&file, "one");
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), std::slice::from_ref(&folder));
    write(&file, "two!");
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), std::slice::from_ref(&folder));
    fs::remove_file(&file).unwrap();
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), [folder]);
}

#[test]
fn only_the_path_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["tls.crt", "tls.key"].map(|name| dir.path().join(name));
    write(&cert, "cert");
    write(&key, "key");
    let (_watch, changes) = watched(&[cert.clone(), key.clone()]);
    write(&dir.path().join("neighbour"), "noise");
    fs::read(&cert).unwrap();
    write(&key, "new");
    await_text(&changes, &key, Some("new"));
    write(&cert, "new cert");
    await_text(&changes, &cert, Some("new cert"));
}

#[test]
fn dropping_the_watch_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (watch, changes) = watched(&[dir.path().join("f")]);
    drop(watch);
    // The thread drops the callback, and with it the sender.
    assert_eq!(changes.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_path_that_is_nowhere_yet_is_watched_from_the_nearest_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    assert!(chain::folders(&root.join("not/there/yet")).contains(&root));
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_end() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    symlink("b", root.join("a")).unwrap();
    symlink("a", root.join("b")).unwrap();
    assert!(chain::folders(&root.join("a")).contains(&root));
    assert_eq!(Print::of(&root.join("a")), Print::Absent);
}

#[test]
fn reading_is_no_change_and_writing_is() {
    assert!(!may_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
    assert!(!may_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
    assert!(may_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    assert!(may_change(EventKind::Any));
}
