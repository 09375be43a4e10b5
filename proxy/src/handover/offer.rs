//! The side of the process that runs: it waits for a successor, and gives it what it has.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Cargo, HandoverError, Listening, Reply, Request, check_peer, wire};

/// How long a caller may take to say what it wants.
const HELLO: Duration = Duration::from_secs(5);

/// What is added to the time that a successor gives itself.
const GRACE: Duration = Duration::from_secs(5);

/// Who waits between two faulty callers does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// What a process has to give.
pub trait Source: Send + Sync + 'static {
    /// Its listening sockets; empty once they were given away.
    fn sockets(&self) -> Vec<(Listening, Arc<TcpListener>)>;
    /// What it knows.
    fn cargo(&self) -> Cargo;
    /// Accepts no more, on any of its sockets; returns when that is so. Blocks.
    fn release(&self);
}

/// Waits for a successor until it is dropped.
#[derive(Debug)]
pub struct Offer {
    task: JoinHandle<()>,
}

impl Offer {
    /// Waits on the socket at `path`, in the place of whoever did before. The receiver hears when everything was given away.
    /// Must be called within a runtime.
    pub fn start(path: &Path, instance: &str, source: Arc<dyn Source>) -> Result<(Self, oneshot::Receiver<()>), HandoverError> {
        let failed = |doing| move |error| HandoverError::Socket { path: path.to_owned(), doing, source: error };
        // Beside it and then over it: a successor always finds either the old process or this one.
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{:08x}", fastrand::u32(..)));
        let beside = PathBuf::from(beside);
        let listener = UnixListener::bind(&beside).map_err(failed("made"))?;
        let placed =
            std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = placed {
            let _ = std::fs::remove_file(&beside);
            return Err(failed("put in its place")(error));
        }
        let (given, hears) = oneshot::channel();
        let instance = instance.to_owned();
        let task = tokio::spawn(async move {
            while !serve(&listener, &instance, &source).await {}
            // Nobody hears it where the process is already on its way out.
            let _ = given.send(());
        });
        Ok((Self { task }, hears))
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one caller; whether everything was given away.
async fn serve(listener: &UnixListener, instance: &str, source: &Arc<dyn Source>) -> bool {
    let caller = listener.accept().await.and_then(|(stream, _)| stream.into_std());
    let (source, instance) = (Arc::clone(source), instance.to_owned());
    let talk = match caller {
        // The handle of the runtime goes along: the blocking pool's threads have it.
        Ok(stream) => tokio::task::spawn_blocking(move || talk(&stream, instance, &*source)).await,
        Err(error) => {
            tracing::warn!(%error, "cannot accept on the handover's socket");
            tokio::time::sleep(PAUSE).await;
            return false;
        }
    };
    match talk {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a handover was begun and not ended; this process serves on");
            false
        }
        // It has panicked, which was logged, and nothing was given away for good.
        Err(_) => false,
    }
}

/// A conversation with a caller. An error means that nothing has changed.
fn talk(stream: &UnixStream, instance: String, source: &dyn Source) -> Result<(), HandoverError> {
    let wire = |error: std::io::Error| HandoverError::Wire(error.into());
    check_peer(stream)?;
    stream.set_read_timeout(Some(HELLO)).map_err(wire)?;
    stream.set_write_timeout(Some(HELLO)).map_err(wire)?;
    let hello = wire::receive(stream).inspect_err(|error| refuse(stream, &error.to_string()))?.0;
    let Request::Hello { instance: theirs, version, patience_ms } = hello else {
        refuse(stream, "it was not asked anything yet");
        return Err(super::takeover::out_of_turn());
    };
    tracing::info!(instance = theirs, version, "a new process takes over");
    let (sockets, listeners): (Vec<_>, Vec<_>) = source.sockets().into_iter().unzip();
    let fds: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let cargo = Box::new(source.cargo());
    wire::send(stream, &Reply::Welcome { instance, version: env!("CARGO_PKG_VERSION").to_owned(), sockets, cargo }, &fds)?;
    // Held no longer than needed: a socket that one process holds and nobody accepts on lets its clients hang.
    drop(fds);
    drop(listeners);
    stream.set_read_timeout(Some(Duration::from_millis(patience_ms) + GRACE)).map_err(wire)?;
    match wire::receive(stream)?.0 {
        Request::Ready => {
            source.release();
            // A successor that hears nothing serves all the same.
            let _ = wire::send(stream, &Reply::Released, &[]);
            Ok(())
        }
        Request::Hello { .. } => Err(super::takeover::out_of_turn()),
    }
}

/// Says why not, if anybody still listens.
fn refuse(stream: &UnixStream, reason: &str) {
    let _ = wire::send(stream, &Reply::Refused { reason: reason.to_owned() }, &[]);
}
