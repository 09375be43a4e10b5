//! What is wrong with a configuration: each fault with its place, what was found, and what would be right.
//!
//! A file is refused whole, but never fault by fault: whoever edits it sees everything at once. Warnings have the same
//! shape, so that `causeway check` can print both.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::tree::shorten;

/// At most so many faults are kept; a file with more is not a configuration with typos.
pub const MAX_FAULTS: usize = 100;

/// Every fault of one file, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ConfigErrors {
    /// The file, as it was named by the caller.
    pub file: PathBuf,
    /// The faults.
    pub errors: Vec<Fault>,
    /// How many more there are beyond [`MAX_FAULTS`].
    pub omitted: usize,
}

/// One thing that is wrong, or (as a warning) risky.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// The place in the document's tree, such as `clusters.aws.location`; empty for the document itself.
    pub path: String,
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// What was found.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

/// The kinds of faults, in the order of the phases that find them. Their JSON names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// The file cannot be read. Restore it, or correct the path or its permissions.
    Unreadable,
    /// The file, its nesting or what its aliases expand to is larger than any configuration.
    TooLarge,
    /// The file is not UTF-8. Save it as UTF-8.
    Encoding,
    /// The file is not YAML, or uses a part of YAML that Causeway does not take. Correct the named place.
    Syntax,
    /// Nothing is in the file. Give at least `clusters`.
    Empty,
    /// A key stands twice in one mapping. Keep one.
    DuplicateKey,
    /// Causeway knows no such field. Correct its name or remove it.
    UnknownField,
    /// A field that must be given is not.
    MissingField,
    /// A list, a mapping, a text, a number or a truth value stands where another of these should.
    WrongType,
    /// The type is right, the value is not: a duration, an address, a name, a range.
    BadValue,
    /// A name refers to a cluster that `clusters` does not have.
    UnknownCluster,
    /// Two values, each right by itself, contradict each other.
    Conflict,
    /// Legal, and worth a second look.
    Risk,
}

impl ConfigErrors {
    /// One fault that concerns the file as a whole.
    pub(crate) fn whole(file: &Path, kind: FaultKind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::one(file, Fault::at(1, 1, kind, message, remedy))
    }

    pub(crate) fn one(file: &Path, fault: Fault) -> Self {
        Self { file: file.into(), errors: vec![fault], omitted: 0 }
    }

    /// Keeps the first [`MAX_FAULTS`] by place. `errors` must not be empty.
    pub(crate) fn collected(file: &Path, mut errors: Vec<Fault>, uncollected: usize) -> Self {
        errors.sort_by_key(|fault| (fault.line, fault.column));
        let omitted = uncollected + errors.len().saturating_sub(MAX_FAULTS);
        errors.truncate(MAX_FAULTS);
        Self { file: file.into(), errors, omitted }
    }
}

impl Fault {
    pub(crate) fn at(line: u32, column: u32, kind: FaultKind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line, column, path: String::new(), kind, message: message.into(), remedy: remedy.into() }
    }

    /// The fault as two lines that begin with the file's name, in the form that editors and terminals link.
    pub fn display<'a>(&'a self, file: &'a Path) -> impl fmt::Display + 'a {
        struct Shown<'a>(&'a Fault, &'a Path);
        impl fmt::Display for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(fault, file) = self;
                write!(f, "{}:{}:{}: ", file.display(), fault.line, fault.column)?;
                if !fault.path.is_empty() {
                    write!(f, "{}: ", fault.path)?;
                }
                write!(f, "{}\n    {}", fault.message, fault.remedy)
            }
        }
        Shown(self, file)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", fault.display(&self.file))?;
        }
        match self.omitted {
            0 => Ok(()),
            n => write!(f, "\n{}: and {n} more", self.file.display()),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// The nearest of `known` to a misspelt `name`, if any is near enough that the slip explains it.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in a short name, one in four letters of a long one; beyond that a guess misleads more than it helps.
    let tolerance = (name.chars().count() / 4).max(1);
    if name.len() > 100 {
        return None;
    }
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean" where there is a guess, then `otherwise`.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    match did_you_mean(name, known) {
        Some(guess) => format!("did you mean `{guess}`? Else {otherwise}"),
        None => otherwise.to_owned(),
    }
}

/// A list for a sentence: `a, b and c`, shortened where it is long.
pub(crate) fn enumerate<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let items: Vec<_> = items.into_iter().collect();
    let quoted: Vec<_> = items.iter().take(SHOWN).map(|item| format!("`{}`", shorten(item))).collect();
    match (items.len().saturating_sub(SHOWN), quoted.as_slice()) {
        (0, []) => "none".to_owned(),
        (0, [only]) => only.clone(),
        (0, [head @ .., last]) => format!("{} and {last}", head.join(", ")),
        (more, _) => format!("{} and {more} more", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_guessed_and_a_far_one_is_not() {
        let known = ["us-east-1", "eu-west-1", "westeurope"];
        assert_eq!(did_you_mean("us-esat-1", known), Some("us-east-1"));
        assert_eq!(did_you_mean("WestEurope", known), Some("westeurope"));
        assert_eq!(did_you_mean("moon", known), None);
        assert_eq!(did_you_mean("", known), None);
    }

    #[test]
    fn lists_read_as_sentences_and_stay_short() {
        assert_eq!(enumerate([]), "none");
        assert_eq!(enumerate(["a"]), "`a`");
        assert_eq!(enumerate(["a", "b", "c"]), "`a`, `b` and `c`");
        assert!(enumerate(std::iter::repeat_n("x", 25)).ends_with("`x` and 5 more"));
    }

    #[test]
    fn more_faults_than_anybody_reads_are_counted_not_kept() {
        let fault = |line| Fault::at(line, 1, FaultKind::BadValue, "m", "r");
        let errors = ConfigErrors::collected(Path::new("f"), (0..130).rev().map(fault).collect(), 5);
        assert_eq!((errors.errors.len(), errors.omitted), (MAX_FAULTS, 35));
        assert_eq!(errors.errors[0].line, 0);
        assert!(errors.to_string().ends_with("f: and 35 more"));
    }
}
