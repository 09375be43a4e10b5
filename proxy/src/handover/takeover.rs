//! The new process's side.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use causeway_config::Handover;

use super::{Cargo, HandoverError, Listening, Reply, Request, check_peer, wire};

/// How long the other process may take for an answer; each is made in memory.
const ANSWER: Duration = Duration::from_secs(10);

/// The listening sockets that the process before this one had.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(Listening, TcpListener)>);

impl Sockets {
    /// Takes one that listens where the configuration says; `None` where it must be bound.
    pub fn take(&mut self, listener: &str, bind: SocketAddr) -> Option<TcpListener> {
        let position = self.0.iter().position(|(had, _)| had.listener == listener && had.bind == bind)?;
        Some(self.0.remove(position).1)
    }
}

/// The process that runs, which has offered all it has and serves on until this one is ready.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    /// Its listening sockets.
    pub sockets: Sockets,
    /// What it knows.
    pub cargo: Cargo,
}

impl Predecessor {
    /// Asks on the handover's socket for a process that runs; `None` where there is none. Must be called within a runtime.
    pub fn meet(settings: &Handover, instance: &str) -> Result<Option<Self>, HandoverError> {
        let path = &settings.socket;
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            // Nothing is there, or what is there belonged to a process that has ended.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
            Err(source) => return Err(HandoverError::Socket { path: path.clone(), doing: "connected to", source }),
        };
        check_peer(&stream)?;
        let wire = |error: std::io::Error| HandoverError::Wire(error.into());
        stream.set_read_timeout(Some(ANSWER)).map_err(wire)?;
        stream.set_write_timeout(Some(ANSWER)).map_err(wire)?;
        let hello = Request::Hello {
            instance: instance.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            patience_ms: settings.timeout.as_millis() as u64,
        };
        wire::send(&stream, &hello, &[])?;
        let (reply, fds) = wire::receive(&stream)?;
        match reply {
            Reply::Welcome { instance, version, sockets, cargo } if sockets.len() == fds.len() => {
                tracing::info!(instance, version, sockets = sockets.len(), ?cargo, "taking over from the process that runs");
                let sockets = sockets.into_iter().zip(fds.into_iter().map(TcpListener::from)).collect();
                Ok(Some(Self { stream, sockets: Sockets(sockets), cargo: *cargo }))
            }
            Reply::Refused { reason } => Err(HandoverError::Refused(reason)),
            Reply::Welcome { .. } | Reply::Released => Err(out_of_turn()),
        }
    }

    /// Tells it that this process serves, and waits until it accepts no more. Blocks.
    pub fn release(self) -> Result<(), HandoverError> {
        wire::send(&self.stream, &Request::Ready, &[])?;
        match wire::receive(&self.stream)?.0 {
            Reply::Released => Ok(()),
            Reply::Refused { reason } => Err(HandoverError::Refused(reason)),
            Reply::Welcome { .. } => Err(out_of_turn()),
        }
    }
}

pub(super) fn out_of_turn() -> HandoverError {
    HandoverError::Wire(wire::WireError::Malformed("an answer out of turn".into()))
}
