//! docs/security.md and docs/architecture.md say by which test each promise is held: every test that they name must be there.

use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENTS: [&str; 2] = ["docs/security.md", "docs/architecture.md"];

/// Where tests live.
const FOLDERS: [&str; 6] = ["tests", "proxy/src", "proxy/tests", "proxy/core/src", "certs", "config/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

/// The names of all functions below these folders, and of all modules that have a file.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut left: Vec<_> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            known.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            left.extend(std::fs::read_dir(&path).expect("it is there").map(|entry| entry.expect("it can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            known.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            let text = std::fs::read_to_string(&path).expect("it is text");
            let after = text.split("fn ").skip(1);
            known.extend(after.filter_map(|text| Some(text.split_once(['(', '<'])?.0.to_owned())));
        }
    }
    known
}

/// What a document has between backquotes and looks like a test: `module::test`, `module::*`, or a long name.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_:*".contains(&b));
        let long = name.matches('_').count() > 2 && !name.starts_with("causeway_");
        plain && (name.contains("::") || long)
    })
}

#[test]
fn every_test_that_documents_name_is_there() {
    let known = known();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).expect("it is there");
        assert!(named(&text).count() > 3, "{document} names tests");
        for name in named(&text) {
            for part in name.split("::").flat_map(|part| part.split('*')).filter(|part| !part.is_empty()) {
                let there = if name.contains('*') { known.iter().any(|k| k.contains(part)) } else { known.contains(part) };
                assert!(there, "{document} names `{name}`, and there is no {part}");
            }
        }
    }
}
