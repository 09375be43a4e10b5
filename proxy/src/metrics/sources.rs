//! What the sources of clusters count: lists, watches, bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use causeway_config::ClusterId;
use causeway_core::time::Nanos;
use causeway_discovery::kube::Stats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde_json::{Map, Value, json};

use super::labels::Name;

/// The clusters that are API servers, and their counters.
#[derive(Default)]
pub(super) struct Sources {
    all: ArcSwap<Vec<(ClusterId, Arc<Stats>)>>,
    /// When ages were asked for.
    now: AtomicU64,
}

impl Sources {
    pub(super) fn set(&self, all: Vec<(ClusterId, Arc<Stats>)>) {
        self.all.store(Arc::new(all));
    }

    pub(super) fn age(&self, now: Nanos) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    /// Everything at once, for people; times are ages at `now` in seconds.
    pub(super) fn view(&self, now: Nanos) -> Value {
        let all = self.all.load();
        let sources = all.iter().map(|(cluster, stats)| {
            let evidence = stats.evidence();
            let (opened, silent) = evidence.watches();
            let kinds = |counts: &mut dyn Iterator<Item = (&'static str, u64)>| {
                counts.map(|(k, n)| (k.into(), n.into())).collect::<Map<_, _>>()
            };
            let value = json!({
                "lastEventSeconds": stats.last_event().map(|at| now.since(at).as_secs_f64()),
                "events": stats.events(),
                "objects": kinds(&mut stats.objects().map(|(kind, n)| (kind.as_str(), n))),
                "lists": kinds(&mut stats.lists().map(|(kind, n)| (kind.as_str(), n))),
                "watches": {"opened": opened, "silent": silent},
                "restarts": kinds(&mut stats.restarts().map(|(cause, n)| (cause.as_str(), n))),
                "requests": evidence.requests(),
                "bytes": evidence.bytes(),
            });
            (cluster.to_string(), value)
        });
        Value::Object(sources.collect())
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.all.load_full();
        let now = Nanos(self.now.load(Ordering::Relaxed));
        let help = "Time since the last list or event; absent before the first.";
        let mut metric = encoder.encode_descriptor("discovery_last_event_seconds", help, None, MetricType::Gauge)?;
        for (cluster, at) in all.iter().filter_map(|(cluster, stats)| Some((cluster, stats.last_event()?))) {
            metric.encode_family(&[("cluster", Name(cluster.as_str()))])?.encode_gauge(&now.since(at).as_secs_f64())?;
        }
        let of_cluster =
            |value: fn(&Stats) -> u64| all.iter().map(move |(cluster, stats)| ([("cluster", cluster.as_str())], value(stats)));
        counter(&mut encoder, "discovery_events", "Events that the watches of a cluster brought.", of_cluster(Stats::events))?;
        let bytes = of_cluster(|stats| stats.evidence().bytes());
        counter(&mut encoder, "discovery_received_bytes", "What an API server sent, in bytes of bodies.", bytes)?;
        counter(
            &mut encoder,
            "discovery_requests",
            "Requests to an API server.",
            of_cluster(|stats| stats.evidence().requests()),
        )?;
        let opened = of_cluster(|stats| stats.evidence().watches().0);
        counter(&mut encoder, "discovery_watches_opened", "Watches that were opened, the resumed ones included.", opened)?;
        let silent = of_cluster(|stats| stats.evidence().watches().1);
        counter(&mut encoder, "discovery_watches_silent", "Watches that were opened anew since nothing came for 25 s.", silent)?;
        let lists = all.iter().flat_map(|(cluster, stats)| {
            stats.lists().map(move |(kind, n)| ([("cluster", cluster.as_str()), ("kind", kind.as_str())], n))
        });
        counter(&mut encoder, "discovery_lists", "Full lists of a kind.", lists)?;
        let restarts = all.iter().flat_map(|(cluster, stats)| {
            stats.restarts().map(move |(cause, n)| ([("cluster", cluster.as_str()), ("cause", cause.as_str())], n))
        });
        counter(&mut encoder, "discovery_faults", "Lists and watches that failed, by cause.", restarts)
    }
}

fn counter<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(&'a str, &'a str); N], u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        let labels = labels.map(|(label, value)| (label, Name(value)));
        metric.encode_family(&labels)?.encode_counter::<prometheus_client::encoding::NoLabelSet, u64, u64>(&value, None)?;
    }
    Ok(())
}
