//! Cells written down, for another process: see [`learned`](crate::learned).
//!
//! Left out is what only this process can know: requests on their way, and the outcomes of the last seconds, which are
//! learned anew in as many.

use serde::{Deserialize, Serialize};

/// An average, and when it was true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AverageMemory {
    /// Seconds.
    pub(super) seconds: f64,
    /// A moment.
    pub(super) stamp: u64,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointMemory {
    pub(super) latency: AverageMemory,
    pub(super) answers: AverageMemory,
    pub(super) ejections: u32,
    pub(super) ejected_until: u64,
    pub(super) ready_since: u64,
    pub(super) unready_since: u64,
    pub(super) ready_once: bool,
}

/// What is known of a cluster as a server of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterMemory {
    pub(super) latency: AverageMemory,
    /// The histogram of answers.
    pub(super) answers: Vec<u32>,
    pub(super) down: bool,
    pub(super) recovering_since: u64,
    pub(super) dark_until: u64,
    pub(super) darkened: u32,
}
