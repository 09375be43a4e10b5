//! The access log: one JSON object a line, for each request that has ended. Off by default.
//!
//! The data plane hands an [`Entry`] to a bounded queue and goes on; a thread of the log's own turns entries into text
//! and writes them. A disk or a pipe that is too slow fills the queue, and then lines are dropped and counted
//! (`causeway_access_log_dropped_lines_total`): a lost line is better than a stalled request.
//!
//! **No query strings.** They hold session tokens, signed URLs, e-mail addresses and searches, and a log is kept longer
//! and read by more people than the requests were meant for. Neither are cookies, `Authorization` or `Referer` logged.

mod json;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use causeway_config::{ClusterId, Country, TlsVersion};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::{Metrics, RefusalReason};

/// Entries that may wait: a tenth of a second's worth of a very busy edge, some megabytes at most.
pub const QUEUE: usize = 8_192;

/// A request that has ended. docs/operations.md says what each field means.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When its first byte came.
    #[serde(serialize_with = "json::rfc3339")]
    pub time: SystemTime,
    /// The id that the backend saw too.
    pub request_id: Arc<str>,
    /// Who sent it, as far as the listener's rules believe.
    pub client: IpAddr,
    /// The method.
    #[serde(serialize_with = "json::limited")]
    pub method: String,
    /// The host, in normal form.
    #[serde(serialize_with = "json::limited")]
    pub host: String,
    /// The path, without query.
    #[serde(serialize_with = "json::limited")]
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2.0`
    #[serde(serialize_with = "json::protocol")]
    pub protocol: http::Version,
    /// The client's TLS version; none for a plain listener.
    pub tls_version: Option<TlsVersion>,
    /// What the client was answered; none if it went away first.
    pub status: Option<u16>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the first byte in to the last byte out.
    #[serde(rename = "durationMs", serialize_with = "json::milliseconds")]
    pub duration: Duration,
    /// From the last try's beginning to its response header; none without one.
    #[serde(rename = "upstreamDurationMs", serialize_with = "json::optional_milliseconds")]
    pub upstream_duration: Option<Duration>,
    /// The route, by its object.
    pub route: Option<Arc<str>>,
    /// The cluster that served it.
    pub cluster: Option<ClusterId>,
    /// The address that served it: a pod's, or a peer edge's.
    pub endpoint: Option<SocketAddr>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the edge answered itself.
    pub reason: Option<RefusalReason>,
    /// Where the client is.
    #[serde(serialize_with = "json::country")]
    pub country: Option<Country>,
    /// `User-Agent`.
    #[serde(serialize_with = "json::optional_limited")]
    pub user_agent: Option<String>,
}

enum Message {
    Entry(Box<Entry>),
    Flush(oneshot::Sender<()>),
}

/// The data plane's end of the log.
#[derive(Debug)]
pub struct AccessLog {
    queue: mpsc::Sender<Message>,
    dropped: Counter,
}

impl AccessLog {
    /// Starts the writing thread. `output` gets whole lines, and is flushed whenever the queue is empty; the thread ends
    /// once this is dropped and the queue is written out.
    pub fn start(output: impl Write + Send + 'static, queue: usize, metrics: &Metrics) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue);
        let dropped = metrics.access_log_dropped();
        let log = Self { queue: sender, dropped: dropped.clone() };
        thread::Builder::new().name("access-log".into()).spawn(move || write(receiver, output, &dropped))?;
        Ok(log)
    }

    /// Logs a request, or counts a lost line. Never waits.
    pub fn log(&self, entry: Entry) {
        if self.queue.try_send(Message::Entry(Box::new(entry))).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until everything logged so far is written, at the end of a drain; `false` if it
    /// cannot be, or not within `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let flushed = async {
            let (done, waiting) = oneshot::channel();
            self.queue.send(Message::Flush(done)).await.is_ok() && waiting.await.is_ok()
        };
        tokio::time::timeout(limit, flushed).await.unwrap_or(false)
    }
}

/// The thread: text goes out in pieces of up to 64 KiB while entries keep coming, at once when they stop.
fn write(mut queue: mpsc::Receiver<Message>, output: impl Write, dropped: &Counter) {
    let mut output = io::BufWriter::with_capacity(64 << 10, output);
    let mut failing = false;
    let mut line = Vec::new();
    while let Some(message) = queue.blocking_recv() {
        let (written, waiting) = match message {
            Message::Entry(entry) => {
                line.clear();
                serde_json::to_writer(&mut line, &entry).expect("an entry holds nothing that JSON cannot say");
                line.push(b'\n');
                (output.write_all(&line).and_then(|()| if queue.is_empty() { output.flush() } else { Ok(()) }), None)
            }
            Message::Flush(done) => (output.flush(), Some(done)),
        };
        match written {
            Ok(()) => {
                failing = false;
                // Whoever waits may have given up by now.
                waiting.map(|done| done.send(()));
            }
            Err(error) => {
                dropped.inc();
                // Once per outage: a full disk must not be filled further by complaints about it.
                if !failing {
                    tracing::error!(%error, "cannot write the access log; lines are lost until its output takes them again");
                }
                failing = true;
            }
        }
    }
}
