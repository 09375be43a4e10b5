//! Programs that take the arguments of etcd and kube-apiserver, to try without them what starts and torments the real ones.
//!
//! The server is the stand-in, which keeps its objects in a file over restarts and then remembers no earlier revision. etcd
//! answers what it is asked here, and keeps nothing.

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::tls::Pems;
use crate::{ApiServer, Options};

/// Is etcd, until it is killed.
pub async fn etcd(arguments: &[String]) -> anyhow::Result<()> {
    for flag in ["data-dir", "advertise-client-urls", "initial-cluster"] {
        value(arguments, flag)?;
    }
    let listener = TcpListener::bind(address(value(arguments, "listen-client-urls")?)?).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(etcd_answer)));
    }
}

async fn etcd_answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match request.uri().path() {
        "/v3/kv/range" | "/v3/kv/compaction" => json!({"header": {"revision": "7"}}),
        _ => Value::Null,
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    if answer.is_null() {
        *response.status_mut() = http::StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// Is kube-apiserver, until SIGTERM.
pub async fn kube_apiserver(arguments: &[String]) -> anyhow::Result<()> {
    for flag in ["service-account-issuer", "service-account-key-file", "service-account-signing-key-file", "client-ca-file"] {
        value(arguments, flag)?;
    }
    if value(arguments, "authorization-mode")? != "RBAC" {
        bail!("--authorization-mode is not RBAC");
    }
    // As the real one, it is nothing without etcd.
    let etcd = address(value(arguments, "etcd-servers")?)?;
    while TcpStream::connect(etcd).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let read = |flag: &str| -> anyhow::Result<String> { Ok(fs::read_to_string(value(arguments, flag)?)?) };
    let pems =
        Pems { authority: read("client-ca-file")?, certificate: read("tls-cert-file")?, key: read("tls-private-key-file")? };
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, value(arguments, "secure-port")?.parse()?));
    let server = ApiServer::start_with(Options { bind, ..Options::default() }, pems).await?;
    let tokens = read("token-auth-file")?;
    for line in tokens.lines() {
        let (token, user) = line.split_once(',').context("a line of the token file has no user")?;
        server.admit(token, user.split(',').next().unwrap_or_default());
    }
    let kept = PathBuf::from(value(arguments, "cert-dir")?).with_extension("objects");
    restore(&server, &kept)?;
    signal(SignalKind::terminate())?.recv().await;
    fs::write(&kept, serde_json::to_vec(&json!({"revision": server.revision(), "items": server.all_objects()}))?)?;
    Ok(())
}

fn restore(server: &ApiServer, kept: &Path) -> anyhow::Result<()> {
    let Ok(bytes) = fs::read(kept) else { return Ok(()) };
    let mut kept: Value = serde_json::from_slice(&bytes)?;
    let revision = kept["revision"].as_u64().context("a kept state has a revision")?;
    server.put(kept["items"].take().as_array().map_or_else(|| json!([]), |items| json!({"items": items})))?;
    server.forget_before(revision + 1);
    Ok(())
}

fn value<'a>(arguments: &'a [String], flag: &str) -> anyhow::Result<&'a str> {
    let found = arguments.iter().find_map(|argument| argument.strip_prefix("--")?.strip_prefix(flag)?.strip_prefix('='));
    found.with_context(|| format!("--{flag} is missing"))
}

/// Of `http://HOST:PORT`.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is no plain URL"))?;
    rest.parse().with_context(|| format!("{url} has no address"))
}
