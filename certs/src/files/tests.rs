#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;
use crate::error::Part;
use crate::testing::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file called `name` with `text` in it.
    fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn fault(path: &Path, error: CertError) -> CertError {
    CertError::File { path: path.into(), error: Box::new(error) }
}

#[test]
fn a_pair_comes_back_as_it_stands_in_the_files() {
    let (folder, pair) = (Folder::new(), pair(&["a.example.com"]));
    let files = CertFile { cert: folder.file("a.crt", &pair.cert), key: folder.file("a.key", &pair.key) };
    assert_eq!(load(&files).unwrap(), pair);
}

#[test]
fn a_missing_file_is_named_with_a_remedy() {
    let (folder, pair) = (Folder::new(), pair(&["a.example.com"]));
    let nowhere = folder.0.path().join("nowhere.key");
    let error = load(&CertFile { cert: folder.file("a.crt", &pair.cert), key: nowhere.clone() }).unwrap_err();
    let CertError::File { path, error: inner } = &error else { panic!("{error}") };
    assert_eq!(*path, nowhere);
    assert!(matches!(**inner, CertError::Unreadable { .. }), "{error}");
    assert!(error.to_string().ends_with("check the path, and that this process may read it"), "{error}");
}

#[test]
fn the_file_that_is_to_blame_is_named() {
    let (folder, pair) = (Folder::new(), pair(&["a.example.com"]));
    let (crt, key) = (folder.file("a.crt", &pair.cert), folder.file("a.key", &pair.key));
    let (empty, text) = (folder.file("empty", b"\n"), folder.file("text", b"hello\n"));
    let cases = [
        (&empty, &key, fault(&empty, CertError::Empty(Part::Certificate))),
        (&crt, &empty, fault(&empty, CertError::Empty(Part::Key))),
        (&text, &key, fault(&text, CertError::Missing(Part::Certificate))),
        (&crt, &text, fault(&text, CertError::Missing(Part::Key))),
        (&key, &crt, fault(&key, CertError::Swapped(Part::Certificate))),
        (&crt, &crt, fault(&crt, CertError::Swapped(Part::Key))),
    ];
    for (cert, key, expected) in cases {
        assert_eq!(load(&CertFile { cert: cert.clone(), key: key.clone() }).unwrap_err(), expected);
    }
}
