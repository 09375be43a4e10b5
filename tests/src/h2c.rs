//! A backend that speaks HTTP/2 with prior knowledge, as gRPC servers do: it sends each body back, then a trailer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A backend on loopback; it ends when it is dropped.
#[derive(Debug)]
pub struct H2cOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections it has taken.
    pub connections: watch::Receiver<usize>,
    /// Lets answers go, where they are held.
    pub answers: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl H2cOrigin {
    /// Starts a backend that echoes bodies and ends with the trailer `grpc-status: 0`. The response's field `te` holds
    /// what came as `te`.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn echo() -> Self {
        Self::start(true).await
    }

    /// The same, but it answers nothing until [`answers`](Self::answers) is true.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn held() -> Self {
        Self::start(false).await
    }

    async fn start(answers: bool) -> Self {
        let (count, connections) = watch::channel(0);
        let (answers, may_answer) = watch::channel(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                tokio::spawn(serve(stream, may_answer.clone()));
            }
        });
        Self { address, connections, answers, task }
    }
}

impl Drop for H2cOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, may_answer: watch::Receiver<bool>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let mut may_answer = may_answer.clone();
        tokio::spawn(async move {
            drop(may_answer.wait_for(|may| *may).await);
            echo(request, respond).await
        });
    }
    Ok(())
}

async fn echo(request: http::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if let Some(te) = request.headers().get("te") {
        response.headers_mut().insert("x-te", te.clone());
    }
    let mut send = respond.send_response(response, false)?;
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        send.send_data(data, false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    send.send_trailers(trailers)
}
