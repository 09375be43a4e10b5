//! What is told of an API server that cannot be followed.

use causeway_config::ClusterId;
use causeway_core::diagnostics::Diagnostic;

use super::super::access::AccessError;
use super::super::fault::Fault;
use super::super::rbac;
use crate::report::{Report, shown};

/// The configuration cannot be made a client of.
pub(super) fn unusable(cluster: &ClusterId, error: &AccessError) -> Vec<Diagnostic> {
    let mut report = Report::new(cluster, rbac::OBJECT);
    let text = error.to_string();
    // The errors' texts end with their remedy.
    let (problem, remedy) = text.rsplit_once("; ").unwrap_or((&text, ""));
    report.error("", problem, remedy);
    report.into_diagnostics()
}

/// A request got no answer.
pub(super) fn unreachable(cluster: &ClusterId, error: &kube::Error) -> Vec<Diagnostic> {
    let mut report = Report::new(cluster, rbac::OBJECT);
    let remedy =
        "see that it runs and can be reached from here, and that the kubeconfig's `server`, authority and token are right";
    report.error("", format_args!("cannot be used: {}", shown(&Fault::of_request(error).text)), remedy);
    report.into_diagnostics()
}

/// Nothing has come of it so far.
pub(super) fn unanswered(cluster: &ClusterId) -> Vec<Diagnostic> {
    let mut report = Report::new(cluster, rbac::OBJECT);
    let remedy = "see that it can be reached from here, and that the program that the kubeconfig names for tokens, if any, ends";
    report.error("", "neither it nor what its kubeconfig needs has answered yet", remedy);
    report.into_diagnostics()
}

/// What is wrong with the state on disk.
pub(super) fn of_cache(cluster: &ClusterId, problem: &str) -> Vec<Diagnostic> {
    let mut report = Report::new(cluster, "the remembered state");
    let (problem, remedy) = problem.rsplit_once("; ").unwrap_or((problem, ""));
    report.warning("", problem, remedy);
    report.into_diagnostics()
}
