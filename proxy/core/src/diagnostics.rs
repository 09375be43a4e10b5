//! What is wrong with the world, said to the person who can mend it.

use std::fmt;

use causeway_config::ClusterId;
use serde::{Deserialize, Serialize};

/// A fault in an object or a policy that serving goes on around.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How much is lost.
    pub severity: Severity,
    /// The cluster that the object lies in; none for the configuration.
    pub cluster: Option<ClusterId>,
    /// The object: `Ingress shop/web`, or where it has no readable name its file: `web.yaml, document 3`.
    pub object: String,
    /// The field: `spec.rules[0].http.paths[1].backend`; empty for the whole object.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// How much is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was asked for is not served.
    Error,
    /// It is served, perhaps not as intended.
    Warning,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: ")?;
        if let Some(cluster) = &self.cluster {
            write!(f, "{cluster}: ")?;
        }
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}
