//! The form of a case, which is plain YAML with three kinds of comment that mean something:
//!
//! ```yaml
//! # An Ingress in one cluster is served everywhere          <- the rule
//! # home: azure                                             <- whose edge this is; else the first cluster's
//! # request: www.example.com/cart from US-CA                <- a request to decide; as many as you like
//! clusters: {aws: {manifests: aws}, azure: {manifests: azure}}
//! ---
//! # cluster: aws                                            <- from here on the objects of aws
//! apiVersion: v1
//! kind: Service
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use causeway_config::{ClusterId, Config};
use causeway_core::{ClusterState, Location};

/// A case, read as far as discovery reads.
pub(crate) struct Case {
    pub(crate) config: Arc<Config>,
    pub(crate) home: ClusterId,
    pub(crate) requests: Vec<Request>,
    pub(crate) states: Vec<ClusterState>,
}

/// A request to decide.
pub(crate) struct Request {
    /// As the case has it.
    pub(crate) text: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) location: Option<Location>,
}

impl Case {
    /// # Panics
    /// Where the text is no case: with the fault, and its name.
    pub(crate) fn read(name: &str, text: &str) -> Self {
        let (config, clusters) = split(text);
        let parsed = causeway_config::parse(config.as_bytes(), Path::new("fleet.yaml"));
        let config = parsed.unwrap_or_else(|faults| panic!("{name}: {faults}")).config;
        for cluster in clusters.keys() {
            assert!(config.clusters.iter().any(|c| c.id.as_str() == *cluster), "{name}: there is no cluster {cluster}");
        }
        let said = |what: &'static str| text.lines().filter_map(move |line| line.strip_prefix("# ")?.strip_prefix(what));
        let home = said("home: ").next().map_or_else(|| config.clusters[0].id.clone(), |home| home.parse().expect("a cluster"));
        let requests = said("request: ").map(Request::read).collect();
        let folder = tempfile::tempdir().expect("the system gives a temporary folder");
        let state = |id: &ClusterId| {
            let own = folder.path().join(id.as_str());
            fs::create_dir(&own).expect("a new folder is writable");
            fs::write(own.join("in.yaml"), clusters.get(id.as_str()).map_or("", String::as_str))
                .expect("a new folder is writable");
            causeway_discovery::load(id, &own).0
        };
        let states = config.clusters.iter().map(|c| state(&c.id)).collect();
        Self { config: Arc::new(config), home, requests, states }
    }
}

impl Request {
    fn read(text: &str) -> Self {
        let (url, from) = text.split_once(" from ").map_or((text, None), |(url, from)| (url, Some(from)));
        let slash = url.find('/').expect("a request has a path");
        let location = from.map(|code| Location {
            country: code[..2].parse().expect("a location begins with a country"),
            subdivision: (code.len() > 2).then(|| code.parse().expect("a longer location is a subdivision")),
        });
        Self { text: text.into(), host: url[..slash].into(), path: url[slash..].into(), location }
    }
}

/// The configuration, and each cluster's objects.
fn split(text: &str) -> (String, BTreeMap<&str, String>) {
    let mut config = String::new();
    let mut clusters: BTreeMap<&str, String> = BTreeMap::new();
    let mut part = &mut config;
    for line in text.lines() {
        if let Some(cluster) = line.strip_prefix("# cluster: ") {
            part = clusters.entry(cluster).or_default();
        }
        part.push_str(line);
        part.push('\n');
    }
    let config = config.trim_end().trim_end_matches("---").to_owned();
    (config, clusters)
}
