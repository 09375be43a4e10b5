//! Requests by route and cluster: the counters that every request touches.
//!
//! The rows are made when routes are published, never by a request, which finds its row by a hash look-up without a
//! lock and then adds to atomics. That also bounds them: what a client sends cannot make a row, and the rows of a route
//! that is gone go with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use causeway_config::ClusterId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::histogram::Latencies;
use super::labels::{Name, Status};

/// The label of a request without a route, or without a cluster.
const NONE: &str = "none";

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What the client was told.
    pub status: Status,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
}

/// The counters of one route at one cluster.
#[derive(Debug)]
pub struct Series {
    cloud: Arc<Cloud>,
    /// Made for the first request: of ten thousand routes most are never asked for at most clusters.
    counters: OnceLock<Box<Counters>>,
}

#[derive(Debug, Default)]
struct Counters {
    statuses: [AtomicU64; Status::ALL.len()],
    latencies: Latencies,
}

impl Series {
    /// Counts a request that has ended.
    pub fn record(&self, outcome: &Outcome) {
        let counters = self.counters.get_or_init(Box::default);
        counters.statuses[outcome.status as usize].fetch_add(1, Relaxed);
        counters.latencies.observe(outcome.duration);
        self.cloud.received.fetch_add(outcome.received, Relaxed);
        self.cloud.sent.fetch_add(outcome.sent, Relaxed);
    }
}

/// Bytes between the home cluster and one cluster.
#[derive(Debug)]
struct Cloud {
    /// `None` is no cluster: answers that the edge made itself.
    cluster: Option<ClusterId>,
    received: AtomicU64,
    sent: AtomicU64,
}

/// The counters of one route: one series a cluster, in the table's order.
type Row = Arc<[Arc<Series>]>;

struct Table {
    /// The first is no cluster.
    clouds: Vec<Arc<Cloud>>,
    unrouted: Row,
    routes: HashMap<Arc<str>, Row>,
}

/// The rows of all published routes.
pub(super) struct Requests {
    home: ClusterId,
    table: ArcSwap<Table>,
}

impl Requests {
    pub(super) fn new(home: ClusterId) -> Self {
        let empty = Table { clouds: Vec::new(), unrouted: Arc::default(), routes: HashMap::new() };
        let requests = Self { home, table: ArcSwap::from_pointee(empty) };
        requests.publish(&[], std::iter::empty());
        requests
    }

    /// Makes the rows of these routes at these clusters; what was counted for them before is kept.
    pub(super) fn publish(&self, clusters: &[ClusterId], routes: impl Iterator<Item = Arc<str>>) {
        let old = self.table.load();
        let clouds: Vec<Arc<Cloud>> = std::iter::once(None)
            .chain(clusters.iter().cloned().map(Some))
            .map(|cluster| {
                let kept = old.clouds.iter().find(|cloud| cloud.cluster == cluster).cloned();
                kept.unwrap_or_else(|| Arc::new(Cloud { cluster, received: AtomicU64::new(0), sent: AtomicU64::new(0) }))
            })
            .collect();
        let same_clouds = clouds.len() == old.clouds.len() && clouds.iter().zip(&old.clouds).all(|(a, b)| Arc::ptr_eq(a, b));
        let row = |kept: Option<&Row>| match kept {
            Some(row) if same_clouds => Arc::clone(row),
            _ => clouds.iter().map(|cloud| series(cloud, kept)).collect(),
        };
        let routes = routes.map(|route| {
            let row = row(old.routes.get(&route));
            (route, row)
        });
        let table = Table { routes: routes.collect(), unrouted: row(Some(&old.unrouted)), clouds: clouds.clone() };
        self.table.store(Arc::new(table));
    }

    /// The counters for a request; a route or cluster that is not published counts as none.
    pub(super) fn series(&self, route: Option<&str>, cluster: Option<&ClusterId>) -> Arc<Series> {
        let table = self.table.load();
        let row = route.and_then(|route| table.routes.get(route)).unwrap_or(&table.unrouted);
        let found = row.iter().find(|series| series.cloud.cluster.as_ref() == cluster);
        Arc::clone(found.unwrap_or(&row[0]))
    }

    fn encode_requests(table: &Table, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by route (its object), cluster that served them, and class of the status.";
        let mut metric = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (route, series, counters) in table.counters() {
            for status in Status::ALL {
                let count = counters.statuses[*status as usize].load(Relaxed);
                if count > 0 {
                    let labels = [("route", Name(route)), ("cluster", series.cloud.label()), ("status", Name(status.as_str()))];
                    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        Ok(())
    }

    fn encode_latencies(table: &Table, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time from a request's first byte to its response's last, by route and cluster that served it.";
        let mut metric = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (route, series, counters) in table.counters() {
            let observed = counters.latencies.observed();
            if observed.count > 0 {
                let labels = [("route", Name(route)), ("cluster", series.cloud.label())];
                let mut family = metric.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(observed.sum, observed.count, &observed.buckets, None)?;
            }
        }
        Ok(())
    }

    fn encode_clouds(&self, table: &Table, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Bytes of bodies between the home cluster and the one that served.";
        let mut metric = encoder.encode_descriptor("cloud_bytes", help, None, MetricType::Counter)?;
        for cloud in table.clouds.iter().filter(|cloud| cloud.cluster.is_some()) {
            for (direction, bytes) in [("request", &cloud.received), ("response", &cloud.sent)] {
                let labels = [("home", Name(self.home.as_str())), ("cluster", cloud.label()), ("direction", Name(direction))];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&bytes.load(Relaxed), None)?;
            }
        }
        Ok(())
    }
}

impl Table {
    /// Of all series that have counted something.
    fn counters(&self) -> impl Iterator<Item = (&str, &Series, &Counters)> {
        let routes = self.routes.iter().map(|(route, row)| (&**route, row));
        let rows = routes.chain(std::iter::once((NONE, &self.unrouted)));
        rows.flat_map(|(route, row)| row.iter().filter_map(move |series| Some((route, &**series, &**series.counters.get()?))))
    }
}

impl Cloud {
    fn label(&self) -> Name<'_> {
        Name(self.cluster.as_ref().map_or(NONE, ClusterId::as_str))
    }
}

/// The series of a cloud, carried over from a row where that has one.
fn series(cloud: &Arc<Cloud>, kept: Option<&Row>) -> Arc<Series> {
    let kept = kept.and_then(|row| row.iter().find(|series| Arc::ptr_eq(&series.cloud, cloud)));
    kept.cloned().unwrap_or_else(|| Arc::new(Series { cloud: Arc::clone(cloud), counters: OnceLock::new() }))
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("routes", &self.table.load().routes.len()).finish_non_exhaustive()
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.table.load_full();
        Self::encode_requests(&table, &mut encoder)?;
        Self::encode_latencies(&table, &mut encoder)?;
        self.encode_clouds(&table, &mut encoder)
    }
}
