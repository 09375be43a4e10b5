#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_core::cluster::Freshness;
use causeway_core::link::{InstanceId, LinkCell};
use causeway_core::peer::Peer;
use causeway_discovery::kube::{Cause, Evidence};
use causeway_discovery::translate::Kind;

use super::*;

fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn metrics() -> Metrics {
    Metrics::new(&cluster("aws"), SystemTime::UNIX_EPOCH + Duration::from_secs(7))
}

fn ok(millis: u64) -> Outcome {
    Outcome { status: Status::from(200), duration: Duration::from_millis(millis), received: 3, sent: 5 }
}

/// The counters of an API server that was heard at second 30.
fn followed() -> Arc<Stats> {
    let stats = Stats::new(Evidence::new(Arc::new(|| Nanos(0))));
    stats.listed(Kind::Service, Nanos(30_000_000_000));
    Arc::new(stats)
}

/// Azure, whose one edge answers after 80 ms.
fn linked() -> ClusterPeers {
    let link = Arc::new(LinkCell::default());
    link.answered(Duration::from_millis(80));
    let peer = Peer { instance: InstanceId::of(1), address: "203.0.113.1:8444".parse().unwrap(), link };
    ClusterPeers { cluster: cluster("azure"), peers: Arc::new(vec![peer]), counts: None }
}

/// Uses every method once, so that every family has a value.
fn used() -> Metrics {
    let metrics = metrics();
    let azure = cluster("azure");
    metrics.publish_routes(std::slice::from_ref(&azure), ["ingress/shop/web".into()].into_iter());
    metrics.series(Some("ingress/shop/web"), Some(&azure)).record(&ok(20));
    drop(metrics.request());
    drop(metrics.connection(Listener::Https));
    metrics.handshake(Some(TlsVersion::V1_3), Handshake::Ok);
    metrics.retry(RetryReason::Connect);
    metrics.refusal(RefusalReason::NoRoute);
    metrics.reload(Reload::Config, ReloadResult::Ok);
    metrics.snapshot(4, 1, 2);
    let stale = ClusterState { freshness: Freshness::Stale(Nanos(0)), ..ClusterState::syncing(azure) };
    metrics.sources(vec![(cluster("google"), followed())]);
    metrics.clusters(&[stale], Nanos(40_000_000_000));
    metrics.attempt(Step::Sticky);
    metrics.retry_denied();
    metrics.spilled(Spill::Share);
    metrics.health_check(&cluster("google"), false);
    metrics.health(vec![ClusterHealth {
        cluster: cluster("google"),
        endpoints: [7, 1, 0, 0, 0, 0, 0],
        pools: [2, 0, 1, 0, 0, 0],
    }]);
    let certificate = Certificate {
        name: "shop/tls".into(),
        source: CertificateSource::Secret,
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
    };
    metrics.certificates([certificate]);
    metrics.peer_refusal(PeerRefusal::Handshake);
    metrics.peers(&[linked()], &[(cluster("azure"), Verdict::LinkDead)]);
    metrics
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
}

