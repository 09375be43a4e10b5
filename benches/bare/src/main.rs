//! The engine without Causeway, as its own documentation sets it up: the least that a request can cost here.
//!
//! `bare-engine LISTEN CERT KEY BACKEND...`: TLS, HTTP/1.1 and HTTP/2 to clients, HTTP/1.1 to one of the backends at random, the
//! same headers that Causeway adds, and nothing else: no routes, no retries, no limits, no metrics. `make bench-compare`
//! measures it beside Causeway; the difference is what Causeway adds.

use std::net::SocketAddr;

use anyhow::Context;
use async_trait::async_trait;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::upstreams::peer::HttpPeer;

struct Bare {
    backends: Vec<SocketAddr>,
}

#[async_trait]
impl ProxyHttp for Bare {
    /// The request's id.
    type CTX = String;

    fn new_ctx(&self) -> String {
        format!("{:032x}", fastrand::u128(..))
    }

    async fn upstream_peer(&self, _session: &mut Session, _id: &mut String) -> Result<Box<HttpPeer>> {
        let backend = self.backends[fastrand::usize(..self.backends.len())];
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    async fn upstream_request_filter(&self, session: &mut Session, request: &mut RequestHeader, id: &mut String) -> Result<()> {
        let client = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip().to_string())
            .unwrap_or_default();
        let host = request.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        request.insert_header("forwarded", format!("for={client};host=\"{host}\";proto=https"))?;
        request.insert_header("x-forwarded-for", client.as_str())?;
        request.insert_header("x-forwarded-proto", "https")?;
        request.insert_header("x-forwarded-host", host)?;
        request.insert_header("x-forwarded-port", "443")?;
        request.insert_header("x-real-ip", client)?;
        request.insert_header("x-request-id", id.as_str())
    }

    async fn response_filter(&self, _session: &mut Session, response: &mut ResponseHeader, id: &mut String) -> Result<()> {
        response.insert_header("x-request-id", id.as_str())?;
        response.insert_header("causeway-served-by", "here")
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what| arguments.next().with_context(|| format!("{what} is missing: LISTEN CERT KEY BACKEND..."));
    let (listen, cert, key) = (next("LISTEN")?, next("CERT")?, next("KEY")?);
    let backends = arguments.map(|backend| backend.parse()).collect::<Result<Vec<SocketAddr>, _>>().context("BACKEND")?;
    anyhow::ensure!(!backends.is_empty(), "at least one BACKEND is needed");
    // The same as Causeway's; whoever comes first wins.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { backends });
    let mut tls = TlsSettings::intermediate(&cert, &key)?;
    tls.enable_h2();
    service.add_tls_with_settings(&listen, None, tls);
    server.add_service(service);
    server.run_forever()
}
