//! Documents to objects, and what stays of a document that cannot be read any more.
//!
//! Identity: a document has none of its own, since documents are inserted, deleted and broken in one save. So where a
//! document's name cannot be told, *every* object that its file gave before and gives no more stays, until the file can be read
//! whole again. Where it can be told (a field of the wrong type), only that object stays. What can be read now, in whatever
//! file, always comes before what is only remembered.

mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_config::ClusterId;
use causeway_core::cluster::ClusterState;
use causeway_core::diagnostics::Diagnostic;
use sha2::{Digest, Sha256};

use super::files::{Fault, File, MAX_FILE, Scan};
use super::split::{Document, documents};
use crate::report::Report;
use crate::store::{Secrets, Store};
use crate::translate::{Key, Translated};

/// What the files of a folder say, and said.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<PathBuf, Arc<FileContents>>,
}

/// What one file says, and said.
#[derive(Debug, Default)]
struct FileContents {
    /// Of its bytes; an equal file is not read again. `None`: it could not be read.
    digest: Option<[u8; 32]>,
    given: Vec<Given>,
    /// What it gave once and, as far as anybody can tell, still would.
    remembered: Vec<Given>,
    diagnostics: Vec<Diagnostic>,
}

/// An object, and the number of the document that it stands in.
#[derive(Clone, Debug)]
struct Given {
    document: usize,
    translated: Translated,
}

/// One file while it is read.
struct Reading<'a> {
    cluster: &'a ClusterId,
    path: &'a Path,
    given: Vec<Given>,
    /// The names of objects that stand in the file but cannot be read.
    lost: BTreeSet<Key>,
    /// Whether there are others, of which not even the name is known.
    lost_unnamed: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Contents {
    /// What the files say now. `self` is what they said before.
    pub(super) fn next(&self, cluster: &ClusterId, scan: Scan) -> Self {
        let files = scan.files.into_iter().map(|file| {
            let contents = self.read(cluster, &file);
            (file.path, contents)
        });
        Self { files: files.collect() }
    }

    /// Whether every file is what it was: none has come, gone, or been read again.
    pub(super) fn is(&self, before: &Self) -> bool {
        let same =
            |((path, file), (path_before, file_before)): (_, (_, _))| path == path_before && Arc::ptr_eq(file, file_before);
        self.files.len() == before.files.len() && self.files.iter().zip(&before.files).all(same)
    }

    /// The objects of all files, each once, and the faults.
    pub(super) fn assemble(&self, cluster: &ClusterId) -> (ClusterState, Secrets) {
        let mut store = Store::default();
        let mut places: BTreeMap<&Key, String> = BTreeMap::new();
        let mut diagnostics = Vec::new();
        for (path, file) in &self.files {
            diagnostics.extend_from_slice(&file.diagnostics);
            for Given { document, translated } in &file.given {
                let place = place(path, *document);
                let Some(second) = store.insert_new(translated.clone()) else {
                    places.insert(&translated.key, place);
                    continue;
                };
                let mut report = Report::new(cluster, &second.key);
                let first = places.get(&second.key).expect("every object that entered the store has left its place");
                report.error(
                    "",
                    format_args!("stands in {place}, and before that in {first}"),
                    "remove one of them; the first is used",
                );
                diagnostics.append(&mut report.into_diagnostics());
            }
        }
        for remembered in self.files.values().flat_map(|file| &file.remembered) {
            store.insert_new(remembered.translated.clone());
        }
        let state = store.state(cluster.clone(), diagnostics);
        (state, store.secrets().clone())
    }

    fn read(&self, cluster: &ClusterId, file: &File) -> Arc<FileContents> {
        let digest = file.content.as_ref().ok().map(|bytes| Sha256::digest(bytes.as_slice()).into());
        if let Some(before) = self.files.get(&file.path).filter(|before| digest.is_some() && before.digest == digest) {
            return before.clone();
        }
        let mut reading = Reading::new(cluster, &file.path);
        match &file.content {
            Ok(bytes) => reading.file(bytes),
            Err(fault) => reading.unreadable(fault),
        }
        // The path may be a folder that cannot be listed any more: then it stands for all that was below it.
        let before = self.files.iter().filter(|(path, _)| path.starts_with(&file.path)).map(|(_, before)| before);
        let remembered = reading.remember(before.flat_map(|before| before.given.iter().chain(&before.remembered)));
        reading.given.shrink_to_fit();
        Arc::new(FileContents { digest, given: reading.given, remembered, diagnostics: reading.diagnostics })
    }
}

impl<'a> Reading<'a> {
    fn new(cluster: &'a ClusterId, path: &'a Path) -> Self {
        Self { cluster, path, given: Vec::new(), lost: BTreeSet::new(), lost_unnamed: false, diagnostics: Vec::new() }
    }

    fn file(&mut self, bytes: &[u8]) {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(fault) => {
                let line = 1 + String::from_utf8_lossy(&bytes[..fault.valid_up_to()]).matches('\n').count();
                self.lost_unnamed = true;
                return self.error(
                    self.path.display().to_string(),
                    "",
                    &format!("line {line} is not UTF-8, and the file is passed over"),
                    "save it as UTF-8",
                );
            }
        };
        if self.path.extension().is_some_and(|extension| extension == "json") {
            if !text.trim().is_empty() {
                self.document(Document { number: 1, first_line: 1, text }, document::json);
            }
            return;
        }
        for document in documents(text) {
            self.document(document, document::yaml);
        }
    }

    fn unreadable(&mut self, fault: &Fault) {
        self.lost_unnamed = true;
        let (problem, remedy) = match fault {
            Fault::TooLong => {
                (format!("is longer than {} MiB, and is passed over", MAX_FILE >> 20), "split it into several files")
            }
            Fault::Io(fault) => (format!("cannot be read: {fault}"), "let the user that Causeway runs as read it"),
        };
        self.error(self.path.display().to_string(), "", &problem, remedy);
    }

    /// What stays of what the file gave before.
    fn remember<'g>(&mut self, before: impl Iterator<Item = &'g Given>) -> Vec<Given> {
        let mut known: BTreeSet<Key> = self.given.iter().map(|given| given.translated.key.clone()).collect();
        let stays = |key: &Key| self.lost_unnamed || self.lost.contains(key);
        let before = before.filter(|given| stays(&given.translated.key));
        let remembered: Vec<Given> = before.filter(|given| known.insert(given.translated.key.clone())).cloned().collect();
        if !remembered.is_empty() {
            let names: Vec<_> = remembered.iter().map(|given| given.translated.key.to_string()).collect();
            let mut report = Report::new(self.cluster, self.path.display());
            report.warning(
                "",
                format_args!("cannot be read whole, and what it said before stays in effect: {}", names.join(", ")),
                "correct what its other diagnostics name, or delete the file",
            );
            self.diagnostics.append(&mut report.into_diagnostics());
        }
        remembered
    }

    fn error(&mut self, object: String, field: &str, problem: &str, remedy: &str) {
        let mut report = Report::new(self.cluster, object);
        report.error(field, problem, remedy);
        self.diagnostics.append(&mut report.into_diagnostics());
    }
}

/// `web.yaml, document 3`
fn place(path: &Path, document: usize) -> String {
    format!("{}, document {document}", path.display())
}

#[cfg(test)]
mod tests;
