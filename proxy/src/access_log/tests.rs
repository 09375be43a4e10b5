#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;

use serde_json::{Value, json as value};

use super::*;

fn metrics() -> Metrics {
    Metrics::new(&"aws".parse().unwrap(), SystemTime::UNIX_EPOCH)
}

fn entry(path: &str) -> Entry {
    Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_120),
        request_id: "r1".into(),
        client: "192.0.2.1".parse().unwrap(),
        method: "GET".into(),
        host: "shop.example.com".into(),
        path: path.into(),
        protocol: http::Version::HTTP_2,
        tls_version: Some(TlsVersion::V1_3),
        status: Some(200),
        bytes_in: 1,
        bytes_out: 2,
        duration: Duration::from_micros(1_500),
        upstream_duration: None,
        route: Some("ingress/shop/web".into()),
        cluster: Some("azure".parse().unwrap()),
        endpoint: Some("10.0.0.1:8080".parse().unwrap()),
        attempts: 2,
        reason: Some(RefusalReason::NoEndpoint),
        country: Some("DE".parse().unwrap()),
        user_agent: Some("curl/8\n\"x\"".into()),
    }
}

/// What was written, visible while the log still holds the other end.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_becomes_one_line_of_json() {
    let page = Page::default();
    let log = AccessLog::start(page.clone(), 4, &metrics()).unwrap();
    log.log(entry("/cart"));
    assert!(log.flush(Duration::from_mins(1)).await);
    let text = page.text();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let expected = value!({
        "time": "2023-11-14T22:13:20.120Z", "requestId": "r1", "client": "192.0.2.1", "method": "GET",
        "host": "shop.example.com", "path": "/cart", "protocol": "HTTP/2.0", "tlsVersion": "1.3", "status": 200,
        "bytesIn": 1, "bytesOut": 2, "durationMs": 1.5, "upstreamDurationMs": null, "route": "ingress/shop/web",
        "cluster": "azure", "endpoint": "10.0.0.1:8080", "attempts": 2, "reason": "no_endpoint", "country": "DE",
        "userAgent": "curl/8\n\"x\"",
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let text = serde_json::to_value(entry(&"é".repeat(600))).unwrap();
    assert_eq!(text["path"].as_str().unwrap(), format!("{}…", "é".repeat(512)));
    let exact = "x".repeat(json::TEXT_LIMIT);
    assert_eq!(serde_json::to_value(entry(&exact)).unwrap()["path"], *exact);
}

/// Tells of each write, and then waits until it may go on.
struct Stuck {
    begun: std_mpsc::Sender<()>,
    go: std_mpsc::Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.send(()).unwrap();
        // An error is the test's end.
        let _ = self.go.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_output_costs_lines_and_never_time() {
    let (begun, has_begun) = std_mpsc::channel();
    let (go, gone) = std_mpsc::channel();
    let metrics = metrics();
    let log = AccessLog::start(Stuck { begun, go: gone }, 2, &metrics).unwrap();
    log.log(entry("/being-written"));
    has_begun.recv().unwrap();
    // Two fit into the queue, three do not.
    for _ in 0..5 {
        log.log(entry("/"));
    }
    let text = metrics.encode();
    assert!(text.contains("causeway_access_log_dropped_lines_total 3\n"), "{text}");
    drop(go);
}

#[tokio::test(start_paused = true)]
async fn a_flush_gives_up_when_its_time_is_over() {
    let (begun, _has_begun) = std_mpsc::channel();
    let (_go, gone) = std_mpsc::channel();
    let log = AccessLog::start(Stuck { begun, go: gone }, 1, &metrics()).unwrap();
    log.log(entry("/"));
    assert!(!log.flush(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_failing_output_is_counted() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let metrics = metrics();
    let log = AccessLog::start(Full, 4, &metrics).unwrap();
    log.log(entry("/"));
    assert!(!log.flush(Duration::from_mins(1)).await);
    let text = metrics.encode();
    assert!(!text.contains("causeway_access_log_dropped_lines_total 0\n"), "{text}");
}
