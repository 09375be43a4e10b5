//! Backends that a test plays itself, step by step: what an [`Origin`](crate::Origin) does at its own pace.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::soon;

/// A backend of HTTP/1.1, one connection at a time.
#[derive(Debug)]
pub struct ByHand {
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// A connection to it, after the head of a request.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub stream: TcpStream,
    /// Request line and fields.
    pub head: String,
    /// What has come of the body.
    pub body: Vec<u8>,
}

impl ByHand {
    /// Listens.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        Self { address: listener.local_addr().expect("it is bound"), listener }
    }

    /// The next connection's first request.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn request(&self) -> Connection {
        let (mut stream, _) = soon("a connection", self.listener.accept()).await.expect("it listens");
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(soon("a head", stream.read_buf(&mut bytes)).await.expect("it stands") > 0, "it ends in the head");
        };
        let body = bytes.split_off(end);
        Connection { stream, head: String::from_utf8_lossy(&bytes).into_owned(), body }
    }
}

impl Connection {
    /// Sends these bytes now.
    ///
    /// # Panics
    /// Where the connection is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("writing", self.stream.write_all(bytes.as_ref())).await.expect("the connection stands");
    }

    /// Waits until so much of the body has come.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn body(&mut self, length: usize) -> &[u8] {
        while self.body.len() < length {
            assert!(soon("the body", self.stream.read_buf(&mut self.body)).await.expect("it stands") > 0, "it ends early");
        }
        &self.body
    }
}

/// A call to a backend of HTTP/2, to be answered.
pub type Call = (http::Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

/// A backend that speaks HTTP/2 with prior knowledge, whose calls the test answers.
#[derive(Debug)]
pub struct Calls {
    /// Where it listens.
    pub address: SocketAddr,
    come: mpsc::Receiver<Call>,
    task: JoinHandle<()>,
}

impl Calls {
    /// Listens.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let (taken, come) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await?;
                    while let Some(call) = connection.accept().await {
                        // Nobody listens once the test has ended.
                        let _ = taken.send(call?).await;
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        });
        Self { address, come, task }
    }

    /// The next call.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn call(&mut self) -> Call {
        soon("a call", self.come.recv()).await.expect("it listens")
    }

    /// Whether no call waits to be taken.
    pub fn is_idle(&self) -> bool {
        self.come.is_empty()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
