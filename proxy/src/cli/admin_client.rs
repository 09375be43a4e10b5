//! Asks a running edge's admin port.

use std::time::Duration;

use anyhow::{Context, bail};
use http::Uri;
use http_body_util::{BodyExt, Empty};
use serde_json::Value;

/// How long an edge may take to answer; its admin port never waits for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// GETs JSON from `path` of the admin port at `admin`, a plain http URL.
pub(super) fn get(admin: &str, path: &str) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = async { tokio::time::timeout(PATIENCE, ask(admin, path)).await.context("the edge did not answer within 5 s")? };
    runtime.block_on(asked).with_context(|| format!("asking {admin}{path}"))
}

async fn ask(admin: &str, path: &str) -> anyhow::Result<Value> {
    let uri: Uri = admin.parse().context("--admin must be a URL such as http://127.0.0.1:9900")?;
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
        bail!("--admin must be a URL such as http://127.0.0.1:9900");
    };
    let stream =
        tokio::net::TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header(http::header::HOST, authority.as_str()).body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    }
    serde_json::from_slice(&body).context("the answer is not JSON; is this the admin port?")
}
