//! `causeway whoami`: the little backend that tells where it was served.
//!
//! The demo, the examples and the tests run it behind the edges: each answer names the cluster and the pod, and shows
//! the request as it arrived. It speaks HTTP/1.1 and HTTP/2 without TLS (h2c with prior knowledge) on one port.
//!
//! `?wait=250ms`, `?status=503` and `?size=65536` make it slow, failing or talkative, for tests of what is in front of
//! it. `/healthz` answers 200 whatever the query says.

mod answer;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

/// For a request's header to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// For requests that are being answered at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept: the usual cause is that descriptors have run out, and trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who this backend says it is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its own name, such as the pod's.
    pub name: String,
    /// The cluster that it runs in.
    pub cluster: Option<String>,
    /// The machine's name.
    pub hostname: String,
    /// What a browser is shown.
    pub page: Page,
    /// Whether only HTTP/2 is spoken, as backends of gRPC do; else both.
    pub h2c: bool,
}

/// `causeway whoami`, as typed.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 lets the kernel choose.
    #[arg(long, env = "WHOAMI_BIND", default_value = "0.0.0.0:8080")]
    pub bind: SocketAddr,
    /// Its own name, such as the pod's.
    #[arg(long, env = "WHOAMI_NAME", default_value = "whoami")]
    pub name: String,
    /// The cluster that it runs in.
    #[arg(long, env = "WHOAMI_CLUSTER")]
    pub cluster: Option<String>,
    /// What a browser is shown.
    #[arg(long, env = "WHOAMI_PAGE", value_enum, default_value_t)]
    pub page: Page,
    /// Speak HTTP/2 without TLS only, instead of HTTP/1.1 beside it.
    #[arg(long)]
    pub h2c: bool,
}

impl Args {
    /// Who this backend is, with the name of the machine that it finds itself on.
    pub fn options(&self) -> Options {
        // proc(5); in a pod it is the pod's name. Elsewhere shells tell it.
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
        Options {
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            hostname: hostname.unwrap_or_default().trim().to_owned(),
            page: self.page,
            h2c: self.h2c,
        }
    }
}

/// What `/` and every other path answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Page {
    /// The facts, as text or JSON.
    #[default]
    Facts,
    /// A small page in HTML that stands in for a `WordPress` site, and names the cluster.
    Wordpress,
}

/// Serves a bound socket until `shutdown` ends, then lets begun requests finish.
///
/// A request that comes while shutting down is refused with `Connection: close` or GOAWAY, as the protocol has it.
pub async fn serve(listener: TcpListener, options: Options, shutdown: impl Future<Output = ()>) {
    let options = Arc::new(options);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http2().timer(TokioTimer::new());
    if options.h2c {
        server = server.http2_only();
    }
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, remote) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        // Small answers are the rule here, and their latency is what is measured. A connection that is gone already
        // cannot be told, which is no matter.
        let _ = stream.set_nodelay(true);
        let options = Arc::clone(&options);
        let service = service_fn(move |request| respond(Arc::clone(&options), remote, request));
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // How a connection ends is the client's affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    // Whoever waits longer than this has asked for it with `wait`.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, connections.shutdown()).await;
}

async fn respond(options: Arc<Options>, remote: SocketAddr, request: Request<Incoming>) -> Result<answer::Answer, Infallible> {
    let (head, body) = request.into_parts();
    let wishes = match answer::Wishes::read(&head) {
        Ok(wishes) => wishes,
        Err(refusal) => return Ok(answer::text(StatusCode::BAD_REQUEST, refusal)),
    };
    // The body is read to its end first, so that a client that is still sending is not cut off by the answer.
    let received = answer::drain(body).await;
    if !wishes.wait.is_zero() {
        tokio::time::sleep(wishes.wait).await;
    }
    Ok(answer::answer(&options, &head, remote, received, &wishes))
}