#[test]
fn every_method_shows_in_the_text() {
    let text = used().encode();
    for line in [
        r#"causeway_requests_total{route="ingress/shop/web",cluster="azure",status="2xx"} 1"#,
        r#"causeway_request_duration_seconds_bucket{le="0.025",route="ingress/shop/web",cluster="azure"} 1"#,
        r#"causeway_request_duration_seconds_count{route="ingress/shop/web",cluster="azure"} 1"#,
        r#"causeway_cloud_bytes_total{home="aws",cluster="azure",direction="request"} 3"#,
        r#"causeway_cloud_bytes_total{home="aws",cluster="azure",direction="response"} 5"#,
        "causeway_requests_in_flight 0",
        r#"causeway_connections_total{listener="https"} 1"#,
        r#"causeway_connections_open{listener="https"} 0"#,
        r#"causeway_tls_handshakes_total{version="1.3",result="ok"} 1"#,
        r#"causeway_retries_total{reason="connect"} 1"#,
        r#"causeway_refusals_total{reason="no_route"} 1"#,
        r#"causeway_reloads_total{what="config",result="ok"} 1"#,
        r#"causeway_tries_total{step="sticky"} 1"#,
        "causeway_retries_denied_total 1",
        r#"causeway_endpoints{cluster="google",state="ready"} 7"#,
        r#"causeway_cluster_pools{cluster="google",state="silent"} 1"#,
        "causeway_snapshot_generation 4",
        "causeway_snapshot_diagnostics 2",
        r#"causeway_cluster_state{cluster="azure",state="stale"} 1"#,
        r#"causeway_cluster_state{cluster="azure",state="synced"} 0"#,
        r#"causeway_cluster_stale_seconds{cluster="azure"} 40.0"#,
        r#"causeway_certificate_expiry_timestamp_seconds{name="shop/tls",source="secret"} 100"#,
        r#"causeway_discovery_last_event_seconds{cluster="google"} 10.0"#,
        r#"causeway_discovery_lists_total{cluster="google",kind="Service"} 1"#,
        r#"causeway_discovery_faults_total{cluster="google",cause="gone"} 0"#,
        r#"causeway_peer_links{cluster="azure",state="up"} 1"#,
        r#"causeway_peer_rtt_seconds{cluster="azure"} 0.08"#,
        r#"causeway_peer_refusals_total{reason="handshake"} 1"#,
        r#"causeway_cluster_verdict{cluster="azure",verdict="link_dead"} 1"#,
        "process_start_time_seconds 7.0",
    ] {
        has(&text, line);
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_a_client_names_never_becomes_a_label() {
    let metrics = metrics();
    metrics.series(Some("ingress/evil/guess"), Some(&cluster("moon"))).record(&ok(1));
    let text = metrics.encode();
    has(&text, r#"causeway_requests_total{route="none",cluster="none",status="2xx"} 1"#);
    assert!(!text.contains("evil") && !text.contains("moon"), "{text}");
}

#[test]
fn counts_outlive_a_new_snapshot_and_go_with_their_route() {
    let metrics = metrics();
    let (azure, google) = (cluster("azure"), cluster("google"));
    metrics.publish_routes(std::slice::from_ref(&azure), ["a".into(), "b".into()].into_iter());
    let begun = metrics.series(Some("a"), Some(&azure));
    metrics.series(Some("b"), Some(&azure)).record(&ok(1));
    metrics.publish_routes(&[google.clone(), azure.clone()], ["a".into()].into_iter());
    // A request that began under the old snapshot ends under the new one.
    begun.record(&ok(1));
    metrics.series(Some("a"), Some(&google)).record(&ok(1));
    let text = metrics.encode();
    has(&text, r#"causeway_requests_total{route="a",cluster="azure",status="2xx"} 1"#);
    has(&text, r#"causeway_requests_total{route="a",cluster="google",status="2xx"} 1"#);
    assert!(!text.contains(r#"route="b""#), "{text}");
    // Bytes between clouds are no route's own.
    has(&text, r#"causeway_cloud_bytes_total{home="aws",cluster="azure",direction="request"} 6"#);
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let metrics = metrics();
    metrics.publish_routes(&[], ["a\"} 1\n\\b".into()].into_iter());
    metrics.series(Some("a\"} 1\n\\b"), None).record(&ok(1));
    has(&metrics.encode(), r#"causeway_requests_total{route="a\"} 1\n\\b",cluster="none",status="2xx"} 1"#);
}

#[test]
fn an_answer_of_the_edge_itself_crosses_no_cloud() {
    let metrics = metrics();
    metrics.series(None, None).record(&Outcome { status: Status::from(404), ..ok(1) });
    let text = metrics.encode();
    has(&text, r#"causeway_requests_total{route="none",cluster="none",status="4xx"} 1"#);
    assert!(!text.contains("causeway_cloud_bytes_total{"), "{text}");
}

#[test]
fn open_things_are_counted_until_they_are_dropped() {
    let metrics = metrics();
    let (request, connection) = (metrics.request(), metrics.connection(Listener::Peer));
    let text = metrics.encode();
    has(&text, "causeway_requests_in_flight 1");
    has(&text, r#"causeway_connections_open{listener="peer"} 1"#);
    drop((request, connection));
    let text = metrics.encode();
    has(&text, "causeway_requests_in_flight 0");
    has(&text, r#"causeway_connections_open{listener="peer"} 0"#);
}

#[test]
fn a_cluster_that_has_gone_is_no_longer_told_of() {
    let metrics = metrics();
    metrics.clusters(&[ClusterState::syncing(cluster("azure"))], Nanos(0));
    metrics.clusters(&[], Nanos(0));
    assert!(!metrics.encode().contains("azure"));
}

/// Families of the exposition: name as it is queried, kind, label names in their order.
fn exposed(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let family = |(family, kind): (&str, &str)| {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = format!("{family}{suffix}");
        let sample = text.lines().find(|line| {
            let rest = line.strip_prefix(if kind == "histogram" { family } else { &name }).unwrap_or_default();
            rest.starts_with(['{', ' ']) || rest.starts_with("_count")
        });
        let sample = sample.unwrap_or_else(|| panic!("{name} has no value; let `used` use it"));
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
        (name, (kind.to_owned(), labels))
    };
    kinds.map(family).collect()
}

/// The rows of the manual's table: `| name | kind | labels | meaning |`.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let manual = include_str!("../../../docs/operations.md");
    let table = manual.split_once("\n## Metrics\n").unwrap().1.split("\nValues of the closed labels:").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert!(!cells[4].is_empty(), "{row} says no meaning");
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    })
    .collect()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the process's own families come from /proc")]
fn the_manual_lists_exactly_the_families_that_there_are() {
    assert_eq!(documented(), exposed(&used().encode()));
}

#[test]
fn the_manual_lists_every_value_of_every_closed_label() {
    let manual = include_str!("../../../docs/operations.md");
    macro_rules! values {
        ($($set:ident)+) => {
            [$($set::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>(),)+]
        };
    }
    for value in
        values!(Status RetryReason RefusalReason Reload ReloadResult Listener Handshake CertificateSource Cause Kind).concat()
    {
        assert!(manual.contains(&format!("`{value}`")), "docs/operations.md does not explain the label value `{value}`");
    }
}
