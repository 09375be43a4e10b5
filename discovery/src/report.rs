//! Collects what is wrong with one object while it is translated.

use std::fmt::Display;

use causeway_config::ClusterId;
use causeway_core::diagnostics::{Diagnostic, Severity};

/// The diagnostics of one object of one cluster.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    cluster: &'a ClusterId,
    object: String,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    /// About `object`, written as [`Diagnostic::object`] wants it.
    pub(crate) fn new(cluster: &'a ClusterId, object: impl Display) -> Self {
        Self { cluster, object: object.to_string(), found: Vec::new() }
    }

    /// Something that was asked for is not served.
    pub(crate) fn error(&mut self, field: impl Display, problem: impl Display, remedy: impl Display) {
        self.add(Severity::Error, field, problem, remedy);
    }

    /// It is served, perhaps not as intended.
    pub(crate) fn warning(&mut self, field: impl Display, problem: impl Display, remedy: impl Display) {
        self.add(Severity::Warning, field, problem, remedy);
    }

    /// What was found, in the order in which it was.
    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found
    }

    fn add(&mut self, severity: Severity, field: impl Display, problem: impl Display, remedy: impl Display) {
        self.found.push(Diagnostic {
            severity,
            cluster: Some(self.cluster.clone()),
            object: self.object.clone(),
            field: field.to_string(),
            problem: problem.to_string(),
            remedy: remedy.to_string(),
        });
    }
}

/// A text from outside as it may stand in a message: bounded, and unable to begin a line of its own in a log.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 100;
    let mut out = String::new();
    for c in text.chars().take(LIMIT) {
        match c {
            // Escaped by `escape_debug` for the sake of literals, of which these are none.
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(LIMIT).is_some() {
        out.push_str("...");
    }
    out
}
