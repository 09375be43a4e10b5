//! The demo's clients: HTTPS as browsers speak it, with the certificate verified for real.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::expect::Answer;

/// How long a client waits for anything. An edge gives up on a backend sooner.
const PATIENCE: Duration = Duration::from_secs(20);

type Body = Empty<Bytes>;

/// Believes in one certificate, and in no other.
#[derive(Clone)]
pub(super) struct Trust {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// In the first certificate of this PEM text.
    pub(super) fn new(pem: &[u8]) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(pem).context("reading the demo's own certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self { certificate, config: Arc::new(config.with_root_certificates(roots).with_no_client_auth()) })
    }

    /// Connects to an edge, naming `host`, and fails unless it shows the certificate that is believed in.
    pub(super) async fn connect(&self, edge: SocketAddr, host: &str, version: Version) -> anyhow::Result<Connection> {
        let connected = async {
            let mut config = (*self.config).clone();
            let h2 = version == Version::HTTP_2;
            config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
            let stream = TcpStream::connect(edge).await?;
            stream.set_nodelay(true)?;
            let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host.to_owned())?, stream).await?;
            let (_, tls) = stream.get_ref();
            if tls.peer_certificates().and_then(|chain| chain.first()) != Some(&self.certificate) {
                bail!("another certificate than the Secret's was shown for {host}");
            }
            if h2 && tls.alpn_protocol() != Some(b"h2") {
                bail!("HTTP/2 was offered by ALPN and not taken");
            }
            Connection::over(TokioIo::new(stream), h2).await
        };
        tokio::time::timeout(PATIENCE, connected).await.context("no TLS connection within 20 s")?
    }
}

/// A connection to an edge, on which requests are sent one after the other.
pub(super) enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// To a port without TLS.
    pub(super) async fn plain(to: SocketAddr) -> anyhow::Result<Self> {
        Self::over(TokioIo::new(TcpStream::connect(to).await?), false).await
    }

    async fn over<S>(stream: S, h2: bool) -> anyhow::Result<Self>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        if h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Whether another request can be sent on it.
    pub(super) async fn usable(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// GETs `/` of a host, as a client somewhere.
    pub(super) async fn ask(&mut self, host: &str, client: IpAddr) -> anyhow::Result<Answer> {
        let response = self.get(host, "/", Some(client)).await?;
        let head = &response.head;
        let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: head.status.as_u16(), header: field("causeway-served-by"), body: response.body })
    }

    /// GETs a path of a host.
    pub(super) async fn get(&mut self, host: &str, path: &str, client: Option<IpAddr>) -> anyhow::Result<Response> {
        let mut request = Request::get(path);
        if let Self::Http2(_) = self {
            // HTTP/2 carries the host in the target.
            request = request.uri(format!("https://{host}{path}")).version(Version::HTTP_2);
        } else {
            request = request.header(header::HOST, host);
        }
        if let Some(client) = client {
            request = request.header("x-forwarded-for", client.to_string());
        }
        let request = request.body(Body::new())?;
        let asked = async {
            let response = match self {
                // The connection takes another request a moment after the last response has ended.
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            Response::read(response).await
        };
        tokio::time::timeout(PATIENCE, asked).await.context("no answer within 20 s")?
    }
}

/// A response, read to its end.
pub(super) struct Response {
    pub(super) head: http::response::Parts,
    pub(super) body: String,
}

impl Response {
    async fn read(response: http::Response<Incoming>) -> anyhow::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { head, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// GETs a path of a port without TLS: health and admin.
pub(super) async fn get(port: SocketAddr, path: &str) -> anyhow::Result<Response> {
    Connection::plain(port).await?.get(&port.to_string(), path, None).await
}
