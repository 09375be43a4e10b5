//! Asks a running edge's operators' ports.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Response, Uri};
use http_body_util::{BodyExt, Empty};
use serde_json::Value;

/// How long an edge may take to answer; these ports never wait for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// GETs JSON from `path` of the admin port at `admin`, a plain http URL.
pub(super) fn get(admin: &str, path: &str) -> anyhow::Result<Value> {
    let response = ask_once(admin, path)?;
    let status = response.status();
    if !status.is_success() {
        bail!("asking {admin}{path}: {status}: {}", String::from_utf8_lossy(response.body()).trim());
    }
    serde_json::from_slice(response.body())
        .with_context(|| format!("{admin}{path} does not answer in JSON; is this the admin port?"))
}

/// GETs `path` of an operators' port at `base`, a plain http URL.
pub(super) fn ask_once(base: &str, path: &str) -> anyhow::Result<Response<Bytes>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = async { tokio::time::timeout(PATIENCE, ask(base, path)).await.context("the edge did not answer within 5 s")? };
    runtime.block_on(asked).with_context(|| format!("asking {base}{path}"))
}

async fn ask(base: &str, path: &str) -> anyhow::Result<Response<Bytes>> {
    let uri: Uri = base.parse().context("it must be a URL such as http://127.0.0.1:9900")?;
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
        bail!("it must be a URL such as http://127.0.0.1:9900");
    };
    let stream =
        tokio::net::TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header(http::header::HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}
