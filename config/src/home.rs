//! Home: which of the clusters an edge lives in. Not part of the file, since the file is the same everywhere.

use crate::error::{enumerate, suggest};
use crate::ids::ClusterId;
use crate::model::{Cluster, Config};

/// The configuration has no cluster of the name that the edge was given as its home.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("home is `{name}`, and the configuration has no such cluster: {remedy}")]
pub struct HomeError {
    /// The name that was given.
    pub name: String,
    /// The name it might have meant, and those that there are.
    pub remedy: String,
}

impl Config {
    /// The cluster of that name.
    pub fn cluster(&self, id: &ClusterId) -> Option<&Cluster> {
        self.clusters.iter().find(|c| c.id == *id)
    }

    /// The cluster that an edge given `name` lives in.
    pub fn home(&self, name: &str) -> Result<&Cluster, HomeError> {
        let names = || self.clusters.iter().map(|c| c.id.as_str());
        self.clusters.iter().find(|c| c.id.as_str() == name).ok_or_else(|| HomeError {
            name: name.chars().take(100).collect(),
            remedy: suggest(name, names(), &format!("the clusters are {}", enumerate(names()))),
        })
    }
}
