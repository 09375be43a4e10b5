//! What the engine asks of a connection beside its bytes: who is at its end, by which TLS, and how it ends.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{ClientIo, LINGER, LINGER_BYTES};
use crate::listen::connection::Role;

#[async_trait]
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for ClientIo<T> {
    async fn shutdown(&mut self) {
        let lingering = async {
            AsyncWriteExt::shutdown(self).await?;
            let mut sink = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match self.transport.read(&mut sink).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            io::Result::Ok(())
        };
        // Whatever goes wrong here, the connection ends.
        let _ = tokio::time::timeout(LINGER, lingering).await;
    }
}

impl<T> UniqueID for ClientIo<T> {
    fn id(&self) -> RawFd {
        self.fd
    }
}

impl<T> Ssl for ClientIo<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        let negotiated = self.connection.tls.is_some() || self.connection.h2c || matches!(self.connection.role, Role::Peer(_));
        negotiated.then(|| if self.connection.h2() { ALPN::H2 } else { ALPN::H1 })
    }
}

impl<T> GetTimingDigest for ClientIo<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<T> GetProxyDigest for ClientIo<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.carrier))
    }
}

impl<T> GetSocketDigest for ClientIo<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

#[async_trait]
impl<T: Send> Peek for ClientIo<T> {}
