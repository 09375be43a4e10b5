//! Clients that show every byte: TLS by hand, HTTP/1.1 as text, HTTP/2 by frames.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{PATIENCE, soon};

/// A TLS connection to an edge.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Status line and fields.
    pub head: String,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl Received {
    /// The status.
    ///
    /// # Panics
    /// Where there is none.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects, naming `sni` (or nobody) and offering one protocol by ALPN.
    ///
    /// # Errors
    /// Where the edge refuses the handshake.
    pub async fn try_connect(edge: SocketAddr, sni: Option<&str>, alpn: &str) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(edge).await?, sni, alpn).await
    }

    /// As [`Client::try_connect`], over a connection on which something was sent before.
    ///
    /// # Errors
    /// Where the edge refuses the handshake.
    ///
    /// # Panics
    /// On a name that is none.
    pub async fn over(stream: TcpStream, sni: Option<&str>, alpn: &str) -> std::io::Result<Self> {
        let mut config = anybody().with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        config.enable_sni = sni.is_some();
        Self::with_config(stream, sni.unwrap_or("nobody.invalid"), config).await
    }

    async fn with_config(stream: TcpStream, name: &str, config: ClientConfig) -> std::io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a host name");
        let stream = in_time(TlsConnector::from(Arc::new(config)).connect(name, stream)).await?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// As [`Client::try_connect`], with a certificate of the client's own, PEM.
    ///
    /// # Errors
    /// Where the edge refuses the handshake.
    ///
    /// # Panics
    /// On a certificate that is none.
    pub async fn with_certificate(edge: SocketAddr, sni: &str, cert: &str, key: &str) -> std::io::Result<Self> {
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let mut config = anybody().with_client_auth_cert(chain, key).expect("the key is the certificate's");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self::with_config(TcpStream::connect(edge).await?, sni, config).await
    }

    /// A connection for HTTP/1.1.
    ///
    /// # Panics
    /// Where the edge refuses it.
    pub async fn h1(edge: SocketAddr, sni: &str) -> Self {
        Self::try_connect(edge, Some(sni), "http/1.1").await.expect("the edge takes the connection")
    }

    /// The certificate that the edge showed, DER.
    ///
    /// # Panics
    /// Where there was none.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.get_ref().1.peer_certificates().expect("TLS servers show one")[0].clone()
    }

    /// Sends text as it stands.
    ///
    /// # Panics
    /// Where the connection is gone.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.expect("the connection stands");
        self.stream.flush().await.expect("the connection stands");
    }

    /// A GET without a body.
    pub async fn get(&mut self, host: &str, path: &str) -> Received {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// As [`Client::request`].
    ///
    /// # Errors
    /// Where the edge does not answer.
    pub async fn try_request(&mut self, text: &str) -> std::io::Result<Received> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await?;
        in_time(self.read_response()).await
    }

    /// Sends a request and reads its response.
    pub async fn request(&mut self, text: &str) -> Received {
        self.send(text).await;
        self.receive().await
    }

    /// Reads a response: by Content-Length, chunked, or without a body.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn receive(&mut self) -> Received {
        soon("a response", self.read_response()).await.expect("the edge answers")
    }

    /// Reads until the edge ends the connection.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        // An end without close_notify is an end too.
        let _ = soon("the end of the connection", self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// Reads so many bytes.
    ///
    /// # Panics
    /// Where they do not come.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        soon("bytes", self.take(count)).await.expect("the connection stands")
    }

    async fn read_response(&mut self) -> std::io::Result<Received> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer.drain(..end).collect::<Vec<_>>()).into_owned();
        let mut received = Received { head, body: Vec::new() };
        let length = received.field("content-length").and_then(|v| v.parse::<usize>().ok());
        if received.field("transfer-encoding").is_some() {
            loop {
                let line = loop {
                    if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                        break self.buffer.drain(..at + 2).collect::<Vec<_>>();
                    }
                    self.more().await?;
                };
                let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("a chunk's size");
                let chunk = self.take(size).await?;
                received.body.extend(chunk);
                self.take(2).await?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = length.filter(|_| received.status() != 304) {
            received.body = self.take(length).await?;
        }
        Ok(received)
    }

    async fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// A client that keeps sessions, and resumes them by their tickets.
#[derive(Clone, Debug)]
pub struct Resuming(Arc<ClientConfig>);

impl Default for Resuming {
    fn default() -> Self {
        let mut config = anybody().with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

impl Resuming {
    /// Connects, and asks for `/`, since tickets come behind the handshake; whether an older session was resumed.
    ///
    /// # Panics
    /// Where the edge refuses it.
    pub async fn visit(&self, edge: SocketAddr, host: &str) -> bool {
        let stream = TcpStream::connect(edge).await.expect("it listens");
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        let connecting = in_time(TlsConnector::from(Arc::clone(&self.0)).connect(name, stream));
        let mut client = Client { stream: connecting.await.expect("the edge takes it"), buffer: Vec::new() };
        client.get(host, "/").await;
        client.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Bounds what may fail, and so may take too long.
async fn in_time<T>(future: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A connection for HTTP/2.
///
/// # Panics
/// Where the edge refuses it.
pub async fn h2(edge: SocketAddr, sni: &str) -> h2::client::SendRequest<Bytes> {
    h2_over(Client::try_connect(edge, Some(sni), "h2").await.expect("the edge takes the connection")).await
}

/// HTTP/2 over a connection that agreed on it.
///
/// # Panics
/// Where the edge does not speak it.
pub async fn h2_over(client: Client) -> h2::client::SendRequest<Bytes> {
    soon("the preface", try_h2_over(client)).await.expect("it speaks HTTP/2")
}

/// As [`h2_over`].
///
/// # Errors
/// Where the edge does not speak it, or is gone.
pub async fn try_h2_over(client: Client) -> Result<h2::client::SendRequest<Bytes>, h2::Error> {
    let (send, connection) = h2::client::handshake(client.stream).await?;
    tokio::spawn(connection);
    send.ready().await
}

fn anybody() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}

/// Takes any certificate: tests look at which one it was, not at who signed it.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
