//! Gauges that mirror published state: clusters and certificates.
//!
//! Each set is replaced whole, so that a scrape sees all of it or none, and what is gone from the fleet is gone from
//! here.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use causeway_config::ClusterId;
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::time::Nanos;
use causeway_core::view::{ClusterHealth, ENDPOINT_STATES, MEMBER_STATES};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use super::labels::{CertificateSource, Name};

const STATES: [&str; 3] = ["syncing", "synced", "stale"];

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// What it is called where it comes from: a Secret's name, a file's path, a host.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: CertificateSource,
    /// When it stops being valid.
    pub not_after: SystemTime,
}

#[derive(Debug)]
struct ClusterFacts {
    cluster: ClusterId,
    state: &'static str,
    stale_seconds: f64,
    objects: [(&'static str, u64); 3],
}

/// What was published last.
#[derive(Debug, Default)]
pub(super) struct State {
    clusters: ArcSwap<Vec<ClusterFacts>>,
    certificates: ArcSwap<BTreeSet<Certificate>>,
    health: ArcSwap<Vec<ClusterHealth>>,
}

impl State {
    pub(super) fn health(&self, health: Vec<ClusterHealth>) {
        self.health.store(Arc::new(health));
    }

    pub(super) fn clusters(&self, clusters: &[ClusterState], now: Nanos) {
        let facts = clusters.iter().map(|cluster| {
            let (state, stale_seconds) = match cluster.freshness {
                Freshness::Syncing => (STATES[0], 0.0),
                Freshness::Synced => (STATES[1], 0.0),
                Freshness::Stale(since) => (STATES[2], now.since(since).as_secs_f64()),
            };
            let endpoints: usize = cluster.endpoints.values().map(|endpoints| endpoints.len()).sum();
            let objects = [
                ("service", cluster.objects.services.len() as u64),
                ("ingress", cluster.objects.ingresses.len() as u64),
                ("endpoint", endpoints as u64),
            ];
            ClusterFacts { cluster: cluster.cluster.clone(), state, stale_seconds, objects }
        });
        self.clusters.store(Arc::new(facts.collect()));
    }

    pub(super) fn certificates(&self, certificates: impl IntoIterator<Item = Certificate>) {
        self.certificates.store(Arc::new(certificates.into_iter().collect()));
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clusters = self.clusters.load_full();
        let states = clusters.iter().flat_map(|facts| {
            STATES.map(|state| ([("cluster", facts.cluster.as_str()), ("state", state)], u64::from(state == facts.state)))
        });
        gauge(&mut encoder, "cluster_state", "Whether a cluster is in this state: 1 for yes.", states)?;
        let stale = clusters.iter().map(|facts| ([("cluster", facts.cluster.as_str())], facts.stale_seconds));
        gauge(&mut encoder, "cluster_stale_seconds", "Time since the last news of a cluster's API server; 0 if fresh.", stale)?;
        let objects = clusters
            .iter()
            .flat_map(|facts| facts.objects.map(|(kind, count)| ([("cluster", facts.cluster.as_str()), ("kind", kind)], count)));
        gauge(&mut encoder, "cluster_objects", "Objects known of a cluster.", objects)?;
        let health = self.health.load_full();
        let endpoints = health.iter().flat_map(|facts| by_state(&facts.cluster, &ENDPOINT_STATES, &facts.endpoints));
        gauge(&mut encoder, "endpoints", "Endpoints of all pools, by state.", endpoints)?;
        let pools = health.iter().flat_map(|facts| by_state(&facts.cluster, &MEMBER_STATES, &facts.pools));
        gauge(&mut encoder, "cluster_pools", "Pools in which a cluster takes part, by the state of its part.", pools)?;
        let certificates = self.certificates.load_full();
        let expiries = certificates.iter().map(|certificate| {
            let expiry = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            ([("name", &*certificate.name), ("source", certificate.source.as_str())], expiry)
        });
        let help = "When a certificate stops being valid, in seconds since 1970.";
        gauge(&mut encoder, "certificate_expiry_timestamp_seconds", help, expiries)
    }
}

pub(super) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

fn by_state<'a>(
    cluster: &'a ClusterId,
    states: &'a [&'static str],
    counts: &'a [u64],
) -> impl Iterator<Item = (Labels<'a, 2>, u64)> {
    states.iter().zip(counts).map(|(state, count)| ([("cluster", cluster.as_str()), ("state", *state)], *count))
}

pub(super) fn gauge<'a, const N: usize, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Labels<'a, N>, V)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(&labels.map(|(label, value)| (label, Name(value))))?.encode_gauge(&value)?;
    }
    Ok(())
}
